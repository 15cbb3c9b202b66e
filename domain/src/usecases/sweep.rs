//! Forget sessions that ended or expired longer ago than the retention. Until then, "why was I signed out?" has an
//! answer.

use std::time::Duration;

use super::Ports;
use crate::ports::{PortError, Swept};

/// The use case.
#[derive(Clone)]
pub struct Sweep {
    ports: Ports,
    retention: Duration,
}

impl Sweep {
    /// Sessions per batch: small, so that refreshes beside it hardly wait.
    pub const BATCH: u32 = 500;

    /// With these ports and this retention.
    pub fn new(ports: Ports, retention: Duration) -> Self {
        Self { ports, retention }
    }

    /// Runs one batch; call again until it says that it is done.
    ///
    /// # Errors
    /// [`PortError`]: some may have been forgotten; call again.
    pub async fn batch(&self) -> Result<Swept, PortError> {
        let cutoff = self.ports.clock.now().minus(self.retention);
        self.ports.sessions.sweep(cutoff, Self::BATCH).await
    }
}
