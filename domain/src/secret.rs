//! Secret bytes, and their hashes. A secret cannot be printed, cloned, serialised or compared by accident.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// The random part of a refresh token: 32 bytes, or more in formats that have room.
///
/// No `Clone`, no `PartialEq`, no `Display`; wiped when dropped. The bytes leave only through [`Secret::expose`].
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Length in bytes of the secret of a labelled or bare token.
    pub const LEN: usize = 32;

    /// Takes the bytes over.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes. Write this only where a token is made or checked.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// What a store keeps instead: SHA-256 (the secret is uniformly random, so a slow hash would add nothing).
    pub fn hash(&self) -> SecretHash {
        SecretHash(Sha256::digest(&*self.0).into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// SHA-256 of a [`Secret`]. Compared in constant time, never printed.
#[derive(Clone, Copy)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    /// A hash as it was stored.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, to be stored.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for SecretHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}
impl Eq for SecretHash {}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(…)")
    }
}

/// A token as text, on its way to the one client it was made for. Neither printed nor cloned; wiped when dropped.
pub struct TokenText(Zeroizing<String>);

impl TokenText {
    /// Takes the text over.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text. Write this only where the answer is built.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for TokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenText(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_holds_a_secret_shows_it() {
        let secret = Secret::new(vec![0xab; 32]);
        for text in [
            format!("{secret:?} {secret:#?}"),
            format!("{:?}", secret.hash()),
            format!("{:?}", TokenText::new("abababab".into())),
        ] {
            assert!(!text.contains("ab") && !text.contains("171"), "{text}");
        }
    }
}
