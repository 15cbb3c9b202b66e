//! What systemd is told (`sd_notify(3)`): ready, stopping, still alive. Without systemd, nothing.

use sd_notify::NotifyState;
use tokio::sync::watch;

use super::stop_asked;

pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Says at half the time of `WatchdogSec=` that requests are still being worked on, until it is told to stop.
pub(super) async fn watchdog(mut stopped: watch::Receiver<bool>) {
    let Some(every) = sd_notify::watchdog_enabled() else { return };
    loop {
        tell(&[NotifyState::Watchdog]);
        tokio::select! {
            () = stop_asked(&mut stopped) => return,
            () = tokio::time::sleep(every / 2) => {}
        }
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd cannot be told how the service is");
    }
}
