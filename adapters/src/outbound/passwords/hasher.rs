//! The hash functions themselves, without threads.
//!
//! A stored hash that cannot be [read](Stored::read) is a password that differs, at the cost of one hash.

use std::num::NonZeroU32;

use argon2::password_hash::phc;
use argon2::{Algorithm, Argon2, Block, Params, Version};
use aws_lc_rs::{constant_time, pbkdf2};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use tracing::warn;

use super::SALT_LEN;
use super::stored::{Argon2Hash, Derived, Fault, Stored};

/// KiB of memory of new hashes (OWASP: at least 19 MiB with two passes and one lane).
const MEMORY: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// Bytes of a new hash.
const OUTPUT_LEN: usize = 32;

/// bcrypt looks at so many bytes of a password and no further.
const BCRYPT_MAX_BYTES: usize = 72;

/// What a check came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    Matches,
    /// It matches a hash that is weaker than new ones.
    MatchesWeakly,
    Differs,
}

/// Computes one hash at a time, in memory that is used again.
#[derive(Default)]
pub(super) struct Hasher {
    memory: Vec<Block>,
    /// What was computed, for tests that compare costs.
    #[cfg(test)]
    pub(super) done: Vec<&'static str>,
}

impl Hasher {
    /// A new hash as a PHC string.
    pub(super) fn hash(&mut self, password: &str, salt: &[u8]) -> Result<String, argon2::Error> {
        let out = self.current(password, salt)?;
        let (salt, out) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(out));
        Ok(format!("$argon2id$v=19$m={MEMORY},t={PASSES},p={LANES}${salt}${out}"))
    }

    /// Checks a password against nothing, at the cost of a check against a new hash.
    pub(super) fn check_nothing(&mut self, password: &str) -> Check {
        // The outcome does not matter, and neither does an error.
        let _ = self.current(password, &[0; SALT_LEN]);
        Check::Differs
    }

    /// Checks a password against a stored hash.
    pub(super) fn check(&mut self, password: &str, stored: &str) -> Check {
        Stored::read(stored).and_then(|stored| self.check_read(password, &stored)).unwrap_or_else(|fault| {
            warn!(fault, "a stored password hash cannot be used; its user cannot sign in");
            self.check_nothing(password)
        })
    }

    fn check_read(&mut self, password: &str, stored: &Stored) -> Result<Check, Fault> {
        match stored {
            Stored::Argon2(hash) => self.check_argon2(password, hash),
            Stored::Bcrypt(hash) => self.check_bcrypt(password, hash),
            // HMAC fills its key up with NUL, so that "a" and "a\0" are one.
            Stored::Scrypt(..) | Stored::Pbkdf2(..) if password.ends_with('\0') => Ok(self.check_nothing(password)),
            Stored::Scrypt(params, derived) => self.check_scrypt(password, params, derived),
            Stored::Pbkdf2(algorithm, iterations, derived) => {
                Ok(self.check_pbkdf2(password, *algorithm, *iterations, derived))
            }
        }
    }

    fn check_argon2(&mut self, password: &str, hash: &Argon2Hash) -> Result<Check, Fault> {
        let Argon2Hash { algorithm, version, params, salt, output } = hash;
        let computed = phc::Output::init_with(output.len(), |out| {
            let argon2 = Argon2::new(*algorithm, *version, params.clone());
            self.compute(&argon2, password, salt, out)
                .map_err(|_| phc::Error::OutputSize { provided: std::cmp::Ordering::Equal, expected: out.len() })
        })
        .map_err(|_| "it cannot be computed")?;
        // Compared in constant time by its type.
        if computed != *output {
            return Ok(Check::Differs);
        }
        let as_new = *algorithm == Algorithm::Argon2id
            && *version == Version::V0x13
            && params.m_cost() >= MEMORY
            && params.t_cost() >= PASSES
            && params.p_cost() >= LANES
            && salt.len() >= SALT_LEN
            && output.len() >= OUTPUT_LEN;
        Ok(if as_new { Check::Matches } else { Check::MatchesWeakly })
    }

    fn check_bcrypt(&mut self, password: &str, stored: &str) -> Result<Check, Fault> {
        // Beyond 72 bytes, and from the first NUL on, other passwords would match too: bcrypt ends its passwords with
        // NUL and repeats them, so that "a" and "a\0a" are one. Neither can have been what the hash was made of.
        if password.len() > BCRYPT_MAX_BYTES || password.contains('\0') {
            return Ok(self.check_nothing(password));
        }
        self.note("bcrypt");
        // Compared in constant time by the library.
        let matches = bcrypt::verify(password, stored).map_err(|_| "it is damaged bcrypt")?;
        Ok(weakly(matches))
    }

    fn check_scrypt(&mut self, password: &str, params: &scrypt::Params, stored: &Derived) -> Result<Check, Fault> {
        self.note("scrypt");
        let mut computed = vec![0; stored.output.len()];
        let done = scrypt::scrypt(password.as_bytes(), &stored.salt, params, &mut computed);
        done.map_err(|_| "it cannot be computed")?;
        Ok(weakly(constant_time::verify_slices_are_equal(&computed, &stored.output).is_ok()))
    }

    fn check_pbkdf2(
        &mut self,
        password: &str,
        algorithm: pbkdf2::Algorithm,
        iterations: NonZeroU32,
        stored: &Derived,
    ) -> Check {
        self.note("pbkdf2");
        // Compared in constant time by the library.
        let password = password.as_bytes();
        weakly(pbkdf2::verify(algorithm, iterations, &stored.salt, password, &stored.output).is_ok())
    }

    fn current(&mut self, password: &str, salt: &[u8]) -> Result<[u8; OUTPUT_LEN], argon2::Error> {
        let params = Params::new(MEMORY, PASSES, LANES, Some(OUTPUT_LEN))?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let mut out = [0; OUTPUT_LEN];
        self.compute(&argon2, password, salt, &mut out)?;
        Ok(out)
    }

    fn compute(
        &mut self,
        argon2: &Argon2<'_>,
        password: &str,
        salt: &[u8],
        out: &mut [u8],
    ) -> Result<(), argon2::Error> {
        let blocks = argon2.params().block_count();
        self.note(if blocks == MEMORY as usize { "argon2 as new" } else { "argon2" });
        if blocks > MEMORY as usize {
            // Rare, and given back.
            let mut memory = vec![Block::default(); blocks];
            return argon2.hash_password_into_with_memory(password.as_bytes(), salt, out, &mut memory);
        }
        if self.memory.is_empty() {
            self.memory = vec![Block::default(); MEMORY as usize];
        }
        argon2.hash_password_into_with_memory(password.as_bytes(), salt, out, &mut self.memory)
    }

    /// What is computed, for tests that compare costs.
    #[cfg_attr(not(test), expect(clippy::unused_self, clippy::needless_pass_by_ref_mut, reason = "tests look at it"))]
    fn note(&mut self, what: &'static str) {
        #[cfg(test)]
        self.done.push(what);
        #[cfg(not(test))]
        let _ = what;
    }

    /// Blocks of memory that are kept.
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.memory.capacity()
    }
}

/// Whatever is not today's Argon2id is weaker than new hashes.
const fn weakly(matches: bool) -> Check {
    if matches { Check::MatchesWeakly } else { Check::Differs }
}
