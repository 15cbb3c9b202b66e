//! Buckets.

use std::time::Duration;

use regrant_domain::limit::{Bucket, BucketKey, Decision, Limit, Rate, Take};
use regrant_domain::ports::Taken;
use tokio::task::JoinSet;

use super::bench::{Bench, OPENED, a_user_id, random};

/// A take from a bucket of its own.
fn a_take(most: u32, within: Duration) -> Take {
    let key = BucketKey::of(Limit::PasswordByAccount, &[&a_user_id().to_string()]);
    Take { key, rate: Rate::new(most, within).unwrap(), cost: 1, now: OPENED }
}

fn wait(taken: Taken) -> Duration {
    let Taken::Refused { wait } = taken else { panic!("there was enough") };
    wait
}

/// Promise 1. Also with clocks that step back, and with other rates and costs of the same bucket.
pub(crate) async fn one_take_after_the_other_comes_to_what_the_domain_computes(bench: &Bench) {
    let first = a_take(7, Duration::from_mins(1));
    let mut model = Bucket::FULL;
    for step in 0..200_u64 {
        let [a, b, c, d] = random::<4>();
        let most = if step < 150 { 7 } else { 3 };
        let take = Take {
            rate: Rate::new(most, Duration::from_mins(1)).unwrap(),
            cost: 1 + u32::from(a % 3),
            now: first.now.plus(Duration::from_millis(step * 4_000 + u64::from(b) * 37)),
            ..first
        };
        if c % 4 == 0 && d % 2 == 0 {
            bench.limits.give_back(take).await.unwrap();
            model = model.give_back(&take);
            continue;
        }
        let expected = match model.take(&take) {
            Decision::Allowed(left) => {
                model = left;
                Taken::Allowed
            }
            Decision::Refused { wait } => Taken::Refused { wait },
        };
        assert_eq!(bench.limits.take(take).await.unwrap(), expected, "step {step}: {take:?} of {model:?}");
    }
}

/// Promise 1.
pub(crate) async fn a_refusal_takes_nothing_and_tells_exactly_how_long_to_wait(bench: &Bench) {
    let take = a_take(3, Duration::from_mins(1));
    for _ in 0..3 {
        assert_eq!(bench.limits.take(take).await.unwrap(), Taken::Allowed);
    }
    for _ in 0..5 {
        assert_eq!(wait(bench.limits.take(take).await.unwrap()), Duration::from_secs(20));
    }
    let early = Take { now: take.now.plus(Duration::from_millis(19_999)), ..take };
    assert_eq!(wait(bench.limits.take(early).await.unwrap()), Duration::from_millis(1));
    let on_time = Take { now: take.now.plus(Duration::from_secs(20)), ..take };
    assert_eq!(bench.limits.take(on_time).await.unwrap(), Taken::Allowed);
    assert_eq!(wait(bench.limits.take(on_time).await.unwrap()), Duration::from_secs(20));
}

/// Promise 2.
pub(crate) async fn of_many_takes_at_once_as_many_as_there_are_are_allowed(bench: &Bench) {
    for _ in 0..5 {
        let take = a_take(10, Duration::from_hours(1));
        let mut racing = JoinSet::new();
        for at in 0..40 {
            let limits = if at % 2 == 0 { bench.limits.clone() } else { bench.other_limits.clone() };
            racing.spawn(async move { limits.take(take).await.unwrap() });
        }
        let taken = racing.join_all().await;
        assert_eq!(taken.iter().filter(|taken| **taken == Taken::Allowed).count(), 10);
        assert!(taken.iter().all(|taken| !matches!(taken, Taken::Refused { wait } if wait.is_zero())));
    }
}

/// Promise 3.
pub(crate) async fn what_is_given_back_can_be_taken_again_and_no_bucket_is_fuller_than_full(bench: &Bench) {
    let take = a_take(2, Duration::from_hours(1));
    for _ in 0..2 {
        assert_eq!(bench.limits.take(take).await.unwrap(), Taken::Allowed);
    }
    bench.limits.give_back(take).await.unwrap();
    assert_eq!(bench.limits.take(take).await.unwrap(), Taken::Allowed);
    wait(bench.limits.take(take).await.unwrap());
    for _ in 0..5 {
        bench.limits.give_back(take).await.unwrap();
    }
    for _ in 0..2 {
        assert_eq!(bench.limits.take(take).await.unwrap(), Taken::Allowed);
    }
    wait(bench.limits.take(take).await.unwrap());
    let untouched = a_take(1, Duration::from_hours(1));
    bench.limits.give_back(untouched).await.unwrap();
    assert_eq!(bench.limits.take(untouched).await.unwrap(), Taken::Allowed);
    wait(bench.limits.take(untouched).await.unwrap());
}

/// Promise 4: buckets do not know of each other.
pub(crate) async fn one_bucket_has_nothing_to_do_with_another(bench: &Bench) {
    let (one, other) = (a_take(1, Duration::from_hours(1)), a_take(1, Duration::from_hours(1)));
    assert_eq!(bench.limits.take(one).await.unwrap(), Taken::Allowed);
    assert_eq!(bench.limits.take(other).await.unwrap(), Taken::Allowed);
    wait(bench.limits.take(one).await.unwrap());
}

/// Promise 6.
pub(crate) async fn what_one_process_takes_all_miss(bench: &Bench) {
    let take = a_take(2, Duration::from_hours(1));
    assert_eq!(bench.limits.take(take).await.unwrap(), Taken::Allowed);
    assert_eq!(bench.other_limits.take(take).await.unwrap(), Taken::Allowed);
    wait(bench.limits.take(take).await.unwrap());
    bench.other_limits.give_back(take).await.unwrap();
    assert_eq!(bench.limits.take(take).await.unwrap(), Taken::Allowed);
}
