//! The hash functions themselves, without threads.
//!
//! A stored hash is foreign text: it may be damaged, of another kind, or made to cost more than the machine has. What
//! cannot be read is a password that differs, at the cost of one hash.

use argon2::password_hash::phc;
use argon2::{Algorithm, Argon2, Block, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use tracing::warn;

use super::SALT_LEN;

/// KiB of memory of new hashes (OWASP: at least 19 MiB with two passes and one lane).
const MEMORY: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// Bytes of a new hash.
const OUTPUT_LEN: usize = 32;

/// The most that a stored hash may ask for: 256 MiB, 16 passes, 16 lanes.
const MAX_MEMORY: u32 = 256 * 1024;
const MAX_PASSES: u32 = 16;
const MAX_LANES: u32 = 16;
/// The most that a bcrypt hash may ask for: 2^16 rounds, some seconds.
const MAX_COST: u32 = 16;
/// bcrypt looks at so many bytes of a password and no further.
const BCRYPT_MAX_BYTES: usize = 72;
/// Longest stored hash in bytes.
const MAX_TEXT: usize = 512;

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
        let checked = if stored.len() > MAX_TEXT {
            Err("it is too long")
        } else if stored.starts_with("$2") {
            self.check_bcrypt(password, stored)
        } else {
            self.check_argon2(password, stored)
        };
        checked.unwrap_or_else(|fault| {
            warn!(fault, "a stored password hash cannot be used; its user cannot sign in");
            self.check_nothing(password)
        })
    }

    fn check_argon2(&mut self, password: &str, stored: &str) -> Result<Check, &'static str> {
        let hash = phc::PasswordHash::new(stored).map_err(|_| "it is no PHC string")?;
        let algorithm = Algorithm::new(hash.algorithm).map_err(|_| "it is of a kind that is not known")?;
        // Without a version it is the first (as in the reference implementation).
        let version = hash.version.unwrap_or(0x10).try_into().map_err(|_| "it is of a version that is not known")?;
        let (Some(salt), Some(output)) = (&hash.salt, &hash.hash) else { return Err("it lacks its salt or hash") };
        let parameter = |name: &str| hash.params.get_decimal(name).ok_or("it lacks a parameter");
        let (memory, passes, lanes) = (parameter("m")?, parameter("t")?, parameter("p")?);
        if hash.params.iter().count() != 3 {
            return Err("it has a parameter that is not known");
        }
        if memory > MAX_MEMORY || passes > MAX_PASSES || lanes > MAX_LANES {
            return Err("it asks for more than a hash may cost");
        }
        let params = Params::new(memory, passes, lanes, Some(output.len())).map_err(|_| "its parameters do not fit")?;
        let computed = phc::Output::init_with(output.len(), |out| {
            let argon2 = Argon2::new(algorithm, version, params);
            self.compute(&argon2, password, salt, out)
                .map_err(|_| phc::Error::OutputSize { provided: std::cmp::Ordering::Equal, expected: out.len() })
        })
        .map_err(|_| "it cannot be computed")?;
        // Compared in constant time by its type.
        if computed != *output {
            return Ok(Check::Differs);
        }
        let as_new = algorithm == Algorithm::Argon2id
            && version == Version::V0x13
            && memory >= MEMORY
            && passes >= PASSES
            && lanes >= LANES
            && salt.len() >= SALT_LEN
            && output.len() >= OUTPUT_LEN;
        Ok(if as_new { Check::Matches } else { Check::MatchesWeakly })
    }

    fn check_bcrypt(&mut self, password: &str, stored: &str) -> Result<Check, &'static str> {
        if !["$2a$", "$2b$", "$2y$"].iter().any(|prefix| stored.starts_with(prefix)) {
            return Err("it is of a kind of bcrypt that is not known");
        }
        let parts: bcrypt::HashParts = stored.parse().map_err(|_| "it is damaged bcrypt")?;
        if parts.get_cost() > MAX_COST {
            return Err("it asks for more than a hash may cost");
        }
        // Beyond 72 bytes, and from the first NUL on, other passwords would match too: bcrypt ends its passwords with
        // NUL and repeats them, so that "a" and "a\0a" are one. Neither can have been what the hash was made of.
        if password.len() > BCRYPT_MAX_BYTES || password.contains('\0') {
            return Ok(self.check_nothing(password));
        }
        #[cfg(test)]
        self.done.push("bcrypt");
        // Compared in constant time by the library.
        let matches = bcrypt::verify(password, stored).map_err(|_| "it is damaged bcrypt")?;
        Ok(if matches { Check::MatchesWeakly } else { Check::Differs })
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
        #[cfg(test)]
        self.done.push(if blocks == MEMORY as usize { "argon2 as new" } else { "argon2" });
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

    /// Blocks of memory that are kept.
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.memory.capacity()
    }
}
