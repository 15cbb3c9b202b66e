//! Buckets.

use async_trait::async_trait;

use super::PortError;
use crate::limit::Take;

/// Where buckets are kept.
///
/// 1. **As decided.** One take after the other comes to what [`Bucket::take`](crate::limit::Bucket::take) says; a refusal
///    takes nothing.
/// 2. **Never more than there is.** Of any number of simultaneous takes from one bucket, as many as it holds are allowed.
/// 3. **What is given back can be taken again**, and no bucket is ever fuller than full.
/// 4. **No clock and no names.** Instants arrive as values; keys are hashes.
/// 5. **Bounded.** A bucket that is full again is forgotten after a while, by the store itself.
/// 6. **What one process takes, all miss**, where the store is one that processes share.
///
/// What a crash loses, a bucket has again: too much is allowed for a moment, never too little. A take whose answer was lost
/// may count twice.
#[cfg_attr(any(test, feature = "testing"), mockall::automock)]
#[async_trait]
pub trait RateLimiter: Send + Sync {
    /// Takes, if there is enough.
    async fn take(&self, take: Take) -> Result<Taken, PortError>;

    /// Gives back what was taken.
    async fn give_back(&self, take: Take) -> Result<(), PortError>;
}

/// Answer of [`RateLimiter::take`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// Taken.
    Allowed,
    /// Nothing was taken.
    Refused {
        /// After so long there is enough, if nobody else takes meanwhile; more than zero. Exact, but for takes at the same
        /// moment.
        wait: std::time::Duration,
    },
}
