//! Stored password hashes, of every kind that can be imported.
//!
//! What a hash asks for is read here once more, in another way, and held against what a hash may cost.

use std::num::NonZeroUsize;
use std::sync::{Arc, LazyLock};

use regrant_adapters::outbound::passwords::{Argon2Passwords, KnownHashes};
use regrant_domain::ports::{ForeignHashes as _, Passwords as _, Verdict};
use regrant_domain::testing::Counting;
use regrant_domain::user::Password;

use crate::Made;
use crate::world::wait;

/// Nothing in the corpus was made of it.
const PASSWORD: &str = "battery staple";

static PASSWORDS: LazyLock<Argon2Passwords> =
    LazyLock::new(|| Argon2Passwords::new(NonZeroUsize::MIN, 4, Arc::new(Counting::default())).expect("a thread"));

pub(crate) fn read(data: &[u8]) -> Made {
    let Ok(text) = str::from_utf8(data) else { return Made::Nothing };
    let Ok(hash) = KnownHashes.accept(text) else { return Made::Nothing };
    assert_eq!(hash.as_str(), text, "it is kept as it is");
    let cost = Cost::of(text);
    assert!(cost.memory <= 256 * 1024 * 1024, "{} bytes for {text}", cost.memory);
    assert!(cost.seconds <= 20.0, "{} seconds for {text}", cost.seconds);
    if cost.seconds < 0.02 {
        let password = Password::received(PASSWORD.to_owned()).expect("short enough");
        let verdict = wait(PASSWORDS.verify(password, Some(hash))).expect("what was accepted can be checked");
        assert!(matches!(verdict, Verdict::Differs), "another password matches {text}");
    }
    Made::Something
}

/// What a hash asks for, roughly.
struct Cost {
    /// Bytes.
    memory: u64,
    /// Of one slow core.
    seconds: f64,
}

impl Cost {
    #[expect(clippy::cast_precision_loss, reason = "it is rough in any case")]
    fn of(text: &str) -> Self {
        let kind = text.split('$').find(|part| !part.is_empty()).unwrap_or_default();
        let numbers = numbers(text, kind);
        let [a, b, c] = std::array::from_fn(|i| numbers.get(i).copied().unwrap_or(u64::MAX));
        if is_argon2(text) {
            // m=…,t=…,p=…: KiB, passes, lanes. A pass over 1 KiB takes about 2 µs.
            return Self { memory: a.saturating_mul(1024), seconds: a.saturating_mul(b) as f64 * 4e-6 };
        } else if is_bcrypt(text) {
            return Self { memory: 4096, seconds: 2_f64.powf(a as f64) * 2e-4 };
        } else if kind.starts_with("scrypt") {
            // N (or its logarithm), r, p: blocks of 128 bytes.
            let n = if text.starts_with('$') { 2_u64.saturating_pow(u32::try_from(a).unwrap_or(u32::MAX)) } else { a };
            let blocks = n.saturating_mul(b);
            return Self { memory: blocks.saturating_mul(128), seconds: blocks.saturating_mul(c) as f64 * 2e-6 };
        }
        Self { memory: 4096, seconds: a as f64 * 3e-6 }
    }
}

fn is_argon2(text: &str) -> bool {
    text.starts_with("$argon2") || text.starts_with("argon2$")
}

fn is_bcrypt(text: &str) -> bool {
    text.starts_with("$2") || text.starts_with("bcrypt$")
}

/// The numbers that say what the hash costs, in the order in which its kind has them.
fn numbers(text: &str, kind: &str) -> Vec<u64> {
    let parts: Vec<&str> = text.split('$').collect();
    let read = |text: &str| text.rsplit('=').next().and_then(|number| number.parse().ok());
    let at = |place: usize| parts.get(place).copied().unwrap_or_default();
    if is_argon2(text) {
        // The first parameters that there are: salts and outputs of this kind have no equals sign.
        let part = parts.iter().find(|part| part.contains("m=")).copied().unwrap_or_default();
        let of = |name: &str| part.split(',').find_map(|one| one.strip_prefix(name)?.parse().ok());
        ["m=", "t=", "p="].into_iter().filter_map(of).collect()
    } else if kind == "scrypt" && text.starts_with('$') {
        let of = |name: &str| at(2).split(',').find_map(|one| one.strip_prefix(name)?.parse().ok());
        ["ln=", "r=", "p="].into_iter().filter_map(of).collect()
    } else if kind == "scrypt" {
        [at(1), at(3), at(4)].into_iter().filter_map(read).collect()
    } else if kind.contains(':') {
        kind.split(':').filter_map(read).collect()
    } else if is_bcrypt(text) {
        let kind = parts.iter().position(|part| part.starts_with('2')).unwrap_or_default();
        read(at(kind + 1)).into_iter().collect()
    } else if text.starts_with('$') {
        // `i=1000,l=32`, in any order, or the number alone.
        at(2).split(',').filter(|one| !one.starts_with("l=")).filter_map(read).collect()
    } else {
        read(at(1)).into_iter().collect()
    }
}
