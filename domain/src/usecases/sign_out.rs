//! Revoke: whoever holds a refresh token, current or spent, may end its session.

use super::Ports;
use crate::ports::{End, EndOutcome, Event, PortError, SessionKey};
use crate::reason::EndReason;
use crate::refresh_token::Presented;

/// The use case.
#[derive(Clone)]
pub struct SignOut {
    ports: Ports,
}

/// What a revoke came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignedOut {
    /// The session is over: ended by this call, or before.
    Over,
    /// Not a token of this deployment.
    NotAuthentic,
}

impl SignOut {
    /// With these ports.
    pub fn new(ports: Ports) -> Self {
        Self { ports }
    }

    /// Runs it.
    ///
    /// # Errors
    /// [`PortError`]: whether the session ended is not known; send the request again.
    pub async fn run(&self, text: &str) -> Result<SignedOut, PortError> {
        let Ok(presented) = self.ports.codec.decode(text) else { return Ok(SignedOut::NotAuthentic) };
        let reason = EndReason::SignedOut;
        let key = SessionKey::Lookup(presented.lookup());
        let session = match &presented {
            Presented::Chained(token) => Some(token.session),
            Presented::Bare(_) => match self.ports.sessions.find(&key).await? {
                Some(snapshot) => Some(snapshot.session.id),
                None => return Ok(SignedOut::NotAuthentic),
            },
        };
        let end = End { session: key, reason, at: self.ports.clock.now(), only_while: None };
        if let (EndOutcome::Ended, Some(session)) = (self.ports.sessions.end(end).await?, session) {
            self.ports.events.record(Event::Ended { session, reason });
        }
        Ok(SignedOut::Over)
    }
}
