//! What only Postgres can be held to: updates in place, start-up checks, migrations, callers that hang up, outages,
//! deadlocks, dumps. (What every store promises is in `contract`.)

#![expect(clippy::unwrap_used, reason = "tests panic to fail; the lint knows only `#[test]` itself")]

mod callers;
mod deadlocks;
mod dump;
mod ending_together;
mod limits;
mod migrating;
mod opening_together;
mod outages;
mod space;
mod starting;
mod together;

use regrant_adapters::outbound::postgres::{PostgresOptions, PostgresStore};
use regrant_domain::ids::SessionId;
use regrant_domain::ports::{End, PortError, RotateOutcome, SessionKey, SessionRepository};
use regrant_domain::reason::EndReason;
use regrant_domain::session::Snapshot;
use regrant_domain::time::Timestamp;
use sqlx::{Connection as _, PgConnection};
use tokio::task::JoinHandle;

use crate::contract::bench::{rotated, rotation};
use crate::support::servers;

/// An empty database of its own, or nothing where Postgres is left out.
async fn database() -> Option<String> {
    if !servers::is_wanted("postgres") {
        return None;
    }
    Some(servers::postgres::fresh_database().await)
}

/// Options for this URL, with a pool of this size.
fn options(url: &str, max_connections: u32) -> PostgresOptions {
    PostgresOptions { max_connections, ..PostgresOptions::new(url) }
}

async fn connect(url: &str, max_connections: u32) -> PostgresStore {
    PostgresStore::connect(&options(url, max_connections)).await.unwrap()
}

/// A connection to look with.
async fn look(url: &str) -> PgConnection {
    PgConnection::connect(url).await.unwrap()
}

/// Refreshes once.
async fn rotate(store: &PostgresStore, before: &Snapshot, now: Timestamp) -> Snapshot {
    let step = rotation(before, now);
    assert!(matches!(store.rotate(step.clone()).await.unwrap(), RotateOutcome::Rotated(_)));
    rotated(before, &step)
}

/// What is kept of this session.
async fn find(store: &PostgresStore, session: SessionId) -> Result<Option<Snapshot>, PortError> {
    SessionRepository::find(store, &SessionKey::Id(session)).await
}

/// An end of this session, in any case.
fn an_end(session: SessionKey, at: Timestamp) -> End {
    End { session, reason: EndReason::SignedOut, at, only_while: None }
}

/// Asks for all of these before any is answered; what they were answered, in their order.
async fn all_at_once<F>(asked: impl IntoIterator<Item = F>) -> Vec<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    let asked: Vec<JoinHandle<_>> = asked.into_iter().map(tokio::spawn).collect();
    let mut answers = Vec::new();
    for asked in asked {
        answers.push(asked.await.unwrap());
    }
    answers
}

/// Does this with each of them, and asks for all before any is answered.
async fn each_at_once<W, F>(store: &PostgresStore, all: &[W], act: impl Fn(PostgresStore, W) -> F) -> Vec<F::Output>
where
    W: Clone,
    F: Future<Output: Send + 'static> + Send + 'static,
{
    all_at_once(all.iter().map(|one| act(store.clone(), one.clone()))).await
}

/// How often the server had to end somebody's waiting in a circle.
async fn deadlocks_of(url: &str) -> i64 {
    let sql = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    sqlx::query_scalar(sql).fetch_one(&mut look(url).await).await.unwrap()
}
