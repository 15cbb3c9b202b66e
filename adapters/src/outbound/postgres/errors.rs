//! What an error of the database means to whoever asked.

use std::io;

use regrant_domain::ports::PortError;
use sqlx::Error;
use sqlx::postgres::PgDatabaseError;

/// What errors call this store.
pub(super) const WHAT: &str = "the database";

/// What is known about a statement that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// The server said that it took back everything, and the same statement may succeed now.
    TakenBack,
    /// The connection broke: whether the statement applied is not known.
    Broken,
    /// There is no server, or it takes too long: asking again at once would only take as long again.
    Away,
    /// It will fail again.
    Final,
}

/// The five-character code (Postgres manual, appendix A).
fn code(error: &Error) -> Option<&str> {
    match error {
        Error::Database(error) => error.try_downcast_ref::<PgDatabaseError>().map(PgDatabaseError::code),
        _ => None,
    }
}

pub(super) fn has_code(error: &Error, wanted: &str) -> bool {
    code(error) == Some(wanted)
}

pub(super) fn failure(error: &Error) -> Failure {
    match error {
        Error::PoolTimedOut | Error::PoolClosed => Failure::Away,
        Error::Io(error) if error.kind() == io::ErrorKind::TimedOut => Failure::Away,
        Error::Database(_) => match code(error) {
            // Serialization failure, deadlock; a prepared statement that is gone (a pooler between) or was overtaken by
            // a change of the schema.
            Some("40001" | "40P01" | "26000" | "0A000") => Failure::TakenBack,
            // Shut down (57P01) or crashed (57P02) under the statement; not ready (57P03); lost its role (25006).
            Some("57P01" | "57P02" | "57P03" | "25006") => Failure::Broken,
            Some(code) if is_about_availability(code) => Failure::Away,
            _ => Failure::Final,
        },
        Error::RowNotFound
        | Error::ColumnDecode { .. }
        | Error::ColumnNotFound(_)
        | Error::ColumnIndexOutOfBounds { .. }
        | Error::Decode(_)
        | Error::Encode(_)
        | Error::TypeNotFound { .. } => Failure::Final,
        _ => Failure::Broken,
    }
}

/// Whether the connection may be used again after this error.
pub(super) fn leaves_connection_usable(error: &Error) -> bool {
    match code(error) {
        // A read-only server is one that lost its role in a failover; the next connection may reach the new primary.
        Some("25006" | "26000" | "0A000") | None => false,
        // A statement that was given up (57014) is the one thing of its class that leaves the session as it was.
        Some(code) => code == "57014" || !matches!(&code[..2], "08" | "57" | "58" | "XX"),
    }
}

/// Connection trouble (08), transaction rolled back (40), no entry (28), no such database (3D: it is being replaced), out
/// of resources (53, the disk included), locks (55), operator and time-outs (57), input and output (58), and internal
/// errors other than damaged data (XX).
fn is_about_availability(code: &str) -> bool {
    match code {
        "XX001" | "XX002" => false,
        _ => matches!(&code[..2], "08" | "28" | "3D" | "40" | "53" | "55" | "57" | "58" | "XX"),
    }
}

pub(super) fn port_error(error: Error) -> PortError {
    match failure(&error) {
        Failure::TakenBack | Failure::Broken | Failure::Away => PortError::unavailable(WHAT, error),
        Failure::Final => PortError::corrupt(WHAT, error),
    }
}
