//! Give a token up, whichever kind it is: its session ends.

use super::Ports;
use super::authenticate::{Authenticate, Authenticated};
use super::sign_out::{SignOut, SignedOut};
use crate::history::Origin;
use crate::policy::AccessPolicy;
use crate::ports::{End, PortError, SessionKey};
use crate::reason::EndReason;

/// The use case.
#[derive(Clone)]
pub struct Revoke {
    ports: Ports,
    sign_out: SignOut,
    authenticate: Authenticate,
}

impl Revoke {
    /// With these ports and this policy.
    pub fn new(ports: Ports, access: AccessPolicy) -> Self {
        let (sign_out, authenticate) = (SignOut::new(ports.clone()), Authenticate::new(ports.clone(), access));
        Self { ports, sign_out, authenticate }
    }

    /// Runs it. Afterwards the token is good for nothing: of a refresh token, current or spent, and of an access token that
    /// is accepted, the session has ended; any other text was good for nothing before.
    ///
    /// # Errors
    /// [`PortError`]: whether the session ended is not known; send the request again.
    pub async fn run(&self, text: &str, from: &Origin) -> Result<(), PortError> {
        match self.sign_out.run(text, from).await? {
            SignedOut::Over => return Ok(()),
            SignedOut::NotAuthentic => {}
        }
        let Authenticated::Caller(caller) = self.authenticate.run(text).await? else { return Ok(()) };
        let session = caller.session.id;
        let (key, at) = (SessionKey::Id(session), self.ports.clock.now());
        let end = End { session: key, reason: EndReason::SignedOut, at, only_while: None };
        self.ports.end(end, session, Some(caller.user), from).await.map(drop)
    }
}
