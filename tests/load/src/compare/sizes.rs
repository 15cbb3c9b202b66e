//! What a session takes after ten refreshes.

use std::time::Duration;

use sqlx::{Connection as _, PgConnection};

use super::ground::{Deployment, Ground, SEED, Store};
use super::table::Run;
use crate::Failure;
use crate::chains::Order;
use crate::people;
use crate::seed::Seed;

/// Enough that what the first page of a table takes does not matter.
const SESSIONS: u64 = 5_000;
const REFRESHES: u64 = 10;
/// Servers that write behind need a moment before they tell what is used.
const SETTLE: Duration = Duration::from_secs(1);

/// Bytes per session.
pub(super) async fn measure(ground: &Ground, name: &str, store: Store, order: Order) -> Result<Run, Failure> {
    let deployment = ground.deploy(name, store, None).await?;
    let before = used(ground, &deployment, store).await?;
    let fresh = Seed { generation: 0, ..Seed::new(SEED, SESSIONS) };
    deployment.fill(&fresh).await?;
    let process = deployment.serve(ground, &[])?;
    let (chains, checks) = (deployment.chains(fresh)?, deployment.checks()?);
    people::refresh_each(process.server, SESSIONS, REFRESHES, order, &chains, &checks).await?;
    let bytes = settled(ground, &deployment, store).await?.saturating_sub(before);
    Ok(Run { floor: None, ours: bytes as f64 / SESSIONS as f64, outcome: None })
}

/// The same as [`used`], after a moment.
pub(super) async fn settled(ground: &Ground, deployment: &Deployment, store: Store) -> Result<u64, Failure> {
    tokio::time::sleep(SETTLE).await;
    used(ground, deployment, store).await
}

/// Bytes that the sessions take on disk or, of a Redis server, everything in memory.
pub(super) async fn used(ground: &Ground, deployment: &Deployment, store: Store) -> Result<u64, Failure> {
    match store {
        Store::Postgres => {
            let sql = "SELECT (pg_total_relation_size('sessions') + pg_total_relation_size('refresh_tokens'))::bigint";
            let mut connection = PgConnection::connect(&deployment.url).await?;
            let bytes: i64 = sqlx::query_scalar(sql).fetch_one(&mut connection).await?;
            connection.close().await?;
            Ok(bytes.unsigned_abs())
        }
        Store::Redis => {
            let told = ground.redis().first().ask("INFO", &["memory"])?;
            let line = told.lines().find_map(|line| line.strip_prefix("used_memory:"));
            Ok(line.and_then(|number| number.trim().parse().ok()).ok_or("Redis does not tell its memory")?)
        }
        Store::Sqlite => deployment.file_len(),
    }
}
