//! Sign in: check the password, open a session.

use super::limits::Try;
use super::refresh::Granted;
use super::{Grantee, Ports};
use crate::decide::{Rules, idle_expiry, kept_access};
use crate::history::Origin;
use crate::ids::{SessionId, UserId};
use crate::limit::Limited;
use crate::policy::{AccessPolicy, RefreshPolicy, SessionPolicy, WhenFull};
use crate::ports::{End, Event, NewSession, OpenOutcome, PasswordChange, PortError, SessionKey, TokenFacts, Verdict};
use crate::reason::EndReason;
use crate::refresh_token::{Lifetime, LookupKey, Recent, RefreshToken, TokenState};
use crate::session::{Device, Session, Snapshot, Status};
use crate::time::Timestamp;
use crate::user::{Email, Password, PasswordHash, User};

/// The use case.
#[derive(Clone)]
pub struct SignIn {
    ports: Ports,
    policy: SignInPolicy,
}

/// What a sign-in depends on.
#[derive(Debug, Clone, Copy)]
pub struct SignInPolicy {
    /// Lifetimes of the refresh token.
    pub refresh: RefreshPolicy,
    /// Lifetimes of the access token.
    pub access: AccessPolicy,
    /// Lifetime and number of sessions.
    pub session: SessionPolicy,
}

/// What a sign-in came to.
#[derive(Debug)]
pub enum SignedIn {
    /// A new session.
    Granted {
        /// The user.
        user: User,
        /// Its tokens; the refresh token is always present.
        tokens: Granted,
    },
    /// Unknown address or wrong password: one answer, at one cost.
    Refused,
    /// The user has as many sessions as the policy allows.
    TooManySessions,
    /// Too many tries; nothing was checked.
    Limited(Limited),
    /// All of the user's sessions were ended while this one was being opened, which covers it: sign in again.
    Overtaken,
}

impl SignIn {
    /// With these ports and policies.
    pub fn new(ports: Ports, policy: SignInPolicy) -> Self {
        Self { ports, policy }
    }

    /// Runs it.
    ///
    /// # Errors
    /// [`PortError`]: nothing was handed out; the same request may be sent again.
    pub async fn run(
        &self,
        email: &Email,
        password: Password,
        device: Device,
        lifetime: Lifetime,
    ) -> Result<SignedIn, PortError> {
        let from = device.origin();
        let taken = match self.ports.count_try(email, &from).await? {
            Try::Counted(taken) => taken,
            Try::Limited(limited) => return Ok(SignedIn::Limited(limited)),
        };
        let found = self.ports.users.find_by_email(email).await?;
        let stored = found.as_ref().map(|user| user.password_hash.clone());
        let verdict = self.ports.passwords.verify(password, stored).await?;
        let user = match (found, verdict) {
            (Some(user), Verdict::Matches) => user,
            (Some(user), Verdict::MatchesWeakly(better)) => self.upgrade(user, better).await,
            (found, _) => {
                self.tell_failure(found.map(|user| user.id), &from);
                return Ok(SignedIn::Refused);
            }
        };
        self.ports.give_back(taken);
        self.open(user, device, lifetime).await
    }

    /// A better hash of the same password. A sign-in does not fail for the lack of it.
    async fn upgrade(&self, user: User, better: PasswordHash) -> User {
        let now = self.ports.clock.now();
        let change =
            PasswordChange { user: user.id, from: user.password_hash.clone(), to: better, now, advance_epoch: false };
        // Lost to a change of the password, or the store is away: the next sign-in tries again.
        let _ = self.ports.users.set_password(change).await;
        user
    }

    /// In the background: how long the answer takes must not tell whether the address has an account.
    fn tell_failure(&self, user: Option<UserId>, from: &Origin) {
        let event = Event::SignInFailed { user };
        match user {
            Some(user) => self.ports.tell_in_background(event, user, self.ports.clock.now(), from),
            None => self.ports.events.record(event, from),
        }
    }

