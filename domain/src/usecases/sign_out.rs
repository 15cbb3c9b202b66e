//! Revoke: whoever holds a refresh token, current or spent, may end its session.

use super::Ports;
use crate::history::Origin;
use crate::ports::{End, PortError, SessionKey};
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
    pub async fn run(&self, text: &str, from: &Origin) -> Result<SignedOut, PortError> {
        let Ok(presented) = self.ports.codec.decode(text) else { return Ok(SignedOut::NotAuthentic) };
        let reason = EndReason::SignedOut;
        let key = SessionKey::Lookup(presented.lookup());
        let (session, user) = match &presented {
            Presented::Chained(token) => (token.session, None),
            Presented::Bare(_) => match self.ports.sessions.find(&key).await? {
                Some(snapshot) => (snapshot.session.id, Some(snapshot.session.user)),
                None => return Ok(SignedOut::NotAuthentic),
            },
        };
        let end = End { session: key, reason, at: self.ports.clock.now(), only_while: None };
        self.ports.end(end, session, user, from).await?;
        Ok(SignedOut::Over)
    }
}
