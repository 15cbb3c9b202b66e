//! What is in Redis: how much, for how long, and nothing that is secret.

use std::path::Path;
use std::time::Duration;

use regrant_adapters::outbound::redis::RedisOptions;
use regrant_domain::ports::{NewSession, PortError, RotateOutcome, SessionRepository, Spends};
use regrant_domain::reason::EndReason;
use regrant_domain::refresh_token::{Generation, Held, LookupKey, RetryKey, Spent};
use regrant_domain::secret::Secret;
use regrant_domain::session::Device;
use regrant_domain::time::Timestamp;

use super::{connect, open, opened, refresh, store};
use crate::contract::bench::{
    a_bare_session, a_session, a_session_id, a_user_id, by_id, by_lookup, minutes, random, rotated, rotation,
};
use crate::contract::ending::an_end;
use crate::support::servers::{is_wanted, redis, redis::Servers};

const RETENTION: Duration = Duration::from_hours(24 * 30);

pub(super) fn keys(connection: &mut ::redis::Connection) -> Vec<String> {
    ::redis::cmd("KEYS").arg("*").query(connection).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_takes_at_most_600_bytes_after_ten_refreshes() {
    let servers = Servers::single(&[]);
    let Some(store) = store(|| servers.url().to_owned()).await else { return };
    let mut connection = servers.first().connect().unwrap();
    let sum = |connection: &mut ::redis::Connection| -> u64 {
        let usage = |key: String| -> u64 {
            ::redis::cmd("MEMORY").arg("USAGE").arg(key).arg("SAMPLES").arg(0).query(connection).unwrap()
        };
        keys(&mut servers.first().connect().unwrap()).into_iter().map(usage).sum()
    };
    let mut before = 0;
    for with_retry_key in [false, true] {
        for _ in 0..100 {
            let mut new = a_session(a_user_id());
            let browser =
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36";
            new.session.device =
                Device { label: None, user_agent: Some(browser.into()), ip: Some("203.0.113.195".into()) };
            store.open(new.clone()).await.unwrap();
            let mut now = opened(&new);
            for minute in 1..=10 {
                let mut step = rotation(&now, minutes(minute));
                if with_retry_key {
                    let key = Some(RetryKey::parse(&minute.to_string()).unwrap().hash_for(new.session.id));
                    let spent = Spent { generation: step.from.generation, at: step.now, retry_key: key };
                    step.spends = Spends::Append(spent);
                }
                assert!(matches!(store.rotate(step.clone()).await.unwrap(), RotateOutcome::Rotated(_)));
                now = rotated(&now, &step);
            }
            assert_eq!(store.find(&by_lookup(&new)).await.unwrap(), Some(now));
        }
        let after = sum(&mut connection);
        println!("bytes per session, retry keys {with_retry_key}: {}", (after - before) / 100);
        assert!((after - before) / 100 <= 600, "{} bytes per session", (after - before) / 100);
        before = after;
    }
    for key in keys(&mut connection) {
        let encoding: String = ::redis::cmd("OBJECT").arg("ENCODING").arg(&key).query(&mut connection).unwrap();
        assert!(encoding == "listpack" || encoding == "ziplist", "{key} is kept as {encoding}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_the_server_hold_no_secret() {
    let servers = Servers::single(&[]);
    let Some(store) = store(|| servers.url().to_owned()).await else { return };
    let mut secrets: Vec<Vec<u8>> = Vec::new();
    for _ in 0..20 {
        let mut new = a_session(a_user_id());
        let mut token = || {
            let bytes: [u8; 32] = random();
            secrets.extend([bytes.to_vec(), hex::encode(bytes).into_bytes()]);
            Secret::new(bytes.to_vec()).hash()
        };
        new.token.held.hash = token();
        let to = Held { generation: Generation(1), hash: token() };
        let text = a_user_id().to_string();
        let retry_key = Some(RetryKey::parse(&text).unwrap().hash_for(new.session.id));
        secrets.push(text.into_bytes());
        store.open(new.clone()).await.unwrap();
        let spends = Spends::Append(Spent { generation: Generation::FIRST, at: minutes(1), retry_key });
        let step = regrant_domain::ports::Rotation { to, spends, ..rotation(&opened(&new), minutes(1)) };
        assert!(matches!(store.rotate(step).await.unwrap(), RotateOutcome::Rotated(_)));
    }
    servers.first().ask("SAVE", &[]).unwrap();
    let mut files = 0;
    every_file(&servers.folder(), &mut |path| {
        files += 1;
        let bytes = std::fs::read(path).unwrap();
        for secret in &secrets {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret), "{} holds a secret", path.display());
        }
    });
    assert!(files >= 3, "a dump and an append-only file were searched");
}

fn every_file(folder: &Path, seen: &mut dyn FnMut(&Path)) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { every_file(&path, seen) } else { seen(&path) }
    }
}

