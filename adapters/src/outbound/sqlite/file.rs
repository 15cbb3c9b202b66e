//! The database's file: made for its owner only, and opened with the settings that the promises need.

use std::io::{ErrorKind, Read as _};
use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _};

use super::StartError;

/// Before this version a checkpoint at a bad moment could damage a database in WAL mode
/// (the "WAL-reset bug": <https://www.sqlite.org/wal.html>).
pub(super) const OLDEST_SQLITE: (u32, u32, u32) = (3, 51, 3);

/// How long a statement waits for another process that writes, such as a backup or `regrant migrate`.
const BUSY: Duration = Duration::from_secs(5);

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
    let mut connection = options(path).connect().await.map_err(cause)?;
    let version: String =
        sqlx::query_scalar("SELECT sqlite_version()").fetch_one(&mut connection).await.map_err(cause)?;
    if !is_new_enough(&version) {
        return Err(StartError::OldSqlite { found: version, need: OLDEST_SQLITE });
    }
    Ok(connection)
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
