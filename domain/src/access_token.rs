//! Access tokens: what guarded routes accept.

use crate::ids::{AccessTokenId, SessionId, UserId};
use crate::secret::TokenText;
use crate::time::Timestamp;
use crate::user::Email;

/// What an access token is to say.
#[derive(Debug, Clone, PartialEq, Eq)]
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
}

/// Why an access token is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessRefusal {
    /// Not ours: forged, damaged, of another kind, issuer or audience.
    NotAuthentic,
    /// Ours, but past its expiry.
    Expired,
}
