//! The `sessions` and `refresh_tokens` tables.
//!
//! Statements run at READ COMMITTED: one that waits for a row looks at it again as it is *then*. Two rules make that
//! enough. What is decided about a row is decided on the row as locked, never on what the statement saw when it began;
//! and rows are locked in one order, `users`, then `refresh_tokens` by token, then `sessions`, so that nobody waits in a
//! circle.

use async_trait::async_trait;
use regrant_domain::ids::{SessionId, UserId};
use regrant_domain::ports::{
    End, EndAll, EndOutcome, NewSession, OpenOutcome, PortError, RotateOutcome, Rotated, Rotation, SessionKey,
    SessionRepository, Spends, Swept,
};
use regrant_domain::session::Snapshot;
use regrant_domain::time::Timestamp;
use sqlx::types::Uuid;

use super::errors::{has_code, port_error};
use super::work::Statement;
use super::{PostgresStore, corrupt, rows};

/// The lock on the user keeps a deletion out until the session is there to be deleted, too.
const OPEN: &str = "\
WITH owner AS MATERIALIZED (
    SELECT id FROM users WHERE id = $2 FOR KEY SHARE
), token AS (
    INSERT INTO refresh_tokens (token, user_id, session_id, created_at, updated_at, expires_at, session_ends_at,
                                check_at, generation, secret_hash, recent)
    SELECT $8, owner.id, $1, $3, $3, $9, $4, LEAST($9, $4), $10, $11, $12 FROM owner RETURNING session_id
), session AS (
    INSERT INTO sessions (id, user_id, created_at, updated_at, ends_at, token, user_agent, ip, label)
    SELECT $1, owner.id, $3, $3, $4, $8, $5, $6, $7 FROM owner RETURNING id
)
SELECT session.id FROM session JOIN token ON token.session_id = session.id";

macro_rules! snapshots {
    ($where:literal) => {
        concat!(
            "SELECT s.id, s.user_id, s.created_at, s.ends_at, s.user_agent, s.ip, s.label, s.ended_at, s.end_reason, \
             t.token, t.session_ends_at, t.revoked_at, t.generation, t.secret_hash, t.expires_at, t.recent \
             FROM sessions s JOIN refresh_tokens t ON t.token = s.token WHERE ",
            $where
        )
    };
}

const FIND_BY_LOOKUP: &str = snapshots!("s.id = (SELECT session_id FROM refresh_tokens WHERE token = $1)");
const FIND_BY_ID: &str = snapshots!("s.id = $1");
const LIST: &str = snapshots!("s.user_id = $1");
pub(super) const SESSIONS_AFTER: &str = snapshots!("$1::uuid IS NULL OR s.id > $1 ORDER BY s.id LIMIT $2");

/// One row, and no index: `check_at` moves only where a token is to expire *earlier* than was planned (when the operator
/// has shortened the lifetime), which keeps the promise of the sweep.
macro_rules! rotate {
    ($recent:literal) => {
        concat!(
            "UPDATE refresh_tokens SET generation = $4, secret_hash = $5, recent = ",
            $recent,
            ", updated_at = $7, expires_at = LEAST($8, session_ends_at), check_at = LEAST(check_at, $8) \
             WHERE token = $1 AND generation = $2 AND secret_hash = $3 AND revoked_at IS NULL AND expires_at > $7 \
             AND session_ends_at > $7 RETURNING user_id, expires_at, session_ends_at"
        )
    };
}

/// The statement of every refresh that wins. (Public for `tests/load`, which measures it by itself.) It keeps the last
/// 112 bytes of what was there and the new entry.
pub const ROTATE_APPENDING: &str =
    rotate!("substring(recent || $6::bytea FROM greatest(octet_length(recent) + octet_length($6::bytea) - 111, 1))");
const ROTATE_REPLACING: &str = rotate!("$6::bytea");

macro_rules! end {
    ($which:literal) => {
        concat!(
            "WITH held AS MATERIALIZED (
                SELECT token, revoked_at IS NOT NULL AS ended,
                       $4::bigint IS NOT NULL AND (generation, secret_hash) IS DISTINCT FROM ($4, $5::bytea) AS moved
                FROM refresh_tokens WHERE ",
            $which,
            " FOR NO KEY UPDATE
            ), revoked AS (
                UPDATE refresh_tokens SET revoked_at = $2, updated_at = $2, check_at = LEAST(check_at, $2)
                WHERE token = (SELECT token FROM held WHERE NOT ended AND NOT moved) RETURNING session_id
            ), closed AS (
                UPDATE sessions SET ended_at = $2, end_reason = $3, updated_at = $2
                WHERE id = (SELECT session_id FROM revoked) RETURNING id
            )
            SELECT ended, moved, (SELECT count(*) FROM closed) AS closed FROM held"
        )
    };
}

