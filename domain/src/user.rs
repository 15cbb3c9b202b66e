//! Users: e-mail address and password hash.

use std::fmt;

use zeroize::Zeroizing;

use crate::ids::UserId;
use crate::policy::PasswordPolicy;
use crate::time::Timestamp;

/// Someone who can sign in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Who.
    pub id: UserId,
    /// Where; unique among users.
    pub email: Email,
    /// What the password is checked against.
    pub password_hash: PasswordHash,
    /// Goes up whenever all of the user's sessions are ended at once, so that a sign-in which is under way at that
    /// moment notices and is covered.
    pub epoch: Epoch,
    /// Registered at.
    pub created_at: Timestamp,
    /// Last changed at.
    pub updated_at: Timestamp,
}

/// See [`User::epoch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Epoch(pub i64);

/// An e-mail address in lower case, at most 254 bytes (RFC 5321 §4.5.3.1.3), with one `@` between two parts.
///
/// Whether it exists is for a confirmation mail to find out, not for a grammar.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Email(String);

impl Email {
    /// Longest address in bytes.
    pub const MAX_LEN: usize = 254;

    /// Reads an address.
    ///
    /// # Errors
    /// [`InvalidEmail`] says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, InvalidEmail> {
        let lower = text.to_lowercase();
        if lower.len() > Self::MAX_LEN {
            return Err(InvalidEmail::TooLong);
        }
        if lower.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(InvalidEmail::BlankOrControl);
        }
        match lower.rsplit_once('@') {
            Some((local, domain)) if !local.is_empty() && !domain.is_empty() && !local.contains('@') => Ok(Self(lower)),
            _ => Err(InvalidEmail::Shape),
        }
    }

    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is not an [`Email`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEmail {
    /// Over 254 bytes.
    #[error("the e-mail address is longer than 254 bytes")]
    TooLong,
    /// A blank or control character.
    #[error("the e-mail address has a blank or control character")]
    BlankOrControl,
    /// Not `local@domain`.
    #[error("the e-mail address must have the form name@domain")]
    Shape,
}

/// A password as received: verified exactly so, without trimming or normalising. Neither printed nor cloned; wiped
/// when dropped.
pub struct Password(Zeroizing<String>);

impl Password {
    /// Longest password in bytes: enough for any pass phrase, too little to make hashing a weapon.
    pub const MAX_BYTES: usize = 1024;

    /// A password to be *checked*; only the length is limited, so that passwords set under another policy still work.
    ///
    /// # Errors
    /// [`InvalidPassword::TooLong`].
    pub fn received(text: String) -> Result<Self, InvalidPassword> {
        let text = Zeroizing::new(text);
        if text.len() > Self::MAX_BYTES {
            return Err(InvalidPassword::TooLong);
        }
        Ok(Self(text))
    }

    /// Whether it may become someone's password.
    ///
    /// # Errors
    /// [`InvalidPassword::TooShort`].
    pub fn allowed_by(&self, policy: PasswordPolicy) -> Result<(), InvalidPassword> {
        if self.0.chars().count() < policy.min_length {
            return Err(InvalidPassword::TooShort { min: policy.min_length });
        }
        Ok(())
    }

    /// The text. Write this only where it is hashed.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Why a text cannot be a [`Password`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPassword {
    /// Fewer characters than the policy asks for.
    #[error("the password must have at least {min} characters")]
    TooShort {
        /// The policy's minimum.
        min: usize,
    },
    /// Over 1,024 bytes.
    #[error("the password is longer than 1024 bytes")]
    TooLong,
}

/// A stored password hash in PHC string form (or the `$2b$` form of bcrypt). Not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// A hash as it was stored or made. It is not checked here: a hostile one is a failed sign-in later.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text, to be stored or verified against.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_in_lower_case_and_faults_are_named() {
        assert_eq!(Email::parse("Ada@Example.ORG").map(|e| e.0), Ok("ada@example.org".into()));
        for (text, fault) in [
            ("", InvalidEmail::Shape),
            ("ada", InvalidEmail::Shape),
            ("@example.org", InvalidEmail::Shape),
            ("ada@", InvalidEmail::Shape),
            ("a@b@c", InvalidEmail::Shape),
            (" ada@example.org", InvalidEmail::BlankOrControl),
            ("ada\0@example.org", InvalidEmail::BlankOrControl),
        ] {
            assert_eq!(Email::parse(text), Err(fault), "{text:?}");
        }
        assert_eq!(Email::parse(&format!("{}@x", "a".repeat(253))), Err(InvalidEmail::TooLong));
    }

    #[test]
    fn a_password_is_counted_in_characters_at_least_and_in_bytes_at_most() {
        let policy = PasswordPolicy { min_length: 8 };
        let check = |text: &str| Password::received(text.into()).and_then(|p| p.allowed_by(policy));
        assert_eq!(check("ä".repeat(8).as_str()), Ok(()));
        assert_eq!(check("ä".repeat(7).as_str()), Err(InvalidPassword::TooShort { min: 8 }));
        assert_eq!(check(&"x".repeat(1024)), Ok(()));
        assert_eq!(check(&"x".repeat(1025)), Err(InvalidPassword::TooLong));
        assert_eq!(check("trailing \0 "), Ok(()));
    }

    #[test]
    fn passwords_and_their_hashes_are_not_printed() -> Result<(), InvalidPassword> {
        let text = format!("{:?} {:?}", Password::received("hunter22".into())?, PasswordHash::new("hunter22".into()));
        assert!(!text.contains("hunter22"));
        Ok(())
    }
}
