//! Buckets in the memory of this process: for one process, and for what each process counts for itself.
//!
//! Deliberately absent: the addresses and accounts that they belong to, and more than [`MemoryLimits::MOST`] of them.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use regrant_domain::limit::{Bucket, BucketKey, Decision, Take};
use regrant_domain::ports::{PortError, RateLimiter, Taken};
use regrant_domain::time::Timestamp;

/// Buckets that are not full.
///
/// Those that are full again are forgotten whenever there are twice as many as after the last time. When there are
/// [`MemoryLimits::MOST`] that are not, the half of them goes that would be full first: whoever has an endless number of
/// networks makes room for himself only by waiting.
#[derive(Debug)]
pub struct MemoryLimits {
    kept: Mutex<Kept>,
    most: usize,
}

#[derive(Debug)]
struct Kept {
    buckets: HashMap<BucketKey, Bucket>,
    /// So many are looked through for full ones.
    tidy_at: usize,
}

impl Default for MemoryLimits {
    fn default() -> Self {
        Self::at_most(Self::MOST)
    }
}

impl MemoryLimits {
    /// So many are kept: about 12 MiB.
    pub const MOST: usize = 250_000;
    /// Fewer than so many are not worth looking through.
    const FEW: usize = 1024;

    /// Keeps at most so many.
    pub fn at_most(most: usize) -> Self {
        Self { kept: Mutex::new(Kept { buckets: HashMap::new(), tidy_at: Self::FEW.min(most) }), most }
    }

    /// How many are kept.
    pub fn len(&self) -> usize {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).buckets.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Kept {
    fn get(&self, key: &BucketKey) -> Bucket {
        self.buckets.get(key).copied().unwrap_or(Bucket::FULL)
    }

    fn put(&mut self, key: BucketKey, bucket: Bucket, now: Timestamp, most: usize) {
        if !self.buckets.contains_key(&key) && self.buckets.len() >= self.tidy_at {
            self.tidy(now, most);
        }
        self.buckets.insert(key, bucket);
    }

    fn tidy(&mut self, now: Timestamp, most: usize) {
        self.buckets.retain(|_, bucket| !bucket.is_full(now));
        if self.buckets.len() >= most {
            let mut all: Vec<Bucket> = self.buckets.values().copied().collect();
            let middle = all.len() / 2;
            let (_, middle, _) = all.select_nth_unstable(middle);
            let middle = *middle;
            self.buckets.retain(|_, bucket| *bucket > middle);
        }
        self.tidy_at = (self.buckets.len() * 2).clamp(MemoryLimits::FEW.min(most), most);
    }
}

#[async_trait]
impl RateLimiter for MemoryLimits {
    async fn take(&self, take: Take) -> Result<Taken, PortError> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(match kept.get(&take.key).take(&take) {
            Decision::Allowed(left) => {
                kept.put(take.key, left, take.now, self.most);
                Taken::Allowed
            }
            Decision::Refused { wait } => Taken::Refused { wait },
        })
    }

    async fn give_back(&self, take: Take) -> Result<(), PortError> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = kept.get(&take.key).give_back(&take);
        if bucket.is_full(take.now) {
            kept.buckets.remove(&take.key);
        } else {
            kept.put(take.key, bucket, take.now, self.most);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use regrant_domain::limit::{Limit, Rate};

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_795_249_800_000);

    fn take(subject: usize, seconds: u64, now: Timestamp) -> Take {
        let rate = Rate::new(2, Duration::from_secs(seconds)).expect("a rate");
        Take { key: BucketKey::of(Limit::RefreshByAddress, &[&subject.to_string()]), rate, cost: 2, now }
    }

    #[tokio::test]
    async fn buckets_that_are_full_again_are_forgotten() {
        let limits = MemoryLimits::default();
        for subject in 0..10_000 {
            // Each at a second of its own: after ten seconds it is full again.
            let now = NOW.plus(Duration::from_secs(subject as u64));
            assert_eq!(limits.take(take(subject, 10, now)).await.expect("memory"), Taken::Allowed);
        }
        assert!(limits.len() <= 2 * MemoryLimits::FEW, "{} are kept", limits.len());
        assert!(!limits.is_empty());
    }

    #[tokio::test]
    async fn there_are_never_more_than_so_many_and_the_emptiest_stay() {
        let limits = MemoryLimits::at_most(100);
        let emptiest = take(0, 86_400, NOW);
        limits.take(emptiest).await.expect("memory");
        for subject in 1..10_000 {
            limits.take(take(subject, 60, NOW)).await.expect("memory");
            assert!(limits.len() <= 100, "{} are kept", limits.len());
        }
        assert!(matches!(limits.take(emptiest).await.expect("memory"), Taken::Refused { .. }));
    }

    #[tokio::test]
    async fn what_is_given_back_to_a_full_bucket_is_not_kept() {
        let limits = MemoryLimits::default();
        let one = take(1, 60, NOW);
        limits.take(one).await.expect("memory");
        limits.give_back(one).await.expect("memory");
        assert!(limits.is_empty());
    }
}
