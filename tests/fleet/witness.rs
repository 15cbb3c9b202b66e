//! Who opened a session upon which state of its user: a request runs in one task, so what it reads and what it opens
//! afterwards are told together by the task.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use regrant_domain::ids::{SessionId, UserId};
use regrant_domain::ports::{
    AddUserOutcome, End, EndAll, EndOutcome, NewSession, OpenOutcome, PasswordChange, PortError, RotateOutcome,
    Rotation, SessionKey, SessionRepository, Swept, UserRepository,
};
use regrant_domain::session::Snapshot;
use regrant_domain::time::Timestamp;
use regrant_domain::user::{Email, Epoch, User};
use tokio::task;

/// What was seen, in all instances.
#[derive(Default)]
pub(super) struct Seen {
    read: Mutex<HashMap<task::Id, Epoch>>,
    opened: Mutex<HashMap<SessionId, Epoch>>,
}

impl Seen {
    /// The epoch that the sign-in had read which opened this session.
    pub(super) fn epoch_of(&self, session: SessionId) -> Epoch {
        *self.opened.lock().unwrap().get(&session).expect("it was opened by a sign-in")
    }

    /// How many sessions were opened upon this epoch.
    pub(super) fn opened_upon(&self, epoch: Epoch) -> usize {
        self.opened.lock().unwrap().values().filter(|seen| **seen == epoch).count()
    }
}

/// Sees what passes through it.
pub(super) struct Witness<S: ?Sized> {
    pub(super) inner: Arc<S>,
    pub(super) seen: Arc<Seen>,
}

#[async_trait]
impl SessionRepository for Witness<dyn SessionRepository> {
    async fn open(&self, new: NewSession) -> Result<OpenOutcome, PortError> {
        let epoch = self.seen.read.lock().unwrap().remove(&task::id()).expect("a sign-in reads its user first");
        self.seen.opened.lock().unwrap().insert(new.session.id, epoch);
        self.inner.open(new).await
    }
    async fn find(&self, key: &SessionKey) -> Result<Option<Snapshot>, PortError> {
        self.inner.find(key).await
    }
    async fn rotate(&self, rotation: Rotation) -> Result<RotateOutcome, PortError> {
        self.inner.rotate(rotation).await
    }
    async fn end(&self, end: End) -> Result<EndOutcome, PortError> {
        self.inner.end(end).await
    }
    async fn end_all(&self, end: EndAll) -> Result<Vec<SessionId>, PortError> {
        self.inner.end_all(end).await
    }
    async fn list(&self, user: UserId) -> Result<Vec<Snapshot>, PortError> {
        self.inner.list(user).await
    }
    async fn forget_all(&self, user: UserId) -> Result<(), PortError> {
        self.inner.forget_all(user).await
    }
    async fn sweep(&self, cutoff: Timestamp, limit: u32) -> Result<Swept, PortError> {
        self.inner.sweep(cutoff, limit).await
    }
}

#[async_trait]
impl UserRepository for Witness<dyn UserRepository> {
    async fn find_by_email(&self, email: &Email) -> Result<Option<User>, PortError> {
        let found = self.inner.find_by_email(email).await?;
        if let Some(user) = &found {
            self.seen.read.lock().unwrap().insert(task::id(), user.epoch);
        }
        Ok(found)
    }
    async fn add(&self, user: User) -> Result<AddUserOutcome, PortError> {
        self.inner.add(user).await
    }
    async fn find(&self, id: UserId) -> Result<Option<User>, PortError> {
        self.inner.find(id).await
    }
    async fn set_password(&self, change: PasswordChange) -> Result<bool, PortError> {
        self.inner.set_password(change).await
    }
    async fn advance_epoch(&self, id: UserId, now: Timestamp) -> Result<bool, PortError> {
        self.inner.advance_epoch(id, now).await
    }
    async fn delete(&self, id: UserId) -> Result<bool, PortError> {
        self.inner.delete(id).await
    }
}
