//! The one place that asks for the time or for randomness.
//!
//! Deliberately absent: a generator of our own. Whatever must not be guessed comes from the operating system, each time.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rand::TryRng as _;
use rand::rngs::SysRng;
use regrant_domain::ids::{AccessTokenId, SessionId, UserId};
use regrant_domain::ports::{Clock, Ids, PortError, Randomness};
use regrant_domain::secret::Secret;
use regrant_domain::time::Timestamp;
use uuid::{Builder, Uuid};

/// The time of this machine, without regard to any store.
pub fn system_now() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "this is the adapter behind the Clock port")]
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX))
}

/// A clock that follows the store's, so that servers whose own clocks disagree decide alike. Until it has
/// [observed](Self::observe) the store's clock, it is the machine's.
#[derive(Debug, Default)]
pub struct SystemClock {
    /// Milliseconds by which the store's clock is ahead of the machine's.
    offset: AtomicI64,
    /// The latest instant told.
    latest: AtomicI64,
}

impl SystemClock {
    /// A correction backwards by less than this makes the clock stand still until the time has caught up; only by more
    /// does it go back.
    const STANDS_STILL: i64 = 1000;

    /// The machine's clock, to be corrected.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes note of the store's time, read between `sent` and `received` (both by [`system_now`]).
    ///
    /// The store is taken to have read its clock half-way between the two. A clock that already agrees, as far as the
    /// length of the journey lets one know, is left alone: corrections are not to follow every hiccup of the network.
    pub fn observe(&self, store_now: Timestamp, sent: Timestamp, received: Timestamp) -> Skew {
        let journey = received.millis() - sent.millis();
        let skew = store_now.millis() - (sent.millis() + journey / 2);
        let uncertain = journey.abs() / 2 + 1;
        // A negative journey says that the machine's clock was set meanwhile: it tells nothing.
        if journey >= 0 && (skew - self.offset.load(Ordering::Relaxed)).abs() > uncertain {
            self.offset.store(skew, Ordering::Relaxed);
        }
        Skew { millis: skew, uncertain }
    }

    /// Milliseconds by which the store's clock is taken to be ahead of the machine's; 0 until it was observed.
    pub fn offset_millis(&self) -> i64 {
        self.offset.load(Ordering::Relaxed)
    }

    fn read(&self, system: Timestamp) -> Timestamp {
        let reading = system.millis().saturating_add(self.offset.load(Ordering::Relaxed));
        let latest = self.latest.fetch_max(reading, Ordering::Relaxed);
        if latest - reading < Self::STANDS_STILL {
            return Timestamp::from_millis(latest.max(reading));
        }
        // If another thread has moved it meanwhile, that one is as right as this.
        let _ = self.latest.compare_exchange(latest, reading, Ordering::Relaxed, Ordering::Relaxed);
        Timestamp::from_millis(reading)
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        self.read(system_now())
    }
}

/// By how much a store's clock is ahead of this machine's (or, if negative, behind it).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skew {
    millis: i64,
    uncertain: i64,
}

impl Skew {
    /// In milliseconds.
    pub const fn millis(self) -> i64 {
        self.millis
    }

    /// Whether it is certainly more than `limit`, in either direction, however long the journey took.
    pub fn exceeds(self, limit: Duration) -> bool {
        u128::from(self.millis.unsigned_abs()) > limit.as_millis() + u128::from(self.uncertain.unsigned_abs())
    }
}

/// UUIDs: version 7 for users and sessions, so that rows made together are kept together (RFC 9562 §5.7); version 4 for
/// access tokens, of which no row is kept (§5.4).
#[derive(Debug, Default)]
pub struct OsIds {
    otherwise: RandomState,
    count: AtomicU64,
}

impl OsIds {
    /// A source of ids.
    pub fn new() -> Self {
        Self::default()
    }

    /// Random bytes from the operating system. Should it have none, then a keyed hash of a counter: an id must be unique,
    /// it need not be secret.
    fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        if SysRng.try_fill_bytes(&mut bytes).is_err() {
            for chunk in bytes.chunks_mut(8) {
                let count = self.count.fetch_add(1, Ordering::Relaxed);
                let hash = self.otherwise.hash_one(count).to_ne_bytes();
                chunk.copy_from_slice(&hash[..chunk.len()]);
            }
        }
        bytes
    }

    fn by_time(&self) -> Uuid {
        let millis = u64::try_from(system_now().millis()).unwrap_or(0);
        Builder::from_unix_timestamp_millis(millis, &self.random()).into_uuid()
    }
}

impl Ids for OsIds {
    fn user(&self) -> UserId {
        self.by_time().into()
    }

    fn session(&self) -> SessionId {
        self.by_time().into()
    }

