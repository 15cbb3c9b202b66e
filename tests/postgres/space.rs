//! A refresh changes one row in place, and a session takes the same room however often it is refreshed.

use std::time::Duration;

use regrant_adapters::outbound::postgres::PostgresStore;
use regrant_domain::ports::{SessionRepository as _, UserRepository as _};
use regrant_domain::session::{Device, Snapshot};
use sqlx::{Executor as _, PgConnection, Row as _};

use super::{connect, database, look, rotate};
use crate::contract::bench::{a_session, a_user, as_opened, minutes};

/// Sessions of `users` users, `each` per user.
async fn sessions(store: &PostgresStore, users: usize, each: usize) -> Vec<Snapshot> {
    let mut all = Vec::new();
    for _ in 0..users {
        let user = a_user();
        store.add(user.clone()).await.unwrap();
        for _ in 0..each {
            let mut new = a_session(user.id);
            new.session.device = Device {
                label: None,
                user_agent: Some("curl/8.5.0".into()),
                ip: Some("203.0.113.7".into()),
            };
            store.open(new.clone()).await.unwrap();
            all.push(as_opened(&new));
        }
    }
    all
}

async fn bytes(connection: &mut PgConnection) -> i64 {
    let sql = "SELECT (pg_total_relation_size('sessions') + pg_total_relation_size('refresh_tokens'))::bigint";
    sqlx::query_scalar(sql).fetch_one(connection).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refreshes_are_updates_in_place_and_touch_no_other_table() {
    let Some(url) = database().await else { return };
    let store = connect(&url, 4).await;
    let mut all = sessions(&store, 100, 3).await;
    for round in 1..=10 {
        for snapshot in &mut all {
            *snapshot = rotate(&store, snapshot, minutes(round)).await;
        }
    }
    store.close().await;
    let mut connection = look(&url).await;
    // Statistics are reported when a connection closes.
    let mut counts = (0, 0, 0);
    for _ in 0..50 {
        let sql = "SELECT n_tup_upd, n_tup_hot_upd, (SELECT n_tup_upd FROM pg_stat_user_tables WHERE relname = 'sessions') \
                   FROM pg_stat_user_tables WHERE relname = 'refresh_tokens'";
        let row = sqlx::query(sql).fetch_one(&mut connection).await.unwrap();
        counts = (row.get::<i64, _>(0), row.get::<i64, _>(1), row.get::<i64, _>(2));
        if counts.0 >= 3_000 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let (updates, in_place, of_sessions) = counts;
    assert_eq!((updates, of_sessions), (3_000, 0));
    assert!(in_place * 100 >= updates * 95, "{in_place} of {updates} updates were in place");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_takes_no_more_room_after_forty_refreshes_than_after_ten() {
    let Some(url) = database().await else { return };
    let store = connect(&url, 4).await;
    let mut connection = look(&url).await;
    let mut all = sessions(&store, 100, 5).await;
    let mut sizes = Vec::new();
    for round in 1..=40 {
        for snapshot in &mut all {
            *snapshot = rotate(&store, snapshot, minutes(round)).await;
        }
        if round % 10 == 0 {
            connection.execute("VACUUM refresh_tokens").await.unwrap();
            sizes.push(bytes(&mut connection).await);
        }
    }
    assert!(sizes.iter().all(|size| *size <= sizes[0]), "{sizes:?}");
}

/// The figure that the documentation gives. Takes a minute: `cargo test -- --ignored bytes_per_session`.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "a measurement"]
async fn bytes_per_session() {
    let Some(url) = database().await else { return };
    let store = connect(&url, 8).await;
    let workers: Vec<_> = (0..8)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut all = sessions(&store, 4_200, 3).await;
                for round in 1..=10 {
                    for snapshot in &mut all {
                        *snapshot = rotate(&store, snapshot, minutes(round)).await;
                    }
                }
                all.len()
            })
        })
        .collect();
    let mut count = 0;
    for worker in workers {
        count += worker.await.unwrap();
    }
    let mut connection = look(&url).await;
    let bytes = bytes(&mut connection).await / i64::try_from(count).unwrap();
    let sql = "SELECT relname::text, pg_relation_size(oid)::bigint FROM pg_class \
               WHERE relname ~ '^(sessions|refresh_tokens)' ORDER BY 1";
    let parts: Vec<(String, i64)> = sqlx::query_as(sql).fetch_all(&mut connection).await.unwrap();
    let hot: (i64, i64) =
        sqlx::query_as("SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'refresh_tokens'")
            .fetch_one(&mut connection)
            .await
            .unwrap();
    let told = format!("{count} sessions, {bytes} bytes each; {parts:?}; updates, in place: {hot:?}");
    assert!(bytes <= 600, "{told}");
    panic!("not a failure, the measurement: {told}");
}
