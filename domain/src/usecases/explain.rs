//! What is this refresh token, and what would a refresh answer? Changes nothing.

use super::history;
use super::{Policies, Ports};
use crate::decide::{Asked, Decision, Rules, decide};
use crate::history::Entry;
use crate::policy::{AccessPolicy, HistoryPolicy, RefreshPolicy};
use crate::ports::{PortError, SessionKey};
use crate::reason::{EndReason, Refusal};
use crate::refresh_token::{Generation, Presented, RetryKey};
use crate::session::Snapshot;
use crate::time::Timestamp;

/// The use case.
#[derive(Clone)]
pub struct Explain {
    ports: Ports,
    policy: RefreshPolicy,
    access: AccessPolicy,
    history: HistoryPolicy,
}

/// What is known of a token.
#[derive(Debug)]
pub enum Explained {
    /// Not a token of this deployment.
    NotAuthentic,
    /// Ours.
    Token(Box<Explanation>),
}

/// Everything about a token of ours.
#[derive(Debug)]
pub struct Explanation {
    /// Its generation, where the token says so.
    pub generation: Option<Generation>,
    /// The session, if it is still kept.
    pub snapshot: Option<Snapshot>,
    /// What a refresh would come to.
    pub would: Would,
    /// As of when.
    pub at: Timestamp,
    /// What happened to the session, the latest last.
    pub history: Vec<Entry>,
}

/// What a refresh would come to, by the rules of [`decide`](fn@crate::decide::decide).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Would {
    /// A successor.
    Rotate,
    /// The same token stays.
    Serve,
    /// The current token again.
    Replay,
    /// A further successor.
    Reissue,
    /// The client's generation is adopted.
    Heal,
    /// A refusal.
    Refuse(Refusal),
    /// The end of the session.
    End(EndReason),
}

impl Explain {
    /// With these ports and policies.
    pub fn new(ports: Ports, policies: &Policies) -> Self {
        Self { ports, policy: policies.refresh, access: policies.access, history: policies.history }
    }

    /// Runs it.
    ///
    /// # Errors
    /// [`PortError`]: could not find out.
    pub async fn run(&self, text: &str, retry_key: Option<RetryKey>) -> Result<Explained, PortError> {
        let Ok(presented) = self.ports.codec.decode(text) else { return Ok(Explained::NotAuthentic) };
        let snapshot = self.ports.sessions.find(&SessionKey::Lookup(presented.lookup())).await?;
        let (generation, retry_key) = match &presented {
            Presented::Chained(token) => (Some(token.generation), retry_key.map(|key| key.hash_for(token.session))),
            Presented::Bare(_) if snapshot.is_none() => return Ok(Explained::NotAuthentic),
            Presented::Bare(_) => (None, None),
        };
        let at = self.ports.clock.now();
        let rules = Rules { policy: &self.policy, access: &self.access, ring: &self.ports.codec.ring() };
        let would = match decide(snapshot.as_ref(), &Asked { presented: &presented, retry_key, now: at }, &rules) {
            Decision::Rotate(_) => Would::Rotate,
            Decision::Serve => Would::Serve,
            Decision::Replay(_) => Would::Replay,
            Decision::Reissue(_) => Would::Reissue,
            Decision::Heal(_) => Would::Heal,
            Decision::Refuse(why) => Would::Refuse(why),
            Decision::End(reason) => Would::End(reason),
        };
        let session = match &presented {
            Presented::Chained(token) => Some(token.session),
            Presented::Bare(_) => snapshot.as_ref().map(|snapshot| snapshot.session.id),
        };
        let since = at.minus(self.history.retention);
        let history = match session {
            Some(session) => history::complete(&self.ports, session, snapshot.as_ref(), since).await?,
            None => Vec::new(),
        };
        Ok(Explained::Token(Box::new(Explanation { generation, snapshot, would, at, history })))
    }
}
