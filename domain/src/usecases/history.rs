//! What happened to one of the user's own sessions.

use super::Ports;
use super::authenticate::Caller;
use crate::history::{Entry, What};
use crate::ids::{SessionId, UserId};
use crate::policy::HistoryPolicy;
use crate::ports::{PortError, SessionKey};
use crate::session::{Snapshot, Status};
use crate::time::Timestamp;

/// The use case.
#[derive(Clone)]
pub struct History {
    ports: Ports,
    policy: HistoryPolicy,
}

impl History {
    /// With these ports and this policy.
    pub fn new(ports: Ports, policy: HistoryPolicy) -> Self {
        Self { ports, policy }
    }

    /// What happened to a session of the caller's, and meanwhile to the account, the latest last; `None`: the user has no
    /// such session, and nothing is kept of one (any more).
    ///
    /// # Errors
    /// [`PortError`]: could not find out.
    pub async fn run(&self, caller: &Caller, session: SessionId) -> Result<Option<Vec<Entry>>, PortError> {
        let found = self.ports.sessions.find(&SessionKey::Id(session)).await?;
        if found.as_ref().is_some_and(|found| found.session.user != caller.user) {
            return Ok(None);
        }
        let since = self.ports.clock.now().minus(self.policy.retention);
        let entries = complete(&self.ports, session, found.as_ref(), since).await?;
        // Of a session that has been swept, the entries tell whose it was.
        let own = entries.iter().all(|entry| entry.user == caller.user);
        Ok(Some(entries).filter(|entries| own && !entries.is_empty()))
    }
}

/// The history of a session, as far as it happened after `since`, and what its own record tells, at any age: that it was
/// opened and ended is told whatever became of the entries.
pub(super) async fn complete(
    ports: &Ports,
    session: SessionId,
    snapshot: Option<&Snapshot>,
    since: Timestamp,
) -> Result<Vec<Entry>, PortError> {
    let mut entries = ports.history.of_session(session).await?;
    entries.retain(|entry| entry.at > since);
    for told in snapshot.map(|snapshot| Entry::of_record(&snapshot.session)).unwrap_or_default() {
        if !entries.iter().any(|entry| entry.what == told.what) {
            entries.push(told);
        }
    }
    Entry::sort(&mut entries);
    if let Some(life) = Life::of(&entries, snapshot) {
        let mut account = ports.history.of_account(life.user).await?;
        account.retain(|entry| entry.at > since && life.has(entry.at));
        entries.extend(account);
        Entry::sort(&mut entries);
    }
    Ok(entries)
}

/// From when to when a session was of use.
struct Life {
    user: UserId,
    from: Timestamp,
    /// `None`: nobody knows.
    to: Option<Timestamp>,
}

impl Life {
    /// From its record; of a session that has been swept, from its history.
    fn of(entries: &[Entry], snapshot: Option<&Snapshot>) -> Option<Self> {
        let Some(Snapshot { session, token, .. }) = snapshot else {
            let (first, last) = (entries.first()?, entries.last()?);
            let to = matches!(last.what, What::Ended(_)).then_some(last.at);
            return Some(Self { user: first.user, from: first.at, to });
        };
        let to = match session.status {
            Status::Ended { at, .. } => at,
            Status::Live => token.expires_at.min(session.ends_at),
        };
        Some(Self { user: session.user, from: session.created_at, to: Some(to) })
    }

    fn has(&self, at: Timestamp) -> bool {
        self.from <= at && self.to.is_none_or(|to| at <= to)
    }
}