const END_BY_LOOKUP: &str = end!("token = $1");
const END_BY_ID: &str = end!("token = (SELECT token FROM sessions WHERE id = $1)");

/// The lock on the user (which hinders neither sign-ins nor a new epoch) keeps a deletion of the user out, whose cascade
/// locks in an order of its own.
const END_ALL: &str = "\
WITH owner AS MATERIALIZED (
    SELECT id FROM users WHERE id = $1 FOR KEY SHARE
), held AS MATERIALIZED (
    SELECT token FROM refresh_tokens
    WHERE user_id = (SELECT id FROM owner) AND session_id IS DISTINCT FROM $2 AND revoked_at IS NULL ORDER BY token FOR NO KEY UPDATE
), revoked AS (
    UPDATE refresh_tokens SET revoked_at = $3, updated_at = $3, check_at = LEAST(check_at, $3)
    WHERE token = ANY (ARRAY(SELECT token FROM held)) RETURNING session_id
), closed AS (
    UPDATE sessions SET ended_at = $3, end_reason = $4, updated_at = $3
    WHERE id = ANY (ARRAY(SELECT session_id FROM revoked)) RETURNING id
)
SELECT id FROM closed";

const FORGET_ALL: &str = "\
WITH owner AS MATERIALIZED (
    SELECT id FROM users WHERE id = $1 FOR KEY SHARE
), held AS MATERIALIZED (
    SELECT token FROM refresh_tokens WHERE user_id = (SELECT id FROM owner) ORDER BY token FOR UPDATE
), tokens AS (
    DELETE FROM refresh_tokens WHERE token = ANY (ARRAY(SELECT token FROM held)) RETURNING session_id
)
DELETE FROM sessions WHERE user_id = $1 AND (SELECT count(*) FROM tokens) >= 0";

macro_rules! sweep {
    ($skipping:literal) => {
        concat!(
            "WITH held AS MATERIALIZED (
                SELECT token, LEAST(expires_at, session_ends_at, revoked_at) AS over_at FROM refresh_tokens
                WHERE check_at <= $1 ORDER BY check_at LIMIT $2 FOR UPDATE ",
            $skipping,
            "), gone AS (
                DELETE FROM refresh_tokens WHERE token = ANY (ARRAY(SELECT token FROM held WHERE over_at <= $1))
                RETURNING session_id
            ), closed AS (
                DELETE FROM sessions WHERE id = ANY (ARRAY(SELECT session_id FROM gone)) RETURNING id
            ), moved AS (
                UPDATE refresh_tokens SET check_at = LEAST(expires_at, session_ends_at, revoked_at)
                WHERE token = ANY (ARRAY(SELECT token FROM held WHERE over_at > $1)) RETURNING token
            ), due AS (
                SELECT FROM refresh_tokens WHERE check_at <= $1 ORDER BY check_at LIMIT $2 + 1
            )
            SELECT (SELECT count(*) FROM held) AS held, (SELECT count(*) FROM due) AS due,
                   (SELECT count(*) FROM gone) AS removed, (SELECT count(*) FROM closed) AS closed,
                   (SELECT count(*) FROM moved) AS moved"
        )
    };
}

/// Passes by rows that somebody holds: a sweep makes nobody wait.
const SWEEP: &str = sweep!("SKIP LOCKED");
/// Waits. With a limit of one, it holds nothing while it waits.
const SWEEP_PATIENTLY: &str = sweep!("");

/// Foreign key violation.
const NO_SUCH_ROW: &str = "23503";

#[async_trait]
impl SessionRepository for PostgresStore {
    async fn open(&self, new: NewSession) -> Result<OpenOutcome, PortError> {
        let NewSession { session, lookup, token } = new;
        let open = Statement::write(OPEN)
            .bind(session.id.uuid())
            .bind(session.user.uuid())
            .bind(rows::instant(session.created_at))
            .bind(rows::instant(session.ends_at))
            .bind(session.device.user_agent.map(storable))
            .bind(session.device.ip.map(storable))
            .bind(session.device.label.map(storable))
            .bind(lookup.as_str())
            .bind(rows::instant(token.expires_at))
            .bind(i64::from(token.held.generation.0))
            .bind(token.held.hash.as_bytes().as_slice())
            .bind(token.recent.to_bytes());
        match self.run_raw(open).await {
            Ok(rows) if rows.is_empty() => Ok(OpenOutcome::NoSuchUser),
            Ok(_) => Ok(OpenOutcome::Opened),
            Err(error) if has_code(&error, NO_SUCH_ROW) => Ok(OpenOutcome::NoSuchUser),
            Err(error) => Err(port_error(error)),
        }
    }

    async fn find(&self, key: &SessionKey) -> Result<Option<Snapshot>, PortError> {
        let find = match key {
            SessionKey::Lookup(lookup) => Statement::read(FIND_BY_LOOKUP).bind(lookup.as_str()),
            SessionKey::Id(id) => Statement::read(FIND_BY_ID).bind(id.uuid()),
        };
        self.run(find).await?.first().map(rows::snapshot).transpose()
    }

