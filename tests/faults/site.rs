//! The set-ups: processes of the service, a store of their own, and a proxy before each server of the store.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::task::block_in_place;

use super::process::{Process, limit_files};
use super::proxy::{Proxy, Wire};
use crate::support::servers;
use crate::support::servers::postgres::Postgres;
use crate::support::servers::redis::{Doors, Servers};

/// So long that no replica takes over: what happens when one does is measured, not asserted (see `losses`).
pub(super) const NO_FAILOVER: Duration = Duration::from_mins(10);
/// Each acknowledged write of a Redis that is killed is to be there afterwards.
const DURABLE: [&str; 2] = ["--appendfsync", "always"];
/// By how much the clock of the second process is ahead.
const AHEAD: &str = "+10m";

/// A set-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Setup {
    Sqlite,
    Postgres,
    Redis,
    RedisCluster,
    RedisSentinel,
}

impl Setup {
    /// As it is named elsewhere.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
            Self::Redis => "redis",
            Self::RedisCluster => "redis_cluster",
            Self::RedisSentinel => "redis_sentinel",
        }
    }

    /// Whether it is not left out.
    pub(super) fn is_wanted(self) -> bool {
        servers::is_wanted(self.name())
    }
}

/// The servers of a set-up.
pub(super) enum Own {
    Nothing,
    Postgres(Postgres),
    Redis(Servers),
}

/// A set-up that runs.
pub(super) struct Site {
    pub(super) setup: Setup,
    pub(super) services: Vec<Process>,
    pub(super) proxies: Vec<Arc<Proxy>>,
    pub(super) own: Own,
    shared: TempDir,
}

/// How a set-up is to be.
#[derive(Debug, Clone)]
pub(super) struct Wishes {
    /// After which silence of a master a replica takes over.
    pub(super) silence: Duration,
    /// Settings of the service, as variables of the environment.
    pub(super) settings: Vec<(&'static str, String)>,
    /// Whether the second process is on a machine whose clock is ahead, and has a pool of two.
    pub(super) differ: bool,
}

impl Wishes {
    /// As it comes.
    pub(super) fn new() -> Self {
        Self { silence: NO_FAILOVER, settings: Vec::new(), differ: false }
    }

    /// With a setting more.
    pub(super) fn with(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.settings.push((key, value.into()));
        self
    }
}

impl Site {
    /// Starts it. (For a runtime with several threads: servers are waited for.)
    pub(super) async fn start(setup: Setup, wishes: &Wishes) -> Self {
        let mut proxies = Vec::new();
        for _ in 0..setup.servers() {
            proxies.push(Proxy::open().await);
        }
        block_in_place(|| {
            let (own, url) = setup.serve(&proxies, wishes.silence);
            let shared = TempDir::new().unwrap();
            let settings = setup.settings(&url, shared.path());
            let settings = settings.into_iter().chain(wishes.settings.clone());
            let settings: Vec<(String, String)> = settings.map(|(key, value)| (key.to_owned(), value)).collect();
            let mut services = vec![Process::start(settings.clone())];
            if setup != Setup::Sqlite {
                let other = if wishes.differ { on_another_machine() } else { Vec::new() };
                services.push(Process::start([settings, other].concat()));
            }
            Self { setup, services, proxies, own, shared }
        })
    }

    /// From now on, every wire is this.
    pub(super) fn wires_become(&self, wire: Wire, eighths: u64) {
        for proxy in &self.proxies {
            proxy.becomes(wire, eighths);
        }
    }

    /// The disk is full, or no longer so: for Redis, which keeps all in memory, its memory is.
    pub(super) fn is_full(&self, full: bool) {
        match &self.own {
            // The first pages of a file can still be written, so that not everything fails.
            Own::Nothing => self.services[0].limits_files(full.then_some(64 * 1024)),
            Own::Postgres(server) => {
                for pid in server.pids().iter().skip(1) {
                    limit_files(pid, full.then_some(1024 * 1024));
                }
            }
            Own::Redis(servers) => {
                for node in servers.masters() {
                    let limit = if full { "1" } else { "0" };
                    node.ask("CONFIG", &["SET", "maxmemory", limit]).expect("a master answers");
                }
            }
        }
    }

    /// The store is killed, and started again after a while: any of its masters, by this number.
    pub(super) fn store_dies(&self, which: usize, away: Duration) {
        match &self.own {
            Own::Nothing => unreachable!("the store is in the process"),
            Own::Postgres(server) => {
                server.kill();
                std::thread::sleep(away);
                server.resume_from_stop();
            }
            Own::Redis(servers) => {
                let masters = servers.masters();
                let node = masters[which % masters.len()];
                servers.kill(node);
                std::thread::sleep(away);
                servers.restart(node);
                self.is_whole();
            }
        }
    }

