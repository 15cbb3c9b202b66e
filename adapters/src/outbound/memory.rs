//! Sessions and users in the memory of this process: for tests, trials, and sessions that may end with the process.
//!
//! Deliberately absent: durability, and anything that the other stores do not do. It runs the same contract as they do,
//! which makes it an honest fake.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use regrant_domain::access_token::KeptAccess;
use regrant_domain::ids::{SessionId, UserId};
use regrant_domain::ports::{
    AddUserOutcome, Counted, End, EndAll, EndOutcome, NewSession, OpenOutcome, PasswordChange, PortError, Portable,
    RotateOutcome, Rotated, Rotation, SessionKey, SessionRepository, Spends, Swept, UserRepository,
};
use regrant_domain::refresh_token::LookupKey;
use regrant_domain::session::{Snapshot, Status, later_of};
use regrant_domain::time::Timestamp;
use regrant_domain::user::{Email, Epoch, User};

mod history;

const WHAT: &str = "the memory store";

/// Keeps sessions and users while the process lives.
#[derive(Debug)]
pub struct MemoryStore {
    /// Whether a session needs a user that is kept here too, as the foreign key of an SQL store would have it.
    knows_users: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    sessions: HashMap<SessionId, Snapshot>,
    lookups: HashMap<LookupKey, SessionId>,
    of_user: HashMap<UserId, HashSet<SessionId>>,
    users: HashMap<UserId, User>,
    emails: HashMap<Email, UserId>,
    history: history::Kept,
}

impl Default for MemoryStore {
    /// Keeps both: a session needs a user that is kept here, and goes with the user.
    fn default() -> Self {
        Self { knows_users: true, state: Mutex::default() }
    }
}

impl MemoryStore {
    /// Keeps sessions of users that are kept elsewhere.
    pub fn sessions_only() -> Self {
        Self { knows_users: false, state: Mutex::default() }
    }

    /// Every method takes the lock once and never waits while it holds it: that is what makes each all or nothing. No
    /// method can panic half way, so the state behind a poisoned lock is whole.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn id(&self, key: &SessionKey) -> Option<SessionId> {
        match key {
            SessionKey::Id(id) => Some(*id),
            SessionKey::Lookup(lookup) => self.lookups.get(lookup).copied(),
        }
    }

    fn get_mut(&mut self, key: &SessionKey) -> Option<&mut Snapshot> {
        let id = self.id(key)?;
        self.sessions.get_mut(&id)
    }

    fn ids_of(&self, user: UserId) -> Vec<SessionId> {
        self.of_user.get(&user).into_iter().flatten().copied().collect()
    }

    fn forget(&mut self, id: SessionId) {
        let Some(gone) = self.sessions.remove(&id) else { return };
        self.lookups.remove(&gone.lookup);
        if let Some(ids) = self.of_user.get_mut(&gone.session.user) {
            ids.remove(&id);
            if ids.is_empty() {
                self.of_user.remove(&gone.session.user);
            }
        }
    }
}

/// When there was nothing left to be done with a session: it ended or expired, whichever came first.
fn over_at(snapshot: &Snapshot) -> Timestamp {
    let expired = snapshot.token.expires_at.min(snapshot.session.ends_at);
    match snapshot.session.status {
        Status::Live => expired,
        Status::Ended { at, .. } => expired.min(at),
    }
}

#[async_trait]
impl SessionRepository for MemoryStore {
    async fn open(&self, new: NewSession) -> Result<OpenOutcome, PortError> {
        let mut state = self.state();
        let NewSession { session, lookup, token } = new;
        if self.knows_users && !state.users.contains_key(&session.user) {
            return Ok(OpenOutcome::NoSuchUser);
        }
        if state.sessions.contains_key(&session.id) || state.lookups.contains_key(&lookup) {
            return Err(PortError::corrupt(WHAT, "a session with this id or lookup key is already there"));
        }
        state.lookups.insert(lookup.clone(), session.id);
        state.of_user.entry(session.user).or_default().insert(session.id);
        state.sessions.insert(session.id, Snapshot { session, lookup, token });
        Ok(OpenOutcome::Opened)
    }

