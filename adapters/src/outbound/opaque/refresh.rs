//! Refresh tokens.

use std::sync::Arc;

use regrant_domain::ids::SessionId;
use regrant_domain::ports::{NotAuthentic, PortError, TokenCodec, TokenFacts};
use regrant_domain::refresh_token::{Lifetime, LookupKey, Presented, RefreshToken};
use regrant_domain::secret::TokenText;
use regrant_domain::token_key::TokenKeyRing;

use super::{Purpose, open, seal, secret_len};

const PURPOSE: Purpose = Purpose(b"regrant/opaque/refresh/1");
/// Session id (16), generation and lifetime (4).
const NAMED: usize = 16 + 4;

/// Refresh tokens of 256 characters, with secrets of 155 bytes.
#[derive(Debug)]
pub struct OpaqueCodec {
    ring: Arc<TokenKeyRing>,
}

impl OpaqueCodec {
    /// A codec that seals with, and accepts, the keys of this ring.
    pub const fn new(ring: Arc<TokenKeyRing>) -> Self {
        Self { ring }
    }
}

impl TokenCodec for OpaqueCodec {
    fn secret_len(&self) -> usize {
        secret_len(NAMED)
    }

    fn encode(&self, token: &RefreshToken, _: &TokenFacts) -> Result<TokenText, PortError> {
        let key = self.ring.get(token.key).ok_or_else(|| {
            PortError::corrupt("token key ring", format!("token key {} is no longer in the key ring", token.key.0))
        })?;
        let mut named = [0; NAMED];
        named[..16].copy_from_slice(token.session.as_bytes());
        named[16..].copy_from_slice(&token.lifetime.with_generation(token.generation));
        seal(key, PURPOSE, &named, &token.secret).ok_or_else(|| {
            PortError::corrupt("refresh token", "the session was opened with tokens of another format; sign in again")
        })
    }

    fn decode(&self, text: &str) -> Result<Presented, NotAuthentic> {
        let opened = open::<NAMED>(&self.ring, PURPOSE, text)?;
        let session = SessionId::from_bytes(std::array::from_fn(|i| opened.named[i]));
        let (lifetime, generation) = Lifetime::and_generation(std::array::from_fn(|i| opened.named[16 + i]));
        let (secret, key, expires_at) = (opened.secret, opened.key, None);
        Ok(Presented::Chained(RefreshToken { session, generation, secret, lifetime, key, expires_at }))
    }

    fn lookup(&self, token: &RefreshToken) -> LookupKey {
        LookupKey::of_session(token.session)
    }

    fn ring(&self) -> Arc<TokenKeyRing> {
        Arc::clone(&self.ring)
    }
}
