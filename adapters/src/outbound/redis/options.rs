//! What an operator chooses about Redis.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// How Redis is reached and what is asked of it.
#[derive(Clone)]
pub struct RedisOptions {
    /// Where it is; see [`RedisStore::connect`](super::RedisStore::connect) for the forms. May hold a password, so it
    /// is never printed.
    pub url: String,
    /// What every key begins with.
    pub prefix: String,
    /// How long a session is kept after it ended or expired.
    pub retention: Duration,
    /// How long a history is kept after something was appended to it.
    pub history_retention: Duration,
    /// How long one answer of a server may take.
    pub response_timeout: Duration,
    /// How long it may take to connect.
    pub connect_timeout: Duration,
    /// What a write must have reached before it is acknowledged.
    pub ack: Ack,
    /// How long replicas or the disk may take to acknowledge; must be shorter than `response_timeout`.
    pub ack_timeout: Duration,
    /// Which start-up checks may fail.
    pub allow: Vec<RedisAllowance>,
}

impl RedisOptions {
    /// The defaults, at this address.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            prefix: "rg:".to_owned(), // with it, keys stay within 30 bytes, which saves memory
            retention: Duration::from_hours(30 * 24),
            history_retention: Duration::from_hours(90 * 24),
            response_timeout: Duration::from_secs(2),
            connect_timeout: Duration::from_secs(1),
            ack: Ack::None,
            ack_timeout: Duration::from_secs(1),
            allow: Vec::new(),
        }
    }

    pub(super) fn allows(&self, allowance: RedisAllowance) -> bool {
        self.allow.contains(&allowance)
    }
}

impl fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisOptions")
            .field("url", &"…")
            .field("prefix", &self.prefix)
            .field("retention", &self.retention)
            .field("history_retention", &self.history_retention)
            .field("response_timeout", &self.response_timeout)
            .field("connect_timeout", &self.connect_timeout)
            .field("ack", &self.ack)
            .field("ack_timeout", &self.ack_timeout)
            .field("allow", &self.allow)
            .finish()
    }
}

/// What a sign-in, a rotation or an end must have reached before it is acknowledged. Where it did not in time, the
/// answer is [`Unavailable`](regrant_domain::ports::PortError::Unavailable): whether the write lasts is not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Ack {
    /// The memory of the master.
    #[default]
    None,
    /// The memory of at least this many replicas (`WAIT`).
    Replicas(u32),
    /// The disk of the master, and of at least this many replicas (`WAITAOF`, from Redis 7.2 on).
    Aof {
        /// How many replicas.
        replicas: u32,
    },
}

/// A start-up check that may fail, because someone who knows says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RedisAllowance {
    /// A `maxmemory-policy` other than `noeviction`: sessions vanish when memory is short.
    Eviction,
    /// Neither `appendonly` nor `save`: sessions vanish when the server restarts.
    NoPersistence,
    /// `appendfsync no`: sessions of the last half minute or so vanish when the power fails.
    NoFsync,
    /// The server is a replica at the start.
    Replica,
    /// The settings cannot be read, as with many managed servers.
    UnreadableSettings,
    /// A server before Redis 6.2.
    OldServer,
}

impl RedisAllowance {
    /// Every one, for lists that must be complete.
    pub const ALL: [Self; 6] =
        [Self::Eviction, Self::NoPersistence, Self::NoFsync, Self::Replica, Self::UnreadableSettings, Self::OldServer];

    /// Its name in the settings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Eviction => "eviction",
            Self::NoPersistence => "no_persistence",
            Self::NoFsync => "no_fsync",
            Self::Replica => "replica",
            Self::UnreadableSettings => "unreadable_settings",
            Self::OldServer => "old_server",
        }
    }
}

impl FromStr for RedisAllowance {
    type Err = UnknownAllowance;

    fn from_str(name: &str) -> Result<Self, UnknownAllowance> {
        Self::ALL.into_iter().find(|allowance| allowance.name() == name).ok_or(UnknownAllowance)
    }
}

/// No start-up check has this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no start-up check of Redis has this name")]
pub struct UnknownAllowance;
