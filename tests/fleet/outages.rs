//! Stores that go away under clients which keep the contract, and come back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use regrant_adapters::outbound::postgres::PostgresOptions;
use regrant_adapters::outbound::redis::RedisOptions;
use tokio::task::block_in_place;

use super::setups::{Deployment, in_memory, postgres};
use super::{Fleet, Store, crowd, tell};
use crate::contract::bench::a_user_id;
use crate::support::actors::Device;
use crate::support::servers::postgres::Postgres;
use crate::support::servers::redis::Servers;
use crate::support::transport::{Answer, Call};

const CLIENTS: usize = 16;
/// How long a client waits between two refreshes, and before it asks again.
const PAUSE: Duration = Duration::from_millis(50);
/// How long a statement may take here, so that a silent server is noticed soon.
const STATEMENT: Duration = Duration::from_millis(1_500);
/// Longer than any answer may take.
const AWAY: Duration = Duration::from_secs(6);
/// How soon everybody is served again.
const RECOVERY: Duration = Duration::from_secs(5);
/// So long that no replica takes over.
const NO_FAILOVER: Duration = Duration::from_mins(5);

/// Servers of this test's own.
enum Own {
    Postgres(Postgres),
    Redis(Servers),
}

impl Own {
    fn start(store: Store) -> Self {
        match store {
            Store::Postgres => Self::Postgres(Postgres::start()),
            Store::Redis => Self::Redis(Servers::single(&[])),
            Store::RedisCluster => Self::Redis(Servers::cluster(NO_FAILOVER)),
            Store::RedisSentinel => Self::Redis(Servers::sentinel(NO_FAILOVER)),
            Store::Memory | Store::Sqlite => unreachable!("there is no server"),
        }
    }

    async fn deploy(&self) -> Deployment {
        match self {
            Self::Postgres(server) => {
                let options = PostgresOptions::new(server.url("postgres"));
                postgres(PostgresOptions { max_connections: 8, statement_timeout: STATEMENT, ..options }).await
            }
            Self::Redis(servers) => in_memory(RedisOptions::new(servers.url().to_owned())).await,
        }
    }

    /// Falls silent for a while.
    async fn is_silent(&self) {
        match self {
            Self::Postgres(server) => {
                server.pause();
                tokio::time::sleep(AWAY).await;
                server.unpause();
            }
            Self::Redis(servers) => {
                let masters = servers.masters();
                for node in &masters {
                    node.pause();
                }
                tokio::time::sleep(AWAY).await;
                for node in &masters {
                    node.resume();
                }
            }
        }
    }

