//! Rows to facts. A row that cannot be is told, not used.

use regrant_domain::ports::PortError;
use regrant_domain::reason::EndReason;
use regrant_domain::session::Snapshot;
use regrant_domain::time::Timestamp;
use regrant_domain::user::User;
use sqlx::postgres::PgRow;
use sqlx::types::chrono::{DateTime, Utc};
use sqlx::{Decode, Postgres, Row as _, Type};

use super::corrupt;
use super::errors::port_error;
use crate::outbound::sql::{RawSession, RawUser};

/// An instant as an argument.
pub(super) fn instant(at: Timestamp) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(at.millis()).unwrap_or_default()
}

pub(super) fn get<'r, T: Decode<'r, Postgres> + Type<Postgres>>(
    row: &'r PgRow,
    column: &'static str,
) -> Result<T, PortError> {
    row.try_get(column).map_err(port_error)
}

/// Milliseconds since 1970. Microseconds, which only another program can have written, are dropped.
pub(super) fn millis(row: &PgRow, column: &'static str) -> Result<i64, PortError> {
    get::<DateTime<Utc>>(row, column).map(|at| at.timestamp_millis())
}

fn maybe_millis(row: &PgRow, column: &'static str) -> Result<Option<i64>, PortError> {
    Ok(get::<Option<DateTime<Utc>>>(row, column)?.map(|at| at.timestamp_millis()))
}

pub(super) fn timestamp(row: &PgRow, column: &'static str) -> Result<Timestamp, PortError> {
    millis(row, column).map(Timestamp::from_millis)
}

/// The one value of the one row.
pub(super) fn only<'r, T: Decode<'r, Postgres> + Type<Postgres>>(rows: &'r [PgRow]) -> Result<T, PortError> {
    let [row] = rows else { return Err(corrupt(format!("one row was expected, {} came", rows.len()))) };
    row.try_get(0).map_err(port_error)
}

pub(super) fn user(row: &PgRow) -> Result<User, PortError> {
    let raw = RawUser {
        id: get(row, "id")?,
        email: get(row, "email")?,
        password_hash: get(row, "password_hash")?,
        epoch: get(row, "session_epoch")?,
        created_at: millis(row, "created_at")?,
        updated_at: millis(row, "updated_at")?,
    };
    raw.try_into().map_err(corrupt)
}

/// Of the columns that `snapshots!` in `sessions.rs` selects.
pub(super) fn snapshot(row: &PgRow) -> Result<Snapshot, PortError> {
    let mut raw = RawSession {
        id: get(row, "id")?,
        user: get(row, "user_id")?,
        created_at: millis(row, "created_at")?,
        ends_at: millis(row, "ends_at")?,
        label: get(row, "label")?,
        user_agent: get(row, "user_agent")?,
        ip: get(row, "ip")?,
        ended_at: maybe_millis(row, "ended_at")?,
        end_reason: get(row, "end_reason")?,
        access_token: get(row, "access_token")?,
        access_token_expires_at: maybe_millis(row, "access_token_expires_at")?,
        lookup: get(row, "token")?,
        session_ends_at: millis(row, "session_ends_at")?,
        revoked_at: maybe_millis(row, "revoked_at")?,
        expires_at: millis(row, "expires_at")?,
        generation: get(row, "generation")?,
        secret_hash: get(row, "secret_hash")?,
        recent: get(row, "recent")?,
    };
    if raw.revoked_at.is_some() && raw.ended_at.is_none() && raw.end_reason.is_none() {
        // Somebody set `revoked_at` by hand, which already keeps the token from rotating: take it for what it means.
        raw.ended_at = raw.revoked_at;
        raw.end_reason = Some(EndReason::EndedByOperator.code().into());
    }
    raw.try_into().map_err(corrupt)
}
