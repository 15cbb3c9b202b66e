//! Able to serve? Asks both stores for something that is not there.

use super::Ports;
use crate::ids::{SessionId, UserId};
use crate::ports::{PortError, SessionKey};

/// The use case.
#[derive(Clone)]
pub struct Ready {
    ports: Ports,
}

impl Ready {
    /// With these ports.
    pub fn new(ports: Ports) -> Self {
        Self { ports }
    }

    /// Runs it.
    ///
    /// # Errors
    /// [`PortError`]: a store does not answer.
    pub async fn run(&self) -> Result<(), PortError> {
        self.ports.sessions.find(&SessionKey::Id(SessionId::from_bytes([0; 16]))).await?;
        self.ports.users.find(UserId::from_bytes([0; 16])).await?;
        Ok(())
    }
}
