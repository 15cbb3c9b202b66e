//! What every operation needs: the links, the scripts, the names of the keys.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use redis::{Cmd, FromRedisValue, RedisResult, Value};
use regrant_domain::ids::{SessionId, UserId};
use regrant_domain::limit::BucketKey;
use regrant_domain::ports::PortError;
use regrant_domain::refresh_token::LookupKey;

use super::connection::{Link, Master, To};
use super::options::RedisOptions;
use super::scripts::{Attempts, Run, WHAT, Wait, port_error};
use super::sweep::Scan;
use crate::outbound::together::{Bounds, Together};

pub(super) struct Inner {
    links: RwLock<Option<Arc<Links>>>,
    pub(super) attempts: Attempts,
    pub(super) keys: Keys,
    /// In milliseconds.
    pub(super) retention: u64,
    /// In milliseconds.
    pub(super) history_retention: u64,
    pub(super) wait: Arc<Wait>,
    /// Writes that wait at the same time, where all go to one master.
    together: Option<Together<Run, (Value, bool)>>,
    /// How long one operation on one key may take.
    limit: Duration,
    pub(super) scan: std::sync::Mutex<Option<Scan>>,
    /// The ids and keys of all sessions, while they are carried elsewhere.
    pub(super) listing: std::sync::Mutex<Vec<(SessionId, LookupKey)>>,
}

/// A server that waits for acknowledgement keeps everything behind it on that connection waiting, so then writes have
/// connections of their own.
pub(super) struct Links {
    pub(super) first: Link,
    writes: Vec<Link>,
    turn: AtomicUsize,
}

impl Links {
    /// `writes` may be empty.
    pub(super) fn new(first: Link, writes: Vec<Link>) -> Self {
        Self { first, writes, turn: AtomicUsize::new(0) }
    }

    fn for_write(&self) -> &Link {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        self.writes.get(turn % self.writes.len().max(1)).unwrap_or(&self.first)
    }
}

impl Inner {
    pub(super) fn new(links: Links, wait: Wait, options: &RedisOptions) -> Self {
        let (links, wait) = (Arc::new(links), Arc::new(wait));
        let limit = options.response_timeout * 2;
        let together = links.first.is_direct().then(|| together(&links, &wait, limit));
        Self {
            links: RwLock::new(Some(links)),
            together,
            attempts: Attempts::new(),
            keys: Keys { prefix: options.prefix.clone() },
            retention: retention(options.retention),
            history_retention: retention(options.history_retention),
            wait,
            limit,
            scan: std::sync::Mutex::new(None),
            listing: std::sync::Mutex::default(),
        }
    }

    pub(super) fn links(&self) -> Result<Arc<Links>, PortError> {
        let links = self.links.read().unwrap_or_else(PoisonError::into_inner);
        links.clone().ok_or_else(|| PortError::unavailable(WHAT, "it was closed"))
    }

    pub(super) fn waiting(&self) -> Option<usize> {
        self.together.as_ref().map(Together::waiting)
    }