    async fn find(&self, key: &SessionKey) -> Result<Option<Snapshot>, PortError> {
        let state = self.state();
        Ok(state.id(key).and_then(|id| state.sessions.get(&id)).cloned())
    }

    async fn rotate(&self, rotation: Rotation) -> Result<RotateOutcome, PortError> {
        let mut state = self.state();
        let Some(snapshot) = state.get_mut(&SessionKey::Lookup(rotation.lookup)) else {
            return Ok(RotateOutcome::NotCurrent);
        };
        if snapshot.token.held != rotation.from || !snapshot.is_live(rotation.now) {
            return Ok(RotateOutcome::NotCurrent);
        }
        let token = &mut snapshot.token;
        token.held = rotation.to;
        let ends_at = snapshot.session.ends_at;
        let access = rotation.access.map(|access| KeptAccess { expires_at: access.expires_at.min(ends_at), ..access });
        token.access = access.or(token.access);
        token.expires_at = rotation.idle_expires_at.min(snapshot.session.ends_at);
        token.recent = match rotation.spends {
            Spends::Append(spent) => std::mem::take(&mut token.recent).with(spent),
            Spends::Replace(recent) => recent,
        };
        Ok(RotateOutcome::Rotated(Rotated {
            user: snapshot.session.user,
            expires_at: token.expires_at,
            ends_at: snapshot.session.ends_at,
        }))
    }

    async fn end(&self, end: End) -> Result<EndOutcome, PortError> {
        let mut state = self.state();
        let Some(snapshot) = state.get_mut(&end.session) else { return Ok(EndOutcome::NotFound) };
        if snapshot.session.status != Status::Live {
            return Ok(EndOutcome::AlreadyEnded);
        }
        if end.only_while.is_some_and(|held| held != snapshot.token.held) {
            return Ok(EndOutcome::Moved);
        }
        snapshot.session.status = Status::Ended { at: end.at, reason: end.reason };
        Ok(EndOutcome::Ended)
    }

    async fn end_all(&self, end: EndAll) -> Result<Vec<SessionId>, PortError> {
        let mut state = self.state();
        let mut ended = state.ids_of(end.user);
        ended.retain(|id| {
            let live = state.sessions.get_mut(id).filter(|s| Some(*id) != end.but && s.session.status == Status::Live);
            let Some(snapshot) = live else { return false };
            snapshot.session.status = Status::Ended { at: end.at, reason: end.reason };
            true
        });
        Ok(ended)
    }

    async fn list(&self, user: UserId) -> Result<Vec<Snapshot>, PortError> {
        let state = self.state();
        Ok(state.ids_of(user).iter().filter_map(|id| state.sessions.get(id)).cloned().collect())
    }

    async fn forget_all(&self, user: UserId) -> Result<(), PortError> {
        let mut state = self.state();
        for id in state.ids_of(user) {
            state.forget(id);
        }
        Ok(())
    }

    async fn sweep(&self, cutoff: Timestamp, limit: u32) -> Result<Swept, PortError> {
        let mut state = self.state();
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let over = |s: &&Snapshot| over_at(s) <= cutoff;
        let gone: Vec<_> = state.sessions.values().filter(over).take(limit).map(|s| s.session.id).collect();
        for id in &gone {
            state.forget(*id);
        }
        let done = !state.sessions.values().any(|s| over(&s));
        Ok(Swept { removed: u64::try_from(gone.len()).unwrap_or(u64::MAX), done })
    }
}

#[async_trait]
impl UserRepository for MemoryStore {
    async fn add(&self, user: User) -> Result<AddUserOutcome, PortError> {
        let mut state = self.state();
        if state.emails.contains_key(&user.email) {
            return Ok(AddUserOutcome::EmailTaken);
        }
        if state.users.contains_key(&user.id) {
            return Err(PortError::corrupt(WHAT, "a user with this id is already there"));
        }
        state.emails.insert(user.email.clone(), user.id);
        state.users.insert(user.id, user);
        Ok(AddUserOutcome::Added)
    }

    async fn find(&self, id: UserId) -> Result<Option<User>, PortError> {
        Ok(self.state().users.get(&id).cloned())
    }

