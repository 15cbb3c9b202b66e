//! Opening and closing the chosen store. One arm per store.

use std::path::Path;
use std::sync::Arc;

use regrant_adapters::outbound::memory::MemoryStore;
use regrant_adapters::outbound::no_history::NoHistory;
use regrant_adapters::outbound::postgres::{self, PostgresOptions, PostgresStore};
use regrant_adapters::outbound::redis::{self, RedisOptions, RedisStore};
use regrant_adapters::outbound::sqlite::SqliteStore;
use regrant_domain::ports::{HistoryRepository, PortError, Portable, RateLimiter, SessionRepository, UserRepository};
use regrant_domain::time::Timestamp;
use regrant_domain::usecases::copy::Place;

use super::{Purpose, Settings, Store};
use crate::failure::{Failure, Kind};
use crate::settings::{Ack, Database, Postgres, Redis, Url};

/// A store that is open.
pub(super) struct Open {
    /// Users, and sessions too unless they are in Redis.
    pub(super) database: OpenDatabase,
    pub(super) redis: Option<Arc<RedisStore>>,
}

pub(super) enum OpenDatabase {
    /// See [`Database::Memory`].
    Memory(Arc<MemoryStore>),
    /// See [`Database::Sqlite`].
    Sqlite(Arc<SqliteStore>),
    /// See [`Database::Postgres`].
    Postgres(Arc<PostgresStore>),
}

impl Open {
    /// Whether it certainly holds neither a user nor a session.
    pub(super) async fn is_empty(&self) -> Result<bool, Failure> {
        self.asked_whether_empty().await.map_err(|error| Failure::of(&error))
    }

    async fn asked_whether_empty(&self) -> Result<bool, PortError> {
        let database = match &self.database {
            OpenDatabase::Memory(_) => true,
            OpenDatabase::Sqlite(store) => store.is_empty().await?,
            OpenDatabase::Postgres(store) => store.is_empty().await?,
        };
        match &self.redis {
            Some(redis) if database => redis.is_empty().await,
            _ => Ok(database),
        }
    }

    pub(super) fn ports(&self) -> (Arc<dyn UserRepository>, Arc<dyn SessionRepository>) {
        let (users, sessions): (Arc<dyn UserRepository>, Arc<dyn SessionRepository>) = match &self.database {
            OpenDatabase::Memory(store) => (store.clone(), store.clone()),
            OpenDatabase::Sqlite(store) => (store.clone(), store.clone()),
            OpenDatabase::Postgres(store) => (store.clone(), store.clone()),
        };
        match &self.redis {
            Some(redis) => (users, redis.clone()),
            None => (users, sessions),
        }
    }

    /// Where the sessions are. `kept`: whether any is to be kept.
    pub(super) fn history(&self, kept: bool) -> Arc<dyn HistoryRepository> {
        let history: Arc<dyn HistoryRepository> = match (&self.redis, &self.database) {
            (Some(redis), _) => redis.clone(),
            (None, OpenDatabase::Memory(store)) => store.clone(),
            (None, OpenDatabase::Sqlite(store)) => store.clone(),
            (None, OpenDatabase::Postgres(store)) => store.clone(),
        };
        if kept { history } else { Arc::new(NoHistory::new(history)) }
    }

    /// Where the sessions are, if processes share that.
    pub(super) fn limiter(&self) -> Option<Arc<dyn RateLimiter>> {
        match (&self.redis, &self.database) {
            (Some(redis), _) => Some(redis.clone()),
            (None, OpenDatabase::Postgres(store)) => Some(store.clone()),
            (None, OpenDatabase::Memory(_) | OpenDatabase::Sqlite(_)) => None,
        }
    }

    /// All users, and all sessions.
    pub(super) fn portable(&self) -> (Arc<dyn Portable>, Arc<dyn Portable>) {
        let both: Arc<dyn Portable> = match &self.database {
            OpenDatabase::Memory(store) => store.clone(),
            OpenDatabase::Sqlite(store) => store.clone(),
            OpenDatabase::Postgres(store) => store.clone(),
        };
        match &self.redis {
            Some(redis) => (both, redis.clone()),
            None => (both.clone(), both),
        }
    }

