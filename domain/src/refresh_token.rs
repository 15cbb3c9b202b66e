//! Refresh tokens: the rotating credential of a session, and the little state that a store keeps of it.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::access_token::KeptAccess;
use crate::ids::SessionId;
use crate::secret::{Secret, SecretHash};
use crate::time::Timestamp;
use crate::token_key::TokenKeyId;

/// How many rotations came before: 0 at sign-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u32);

impl Generation {
    /// The generation that a sign-in hands out.
    pub const FIRST: Self = Self(0);

    /// The last one: 31 bits, so that a text has room for one fact beside it.
    pub const LAST: Self = Self(u32::MAX >> 1);

    /// The generation after this one. (At one refresh a second, the last is reached after 68 years.)
    #[must_use]
    pub const fn next(self) -> Self {
        if self.0 < Self::LAST.0 { Self(self.0 + 1) } else { Self::LAST }
    }
}

/// Which of the two configured lifetimes a session has: chosen at sign-in ("remember me"), and carried by its tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lifetime {
    /// The usual one.
    #[default]
    Usual,
    /// The one for people who asked to be remembered.
    Remembered,
}

impl Lifetime {
    /// Generation and lifetime in the four bytes that tokens carry: big-endian, and the highest bit says "remembered".
    pub fn with_generation(self, generation: Generation) -> [u8; 4] {
        let flag = match self {
            Self::Usual => 0,
            Self::Remembered => !Generation::LAST.0,
        };
        (generation.0.min(Generation::LAST.0) | flag).to_be_bytes()
    }

    /// Reads what [`Lifetime::with_generation`] wrote.
    pub fn and_generation(bytes: [u8; 4]) -> (Self, Generation) {
        let both = u32::from_be_bytes(bytes);
        let lifetime = if both > Generation::LAST.0 { Self::Remembered } else { Self::Usual };
        (lifetime, Generation(both & Generation::LAST.0))
    }
}

/// A refresh token in clear: `(session, generation, secret)`. Exists only while a request is handled.
#[derive(Debug)]
pub struct RefreshToken {
    /// The session it belongs to.
    pub session: SessionId,
    /// Its place in the chain.
    pub generation: Generation,
    /// What makes it unguessable.
    pub secret: Secret,
    /// Which lifetime its session has.
    pub lifetime: Lifetime,
    /// The token key that it was made with.
    pub key: TokenKeyId,
    /// When it expires by what its own text says, in formats that say it. (The store knows in any case.)
    pub expires_at: Option<Timestamp>,
}

impl RefreshToken {
    /// What a store compares and keeps of it.
    pub fn held(&self) -> Held {
        Held { generation: self.generation, hash: self.secret.hash() }
    }
}

/// A refresh token that a client presented, and that was proven to be ours where its format allows.
#[derive(Debug)]
pub enum Presented {
    /// Carries its session and generation, with proof: it may rotate.
    Chained(RefreshToken),
    /// Carries nothing; found by its hash. Does not rotate.
    Bare(Secret),
}

impl Presented {
    /// Whether its own text says that it has expired.
    pub fn says_expired(&self, now: Timestamp) -> bool {
        matches!(self, Self::Chained(token) if token.expires_at.is_some_and(|at| now.has_reached(at)))
    }

    /// Under which key a store keeps it.
    pub fn lookup(&self) -> LookupKey {
        match self {
            Self::Chained(token) => LookupKey::of_session(token.session),
            Self::Bare(secret) => LookupKey::of_secret(&secret.hash()),
        }
    }
}

/// The string under which a store keeps a refresh token's state; never the token itself.
///
/// For tokens that carry their session: the session's id. For bare tokens: SHA-256 of the token. Both in base64url
/// (RFC 4648 §5, no padding): 22 or 43 characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LookupKey(String);

impl LookupKey {
    /// The key of a session whose tokens carry its id.
    pub fn of_session(session: SessionId) -> Self {
        Self(URL_SAFE_NO_PAD.encode(session.as_bytes()))
    }

