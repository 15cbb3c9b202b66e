//! The `sessions` and `refresh_tokens` tables. (What opens, rotates and ends one session stands in modules of its own:
//! those go to the server together with their like.)
//!
//! A session's row goes with that of its refresh token: the schema has a trigger for it.
//!
//! Statements run at READ COMMITTED: one that waits for a row looks at it again as it is *then*. Two rules make that
//! enough. What is decided about a row is decided on the row as locked, never on what the statement saw when it began;
//! and rows are locked in one order, `users`, then `refresh_tokens` by token, then `sessions`, so that nobody waits in a
//! circle.

use async_trait::async_trait;
use regrant_domain::ids::{SessionId, UserId};
use regrant_domain::ports::{
    End, EndAll, EndOutcome, NewSession, OpenOutcome, PortError, RotateOutcome, Rotation, SessionKey,
    SessionRepository, Swept,
};
use regrant_domain::refresh_token::LookupKey;
use regrant_domain::session::Snapshot;
use regrant_domain::time::Timestamp;
use sqlx::types::Uuid;

use super::work::Statement;
use super::{PostgresStore, corrupt, rows};

macro_rules! snapshots {
    ($rest:literal) => {
        concat!(
            "SELECT s.id, s.user_id, s.created_at, s.ends_at, s.user_agent, s.ip, s.label, s.ended_at, s.end_reason, \
             s.access_token, s.access_token_expires_at, t.token, t.session_ends_at, t.revoked_at, t.generation, t.secret_hash, t.expires_at, t.recent \
             FROM refresh_tokens t JOIN sessions s ON s.id = t.session_id ",
            $rest
        )
    };
}

const FIND_BY_LOOKUP: &str = snapshots!("WHERE t.token = $1");
/// `$2` is the key that the id has where the session names no other.
const FIND_BY_ID: &str =
    snapshots!("WHERE t.token = COALESCE((SELECT token FROM sessions WHERE id = $1), $2) AND s.id = $1");
const LIST: &str = snapshots!("WHERE t.user_id = $1");
/// The key as of [`LookupKey::of_session`].
pub(super) const SESSIONS_AFTER: &str = snapshots!(
    "AND t.token = COALESCE(s.token, translate(rtrim(encode(uuid_send(s.id), 'base64'), '='), '+/', '-_')) \
     WHERE $1::uuid IS NULL OR s.id > $1 ORDER BY s.id LIMIT $2"
);

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
)
DELETE FROM refresh_tokens WHERE token = ANY (ARRAY(SELECT token FROM held))";

macro_rules! sweep {
    ($skipping:literal) => {
        concat!(
            "WITH held AS MATERIALIZED (
                SELECT token, LEAST(expires_at, session_ends_at, revoked_at) AS over_at FROM refresh_tokens
                WHERE check_at <= $1 ORDER BY check_at LIMIT $2 FOR UPDATE ",
            $skipping,
            "), gone AS (
                DELETE FROM refresh_tokens WHERE token = ANY (ARRAY(SELECT token FROM held WHERE over_at <= $1))
                RETURNING token
            ), moved AS (
                UPDATE refresh_tokens SET check_at = LEAST(expires_at, session_ends_at, revoked_at)
                WHERE token = ANY (ARRAY(SELECT token FROM held WHERE over_at > $1)) RETURNING token
            ), due AS (
                SELECT FROM refresh_tokens WHERE check_at <= $1 ORDER BY check_at LIMIT $2 + 1
            )
            SELECT (SELECT count(*) FROM held) AS held, (SELECT count(*) FROM due) AS due,
                   (SELECT count(*) FROM gone) AS removed, (SELECT count(*) FROM moved) AS moved"
        )
    };
}

/// Passes by rows that somebody holds: a sweep makes nobody wait.
const SWEEP: &str = sweep!("SKIP LOCKED");
/// Waits. With a limit of one, it holds nothing while it waits.
const SWEEP_PATIENTLY: &str = sweep!("");

#[async_trait]
impl SessionRepository for PostgresStore {
    async fn open(&self, new: NewSession) -> Result<OpenOutcome, PortError> {
        self.opens.run(new).await
    }

    async fn find(&self, key: &SessionKey) -> Result<Option<Snapshot>, PortError> {
        let find = match key {
            SessionKey::Lookup(lookup) => Statement::read(FIND_BY_LOOKUP).bind(lookup.as_str()),
            SessionKey::Id(id) => Statement::read(FIND_BY_ID).bind(id.uuid()).bind(LookupKey::of_session(*id).as_str()),
        };
        self.run(find).await?.first().map(rows::snapshot).transpose()
    }

    async fn rotate(&self, rotation: Rotation) -> Result<RotateOutcome, PortError> {
        self.rotations.run(rotation).await
    }

    async fn end(&self, end: End) -> Result<EndOutcome, PortError> {
        self.ends.run(end).await
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

/// What `sessions.token` says: the key, where it does not follow from the id.
pub(super) fn own_key(session: SessionId, lookup: &LookupKey) -> Option<String> {
    (*lookup != LookupKey::of_session(session)).then(|| lookup.as_str().to_owned())
}

/// Postgres keeps every character but NUL.
pub(super) fn storable(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}
