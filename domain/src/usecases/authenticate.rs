//! Who is calling? Checks an access token, then asks the store whether its session still lives, so that an end which
//! was acknowledged is seen at once, and whether the token is still the session's, where its hash is kept.

use std::time::Duration;

use super::Ports;
use crate::access_token::AccessRefusal;
use crate::ids::UserId;
use crate::policy::AccessPolicy;
use crate::ports::{PortError, SessionKey};
use crate::reason::Refusal;
use crate::session::Session;
use crate::time::Timestamp;

/// The use case.
#[derive(Clone)]
pub struct Authenticate {
    ports: Ports,
    /// For how long a kept access token outlives its replacement.
    grace: Duration,
}

/// The signed-in caller of a guarded route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Who.
    pub user: UserId,
    /// From which session.
    pub session: Session,
    /// When the access token stops being accepted.
    pub expires_at: Timestamp,
}

/// What an authentication came to.
#[derive(Debug)]
pub enum Authenticated {
    /// Signed in.
    Caller(Box<Caller>),
    /// Not an access token of this deployment.
    NotAuthentic,
    /// Ours, but past its expiry: refresh.
    Expired,
    /// Ours and not expired, but its session is over.
    Refused(Refusal),
}

impl Authenticate {
    /// With these ports and this policy.
    pub fn new(ports: Ports, access: AccessPolicy) -> Self {
        Self { ports, grace: access.kept.map_or(Duration::ZERO, |kept| kept.grace) }
    }

    /// Runs it.
    ///
    /// # Errors
    /// [`PortError`]: could not find out.
    pub async fn run(&self, text: &str) -> Result<Authenticated, PortError> {
        let now = self.ports.clock.now();
        let claims = match self.ports.access_tokens.verify(text, now) {
            Ok(claims) => claims,
            Err(AccessRefusal::NotAuthentic) => return Ok(Authenticated::NotAuthentic),
            Err(AccessRefusal::Expired) => return Ok(Authenticated::Expired),
        };
        let Some(snapshot) = self.ports.sessions.find(&SessionKey::Id(claims.session)).await? else {
            return Ok(Authenticated::Refused(Refusal::Unknown));
        };
        if let Some(why) = claims.refusal(&snapshot, self.grace, now) {
            return Ok(Authenticated::Refused(why));
        }
        let caller = Caller { user: snapshot.session.user, session: snapshot.session, expires_at: claims.expires_at };
        Ok(Authenticated::Caller(Box::new(caller)))
    }
}
