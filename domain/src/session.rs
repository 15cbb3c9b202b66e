//! Sessions: one signed-in device each.

use crate::history::Origin;
use crate::ids::{SessionId, UserId};
use crate::reason::{EndReason, Refusal};
use crate::refresh_token::{Generation, LookupKey, TokenState};
use crate::time::Timestamp;

/// One signed-in device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Public identifier.
    pub id: SessionId,
    /// Whose.
    pub user: UserId,
    /// Signed in at.
    pub created_at: Timestamp,
    /// Absolute end: no refresh prolongs the session beyond it.
    pub ends_at: Timestamp,
    /// Where it was opened.
    pub device: Device,
    /// Live, or ended with a reason.
    pub status: Status,
}

impl Session {
    /// Why this session can no longer be used, if so (rules 1 and 2 of [`decide`](fn@crate::decide::decide)).
    pub fn refusal(&self, now: Timestamp) -> Option<Refusal> {
        match self.status {
            Status::Ended { reason, .. } => Some(Refusal::Ended(reason)),
            Status::Live if now.has_reached(self.ends_at) => Some(Refusal::SessionExpired),
            Status::Live => None,
        }
    }
}

/// Whether a session lives. Ended is for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Not ended (it may have expired all the same).
    Live,
    /// Ended by somebody or by a rule.
    Ended {
        /// When.
        at: Timestamp,
        /// Why.
        reason: EndReason,
    },
}

/// What is known of the device at sign-in: shown to the user, used for no decision.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Device {
    /// A name that the client gave, at most [`Device::MAX_LABEL`] bytes.
    pub label: Option<String>,
    /// The `User-Agent` header, cut to [`Device::MAX_USER_AGENT`] bytes.
    pub user_agent: Option<String>,
    /// The address that the request came from.
    pub ip: Option<String>,
}

impl Device {
    /// Longest label in bytes.
    pub const MAX_LABEL: usize = 100;
    /// Longest user agent that is kept, in bytes.
    pub const MAX_USER_AGENT: usize = 256;

    /// Where the sign-in came from.
    pub fn origin(&self) -> Origin {
        Origin { user_agent: self.user_agent.clone(), ip: self.ip.clone() }
    }
}

/// A session and the state of its refresh token, as they were at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The session.
    pub session: Session,
    /// Under which key its refresh token is stored.
    pub lookup: LookupKey,
    /// The refresh token's state.
    pub token: TokenState,
}

impl Snapshot {
    /// When it was last refreshed; `None` before the first rotation, and where tokens do not rotate.
    pub fn last_refreshed_at(&self) -> Option<Timestamp> {
        self.token.recent.last_spent_at()
    }

    /// When the tokens of this generation were made, as long as that is remembered: at sign-in, or when the generation
    /// before it was spent.
    pub fn issued_at(&self, generation: Generation) -> Option<Timestamp> {
        let before = generation.0.checked_sub(1).map(Generation);
        before.map_or(Some(self.session.created_at), |spent| self.token.recent.get(spent).map(|spent| spent.at))
    }

    /// Whether a refresh could still succeed at `now`.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.session.refusal(now).is_none() && !now.has_reached(self.token.expires_at)
    }
}

/// Which of two states of one session is kept when they meet: the ended one, else the one with the later generation,
/// else the one that is there. `None`: nothing needs to be written.
pub fn later_of(there: Option<&Snapshot>, coming: Snapshot) -> Option<Snapshot> {
    let Some(there) = there else { return Some(coming) };
    let ended = |snapshot: &Snapshot| matches!(snapshot.session.status, Status::Ended { .. });
    match (ended(there), ended(&coming)) {
        (true, _) => None,
        (false, true) => Some(coming),
        (false, false) => (coming.token.held.generation > there.token.held.generation).then_some(coming),
    }
}
