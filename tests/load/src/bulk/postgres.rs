//! `COPY` on several connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use indicatif::ProgressBar;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};
use tokio::task::JoinSet;

use super::{Loading, Rows, TABLES};
use crate::Failure;

const CONNECTIONS: usize = 3;
/// Sessions in one `COPY`.
const TOGETHER: u64 = 10_000;
/// That each row's user is there is known: they have just been added. Only a superuser may leave the check out; for others
/// it takes longer.
const TRUSTING: &str = "SET session_replication_role = replica";
const COLUMNS: &str = "\
SELECT quote_ident(attname) FROM pg_attribute
WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum";

pub(super) async fn load(loading: Loading, url: &str, bar: &ProgressBar) -> Result<bool, Failure> {
    let mut connection = PgConnection::connect(url).await?;
    let (mut columns, mut tables) = (Vec::new(), Vec::new());
    for table in TABLES {
        let (names, rows) = rows_of(&mut connection, table).await?;
        tables.push(rows);
        columns.push(names.join(", "));
    }
    let Some(rows) = Rows::learnt(loading, &tables) else { return Ok(false) };
    let into = TABLES.iter().zip(columns).map(|(table, columns)| format!("COPY {table} ({columns}) FROM STDIN"));
    let work =
        Arc::new(Work { next: AtomicU64::new(rows.loading.written), rows, into: into.collect(), bar: bar.clone() });
    let mut workers = JoinSet::new();
    for _ in 0..CONNECTIONS {
        workers.spawn(work.clone().run(url.to_owned()));
    }
    while let Some(done) = workers.join_next().await {
        done??;
    }
    // As autovacuum would within a minute or two, in the middle of what is measured.
    for table in TABLES {
        bar.set_message(format!("vacuum of {table}"));
        connection.execute(AssertSqlSafe(format!("VACUUM (ANALYZE) {table}"))).await?;
    }
    connection.execute("CHECKPOINT").await.ok();
    connection.close().await?;
    Ok(true)
}

/// The names of the columns, and each row as one text, in the text format of `COPY` (of these columns none has a tab or a
/// line break).
async fn rows_of(connection: &mut PgConnection, table: &str) -> Result<(Vec<String>, Vec<String>), sqlx::Error> {
    let names: Vec<String> = sqlx::query_scalar(COLUMNS).bind(table).fetch_all(&mut *connection).await?;
    let spelt = names.iter().map(|name| format!(r"coalesce(replace({name}::text, '\', '\\'), '\N')"));
    let all = format!(r"SELECT concat_ws(E'\t', {}) FROM {table}", spelt.collect::<Vec<_>>().join(", "));
    let rows = sqlx::query_scalar(AssertSqlSafe(all)).fetch_all(connection).await?;
    Ok((names, rows))
}

/// All rows of a table.
#[cfg(test)]
pub(super) async fn sorted(url: &str, table: &str) -> Result<Vec<String>, sqlx::Error> {
    let (_, mut rows) = rows_of(&mut PgConnection::connect(url).await?, table).await?;
    rows.sort_unstable();
    Ok(rows)
}

struct Work {
    next: AtomicU64,
    rows: Rows,
    /// In the order of [`TABLES`].
    into: Vec<String>,
    bar: ProgressBar,
}

impl Work {
    async fn run(self: Arc<Self>, url: String) -> Result<(), String> {
        let text = |error: sqlx::Error| error.to_string();
        let mut connection = PgConnection::connect(&url).await.map_err(text)?;
        connection.execute(TRUSTING).await.ok();
        let all = self.rows.loading.seed.sessions;
        loop {
            let from = self.next.fetch_add(TOGETHER, Ordering::Relaxed);
            if from >= all {
                break;
            }
            let to = all.min(from + TOGETHER);
            let work = self.clone();
            let making = tokio::task::spawn_blocking(move || work.rows.of(from..to, '\n'));
            let tables = making.await.map_err(|error| error.to_string())?;
            for (into, rows) in self.into.iter().zip(tables) {
                let mut copy = connection.copy_in_raw(into).await.map_err(text)?;
                copy.send(rows.into_bytes()).await.map_err(text)?;
                copy.finish().await.map_err(text)?;
            }
            self.bar.inc(to - from);
        }
        connection.close().await.map_err(text)
    }
}
