//! Rows to facts. A row that cannot be is told, not used.

use regrant_domain::ids::{SessionId, UserId};
use regrant_domain::ports::PortError;
use regrant_domain::reason::EndReason;
use regrant_domain::refresh_token::{Generation, Held, LookupKey, Recent, TokenState};
use regrant_domain::secret::SecretHash;
use regrant_domain::session::{Device, Session, Snapshot, Status};
use regrant_domain::time::Timestamp;
use regrant_domain::user::{Email, Epoch, PasswordHash, User};
use sqlx::postgres::PgRow;
use sqlx::types::Uuid;
use sqlx::types::chrono::{DateTime, Utc};
use sqlx::{Decode, Postgres, Row as _, Type};

use super::corrupt;
use super::errors::port_error;

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

pub(super) fn timestamp(row: &PgRow, column: &'static str) -> Result<Timestamp, PortError> {
    Ok(from_instant(get(row, column)?))
}

/// Microseconds, which only another program can have written, are dropped.
fn from_instant(at: DateTime<Utc>) -> Timestamp {
    Timestamp::from_millis(at.timestamp_millis())
}

/// The one value of the one row.
pub(super) fn only<'r, T: Decode<'r, Postgres> + Type<Postgres>>(rows: &'r [PgRow]) -> Result<T, PortError> {
    let [row] = rows else { return Err(corrupt(format!("one row was expected, {} came", rows.len()))) };
    row.try_get(0).map_err(port_error)
}

pub(super) fn user(row: &PgRow) -> Result<User, PortError> {
    let email: &str = get(row, "email")?;
    let parsed = Email::parse(email).map_err(corrupt)?;
    if parsed.as_str() != email {
        return Err(corrupt("an e-mail address is not in lower case"));
    }
    Ok(User {
        id: UserId::from(get::<Uuid>(row, "id")?),
        email: parsed,
        password_hash: PasswordHash::new(get(row, "password_hash")?),
        epoch: Epoch(get(row, "session_epoch")?),
        created_at: timestamp(row, "created_at")?,
        updated_at: timestamp(row, "updated_at")?,
    })
}

/// Of the columns that `SNAPSHOT` in `sessions.rs` selects.
pub(super) fn snapshot(row: &PgRow) -> Result<Snapshot, PortError> {
    let ends_at = timestamp(row, "ends_at")?;
    let session = Session {
        id: SessionId::from(get::<Uuid>(row, "id")?),
        user: UserId::from(get::<Uuid>(row, "user_id")?),
        created_at: timestamp(row, "created_at")?,
        ends_at,
        device: Device { label: get(row, "label")?, user_agent: get(row, "user_agent")?, ip: get(row, "ip")? },
        status: status(row)?,
    };
    if get::<bool>(row, "halves_differ")? {
        return Err(corrupt(format!("session {}: its rows contradict each other", session.id)));
    }
    let generation = u32::try_from(get::<i64>(row, "generation")?).map_err(corrupt)?;
    let hash: [u8; 32] = get::<&[u8]>(row, "secret_hash")?.try_into().map_err(corrupt)?;
    let token = TokenState {
        held: Held { generation: Generation(generation), hash: SecretHash::from_bytes(hash) },
        expires_at: timestamp(row, "expires_at")?,
        recent: Recent::from_bytes(get(row, "recent")?).map_err(corrupt)?,
    };
    if token.expires_at > ends_at {
        return Err(corrupt(format!("session {}: its token outlives it", session.id)));
    }
    Ok(Snapshot { session, lookup: LookupKey::stored(get(row, "token")?), token })
}

fn status(row: &PgRow) -> Result<Status, PortError> {
    let revoked: Option<DateTime<Utc>> = get(row, "revoked_at")?;
    let ended: Option<DateTime<Utc>> = get(row, "ended_at")?;
    let reason: Option<&str> = get(row, "end_reason")?;
    match (revoked, ended, reason) {
        (None, None, None) => Ok(Status::Live),
        // Somebody set `revoked_at` by hand.
        (Some(at), None, None) => Ok(Status::Ended { at: from_instant(at), reason: EndReason::EndedByOperator }),
        (Some(revoked), Some(at), Some(reason)) if revoked == at => {
            Ok(Status::Ended { at: from_instant(at), reason: reason.parse().map_err(corrupt)? })
        }
        _ => Err(corrupt("a session is ended in one table and not in the other")),
    }
}