    /// Stops, and starts again after a while.
    async fn is_restarted(&self) {
        match self {
            Self::Postgres(server) => {
                server.stop();
                tokio::time::sleep(AWAY).await;
                server.resume_from_stop();
            }
            Self::Redis(servers) => {
                let masters = servers.masters();
                for node in &masters {
                    servers.kill(node);
                }
                tokio::time::sleep(AWAY).await;
                for node in &masters {
                    servers.restart(node);
                }
                // A Cluster is away until its masters have found each other.
                if masters.len() > 1 {
                    let whole = |info: &str| info.contains("cluster_state:ok");
                    for node in servers.nodes() {
                        node.wait_until(whole, "CLUSTER", &["INFO"]);
                    }
                }
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Outage {
    Silent,
    Restarted,
}

pub(super) async fn a_store_that_falls_silent_signs_nobody_out(store: Store) {
    outage(store, Outage::Silent).await;
}

pub(super) async fn a_store_that_is_restarted_signs_nobody_out(store: Store) {
    outage(store, Outage::Restarted).await;
}

/// What a client heard: when it asked, when it had the answer, and whether it was one.
struct Heard {
    asked: Instant,
    answered: Instant,
    served: bool,
}

async fn outage(store: Store, outage: Outage) {
    let own = block_in_place(|| Own::start(store));
    let fleet = Fleet::of(own.deploy().await).await;
    let ada = fleet.somebody().await;
    let stop = Arc::new(AtomicBool::new(false));
    let clients = tokio::spawn({
        let (fleet, stop) = (fleet.clone(), stop.clone());
        async move {
            crowd(CLIENTS, CLIENTS, |at| {
                let (fleet, ada, stop) = (fleet.clone(), ada.clone(), stop.clone());
                async move {
                    let device = ada.at(fleet.turn(at)).signs_in().await;
                    client(device, &stop).await
                }
            })
            .await
        }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let gone = Instant::now();
    let not_ready = async {
        tokio::time::sleep(AWAY / 4).await;
        crowd(fleet.instances().len(), 2, |at| {
            let transport = fleet.turn(at).clone();
            async move {
                is_unavailable(&transport.send(Call::get("/readyz")).await);
                transport.send(Call::get("/healthz")).await.is(200);
            }
        })
        .await;
    };
    // Servers are waited for, so that has a thread of its own.
    let (returned, ()) = tokio::join!(
        async {
            let own = tokio::spawn(async move {
                match outage {
                    Outage::Silent => own.is_silent().await,
                    Outage::Restarted => own.is_restarted().await,
                }
                (own, Instant::now())
            });
            own.await.unwrap()
        },
        not_ready
    );
    let (_own, returned) = returned;
    tokio::time::sleep_until((returned + RECOVERY).into()).await;
    stop.store(true, Ordering::Relaxed);
    let (mut answers, mut away, mut slowest, mut recovery) = (0, 0, Duration::ZERO, Duration::ZERO);
    for heard in clients.await.unwrap() {
        answers += heard.len();
        away += heard.iter().filter(|heard| !heard.served).count();
        assert!(heard.iter().any(|heard| heard.served && heard.answered < gone), "it was served before");
        let first = heard.iter().find(|heard| heard.served && heard.answered > returned).expect("served again");
        recovery = recovery.max(first.answered - returned);
        let last_failure = heard.iter().rfind(|heard| !heard.served).map_or(gone, |heard| heard.answered);
        recovery = recovery.max(last_failure.saturating_duration_since(returned));
        slowest = heard.iter().map(|heard| heard.answered - heard.asked).max().unwrap().max(slowest);
    }
    assert!(away > 0, "nobody noticed");
    assert!(recovery < RECOVERY, "everybody was served again only after {recovery:?}");
    assert!(slowest < Duration::from_secs(8), "an answer took {slowest:?}");
    let figures = format!(
        "{answers} answers to {CLIENTS} clients, {away} of them 503, the slowest after {slowest:.1?}; everybody was \
         served again {recovery:.1?} after the store's return;"
    );
    tell(store, gone, &figures);
}

#[track_caller]
fn is_unavailable(answer: &Answer) {
    assert!(answer.is_problem(503, "unavailable").header("retry-after").is_some());
}

/// Refreshes all the time with a key for each token, asks again with the same where it was not served, and never hears
/// that it is signed out.
async fn client(mut device: Device, stop: &AtomicBool) -> Vec<Heard> {
    let mut heard = Vec::new();
    let mut key = a_user_id().to_string();
    loop {
        let asked = Instant::now();
        let answer = device.presents_with_key(&device.refresh, &key).await.0;
        let served = answer.status == 200;
        heard.push(Heard { asked, answered: Instant::now(), served });
        if served {
            device.takes(&answer);
            key = a_user_id().to_string();
            let me = device.asks(Call::get("/api/me")).await;
            if me.status != 200 {
                is_unavailable(&me);
            }
            if stop.load(Ordering::Relaxed) {
                break;
            }
        } else {
            is_unavailable(&answer);
        }
        tokio::time::sleep(PAUSE).await;
    }
    device.refreshes().await.is_granted();
    device.is_signed_in().await;
    heard
}
