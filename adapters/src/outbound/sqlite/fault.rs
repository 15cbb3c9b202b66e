//! What can go wrong: at start, and while serving.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use regrant_domain::ports::PortError;
use sqlx::migrate::MigrateError;

use crate::outbound::sql::ImpossibleRow;

pub(super) const WHAT: &str = "the database";

/// Why a database cannot be used, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The file or its folder cannot be read or written.
    #[error("{}: the database cannot be opened or written; check that its folder exists and that this user may write there", path.display())]
    Unreachable {
        /// Where.
        path: PathBuf,
        /// For the log.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// There is a file, but of another kind.
    #[error("{}: this file is not an SQLite database; name another, or move it away", path.display())]
    NotADatabase {
        /// Where.
        path: PathBuf,
    },
    /// It is a database, but damaged.
    #[error("{}: the database is damaged; restore a backup, or move it away with its -wal file to begin anew", path.display())]
    Damaged {
        /// Where.
        path: PathBuf,
        /// For the log.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The database lacks migrations.
    #[error("{}: the schema is at version {have}, and this program needs {want}; make a backup, then run `regrant migrate up`", path.display())]
    SchemaBehind {
        /// Where.
        path: PathBuf,
        /// The last migration that it has; 0 is none.
        have: i64,
        /// The last migration that this program knows.
        want: i64,
    },
    /// A later version of the program was here.
    #[error("{}: the schema is at version {have}, and this program knows only {want}; run the newer program, or go back with its `regrant migrate down`", path.display())]
    SchemaAhead {
        /// Where.
        path: PathBuf,
        /// The last migration that it has.
        have: i64,
        /// The last migration that this program knows.
        want: i64,
    },
    /// A migration could not be applied or taken back; the database is as it was.
    #[error("{}: a migration failed, and nothing was changed", path.display())]
    Migration {
        /// Where.
        path: PathBuf,
        /// For the log.
        #[source]
        cause: Box<MigrateError>,
    },
    /// The SQLite library can damage databases.
    #[error("SQLite {found} is too old: before {}.{}.{} a checkpoint could damage the database", need.0, need.1, need.2)]
    OldSqlite {
        /// Version of the library.
        found: String,
        /// Oldest version that will do.
        need: (u32, u32, u32),
    },
}

impl StartError {
    pub(super) fn of(path: &Path, cause: sqlx::Error) -> Self {
        let (path, code) = (path.to_owned(), result_code(&cause));
        match code {
            Some(NOT_A_DATABASE) => Self::NotADatabase { path },
            Some(CORRUPT) => Self::Damaged { path, cause: cause.into() },
            _ => Self::Unreachable { path, cause: cause.into() },
        }
    }

    pub(super) fn migration(path: &Path, cause: MigrateError) -> Self {
        Self::Migration { path: path.to_owned(), cause: Box::new(cause) }
    }
}

/// Why work on the database failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
    #[error(transparent)]
    Row(#[from] ImpossibleRow),
    /// The generator of ids failed, or somebody planted a row.
    #[error("{0} with this id or key is already there")]
    Taken(&'static str),
    #[error("the store is closed")]
    Closed,
    #[error("too much is waiting to be written")]
    Overloaded,
    /// Other work in the same commit failed in a way that undid all of it.
    #[error("the commit was undone with other work in it")]
    Undone,
    /// Everybody's, of one commit.
    #[error(transparent)]
    Together(Arc<Fault>),
}

impl Fault {
    /// Whether nothing of the transaction is left, or nobody knows what is.
    pub(super) fn ends_the_transaction(&self) -> bool {
        match self {
            Self::Row(_) | Self::Taken(_) => false,
            Self::Closed | Self::Overloaded | Self::Undone => true,
            Self::Together(fault) => fault.ends_the_transaction(),
            Self::Sql(cause) => match result_code(cause) {
                Some(code) => !UNDOES_ITSELF.contains(&code),
                None => !is_corrupt(cause),
            },
        }
    }

    fn is_corrupt(&self) -> bool {
        match self {
            Self::Row(_) | Self::Taken(_) => true,
            Self::Sql(cause) => is_corrupt(cause),
            Self::Closed | Self::Overloaded | Self::Undone => false,
            Self::Together(fault) => fault.is_corrupt(),
        }
    }
}

impl From<Fault> for PortError {
    fn from(fault: Fault) -> Self {
        if fault.is_corrupt() { Self::corrupt(WHAT, fault) } else { Self::unavailable(WHAT, fault) }
    }
}

/// Result codes of SQLite: <https://www.sqlite.org/rescode.html>
const CORRUPT: u32 = 11;
const NOT_A_DATABASE: u32 = 26;
/// After these, SQLite has taken back the statement and nothing else: an error in it, a value that is too big, a
/// constraint, a type, an argument (ERROR, TOOBIG, CONSTRAINT, MISMATCH, RANGE).
const UNDOES_ITSELF: [u32; 5] = [1, 18, 19, 20, 25];

fn is_corrupt(cause: &sqlx::Error) -> bool {
    match cause {
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::ColumnNotFound(_) => true,
        _ => matches!(result_code(cause), Some(CORRUPT | NOT_A_DATABASE)),
    }
}

/// The primary result code: the low byte of the extended one.
fn result_code(cause: &sqlx::Error) -> Option<u32> {
    let code: u32 = cause.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}

/// Whether a row refers to one that is not there.
pub(super) fn refers_to_nothing(cause: &sqlx::Error) -> bool {
    cause.as_database_error().is_some_and(sqlx::error::DatabaseError::is_foreign_key_violation)
}

/// Whether a key is taken.
pub(super) fn is_taken(cause: &sqlx::Error) -> bool {
    cause.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation)
}
