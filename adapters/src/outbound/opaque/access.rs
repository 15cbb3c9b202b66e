//! Access tokens. Whether one is still the session's own, only the store can tell.

use std::sync::Arc;

use regrant_domain::access_token::{AccessClaims, AccessGrant, AccessRefusal, AccessToken, Proof};
use regrant_domain::ids::{SessionId, UserId};
use regrant_domain::ports::{AccessTokens, PortError};
use regrant_domain::refresh_token::{Generation, Held};
use regrant_domain::time::Timestamp;
use regrant_domain::token_key::TokenKeyRing;

use super::{Purpose, open, seal, secret_len};

const PURPOSE: Purpose = Purpose(b"regrant/opaque/access/1");
/// Session id (16), user id (16), generation (4), expiry in milliseconds since 1970 (8); integers big-endian.
const NAMED: usize = 16 + 16 + 4 + 8;

/// Access tokens of 256 characters, with secrets of [`OpaqueAccessTokens::SECRET_LEN`] bytes.
#[derive(Debug)]
pub struct OpaqueAccessTokens {
    ring: Arc<TokenKeyRing>,
}

impl OpaqueAccessTokens {
    /// Bytes of a secret.
    pub const SECRET_LEN: usize = secret_len(NAMED);

    /// Access tokens that are sealed with, and accepted under, the keys of this ring.
    pub const fn new(ring: Arc<TokenKeyRing>) -> Self {
        Self { ring }
    }
}

impl AccessTokens for OpaqueAccessTokens {
    fn issue(&self, grant: &AccessGrant) -> Result<AccessToken, PortError> {
        let failed = |cause: &'static str| PortError::corrupt("access token", cause);
        let kept = grant.kept.as_ref().ok_or_else(|| failed("it has no secret"))?;
        let key = self.ring.get(kept.key).ok_or_else(|| failed("its key has left the key ring"))?;
        let mut named = [0; NAMED];
        named[..16].copy_from_slice(grant.session.as_bytes());
        named[16..32].copy_from_slice(grant.user.as_bytes());
        named[32..36].copy_from_slice(&kept.generation.0.to_be_bytes());
        named[36..].copy_from_slice(&grant.expires_at.millis().to_be_bytes());
        let text = seal(key, PURPOSE, &named, &kept.secret).ok_or_else(|| failed("its secret has another length"))?;
        Ok(AccessToken { text, expires_at: grant.expires_at })
    }

    fn verify(&self, text: &str, now: Timestamp) -> Result<AccessClaims, AccessRefusal> {
        let opened = open::<NAMED>(&self.ring, PURPOSE, text).map_err(|_| AccessRefusal::NotAuthentic)?;
        let named = &opened.named;
        let generation = Generation(u32::from_be_bytes(std::array::from_fn(|i| named[32 + i])));
        let expires_at = Timestamp::from_millis(i64::from_be_bytes(std::array::from_fn(|i| named[36 + i])));
        if now.has_reached(expires_at) {
            return Err(AccessRefusal::Expired);
        }
        Ok(AccessClaims {
            user: UserId::from_bytes(std::array::from_fn(|i| named[16 + i])),
            session: SessionId::from_bytes(std::array::from_fn(|i| named[i])),
            expires_at,
            proof: Proof::Kept(Held { generation, hash: opened.secret.hash() }),
        })
    }
}
