//! What is this token worth at this moment? Told to services that cannot, or do not want to, check tokens themselves.
//!
//! Reads only: a spent refresh token that comes here is never reuse, and nothing ends.

use uuid::Uuid;

use super::authenticate::{Authenticate, Authenticated, Borne};
use super::{Policies, Ports};
use crate::access_token::{AccessClaims, Proof};
use crate::decide::{Asked, Decision, Rules, decide};
use crate::ids::{SessionId, UserId};
use crate::policy::{AccessPolicy, RefreshPolicy};
use crate::ports::{PortError, SessionKey};
use crate::refresh_token::Presented;
use crate::session::Snapshot;
use crate::time::Timestamp;
use crate::user::Email;

/// The use case.
#[derive(Clone)]
pub struct Introspect {
    ports: Ports,
    authenticate: Authenticate,
    refresh: RefreshPolicy,
    access: AccessPolicy,
}

/// What an introspection came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Introspected {
    /// Good for nothing, for whatever reason; which one is not told.
    Inactive,
    /// Accepted at this moment.
    Active(Box<Token>),
}

/// A token that is accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Which kind.
    pub kind: Kind,
    /// Its own name (`jti`), where it says one.
    pub id: Option<Uuid>,
    /// Whose.
    pub user: UserId,
    /// Of which session.
    pub session: SessionId,
    /// When it was made, where that is known.
    pub issued_at: Option<Timestamp>,
    /// When it stops being accepted.
    pub expires_at: Timestamp,
    /// The user's address, where access tokens carry it.
    pub email: Option<Email>,
}

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// For guarded routes.
    Access,
    /// For a refresh: to be accepted by nobody else.
    Refresh,
}

impl Introspect {
    /// With these ports and policies.
    pub fn new(ports: Ports, policies: &Policies) -> Self {
        let authenticate = Authenticate::new(ports.clone(), policies.access);
        Self { ports, authenticate, refresh: policies.refresh, access: policies.access }
    }

    /// Runs it.
    ///
    /// # Errors
    /// [`PortError`]: could not find out.
    pub async fn run(&self, text: &str) -> Result<Introspected, PortError> {
        let now = self.ports.clock.now();
        let token = match self.authenticate.claims::<()>(text, now) {
            Ok(claims) => self.access_token(claims, now).await?,
            // No text is a token of both kinds.
            Err(Authenticated::NotAuthentic) => self.refresh_token(text, now).await?,
            Err(_) => None,
        };
        let Some(token) = token else { return Ok(Introspected::Inactive) };
        self.with_email(token).await
    }

    async fn access_token(&self, claims: AccessClaims, now: Timestamp) -> Result<Option<Token>, PortError> {
        let Borne::By(snapshot) = self.authenticate.borne(&claims, now).await? else { return Ok(None) };
        let (id, issued_at) = match claims.proof {
            Proof::Signed { id, issued_at } => (Some(id.uuid()), Some(issued_at)),
            Proof::Kept(held) => (None, snapshot.issued_at(held.generation)),
        };
        let AccessClaims { user, session, expires_at, .. } = claims;
        Ok(Some(Token { kind: Kind::Access, id, user, session, issued_at, expires_at, email: None }))
    }

    /// Active is a refresh token that a refresh would spend (or, where tokens do not rotate, serve). One that is spent is
    /// not, although its own client may still be answered with its successor again.
    async fn refresh_token(&self, text: &str, now: Timestamp) -> Result<Option<Token>, PortError> {
        let Ok(presented) = self.ports.codec.decode(text) else { return Ok(None) };
        let found = self.ports.sessions.find(&SessionKey::Lookup(presented.lookup())).await?;
        let rules = Rules { policy: &self.refresh, access: &self.access, ring: &self.ports.codec.ring() };
        let asked = Asked { presented: &presented, retry_key: None, now };
        let is_good = match decide(found.as_ref(), &asked, &rules) {
            Decision::Rotate(_) | Decision::Serve | Decision::Heal(_) => true,
            Decision::Replay(_) | Decision::Reissue(_) | Decision::Refuse(_) | Decision::End(_) => false,
        };
        let Some(snapshot) = found.filter(|_| is_good) else { return Ok(None) };
        let (generation, id) = match &presented {
            Presented::Chained(token) => (token.generation, self.ports.codec.id_of(token)),
            Presented::Bare(_) => (snapshot.token.held.generation, None),
        };
        let issued_at = snapshot.issued_at(generation);
        let Snapshot { session, token, .. } = snapshot;
        let expires_at = token.expires_at.min(session.ends_at);
        let (user, session) = (session.user, session.id);
        Ok(Some(Token { kind: Kind::Refresh, id, user, session, issued_at, expires_at, email: None }))
    }

    /// Where access tokens carry the address. A user who is gone has no tokens, even if a session was left by an accident.
    async fn with_email(&self, token: Token) -> Result<Introspected, PortError> {
        if !self.access.email_claim {
            return Ok(Introspected::Active(Box::new(token)));
        }
        Ok(match self.ports.users.find(token.user).await? {
            Some(user) => Introspected::Active(Box::new(Token { email: Some(user.email), ..token })),
            None => Introspected::Inactive,
        })
    }
}