/// How long the server keeps a session from now on.
fn kept_for(connection: &mut ::redis::Connection, new: &NewSession) -> Duration {
    let key = format!("rg:s:{{{}}}", new.lookup.as_str());
    Duration::from_millis(::redis::cmd("PTTL").arg(key).query(connection).unwrap())
}

pub(super) fn about(a: Duration, b: Duration) -> bool {
    a.abs_diff(b) < Duration::from_secs(30)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_keeps_a_session_for_the_retention_after_it_was_over() {
    let servers = Servers::single(&[]);
    let Some(store) = store(|| servers.url().to_owned()).await else { return };
    let mut connection = servers.first().connect().unwrap();
    let now = store.store_now().await.unwrap();
    let mut new = a_session(a_user_id());
    new.session.ends_at = now.plus(Duration::from_hours(1000));
    new.token.expires_at = now.plus(Duration::from_hours(10));
    store.open(new.clone()).await.unwrap();
    assert!(about(kept_for(&mut connection, &new), Duration::from_hours(10) + RETENTION));
    store.rotate(rotation(&opened(&new), now)).await.unwrap();
    assert!(about(kept_for(&mut connection, &new), Duration::from_hours(1000) + RETENTION));
    store.end(an_end(by_id(&new), EndReason::SignedOut, now)).await.unwrap();
    assert!(about(kept_for(&mut connection, &new), RETENTION));

    // Over long ago, as far as its instants say: still kept for the retention from now on.
    let mut old = a_session(a_user_id());
    old.token.expires_at = Timestamp::from_millis(1);
    store.open(old.clone()).await.unwrap();
    assert!(about(kept_for(&mut connection, &old), RETENTION));
}

async fn sweeps_everything(options: &RedisOptions) {
    let store = connect(options).await;
    let user = a_user_id();
    for _ in 0..20 {
        store.open(a_session(user)).await.unwrap();
        store.open(a_bare_session(a_user_id())).await.unwrap();
    }
    assert!(!store.is_empty().await.unwrap());
    let last = minutes(60 * 24 * 365 + 1);
    assert_eq!(store.sweep(minutes(1), 1000).await.unwrap().removed, 0);
    let (mut removed, mut batches) = (0, 0);
    loop {
        let swept = store.sweep(last, 8).await.unwrap();
        assert!(swept.removed <= 8);
        removed += swept.removed;
        batches += 1;
        if swept.done {
            break;
        }
    }
    assert_eq!((removed, batches), (40, 5));
    assert!(store.is_empty().await.unwrap());
    assert_eq!(store.list(user).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cutoff_beyond_what_the_server_forgets_by_itself_is_swept_all_the_same() {
    for (name, url) in [("redis", redis::single as fn() -> String), ("redis_cluster", redis::cluster)] {
        if is_wanted(name) {
            let prefix = format!("swept-[{}]*:", a_session_id());
            sweeps_everything(&RedisOptions { prefix, ..RedisOptions::new(url()) }).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn helper_keys_that_lag_are_repaired() {
    let servers = Servers::single(&[]);
    let Some(store) = store(|| servers.url().to_owned()).await else { return };
    let mut connection = servers.first().connect().unwrap();
    let new = open(&store).await;
    let set = keys(&mut connection).into_iter().find(|key| key.contains("u:{")).unwrap();
    let members =
        |connection: &mut ::redis::Connection| -> usize { ::redis::cmd("ZCARD").arg(&set).query(connection).unwrap() };

    // A member without a session: one that was noted a moment ago may be of a sign-in that is under way.
    let ghost = a_session_id();
    for (noted, left) in [("9999999999", 2), ("1", 1)] {
        let _: () = ::redis::cmd("ZADD").arg(&set).arg(noted).arg(ghost.as_bytes()).query(&mut connection).unwrap();
        assert_eq!(store.list(new.session.user).await.unwrap(), [opened(&new)]);
        assert_eq!(members(&mut connection), left);
    }

    // A session without a member: as it goes on being used, it is noted again.
    let _: () = ::redis::cmd("DEL").arg(&set).query(&mut connection).unwrap();
    assert_eq!(store.list(new.session.user).await.unwrap(), []);
    for _ in 0..8 {
        refresh(&store, &new).await.unwrap().unwrap();
    }
    let begun = std::time::Instant::now();
    while store.list(new.session.user).await.unwrap().is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(5));
    }

    // An index that names another session finds nothing, and ends nothing.
    let other = open(&store).await;
    let wrong = a_session_id();
    let index = format!("rg:i:{{{}}}", LookupKey::of_session(wrong).as_str());
    let _: () = ::redis::cmd("SET").arg(index).arg(other.lookup.as_str()).query(&mut connection).unwrap();
    let key = regrant_domain::ports::SessionKey::Id(wrong);
    assert_eq!(store.find(&key).await.unwrap(), None);
    store.end(an_end(key, EndReason::SignedOut, minutes(1))).await.unwrap();
    assert_eq!(store.find(&by_id(&other)).await.unwrap(), Some(opened(&other)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_cannot_be_are_told_as_such() {
    let servers = Servers::single(&[]);
    let Some(store) = store(|| servers.url().to_owned()).await else { return };
    let mut connection = servers.first().connect().unwrap();
    for spoil in [&["HDEL", "h"][..], &["HSET", "t", "soon"], &["HDEL", "u"], &["type"]] {
        let new = open(&store).await;
        let key = format!("rg:s:{{{}}}", new.lookup.as_str());
        if spoil == ["type"] {
            let _: () = ::redis::cmd("SET").arg(&key).arg("text").query(&mut connection).unwrap();
        } else {
            let _: () = ::redis::cmd(spoil[0]).arg(&key).arg(&spoil[1..]).query(&mut connection).unwrap();
        }
        let found = store.find(&by_lookup(&new)).await;
        assert!(matches!(found, Err(PortError::Corrupt { .. })), "{spoil:?}: {found:?}");
        let rotated = store.rotate(rotation(&opened(&new), minutes(1))).await;
        assert!(matches!(rotated, Err(PortError::Corrupt { .. })), "{spoil:?}: {rotated:?}");
        let ended = store.end(an_end(by_lookup(&new), EndReason::SignedOut, minutes(1))).await;
        assert!(matches!(ended, Err(PortError::Corrupt { .. })), "{spoil:?}: {ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stores_clock_is_told_and_a_closed_store_is_unavailable() {
    let Some(store) = store(redis::single).await else { return };
    let (a, b) = (store.store_now().await.unwrap(), store.store_now().await.unwrap());
    assert!(a <= b && b.since(a) < Duration::from_secs(2) && a > Timestamp::from_millis(1_700_000_000_000));
    store.close();
    assert!(matches!(store.store_now().await, Err(PortError::Unavailable { .. })));
    assert!(matches!(store.list(a_user_id()).await, Err(PortError::Unavailable { .. })));
}
