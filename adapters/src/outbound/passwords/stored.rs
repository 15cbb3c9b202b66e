//! Stored hashes as text: what Regrant makes, and what other software made.
//!
//! A stored hash is foreign text: it may be damaged, of another kind, or made to cost more than the machine has. All of
//! that is found out here, before anything is computed, so that what is read can be checked at a bounded cost.

use std::num::NonZeroU32;

use argon2::password_hash::phc;
use argon2::{Algorithm, Params, Version};
use aws_lc_rs::pbkdf2;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

/// What is wrong with a text, as the end of a sentence.
pub(super) type Fault = &'static str;

/// Longest stored hash in bytes.
const MAX_TEXT: usize = 512;
/// The most that Argon2 may ask for: 256 MiB, 16 passes, 16 lanes.
const MAX_MEMORY: u32 = 256 * 1024;
const MAX_PASSES: u32 = 16;
const MAX_LANES: u32 = 16;
/// What bcrypt may ask for: 2^4 (its least) to 2^16 rounds, some seconds.
const BCRYPT_COST: std::ops::RangeInclusive<u32> = 4..=16;
/// The most that scrypt may ask for, as N times r: 256 MiB. Four times as much work, by its parallelism, is some seconds.
const MAX_SCRYPT_MEMORY: u64 = 1 << 21;
const MAX_SCRYPT_WORK: u64 = 1 << 23;
/// The most that PBKDF2 may ask for, over all blocks of its output: some seconds.
const MAX_ITERATIONS: u64 = 5_000_000;
/// Bytes of a salt, and of an output. A shorter output would match other passwords too.
const SALT: std::ops::RangeInclusive<usize> = 1..=128;
const OUTPUT: std::ops::RangeInclusive<usize> = 16..=64;

const TOO_COSTLY: Fault = "it asks for more than a hash may cost";
const UNKNOWN: Fault = "it is of a kind that is not known";
const DAMAGED: Fault = "it is damaged";
const PARAMETERS: Fault = "its parameters do not fit";

/// A stored hash that can be checked.
pub(super) enum Stored {
    Argon2(Argon2Hash),
    /// The text, for its library.
    Bcrypt(String),
    Scrypt(scrypt::Params, Derived),
    Pbkdf2(pbkdf2::Algorithm, NonZeroU32, Derived),
}

pub(super) struct Argon2Hash {
    pub(super) algorithm: Algorithm,
    pub(super) version: Version,
    pub(super) params: Params,
    pub(super) salt: phc::Salt,
    pub(super) output: phc::Output,
}

/// What was derived from a password, and with which salt.
pub(super) struct Derived {
    pub(super) salt: Vec<u8>,
    pub(super) output: Vec<u8>,
}

impl Stored {
    /// Reads a PHC string, bcrypt, or the forms of passlib, Django and Werkzeug.
    pub(super) fn read(text: &str) -> Result<Self, Fault> {
        if text.len() > MAX_TEXT {
            return Err("it is too long");
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("it has characters that no hash has");
        }
        // Django names its library before the hash.
        if text.starts_with("$argon2") {
            return argon2(text);
        } else if let Some(text) = text.strip_prefix("argon2").filter(|text| text.starts_with("$argon2")) {
            return argon2(text);
        } else if let Some(text) = text.strip_prefix("bcrypt$").or(Some(text)).filter(|text| text.starts_with("$2")) {
            return bcrypt(text);
        }
        match text.split('$').collect::<Vec<_>>().as_slice() {
            ["", "scrypt", cost, salt, output] => {
                let [ln, r, p] = parameters(cost, ["ln", "r", "p"])?.map(|value| value.ok_or(PARAMETERS));
                scrypt(ln?, r?, p?, Derived::of_base64(salt, output)?)
            }
            // Django
            ["scrypt", n, salt, r, p, output] => {
                scrypt(log2(n)?, number(r)?, number(p)?, Derived::of_text(salt, STANDARD.decode(output))?)
            }
            ["", kind @ ("pbkdf2-sha256" | "pbkdf2-sha512"), cost, salt, output] => {
                let derived = Derived::of_base64(&salt.replace('.', "+"), &output.replace('.', "+"))?;
                // passlib has a bare number here, and a dot for the plus sign of Base64.
                let iterations = number(cost).or_else(|_| iterations(cost, &derived))?;
                pbkdf2(&kind["pbkdf2-".len()..], iterations, derived)
            }
            // Django
            ["pbkdf2_sha256", iterations, salt, output] => {
                pbkdf2("sha256", number(iterations)?, Derived::of_text(salt, STANDARD.decode(output))?)
            }
            // Werkzeug
            [method, salt, output] => werkzeug(method, || Derived::of_text(salt, hex::decode(output))),
            _ => Err(UNKNOWN),
        }
    }
}

impl Derived {
    fn of_base64(salt: &str, output: &str) -> Result<Self, Fault> {
        let salt = STANDARD_NO_PAD.decode(salt).map_err(|_| DAMAGED)?;
        let output = STANDARD_NO_PAD.decode(output).map_err(|_| DAMAGED)?;
        Self { salt, output }.fitting()
    }

    /// The salt is the text itself.
    fn of_text<E>(salt: &str, output: Result<Vec<u8>, E>) -> Result<Self, Fault> {
        Self { salt: salt.as_bytes().to_vec(), output: output.map_err(|_| DAMAGED)? }.fitting()
    }

    fn fitting(self) -> Result<Self, Fault> {
        let fits = SALT.contains(&self.salt.len()) && OUTPUT.contains(&self.output.len());
        fits.then_some(self).ok_or("its salt or hash is too short or too long")
    }
}

