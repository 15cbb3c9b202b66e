//! `[store]` and `[users]`: one variant per store.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::show::hidden;

/// Where users and sessions are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Store {
    /// Both in one database.
    Database(Database),
    /// Sessions in Redis, users elsewhere.
    Redis {
        /// Where sessions are.
        sessions: Redis,
        /// Where users are; never [`Database::Memory`].
        users: Database,
    },
}

impl Store {
    /// Where users are.
    pub const fn users(&self) -> &Database {
        match self {
            Self::Database(database) | Self::Redis { users: database, .. } => database,
        }
    }

    /// Whether the sessions are where another clock than this machine's tells the time.
    pub const fn has_a_clock(&self) -> bool {
        matches!(self, Self::Redis { .. } | Self::Database(Database::Postgres(_)))
    }
}

/// What can keep both users and sessions: one variant per kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Database {
    /// In memory: lost at a stop.
    Memory,
    /// In an `SQLite` database.
    Sqlite {
        /// Its file.
        file: PathBuf,
    },
    /// In a Postgres database.
    Postgres(Postgres),
}

/// A Postgres database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Postgres {
    /// Where it is.
    pub url: Url,
    /// Most connections at once.
    pub max_connections: u32,
    /// After how long the server gives a statement up.
    pub statement_timeout: Duration,
    /// Names of the start-up checks that may fail; known ones.
    pub allow: Vec<String>,
}

/// One Redis server, a Cluster, or the master that Sentinels name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redis {
    /// Where it is.
    pub url: Url,
    /// What every key begins with.
    pub prefix: String,
    /// How long one answer may take.
    pub response_timeout: Duration,
    /// What a write must have reached before it is acknowledged.
    pub ack: Ack,
    /// How long that may take.
    pub ack_timeout: Duration,
    /// Names of the start-up checks that may fail; known ones.
    pub allow: Vec<String>,
}

/// See [`Redis::ack`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ack {
    /// The memory of the master.
    None,
    /// The memory of so many replicas.
    Replicas(u32),
    /// The disk of the master and of so many replicas.
    Aof {
        /// How many.
        replicas: u32,
    },
}

/// A URL that may hold a password: never printed with it.
#[derive(Clone, PartialEq, Eq)]
pub struct Url {
    text: String,
    key: &'static str,
}

impl Url {
    pub(super) const fn new(text: String, key: &'static str) -> Self {
        Self { text, key }
    }

    /// As it is, password included.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// The setting that it comes from.
    pub const fn key(&self) -> &'static str {
        self.key
    }
}

impl fmt::Display for Url {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hidden(&self.text))
    }
}

impl fmt::Debug for Url {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `[clock]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockCheck {
    /// How often the store's clock is looked at.
    pub every: Duration,
    /// By how much it may differ from this machine's before that is a warning.
    pub warn_above: Duration,
}

/// The names that `store.allow` takes where Postgres is used.
pub const POSTGRES_RISKS: [&str; 6] =
    ["fsync_off", "full_page_writes_off", "synchronous_commit_off", "read_only", "unlogged_tables", "not_utf8"];
/// The names that `store.allow` takes where Redis is used.
pub const REDIS_RISKS: [&str; 6] =
    ["eviction", "no_persistence", "no_fsync", "replica", "unreadable_settings", "old_server"];
