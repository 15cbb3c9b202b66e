//! Who is calling? Checks an access token, then asks the store whether its session still lives, so that an end which
//! was acknowledged is seen at once, and whether the token is still the session's, where its hash is kept.

use std::time::Duration;

use super::Ports;
use crate::access_token::{AccessClaims, AccessRefusal};
use crate::ids::{SessionId, UserId};
use crate::policy::AccessPolicy;
use crate::ports::{PortError, SessionKey};
use crate::reason::Refusal;
use crate::session::{Session, Snapshot};
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

/// What a good access token says, for others who guard something by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bearer {
    /// Who.
    pub user: UserId,
    /// From which session.
    pub session: SessionId,
    /// When the access token stops being accepted.
    pub expires_at: Timestamp,
}

/// How far an access token is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// By itself, where it is signed: no store is asked, and an end of its session is not seen before its expiry. One whose
    /// hash is kept is checked as with [`Check::Session`].
    Token,
    /// Its session too.
    Session,
}

/// What an authentication came to.
#[derive(Debug)]
pub enum Authenticated<C = Box<Caller>> {
    /// Signed in.
    Caller(C),
    /// Not an access token of this deployment.
    NotAuthentic,
    /// Ours, but past its expiry: refresh.
    Expired,
    /// Ours and not expired, but its session is over.
    Refused(Refusal),
}

/// What the store says of genuine claims.
pub(super) enum Borne {
    By(Box<Snapshot>),
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
        let claims = match self.claims(text, now) {
            Ok(claims) => claims,
            Err(refused) => return Ok(refused),
        };
        Ok(match self.borne(&claims, now).await? {
            Borne::Refused(why) => Authenticated::Refused(why),
            Borne::By(snapshot) => {
                let session = snapshot.session;
                Authenticated::Caller(Box::new(Caller { user: session.user, session, expires_at: claims.expires_at }))
            }
        })
    }

    /// Checks a token on behalf of somebody else, who is told whose it is.
    ///
    /// # Errors
    /// [`PortError`]: could not find out.
    pub async fn verify(&self, text: &str, check: Check) -> Result<Authenticated<Bearer>, PortError> {
        let now = self.ports.clock.now();
        let claims = match self.claims(text, now) {
            Ok(claims) => claims,
            Err(refused) => return Ok(refused),
        };
        if (check == Check::Session || claims.proof.kept().is_some())
            && let Borne::Refused(why) = self.borne(&claims, now).await?
        {
            return Ok(Authenticated::Refused(why));
        }
        let AccessClaims { user, session, expires_at, .. } = claims;
        Ok(Authenticated::Caller(Bearer { user, session, expires_at }))
    }

    /// What the token itself says.
    pub(super) fn claims<C>(&self, text: &str, now: Timestamp) -> Result<AccessClaims, Authenticated<C>> {
        self.ports.access_tokens.verify(text, now).map_err(|refused| match refused {
            AccessRefusal::NotAuthentic => Authenticated::NotAuthentic,
            AccessRefusal::Expired => Authenticated::Expired,
        })
    }

    /// Whether the session bears it.
    pub(super) async fn borne(&self, claims: &AccessClaims, now: Timestamp) -> Result<Borne, PortError> {
        let Some(snapshot) = self.ports.sessions.find(&SessionKey::Id(claims.session)).await? else {
            return Ok(Borne::Refused(Refusal::Unknown));
        };
        Ok(match claims.refusal(&snapshot, self.grace, now) {
            Some(why) => Borne::Refused(why),
            None => Borne::By(Box::new(snapshot)),
        })
    }
}
