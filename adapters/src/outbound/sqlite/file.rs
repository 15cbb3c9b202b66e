//! The database's file: made for its owner only, and opened with the settings that the promises need.

use std::io::{ErrorKind, Read as _};
use std::path::Path;
use std::time::{Duration, Instant};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _};

use super::{StartError, checkpoints};

/// Before this version a checkpoint at a bad moment could damage a database in WAL mode
/// (the "WAL-reset bug": <https://www.sqlite.org/wal.html>).
pub(super) const OLDEST_SQLITE: (u32, u32, u32) = (3, 51, 3);

/// How long a statement waits for another process that writes, such as a backup or `regrant migrate`.
const BUSY: Duration = Duration::from_secs(5);
/// Between two attempts where SQLite does not wait by itself.
const PAUSE: Duration = Duration::from_millis(5);

/// What every SQLite database begins with (<https://www.sqlite.org/fileformat.html#magic_header_string>).
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Settings of every connection. (Public for `tests/load`, which measures the statement of a refresh by itself.)
pub fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .journal_mode(SqliteJournalMode::Wal)
        // An acknowledged commit survives a power cut; in WAL mode NORMAL would lose the last ones.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY)
        // Do not keep a log on disk for ever at the size that one burst made it.
        .pragma("journal_size_limit", "67108864")
        .pragma("trusted_schema", "OFF")
}

/// Settings of the connection that writes.
pub(super) fn writing(path: &Path) -> SqliteConnectOptions {
    options(path).pragma("wal_autocheckpoint", checkpoints::AT_MOST)
}

/// Settings of connections that only read.
pub(super) fn reading(path: &Path) -> SqliteConnectOptions {
    // Not `read_only`: a reader may have to recover the log of a process that died.
    options(path).pragma("query_only", "ON")
}

/// Whether there is a file, which must then begin as a database does (or be empty).
pub(super) fn is_there(path: &Path) -> Result<bool, StartError> {
    let mut file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(false),
        Err(cause) => return Err(StartError::Unreachable { path: path.into(), cause: cause.into() }),
    };
    let mut head = Vec::new();
    file.by_ref()
        .take(16)
        .read_to_end(&mut head)
        .map_err(|cause| StartError::Unreachable { path: path.into(), cause: cause.into() })?;
    if head.is_empty() || head == MAGIC { Ok(true) } else { Err(StartError::NotADatabase { path: path.into() }) }
}

/// Makes the file if it is not there, readable and writable for its owner only. (SQLite gives its log the same mode.)
pub(super) fn create(path: &Path) -> Result<(), StartError> {
    if is_there(path)? {
        return Ok(());
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(()),
        Err(cause) => Err(StartError::Unreachable { path: path.into(), cause: cause.into() }),
    }
}

/// Opens a connection that may write, on a library that is new enough.
pub(super) async fn connect(path: &Path) -> Result<SqliteConnection, StartError> {
    let cause = |cause| StartError::of(path, cause);
    let mut connection = patiently(|| async { writing(path).connect().await }).await.map_err(cause)?;
    let version: String =
        sqlx::query_scalar("SELECT sqlite_version()").fetch_one(&mut connection).await.map_err(cause)?;
    if !is_new_enough(&version) {
        return Err(StartError::OldSqlite { found: version, need: OLDEST_SQLITE });
    }
    Ok(connection)
}

/// Tries again for [`BUSY`] while another process holds the file. SQLite itself waits that long nearly everywhere, but not
/// where a file is turned to WAL mode: of several that open a new file at once, each holds the read lock that the others
/// wait for, so it tells them right away (<https://www.sqlite.org/c3ref/busy_handler.html>).
pub(super) async fn patiently<T, F>(mut attempt: impl FnMut() -> F) -> Result<T, sqlx::Error>
where
    F: Future<Output = Result<T, sqlx::Error>>,
{
    let began = Instant::now();
    loop {
        match attempt().await {
            Err(cause) if is_busy(&cause) && began.elapsed() < BUSY => tokio::time::sleep(PAUSE).await,
            outcome => return outcome,
        }
    }
}

/// Whether it is `SQLITE_BUSY`; the higher bits of an extended code say why
/// (<https://www.sqlite.org/rescode.html#busy>).
fn is_busy(cause: &sqlx::Error) -> bool {
    let code =
        cause.as_database_error().and_then(sqlx::error::DatabaseError::code).and_then(|code| code.parse::<u32>().ok());
    code.is_some_and(|code| code & 0xff == 5)
}

fn is_new_enough(version: &str) -> bool {
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    (next(), next(), next()) >= OLDEST_SQLITE
}

/// Closes it and waits until it is closed. A fault while closing changes nothing: what was committed is on disk.
pub(super) async fn close(connection: SqliteConnection) {
    if let Err(cause) = connection.close().await {
        tracing::warn!(%cause, "the database did not close properly");
    }
}

#[cfg(test)]
mod tests {
    use sqlx::Row as _;

    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        for old in ["3.51.2", "3.9.9", "2.99.99", "", "x"] {
            assert!(!is_new_enough(old), "{old}");
        }
        for new in ["3.51.3", "3.100.0", "4.0"] {
            assert!(is_new_enough(new), "{new}");
        }
    }

    #[tokio::test]
    async fn a_file_that_another_process_holds_is_asked_again_until_it_is_free()
    -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("x.db");
        create(&path)?;
        let impatient = options(&path).busy_timeout(Duration::ZERO).journal_mode(SqliteJournalMode::Delete);
        let mut other = impatient.clone().connect().await?;
        sqlx::query("BEGIN EXCLUSIVE").execute(&mut other).await?;
        let refused = impatient.clone().journal_mode(SqliteJournalMode::Wal).connect().await.err();
        assert!(refused.as_ref().is_some_and(is_busy), "{refused:?}");

        let free = tokio::spawn(async move {
            tokio::time::sleep(PAUSE * 10).await;
            sqlx::query("COMMIT").execute(&mut other).await?;
            other.close().await
        });
        let mut attempts = 0;
        let mut mine = patiently(|| {
            attempts += 1;
            let patient = impatient.clone().journal_mode(SqliteJournalMode::Wal);
            async move { patient.connect().await }
        })
        .await?;
        free.await??;
        assert!(attempts > 1, "{attempts}");
        sqlx::query("CREATE TABLE t (x)").execute(&mut mine).await?;
        assert!(patiently(async || options(folder.path()).connect().await).await.is_err(), "another fault is told");
        Ok(())
    }

    #[tokio::test]
    async fn connections_have_the_settings_that_the_promises_need() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("x.db");
        create(&path)?;
        let mut writer = connect(&path).await?;
        let mut reader = reading(&path).connect().await?;
        for connection in [&mut writer, &mut reader] {
            for (pragma, value) in
                [("PRAGMA journal_mode", "wal"), ("PRAGMA synchronous", "2"), ("PRAGMA foreign_keys", "1")]
            {
                let row = sqlx::query(pragma).fetch_one(&mut *connection).await?;
                let is = row.try_get_unchecked::<String, _>(0)?;
                assert_eq!(is, value, "{pragma}");
            }
        }
        assert!(sqlx::query("CREATE TABLE t (x)").execute(&mut reader).await.is_err());
        Ok(())
    }
}