    fn access_token(&self) -> AccessTokenId {
        Builder::from_random_bytes(self.random()).into_uuid().into()
    }
}

/// Secrets from the operating system's generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsRandomness;

impl Randomness for OsRandomness {
    fn secret(&self, len: usize) -> Result<Secret, PortError> {
        let mut bytes = vec![0; len];
        SysRng.try_fill_bytes(&mut bytes).map_err(|error| PortError::unavailable("randomness", error))?;
        Ok(Secret::new(bytes))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(1_795_249_800_000 + millis)
    }

    #[test]
    fn an_unobserved_clock_is_the_machines() {
        let clock = SystemClock::new();
        let (before, now, after) = (system_now(), clock.now(), system_now());
        assert!(before <= now && now <= after, "{before} {now} {after}");
        assert!(now > at(-365 * 86_400_000), "{now}");
    }

    #[test]
    fn it_follows_the_store_by_the_middle_of_the_journey() {
        let clock = SystemClock::new();
        let skew = clock.observe(at(90_020), at(0), at(40));
        assert_eq!(skew.millis(), 90_000);
        assert_eq!(clock.read(at(100)), at(90_100));
        assert_eq!(clock.observe(at(-60_000), at(0), at(0)).millis(), -60_000);
        assert_eq!(clock.read(at(100)), at(-59_900), "far back: the clock had been wrong");
    }

    #[test]
    fn a_clock_that_agrees_as_far_as_one_can_know_is_left_alone() {
        let clock = SystemClock::new();
        clock.observe(at(500), at(0), at(0));
        for (store, sent, received) in [(501, 0, 0), (499, 0, 0), (900, 0, 1000), (1100, 0, 1000), (9000, 10, 0)] {
            clock.observe(at(store), at(sent), at(received));
            assert_eq!(clock.read(at(1000)), at(1500));
        }
        clock.observe(at(1600), at(0), at(1000));
        assert_eq!(clock.read(at(1000)), at(2100));
    }

    #[test]
    fn a_small_correction_backwards_makes_it_stand_still() {
        let clock = SystemClock::new();
        assert_eq!(clock.read(at(1000)), at(1000));
        clock.observe(at(0), at(900), at(900));
        assert_eq!(clock.read(at(1001)), at(1000));
        assert_eq!(clock.read(at(1900)), at(1000));
        assert_eq!(clock.read(at(1901)), at(1001));
        assert_eq!(clock.read(at(902)), at(1001), "999 ms behind what was told");
        assert_eq!(clock.read(at(901)), at(1), "a second behind what was told");
        assert_eq!(clock.read(at(901)), at(1));
    }

    #[test]
    fn extremes_do_no_harm() {
        let clock = SystemClock::new();
        clock.observe(Timestamp::MAX, at(0), at(0));
        assert_eq!(clock.read(Timestamp::MAX), Timestamp::MAX);
        clock.observe(Timestamp::from_millis(0), Timestamp::MAX, Timestamp::MAX);
        assert_eq!(clock.read(at(0)), Timestamp::from_millis(0));
    }

    #[test]
    fn skew_counts_only_beyond_what_the_journey_explains() {
        let second = Duration::from_secs(1);
        let skew = |store, received| SystemClock::new().observe(at(store), at(0), at(received));
        assert!(!skew(1000, 0).exceeds(second));
        assert!(skew(1002, 0).exceeds(second));
        assert!(skew(-1002, 0).exceeds(second));
        assert!(!skew(4000, 4000).exceeds(second));
        assert!(skew(5002, 4000).exceeds(second));
    }

    #[test]
    fn ids_are_of_their_version_and_never_the_same() {
        let ids = OsIds::new();
        let before = system_now();
        let session = ids.session().uuid();
        assert_eq!((session.get_version_num(), ids.user().uuid().get_version_num()), (7, 7));
        let bytes = session.as_bytes();
        let millis = bytes[..6].iter().fold(0_i64, |sum, byte| sum << 8 | i64::from(*byte));
        assert!(before.millis() <= millis && millis <= system_now().millis());
        assert_eq!(ids.access_token().uuid().get_version_num(), 4);
        let many: HashSet<_> = (0..1000).flat_map(|_| [ids.access_token().uuid(), ids.session().uuid()]).collect();
        assert_eq!(many.len(), 2000);
    }

    #[test]
    fn secrets_have_their_length_and_never_repeat() {
        let secrets = (0..100).map(|_| OsRandomness.secret(32).expect("there is an operating system"));
        let secrets: HashSet<_> = secrets.map(|secret| secret.expose().to_vec()).collect();
        assert_eq!(secrets.len(), 100);
        assert!(secrets.iter().all(|secret| secret.len() == 32));
        assert!(OsRandomness.secret(0).is_ok_and(|secret| secret.expose().is_empty()));
    }
}