    async fn find_by_email(&self, email: &Email) -> Result<Option<User>, PortError> {
        let state = self.state();
        Ok(state.emails.get(email).and_then(|id| state.users.get(id)).cloned())
    }

    async fn set_password(&self, change: PasswordChange) -> Result<bool, PortError> {
        let mut state = self.state();
        let Some(user) = state.users.get_mut(&change.user).filter(|user| user.password_hash == change.from) else {
            return Ok(false);
        };
        user.password_hash = change.to;
        user.updated_at = change.now;
        user.epoch = Epoch(user.epoch.0 + i64::from(change.advance_epoch));
        Ok(true)
    }

    async fn advance_epoch(&self, id: UserId, now: Timestamp) -> Result<bool, PortError> {
        let mut state = self.state();
        let Some(user) = state.users.get_mut(&id) else { return Ok(false) };
        user.epoch = Epoch(user.epoch.0 + 1);
        user.updated_at = now;
        Ok(true)
    }

    async fn delete(&self, id: UserId) -> Result<bool, PortError> {
        let mut state = self.state();
        let Some(user) = state.users.remove(&id) else { return Ok(false) };
        state.emails.remove(&user.email);
        state.history.forget_all(id);
        for session in state.ids_of(id) {
            state.forget(session);
        }
        Ok(true)
    }
}

#[async_trait]
impl Portable for MemoryStore {
    async fn count(&self) -> Result<Counted, PortError> {
        let state = self.state();
        let count = |len| u64::try_from(len).unwrap_or(u64::MAX);
        Ok(Counted { users: count(state.users.len()), sessions: count(state.sessions.len()) })
    }

    async fn users_after(&self, after: Option<UserId>, limit: u32) -> Result<Vec<User>, PortError> {
        let mut users: Vec<_> = self.state().users.values().filter(|user| Some(user.id) > after).cloned().collect();
        users.sort_by_key(|user| user.id);
        users.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(users)
    }

    async fn sessions_after(&self, after: Option<SessionId>, limit: u32) -> Result<Vec<Snapshot>, PortError> {
        let state = self.state();
        let mut sessions: Vec<_> = state.sessions.values().filter(|s| Some(s.session.id) > after).cloned().collect();
        sessions.sort_by_key(|snapshot| snapshot.session.id);
        sessions.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(sessions)
    }

    async fn keep_users(&self, users: Vec<User>) -> Result<u64, PortError> {
        let mut state = self.state();
        let mut left_out = 0;
        for mut coming in users {
            if state.emails.get(&coming.email).is_some_and(|owner| *owner != coming.id) {
                left_out += 1;
                continue;
            }
            if let Some(there) = state.users.get(&coming.id).cloned() {
                if there.updated_at >= coming.updated_at {
                    continue;
                }
                coming.epoch = coming.epoch.max(there.epoch);
                coming.created_at = there.created_at;
                state.emails.remove(&there.email);
            }
            state.emails.insert(coming.email.clone(), coming.id);
            state.users.insert(coming.id, coming);
        }
        Ok(left_out)
    }

    async fn add_users(&self, users: Vec<User>) -> Result<Vec<UserId>, PortError> {
        let mut state = self.state();
        let mut added = Vec::new();
        for user in users {
            if state.emails.contains_key(&user.email) || state.users.contains_key(&user.id) {
                continue;
            }
            added.push(user.id);
            state.emails.insert(user.email.clone(), user.id);
            state.users.insert(user.id, user);
        }
        Ok(added)
    }

    async fn keep_sessions(&self, sessions: Vec<Snapshot>) -> Result<u64, PortError> {
        let mut state = self.state();
        let mut left_out = 0;
        for coming in sessions {
            if self.knows_users && !state.users.contains_key(&coming.session.user) {
                left_out += 1;
                continue;
            }
            let id = coming.session.id;
            let Some(later) = later_of(state.sessions.get(&id), coming) else { continue };
            state.lookups.insert(later.lookup.clone(), id);
            state.of_user.entry(later.session.user).or_default().insert(id);
            state.sessions.insert(id, later);
        }
        Ok(left_out)
    }
}
