//! Servers that are stopped, paused, killed, and replaced by others.

use std::time::{Duration, Instant};

use regrant_adapters::outbound::redis::{Ack, RedisOptions};
use regrant_domain::ports::{EndOutcome, PortError, SessionRepository};
use regrant_domain::reason::EndReason;

use super::{connect, open, refresh, until_available};
use crate::contract::bench::{by_id, by_lookup, minutes};
use crate::contract::ending::an_end;
use crate::support::servers::{is_wanted, redis::Servers};

/// How soon a store is available again after its servers are.
const RECOVERY: Duration = Duration::from_secs(5);
/// How long a failover may take, detection included.
const FAILOVER: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_paused_is_unavailable_in_bounded_time_and_then_back() {
    if !is_wanted("redis") {
        return;
    }
    let servers = Servers::single(&[]);
    let store = connect(&RedisOptions::new(servers.url())).await;
    let new = open(&store).await;
    servers.first().pause();
    let asked = Instant::now();
    let (a, b) = tokio::join!(refresh(&store, &new), store.end(an_end(by_id(&new), EndReason::SignedOut, minutes(2))));
    assert!(matches!(a, Err(PortError::Unavailable { .. })), "{a:?}");
    assert!(matches!(b, Err(PortError::Unavailable { .. })), "{b:?}");
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    servers.first().resume();
    let begun = Instant::now();
    while store.find(&by_lookup(&new)).await.is_err() {
        assert!(begun.elapsed() < RECOVERY);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_and_started_again_has_everything_and_is_used_at_once() {
    if !is_wanted("redis") {
        return;
    }
    // With everysec, a write waits in the memory of the server while an earlier flush is slow, and goes with it.
    let servers = Servers::single(&["--appendfsync", "always"]);
    let store = connect(&RedisOptions::new(servers.url())).await;
    let new = open(&store).await;
    for _ in 0..3 {
        let before = refresh(&store, &new).await.unwrap();
        servers.kill(servers.first());
        let asked = Instant::now();
        assert!(matches!(refresh(&store, &new).await, Err(PortError::Unavailable { .. })));
        assert!(asked.elapsed() < Duration::from_secs(5));
        servers.restart(servers.first());
        let begun = Instant::now();
        loop {
            if let Ok(found) = store.find(&by_lookup(&new)).await {
                assert_eq!(found, before, "what was acknowledged is there");
                break;
            }
            assert!(begun.elapsed() < RECOVERY);
        }
        until_available(&store, &new, RECOVERY).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_sentinels_replace_is_left_for_the_new_one_without_a_new_client() {
    if !is_wanted("redis_sentinel") {
        return;
    }
    let servers = Servers::sentinel(Duration::from_secs(1));
    let acked = RedisOptions { ack: Ack::Replicas(1), ..RedisOptions::new(servers.url()) };
    let store = connect(&acked).await;
    let (live, over) = (open(&store).await, open(&store).await);
    let before = refresh(&store, &live).await.unwrap();
    store.end(an_end(by_id(&over), EndReason::SignedOut, minutes(2))).await.unwrap();

    let old = servers.masters()[0];
    servers.kill(old);
    let begun = Instant::now();
    let found = loop {
        match store.find(&by_lookup(&live)).await {
            Ok(found) => break found,
            Err(error) => assert!(begun.elapsed() < FAILOVER, "{error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(found, before, "what replicas acknowledged is there");
    let took = begun.elapsed() + until_available(&store, &live, FAILOVER).await;
    println!("failover by Sentinels: {took:?}");
    let again = store.end(an_end(by_id(&over), EndReason::UserDeleted, minutes(3))).await.unwrap();
    assert_eq!(again, EndOutcome::AlreadyEnded);

    // The old master comes back as a replica, and nobody writes to it.
    servers.restart(old);
    old.wait_until(|info| info.contains("role:slave"), "INFO", &["replication"]);
    until_available(&store, &live, RECOVERY).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_of_a_cluster_that_is_replaced_is_left_for_the_new_one_without_a_new_client() {
    if !is_wanted("redis_cluster") {
        return;
    }
    let servers = Servers::cluster(Duration::from_secs(1));
    let store = connect(&RedisOptions::new(servers.url())).await;
    let acked = connect(&RedisOptions { ack: Ack::Replicas(1), ..RedisOptions::new(servers.url()) }).await;
    let mut sessions = Vec::new();
    for _ in 0..24 {
        let new = open(&acked).await;
        let before = refresh(&acked, &new).await.unwrap();
        sessions.push((new, before));
    }

    let old = servers.masters()[0];
    servers.kill(old);
    let begun = Instant::now();
    for (new, before) in &sessions {
        let found = loop {
            match store.find(&by_lookup(new)).await {
                Ok(found) => break found,
                Err(error) => assert!(begun.elapsed() < FAILOVER, "{error:?}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        assert_eq!(&found, before, "what a replica acknowledged is there");
    }
    for (new, _) in &sessions {
        until_available(&store, new, FAILOVER).await;
    }
    println!("failover in a Cluster: {:?}", begun.elapsed());

    // A master without a replica cannot have its writes acknowledged by one: that is told, until it has one again.
    servers.restart(old);
    old.wait_until(|info| info.contains("master_link_status:up"), "INFO", &["replication"]);
    for (new, _) in &sessions {
        until_available(&acked, new, FAILOVER).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_of_a_cluster_that_is_paused_holds_up_its_own_sessions_only() {
    if !is_wanted("redis_cluster") {
        return;
    }
    let servers = Servers::cluster(Duration::from_mins(1));
    let store = connect(&RedisOptions::new(servers.url())).await;
    let mut sessions = Vec::new();
    for _ in 0..24 {
        sessions.push(open(&store).await);
    }
    let paused = servers.masters()[0];
    paused.pause();
    let (mut served, mut held_up) = (0, 0);
    for new in &sessions {
        let asked = Instant::now();
        match store.find(&by_lookup(new)).await {
            Ok(found) => {
                assert!(found.is_some());
                served += 1;
            }
            Err(PortError::Unavailable { .. }) => held_up += 1,
            Err(other) => panic!("{other:?}"),
        }
        assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    }
    println!("of a Cluster with a paused master, {served} were served and {held_up} held up");
    paused.resume();
    for new in &sessions {
        until_available(&store, new, RECOVERY).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_too_few_replicas_acknowledge_is_not_acknowledged() {
    if !is_wanted("redis_sentinel") {
        return;
    }
    let servers = Servers::sentinel(Duration::from_secs(30));
    let store = connect(&RedisOptions { ack: Ack::Replicas(2), ..RedisOptions::new(servers.url()) }).await;
    let new = open(&store).await;
    let replica = servers.nodes().iter().find(|node| node.port() != servers.masters()[0].port()).unwrap();
    replica.pause();
    let asked = Instant::now();
    let end = an_end(by_id(&new), EndReason::SignedOut, minutes(2));
    let answer = store.end(end.clone()).await;
    assert!(matches!(answer, Err(PortError::Unavailable { .. })), "{answer:?}");
    assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
    // Asked again, it has ended before; that is not said either until it is safe.
    let answer = store.end(end.clone()).await;
    assert!(matches!(answer, Err(PortError::Unavailable { .. })), "{answer:?}");
    replica.resume();
    assert_eq!(store.end(end).await.unwrap(), EndOutcome::AlreadyEnded);
}
