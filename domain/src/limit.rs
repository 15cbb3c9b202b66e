//! How much of something is allowed in a while: buckets that use empties and time fills.
//!
//! Deliberately absent: where buckets are kept (see [`RateLimiter`](crate::ports::RateLimiter)), and queues. Whoever is
//! refused is told how long to wait, and waits at home.

use std::num::NonZeroU32;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::address::AddressRange;
use crate::time::Timestamp;

/// At most `most` at once, and as many again within `within`, evenly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    most: NonZeroU32,
    within: Duration,
}

impl Rate {
    /// The largest bucket.
    pub const MOST: u32 = 1_000_000;
    /// The shortest time in which one fills; with [`Rate::MOST`], each of its drops takes a whole microsecond.
    pub const SHORTEST: Duration = Duration::from_secs(1);
    /// The longest.
    pub const LONGEST: Duration = Duration::from_hours(24);

    /// `None`: outside of these bounds.
    pub fn new(most: u32, within: Duration) -> Option<Self> {
        let fits = most <= Self::MOST && (Self::SHORTEST..=Self::LONGEST).contains(&within);
        NonZeroU32::new(most).filter(|_| fits).map(|most| Self { most, within })
    }

    /// How many at once.
    pub const fn most(self) -> u32 {
        self.most.get()
    }

    /// How long an empty bucket takes to fill.
    pub const fn within(self) -> Duration {
        self.within
    }

    /// How long one drop takes to fall, in microseconds: at least 1.
    fn drop_micros(self) -> i64 {
        i64::try_from(self.within.as_micros() / u128::from(self.most.get())).unwrap_or(i64::MAX)
    }

    /// How long the whole bucket takes, in microseconds.
    fn depth_micros(self) -> i64 {
        self.drop_micros() * i64::from(self.most.get())
    }
}

/// A bucket: all that is kept of one is the instant at which it will be full again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bucket {
    /// In microseconds since 1970.
    full_at: i64,
}

impl Bucket {
    /// One that nobody has taken from.
    pub const FULL: Self = Self { full_at: 0 };

    /// As it was kept.
    pub const fn full_at_micros(full_at: i64) -> Self {
        Self { full_at }
    }

    /// As it is to be kept.
    pub const fn micros(self) -> i64 {
        self.full_at
    }

    /// Whether nothing is missing: it need not be kept any longer.
    pub fn is_full(self, now: Timestamp) -> bool {
        self.full_at <= micros(now)
    }

    /// Takes `cost` drops, if there are so many. A refusal takes none.
    pub fn take(self, take: &Take) -> Decision {
        let (now, depth) = (take.now_micros(), take.depth_micros());
        let missing = self.missing(now, depth) + take.amount_micros();
        match u64::try_from(missing - depth) {
            Ok(short) if short > 0 => Decision::Refused { wait: Duration::from_micros(short) },
            Ok(_) | Err(_) => Decision::Allowed(Self { full_at: now + missing }),
        }
    }

    /// Pours `cost` drops back; never more than it holds.
    #[must_use]
    pub fn give_back(self, take: &Take) -> Self {
        let now = take.now_micros();
        match self.missing(now, take.depth_micros()) - take.amount_micros() {
            missing if missing > 0 => Self { full_at: now + missing },
            _ => Self::FULL,
        }
    }

    /// How long it takes until it is full. Never longer than an empty one takes: the rate may have been another one when
    /// it was taken from, and the clock later.
    fn missing(self, now: i64, depth: i64) -> i64 {
        (self.full_at - now).clamp(0, depth)
    }
}

/// What a take comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Taken; this is left.
    Allowed(Bucket),
    /// Nothing was taken.
    Refused {
        /// After so long, there is enough, if nobody else takes meanwhile.
        wait: Duration,
    },
}

/// Something taken from a bucket, or given back to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Take {
    /// Which bucket.
    pub key: BucketKey,
    /// What it holds.
    pub rate: Rate,
    /// How many drops. More than it holds counts as all that it holds.
    pub cost: u32,
    /// When.
    pub now: Timestamp,
}

