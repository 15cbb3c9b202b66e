//! [`RateLimiter`] on Redis: a bucket is one number under a key that goes by itself when the bucket has been full for a minute.
//!
//! A script that runs twice takes twice: a request of its sender more than there was, and of nobody else's. Nothing here waits
//! for replicas or disks; what a failover loses, a bucket has again.

use async_trait::async_trait;
use regrant_domain::limit::Take;
use regrant_domain::ports::{PortError, RateLimiter, Taken};
use std::time::Duration;

use super::RedisStore;
use super::scripts::{Run, SCRIPTS};
use super::store::Inner;

#[async_trait]
impl RateLimiter for RedisStore {
    async fn take(&self, take: Take) -> Result<Taken, PortError> {
        let run = self.inner.on_bucket(&take, take.amount_micros());
        let wait: u64 = self.inner.write(&run).await?;
        Ok(if wait == 0 { Taken::Allowed } else { Taken::Refused { wait: Duration::from_micros(wait) } })
    }

    async fn give_back(&self, take: Take) -> Result<(), PortError> {
        self.inner.write::<u64>(&self.inner.on_bucket(&take, -take.amount_micros())).await.map(drop)
    }
}

impl Inner {
    fn on_bucket(&self, take: &Take, amount: i64) -> Run {
        let run = SCRIPTS.limit.on(self.keys.bucket(&take.key));
        run.arg(take.now_micros()).arg(amount).arg(take.depth_micros())
    }
}
