//! Sessions in Redis: one server, Sentinel, or Cluster. Users live elsewhere.
//!
//! Deliberately absent: a clock (the server's own decides only when a key may go, never what is valid), transactions
//! (`WATCH` and `MULTI` are not safe on a shared connection), reads from replicas, and secrets: only hashes are stored.
//!
//! One hash per session, and one script on that one key per operation. See `lua/keep.lua` for the fields,
//! `scripts` for what makes a script harmless if it runs twice, and `helpers` for the keys beside the sessions.

mod address;
mod connection;
mod helpers;
mod history;
mod limits;
mod options;
mod portable;
mod renewed;
mod row;
mod scripts;
mod sessions;
mod start_checks;
mod store;
mod sweep;

use std::sync::Arc;

use regrant_domain::ports::PortError;
use regrant_domain::time::Timestamp;

pub use self::options::{Ack, RedisAllowance, RedisOptions, UnknownAllowance};
pub use self::scripts::ROTATE;

use self::address::Address;
use self::connection::Link;
use self::scripts::{WHAT, Wait};
use self::store::{Inner, Links};
use crate::completed::{Panicked, completed};

/// Why the store is not used.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address, or another option, cannot be used. The message does not repeat the address.
    #[error("the address of Redis cannot be used: {0}")]
    Address(String),
    /// Nobody answered there.
    #[error("Redis is not available: {0}")]
    Unavailable(#[source] redis::RedisError),
    /// Its settings would lose sessions. Every fault is named.
    #[error("Redis is not set up to keep sessions:\n  {}", .0.join("\n  "))]
    Refused(Vec<String>),
}

/// Sessions in Redis. Cheap to share; all connections come back by themselves.
pub struct RedisStore {
    inner: Arc<Inner>,
    warnings: Vec<String>,
}

impl RedisStore {
    /// Connects and checks the settings of every master.
    ///
    /// Addresses: `redis://host:port/db`, `rediss://…` (TLS), `redis+unix:///path`, `redis+cluster://a:1,b:2,c:3`,
    /// `redis+sentinel://a:1,b:2,c:3/name/db` (the Sentinels' own `?sentinel_user=…&sentinel_password=…`), and
    /// `rediss+cluster://`, `rediss+sentinel://`; each with `user:password@` before the hosts where needed.
    ///
    /// # Errors
    /// [`StartError`]: the address is not one, nobody answers, or the settings would lose sessions.
    pub async fn connect(options: &RedisOptions) -> Result<Self, StartError> {
        if options.prefix.contains(['{', '}']) {
            return Err(StartError::Address("the prefix of the keys must not have braces".to_owned()));
        }
        if options.ack != Ack::None && options.ack_timeout >= options.response_timeout {
            return Err(StartError::Address("ack_timeout must be shorter than response_timeout".to_owned()));
        }
        let first = Link::open(Address::parse(&options.url)?, options).await.map_err(StartError::Unavailable)?;
        let findings = start_checks::check(&first, options).await.map_err(StartError::Unavailable)?;
        if !findings.refused.is_empty() {
            return Err(StartError::Refused(findings.refused));
        }
        let wait = Wait::new(options.ack, options.ack_timeout);
        let mut more = Vec::new();
        for _ in 0..wait.lanes() {
            let address = Address::parse(&options.url)?;
            more.push(Link::open(address, options).await.map_err(StartError::Unavailable)?);
        }
        let inner = Arc::new(Inner::new(Links::new(first, more), wait, options));
        Ok(Self { inner, warnings: findings.warnings })
    }

    /// What the start-up checks found worth knowing.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// What the store's own clock says.
    ///
    /// # Errors
    /// [`PortError::Unavailable`] when it does not answer.
    pub async fn store_now(&self) -> Result<Timestamp, PortError> {
        self.inner.now().await
    }

    /// Whether it keeps no session. Looks at every key where there is none of ours.
    ///
    /// # Errors
    /// [`PortError::Unavailable`] when it does not answer.
    pub async fn is_empty(&self) -> Result<bool, PortError> {
        self.inner.is_empty().await
    }

    /// How many writes wait to be taken into a batch; `None` where they are not gathered.
    pub fn waiting(&self) -> Option<usize> {
        self.inner.waiting()
    }

    /// Lets go of all connections when what is under way is done. From then on, everything is unavailable.
    pub fn close(&self) {
        self.inner.close();
    }

    /// Runs work that goes on when the caller goes away.
    async fn run<T, F>(&self, work: impl FnOnce(Arc<Inner>) -> F) -> Result<T, PortError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, PortError>> + Send + 'static,
    {
        let done = completed(work(self.inner.clone())).await;
        done.unwrap_or_else(|Panicked| Err(PortError::unavailable(WHAT, "it panicked")))
    }
}