    async fn rotate(&self, rotation: Rotation) -> Result<RotateOutcome, PortError> {
        let (sql, recent) = match &rotation.spends {
            Spends::Append(spent) => (ROTATE_APPENDING, spent.to_bytes().to_vec()),
            Spends::Replace(recent) => (ROTATE_REPLACING, recent.to_bytes()),
        };
        let rotate = Statement::write(sql)
            .bind(rotation.lookup.as_str())
            .bind(i64::from(rotation.from.generation.0))
            .bind(rotation.from.hash.as_bytes().as_slice())
            .bind(i64::from(rotation.to.generation.0))
            .bind(rotation.to.hash.as_bytes().as_slice())
            .bind(recent)
            .bind(rows::instant(rotation.now))
            .bind(rows::instant(rotation.idle_expires_at));
        let rows = self.run(rotate).await?;
        let Some(row) = rows.first() else { return Ok(RotateOutcome::NotCurrent) };
        Ok(RotateOutcome::Rotated(Rotated {
            user: UserId::from(rows::get::<Uuid>(row, "user_id")?),
            expires_at: rows::timestamp(row, "expires_at")?,
            ends_at: rows::timestamp(row, "session_ends_at")?,
        }))
    }

    async fn end(&self, end: End) -> Result<EndOutcome, PortError> {
        let statement = match &end.session {
            SessionKey::Lookup(lookup) => Statement::write(END_BY_LOOKUP).bind(lookup.as_str()),
            SessionKey::Id(id) => Statement::write(END_BY_ID).bind(id.uuid()),
        };
        let statement = statement
            .bind(rows::instant(end.at))
            .bind(end.reason.code())
            .bind(end.only_while.map(|held| i64::from(held.generation.0)))
            .bind(end.only_while.map(|held| held.hash.as_bytes().to_vec()));
        let rows = self.run(statement).await?;
        let Some(row) = rows.first() else { return Ok(EndOutcome::NotFound) };
        if rows::get(row, "ended")? {
            Ok(EndOutcome::AlreadyEnded)
        } else if rows::get(row, "moved")? {
            Ok(EndOutcome::Moved)
        } else if rows::get::<i64>(row, "closed")? == 1 {
            Ok(EndOutcome::Ended)
        } else {
            Err(corrupt("a refresh token has no session; it was revoked"))
        }
    }

    async fn end_all(&self, end: EndAll) -> Result<Vec<SessionId>, PortError> {
        let statement = Statement::write(END_ALL)
            .bind(end.user.uuid())
            .bind(end.but.map(SessionId::uuid))
            .bind(rows::instant(end.at))
            .bind(end.reason.code());
        let rows = self.run(statement).await?;
        rows.iter().map(|row| rows::get::<Uuid>(row, "id").map(SessionId::from)).collect()
    }

    async fn list(&self, user: UserId) -> Result<Vec<Snapshot>, PortError> {
        self.run(Statement::read(LIST).bind(user.uuid())).await?.iter().map(rows::snapshot).collect()
    }

    async fn forget_all(&self, user: UserId) -> Result<(), PortError> {
        self.run(Statement::write(FORGET_ALL).bind(user.uuid())).await.map(drop)
    }

    async fn sweep(&self, cutoff: Timestamp, limit: u32) -> Result<Swept, PortError> {
        let batch = self.sweep_by(SWEEP, cutoff, limit).await?;
        if batch.held == 0 && batch.due > 0 && limit > 0 {
            // Others hold all that is left. To say "done" would be untrue, and to say "call again" at once a busy loop.
            return self.sweep_by(SWEEP_PATIENTLY, cutoff, 1).await.map(Batch::swept);
        }
        Ok(batch.swept())
    }
}

/// What a batch of the sweep came to.
struct Batch {
    /// How many rows it looked at.
    held: i64,
    /// How many there were to look at, counted to one more than the limit.
    due: i64,
    removed: u64,
}

impl Batch {
    fn swept(self) -> Swept {
        Swept { removed: self.removed, done: self.due <= self.held }
    }
}

impl PostgresStore {
    async fn sweep_by(&self, sql: &'static str, cutoff: Timestamp, limit: u32) -> Result<Batch, PortError> {
        let rows = self.run(Statement::write(sql).bind(rows::instant(cutoff)).bind(i64::from(limit))).await?;
        let row = rows.first().ok_or_else(|| corrupt("a sweep came to nothing"))?;
        let removed = u64::try_from(rows::get::<i64>(row, "removed")?).map_err(corrupt)?;
        Ok(Batch { held: rows::get(row, "held")?, due: rows::get(row, "due")?, removed })
    }
}

/// Postgres keeps every character but NUL.
pub(super) fn storable(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}
