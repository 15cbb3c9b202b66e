//! Carry users, sessions and tokens from one store to another. Can be repeated, and signs nobody out: whoever refreshed
//! at the old store after the copy is ahead of the new one, and is healed.

use crate::ports::{Counted, PortError, Portable};

/// Rows per batch.
const BATCH: u32 = 500;

/// What a copy came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Copied {
    /// Read from the old store.
    pub read: Counted,
    /// Users whose address belongs to another user of the new store, and sessions whose user is not there.
    pub left_out: Counted,
}

/// Where users and sessions are read or kept; they may be two stores.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// Users.
    pub users: &'a dyn Portable,
    /// Sessions.
    pub sessions: &'a dyn Portable,
}

/// Runs it; `progress` is told after each batch.
///
/// # Errors
/// [`PortError`]: some may have been copied; run it again.
pub async fn copy(from: Place<'_>, to: Place<'_>, mut progress: impl FnMut(&Copied)) -> Result<Copied, PortError> {
    let mut copied = Copied::default();
    let mut after = None;
    loop {
        let users = from.users.users_after(after, BATCH).await?;
        let Some(last) = users.last() else { break };
        after = Some(last.id);
        copied.read.users += users.len() as u64;
        copied.left_out.users += to.users.keep_users(users).await?;
        progress(&copied);
    }
    let mut after = None;
    loop {
        let sessions = from.sessions.sessions_after(after, BATCH).await?;
        let Some(last) = sessions.last() else { break };
        after = Some(last.session.id);
        copied.read.sessions += sessions.len() as u64;
        copied.left_out.sessions += to.sessions.keep_sessions(sessions).await?;
        progress(&copied);
    }
    Ok(copied)
}
