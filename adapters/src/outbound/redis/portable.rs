//! [`Portable`] on Redis, for its sessions; it keeps no users.
//!
//! Redis has no order, so the ids of all sessions are listed once, when the first batch is asked for: about 60 bytes of
//! memory for each, while they are carried elsewhere.

use std::sync::{Arc, PoisonError};

use async_trait::async_trait;
use redis::Value;
use regrant_domain::ids::{SessionId, UserId};
use regrant_domain::ports::{Counted, NewSession, PortError, Portable};
use regrant_domain::refresh_token::LookupKey;
use regrant_domain::session::Snapshot;
use regrant_domain::user::User;

use super::RedisStore;
use super::connection::To;
use super::helpers::corrupt;
use super::row::{self, BadRow, exactly, id_of, instant};
use super::scripts::{SCRIPTS, WHAT};
use super::store::{Inner, parse};

#[async_trait]
impl Portable for RedisStore {
    async fn count(&self) -> Result<Counted, PortError> {
        let listing = self.run(|inner| async move { inner.list_all().await }).await?;
        Ok(Counted { users: 0, sessions: u64::try_from(listing.len()).unwrap_or(u64::MAX) })
    }

    async fn users_after(&self, _: Option<UserId>, _: u32) -> Result<Vec<User>, PortError> {
        Ok(Vec::new())
    }

    async fn sessions_after(&self, after: Option<SessionId>, limit: u32) -> Result<Vec<Snapshot>, PortError> {
        self.run(move |inner| async move { inner.sessions_after(after, limit).await }).await
    }

    /// Leaves all of them out.
    async fn keep_users(&self, users: Vec<User>) -> Result<u64, PortError> {
        Ok(u64::try_from(users.len()).unwrap_or(u64::MAX))
    }

    async fn add_users(&self, _: Vec<User>) -> Result<Vec<UserId>, PortError> {
        Ok(Vec::new())
    }

    async fn keep_sessions(&self, sessions: Vec<Snapshot>) -> Result<u64, PortError> {
        self.run(move |inner| async move { inner.keep_sessions(sessions).await }).await?;
        Ok(0)
    }
}

impl Inner {
    /// Ids and keys of all sessions, in the order of the ids.
    async fn list_all(self: Arc<Self>) -> Result<Vec<(SessionId, LookupKey)>, PortError> {
        let mut listing = Vec::new();
        for master in self.masters().await? {
            let mut cursor = 0;
            loop {
                let (next, keys) = self.scan_step(&master, cursor).await?;
                for lookup in keys.iter().filter_map(|key| self.keys.lookup(key)) {
                    if let Some(id) = self.id_at(&lookup).await? {
                        listing.push((id, lookup));
                    }
                }
                if next == 0 {
                    break;
                }
                cursor = next;
            }
        }
        listing.sort_unstable();
        listing.dedup();
        Ok(listing)
    }

    /// The id of the session under this key; `None` if it has gone meanwhile.
    async fn id_at(&self, lookup: &LookupKey) -> Result<Option<SessionId>, PortError> {
        if let Some(id) = id_of(lookup) {
            return Ok(Some(id));
        }
        let key = self.keys.session(lookup);
        let id: Option<Vec<u8>> = self.read(redis::cmd("HGET").arg(&key).arg("i"), To::Key(&key)).await?;
        let read =
            |id: Vec<u8>| exactly(&id).map(SessionId::from_bytes).ok_or(corrupt(BadRow("its id is not 16 bytes")));
        id.map(read).transpose()
    }

    async fn sessions_after(self: Arc<Self>, after: Option<SessionId>, limit: u32) -> Result<Vec<Snapshot>, PortError> {
        if after.is_none() {
            let listing = self.clone().list_all().await?;
            *self.listing.lock().unwrap_or_else(PoisonError::into_inner) = listing;
        }
        let mut after = after;
        loop {
            let batch = self.listed_after(after, limit);
            let Some((last, _)) = batch.last() else {
                self.listing.lock().unwrap_or_else(PoisonError::into_inner).clear();
                return Ok(Vec::new());
            };
            after = Some(*last);
            let lookups = batch.into_iter().map(|(_, lookup)| lookup).collect();
            let work = |inner: Arc<Self>, lookup: LookupKey| async move { inner.read_session(&lookup).await };
            let mut found: Vec<Snapshot> = self.for_each(lookups, work).await?.into_iter().flatten().collect();
            // Sessions that have gone since they were listed do not end the copy.
            if !found.is_empty() {
                found.sort_unstable_by_key(|snapshot| snapshot.session.id);
                return Ok(found);
            }
        }
    }

    fn listed_after(&self, after: Option<SessionId>, limit: u32) -> Vec<(SessionId, LookupKey)> {
        let listing = self.listing.lock().unwrap_or_else(PoisonError::into_inner);
        let start = listing.partition_point(|(id, _)| Some(*id) <= after);
        listing[start..].iter().take(usize::try_from(limit).unwrap_or(usize::MAX)).cloned().collect()
    }

    async fn keep_sessions(self: Arc<Self>, sessions: Vec<Snapshot>) -> Result<(), PortError> {
        for Snapshot { session, lookup, token } in sessions {
            let coming = NewSession { session, lookup, token };
            let fields = row::fields(&coming).map_err(corrupt)?;
            if !self.announce(&coming).await? {
                return Err(PortError::corrupt(WHAT, "a session's id belongs to another session"));
            }
            let over = row::over(&coming);
            let run = SCRIPTS.carry.on(self.keys.session(&coming.lookup)).arg(self.attempts.next().as_bytes());
            let run = run.arg(instant(over)).arg(self.retention).arg(fields);
            let answer: Vec<Value> =
                self.write_if(&run, |answer: &Vec<Value>| answer.first() == Some(&Value::Int(1))).await?;
            if matches!(answer.as_slice(), [_, late] if parse::<i64>(late.clone())? != 0) {
                self.note_late(&coming.lookup, over).await;
            }
        }
        Ok(())
    }
}
