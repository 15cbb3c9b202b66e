//! Sessions and users in one SQLite file: the embedded default.
//!
//! Deliberately absent: the time, and any decision. One connection writes (see `writer`), one brings the log into the file
//! (see `checkpoints`), a few read. An acknowledged write is on disk (`synchronous = FULL`), and every read that begins
//! after it sees it.

mod checkpoints;
mod fault;
mod file;
mod history;
mod portable;
mod rotations;
pub mod schema;
mod sessions;
mod users;
mod writer;

use std::path::Path;
use std::time::Duration;

use regrant_domain::ports::{PortError, RotateOutcome, Rotation};
use sqlx::sqlite::{SqlitePool, SqlitePoolOptions};

use fault::Fault;
pub use fault::StartError;
pub use file::options;
pub use rotations::ROTATE;
use writer::Writer;

use crate::outbound::sql::Connections;
use crate::outbound::together::Together;

/// Connections that read at once; further readers wait for one.
const READERS: u32 = 4;
/// How long a reader waits for a connection before it says that the store is overloaded.
const READER_WAIT: Duration = Duration::from_secs(2);

/// Keeps sessions and users in one file. Clones are handles to the same store.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    writer: Writer,
    /// Rotations that wait at the same time.
    rotations: Together<Rotation, RotateOutcome>,
    readers: SqlitePool,
}

impl SqliteStore {
    /// Opens the database at `path`. Creates the file (not its folder), readable for its owner only, if it is not there,
    /// and fills a database without tables with the current schema. Any other schema is refused: changing a database
    /// with data in it is for an operator to start (see [`schema`]).
    ///
    /// # Errors
    /// [`StartError`] says what to do.
    pub async fn open(path: &Path) -> Result<Self, StartError> {
        file::create(path)?;
        let mut connection = file::connect(path).await?;
        schema::ready(path, &mut connection).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(READER_WAIT)
            // A file does not go away like a server: no round trip to ask whether it is still there.
            .test_before_acquire(false);
        let readers = file::patiently(|| readers.clone().connect_with(file::reading(path)))
            .await
            .map_err(|cause| StartError::of(path, cause))?;
        let writer = Writer::start(path.to_owned(), connection);
        let shared = writer.clone();
        let rotations = Together::new(fault::WHAT, rotations::BOUNDS, move |all| rotations::run(shared.clone(), all));
        Ok(Self { writer, rotations, readers })
    }

    /// Whether it holds neither a user nor a session.
    ///
    /// # Errors
    /// [`PortError`].
    pub async fn is_empty(&self) -> Result<bool, PortError> {
        let sql = "SELECT NOT EXISTS (SELECT 1 FROM users) AND NOT EXISTS (SELECT 1 FROM sessions)";
        Ok(sqlx::query_scalar(sql).fetch_one(&self.readers).await.map_err(Fault::from)?)
    }

    /// Its connections that read, for those who watch.
    pub fn connections(&self) -> Connections {
        Connections::of(&self.readers)
    }

    /// How many writes wait to be taken into a commit.
    pub fn waiting(&self) -> usize {
        self.writer.waiting() + self.rotations.waiting()
    }

    /// Does what was handed over before, brings the log into the database file, and closes it, for all handles. What is
    /// asked afterwards is [`PortError::Unavailable`].
    pub async fn close(&self) {
        // Readers first: the log is folded in by the last connection that closes.
        self.readers.close().await;
        self.writer.close().await;
    }
}
