//! Trade a refresh token for its successor and a new access token.

use std::time::Duration;

use super::{Grantee, Ports};
use crate::access_token::AccessToken;
use crate::decide::{Advance, Asked, Decision, Rules, decide, idle_expiry, kept_access};
use crate::history::Origin;
use crate::ids::{SessionId, UserId};
use crate::limit::Limited;
use crate::policy::{AccessPolicy, RefreshPolicy};
use crate::ports::{
    End, EndOutcome, Event, PortError, RotateOutcome, Rotated, Rotation, SessionKey, Spends, TokenFacts,
};
use crate::reason::{EndReason, Refusal};
use crate::refresh_token::{Held, LookupKey, Presented, RefreshToken, RetryKey, RetryKeyHash, Spent};
use crate::secret::TokenText;
use crate::session::{Session, Snapshot};
use crate::time::Timestamp;
use crate::token_key::TokenKeyRing;

/// How often a lost compare-and-set is decided anew before the request is given up as unavailable. Each loss means that
/// another request went through, so this bounds a pathological race, not an honest one.
const ATTEMPTS: usize = 16;

/// The use case.
#[derive(Clone)]
pub struct Refresh {
    ports: Ports,
    policy: RefreshPolicy,
    access: AccessPolicy,
}

/// What a refresh came to.
#[derive(Debug)]
pub enum Refreshed {
    /// New tokens.
    Granted(Granted),
    /// The token is ours, and refused for this reason. Where the reason is an end, the end is committed.
    Refused(Refusal),
    /// Not a token of this deployment.
    NotAuthentic,
    /// Too many of this session; the token is as good as before.
    Limited(Limited),
}

/// What a successful refresh or sign-in hands out.
#[derive(Debug)]
pub struct Granted {
    /// The new access token.
    pub access: AccessToken,
    /// How long the access token lasts, in whole seconds.
    pub expires_in: Duration,
    /// The refresh token to use next; `None` where the presented one stays.
    pub refresh: Option<TokenText>,
    /// The session.
    pub session: SessionId,
}

impl Refresh {
    /// With these ports and policies.
    pub fn new(ports: Ports, policy: RefreshPolicy, access: AccessPolicy) -> Self {
        Self { ports, policy, access }
    }

    /// Runs it.
    ///
    /// # Errors
    /// [`PortError`]: whether the token was spent is not known; the same request may be sent again.
    pub async fn run(&self, text: &str, retry_key: Option<RetryKey>, from: &Origin) -> Result<Refreshed, PortError> {
        let Ok(presented) = self.ports.codec.decode(text) else { return Ok(Refreshed::NotAuthentic) };
        if let Some(limited) = self.ports.count_refresh(&presented, from).await? {
            return Ok(Refreshed::Limited(limited));
        }
        let now = self.ports.clock.now();
        let ring = self.ports.codec.ring();
        let retry_key = match (&presented, &retry_key) {
            (Presented::Chained(token), Some(key)) => Some(key.hash_for(token.session)),
            _ => None,
        };
        let request = Request { refresh: self, presented: &presented, retry_key, now, ring: &ring, from };
        if let Presented::Chained(token) = &presented
            && self.policy.rotate
            && !presented.says_expired(now)
            && let Some(granted) = request.rotate_optimistically(token).await?
        {
            return Ok(granted);
        }
        for _ in 0..ATTEMPTS {
            if let Some(outcome) = request.read_and_decide().await? {
                return Ok(outcome);
            }
        }
        Err(PortError::unavailable("the session", "too many requests for one session at once"))
    }
}

/// The compare-and-set of the fast path: correct without having read anything, because it applies exactly where
/// [`decide`](fn@crate::decide::decide) says [`Rotate`](Decision::Rotate), and then comes to the same state.
pub fn optimistic_rotation(
    token: &RefreshToken,
    retry_key: Option<RetryKeyHash>,
    now: Timestamp,
    rules: &Rules<'_>,
) -> (Rotation, RefreshToken) {
    let successor = rules.ring.successor(token, token.generation.next());
    let rotation = Rotation {
        lookup: LookupKey::of_session(token.session),
        from: token.held(),
        to: successor.held(),
        spends: Spends::Append(Spent { generation: token.generation, at: now, retry_key }),
        now,
        idle_expires_at: idle_expiry(now, rules.policy, token.lifetime),
        access: kept_access(&successor, now, Timestamp::MAX, rules),
    };
    (rotation, successor)
}

