//! A store that goes away, comes back, falls ill or holds its breath when a test says so.

use std::sync::Arc;

use async_trait::async_trait;
use regrant_domain::history::Entry;
use regrant_domain::ids::{SessionId, UserId};
use regrant_domain::ports::{
    AddUserOutcome, End, EndAll, EndOutcome, HistoryRepository, NewSession, OpenOutcome, PasswordChange, PortError,
    RotateOutcome, Rotation, SessionKey, SessionRepository, Swept, UserRepository,
};
use regrant_domain::session::Snapshot;
use regrant_domain::time::Timestamp;
use regrant_domain::user::{Email, User};
use tokio::sync::watch;

/// A text that only causes have: it must never be seen outside.
pub(crate) const CAUSE: &str = "connection to 10.0.0.5:5432 reset";

/// How a store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    /// Does what it is asked.
    Well,
    /// Does nothing, and says so.
    Away,
    /// Does nothing, and someone must look.
    Corrupt,
    /// Does what it is asked, but its answers are lost.
    AnswersLost,
    /// Does nothing until it is well again.
    Stuck,
}

/// A store that can be any of that.
pub(crate) struct Unsteady<S: ?Sized> {
    inner: Arc<S>,
    health: watch::Sender<Health>,
}

impl<S: ?Sized> Unsteady<S> {
    pub(crate) fn new(inner: Arc<S>) -> Self {
        Self { inner, health: watch::Sender::new(Health::Well) }
    }

    /// From now on, it is this.
    pub(crate) fn becomes(&self, health: Health) {
        self.health.send_replace(health);
    }

    async fn pass<T>(&self, work: impl Future<Output = Result<T, PortError>>) -> Result<T, PortError> {
        let health = *self.health.borrow();
        match health {
            Health::Well => work.await,
            Health::Away => Err(PortError::unavailable("the store", CAUSE)),
            Health::Corrupt => Err(PortError::corrupt("the store", CAUSE)),
            Health::AnswersLost => {
                work.await?;
                Err(PortError::unavailable("the store", CAUSE))
            }
            Health::Stuck => {
                let _ = self.health.subscribe().wait_for(|health| *health == Health::Well).await;
                work.await
            }
        }
    }
}

#[async_trait]
impl<S: SessionRepository + ?Sized> SessionRepository for Unsteady<S> {
    async fn open(&self, new: NewSession) -> Result<OpenOutcome, PortError> {
        self.pass(self.inner.open(new)).await
    }
    async fn find(&self, key: &SessionKey) -> Result<Option<Snapshot>, PortError> {
        self.pass(self.inner.find(key)).await
    }
    async fn rotate(&self, rotation: Rotation) -> Result<RotateOutcome, PortError> {
        self.pass(self.inner.rotate(rotation)).await
    }
    async fn end(&self, end: End) -> Result<EndOutcome, PortError> {
        self.pass(self.inner.end(end)).await
    }
    async fn end_all(&self, end: EndAll) -> Result<Vec<SessionId>, PortError> {
        self.pass(self.inner.end_all(end)).await
    }
    async fn list(&self, user: UserId) -> Result<Vec<Snapshot>, PortError> {
        self.pass(self.inner.list(user)).await
    }
    async fn forget_all(&self, user: UserId) -> Result<(), PortError> {
        self.pass(self.inner.forget_all(user)).await
    }
    async fn sweep(&self, cutoff: Timestamp, limit: u32) -> Result<Swept, PortError> {
        self.pass(self.inner.sweep(cutoff, limit)).await
    }
}

#[async_trait]
impl<S: UserRepository + ?Sized> UserRepository for Unsteady<S> {
    async fn add(&self, user: User) -> Result<AddUserOutcome, PortError> {
        self.pass(self.inner.add(user)).await
    }
    async fn find(&self, id: UserId) -> Result<Option<User>, PortError> {
        self.pass(self.inner.find(id)).await
    }
    async fn find_by_email(&self, email: &Email) -> Result<Option<User>, PortError> {
        self.pass(self.inner.find_by_email(email)).await
    }
    async fn set_password(&self, change: PasswordChange) -> Result<bool, PortError> {
        self.pass(self.inner.set_password(change)).await
    }
    async fn advance_epoch(&self, id: UserId, now: Timestamp) -> Result<bool, PortError> {
        self.pass(self.inner.advance_epoch(id, now)).await
    }
    async fn delete(&self, id: UserId) -> Result<bool, PortError> {
        self.pass(self.inner.delete(id)).await
    }
}

#[async_trait]
impl<S: HistoryRepository + ?Sized> HistoryRepository for Unsteady<S> {
    async fn append(&self, entries: Vec<Entry>) -> Result<(), PortError> {
        self.pass(self.inner.append(entries)).await
    }
    async fn of_session(&self, session: SessionId) -> Result<Vec<Entry>, PortError> {
        self.pass(self.inner.of_session(session)).await
    }
    async fn of_account(&self, user: UserId) -> Result<Vec<Entry>, PortError> {
        self.pass(self.inner.of_account(user)).await
    }
    async fn forget_all(&self, user: UserId) -> Result<(), PortError> {
        self.pass(self.inner.forget_all(user)).await
    }
    async fn sweep(&self, cutoff: Timestamp, limit: u32) -> Result<Swept, PortError> {
        self.pass(self.inner.sweep(cutoff, limit)).await
    }
}
