//! Two processes of the built program on one store, each with a home of its own; what they share is the store and the
//! folder of the keys.

use std::collections::HashSet;
use std::time::Instant;

use tempfile::TempDir;
use tokio::task::block_in_place;

use super::{Store, crowd, tell};
use crate::contract::bench::random;
use crate::service::{PASSWORD, Service, Start};
use crate::support::actors::{Device, Person};
use crate::support::servers;
use crate::support::transport::Transport;

const AT_ONCE: usize = 64;
const SESSIONS: usize = 5;

/// What tells a process where the store is, and what it shares beside it.
async fn start(store: Store, shared: &TempDir) -> Start {
    let keys = shared.path().join("keys");
    let start = Start::default().with("REGRANT__KEYS__DIR", keys.to_str().unwrap());
    let url = match store {
        Store::Postgres => {
            let start = start.with("REGRANT__STORE__KIND", "postgres");
            return start.with("REGRANT__STORE__URL", &servers::postgres::fresh_database().await);
        }
        Store::Redis => servers::redis::single(),
        Store::RedisCluster => servers::redis::cluster(),
        Store::RedisSentinel => servers::redis::sentinel(),
        Store::Memory | Store::Sqlite => unreachable!("one process keeps it to itself"),
    };
    let users = format!("sqlite:{}", shared.path().join("users.db").display());
    start
        .with("REGRANT__STORE__KIND", "redis")
        .with("REGRANT__STORE__URL", &url)
        .with("REGRANT__STORE__PREFIX", &format!("{}:", hex::encode(random::<4>())))
        .with("REGRANT__USERS__KIND", "sqlite")
        .with("REGRANT__USERS__URL", &users)
}

fn transport(service: &Service) -> Transport {
    Transport::Network { base: service.base.clone(), client: service.http.clone() }
}

pub(super) async fn two_processes_are_one_service(store: Store) {
    let homes = [(); 3].map(|()| TempDir::new().unwrap());
    let start = start(store, &homes[2]).await;
    // The first one makes the tables and the keys.
    let mut services = block_in_place(|| [&homes[0], &homes[1]].map(|home| Service::start(home, &start)));
    let [first, second] = [0, 1].map(|at| transport(&services[at]));
    let begun = Instant::now();
    services[0].signs_up("ada@example.org").await;
    let ada = Person::known(&first, "ada@example.org", PASSWORD);
    for _ in 0..SESSIONS {
        one_session(&ada.signs_in().await, &first, &second).await;
    }

    // One is killed; nobody who turns to the other notices.
    let mut phone = ada.signs_in().await;
    phone.refreshes().await.is_granted();
    block_in_place(|| services[0].dies());
    phone = phone.at(&second);
    phone.is_signed_in().await;
    phone.refreshes().await.is_granted();
    ada.at(&second).signs_in().await.is_signed_in().await;
    tell(store, begun, &format!("{AT_ONCE} refreshes of one token over two processes, {SESSIONS} sessions"));
}

async fn one_session(device: &Device, first: &Transport, second: &Transport) {
    let successors = crowd(AT_ONCE, AT_ONCE, |at| {
        let device = device.at([first, second][at % 2]);
        async move { device.presents(&device.refresh).await.is_granted() }
    })
    .await;
    let successors: Vec<_> = successors.into_iter().collect::<HashSet<_>>().into_iter().collect();
    let [successor] = &successors[..] else { panic!("{} successors", successors.len()) };
    device.at(second).is_signed_in().await;
    // An end that one acknowledged is seen by the other at once.
    device.at(second).revokes().await.is(204);
    device.at(first).presents(successor).await.is_refused("signed_out");
    device.at(first).is_signed_out("signed_out").await;
}