fn argon2(text: &str) -> Result<Stored, Fault> {
    let hash = phc::PasswordHash::new(text).map_err(|_| "it is no PHC string")?;
    let algorithm = Algorithm::new(hash.algorithm).map_err(|_| UNKNOWN)?;
    // Without a version it is the first (as in the reference implementation).
    let version = hash.version.unwrap_or(0x10).try_into().map_err(|_| "it is of a version that is not known")?;
    let (Some(salt), Some(output)) = (hash.salt, hash.hash) else { return Err("it lacks its salt or hash") };
    let parameter = |name: &str| hash.params.get_decimal(name).ok_or("it lacks a parameter");
    let (memory, passes, lanes) = (parameter("m")?, parameter("t")?, parameter("p")?);
    if hash.params.iter().count() != 3 {
        return Err("it has a parameter that is not known");
    }
    if memory > MAX_MEMORY || passes > MAX_PASSES || lanes > MAX_LANES {
        return Err(TOO_COSTLY);
    }
    if salt.len() < argon2::MIN_SALT_LEN {
        return Err("its salt or hash is too short or too long");
    }
    let params = Params::new(memory, passes, lanes, Some(output.len())).map_err(|_| PARAMETERS)?;
    Ok(Stored::Argon2(Argon2Hash { algorithm, version, params, salt, output }))
}

fn bcrypt(text: &str) -> Result<Stored, Fault> {
    // `$2x$` marks hashes of a faulty implementation, which only that one can check.
    if !["$2a$", "$2b$", "$2y$"].iter().any(|prefix| text.starts_with(prefix)) {
        return Err("it is of a kind of bcrypt that is not known");
    }
    let parts: bcrypt::HashParts = text.parse().map_err(|_| "it is damaged bcrypt")?;
    match parts.get_cost() {
        cost if BCRYPT_COST.contains(&cost) => Ok(Stored::Bcrypt(text.to_owned())),
        cost if cost > *BCRYPT_COST.end() => Err(TOO_COSTLY),
        _ => Err(PARAMETERS),
    }
}

/// `ln` is the logarithm of N.
fn scrypt(ln: u32, r: u32, p: u32, derived: Derived) -> Result<Stored, Fault> {
    if ln >= 64 || r == 0 || p == 0 || ln == 0 {
        return Err(PARAMETERS);
    }
    let memory = 1_u64.checked_shl(ln).and_then(|n| n.checked_mul(u64::from(r))).ok_or(TOO_COSTLY)?;
    let work = memory.checked_mul(u64::from(p)).ok_or(TOO_COSTLY)?;
    if memory > MAX_SCRYPT_MEMORY || work > MAX_SCRYPT_WORK {
        return Err(TOO_COSTLY);
    }
    let ln = u8::try_from(ln).map_err(|_| PARAMETERS)?;
    Ok(Stored::Scrypt(scrypt::Params::new(ln, r, p).map_err(|_| PARAMETERS)?, derived))
}

fn pbkdf2(digest: &str, iterations: u32, derived: Derived) -> Result<Stored, Fault> {
    let (algorithm, block) = match digest {
        "sha256" => (pbkdf2::PBKDF2_HMAC_SHA256, 32),
        "sha512" => (pbkdf2::PBKDF2_HMAC_SHA512, 64),
        _ => return Err(UNKNOWN),
    };
    let blocks = u64::try_from(derived.output.len().div_ceil(block)).unwrap_or(u64::MAX);
    if blocks.saturating_mul(u64::from(iterations)) > MAX_ITERATIONS {
        return Err(TOO_COSTLY);
    }
    Ok(Stored::Pbkdf2(algorithm, NonZeroU32::new(iterations).ok_or(PARAMETERS)?, derived))
}

/// `pbkdf2:sha256:600000` or `scrypt:32768:8:1`.
fn werkzeug(method: &str, derived: impl Fn() -> Result<Derived, Fault>) -> Result<Stored, Fault> {
    match method.split(':').collect::<Vec<_>>().as_slice() {
        ["pbkdf2", digest, iterations] => pbkdf2(digest, number(iterations)?, derived()?),
        ["scrypt", n, r, p] => scrypt(log2(n)?, number(r)?, number(p)?, derived()?),
        _ => Err(UNKNOWN),
    }
}

/// `i=1000` or `i=1000,l=32`.
fn iterations(cost: &str, derived: &Derived) -> Result<u32, Fault> {
    let [iterations, length] = parameters(cost, ["i", "l"])?;
    if length.is_some_and(|length| usize::try_from(length) != Ok(derived.output.len())) {
        return Err(PARAMETERS);
    }
    iterations.ok_or(PARAMETERS)
}

/// Values by name; a name that is not known, or there twice, is a fault.
fn parameters<const N: usize>(text: &str, names: [&str; N]) -> Result<[Option<u32>; N], Fault> {
    let mut values = [None; N];
    for part in text.split(',') {
        let (name, value) = part.split_once('=').ok_or(PARAMETERS)?;
        let at = names.iter().position(|known| *known == name).ok_or(PARAMETERS)?;
        if values[at].replace(number(value)?).is_some() {
            return Err(PARAMETERS);
        }
    }
    Ok(values)
}

/// The logarithm of a power of two.
fn log2(text: &str) -> Result<u32, Fault> {
    let n = number(text)?;
    if n.is_power_of_two() { Ok(n.trailing_zeros()) } else { Err(PARAMETERS) }
}

/// Decimal digits only: the standard library would also take a sign.
fn number(text: &str) -> Result<u32, Fault> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(PARAMETERS);
    }
    text.parse().map_err(|_| TOO_COSTLY)
}
