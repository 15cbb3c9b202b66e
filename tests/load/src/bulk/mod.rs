//! Sessions by the million, loaded as the databases themselves load: Postgres by `COPY`, SQLite in large transactions.
//!
//! Deliberately absent: what the columns are. The adapter writes the first few sessions, and every further row is one of
//! theirs with ids and hashes exchanged; where one row that the adapter wrote does not follow from another that way, nothing
//! is loaded this way. What differs from the adapter's own way is only which checks are left out: whether the session is
//! there already, and whether its user is.

mod postgres;
mod sqlite;
mod template;

use std::sync::Arc;

use indicatif::ProgressBar;
use regrant_domain::token_key::TokenKeyRing;

use crate::Failure;
use crate::seed::Seed;
pub(crate) use template::Facts;
use template::Template;

/// Where sessions and their tokens are.
const TABLES: [&str; 2] = ["refresh_tokens", "sessions"];

/// What is to be loaded.
pub(crate) struct Loading {
    pub(crate) seed: Seed,
    pub(crate) ring: Arc<TokenKeyRing>,
    /// So many are there, written by the adapter; at least one of another user than the first.
    pub(crate) written: u64,
}

/// Loads all but those that are there. `false`: this cannot be done here, and nothing was.
pub(crate) async fn load(loading: Loading, url: &str, bar: &ProgressBar) -> Result<bool, Failure> {
    match url.strip_prefix("sqlite:") {
        Some(file) => sqlite::load(loading, file.as_ref(), bar).await,
        None if url.starts_with("postgres") => postgres::load(loading, url, bar).await,
        None => Ok(false),
    }
}

/// The rows of sessions that are to be loaded.
struct Rows {
    loading: Loading,
    /// In the order of [`TABLES`].
    templates: Vec<Template>,
}

impl Rows {
    /// From all rows of each table.
    fn learnt(loading: Loading, tables: &[Vec<String>]) -> Option<Self> {
        let facts = |number| loading.seed.facts(number, &loading.ring);
        let (one, other) = (facts(0), facts(loading.written.checked_sub(1)?));
        let templates = tables.iter().map(|rows| Template::learnt(rows, &one, &other)).collect::<Option<_>>()?;
        Some(Self { loading, templates })
    }

    /// Those of the sessions with these numbers, for each table, with `between` between them.
    fn of(&self, numbers: std::ops::Range<u64>, between: char) -> Vec<String> {
        let mut tables = vec![String::new(); self.templates.len()];
        for number in numbers {
            let facts = self.loading.seed.facts(number, &self.loading.ring);
            for (template, rows) in self.templates.iter().zip(&mut tables) {
                if !rows.is_empty() {
                    rows.push(between);
                }
                template.write(&facts, rows);
            }
        }
        tables
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use regrant_adapters::outbound::sqlite::SqliteStore;
    use regrant_domain::time::Timestamp;
    use regrant_domain::token_key::{TokenKey, TokenKeyId};

    use super::*;
    use crate::compare::servers;
    use crate::deployment::Place;
    use crate::seed::How;

    /// Two stores with the same sessions, in the one written by the adapter, in the other loaded.
    async fn filled(one: &str, other: &str) {
        let ring = Arc::new(TokenKeyRing::new(TokenKey::new(TokenKeyId(1), &[1; 32]), vec![]).unwrap());
        let seed = Seed { per_user: 3, ..Seed::new("a", 1000) };
        let now = Timestamp::from_millis(1_800_000_000_000);
        for (url, how) in [(one, How::ByTheAdapter), (other, How::Loaded)] {
            let place = Place::open(url, None).await.unwrap();
            seed.fill_at(&place, &ring, how, now).await.unwrap();
            assert_eq!(place.sessions.count().await.unwrap().sessions, 1000);
        }
    }

    #[tokio::test]
    async fn what_is_loaded_into_sqlite_is_what_the_adapter_would_have_written() {
        let folder = tempfile::tempdir().unwrap();
        let files = ["one.db", "other.db"].map(|name| folder.path().join(name));
        let url = |file: &Path| format!("sqlite:{}", file.display());
        filled(&url(&files[0]), &url(&files[1])).await;
        for table in TABLES {
            let [one, other] = [&files[0], &files[1]].map(|file| sqlite::sorted(file, table));
            let (one, other) = (one.await.unwrap(), other.await.unwrap());
            assert_eq!(one.len(), 1000);
            assert_eq!(one, other, "{table}");
        }
        // It is a database that the service would open.
        SqliteStore::open(&files[1]).await.unwrap().close().await;
    }

    #[tokio::test]
    async fn what_is_loaded_into_postgres_is_what_the_adapter_would_have_written() {
        if !servers::is_wanted("postgres") {
            return;
        }
        let (one, other) = (servers::postgres::fresh_database().await, servers::postgres::fresh_database().await);
        filled(&one, &other).await;
        for table in TABLES {
            let [one, other] = [&one, &other].map(|url| postgres::sorted(url, table));
            let (one, other) = (one.await.unwrap(), other.await.unwrap());
            assert_eq!(one.len(), 1000);
            assert_eq!(one, other, "{table}");
        }
    }
}
