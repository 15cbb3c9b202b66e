//! Access tokens: what guarded routes accept.

use std::time::Duration;

use crate::ids::{AccessTokenId, SessionId, UserId};
use crate::reason::Refusal;
use crate::refresh_token::{Generation, Held};
use crate::secret::{Secret, SecretHash, TokenText};
use crate::session::Snapshot;
use crate::time::Timestamp;
use crate::token_key::TokenKeyId;
use crate::user::Email;

/// The client that tokens are issued to (RFC 9068 §2.2): people sign in to the service itself.
pub const CLIENT_ID: &str = "regrant";

/// What an access token is to say.
#[derive(Debug)]
pub struct AccessGrant {
    /// `jti`
    pub id: AccessTokenId,
    /// `sub`
    pub user: UserId,
    /// `sid`
    pub session: SessionId,
    /// `iat`
    pub issued_at: Timestamp,
    /// `exp`
    pub expires_at: Timestamp,
    /// `user_email`, where the policy wants it.
    pub email: Option<Email>,
    /// What makes it unguessable, where its hash is kept by the store; `None` where it is signed.
    pub kept: Option<AccessSecret>,
}

/// The secret of an access token whose hash is kept. It belongs to one generation of the session's refresh token, and is
/// derived from that generation's secret, so that whoever gets the refresh token again gets the same pair.
#[derive(Debug)]
pub struct AccessSecret {
    /// Which generation.
    pub generation: Generation,
    /// The secret.
    pub secret: Secret,
    /// The token key that it was derived with.
    pub key: TokenKeyId,
}

/// What a store keeps of the current access token, in formats where it keeps anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeptAccess {
    /// Hash of its secret.
    pub hash: SecretHash,
    /// When it stops being accepted, never later than the session's end.
    pub expires_at: Timestamp,
}

/// An access token as handed out.
#[derive(Debug)]
pub struct AccessToken {
    /// The token.
    pub text: TokenText,
    /// When it stops being accepted.
    pub expires_at: Timestamp,
}

/// What a genuine, unexpired access token says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccessClaims {
    /// Whose.
    pub user: UserId,
    /// Of which session.
    pub session: SessionId,
    /// When it stops being accepted.
    pub expires_at: Timestamp,
    /// What makes it genuine.
    pub proof: Proof,
}

/// What makes an access token genuine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// A signature: until its expiry, it is good by itself.
    Signed {
        /// `jti`
        id: AccessTokenId,
        /// `iat`
        issued_at: Timestamp,
    },
    /// What the store must hold for it.
    Kept(Held),
}

impl Proof {
    /// What the store must hold, if anything.
    pub const fn kept(self) -> Option<Held> {
        match self {
            Self::Signed { .. } => None,
            Self::Kept(held) => Some(held),
        }
    }
}

impl AccessClaims {
    /// Why the session as it is does not bear this token out, if so. Of kept tokens, only the one of the current
    /// generation is accepted, and its predecessor for less than `grace` after it was replaced.
    pub fn refusal(&self, snapshot: &Snapshot, grace: Duration, now: Timestamp) -> Option<Refusal> {
        let of_kept = || self.proof.kept().and_then(|kept| refusal_of_kept(kept, snapshot, grace, now));
        snapshot.session.refusal(now).or_else(of_kept)
    }
}

fn refusal_of_kept(kept: Held, snapshot: &Snapshot, grace: Duration, now: Timestamp) -> Option<Refusal> {
    let current = snapshot.token.held.generation;
    let Some(access) = snapshot.token.access else { return Some(Refusal::Superseded) };
    if kept.generation == current && kept.hash == access.hash {
        return now.has_reached(access.expires_at).then_some(Refusal::Expired);
    }
    // Its label proves that it was issued; when it was spent is remembered. Ahead of the store, or of a branch that a
    // reissue has left: the client has to refresh.
    let spent = snapshot.token.recent.get(kept.generation).filter(|_| kept.generation.next() == current);
    let in_grace = spent.is_some_and(|spent| now < spent.at.plus(grace));
    (!in_grace).then_some(Refusal::Superseded)
}

/// Why an access token is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessRefusal {
    /// Not ours: forged, damaged, of another kind, issuer or audience.
    NotAuthentic,
    /// Ours, but past its expiry.
    Expired,
}
