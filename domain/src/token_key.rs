//! The token key: proves that a refresh token is ours, and makes each successor from its predecessor.

use std::fmt;

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::access_token::AccessSecret;
use crate::ids::SessionId;
use crate::refresh_token::{Generation, Lifetime, RefreshToken};
use crate::secret::{Secret, SecretHash};

/// Which token key: one byte in every label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenKeyId(pub u8);

/// A server secret kept outside the store. Whoever has it can forge tokens and, with one token of a session, compute the
/// later ones; whoever lacks it learns nothing from a store. Not printed; wiped when dropped.
pub struct TokenKey {
    id: TokenKeyId,
    /// For labels, successors, the secrets of access tokens, and signed refresh tokens: keys derived from one, so that
    /// nothing made for one purpose can ever be of use for another.
    label: Zeroizing<[u8; 32]>,
    chain: Zeroizing<[u8; 32]>,
    access: Zeroizing<[u8; 32]>,
    jwt: Zeroizing<[u8; 32]>,
}

impl TokenKey {
    /// Length in bytes of the key material.
    pub const LEN: usize = 32;
    /// Length in bytes of a label's tag: HMAC-SHA256 cut to 128 bits (RFC 2104 §5).
    pub const TAG_LEN: usize = 16;

    /// A key from its id and 32 random bytes.
    pub fn new(id: TokenKeyId, material: &[u8; Self::LEN]) -> Self {
        Self {
            id,
            label: subkey(material, b"regrant/label/1"),
            chain: subkey(material, b"regrant/successor/1"),
            access: subkey(material, b"regrant/access/1"),
            jwt: subkey(material, b"regrant/refresh-jwt/1"),
        }
    }

    /// Its id.
    pub const fn id(&self) -> TokenKeyId {
        self.id
    }

    /// The tag over `parts`, one after the other.
    pub fn tag(&self, parts: &[&[u8]]) -> [u8; Self::TAG_LEN] {
        let full = hmac(&self.label, parts);
        std::array::from_fn(|i| full[i])
    }

    /// Whether `tag` is the tag over `parts`; in constant time.
    pub fn tag_matches(&self, parts: &[&[u8]], tag: &[u8; Self::TAG_LEN]) -> bool {
        self.tag(parts).ct_eq(tag).into()
    }

    /// The key of HMAC-SHA256 that refresh tokens in the form of a JWT are signed with (RFC 7518 §3.2).
    pub fn jwt_key(&self) -> &[u8; 32] {
        &self.jwt
    }

    /// `secret(m) = HKDF-SHA256(salt: key, ikm: spent secret, info: session | m)` (RFC 5869), as long as the spent one.
    fn successor(&self, spent: &RefreshToken, generation: Generation) -> RefreshToken {
        let secret = derive(&self.chain, spent, generation, spent.secret.expose().len());
        let RefreshToken { session, lifetime, .. } = *spent;
        RefreshToken { session, generation, secret, lifetime, key: self.id, expires_at: None }
    }

    /// `HKDF-SHA256(salt: key, ikm: secret of the refresh token, info: session | generation)`.
    fn access_secret(&self, of: &RefreshToken, len: usize) -> Secret {
        derive(&self.access, of, of.generation, len)
    }
}

fn derive(key: &[u8; 32], from: &RefreshToken, generation: Generation, len: usize) -> Secret {
    let hkdf = Hkdf::<Sha256>::new(Some(key), from.secret.expose());
    let mut secret = vec![0; len];
    let info: [&[u8]; 2] = [from.session.as_bytes(), &generation.0.to_be_bytes()];
    // HKDF fails beyond 255 blocks of 32 bytes; no token text can carry a secret that long.
    let derived = hkdf.expand_multi_info(&info, &mut secret);
    debug_assert!(derived.is_ok(), "a secret is far shorter than 8160 bytes");
    Secret::new(secret)
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenKey({})", self.id.0)
    }
}

fn hmac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    // HMAC takes keys of any length (RFC 2104 §2).
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { unreachable!("HMAC takes keys of any length") };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

fn subkey(material: &[u8; TokenKey::LEN], purpose: &[u8]) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(hmac(material, &[purpose]))
}

/// The current token key and the others that are honoured: earlier ones, and one that will be current next, so that a
/// process which goes over to it a little sooner is understood by the others.
#[derive(Debug)]
pub struct TokenKeyRing {
    current: TokenKey,
    others: Vec<TokenKey>,
}

impl TokenKeyRing {
    /// A ring; the ids must differ.
    ///
    /// # Errors
    /// [`DuplicateKeyId`] names the id that two keys share.
    pub fn new(current: TokenKey, others: Vec<TokenKey>) -> Result<Self, DuplicateKeyId> {
        let ring = Self { current, others };
        let mut seen = std::collections::HashSet::new();
        let twice = ring.keys().map(|key| key.id).find(|id| !seen.insert(*id));
        twice.map_or(Ok(ring), |id| Err(DuplicateKeyId(id.0)))
    }

