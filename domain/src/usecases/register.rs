//! Sign up.

use super::Ports;
use super::limits::Try;
use crate::history::Origin;
use crate::limit::Limited;
use crate::policy::PasswordPolicy;
use crate::ports::{AddUserOutcome, Event, PortError, Verdict};
use crate::user::{Email, Epoch, InvalidPassword, Password, User};

/// The use case.
#[derive(Clone)]
pub struct Register {
    ports: Ports,
    policy: PasswordPolicy,
    taken: TakenEmail,
}

/// What a stranger is told who signs up with an address that has an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakenEmail {
    /// Nothing: the answer looks like a new account's, and costs the same.
    Hide,
    /// That it is taken.
    Tell,
}

/// What a sign-up came to.
#[derive(Debug)]
pub enum Registered {
    /// The account; or, where the address is taken and that is to be hidden, one that does not exist.
    Account(User),
    /// Another account has the address.
    EmailTaken,
    /// The password does not meet the policy.
    PasswordRefused(InvalidPassword),
    /// Too many tries; nothing was checked.
    Limited(Limited),
}

impl Register {
    /// With these ports and policies.
    pub fn new(ports: Ports, policy: PasswordPolicy, taken: TakenEmail) -> Self {
        Self { ports, policy, taken }
    }

    /// Runs it. Repeated with the same address and password (after a lost answer, say), it answers the same account.
    ///
    /// # Errors
    /// [`PortError`]: whether the account was made is not known; the same request may be sent again.
    pub async fn run(&self, email: Email, password: Password, from: &Origin) -> Result<Registered, PortError> {
        if let Err(why) = password.allowed_by(self.policy) {
            return Ok(Registered::PasswordRefused(why));
        }
        // Whoever signs up with an address that is taken tries its owner's password. It counts in any case, and is never
        // given back: otherwise the number of tries would tell whether there is an account.
        if let Try::Limited(limited) = self.ports.count_try(&email, from).await? {
            return Ok(Registered::Limited(limited));
        }
        if let Some(owner) = self.ports.users.find_by_email(&email).await? {
            return self.taken(owner, password).await;
        }
        let password_hash = self.ports.passwords.hash(password).await?;
        let now = self.ports.clock.now();
        let user = User {
            id: self.ports.ids.user(),
            email,
            password_hash,
            epoch: Epoch::default(),
            created_at: now,
            updated_at: now,
        };
        match self.ports.users.add(user.clone()).await? {
            AddUserOutcome::Added => {
                self.ports.events.record(Event::UserRegistered { user: user.id }, from);
                Ok(Registered::Account(user))
            }
            // Someone was faster by milliseconds: too rare and too late to compare passwords.
            AddUserOutcome::EmailTaken => Ok(self.hidden(user)),
        }
    }

    async fn taken(&self, owner: User, password: Password) -> Result<Registered, PortError> {
        match self.ports.passwords.verify(password, Some(owner.password_hash.clone())).await? {
            Verdict::Matches | Verdict::MatchesWeakly(_) => Ok(Registered::Account(owner)),
            Verdict::Differs => {
                let now = self.ports.clock.now();
                Ok(self.hidden(User { id: self.ports.ids.user(), created_at: now, updated_at: now, ..owner }))
            }
        }
    }

    fn hidden(&self, made_up: User) -> Registered {
        match self.taken {
            TakenEmail::Hide => Registered::Account(made_up),
            TakenEmail::Tell => Registered::EmailTaken,
        }
    }
}
