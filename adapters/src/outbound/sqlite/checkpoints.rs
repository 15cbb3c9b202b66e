//! Brings the log into the database file beside the writer, so that commits need not wait for it.
//!
//! SQLite does that in the commit which finds the log long enough: a thousand pages, each to a place of its own, and the
//! disk is waited for, while everybody who writes waits, too. Here a connection of its own does it all the time. What came
//! meanwhile is left to the writer: the log begins anew only when all of it is in the file
//! (<https://www.sqlite.org/wal.html#avoiding_excessively_large_wal_files>).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnection;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::file;

/// Pages of the log that are worth the wait for the disk.
const ENOUGH: i64 = 1000;
/// The writer brings the log in itself when it is so many pages long (32 MiB): the last of it, mostly.
pub(super) const AT_MOST: &str = "8000";
/// Between two looks at the log.
const PAUSE: Duration = Duration::from_millis(50);

/// What does it. It ends with this.
#[derive(Debug)]
pub(super) struct Checkpoints {
    committed: Arc<Notify>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Checkpoints {
    /// Starts it. It looks at the log when it hears of a commit.
    pub(super) fn start(path: PathBuf) -> Self {
        let committed = Arc::new(Notify::new());
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(run(path, committed.clone(), stopped));
        Self { committed, stop, task }
    }

    /// The log has grown.
    pub(super) fn committed(&self) {
        self.committed.notify_one();
    }

    /// Ends it, and waits until its connection is closed: the last one that closes brings in everything.
    pub(super) async fn close(self) {
        drop(self.stop);
        // A panic of the task is told where it happened, and closed its connection.
        let _ = self.task.await;
    }
}

async fn run(path: PathBuf, committed: Arc<Notify>, mut stopped: oneshot::Receiver<()>) {
    let mut connection = None;
    loop {
        tokio::select! {
            _ = &mut stopped => break,
            () = committed.notified() => {}
        }
        match look(&path, connection.take()).await {
            Ok(good) => connection = Some(good),
            // The writer will do it, and tell if it fails, too.
            Err(error) => tracing::debug!(%error, "the log of the database was not brought into it"),
        }
        tokio::select! {
            _ = &mut stopped => break,
            () = sleep(PAUSE) => {}
        }
    }
    if let Some(connection) = connection {
        file::close(connection).await;
    }
}

/// Brings the log in, if there is enough of it.
async fn look(path: &Path, connection: Option<SqliteConnection>) -> Result<SqliteConnection, sqlx::Error> {
    let mut connection = match connection {
        Some(connection) => connection,
        None => file::options(path).connect().await?,
    };
    let (_, pages, brought_in) = checkpoint(&mut connection, "PRAGMA wal_checkpoint(NOOP)").await?;
    if pages - brought_in >= ENOUGH {
        checkpoint(&mut connection, "PRAGMA wal_checkpoint(PASSIVE)").await?;
    }
    Ok(connection)
}

/// Whether it was in somebody's way, the pages of the log, and how many of them are in the file
/// (<https://www.sqlite.org/pragma.html#pragma_wal_checkpoint>).
async fn checkpoint(connection: &mut SqliteConnection, sql: &'static str) -> Result<(i64, i64, i64), sqlx::Error> {
    sqlx::query_as(sql).fetch_one(connection).await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many pages are written, one in each transaction.
    async fn write(connection: &mut SqliteConnection, pages: u32) {
        sqlx::query("CREATE TABLE IF NOT EXISTS t (x)").execute(&mut *connection).await.expect("created");
        for _ in 0..pages {
            sqlx::query("INSERT INTO t VALUES (zeroblob(4000))").execute(&mut *connection).await.expect("inserted");
        }
    }

    #[tokio::test]
    async fn a_long_log_is_brought_into_the_file_beside_the_writer() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.db");
        file::create(&path).expect("created");
        // As slow disks are not the matter here.
        let options = file::writing(&path).synchronous(sqlx::sqlite::SqliteSynchronous::Off);
        let mut writer = options.connect().await.expect("connected");
        let checkpoints = Checkpoints::start(path.clone());
        write(&mut writer, 100).await;
        let noop = "PRAGMA wal_checkpoint(NOOP)";
        let (_, few, brought_in) = checkpoint(&mut writer, noop).await.expect("told");
        assert!(few >= 100 && brought_in == 0, "{brought_in} of {few}");
        checkpoints.committed();
        tokio::time::sleep(3 * PAUSE).await;
        assert_eq!(checkpoint(&mut writer, noop).await.expect("told"), (0, few, 0), "not for so few");

        write(&mut writer, 1000).await;
        checkpoints.committed();
        let all = async {
            loop {
                let (_, pages, brought_in) = checkpoint(&mut writer, noop).await.expect("told");
                if pages >= ENOUGH && brought_in == pages {
                    return;
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), all).await.expect("brought in");
        checkpoints.close().await;
        file::close(writer).await;
        assert!(!folder.path().join("x.db-wal").exists(), "the last connection that closes brings in everything");
    }
}
