//! Following the key folder, beside the requests.

use tokio::signal::unix::Signal;
use tokio::sync::watch;

use super::stop_asked;
use crate::compose::KeyFollower;

/// Looks at it again and again, and at once on SIGHUP, until it is told to stop. The first look was at the start.
pub(super) async fn run(mut follower: Box<KeyFollower>, mut hangup: Signal, mut stopped: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = stop_asked(&mut stopped) => return,
            () = tokio::time::sleep(follower.every()) => {}
            _ = hangup.recv() => tracing::info!("SIGHUP: looking at the key folder"),
        }
        tokio::select! {
            () = stop_asked(&mut stopped) => return,
            () = follower.look() => {}
        }
    }
}
