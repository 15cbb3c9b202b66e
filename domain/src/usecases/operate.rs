//! What the operator does at the command line with users and sessions, whoever they belong to.
//!
//! Every end is the same compare-and-set as any other, so services that run beside see it at once.

use std::sync::Arc;
use std::time::Duration;

use super::sessions::{Listed, Sessions, end_all};
use super::{Ports, account};
use crate::address::AddressRange;
use crate::history::Origin;
use crate::ids::{SessionId, UserId};
use crate::policy::PasswordPolicy;
use crate::ports::{AddUserOutcome, End, EndAll, EndOutcome, Event, PasswordChange, PortError, Portable, SessionKey};
use crate::reason::EndReason;
use crate::session::{Session, Snapshot};
use crate::time::Timestamp;
use crate::user::{Email, Epoch, InvalidEmail, InvalidPassword, Password, User};

/// An operator acts from no address that a user would know.
const HERE: Origin = Origin { ip: None, user_agent: None };

/// The use case.
#[derive(Clone)]
pub struct Operate {
    ports: Ports,
    users: Arc<dyn Portable>,
    sessions: Arc<dyn Portable>,
    policy: PasswordPolicy,
}

/// Which user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// By id.
    Id(UserId),
    /// By address.
    Email(Email),
}

impl Who {
    /// Reads an id, or else an address.
    ///
    /// # Errors
    /// [`InvalidEmail`]: it is neither.
    pub fn parse(text: &str) -> Result<Self, InvalidEmail> {
        text.parse().map(Self::Id).or_else(|_| Email::parse(text).map(Self::Email))
    }
}

/// What adding a user came to.
#[derive(Debug)]
pub enum Added {
    /// The new user.
    Added(User),
    /// Another user has the address.
    EmailTaken,
    /// The password does not meet the policy.
    PasswordRefused(InvalidPassword),
}

/// What setting a password came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordSet {
    /// Set, and so many sessions ended.
    Done {
        /// How many.
        ended: usize,
    },
    /// There is no such user.
    NotFound,
    /// The password does not meet the policy.
    PasswordRefused(InvalidPassword),
    /// It was changed by somebody else each time that it was tried.
    Overtaken,
}

/// Which sessions: those that meet every condition that is there. Each is about what never changes in a session, so one
/// that is met stays met.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Which {
    /// Signed in before this instant.
    pub created_before: Option<Timestamp>,
    /// Signed in from one of these addresses.
    pub address: Option<AddressRange>,
    /// Signed in with a user agent that contains this text.
    pub user_agent: Option<String>,
}

impl Which {
    /// Whether it has no condition, which every session would meet.
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// Whether this session meets all conditions. What is not known of a session meets none.
    pub fn met_by(&self, session: &Session) -> bool {
        let device = &session.device;
        self.created_before.is_none_or(|before| session.created_at < before)
            && self.address.is_none_or(|range| device.ip.as_deref().is_some_and(|ip| range.contains(ip)))
            && self
                .user_agent
                .as_deref()
                .is_none_or(|part| device.user_agent.as_deref().is_some_and(|it| it.contains(part)))
    }
}

/// Whether sessions are ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// They are.
    End,
    /// Nothing is changed: they are counted.
    Count,
}

/// What a batch of looking at all sessions came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Looked {
    /// How many were looked at.
    pub looked_at: u64,
    /// How many of them are live and meet the conditions; to end, how many this call ended.
    pub met: u64,
    /// Where the next batch begins; `None` when there is none.
    pub next: Option<SessionId>,
}

impl Operate {
    /// Sessions per batch.
    const BATCH: u32 = 500;
    /// How often a password is set again that was changed meanwhile.
    const ATTEMPTS: usize = 5;

    /// With these ports, all users, all sessions, and this policy.
    pub fn new(ports: Ports, users: Arc<dyn Portable>, sessions: Arc<dyn Portable>, policy: PasswordPolicy) -> Self {
        Self { ports, users, sessions, policy }
    }

    /// At most `limit` users with ids after `after`, in the order of their ids; empty at the end.
    ///
    /// # Errors
    /// [`PortError`]: could not find out.
    pub async fn users_after(&self, after: Option<UserId>, limit: u32) -> Result<Vec<User>, PortError> {
        self.users.users_after(after, limit).await
    }

    /// The user, if there is one.
    ///
    /// # Errors
    /// [`PortError`]: could not find out.
    pub async fn user(&self, who: &Who) -> Result<Option<User>, PortError> {
        match who {
            Who::Id(id) => self.ports.users.find(*id).await,
            Who::Email(email) => self.ports.users.find_by_email(email).await,
        }
    }

    /// A new user.
    ///
    /// # Errors
    /// [`PortError`]: whether the user was added is not known; look.
    pub async fn add_user(&self, email: Email, password: Password) -> Result<Added, PortError> {
        if let Err(why) = password.allowed_by(self.policy) {
            return Ok(Added::PasswordRefused(why));
        }
        let password_hash = self.ports.passwords.hash(password).await?;
        let now = self.ports.clock.now();
        let id = self.ports.ids.user();
        let user = User { id, email, password_hash, epoch: Epoch::default(), created_at: now, updated_at: now };
        match self.ports.users.add(user.clone()).await? {
            AddUserOutcome::EmailTaken => Ok(Added::EmailTaken),
            AddUserOutcome::Added => {
                self.ports.events.record(Event::UserRegistered { user: id }, &HERE);
                Ok(Added::Added(user))
            }
        }
    }