    async fn open(&self, user: User, device: Device, lifetime: Lifetime) -> Result<SignedIn, PortError> {
        let now = self.ports.clock.now();
        if self.is_full(&user, now).await? {
            return Ok(SignedIn::TooManySessions);
        }
        let (new, token) = self.new_session(&user, device, lifetime, now)?;
        let (id, from) = (new.session.id, new.session.device.origin());
        let whose = Whose { user: user.id, from: &from, now };
        let (ends_at, expires_at) = (new.session.ends_at, new.token.expires_at);
        if self.ports.sessions.open(new).await? == OpenOutcome::NoSuchUser {
            return Ok(SignedIn::Refused);
        }
        // Whoever ends all sessions raises the epoch first and then ends what is there. So either they saw this
        // session, or this sees the new epoch.
        let after = self.ports.users.find(user.id).await?;
        if after.as_ref().is_none_or(|after| after.epoch != user.epoch) {
            let reason = if after.is_some() { EndReason::SignedOutElsewhere } else { EndReason::UserDeleted };
            self.end(id, reason, whose).await?;
            return Ok(if after.is_some() { SignedIn::Overtaken } else { SignedIn::Refused });
        }
        self.make_room(id, whose).await?;
        self.ports.tell([Event::SessionOpened { user: user.id, session: id }], user.id, now, &from).await;
        let (email, of) = (Some(user.email.clone()), Some(&token));
        let grantee = Grantee { user: user.id, session: id, ends_at, email, of, access_expires_at: None };
        let (access, expires_in) = self.ports.grant_access(self.policy.access, grantee, now)?;
        let refresh = self.ports.codec.encode(&token, &TokenFacts { user: user.id, expires_at })?;
        Ok(SignedIn::Granted { user, tokens: Granted { access, expires_in, refresh: Some(refresh), session: id } })
    }

    fn new_session(
        &self,
        user: &User,
        device: Device,
        lifetime: Lifetime,
        now: Timestamp,
    ) -> Result<(NewSession, RefreshToken), PortError> {
        let codec = &self.ports.codec;
        let ring = codec.ring();
        let id = self.ports.ids.session();
        let token = RefreshToken::first(id, self.ports.randomness.secret(codec.secret_len())?, lifetime, &ring);
        let ends_at = now.plus(self.policy.session.age(lifetime));
        let session = Session { id, user: user.id, created_at: now, ends_at, device, status: Status::Live };
        let expires_at = idle_expiry(now, &self.policy.refresh, lifetime).min(ends_at);
        let lookup: LookupKey = codec.lookup(&token);
        let rules = Rules { policy: &self.policy.refresh, access: &self.policy.access, ring: &ring };
        let access = kept_access(&token, now, ends_at, &rules);
        let state = TokenState { held: token.held(), expires_at, recent: Recent::default(), access };
        Ok((NewSession { session, lookup, token: state }, token))
    }

    async fn is_full(&self, user: &User, now: Timestamp) -> Result<bool, PortError> {
        let SessionPolicy { max_per_user: Some(max), when_full: WhenFull::Deny, .. } = self.policy.session else {
            return Ok(false);
        };
        let live = self.ports.sessions.list(user.id).await?.iter().filter(|s| s.is_live(now)).count();
        Ok(live >= max.get() as usize)
    }

    /// Ends as many of the user's other sessions as the policy asks for.
    async fn make_room(&self, but: SessionId, whose: Whose<'_>) -> Result<(), PortError> {
        let SessionPolicy { max_per_user: Some(max), when_full, .. } = self.policy.session else { return Ok(()) };
        let age = |snapshot: &Snapshot| match when_full {
            WhenFull::Deny => None,
            WhenFull::EndOldest => Some(snapshot.session.created_at),
            WhenFull::EndLeastRecent => Some(snapshot.last_refreshed_at().unwrap_or(snapshot.session.created_at)),
        };
        let all = self.ports.sessions.list(whose.user).await?;
        let mut others: Vec<_> = all
            .iter()
            .filter(|snapshot| snapshot.session.id != but && snapshot.is_live(whose.now))
            .filter_map(|snapshot| age(snapshot).map(|age| (age, snapshot.session.id)))
            .collect();
        others.sort_unstable();
        let surplus = (others.len() + 1).saturating_sub(max.get() as usize);
        for (_, id) in others.into_iter().take(surplus) {
            self.end(id, EndReason::SessionLimit, whose).await?;
        }
        Ok(())
    }

    async fn end(&self, session: SessionId, reason: EndReason, whose: Whose<'_>) -> Result<(), PortError> {
        let end = End { session: SessionKey::Id(session), reason, at: whose.now, only_while: None };
        self.ports.end(end, session, Some(whose.user), whose.from).await.map(drop)
    }
}

/// Who signs in, from where, and when.
#[derive(Clone, Copy)]
struct Whose<'a> {
    user: UserId,
    from: &'a Origin,
    now: Timestamp,
}