    /// The store is stopped in the middle of whatever it does, and goes on after a while.
    pub(super) fn store_stops(&self, which: usize, away: Duration) {
        match &self.own {
            Own::Nothing => unreachable!("the store is in the process"),
            Own::Postgres(server) => {
                server.pause();
                std::thread::sleep(away);
                server.unpause();
            }
            Own::Redis(servers) => {
                let masters = servers.masters();
                let node = masters[which % masters.len()];
                node.pause();
                std::thread::sleep(away);
                node.resume();
            }
        }
    }

    /// Waits until every node of a Cluster has found the others.
    pub(super) fn is_whole(&self) {
        if let (Own::Redis(servers), Setup::RedisCluster) = (&self.own, self.setup) {
            for node in servers.nodes() {
                node.wait_until(|info| info.contains("cluster_state:ok"), "CLUSTER", &["INFO"]);
            }
        }
    }

    /// The folders in which anything of this set-up is kept.
    pub(super) fn folders(&self) -> Vec<std::path::PathBuf> {
        let mut folders: Vec<_> = self.services.iter().map(|service| service.home().to_owned()).collect();
        folders.push(self.shared.path().to_owned());
        match &self.own {
            Own::Nothing => {}
            Own::Postgres(server) => {
                // Tables, what was written ahead, and the log.
                folders.extend(["base", "pg_wal", "../log"].map(|name| server.data().join(name)));
            }
            Own::Redis(servers) => folders.push(servers.folder()),
        }
        folders
    }
}

impl Setup {
    fn servers(self) -> usize {
        match self {
            Self::Sqlite => 0,
            Self::Postgres | Self::Redis => 1,
            Self::RedisCluster => 6,
            Self::RedisSentinel => 3,
        }
    }

    /// Starts the servers behind their proxies; answers the address for the store as well.
    fn serve(self, proxies: &[Arc<Proxy>], silence: Duration) -> (Own, String) {
        let ports = proxies.iter().map(|proxy| proxy.port()).collect();
        let open = |at: usize, port| proxies[at].leads_to(port);
        let doors = Doors { ports, open: &open };
        match self {
            Self::Sqlite => (Own::Nothing, String::new()),
            Self::Postgres => {
                let server = Postgres::start();
                open(0, server.port());
                let url = format!("postgres://regrant@127.0.0.1:{}/postgres?sslmode=disable", proxies[0].port());
                (Own::Postgres(server), url)
            }
            Self::Redis => {
                let servers = Servers::single(&DURABLE);
                open(0, servers.first().port());
                (Own::Redis(servers), format!("redis://127.0.0.1:{}", proxies[0].port()))
            }
            Self::RedisCluster => redis(Servers::cluster_behind(silence, Some(&doors), &DURABLE)),
            Self::RedisSentinel => redis(Servers::sentinel_behind(silence, Some(&doors), &DURABLE)),
        }
    }

    /// What tells a process where the store is, and what it shares with the other one.
    fn settings(self, url: &str, shared: &Path) -> Vec<(&'static str, String)> {
        let mut settings = vec![("REGRANT__KEYS__DIR", shared.join("keys").display().to_string())];
        let users = format!("sqlite:{}", shared.join("users.db").display());
        settings.extend(match self {
            Self::Sqlite => Vec::new(),
            Self::Postgres => {
                vec![("REGRANT__STORE__KIND", "postgres".to_owned()), ("REGRANT__STORE__URL", url.to_owned())]
            }
            Self::Redis | Self::RedisCluster | Self::RedisSentinel => vec![
                ("REGRANT__STORE__KIND", "redis".to_owned()),
                ("REGRANT__STORE__URL", url.to_owned()),
                ("REGRANT__USERS__KIND", "sqlite".to_owned()),
                ("REGRANT__USERS__URL", users),
            ],
        });
        settings
    }
}

fn redis(servers: Servers) -> (Own, String) {
    let url = servers.url().to_owned();
    (Own::Redis(servers), url)
}

/// What makes a process believe that it is ten minutes later, while its timers run as they do; and a pool of two.
fn on_another_machine() -> Vec<(String, String)> {
    let usual = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib", "/usr/local/lib"];
    let library = usual.map(|folder| Path::new(folder).join("faketime/libfaketime.so.1"));
    let library = library.into_iter().find(|file| file.is_file()).expect("libfaketime is there: tests/run installs it");
    let variables = [
        ("LD_PRELOAD", library.to_str().unwrap()),
        ("FAKETIME", AHEAD),
        ("DONT_FAKE_MONOTONIC", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("FAKETIME_DISABLE_SHM", "1"),
        ("NO_FAKE_STAT", "1"),
        ("REGRANT__STORE__MAX_CONNECTIONS", "2"),
    ];
    variables.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec()
}