    /// For carrying everything elsewhere.
    pub(super) fn place(&self) -> Place<'_> {
        let place = match &self.database {
            OpenDatabase::Memory(store) => Place { users: &**store, sessions: &**store },
            OpenDatabase::Sqlite(store) => Place { users: &**store, sessions: &**store },
            OpenDatabase::Postgres(store) => Place { users: &**store, sessions: &**store },
        };
        match &self.redis {
            Some(redis) => Place { sessions: &**redis, ..place },
            None => place,
        }
    }

    /// The clock of the store that keeps the sessions, where it is not this machine's.
    pub(super) fn remote_clock(&self) -> Option<RemoteClock> {
        match (&self.redis, &self.database) {
            (Some(redis), _) => Some(RemoteClock::Redis(redis.clone())),
            (None, OpenDatabase::Postgres(store)) => Some(RemoteClock::Postgres(store.clone())),
            (None, OpenDatabase::Memory(_) | OpenDatabase::Sqlite(_)) => None,
        }
    }

    pub(super) async fn close(&self) {
        if let Some(redis) = &self.redis {
            redis.close();
        }
        match &self.database {
            OpenDatabase::Memory(_) => {}
            OpenDatabase::Sqlite(store) => store.close().await,
            OpenDatabase::Postgres(store) => store.close().await,
        }
    }
}

/// A store whose clock is not this machine's.
#[derive(Clone)]
pub(super) enum RemoteClock {
    Postgres(Arc<PostgresStore>),
    Redis(Arc<RedisStore>),
}

impl RemoteClock {
    pub(super) async fn now(&self) -> Result<Timestamp, PortError> {
        match self {
            Self::Postgres(store) => store.store_now().await,
            Self::Redis(store) => store.store_now().await,
        }
    }
}

/// Opens the chosen store; to serve, a database that is not there is made, and so is its folder if it is `data.dir`.
pub(super) async fn open(settings: &Settings, purpose: Purpose, made: &mut Vec<String>) -> Result<Open, Failure> {
    let database = open_database(settings, purpose, made).await?;
    let mut open = Open { database, redis: None };
    if let Store::Redis { sessions, .. } = &settings.store {
        match open_redis(sessions, settings).await {
            Ok(redis) => open.redis = Some(Arc::new(redis)),
            Err(failure) => {
                open.close().await;
                return Err(failure);
            }
        }
    }
    Ok(open)
}

async fn open_database(settings: &Settings, purpose: Purpose, made: &mut Vec<String>) -> Result<OpenDatabase, Failure> {
    match (settings.store.users(), purpose) {
        (Database::Memory, Purpose::Serve) => Ok(OpenDatabase::Memory(Arc::new(MemoryStore::default()))),
        (Database::Memory, Purpose::Tend) => Err(in_memory()),
        (Database::Sqlite { file }, _) => {
            let is_there = exists(file)?;
            if !is_there && purpose == Purpose::Tend {
                let failure = Failure::new(format!("there is no database at {}", file.display()));
                return Err(failure.advise("check data.dir and store.url; `regrant serve` makes a new one"));
            }
            if !is_there && file.parent() == Some(&settings.data_dir) {
                make_folder(&settings.data_dir, "data.dir", made)?;
            }
            // The error's own text says what to do.
            let store = SqliteStore::open(file).await.map_err(|error| Failure::of(&error))?;
            if !is_there {
                made.push(format!("the database {}", file.display()));
            }
            Ok(OpenDatabase::Sqlite(Arc::new(store)))
        }
        (Database::Postgres(chosen), _) => {
            let options = postgres_options(chosen)?;
            let failure = |error| postgres_failure(&chosen.url, &error);
            let is_new = !postgres::schema::status(&options).await.map_err(failure)?.iter().any(|one| one.applied);
            if is_new && purpose == Purpose::Tend {
                let failure = Failure::new(format!("the database {} has no tables of Regrant's", chosen.url));
                let key = chosen.url.key();
                return Err(failure.advise(format!("check {key}; `regrant serve` or `regrant migrate up` makes them")));
            }
            let store = PostgresStore::connect(&options).await.map_err(failure)?;
            if is_new {
                made.push(format!("the tables in {}", chosen.url));
            }
            Ok(OpenDatabase::Postgres(Arc::new(store)))
        }
    }
}