    pub(super) fn close(&self) {
        *self.links.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Sends one command that may be sent twice, and waits for no acknowledgement.
    pub(super) async fn read<T: FromRedisValue>(&self, command: &Cmd, to: To<'_>) -> Result<T, PortError> {
        let links = self.links()?;
        let value = self.within(links.first.send(command, to)).await?;
        parse(value)
    }

    pub(super) async fn masters(&self) -> Result<Vec<Master>, PortError> {
        let links = self.links()?;
        self.within(links.first.masters()).await
    }

    /// Runs a script; nothing is acknowledged by it.
    pub(super) async fn write<T: FromRedisValue>(&self, run: &Run) -> Result<T, PortError> {
        let links = self.links()?;
        parse(self.within(run.send(links.for_write())).await?)
    }

    /// Runs a script, and fails where its write was not acknowledged as widely as asked.
    pub(super) async fn write_acked<T: FromRedisValue>(&self, run: &Run) -> Result<T, PortError> {
        self.write_if(run, |_: &T| true).await
    }

    /// The same, where only some answers mean that something was written.
    pub(super) async fn write_if<T: FromRedisValue>(
        &self,
        run: &Run,
        wrote: impl FnOnce(&T) -> bool,
    ) -> Result<T, PortError> {
        let links = self.links()?;
        let (value, acked) = match &self.together {
            Some(together) => {
                let waited = tokio::time::timeout(self.limit, together.run(run.clone())).await;
                waited.unwrap_or_else(|elapsed| Err(PortError::unavailable(WHAT, elapsed)))?
            }
            None => Box::pin(self.within(run.send_acked(links.for_write(), &self.wait))).await?,
        };
        let answer = parse(value)?;
        if !acked && wrote(&answer) {
            return Err(PortError::unavailable(
                WHAT,
                "the write was acknowledged by too few replicas or disks in time",
            ));
        }
        Ok(answer)
    }

    async fn within<T>(&self, work: impl Future<Output = RedisResult<T>>) -> Result<T, PortError> {
        match tokio::time::timeout(self.limit, work).await {
            Ok(answer) => answer.map_err(port_error),
            Err(elapsed) => Err(PortError::unavailable(WHAT, elapsed)),
        }
    }
}

/// Where writes to one master are gathered. It keeps no connection open by itself: when the store is closed, it is over.
fn together(links: &Arc<Links>, wait: &Arc<Wait>, limit: Duration) -> Together<Run, (Value, bool)> {
    // A server that waits for acknowledgement has a connection for each batch; else one is on its way while the next
    // is gathered.
    let bounds = Bounds { lanes: wait.lanes().max(2), batch: 64, waiting: 4096 };
    let (links, wait) = (Arc::downgrade(links), wait.clone());
    Together::new(WHAT, bounds, move |runs: Vec<Run>| {
        let (links, wait) = (links.upgrade(), wait.clone());
        async move {
            let Some(links) = links else {
                return runs.iter().map(|_| Err(PortError::unavailable(WHAT, "it was closed"))).collect();
            };
            match tokio::time::timeout(limit, Run::send_all(&runs, links.for_write(), &wait)).await {
                Ok(answers) => answers.into_iter().map(|answer| answer.map_err(port_error)).collect(),
                Err(_) => runs.iter().map(|_| Err(PortError::unavailable(WHAT, "it does not answer"))).collect(),
            }
        }
    })
}

/// A thousand years.
const LONGEST_RETENTION: u64 = 1_000 * 365 * 24 * 3_600_000;

/// In milliseconds.
fn retention(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX).min(LONGEST_RETENTION)
}

/// An answer of an unexpected form is one that no script of ours gives.
pub(super) fn parse<T: FromRedisValue>(value: Value) -> Result<T, PortError> {
    redis::from_redis_value(value).map_err(|error| PortError::corrupt(WHAT, error))
}

/// The names of the keys. What is in braces decides the slot on a Cluster.
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    pub(super) fn session(&self, lookup: &LookupKey) -> String {
        format!("{}s:{{{}}}", self.prefix, lookup.as_str())
    }

    pub(super) fn user(&self, user: UserId) -> String {
        format!("{}u:{{{}}}", self.prefix, URL_SAFE_NO_PAD.encode(user.as_bytes()))
    }

    pub(super) fn id(&self, id: SessionId) -> String {
        format!("{}i:{{{}}}", self.prefix, URL_SAFE_NO_PAD.encode(id.as_bytes()))
    }

    pub(super) fn history_of_session(&self, id: SessionId) -> String {
        format!("{}h:{{{}}}", self.prefix, URL_SAFE_NO_PAD.encode(id.as_bytes()))
    }

    pub(super) fn history_of_account(&self, user: UserId) -> String {
        format!("{}a:{{{}}}", self.prefix, URL_SAFE_NO_PAD.encode(user.as_bytes()))
    }

    /// The set of a user's sessions that have a history.
    pub(super) fn histories(&self, user: UserId) -> String {
        format!("{}hu:{{{}}}", self.prefix, URL_SAFE_NO_PAD.encode(user.as_bytes()))
    }

    pub(super) fn bucket(&self, key: &BucketKey) -> String {
        format!("{}l:{{{}}}", self.prefix, URL_SAFE_NO_PAD.encode(key.as_bytes()))
    }

    pub(super) fn late(&self) -> String {
        format!("{}late", self.prefix)
    }

    /// A pattern that all sessions match, and nothing else.
    pub(super) fn all_sessions(&self) -> String {
        let mut pattern = String::new();
        for c in self.prefix.chars() {
            if matches!(c, '*' | '?' | '[' | ']' | '\\' | '^') {
                pattern.push('\\');
            }
            pattern.push(c);
        }
        pattern + "s:{*}"
    }

    /// The key of a session's token, from the name of the session's key.
    pub(super) fn lookup(&self, key: &[u8]) -> Option<LookupKey> {
        let key = std::str::from_utf8(key).ok()?;
        let lookup = key.strip_prefix(&self.prefix)?.strip_prefix("s:{")?.strip_suffix('}')?;
        Some(LookupKey::stored(lookup.to_owned()))
    }
}
