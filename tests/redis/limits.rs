//! Buckets in Redis: the server forgets each when it has been full again for a while.

use std::time::Duration;

use regrant_adapters::outbound::redis::RedisOptions;
use regrant_domain::limit::{BucketKey, Limit, Rate, Take};
use regrant_domain::ports::RateLimiter as _;

use super::{connect, keys::keys};
use crate::contract::bench::OPENED;
use crate::support::servers::{is_wanted, redis::Servers};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_goes_a_minute_after_it_is_full_again_and_its_key_names_nobody() {
    if !is_wanted("redis") {
        return;
    }
    let servers = Servers::single(&[]);
    let store = connect(&RedisOptions::new(servers.url())).await;
    let mut connection = servers.first().connect().unwrap();
    let key = BucketKey::of(Limit::PasswordByAccount, &["ada@example.org"]);
    let take = Take { key, rate: Rate::new(10, Duration::from_hours(1)).unwrap(), cost: 5, now: OPENED };
    store.take(take).await.unwrap();
    let found = keys(&mut connection);
    let [name] = found.as_slice() else { panic!("{found:?}") };
    assert!(name.starts_with("rg:l:{") && !name.contains("ada"), "{name}");
    let left: u64 = ::redis::cmd("PTTL").arg(name).query(&mut connection).unwrap();
    assert!((1_760_000..=1_860_000).contains(&left), "{left}");
    store.give_back(take).await.unwrap();
    assert_eq!(keys(&mut connection), [""; 0]);
    // A refused take keeps it no longer.
    let all = Take { cost: 10, rate: Rate::new(10, Duration::from_secs(1)).unwrap(), ..take };
    store.take(all).await.unwrap();
    store.take(all).await.unwrap();
    let left: u64 = ::redis::cmd("PTTL").arg(&keys(&mut connection)[0]).query(&mut connection).unwrap();
    assert!(left <= 61_000, "{left}");
}
