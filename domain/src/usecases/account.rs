//! The user's own account: read it, change the password, delete it.

use super::Ports;
use super::authenticate::Caller;
use super::sessions::end_all;
use crate::history::Origin;
use crate::ids::UserId;
use crate::policy::PasswordPolicy;
use crate::ports::{EndAll, Event, PasswordChange, PortError, Verdict};
use crate::reason::EndReason;
use crate::user::{InvalidPassword, Password, User};

/// The use case.
#[derive(Clone)]
pub struct Account {
    ports: Ports,
    policy: PasswordPolicy,
}

/// What a change of the account came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// Done.
    Done,
    /// The current password is another.
    WrongPassword,
    /// The new password does not meet the policy.
    PasswordRefused(InvalidPassword),
    /// The account was deleted meanwhile.
    Gone,
    /// The password was changed meanwhile by somebody else: look again.
    Overtaken,
}

impl Account {
    /// With these ports and policy.
    pub fn new(ports: Ports, policy: PasswordPolicy) -> Self {
        Self { ports, policy }
    }

    /// The user; `None` if the account was deleted meanwhile.
    ///
    /// # Errors
    /// [`PortError`]: could not find out.
    pub async fn read(&self, user: UserId) -> Result<Option<User>, PortError> {
        self.ports.users.find(user).await
    }

    /// Changes the password and ends the user's other sessions, a sign-in that is under way included.
    ///
    /// # Errors
    /// [`PortError`]: whether it was changed is not known; look, and try again.
    pub async fn change_password(
        &self,
        caller: &Caller,
        current: Password,
        new: Password,
        from: &Origin,
    ) -> Result<Changed, PortError> {
        if let Err(why) = new.allowed_by(self.policy) {
            return Ok(Changed::PasswordRefused(why));
        }
        let user = match self.check(caller.user, current).await? {
            Ok(user) => user,
            Err(refused) => return Ok(refused),
        };
        let to = self.ports.passwords.hash(new).await?;
        let now = self.ports.clock.now();
        let change = PasswordChange { user: user.id, from: user.password_hash, to, now, advance_epoch: true };
        if !self.ports.users.set_password(change).await? {
            return Ok(Changed::Overtaken);
        }
        self.ports.tell([Event::PasswordChanged { user: user.id }], user.id, now, from).await;
        let but = Some(caller.session.id);
        end_all(&self.ports, EndAll { user: user.id, but, reason: EndReason::PasswordChanged, at: now }, from).await?;
        Ok(Changed::Done)
    }

    /// Deletes the account.
    ///
    /// # Errors
    /// [`PortError`]: whether it was deleted is not known; try again.
    pub async fn delete(&self, caller: &Caller, password: Password, from: &Origin) -> Result<Changed, PortError> {
        let user = match self.check(caller.user, password).await? {
            Ok(user) => user.id,
            Err(refused) => return Ok(refused),
        };
        delete(&self.ports, user, from).await?;
        Ok(Changed::Done)
    }

    async fn check(&self, user: UserId, password: Password) -> Result<Result<User, Changed>, PortError> {
        let Some(user) = self.ports.users.find(user).await? else { return Ok(Err(Changed::Gone)) };
        match self.ports.passwords.verify(password, Some(user.password_hash.clone())).await? {
            Verdict::Matches | Verdict::MatchesWeakly(_) => Ok(Ok(user)),
            Verdict::Differs => Ok(Err(Changed::WrongPassword)),
        }
    }
}

/// Ends the user's sessions, then removes the history, the user, and what is left of the sessions; says how many ended. A
/// crash in between leaves ended sessions, which the sweep forgets.
pub(super) async fn delete(ports: &Ports, user: UserId, from: &Origin) -> Result<usize, PortError> {
    let now = ports.clock.now();
    ports.users.advance_epoch(user, now).await?;
    let ended = end_all(ports, EndAll { user, but: None, reason: EndReason::UserDeleted, at: now }, from).await?;
    ports.history.forget_all(user).await?;
    ports.users.delete(user).await?;
    ports.sessions.forget_all(user).await?;
    ports.events.record(Event::UserDeleted { user }, from);
    Ok(ended)
}
