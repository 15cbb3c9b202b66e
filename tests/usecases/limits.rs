//! Properties of buckets, whatever is taken, given back, and when.

use std::time::Duration;

use proptest::prelude::*;
use regrant_domain::limit::{Bucket, BucketKey, Decision, Limit, Rate, Take};
use regrant_domain::time::Timestamp;

const NOW: Timestamp = Timestamp::from_millis(1_795_249_800_000);

fn a_rate() -> impl Strategy<Value = Rate> {
    (1_u32..2_000, 1_u64..=86_400).prop_map(|(most, seconds)| Rate::new(most, Duration::from_secs(seconds)).unwrap())
}

fn take(rate: Rate, cost: u32, at: Duration) -> Take {
    Take { key: BucketKey::of(Limit::SignInByAddress, &["x"]), rate, cost, now: NOW.plus(at) }
}

/// How long one drop takes, in milliseconds, as exactly as can be.
fn drop_millis(rate: Rate) -> f64 {
    rate.within().as_secs_f64() * 1000.0 / f64::from(rate.most())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// However the takes are spread, no span of time sees more than a full bucket and what falls meanwhile.
    #[test]
    fn no_span_of_time_gives_more_than_a_full_bucket_and_what_falls_meanwhile(
        rate in a_rate(),
        steps in prop::collection::vec((0_u64..20_000, 1_u32..4), 1..200),
    ) {
        let (mut bucket, mut at, mut given) = (Bucket::FULL, Duration::ZERO, Vec::new());
        for (pause, cost) in steps {
            at += Duration::from_millis(pause);
            let cost = cost.min(rate.most());
            if let Decision::Allowed(left) = bucket.take(&take(rate, cost, at)) {
                bucket = left;
                given.push((at, cost));
            }
        }
        for (first, (begin, _)) in given.iter().enumerate() {
            let mut sum = 0;
            for (end, cost) in &given[first..] {
                sum += cost;
                let fell = (*end - *begin).as_secs_f64() * 1000.0 / drop_millis(rate);
                // A drop takes a whole number of microseconds, rounded down: a little faster than written.
                let most = f64::from(rate.most()) + fell * 1.1 + 1.0;
                prop_assert!(f64::from(sum) <= most, "{sum} within {:?} of {rate:?}", *end - *begin);
            }
        }
    }

    /// Who waits as long as is said is served, and who comes a millisecond earlier is not.
    #[test]
    fn a_wait_is_neither_too_short_nor_too_long(rate in a_rate(), taken in 1_u32..2_000, cost in 1_u32..2_000) {
        let bucket = match Bucket::FULL.take(&take(rate, taken, Duration::ZERO)) {
            Decision::Allowed(bucket) => bucket,
            Decision::Refused { .. } => return Err(TestCaseError::fail("a full bucket refuses nothing")),
        };
        if let Decision::Refused { wait } = bucket.take(&take(rate, cost, Duration::ZERO)) {
            prop_assert!(wait > Duration::ZERO && wait <= rate.within());
            let millis = u64::try_from(wait.as_micros().div_ceil(1000)).unwrap();
            let (in_time, early) = (Duration::from_millis(millis), Duration::from_millis(millis - 1));
            let served = matches!(bucket.take(&take(rate, cost, in_time)), Decision::Allowed(_));
            prop_assert!(served, "after {wait:?} of {rate:?}");
            let refused = matches!(bucket.take(&take(rate, cost, early)), Decision::Refused { .. });
            prop_assert!(refused, "{early:?} of {wait:?}");
        }
    }

    /// Giving back undoes a take, and nothing else.
    #[test]
    fn what_is_given_back_leaves_the_bucket_as_it_was(rate in a_rate(), before in 0_u32..1_000, cost in 1_u32..1_000) {
        let begin = match Bucket::FULL.take(&take(rate, before.max(1), Duration::ZERO)) {
            Decision::Allowed(bucket) if before > 0 => bucket,
            _ => Bucket::FULL,
        };
        if let Decision::Allowed(left) = begin.take(&take(rate, cost, Duration::ZERO)) {
            prop_assert_eq!(left.give_back(&take(rate, cost, Duration::ZERO)), begin);
        }
    }

    /// Whatever a store or another clock has written there, the wait is bounded, and a bucket stays one.
    #[test]
    fn any_number_is_a_bucket(rate in a_rate(), full_at in any::<i64>(), cost in 1_u32..2_000) {
        let bucket = Bucket::full_at_micros(full_at / 4);
        match bucket.take(&take(rate, cost, Duration::ZERO)) {
            Decision::Allowed(left) => prop_assert!(left.is_full(NOW.plus(rate.within()))),
            Decision::Refused { wait } => prop_assert!(wait <= rate.within()),
        }
    }
}
