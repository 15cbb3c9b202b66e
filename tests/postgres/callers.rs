//! Callers that hang up leave nothing behind: no open transaction, no lost connection, no half state.

use std::sync::Arc;
use std::time::Duration;

use regrant_adapters::outbound::postgres::PostgresStore;
use regrant_domain::ports::{EndAll, RotateOutcome, SessionKey, SessionRepository as _, UserRepository};
use regrant_domain::reason::EndReason;
use regrant_domain::session::Snapshot;

use super::{an_end, connect, database, find, look, rotate};
use crate::contract::bench::{a_session, a_user, as_opened, minutes, random, rotation};

const POOL: u32 = 4;

/// Up to 20 ms.
fn a_while() -> Duration {
    let [a, b] = random::<2>();
    Duration::from_micros((u64::from(a) * 256 + u64::from(b)) * 20_000 / 65_536)
}

async fn one(store: &PostgresStore, snapshot: &Snapshot, round: u64) {
    let session = snapshot.session.id;
    match round % 8 {
        0 => _ = store.open(a_session(snapshot.session.user)).await.unwrap(),
        1 => drop(find(store, session).await.unwrap()),
        2 => drop(store.list(snapshot.session.user).await.unwrap()),
        3 => {
            let user = UserRepository::find(store, snapshot.session.user).await.unwrap();
            assert_eq!(user.map(|user| user.id), Some(snapshot.session.user), "no answer reaches another caller");
        }
        4 if round.is_multiple_of(24) => {
            store.end(an_end(SessionKey::Id(session), minutes(round))).await.unwrap();
        }
        5 if round.is_multiple_of(40) => {
            let (user, reason) = (snapshot.session.user, EndReason::SignedOutElsewhere);
            drop(store.end_all(EndAll { user, but: None, reason, at: minutes(round) }).await.unwrap());
        }
        _ => {
            let Some(now) = find(store, session).await.unwrap() else { return };
            store.rotate(rotation(&now, minutes(round))).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn callers_that_hang_up_leave_every_connection_clean_and_in_the_pool() {
    let Some(url) = database().await else { return };
    let store = Arc::new(connect(&url, POOL).await);
    let mut sessions = Vec::new();
    for _ in 0..40 {
        let user = a_user();
        store.add(user.clone()).await.unwrap();
        let new = a_session(user.id);
        store.open(new.clone()).await.unwrap();
        sessions.push(as_opened(&new));
    }
    let mut hung_up = 0;
    for round in 0..60_u64 {
        let tasks: Vec<_> = sessions
            .iter()
            .enumerate()
            .map(|(i, snapshot)| {
                let (store, snapshot) = (store.clone(), snapshot.clone());
                let number = round * 41 + i as u64;
                tokio::spawn(async move { one(&store, &snapshot, number).await })
            })
            .collect();
        for (i, task) in tasks.into_iter().enumerate() {
            if i % 5 == 0 {
                // Some before they have begun, so that on any machine enough do.
                if i % 10 == 0 {
                    tokio::task::yield_now().await;
                } else {
                    tokio::time::sleep(a_while() / 8).await;
                }
                task.abort();
                hung_up += u32::from(task.await.is_err());
            } else {
                task.await.unwrap();
            }
        }
    }
    assert!(hung_up > 50, "only {hung_up} hung up in time");

    let mut connection = look(&url).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let sql = "SELECT count(*) FILTER (WHERE state <> 'idle'), count(*) FROM pg_stat_activity \
               WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
    let (busy, all): (i64, i64) = sqlx::query_as(sql).fetch_one(&mut connection).await.unwrap();
    assert_eq!(busy, 0, "connections that are not idle");
    assert!(all <= i64::from(POOL), "{all} connections");

    // Every place in the pool still works, all at once, and everybody can still sign in and refresh.
    let tasks: Vec<_> = sessions
        .iter()
        .map(|snapshot| {
            let (store, user) = (store.clone(), snapshot.session.user);
            tokio::spawn(async move {
                let new = a_session(user);
                store.open(new.clone()).await.unwrap();
                rotate(&store, &as_opened(&new), minutes(1)).await;
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_write_that_was_sent_is_done_although_its_caller_went_away() {
    let Some(url) = database().await else { return };
    let store = connect(&url, POOL).await;
    let user = a_user();
    store.add(user.clone()).await.unwrap();
    for _ in 0..20 {
        let new = a_session(user.id);
        store.open(new.clone()).await.unwrap();
        let step = rotation(&as_opened(&new), minutes(1));
        let mut call = Box::pin(store.rotate(step.clone()));
        // Polled once: begun, and then forgotten.
        let first = std::future::poll_fn(|context| std::task::Poll::Ready(call.as_mut().poll(context))).await;
        drop(call);
        assert!(first.is_pending());
        let mut held = new.token.held;
        for _ in 0..100 {
            let now = find(&store, new.session.id).await.unwrap().unwrap();
            held = now.token.held;
            if held == step.to {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(held, step.to);
        assert_eq!(store.rotate(step).await.unwrap(), RotateOutcome::NotCurrent);
    }
}
