//! Forgetting what is over, beside the requests.

use std::time::{Duration, Instant};

use regrant_domain::usecases::sweep::Sweep;
use tokio::sync::watch;

use super::stop_asked;
use crate::compose::{SweepRun, Watch};

/// Between two batches: requests go first.
const BREATH: Duration = Duration::from_millis(50);

/// Sweeps now and then every `every`, until it is told to stop.
pub(super) async fn run(sweep: Sweep, every: Duration, watch: Watch, mut stopped: watch::Receiver<bool>) {
    loop {
        // A batch that has begun is completed: the store works in a task of its own.
        tokio::select! {
            () = stop_asked(&mut stopped) => return,
            () = once(&sweep, &watch) => {}
        }
        tokio::select! {
            () = stop_asked(&mut stopped) => return,
            () = tokio::time::sleep(every) => {}
        }
    }
}

async fn once(sweep: &Sweep, watch: &Watch) {
    let started = Instant::now();
    let (mut removed, mut failed) = (0, false);
    loop {
        match sweep.batch().await {
            Ok(swept) => {
                removed += swept.removed;
                if swept.done {
                    break;
                }
            }
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(%error, cause, "sessions that are over could not be forgotten; the next sweep tries again");
                failed = true;
                break;
            }
        }
        tokio::time::sleep(BREATH).await;
    }
    watch.swept(SweepRun { removed, took: started.elapsed(), failed });
    if removed > 0 {
        tracing::info!(removed, "forgot sessions that were over for longer than sweep.retention");
    }
}