struct Request<'a> {
    refresh: &'a Refresh,
    presented: &'a Presented,
    retry_key: Option<RetryKeyHash>,
    now: Timestamp,
    ring: &'a TokenKeyRing,
    from: &'a Origin,
}

impl Request<'_> {
    fn rules(&self) -> Rules<'_> {
        Rules { policy: &self.refresh.policy, access: &self.refresh.access, ring: self.ring }
    }

    /// For what has no place in a history: what happens all the time, and what happens to nobody.
    fn tell(&self, event: Event) {
        self.refresh.ports.events.record(event, self.from);
    }

    async fn happened(&self, event: Event, user: UserId) {
        self.refresh.ports.tell([event], user, self.now, self.from).await;
    }

    /// One round trip; `None` if it did not apply.
    async fn rotate_optimistically(&self, token: &RefreshToken) -> Result<Option<Refreshed>, PortError> {
        let (rotation, successor) = optimistic_rotation(token, self.retry_key, self.now, &self.rules());
        match self.refresh.ports.sessions.rotate(rotation).await? {
            RotateOutcome::Rotated(facts) => {
                self.tell(Event::Rotated { session: token.session, generation: successor.generation });
                self.grant(Gives::new(facts, token.session, successor)).await.map(Some)
            }
            RotateOutcome::NotCurrent => Ok(None),
        }
    }

    /// `None`: what was decided upon has moved meanwhile.
    async fn read_and_decide(&self) -> Result<Option<Refreshed>, PortError> {
        let sessions = &self.refresh.ports.sessions;
        let snapshot = sessions.find(&SessionKey::Lookup(self.presented.lookup())).await?;
        let asked = Asked { presented: self.presented, retry_key: self.retry_key, now: self.now };
        let decision = decide(snapshot.as_ref(), &asked, &self.rules());
        let Some(snapshot) = snapshot else { return Ok(Some(self.unknown())) };
        let (id, user) = (snapshot.session.id, snapshot.session.user);
        match decision {
            Decision::Refuse(why) => {
                self.happened(Event::Refused { session: Some(id), why }, user).await;
                Ok(Some(Refreshed::Refused(why)))
            }
            Decision::Serve => self.grant(Gives::same(&snapshot)).await.map(Some),
            Decision::Replay(successor) => {
                self.happened(Event::Replayed { session: id, generation: successor.generation }, user).await;
                self.grant(Gives::again(&snapshot, successor, self.now)).await.map(Some)
            }
            Decision::Rotate(step) => {
                let event = Event::Rotated { session: id, generation: step.token.generation };
                self.advance(&snapshot, step, event).await
            }
            Decision::Reissue(step) => {
                let event = Event::Reissued { session: id, generation: step.token.generation };
                self.advance(&snapshot, step, event).await
            }
            Decision::Heal(step) => {
                let (stored, presented) = (step.from.generation, self.generation(&step));
                self.advance(&snapshot, step, Event::Healed { session: id, stored, presented }).await
            }
            Decision::End(reason) => self.end(&snapshot, snapshot.token.held, reason).await,
        }
    }

    fn generation(&self, step: &Advance) -> crate::refresh_token::Generation {
        match self.presented {
            Presented::Chained(token) => token.generation,
            Presented::Bare(_) => step.from.generation,
        }
    }

    /// A bare token proves nothing by itself: where the store does not know it, it is not ours.
    fn unknown(&self) -> Refreshed {
        match self.presented {
            Presented::Chained(token) => {
                self.tell(Event::Refused { session: Some(token.session), why: Refusal::Unknown });
                Refreshed::Refused(Refusal::Unknown)
            }
            Presented::Bare(_) => Refreshed::NotAuthentic,
        }
    }

    async fn advance(&self, snapshot: &Snapshot, step: Advance, event: Event) -> Result<Option<Refreshed>, PortError> {
        let rotation = Rotation {
            lookup: snapshot.lookup.clone(),
            from: step.from,
            to: step.state.held,
            spends: Spends::Replace(step.state.recent),
            now: self.now,
            idle_expires_at: step.state.expires_at,
            access: step.state.access,
        };
        match self.refresh.ports.sessions.rotate(rotation).await? {
            RotateOutcome::Rotated(facts) => {
                self.happened(event, facts.user).await;
                self.grant(Gives::new(facts, snapshot.session.id, step.token)).await.map(Some)
            }
            RotateOutcome::NotCurrent => Ok(None),
        }
    }

    /// Commits the end, then says no.
    async fn end(&self, snapshot: &Snapshot, held: Held, reason: EndReason) -> Result<Option<Refreshed>, PortError> {
        let session = snapshot.session.id;
        let end =
            End { session: SessionKey::Lookup(snapshot.lookup.clone()), reason, at: self.now, only_while: Some(held) };
        match self.refresh.ports.end(end, session, Some(snapshot.session.user), self.from).await? {
            EndOutcome::Ended => {
                let why = Refusal::Ended(reason);
                self.tell(Event::Refused { session: Some(session), why });
                Ok(Some(Refreshed::Refused(why)))
            }
            EndOutcome::AlreadyEnded | EndOutcome::Moved | EndOutcome::NotFound => Ok(None),
        }
    }

    async fn grant(&self, gives: Gives) -> Result<Refreshed, PortError> {
        let Gives { facts, session, next, access_expires_at } = gives;
        let ports = &self.refresh.ports;
        let email = if self.refresh.access.email_claim {
            match ports.users.find(facts.user).await? {
                Some(user) => Some(user.email),
                None => return self.user_is_gone(session).await,
            }
        } else {
            None
        };
        let presented = match self.presented {
            Presented::Chained(token) => Some(token),
            Presented::Bare(_) => None,
        };
        let of = next.as_ref().or(presented);
        let grantee = Grantee { user: facts.user, session, ends_at: facts.ends_at, email, of, access_expires_at };
        let (access, expires_in) = ports.grant_access(self.refresh.access, grantee, self.now)?;
        let token_facts = TokenFacts { user: facts.user, expires_at: facts.expires_at };
        let refresh = next.map(|token| ports.codec.encode(&token, &token_facts)).transpose()?;
        Ok(Refreshed::Granted(Granted { access, expires_in, refresh, session }))
    }

    /// The user was deleted, and the session has outlived the user by an accident: make it end.
    async fn user_is_gone(&self, session: SessionId) -> Result<Refreshed, PortError> {
        let reason = EndReason::UserDeleted;
        let end = End { session: SessionKey::Id(session), reason, at: self.now, only_while: None };
        self.refresh.ports.end(end, session, None, self.from).await?;
        Ok(Refreshed::Refused(Refusal::Ended(reason)))
    }
}

/// What a success is made of.
struct Gives {
    facts: Rotated,
    session: SessionId,
    /// The refresh token to use next, unless the presented one stays.
    next: Option<RefreshToken>,
    /// When the access token of this generation expires, where it was handed out before and its hash is kept.
    access_expires_at: Option<Timestamp>,
}

impl Gives {
    fn new(facts: Rotated, session: SessionId, next: RefreshToken) -> Self {
        Self { facts, session, next: Some(next), access_expires_at: None }
    }

    fn same(snapshot: &Snapshot) -> Self {
        let Session { id, user, ends_at, .. } = snapshot.session;
        let facts = Rotated { user, expires_at: snapshot.token.expires_at, ends_at };
        Self {
            facts,
            session: id,
            next: None,
            access_expires_at: snapshot.token.access.map(|access| access.expires_at),
        }
    }

    /// A pair that was handed out before. Where nothing of its access token is kept (the format was another one then),
    /// the client gets one that has expired, and refreshes.
    fn again(snapshot: &Snapshot, next: RefreshToken, now: Timestamp) -> Self {
        let access_expires_at = Some(snapshot.token.access.map_or(now, |access| access.expires_at));
        Self { next: Some(next), access_expires_at, ..Self::same(snapshot) }
    }
}