async fn open_redis(chosen: &Redis, settings: &Settings) -> Result<RedisStore, Failure> {
    let allow = chosen.allow.iter().map(|name| name.parse()).collect::<Result<_, _>>();
    let options = RedisOptions {
        prefix: chosen.prefix.clone(),
        retention: settings.sweep.retention,
        history_retention: settings.history_retention(),
        response_timeout: chosen.response_timeout,
        ack: match chosen.ack {
            Ack::None => redis::Ack::None,
            Ack::Replicas(replicas) => redis::Ack::Replicas(replicas),
            Ack::Aof { replicas } => redis::Ack::Aof { replicas },
        },
        ack_timeout: chosen.ack_timeout,
        allow: allow.map_err(|error| unknown_risk(&error))?,
        ..RedisOptions::new(chosen.url.expose())
    };
    let store = RedisStore::connect(&options).await.map_err(|error| {
        let (kind, advice) = match &error {
            redis::StartError::Address(_) => (Kind::Configuration, None),
            redis::StartError::Unavailable(_) => (Kind::Other, Some(reach(&chosen.url))),
            redis::StartError::Refused(_) => (Kind::Other, None),
        };
        unusable(&chosen.url, &error, kind, advice)
    })?;
    for warning in store.warnings() {
        tracing::warn!("{warning}");
    }
    Ok(store)
}

pub(super) fn postgres_options(chosen: &Postgres) -> Result<PostgresOptions, Failure> {
    let allow = chosen.allow.iter().map(|name| name.parse()).collect::<Result<_, _>>();
    Ok(PostgresOptions {
        max_connections: chosen.max_connections,
        statement_timeout: chosen.statement_timeout,
        allow: allow.map_err(|error| unknown_risk(&error))?,
        ..PostgresOptions::new(chosen.url.expose())
    })
}

pub(super) fn postgres_failure(url: &Url, error: &postgres::StartError) -> Failure {
    use postgres::StartError::{Schema, Unreachable, Unsafe};
    let (kind, advice) = match error {
        postgres::StartError::Url(_) => (Kind::Configuration, None),
        Unreachable(_) => (Kind::Other, Some(reach(url))),
        // They say what to do themselves.
        Unsafe(_) | Schema(_) => (Kind::Other, None),
    };
    unusable(url, error, kind, advice)
}

fn unusable(url: &Url, error: &(dyn std::error::Error + 'static), kind: Kind, advice: Option<String>) -> Failure {
    let failure = Failure::new(format!("the store {url} ({}) cannot be used", url.key())).because(error);
    Failure { advice, kind, ..failure }
}

fn reach(url: &Url) -> String {
    format!("check that it runs and can be reached from here, and {}, its user and password", url.key())
}

/// The settings know these names: a test compares the lists.
fn unknown_risk(error: &(dyn std::error::Error + 'static)) -> Failure {
    let failure = Failure::new("store.allow names a start-up check that is not known").because(error);
    Failure { kind: Kind::Configuration, ..failure }
}

pub(super) fn in_memory() -> Failure {
    let failure =
        Failure::new("the store is in memory (store.kind = \"memory\"): only the running server can reach it");
    Failure { kind: Kind::Configuration, ..failure }
}

/// Whether there is such a file; a failure if that cannot be found out.
pub(super) fn exists(path: &Path) -> Result<bool, Failure> {
    path.try_exists().map_err(|error| {
        let what = format!("whether {} exists cannot be found out", path.display());
        Failure::new(what).because(&error).advise("check the folder that it is in, and who may read it")
    })
}

/// Makes a folder that only this user may enter, if it is not there.
pub(super) fn make_folder(path: &Path, setting: &str, made: &mut Vec<String>) -> Result<(), Failure> {
    if path.is_dir() {
        return Ok(());
    }
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|error| {
        Failure::new(format!("the folder {} cannot be made", path.display()))
            .because(&error)
            .advise(format!("make it, let this user write there, or name another one with {setting}"))
    })?;
    made.push(format!("the folder {}", path.display()));
    Ok(())
}
