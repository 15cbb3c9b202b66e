//! The six set-ups, each with the handles of its instances.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use regrant_adapters::outbound::memory::MemoryStore;
use regrant_adapters::outbound::postgres::{PostgresOptions, PostgresStore};
use regrant_adapters::outbound::redis::{RedisOptions, RedisStore};
use regrant_adapters::outbound::sqlite::SqliteStore;
use regrant_adapters::outbound::system::system_now;
use regrant_domain::ports::{HistoryRepository, PortError, SessionRepository, UserRepository};
use regrant_domain::time::Timestamp;

use crate::contract::bench::random;
use crate::support::servers;

/// Connections of each instance, if nothing else is said.
const POOL: u32 = 8;

/// A set-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Store {
    Memory,
    Sqlite,
    Postgres,
    Redis,
    RedisCluster,
    RedisSentinel,
}

/// What one instance has of the store.
pub(super) struct Handle {
    pub(super) sessions: Arc<dyn SessionRepository>,
    pub(super) users: Arc<dyn UserRepository>,
    pub(super) history: Arc<dyn HistoryRepository>,
    pub(super) time: Arc<dyn StoreTime>,
}

/// A store, with a handle for each instance.
pub(super) struct Deployment {
    pub(super) handles: Vec<Handle>,
    /// The database of its own, where it is one of Postgres.
    pub(super) database: Option<String>,
    /// What must live as long as the instances.
    pub(super) keep: Box<dyn Any + Send + Sync>,
}

/// What the store's own clock says.
#[async_trait]
pub(super) trait StoreTime: Send + Sync {
    async fn store_now(&self) -> Result<Timestamp, PortError>;
}

#[async_trait]
impl StoreTime for PostgresStore {
    async fn store_now(&self) -> Result<Timestamp, PortError> {
        Self::store_now(self).await
    }
}

#[async_trait]
impl StoreTime for RedisStore {
    async fn store_now(&self) -> Result<Timestamp, PortError> {
        Self::store_now(self).await
    }
}

/// A store in the process, or in a file of this machine.
struct OfThisMachine;

#[async_trait]
impl StoreTime for OfThisMachine {
    async fn store_now(&self) -> Result<Timestamp, PortError> {
        Ok(system_now())
    }
}

impl Store {
    /// Whether it is not left out.
    pub(super) fn is_wanted(self) -> bool {
        match self {
            Self::Memory | Self::Sqlite => true,
            Self::Postgres => servers::is_wanted("postgres"),
            Self::Redis => servers::is_wanted("redis"),
            Self::RedisCluster => servers::is_wanted("redis_cluster"),
            Self::RedisSentinel => servers::is_wanted("redis_sentinel"),
        }
    }

    /// On the server that the tests share, with nothing in it.
    pub(super) async fn deploy(self) -> Deployment {
        self.deploy_with(POOL).await
    }

    /// The same, with so many connections for each instance where they are counted.
    pub(super) async fn deploy_with(self, pool: u32) -> Deployment {
        match self {
            Self::Memory => one(Arc::new(MemoryStore::default()), ()),
            Self::Sqlite => {
                let folder = tempfile::tempdir().unwrap();
                one(Arc::new(SqliteStore::open(&folder.path().join("regrant.db")).await.unwrap()), folder)
            }
            Self::Postgres => {
                postgres(PostgresOptions {
                    max_connections: pool,
                    ..PostgresOptions::new(servers::postgres::fresh_database().await)
                })
                .await
            }
            Self::Redis => {
                let folder = tempfile::tempdir().unwrap();
                let users = folder.path().join("users.db");
                let users = [SqliteStore::open(&users).await.unwrap(), SqliteStore::open(&users).await.unwrap()];
                redis(patient(servers::redis::single()), users.map(Arc::new), folder).await
            }
            Self::RedisCluster => in_memory(patient(servers::redis::cluster())).await,
            Self::RedisSentinel => in_memory(patient(servers::redis::sentinel())).await,
        }
    }
}

/// What one process keeps to itself.
fn one<S: SessionRepository + UserRepository + HistoryRepository + 'static>(
    store: Arc<S>,
    keep: impl Any + Send + Sync,
) -> Deployment {
    let handle =
        Handle { sessions: store.clone(), history: store.clone(), users: store, time: Arc::new(OfThisMachine) };
    Deployment { handles: vec![handle], database: None, keep: Box::new(keep) }
}

/// Two pools.
pub(super) async fn postgres(options: PostgresOptions) -> Deployment {
    let mut handles = Vec::new();
    for _ in 0..2 {
        let store = Arc::new(PostgresStore::connect(&options).await.unwrap());
        handles.push(Handle { sessions: store.clone(), history: store.clone(), users: store.clone(), time: store });
    }
    Deployment { handles, database: Some(options.url), keep: Box::new(()) }
}

/// Users in memory that both instances share.
pub(super) async fn in_memory(options: RedisOptions) -> Deployment {
    let users = Arc::new(MemoryStore::default());
    redis(options, [users.clone(), users], ()).await
}

/// On a busy machine a server may take seconds. What happens when one takes too long is a matter of `outages`.
fn patient(url: String) -> RedisOptions {
    RedisOptions { response_timeout: Duration::from_secs(20), ..RedisOptions::new(url) }
}

/// Two connections, and keys that no other test has.
async fn redis<U: UserRepository + 'static>(
    options: RedisOptions,
    users: [Arc<U>; 2],
    keep: impl Any + Send + Sync,
) -> Deployment {
    let prefix = format!("{}:", hex::encode(random::<4>()));
    let options = RedisOptions { prefix, ..options };
    let mut handles = Vec::new();
    for users in users {
        let store = Arc::new(RedisStore::connect(&options).await.unwrap());
        handles.push(Handle { sessions: store.clone(), history: store.clone(), users, time: store });
    }
    Deployment { handles, database: None, keep: Box::new(keep) }
}