    /// The key of a bare token.
    pub fn of_secret(hash: &SecretHash) -> Self {
        Self(URL_SAFE_NO_PAD.encode(hash.as_bytes()))
    }

    /// A key as it was stored.
    pub fn stored(text: String) -> Self {
        Self(text)
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Generation and hash together: what every compare-and-set compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Place in the chain.
    pub generation: Generation,
    /// Hash of the secret.
    pub hash: SecretHash,
}

/// What a store keeps of a session's refresh token: constant in size, whatever the number of refreshes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenState {
    /// The current token.
    pub held: Held,
    /// Idle expiry, never later than the session's end.
    pub expires_at: Timestamp,
    /// The last few spent generations.
    pub recent: Recent,
    /// The access token of this generation, where the store keeps its hash.
    pub access: Option<KeptAccess>,
}

/// A generation that was spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spent {
    /// Which.
    pub generation: Generation,
    /// When.
    pub at: Timestamp,
    /// The retry key that spent it, if the request carried one.
    pub retry_key: Option<RetryKeyHash>,
}

impl Spent {
    /// Bytes of one entry: generation (4), instant (8), retry key hash or zeros (16); integers big-endian.
    pub const LEN: usize = 28;

    /// The entry as every store keeps it.
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..4].copy_from_slice(&self.generation.0.to_be_bytes());
        bytes[4..12].copy_from_slice(&self.at.millis().to_be_bytes());
        if let Some(key) = &self.retry_key {
            bytes[12..].copy_from_slice(key.as_bytes());
        }
        bytes
    }

    fn from_bytes(bytes: &[u8; Self::LEN]) -> Self {
        let generation = u32::from_be_bytes(std::array::from_fn(|i| bytes[i]));
        let at = i64::from_be_bytes(std::array::from_fn(|i| bytes[4 + i]));
        let key: [u8; 16] = std::array::from_fn(|i| bytes[12 + i]);
        Self {
            generation: Generation(generation),
            at: Timestamp::from_millis(at),
            retry_key: (key != [0; 16]).then_some(RetryKeyHash(key)),
        }
    }
}

/// The last [`Recent::MAX`] generations that were spent, most recently spent last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recent(Vec<Spent>);

impl Recent {
    /// How many are remembered.
    pub const MAX: usize = 4;
    /// Longest stored form in bytes.
    pub const MAX_BYTES: usize = Self::MAX * Spent::LEN;

    /// The entry of a generation, if it is still remembered.
    pub fn get(&self, generation: Generation) -> Option<&Spent> {
        self.0.iter().rev().find(|spent| spent.generation == generation)
    }

    /// Adds an entry; an earlier one of the same generation is replaced, and the oldest gives way. In a store, where
    /// the generation that is spent was the current one and so cannot be an entry yet, this is: append
    /// [`Spent::to_bytes`], keep the last [`Recent::MAX_BYTES`].
    #[must_use]
    pub fn with(mut self, spent: Spent) -> Self {
        self.0.retain(|entry| entry.generation != spent.generation);
        self.0.push(spent);
        if self.0.len() > Self::MAX {
            self.0.remove(0);
        }
        self
    }

    /// When the last one was spent.
    pub fn last_spent_at(&self) -> Option<Timestamp> {
        self.0.last().map(|spent| spent.at)
    }

    /// All entries, most recently spent last.
    pub fn entries(&self) -> &[Spent] {
        &self.0
    }

    /// The entries as every store keeps them, one after the other.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(Spent::to_bytes).collect()
    }

    /// Reads what [`Recent::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`CorruptRecent`] when the length is not that of at most four entries.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CorruptRecent> {
        let (entries, rest) = bytes.as_chunks::<{ Spent::LEN }>();
        if !rest.is_empty() || entries.len() > Self::MAX {
            return Err(CorruptRecent(bytes.len()));
        }
        Ok(Self(entries.iter().map(Spent::from_bytes).collect()))
    }
}