    /// The key that new tokens are made with.
    pub const fn current(&self) -> &TokenKey {
        &self.current
    }

    /// The key with this id.
    pub fn get(&self, id: TokenKeyId) -> Option<&TokenKey> {
        self.keys().find(|key| key.id == id)
    }

    /// All of them, the current one first.
    pub fn keys(&self) -> impl Iterator<Item = &TokenKey> {
        std::iter::once(&self.current).chain(&self.others)
    }

    /// All of them, the current one first, to make another ring of.
    pub fn into_keys(self) -> impl Iterator<Item = TokenKey> {
        std::iter::once(self.current).chain(self.others)
    }

    /// The token of `generation` that follows when `spent` is spent: derived, never stored, and the same each time.
    pub fn successor(&self, spent: &RefreshToken, generation: Generation) -> RefreshToken {
        self.current.successor(spent, generation)
    }

    /// The secret of the access token that belongs to this generation: derived, and the same each time. It is derived
    /// with the key that the refresh token was made with; where that has left the ring, with the current one.
    pub fn access_secret(&self, of: &RefreshToken, len: usize) -> AccessSecret {
        let key = self.get(of.key).unwrap_or(&self.current);
        AccessSecret { generation: of.generation, secret: key.access_secret(of, len), key: key.id }
    }

    /// The token of `generation` that follows `spent`, if its hash is `hash`: the answer to "is this the predecessor of
    /// the current token?", and the current token itself. Every key of the ring is tried, so that a change of the
    /// current key between the two presentations does not matter.
    pub fn successor_with_hash(
        &self,
        spent: &RefreshToken,
        generation: Generation,
        hash: &SecretHash,
    ) -> Option<RefreshToken> {
        self.keys().map(|key| key.successor(spent, generation)).find(|token| token.secret.hash() == *hash)
    }
}

/// Two keys of a ring share this id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("two token keys have the id {0}")]
pub struct DuplicateKeyId(pub u8);

impl RefreshToken {
    /// The first token of a session, with a random secret.
    pub fn first(session: SessionId, secret: Secret, lifetime: Lifetime, ring: &TokenKeyRing) -> Self {
        Self { session, generation: Generation::FIRST, secret, lifetime, key: ring.current.id, expires_at: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: u8) -> TokenKey {
        TokenKey::new(TokenKeyId(id), &[id; 32])
    }

    fn token(fill: u8) -> RefreshToken {
        RefreshToken {
            session: SessionId::from_bytes([1; 16]),
            generation: Generation(4),
            secret: Secret::new(vec![fill; 32]),
            lifetime: Lifetime::Usual,
            key: TokenKeyId(1),
            expires_at: None,
        }
    }

    #[test]
    fn what_refresh_jwts_are_signed_with_is_another_for_each_key() {
        assert_eq!(key(1).jwt_key(), key(1).jwt_key());
        assert_ne!(key(1).jwt_key(), key(2).jwt_key());
    }

    #[test]
    fn a_successor_depends_on_key_session_generation_and_secret_and_on_nothing_else() -> Result<(), DuplicateKeyId> {
        let ring = TokenKeyRing::new(key(1), vec![])?;
        let hash = |ring: &TokenKeyRing, spent: &RefreshToken, m| ring.successor(spent, Generation(m)).secret.hash();
        let base = hash(&ring, &token(7), 5);
        assert_eq!(hash(&ring, &token(7), 5), base);
        assert_ne!(hash(&TokenKeyRing::new(key(2), vec![])?, &token(7), 5), base);
        assert_ne!(hash(&ring, &token(7), 6), base);
        assert_ne!(hash(&ring, &token(8), 5), base);
        let elsewhere = RefreshToken { session: SessionId::from_bytes([2; 16]), ..token(7) };
        assert_ne!(hash(&ring, &elsewhere, 5), base);
        Ok(())
    }

    #[test]
    fn a_successor_made_with_an_earlier_key_is_still_recognised() -> Result<(), DuplicateKeyId> {
        let before = TokenKeyRing::new(key(1), vec![])?;
        let after = TokenKeyRing::new(key(2), vec![key(1)])?;
        let made = before.successor(&token(7), Generation(5));
        let found = after.successor_with_hash(&token(7), Generation(5), &made.secret.hash());
        assert_eq!(found.map(|t| t.key), Some(TokenKeyId(1)));
        assert!(after.successor_with_hash(&token(8), Generation(5), &made.secret.hash()).is_none());
        Ok(())
    }

    #[test]
    fn two_keys_cannot_share_an_id() {
        assert_eq!(TokenKeyRing::new(key(1), vec![key(2), key(1)]).err(), Some(DuplicateKeyId(1)));
    }

    #[test]
    fn keys_are_not_printed() {
        assert_eq!(format!("{:?}", key(3)), "TokenKey(3)");
    }
}
