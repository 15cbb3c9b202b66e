//! The keys beside the sessions: a user's set of sessions, the index of ids, and the set of sessions that the server
//! would forget too late.
//!
//! They are helpers: nothing is decided by them, and they may lag. A set is written *before* a session, so that no
//! session which was acknowledged is missing from it; a member without a session is dropped when somebody looks; every
//! eighth rotation writes the member again, in case the set was lost with another part of a Cluster.

use std::sync::Arc;

use redis::Value;
use regrant_domain::ids::{SessionId, UserId};
use regrant_domain::ports::{NewSession, PortError, SessionKey};
use regrant_domain::refresh_token::LookupKey;
use regrant_domain::time::Timestamp;

use super::connection::To;
use super::row::{BadRow, exactly, id_of, instant, member, of_member};
use super::scripts::{SCRIPTS, WHAT};
use super::store::Inner;

/// For how many seconds a member without a session may be of one that is just being opened.
const OPENING: u32 = 600;
/// From how many sessions of a user on, and then at every so many more, the set is looked through at a sign-in.
const CROWD: i64 = 32;

impl Inner {
    /// Before a session is written. False: its id is taken.
    pub(super) async fn announce(self: &Arc<Self>, new: &NewSession) -> Result<bool, PortError> {
        let (id, lookup, ends_at) = (new.session.id, &new.lookup, new.session.ends_at);
        if *lookup != LookupKey::of_session(id) {
            let key = self.keys.session(&LookupKey::of_session(id));
            let taken: i64 = self.read(redis::cmd("EXISTS").arg(&key), To::Key(&key)).await?;
            if taken != 0 {
                return Ok(false);
            }
            let run = SCRIPTS.index.on(self.keys.id(id)).arg(instant(ends_at)).arg(self.retention);
            if self.write_acked::<i64>(&run.arg(lookup.as_str())).await? == 0 {
                return Ok(false);
            }
        }
        let sessions = self.join(new.session.user, lookup, ends_at).await?;
        if sessions >= CROWD && sessions % CROWD == 0 {
            let (this, user) = (self.clone(), new.session.user);
            tokio::spawn(async move { this.list(user).await.map(drop) });
        }
        Ok(true)
    }

    /// Notes a session in its user's set, and says how many are noted there.
    pub(super) async fn join(&self, user: UserId, lookup: &LookupKey, ends_at: Timestamp) -> Result<i64, PortError> {
        let run = SCRIPTS.join.on(self.keys.user(user)).arg(instant(ends_at)).arg(self.retention);
        self.write_acked(&run.arg(member(lookup))).await
    }

    /// The keys of a user's sessions; some may be gone.
    pub(super) async fn members(&self, user: UserId) -> Result<Vec<LookupKey>, PortError> {
        let key = self.keys.user(user);
        let members: Vec<Vec<u8>> = self.read(redis::cmd("ZRANGE").arg(&key).arg(0).arg(-1), To::Key(&key)).await?;
        members.iter().map(|member| of_member(member)).collect::<Result<_, BadRow>>().map_err(corrupt)
    }

    /// Drops members that were found without a session. Nothing depends on it.
    pub(super) async fn drop_members(&self, user: UserId, gone: &[LookupKey]) {
        self.leave(user, gone, OPENING).await;
    }

    async fn leave(&self, user: UserId, gone: &[LookupKey], noted_for: u32) {
        if gone.is_empty() {
            return;
        }
        let mut run = SCRIPTS.leave.on(self.keys.user(user)).arg(noted_for);
        for lookup in gone {
            run = run.arg(member(lookup));
        }
        if let Err(error) = self.write::<Value>(&run).await {
            tracing::debug!(%error, "the set of a user's sessions keeps members that are gone");
        }
    }

    /// After a session was removed.
    pub(super) async fn drop_traces(&self, lookup: &LookupKey, user: &[u8], id: &[u8]) {
        if let Some(user) = exactly(user).map(UserId::from_bytes) {
            self.leave(user, std::slice::from_ref(lookup), 0).await;
        }
        if let Some(id) = exactly(id).map(SessionId::from_bytes) {
            let key = self.keys.id(id);
            if let Err(error) = self.read::<Value>(redis::cmd("DEL").arg(&key), To::Key(&key)).await {
                tracing::debug!(%error, "the index keeps the id of a session that is gone");
            }
        }
    }

    /// Notes a session that the server will forget later than `retention` after it was over, for the sweep.
    pub(super) async fn note_late(&self, lookup: &LookupKey, over: Timestamp) {
        let key = self.keys.late();
        let mut note = redis::cmd("ZADD");
        note.arg(&key).arg(over.millis()).arg(lookup.as_str());
        if let Err(error) = self.read::<Value>(&note, To::Key(&key)).await {
            tracing::debug!(%error, "a session will be swept later than it could be");
        }
    }

    /// The key of a session, and the id that must be found there where the key does not say it.
    pub(super) async fn locate(
        &self,
        session: &SessionKey,
    ) -> Result<Option<(LookupKey, Option<SessionId>)>, PortError> {
        let id = match session {
            SessionKey::Lookup(lookup) => return Ok(Some((lookup.clone(), None))),
            SessionKey::Id(id) => *id,
        };
        let derived = LookupKey::of_session(id);
        let key = self.keys.session(&derived);
        if self.read::<i64>(redis::cmd("EXISTS").arg(&key), To::Key(&key)).await? != 0 {
            return Ok(Some((derived, None)));
        }
        Ok(self.indexed(id).await?.map(|lookup| (lookup, Some(id))))
    }

    /// The key of a session whose id does not say it.
    pub(super) async fn indexed(&self, id: SessionId) -> Result<Option<LookupKey>, PortError> {
        let key = self.keys.id(id);
        let indexed: Option<String> = self.read(redis::cmd("GET").arg(&key), To::Key(&key)).await?;
        Ok(indexed.map(LookupKey::stored))
    }

    /// The id of a session that was found under this key with this `i`.
    pub(super) fn found_id(lookup: &LookupKey, id: &[u8]) -> Result<SessionId, PortError> {
        let stored = exactly(id).map(SessionId::from_bytes);
        stored.or_else(|| id_of(lookup)).ok_or_else(|| corrupt(BadRow("it has no id")))
    }
}

pub(super) fn corrupt(row: BadRow) -> PortError {
    PortError::corrupt(WHAT, row)
}
