//! Forget sessions that ended or expired longer ago than the retention, and what happened longer ago than that of the
//! history. Until then, "why was I signed out?" has an answer.

use std::time::Duration;

use super::Ports;
use crate::ports::{PortError, Swept};

/// The use case.
#[derive(Clone)]
pub struct Sweep {
    ports: Ports,
    retention: Retention,
}

/// For how long things are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Sessions, from when they were over.
    pub sessions: Duration,
    /// What is in the history, from when it happened.
    pub history: Duration,
}

impl Sweep {
    /// Rows per batch: few, so that refreshes beside it hardly wait.
    pub const BATCH: u32 = 500;

    /// With these ports and this retention.
    pub fn new(ports: Ports, retention: Retention) -> Self {
        Self { ports, retention }
    }

    /// Runs one batch; call again until it says that it is done. It counts the sessions.
    ///
    /// # Errors
    /// [`PortError`]: some may have been forgotten; call again.
    pub async fn batch(&self) -> Result<Swept, PortError> {
        let now = self.ports.clock.now();
        let sessions = self.ports.sessions.sweep(now.minus(self.retention.sessions), Self::BATCH).await?;
        let history = self.ports.history.sweep(now.minus(self.retention.history), Self::BATCH).await?;
        Ok(Swept { done: sessions.done && history.done, ..sessions })
    }
}
