//! The store that a world stands on: memory, unless `REGRANT_TEST_WORLD` names another for the whole process. Each world
//! has one of its own: a file, a database, or a prefix of keys.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use regrant_adapters::outbound::memory::MemoryStore;
use regrant_adapters::outbound::postgres::{PostgresOptions, PostgresStore};
use regrant_adapters::outbound::redis::{RedisOptions, RedisStore};
use regrant_adapters::outbound::sqlite::SqliteStore;
use regrant_domain::ports::{HistoryRepository, SessionRepository, UserRepository};
use tokio::runtime::Runtime;

use super::servers;

/// The variable that names the store.
pub(crate) const VARIABLE: &str = "REGRANT_TEST_WORLD";

type Stores = (Arc<dyn SessionRepository>, Arc<dyn UserRepository>, Arc<dyn HistoryRepository>);

/// What stores do beside the calls of their users they do here: each test has a runtime of its own, which ends with it.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

/// Stores with nothing in them.
pub(crate) fn of_a_world() -> Stores {
    let Ok(name) = std::env::var(VARIABLE) else { return memory() };
    let opening = std::thread::spawn(move || RUNTIME.block_on(open(&name)));
    opening.join().expect("the store opens")
}

fn memory() -> Stores {
    let store = Arc::new(MemoryStore::default());
    (store.clone(), store.clone(), store)
}

async fn open(name: &str) -> Stores {
    match name {
        "memory" => memory(),
        "sqlite" => {
            // Left to the system's cleaning: nobody knows when the last test that uses it has ended.
            let folder = tempfile::tempdir().unwrap().keep();
            let store = Arc::new(SqliteStore::open(&folder.join("regrant.db")).await.unwrap());
            (store.clone(), store.clone(), store)
        }
        "postgres" => {
            let options = PostgresOptions::new(servers::postgres::fresh_database().await);
            let store =
                Arc::new(PostgresStore::connect(&PostgresOptions { max_connections: 2, ..options }).await.unwrap());
            (store.clone(), store.clone(), store)
        }
        "redis" => redis(servers::redis::single()).await,
        "redis_cluster" => redis(servers::redis::cluster()).await,
        "redis_sentinel" => redis(servers::redis::sentinel()).await,
        other => {
            panic!("{VARIABLE}={other}: expected memory, sqlite, postgres, redis, redis_cluster or redis_sentinel")
        }
    }
}

/// Sessions in Redis, users in memory.
async fn redis(url: String) -> Stores {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let prefix = format!("w{}:", COUNT.fetch_add(1, Ordering::Relaxed));
    let sessions = RedisStore::connect(&RedisOptions { prefix, ..RedisOptions::new(url) }).await.unwrap();
    let sessions = Arc::new(sessions);
    (sessions.clone(), Arc::new(MemoryStore::default()), sessions)
}