impl Take {
    /// The instant in microseconds since 1970.
    pub fn now_micros(&self) -> i64 {
        micros(self.now)
    }

    /// What is taken, as the microseconds in which it fills again.
    pub fn amount_micros(&self) -> i64 {
        self.rate.drop_micros() * i64::from(self.cost.min(self.rate.most()))
    }

    /// What the bucket holds, likewise.
    pub fn depth_micros(&self) -> i64 {
        self.rate.depth_micros()
    }
}

fn micros(instant: Timestamp) -> i64 {
    instant.millis() * 1000
}

/// The name of a bucket: a hash, so that a store learns neither addresses nor who tried to sign in.
///
/// It hides what nobody can guess, and no more: whoever has the store and an e-mail address can compute the same hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BucketKey([u8; 16]);

impl BucketKey {
    /// The bucket of a limit for this subject.
    pub fn of(limit: Limit, subject: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for part in [limit.code()].iter().chain(subject) {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let mut key = [0; 16];
        key.copy_from_slice(&hash.finalize()[..16]);
        Self(key)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// What is limited, and by what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Limit {
    /// Sign-ins from one network.
    SignInByAddress,
    /// Sign-ups from one network.
    SignUpByAddress,
    /// Tries of one account's password from one network: by sign-in, or by a sign-up with an address that is taken.
    PasswordByAccountAndAddress,
    /// The same from anywhere but the networks in which the account has signed in.
    PasswordByAccount,
    /// Refreshes from one network.
    RefreshByAddress,
    /// Refreshes of one session.
    RefreshBySession,
}

impl Limit {
    /// Every one.
    pub const ALL: [Self; 6] = [
        Self::SignInByAddress,
        Self::SignUpByAddress,
        Self::PasswordByAccountAndAddress,
        Self::PasswordByAccount,
        Self::RefreshByAddress,
        Self::RefreshBySession,
    ];

    /// The stable code: the name of its setting, in the log, and in the metrics.
    pub const fn code(self) -> &'static str {
        match self {
            Self::SignInByAddress => "sign_in_by_address",
            Self::SignUpByAddress => "sign_up_by_address",
            Self::PasswordByAccountAndAddress => "password_by_account_and_address",
            Self::PasswordByAccount => "password_by_account",
            Self::RefreshByAddress => "refresh_by_address",
            Self::RefreshBySession => "refresh_by_session",
        }
    }

    /// Whether each process counts for itself: a refresh is one round trip to the store, and stays that.
    pub const fn is_counted_by_each_process(self) -> bool {
        matches!(self, Self::RefreshByAddress | Self::RefreshBySession)
    }
}

/// What the operator chose.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LimitPolicy {
    rates: [Option<Rate>; Limit::ALL.len()],
    /// Requests from these addresses are not limited.
    pub exempt: Vec<AddressRange>,
}

impl LimitPolicy {
    /// How much is allowed; `None`: anything.
    pub const fn rate(&self, limit: Limit) -> Option<Rate> {
        self.rates[limit as usize]
    }

    /// With another rate.
    #[must_use]
    pub const fn with(mut self, limit: Limit, rate: Option<Rate>) -> Self {
        self.rates[limit as usize] = rate;
        self
    }
}

