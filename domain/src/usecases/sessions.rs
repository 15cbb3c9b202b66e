//! The user's own sessions: list them, end one, end all.

use super::Ports;
use super::authenticate::Caller;
use crate::history::Origin;
use crate::ids::{SessionId, UserId};
use crate::ports::{End, EndAll, Event, PortError, SessionKey};
use crate::reason::EndReason;
use crate::session::Snapshot;
use crate::time::Timestamp;

/// The use case.
#[derive(Clone)]
pub struct Sessions {
    ports: Ports,
}

/// A user's sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Live ones first, newest first.
    pub sessions: Vec<Snapshot>,
    /// As of when: tells the live ones from those that have expired.
    pub at: Timestamp,
}

/// What ending one session came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndedOne {
    /// It is over: ended by this call, or before.
    Over,
    /// The user has no such session.
    NotFound,
}

impl Sessions {
    /// With these ports.
    pub fn new(ports: Ports) -> Self {
        Self { ports }
    }

    /// The user's sessions that are still kept, live or not.
    ///
    /// # Errors
    /// [`PortError`]: could not find out.
    pub async fn list(&self, user: UserId) -> Result<Listed, PortError> {
        let at = self.ports.clock.now();
        let mut sessions = self.ports.sessions.list(user).await?;
        sessions.sort_by_key(|s| (!s.is_live(at), std::cmp::Reverse((s.session.created_at, s.session.id))));
        Ok(Listed { sessions, at })
    }

    /// Ends one of the caller's sessions.
    ///
    /// # Errors
    /// [`PortError`]: whether it ended is not known; send the request again.
    pub async fn end_one(&self, caller: &Caller, session: SessionId, from: &Origin) -> Result<EndedOne, PortError> {
        let key = SessionKey::Id(session);
        let own = self.ports.sessions.find(&key).await?.is_some_and(|found| found.session.user == caller.user);
        if !own {
            return Ok(EndedOne::NotFound);
        }
        let reason = if caller.session.id == session { EndReason::SignedOut } else { EndReason::SignedOutElsewhere };
        let end = End { session: key, reason, at: self.ports.clock.now(), only_while: None };
        self.ports.end(end, session, Some(caller.user), from).await?;
        Ok(EndedOne::Over)
    }

    /// Ends all of the caller's sessions, or all but the caller's own. Covers a sign-in that is under way.
    ///
    /// # Errors
    /// [`PortError`]: which sessions ended is not known; send the request again.
    pub async fn end_all(&self, caller: &Caller, include_current: bool, from: &Origin) -> Result<(), PortError> {
        let now = self.ports.clock.now();
        self.ports.users.advance_epoch(caller.user, now).await?;
        let but = (!include_current).then_some(caller.session.id);
        let end = EndAll { user: caller.user, but, reason: EndReason::SignedOutElsewhere, at: now };
        end_all(&self.ports, end, from).await.map(drop)
    }
}

/// Ends a user's sessions, and tells of each. Says how many.
pub(super) async fn end_all(ports: &Ports, end: EndAll, from: &Origin) -> Result<usize, PortError> {
    let EndAll { user, reason, at, .. } = end;
    let ended = ports.sessions.end_all(end).await?;
    let count = ended.len();
    ports.tell(ended.into_iter().map(|session| Event::Ended { session, reason }), user, at, from).await;
    Ok(count)
}