    /// Sets a password and ends all of the user's sessions, a sign-in that is under way included.
    ///
    /// # Errors
    /// [`PortError`]: whether it was set is not known; set it again.
    pub async fn set_password(&self, who: &Who, password: Password) -> Result<PasswordSet, PortError> {
        if let Err(why) = password.allowed_by(self.policy) {
            return Ok(PasswordSet::PasswordRefused(why));
        }
        let to = self.ports.passwords.hash(password).await?;
        for _ in 0..Self::ATTEMPTS {
            let Some(user) = self.user(who).await? else { return Ok(PasswordSet::NotFound) };
            let now = self.ports.clock.now();
            let (user, from) = (user.id, user.password_hash);
            let change = PasswordChange { user, from, to: to.clone(), now, advance_epoch: true };
            if self.ports.users.set_password(change).await? {
                self.ports.tell([Event::PasswordChanged { user }], user, now, &HERE).await;
                let end = EndAll { user, but: None, reason: EndReason::PasswordChanged, at: now };
                return Ok(PasswordSet::Done { ended: end_all(&self.ports, end, &HERE).await? });
            }
        }
        Ok(PasswordSet::Overtaken)
    }

    /// Deletes a user and the user's sessions, and says how many of them were live; `None`: there is no such user.
    ///
    /// # Errors
    /// [`PortError`]: whether the user was deleted is not known; delete again.
    pub async fn delete_user(&self, who: &Who) -> Result<Option<usize>, PortError> {
        match self.user(who).await? {
            Some(user) => account::delete(&self.ports, user.id, &HERE).await.map(Some),
            None => Ok(None),
        }
    }

    /// The sessions of a user that are still kept; `None`: there is no such user.
    ///
    /// # Errors
    /// [`PortError`]: could not find out.
    pub async fn sessions_of(&self, who: &Who) -> Result<Option<Listed>, PortError> {
        match self.user(who).await? {
            Some(user) => Sessions::new(self.ports.clone()).list(user.id).await.map(Some),
            None => Ok(None),
        }
    }

    /// One session, if it is still kept, and the instant as of which it is.
    ///
    /// # Errors
    /// [`PortError`]: could not find out.
    pub async fn session(&self, id: SessionId) -> Result<Option<(Snapshot, Timestamp)>, PortError> {
        let found = self.ports.sessions.find(&SessionKey::Id(id)).await?;
        Ok(found.map(|snapshot| (snapshot, self.ports.clock.now())))
    }

    /// Ends one session.
    ///
    /// # Errors
    /// [`PortError`]: whether it ended is not known; end it again.
    pub async fn end_session(&self, id: SessionId) -> Result<EndOutcome, PortError> {
        let reason = EndReason::EndedByOperator;
        let end = End { session: SessionKey::Id(id), reason, at: self.ports.clock.now(), only_while: None };
        self.ports.end(end, id, None, &HERE).await
    }

    /// Ends all sessions of a user, a sign-in that is under way included, and says how many; `None`: there is no such
    /// user.
    ///
    /// # Errors
    /// [`PortError`]: which sessions ended is not known; end them again.
    pub async fn end_sessions_of(&self, who: &Who) -> Result<Option<usize>, PortError> {
        let Some(user) = self.user(who).await?.map(|user| user.id) else { return Ok(None) };
        let at = self.ports.clock.now();
        self.ports.users.advance_epoch(user, at).await?;
        let end = EndAll { user, but: None, reason: EndReason::EndedByOperator, at };
        end_all(&self.ports, end, &HERE).await.map(Some)
    }

    /// The instant so long ago.
    pub fn ago(&self, span: Duration) -> Timestamp {
        self.ports.clock.now().minus(span)
    }

    /// Looks at the sessions with ids after `after`, one batch, and counts or ends those that are live and meet the
    /// conditions; call again with `next`. A session that is opened meanwhile may be missed.
    ///
    /// # Errors
    /// [`PortError`]: some may have ended; call again.
    pub async fn look(&self, which: &Which, after: Option<SessionId>, act: Act) -> Result<Looked, PortError> {
        let batch = self.sessions.sessions_after(after, Self::BATCH).await?;
        let next = batch.last().map(|last| last.session.id);
        let now = self.ports.clock.now();
        let mut looked = Looked { looked_at: batch.len() as u64, met: 0, next };
        for snapshot in batch.iter().filter(|snapshot| snapshot.is_live(now) && which.met_by(&snapshot.session)) {
            let counts = match act {
                Act::Count => true,
                Act::End => self.end_session(snapshot.session.id).await? == EndOutcome::Ended,
            };
            looked.met += u64::from(counts);
        }
        Ok(looked)
    }
}
