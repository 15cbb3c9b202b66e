//! Following the store's clock, beside the requests.

use tokio::sync::watch;

use super::stop_asked;
use crate::compose::ClockFollower;

/// Looks at it again and again, until it is told to stop. The first look was at the start.
pub(super) async fn run(mut follower: ClockFollower, mut stopped: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = stop_asked(&mut stopped) => return,
            () = tokio::time::sleep(follower.every()) => {}
        }
        tokio::select! {
            () = stop_asked(&mut stopped) => return,
            () = follower.look() => {}
        }
    }
}