/// Stored bytes that cannot be a [`Recent`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("`recent` has {0} bytes; expected 0, 28, 56, 84 or 112")]
pub struct CorruptRecent(pub usize);

/// The `Idempotency-Key` of a refresh: proves that the same party asks again. As secret as the token. Not printed.
pub struct RetryKey(Zeroizing<String>);

impl RetryKey {
    /// Longest key in bytes.
    pub const MAX_LEN: usize = 255;

    /// Reads the value of the header.
    ///
    /// # Errors
    /// [`InvalidRetryKey`] unless it is 1 to 255 visible ASCII characters.
    pub fn parse(text: &str) -> Result<Self, InvalidRetryKey> {
        if text.is_empty() || text.len() > Self::MAX_LEN || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(InvalidRetryKey);
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    /// What is kept of it: bound to the session, so that equal keys of different sessions cannot be told from a store.
    pub fn hash_for(&self, session: SessionId) -> RetryKeyHash {
        let full = Sha256::new()
            .chain_update(b"regrant/retry/1")
            .chain_update(session.as_bytes())
            .chain_update(self.0.as_bytes());
        let full: [u8; 32] = full.finalize().into();
        RetryKeyHash(std::array::from_fn(|i| full[i]))
    }
}

impl fmt::Debug for RetryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RetryKey(…)")
    }
}

/// Not a usable retry key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Idempotency-Key must be 1 to 255 visible ASCII characters without blanks, such as a UUID")]
pub struct InvalidRetryKey;

/// SHA-256 of a retry key and its session, cut to 128 bits. Not printed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RetryKeyHash([u8; 16]);

impl RetryKeyHash {
    /// The bytes, to be stored.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Debug for RetryKeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RetryKeyHash(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spent(generation: u32, key: bool) -> Spent {
        let retry_key = key.then_some(RetryKeyHash([7; 16]));
        Spent {
            generation: Generation(generation),
            at: Timestamp::from_millis(1_000 + i64::from(generation)),
            retry_key,
        }
    }

    #[test]
    fn recent_keeps_the_last_four_and_comes_back_equal() {
        let recent = (0..6).fold(Recent::default(), |recent, g| recent.with(spent(g, g % 2 == 0)));
        assert_eq!(recent.entries().iter().map(|s| s.generation.0).collect::<Vec<_>>(), [2, 3, 4, 5]);
        assert_eq!(Recent::from_bytes(&recent.to_bytes()), Ok(recent));
    }

    #[test]
    fn an_entry_that_is_renewed_is_the_last_to_be_forgotten() {
        let recent = (0..4).fold(Recent::default(), |recent, g| recent.with(spent(g, false)));
        let recent = recent.with(spent(0, true)).with(spent(9, false));
        assert_eq!(recent.entries().iter().map(|s| s.generation.0).collect::<Vec<_>>(), [2, 3, 0, 9]);
        assert!(recent.get(Generation(0)).is_some_and(|s| s.retry_key.is_some()));
    }

    #[test]
    fn stored_bytes_of_the_wrong_length_are_told() {
        assert_eq!(Recent::from_bytes(&[0; 27]), Err(CorruptRecent(27)));
        assert_eq!(Recent::from_bytes(&[0; 140]), Err(CorruptRecent(140)));
        assert_eq!(Recent::from_bytes(&[]), Ok(Recent::default()));
    }

    #[test]
    fn retry_keys_are_visible_ascii_and_bound_to_their_session() -> Result<(), InvalidRetryKey> {
        for bad in ["", "with blank", "tab\t", "ü", &"x".repeat(256)] {
            assert!(RetryKey::parse(bad).is_err(), "{bad:?}");
        }
        let key = RetryKey::parse("k")?;
        let (a, b) = (SessionId::from_bytes([1; 16]), SessionId::from_bytes([2; 16]));
        assert!(key.hash_for(a) == RetryKey::parse("k")?.hash_for(a));
        assert!(key.hash_for(a) != key.hash_for(b));
        Ok(())
    }
}
