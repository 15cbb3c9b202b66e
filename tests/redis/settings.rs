//! Settings that would lose sessions.

use regrant_adapters::outbound::redis::{Ack, RedisAllowance, RedisOptions, RedisStore, StartError};
use regrant_domain::ports::{PortError, SessionRepository};

use super::connect;
use crate::contract::bench::{a_session, a_user_id};
use crate::support::servers::{is_wanted, redis::Servers};

async fn faults(options: &RedisOptions) -> Vec<String> {
    match RedisStore::connect(options).await {
        Ok(_) => Vec::new(),
        Err(StartError::Refused(faults)) => faults,
        Err(other) => panic!("{other:?}"),
    }
}

/// Refused with exactly these allowances named, and not refused with them.
async fn is_refused_unless(args: &[&str], named: &[(&str, RedisAllowance)]) {
    let servers = Servers::single(args);
    let mut options = RedisOptions::new(servers.url());
    let found = faults(&options).await;
    assert_eq!(found.len(), named.len(), "{found:#?}");
    for (setting, allowance) in named {
        assert!(found.iter().any(|f| f.contains(setting) && f.contains(allowance.name())), "{setting}: {found:#?}");
        options.allow.push(*allowance);
    }
    let store = connect(&options).await;
    for (setting, _) in named {
        assert!(store.warnings().iter().any(|w| w.contains(setting)), "{setting}: {:#?}", store.warnings());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_that_lose_sessions_are_refused_by_name_all_at_once_unless_allowed() {
    if !is_wanted("redis") {
        return;
    }
    let eviction = ("maxmemory-policy", RedisAllowance::Eviction);
    let persistence = ("appendonly", RedisAllowance::NoPersistence);
    is_refused_unless(&[], &[]).await;
    is_refused_unless(&["--appendonly", "no", "--save", "900 1"], &[]).await;
    is_refused_unless(&["--maxmemory-policy", "allkeys-lru"], &[eviction]).await;
    is_refused_unless(&["--appendonly", "no"], &[persistence]).await;
    is_refused_unless(&["--maxmemory-policy", "volatile-ttl", "--appendonly", "no"], &[eviction, persistence]).await;
    is_refused_unless(&["--appendfsync", "no"], &[("appendfsync", RedisAllowance::NoFsync)]).await;
    let unreadable = ("CONFIG", RedisAllowance::UnreadableSettings);
    is_refused_unless(&["--rename-command", "CONFIG", ""], &[unreadable]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flush_every_second_is_a_warning_and_one_at_every_write_is_none() {
    if !is_wanted("redis") {
        return;
    }
    let servers = Servers::single(&[]);
    let store = connect(&RedisOptions::new(servers.url())).await;
    assert!(store.warnings().iter().any(|warning| warning.contains("everysec")), "{:?}", store.warnings());
    servers.first().ask("CONFIG", &["SET", "appendfsync", "always"]).unwrap();
    let store = connect(&RedisOptions::new(servers.url())).await;
    assert_eq!(store.warnings(), [] as [&str; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_is_refused_unless_allowed_and_never_written_to() {
    if !is_wanted("redis") {
        return;
    }
    let master = Servers::single(&[]);
    let of = format!("127.0.0.1 {}", master.first().port());
    let replica = Servers::single(&["--replicaof", &of]);
    replica.first().wait_until(|info| info.contains("master_link_status:up"), "INFO", &["replication"]);
    let mut options = RedisOptions::new(replica.url());
    let found = faults(&options).await;
    assert!(found.len() == 1 && found[0].contains("role is slave"), "{found:#?}");
    options.allow.push(RedisAllowance::Replica);
    let store = connect(&options).await;
    let opened = store.open(a_session(a_user_id())).await;
    assert!(matches!(opened, Err(PortError::Unavailable { .. })), "{opened:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_master_of_a_cluster_is_checked() {
    if !is_wanted("redis_cluster") {
        return;
    }
    let servers = Servers::cluster(std::time::Duration::from_secs(10));
    let last = *servers.masters().last().unwrap();
    last.ask("CONFIG", &["SET", "maxmemory-policy", "allkeys-random"]).unwrap();
    let found = faults(&RedisOptions::new(servers.url())).await;
    assert!(found.len() == 1 && found[0].contains(&last.port().to_string()), "{found:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledgement_that_the_server_cannot_give_is_told_at_the_start() {
    if !is_wanted("redis") {
        return;
    }
    let servers = Servers::single(&[]);
    let one = RedisOptions { ack: Ack::Replicas(1), ..RedisOptions::new(servers.url()) };
    let store = connect(&one).await;
    assert!(store.warnings().iter().any(|w| w.contains("connected_slaves is 0")), "{:?}", store.warnings());
    let opened = store.open(a_session(a_user_id())).await;
    assert!(matches!(opened, Err(PortError::Unavailable { .. })), "{opened:?}");

    // What the disk acknowledges depends on the version of the server that is at hand.
    let disk = RedisOptions { ack: Ack::Aof { replicas: 0 }, ..RedisOptions::new(servers.url()) };
    match RedisStore::connect(&disk).await {
        Ok(store) => {
            store.open(a_session(a_user_id())).await.unwrap();
        }
        Err(StartError::Refused(found)) => assert!(found[0].contains("7.2"), "{found:?}"),
        Err(other) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn nobody_at_the_address_is_told_without_the_password() {
    for url in [
        "redis://:hunter2@127.0.0.1:1",
        "redis+cluster://:hunter2@127.0.0.1:1",
        "redis+sentinel://:hunter2@127.0.0.1:1/m",
    ] {
        let options = RedisOptions::new(url);
        let Err(error) = RedisStore::connect(&options).await else { panic!("{url}: somebody is there") };
        assert!(matches!(error, StartError::Unavailable(_)), "{error:?}");
        assert!(!format!("{error} {error:?} {options:?}").contains("hunter2"), "{error:?}");
    }
}
