//! [`HistoryRepository`] in memory.

use std::collections::HashMap;

use async_trait::async_trait;
use regrant_domain::history::Entry;
use regrant_domain::ids::{SessionId, UserId};
use regrant_domain::ports::{HistoryRepository, PortError, Swept};
use regrant_domain::time::Timestamp;

use super::MemoryStore;

/// The entries of each session, and of each account, the latest last.
#[derive(Debug, Default)]
pub(super) struct Kept(HashMap<(UserId, Option<SessionId>), Vec<Entry>>);

impl Kept {
    fn append(&mut self, entry: Entry) {
        let list = self.0.entry((entry.user, entry.session)).or_default();
        if list.contains(&entry) {
            return;
        }
        let kind = entry.what.code();
        list.push(entry);
        Entry::sort(list);
        let of_kind = |entry: &Entry| entry.what.code() == kind;
        if list.iter().filter(|entry| of_kind(entry)).count() > usize::from(Entry::MAX_OF_A_KIND)
            && let Some(oldest) = list.iter().position(of_kind)
        {
            list.remove(oldest);
        }
    }

    fn of(&self, which: impl Fn(UserId, Option<SessionId>) -> bool) -> Vec<Entry> {
        let lists = self.0.iter().filter(|((user, session), _)| which(*user, *session));
        lists.flat_map(|(_, list)| list.clone()).collect()
    }

    pub(super) fn forget_all(&mut self, user: UserId) {
        self.0.retain(|(owner, _), _| *owner != user);
    }

    fn sweep(&mut self, cutoff: Timestamp, limit: u32) -> Swept {
        let mut removed = 0;
        self.0.retain(|_, list| {
            list.retain(|entry| {
                let goes = entry.at <= cutoff && removed < u64::from(limit);
                removed += u64::from(goes);
                !goes
            });
            !list.is_empty()
        });
        Swept { removed, done: !self.0.values().flatten().any(|entry| entry.at <= cutoff) }
    }
}

#[async_trait]
impl HistoryRepository for MemoryStore {
    async fn append(&self, entries: Vec<Entry>) -> Result<(), PortError> {
        let mut state = self.state();
        for entry in entries {
            if !self.knows_users || state.users.contains_key(&entry.user) {
                state.history.append(entry);
            }
        }
        Ok(())
    }

    async fn of_session(&self, session: SessionId) -> Result<Vec<Entry>, PortError> {
        Ok(self.state().history.of(|_, of| of == Some(session)))
    }

    async fn of_account(&self, user: UserId) -> Result<Vec<Entry>, PortError> {
        Ok(self.state().history.of(|owner, of| owner == user && of.is_none()))
    }

    async fn forget_all(&self, user: UserId) -> Result<(), PortError> {
        self.state().history.forget_all(user);
        Ok(())
    }

    async fn sweep(&self, cutoff: Timestamp, limit: u32) -> Result<Swept, PortError> {
        Ok(self.state().history.sweep(cutoff, limit))
    }
}
