//! Everything at once on the same few users and sessions: nobody waits in a circle, and no error comes of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use regrant_adapters::outbound::postgres::PostgresStore;
use regrant_domain::history::{Entry, Origin, What};
use regrant_domain::ids::UserId;
use regrant_domain::ports::{EndAll, OpenOutcome, SessionKey, SessionRepository as _, UserRepository as _};
use regrant_domain::reason::EndReason;
use regrant_domain::session::Snapshot;
use regrant_domain::time::Timestamp;

use super::{an_end, connect, database, deadlocks_of, look};
use crate::contract::bench::{OPENED, a_session, a_user, minutes, random, rotation};

const USERS: usize = 3;
const WORKERS: usize = 12;
const CALLS: u64 = 400;

fn choose(below: usize) -> usize {
    usize::from(random::<1>()[0]) % below
}

/// A user who may be deleted at any moment, and replaced.
async fn a_new_user(store: &PostgresStore) -> UserId {
    let user = a_user();
    store.add(user.clone()).await.unwrap();
    user.id
}

async fn some_session(store: &PostgresStore, user: UserId) -> Option<Snapshot> {
    let mut sessions = store.list(user).await.unwrap();
    (!sessions.is_empty()).then(|| sessions.swap_remove(choose(sessions.len())))
}

async fn one(store: &PostgresStore, users: &[std::sync::Mutex<UserId>], number: u64) {
    let place = choose(USERS);
    let user = *users[place].lock().unwrap();
    let at = minutes(number);
    match random::<1>()[0] % 20 {
        0..4 => {
            let mut new = a_session(user);
            // Some have expired long ago, for the sweep.
            if choose(3) == 0 {
                new.session.created_at = OPENED.minus(std::time::Duration::from_hours(48));
                new.token.expires_at = OPENED.minus(std::time::Duration::from_hours(24));
            }
            assert!(matches!(store.open(new).await.unwrap(), OpenOutcome::Opened | OpenOutcome::NoSuchUser));
        }
        4..9 => {
            if let Some(now) = some_session(store, user).await {
                store.rotate(rotation(&now, at)).await.unwrap();
            }
        }
        9..11 => {
            if let Some(now) = some_session(store, user).await {
                let key = if choose(2) == 0 { SessionKey::Id(now.session.id) } else { SessionKey::Lookup(now.lookup) };
                let mut end = an_end(key, at);
                end.only_while = (choose(2) == 0).then_some(now.token.held);
                store.end(end).await.unwrap();
            }
        }
        11 => {
            let but = some_session(store, user).await.map(|now| now.session.id);
            let end = EndAll { user, but, reason: EndReason::PasswordChanged, at };
            store.end_all(end).await.unwrap();
        }
        12 => {
            store.advance_epoch(user, at).await.unwrap();
        }
        13 => {
            store.sweep(OPENED, 5).await.unwrap();
        }
        14 => store.forget_all(user).await.unwrap(),
        15..19 => with_history(store, user, at).await,
        _ => {
            store.delete(user).await.unwrap();
            let next = a_new_user(store).await;
            *users[place].lock().unwrap() = next;
        }
    }
}

/// Its methods by their full names, as sessions have some of the same.
async fn with_history(store: &PostgresStore, user: UserId, at: Timestamp) {
    use regrant_domain::ports::HistoryRepository as History;
    let of_account = Entry { user, session: None, at, what: What::SignInFailed, from: Origin::default() };
    match choose(4) {
        0 => drop(History::sweep(store, at.minus(std::time::Duration::from_hours(1)), 5).await.unwrap()),
        1 => History::forget_all(store, user).await.unwrap(),
        _ => {
            let mut entries = vec![of_account.clone()];
            for session in store.list(user).await.unwrap() {
                entries.push(Entry { session: Some(session.session.id), what: What::Replayed, ..of_account.clone() });
            }
            History::append(store, entries).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn everything_at_once_comes_to_no_error() {
    let Some(url) = database().await else { return };
    let store = connect(&url, 12).await;
    let mut users = Vec::new();
    for _ in 0..USERS {
        users.push(std::sync::Mutex::new(a_new_user(&store).await));
    }
    let (users, calls) = (Arc::new(users), Arc::new(AtomicU64::new(0)));
    let workers: Vec<_> = (0..WORKERS)
        .map(|_| {
            let (store, users, calls) = (store.clone(), users.clone(), calls.clone());
            tokio::spawn(async move {
                for _ in 0..CALLS {
                    one(&store, &users, calls.fetch_add(1, Ordering::Relaxed)).await;
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }

    // No session without its token, no token without its session, and both ended or neither.
    let mut connection = look(&url).await;
    let sql = "SELECT count(*) FROM sessions s FULL JOIN refresh_tokens t ON t.session_id = s.id AND t.user_id = s.user_id \
               WHERE s.id IS NULL OR t.token IS NULL OR s.ended_at IS DISTINCT FROM t.revoked_at";
    assert_eq!(sqlx::query_scalar::<_, i64>(sql).fetch_one(&mut connection).await.unwrap(), 0);
    assert_eq!(deadlocks_of(&url).await, 0);
}
