//! Following the store's clock, so that processes on machines whose clocks disagree decide alike.

use std::sync::Arc;
use std::time::Duration;

use regrant_adapters::outbound::system::{SystemClock, system_now};
use regrant_domain::ports::PortError;
use regrant_domain::time::Timestamp;

use super::Watch;
use super::store::RemoteClock;
use crate::settings::ClockCheck;

/// Keeps the clock of a composition with its store's.
pub struct ClockFollower {
    clock: Arc<SystemClock>,
    store: RemoteClock,
    check: ClockCheck,
    last: Observed,
    watch: Watch,
}

/// What the last look came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Observed {
    /// Within the limit.
    Agrees,
    /// Beyond the limit; followed all the same.
    Differs,
    /// The store did not answer; what was known holds on.
    Failed,
}

impl ClockFollower {
    pub(super) fn new(clock: Arc<SystemClock>, store: RemoteClock, check: ClockCheck, watch: Watch) -> Self {
        watch.clock(clock.clone());
        Self { clock, store, check, last: Observed::Agrees, watch }
    }

    /// How often to [look](Self::look).
    pub const fn every(&self) -> Duration {
        self.check.every
    }

    /// Looks at the store's clock once, and follows it. What is wrong is logged when it begins, not each time.
    pub async fn look(&mut self) {
        let store = self.store.clone();
        self.last = look(&self.clock, self.check.warn_above, self.last, || async move { store.now().await }).await;
        if self.last == Observed::Failed {
            self.watch.clock_check_failed();
        }
    }
}

async fn look<F>(clock: &SystemClock, warn_above: Duration, last: Observed, ask: impl FnOnce() -> F) -> Observed
where
    F: Future<Output = Result<Timestamp, PortError>>,
{
    let sent = system_now();
    let answer = ask().await;
    let received = system_now();
    match answer {
        Ok(store_now) => {
            let skew = clock.observe(store_now, sent, received);
            let millis = skew.millis();
            match (skew.exceeds(warn_above), last) {
                (true, Observed::Differs) => Observed::Differs,
                (true, _) => {
                    tracing::warn!(
                        milliseconds = millis,
                        "the store's clock is ahead of this machine's by so much (behind, if negative); it is followed, \
                         but set both right"
                    );
                    Observed::Differs
                }
                (false, last) => {
                    if last != Observed::Agrees {
                        tracing::info!(milliseconds = millis, "the store's clock agrees with this machine's again");
                    }
                    Observed::Agrees
                }
            }
        }
        Err(error) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            if last == Observed::Failed {
                tracing::debug!(%error, cause, "the store's clock could still not be read");
            } else {
                tracing::warn!(%error, cause, "the store's clock could not be read; what was known of it holds on");
            }
            Observed::Failed
        }
    }
}

#[cfg(test)]
mod tests {
    use regrant_domain::ports::Clock as _;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const TEN_MINUTES: i64 = 600_000;

    #[expect(clippy::unused_async, reason = "it stands for a store, which is asked over a network")]
    async fn ahead_by(millis: i64) -> Result<Timestamp, PortError> {
        Ok(Timestamp::from_millis(system_now().millis() + millis))
    }

    /// By how much the clock is ahead of the machine's.
    fn ahead(clock: &SystemClock) -> i64 {
        clock.now().millis() - system_now().millis()
    }

    #[tokio::test]
    async fn a_store_ten_minutes_ahead_is_followed_and_told() {
        let clock = SystemClock::new();
        let observed = look(&clock, SECOND, Observed::Agrees, || ahead_by(TEN_MINUTES)).await;
        assert_eq!(observed, Observed::Differs);
        assert!((ahead(&clock) - TEN_MINUTES).abs() < 1000, "{}", ahead(&clock));
    }

    #[tokio::test]
    async fn a_store_that_agrees_is_not_told() {
        let clock = SystemClock::new();
        assert_eq!(look(&clock, SECOND, Observed::Differs, || ahead_by(0)).await, Observed::Agrees);
        assert!(ahead(&clock).abs() < 1000);
    }

    #[tokio::test]
    async fn a_store_that_does_not_answer_changes_nothing() {
        let clock = SystemClock::new();
        look(&clock, SECOND, Observed::Agrees, || ahead_by(TEN_MINUTES)).await;
        let fails = || async { Err(PortError::unavailable("the store", "it is away")) };
        assert_eq!(look(&clock, SECOND, Observed::Differs, fails).await, Observed::Failed);
        assert!((ahead(&clock) - TEN_MINUTES).abs() < 1000, "{}", ahead(&clock));
    }
}
