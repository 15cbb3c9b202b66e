//! What only Redis can get wrong: answers that are lost, servers that go away, settings that lose sessions, helper keys
//! that lag.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests panic to fail, and figures are told; the lints know only `#[test]` itself"
)]

mod away;
mod history;
mod keys;
mod limits;
mod settings;
mod together;
mod twice;

use std::time::{Duration, Instant};

use regrant_adapters::outbound::redis::{RedisOptions, RedisStore};
use regrant_domain::ports::{NewSession, PortError, RotateOutcome, SessionRepository};
use regrant_domain::session::Snapshot;

use crate::contract::bench::{a_session, a_user_id, as_opened, by_lookup, minutes, rotation};
use crate::support::servers::is_wanted;

/// A store, or `None` where Redis is left out.
async fn store(url: impl FnOnce() -> String) -> Option<RedisStore> {
    if !is_wanted("redis") {
        return None;
    }
    Some(connect(&RedisOptions::new(url())).await)
}

async fn connect(options: &RedisOptions) -> RedisStore {
    RedisStore::connect(options).await.unwrap()
}

/// Opens a session of a user of its own.
async fn open(store: &RedisStore) -> NewSession {
    let new = a_session(a_user_id());
    store.open(new.clone()).await.unwrap();
    new
}

/// Rotates a session as it is, and says how it is then.
async fn refresh(store: &RedisStore, new: &NewSession) -> Result<Option<Snapshot>, PortError> {
    let Some(now) = store.find(&by_lookup(new)).await? else { return Ok(None) };
    match store.rotate(rotation(&now, minutes(1))).await? {
        RotateOutcome::Rotated(_) => store.find(&by_lookup(new)).await,
        RotateOutcome::NotCurrent => Ok(None),
    }
}

/// Asks again until there is an answer, and says how long that took. Until then, nothing but "unavailable" is heard,
/// and never later than after a bounded time.
async fn until_available(store: &RedisStore, new: &NewSession, at_most: Duration) -> Duration {
    let begun = Instant::now();
    loop {
        let asked = Instant::now();
        match refresh(store, new).await {
            Ok(found) => {
                assert!(found.is_some(), "the session was kept");
                return begun.elapsed();
            }
            Err(PortError::Unavailable { .. }) => {}
            Err(other) => panic!("{other:?}"),
        }
        assert!(asked.elapsed() < Duration::from_secs(9), "two operations took {:?}", asked.elapsed());
        assert!(begun.elapsed() < at_most, "still unavailable after {:?}", begun.elapsed());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// How it is when it has just been opened.
fn opened(new: &NewSession) -> Snapshot {
    as_opened(new)
}
