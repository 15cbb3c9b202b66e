//! No history: where an operator wants none to be kept.

use std::sync::Arc;

use async_trait::async_trait;
use regrant_domain::history::Entry;
use regrant_domain::ids::{SessionId, UserId};
use regrant_domain::ports::{HistoryRepository, PortError, Swept};
use regrant_domain::time::Timestamp;

/// Keeps nothing, and lets what was kept before be forgotten.
pub struct NoHistory(Arc<dyn HistoryRepository>);

impl NoHistory {
    /// In this store.
    pub fn new(store: Arc<dyn HistoryRepository>) -> Self {
        Self(store)
    }
}

#[async_trait]
impl HistoryRepository for NoHistory {
    async fn append(&self, _: Vec<Entry>) -> Result<(), PortError> {
        Ok(())
    }

    async fn of_session(&self, _: SessionId) -> Result<Vec<Entry>, PortError> {
        Ok(Vec::new())
    }

    async fn of_account(&self, _: UserId) -> Result<Vec<Entry>, PortError> {
        Ok(Vec::new())
    }

    async fn forget_all(&self, user: UserId) -> Result<(), PortError> {
        self.0.forget_all(user).await
    }

    async fn sweep(&self, cutoff: Timestamp, limit: u32) -> Result<Swept, PortError> {
        self.0.sweep(cutoff, limit).await
    }
}
