//! Histories.

use async_trait::async_trait;

use super::{PortError, Swept};
use crate::history::Entry;
use crate::ids::{SessionId, UserId};
use crate::time::Timestamp;

/// Where the histories of sessions and accounts are kept.
///
/// 1. **Once is enough.** The same entry, appended again, changes nothing.
/// 2. **Bounded.** Of each session, and of each account, about the latest [`Entry::MAX_OF_A_KIND`] of each kind are kept;
///    one kind never pushes another out.
/// 3. **Forgotten is gone**, for one user and for nobody else; and so is the history of a user who is deleted where the same
///    store keeps both. Of a user who is not there, such a store keeps none.
/// 4. **No clock.** Instants come back equal to the millisecond. An entry is found until it is swept, or until the store
///    has kept it for the retention that it was given, and forgets it by itself.
/// 5. **Acknowledged is visible**, as for sessions.
#[cfg_attr(any(test, feature = "testing"), mockall::automock)]
#[async_trait]
pub trait HistoryRepository: Send + Sync {
    /// Keeps entries of one user.
    async fn append(&self, entries: Vec<Entry>) -> Result<(), PortError>;

    /// What is kept of a session, in no particular order.
    async fn of_session(&self, session: SessionId) -> Result<Vec<Entry>, PortError>;

    /// What is kept of a user's account, that is of none of the user's sessions; in no particular order.
    async fn of_account(&self, user: UserId) -> Result<Vec<Entry>, PortError>;

    /// Removes every trace of a user's history.
    async fn forget_all(&self, user: UserId) -> Result<(), PortError>;

    /// Removes at most `limit` entries of at or before `cutoff`. `done` is true when none is left, or the store forgets by
    /// itself; until then, call again.
    async fn sweep(&self, cutoff: Timestamp, limit: u32) -> Result<Swept, PortError>;
}
