//! Work beside the requests, in tasks of its own.

use std::sync::Arc;

use regrant_domain::ports::{Background, Work};
use tokio::sync::Semaphore;

/// Begins tasks, and bounds how many are under way.
#[derive(Debug)]
pub struct Tasks(Arc<Semaphore>);

impl Tasks {
    /// Most at once.
    pub const MOST: usize = 256;
}

impl Default for Tasks {
    /// None under way.
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(Self::MOST)))
    }
}

impl Background for Tasks {
    fn begin(&self, work: Work) -> bool {
        let Ok(place) = self.0.clone().try_acquire_owned() else { return false };
        tokio::spawn(async move {
            work.await;
            drop(place);
        });
        true
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::watch;

    use super::*;

    #[tokio::test]
    async fn nobody_waits_and_what_is_too_much_is_left_out() {
        let tasks = Tasks::default();
        let go = watch::Sender::new(false);
        let work = || -> Work {
            let mut may_go = go.subscribe();
            Box::pin(async move {
                let _ = may_go.wait_for(|go| *go).await;
            })
        };
        for _ in 0..Tasks::MOST {
            assert!(tasks.begin(work()));
        }
        assert!(!tasks.begin(work()));
        go.send_replace(true);
        go.closed().await;
        while tasks.0.available_permits() < Tasks::MOST {
            tokio::task::yield_now().await;
        }
        assert!(tasks.begin(work()));
    }
}