/// A request that was refused because there were too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limited {
    /// By which limit.
    pub limit: Limit,
    /// After how long it can be sent again.
    pub wait: Duration,
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_795_249_800_000);

    fn take(most: u32, seconds: u64, cost: u32, now: Timestamp) -> Take {
        let rate = Rate::new(most, Duration::from_secs(seconds)).expect("a rate");
        Take { key: BucketKey::of(Limit::SignInByAddress, &["x"]), rate, cost, now }
    }

    fn taken(bucket: Bucket, take: &Take) -> Bucket {
        match bucket.take(take) {
            Decision::Allowed(left) => left,
            Decision::Refused { wait } => panic!("refused for {wait:?}"),
        }
    }

    #[test]
    fn a_full_bucket_gives_what_it_holds_and_then_tells_when_the_next_drop_falls() {
        let one = take(3, 60, 1, NOW);
        let empty = (0..3).fold(Bucket::FULL, |bucket, _| taken(bucket, &one));
        assert_eq!(empty.take(&one), Decision::Refused { wait: Duration::from_secs(20) });
        let later = take(3, 60, 1, NOW.plus(Duration::from_millis(19_999)));
        assert_eq!(empty.take(&later), Decision::Refused { wait: Duration::from_millis(1) });
        let on_time = take(3, 60, 1, NOW.plus(Duration::from_secs(20)));
        assert_eq!(taken(empty, &on_time).take(&on_time), Decision::Refused { wait: Duration::from_secs(20) });
    }

    #[test]
    fn an_empty_bucket_is_full_after_its_time_and_not_before() {
        let empty = taken(Bucket::FULL, &take(5, 10, 5, NOW));
        assert!(!empty.is_full(NOW.plus(Duration::from_millis(9_999))));
        assert!(empty.is_full(NOW.plus(Duration::from_secs(10))));
        assert!(Bucket::FULL.is_full(NOW));
    }

    #[test]
    fn what_costs_more_than_there_can_ever_be_costs_all_that_there_can_be() {
        let all = taken(Bucket::FULL, &take(5, 10, 9, NOW));
        assert_eq!(all, taken(Bucket::FULL, &take(5, 10, 5, NOW)));
        assert!(matches!(all.take(&take(5, 10, 1, NOW)), Decision::Refused { .. }));
    }

    #[test]
    fn what_is_given_back_can_be_taken_again_and_no_bucket_is_fuller_than_full() {
        let one = take(2, 60, 1, NOW);
        let empty = taken(taken(Bucket::FULL, &one), &one);
        let back = empty.give_back(&one);
        assert!(matches!(taken(back, &one).take(&one), Decision::Refused { .. }));
        let overfull = (0..9).fold(empty, |bucket, _| bucket.give_back(&one));
        let empty = taken(taken(overfull, &one), &one);
        assert!(matches!(empty.take(&one), Decision::Refused { .. }));
    }

    #[test]
    fn a_clock_that_steps_back_and_a_rate_that_changes_cost_nobody_more_than_an_empty_bucket() {
        let later = take(2, 3600, 2, NOW.plus(Duration::from_hours(9)));
        let bucket = taken(Bucket::FULL, &later);
        let now = take(2, 60, 1, NOW);
        assert_eq!(bucket.take(&now), Decision::Refused { wait: Duration::from_secs(30) });
    }

    #[test]
    fn rates_have_bounds() {
        assert_eq!(Rate::new(0, Duration::from_secs(1)), None);
        assert_eq!(Rate::new(Rate::MOST + 1, Duration::from_secs(1)), None);
        assert_eq!(Rate::new(1, Duration::from_millis(999)), None);
        assert_eq!(Rate::new(1, Duration::from_hours(25)), None);
        let finest = Rate::new(Rate::MOST, Rate::SHORTEST).expect("in bounds");
        assert_eq!((finest.drop_micros(), finest.depth_micros()), (1, 1_000_000));
    }

    #[test]
    fn codes_are_distinct_and_so_are_buckets() {
        assert_eq!(Limit::ALL.iter().map(|limit| limit.code()).collect::<HashSet<_>>().len(), Limit::ALL.len());
        let mut policy = LimitPolicy::default();
        for (most, limit) in (1..).zip(Limit::ALL) {
            policy = policy.with(limit, Rate::new(most, Rate::SHORTEST));
        }
        for (most, limit) in (1..).zip(Limit::ALL) {
            assert_eq!(policy.rate(limit).map(Rate::most), Some(most));
        }
        let keys: HashSet<_> = [
            BucketKey::of(Limit::SignInByAddress, &["a", "b"]),
            BucketKey::of(Limit::SignInByAddress, &["ab"]),
            BucketKey::of(Limit::SignInByAddress, &["a", "", "b"]),
            BucketKey::of(Limit::SignUpByAddress, &["a", "b"]),
        ]
        .into();
        assert_eq!(keys.len(), 4);
    }
}
