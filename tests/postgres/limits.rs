//! Buckets in Postgres: what is forgotten, and what a take costs.

use std::time::Duration;

use regrant_domain::limit::{BucketKey, Limit, Rate, Take};
use regrant_domain::ports::{RateLimiter as _, Taken};
use sqlx::PgConnection;

use super::{connect, database, look};
use crate::contract::bench::{OPENED, after};

fn take(subject: &str, within: Duration) -> Take {
    let key = BucketKey::of(Limit::SignInByAddress, &[subject]);
    Take { key, rate: Rate::new(10, within).unwrap(), cost: 10, now: OPENED }
}

async fn kept(connection: &mut PgConnection) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM rate_limits").fetch_one(connection).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn buckets_that_are_full_again_are_forgotten_and_others_are_not() {
    let Some(url) = database().await else { return };
    let (store, mut connection) = (connect(&url, 2).await, look(&url).await);
    for subject in 0..50 {
        store.take(take(&subject.to_string(), Duration::from_secs(90))).await.unwrap();
    }
    let slow = take("slow", Duration::from_hours(1));
    store.take(slow).await.unwrap();
    assert_eq!(kept(&mut connection).await, 51);
    // The next take a minute after they are full tidies up, beside its own work.
    let later = Take { now: after(Duration::from_mins(3)), ..take("later", Duration::from_hours(1)) };
    store.take(later).await.unwrap();
    let mut left = 0;
    for _ in 0..500 {
        left = kept(&mut connection).await;
        if left == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(left, 2);
    let slow = Take { now: after(Duration::from_mins(3)), ..slow };
    assert!(matches!(store.take(slow).await.unwrap(), Taken::Refused { .. }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_table_is_not_written_to_the_log_of_the_server_and_that_is_no_fault() {
    let Some(url) = database().await else { return };
    connect(&url, 2).await.close().await;
    let mut connection = look(&url).await;
    let persistence = "SELECT relpersistence::text FROM pg_class WHERE relname = 'rate_limits'";
    let found: String = sqlx::query_scalar(persistence).fetch_one(&mut connection).await.unwrap();
    assert_eq!(found, "u");
    // Neither is it one for a second start.
    connect(&url, 2).await.close().await;
}
