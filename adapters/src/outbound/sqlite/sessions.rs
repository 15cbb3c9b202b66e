//! [`SessionRepository`] on SQLite.

use async_trait::async_trait;
use regrant_domain::ids::{SessionId, UserId};
use regrant_domain::ports::{
    End, EndAll, EndOutcome, NewSession, OpenOutcome, PortError, RotateOutcome, Rotation, SessionKey,
    SessionRepository, Swept,
};
use regrant_domain::session::Snapshot;
use regrant_domain::time::Timestamp;
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use uuid::Uuid;
use uuid::fmt::Hyphenated;

use super::SqliteStore;
use super::fault::{self, Fault};
use crate::outbound::sql::RawSession;

const OPEN_SESSION: &str = "
    INSERT INTO sessions (id, user_id, token, created_at, updated_at, user_agent, ip, label, ends_at, check_at,
                          access_token, access_token_expires_at, refresh_token_expires_at)
    VALUES (?1, ?2, ?3, ?4, ?4, ?5, ?6, ?7, ?8, MIN(?9, ?8), ?10, ?11, CASE WHEN ?10 IS NOT NULL THEN ?9 END)";
const OPEN_TOKEN: &str = "
    INSERT INTO refresh_tokens (token, created_at, updated_at, user_id, expires_at, session_id, session_ends_at,
                                generation, secret_hash, recent)
    VALUES (?1, ?2, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";

/// The columns of a [`RawSession`].
macro_rules! find {
    ($rest:literal) => {
        concat!(
            "SELECT s.id, s.user_id, s.created_at, s.ends_at, s.label, s.user_agent, s.ip, s.ended_at, s.end_reason,
                    s.access_token, s.access_token_expires_at, t.token, t.session_ends_at, t.revoked_at, t.expires_at, t.generation, t.secret_hash, t.recent ",
            $rest
        )
    };
}
const FIND_BY_LOOKUP: &str = find!("FROM refresh_tokens t JOIN sessions s ON s.id = t.session_id WHERE t.token = ?1");
pub(super) const FIND_BY_ID: &str = find!("FROM sessions s JOIN refresh_tokens t ON t.token = s.token WHERE s.id = ?1");
const LIST: &str = find!("FROM sessions s JOIN refresh_tokens t ON t.token = s.token WHERE s.user_id = ?1");

pub(super) const SESSIONS_AFTER: &str = find!(
    "FROM sessions s JOIN refresh_tokens t ON t.token = s.token
     WHERE ?1 IS NULL OR s.id > ?1 ORDER BY s.id LIMIT ?2"
);

/// By the key (1) or else the id (2); where a token is given (4, 5), only while it is current.
const END_TOKEN: &str = "
    UPDATE refresh_tokens SET revoked_at = ?3, updated_at = ?3
    WHERE token = COALESCE(?1, (SELECT token FROM sessions WHERE id = ?2))
      AND revoked_at IS NULL AND (?4 IS NULL OR (generation = ?4 AND secret_hash = ?5))
    RETURNING session_id";
const WHY_NOT_ENDED: &str = "
    SELECT revoked_at IS NOT NULL FROM refresh_tokens
    WHERE token = COALESCE(?1, (SELECT token FROM sessions WHERE id = ?2))";
const END_SESSION: &str = "
    UPDATE sessions
    SET ended_at = ?2, end_reason = ?3, updated_at = ?2,
        check_at = (SELECT MIN(?2, t.expires_at, t.session_ends_at) FROM refresh_tokens t WHERE t.token = sessions.token)
    WHERE id = ?1";

const END_ALL_TOKENS: &str = "
    UPDATE refresh_tokens SET revoked_at = ?3, updated_at = ?3
    WHERE user_id = ?1 AND session_id IS NOT ?2 AND revoked_at IS NULL";
const END_ALL_SESSIONS: &str = "
    UPDATE sessions
    SET ended_at = ?3, end_reason = ?4, updated_at = ?3,
        check_at = (SELECT MIN(?3, t.expires_at, t.session_ends_at) FROM refresh_tokens t WHERE t.token = sessions.token)
    WHERE user_id = ?1 AND id IS NOT ?2 AND ended_at IS NULL
    RETURNING id";

/// The sessions that a sweep is to look at, and when each was really over: a refresh may have prolonged it since.
const DUE: &str = "
    SELECT s.id, s.token, MIN(COALESCE(s.ended_at, t.expires_at), t.expires_at, t.session_ends_at) AS over_at
    FROM sessions s JOIN refresh_tokens t ON t.token = s.token
    WHERE s.check_at <= ?1 ORDER BY s.check_at LIMIT ?2";
const IS_ANY_DUE: &str = "SELECT EXISTS (SELECT 1 FROM sessions WHERE check_at <= ?1)";
/// A few statements for the whole batch, each given a JSON array, so that refreshes hardly wait.
const LOOK_LATER: &str = "
    UPDATE sessions
    SET check_at = (SELECT MIN(COALESCE(sessions.ended_at, t.expires_at), t.expires_at, t.session_ends_at)
                    FROM refresh_tokens t WHERE t.token = sessions.token)
    WHERE id IN (SELECT value FROM json_each(?1))";
const FORGET_TOKENS: &str = "DELETE FROM refresh_tokens WHERE token IN (SELECT value FROM json_each(?1))";
const FORGET_SESSIONS: &str = "DELETE FROM sessions WHERE id IN (SELECT value FROM json_each(?1))";

#[async_trait]
impl SessionRepository for SqliteStore {
    async fn open(&self, new: NewSession) -> Result<OpenOutcome, PortError> {
        self.writer.run(move |connection| Box::pin(open(connection, new))).await
    }

    async fn find(&self, key: &SessionKey) -> Result<Option<Snapshot>, PortError> {
        let query = match key {
            SessionKey::Lookup(lookup) => sqlx::query(FIND_BY_LOOKUP).bind(lookup.as_str()),
            SessionKey::Id(id) => sqlx::query(FIND_BY_ID).bind(text(id.uuid())),
        };
        let row = query.fetch_optional(&self.readers).await.map_err(Fault::from)?;
        Ok(row.as_ref().map(snapshot).transpose()?)
    }

    async fn rotate(&self, rotation: Rotation) -> Result<RotateOutcome, PortError> {
        self.rotations.run(rotation).await
    }

    async fn end(&self, end: End) -> Result<EndOutcome, PortError> {
        self.writer.run(move |connection| Box::pin(end_one(connection, end))).await
    }

    async fn end_all(&self, end: EndAll) -> Result<Vec<SessionId>, PortError> {
        self.writer.run(move |connection| Box::pin(end_all(connection, end))).await
    }

    async fn list(&self, user: UserId) -> Result<Vec<Snapshot>, PortError> {
        let query = sqlx::query(LIST).bind(text(user.uuid()));
        let rows = query.fetch_all(&self.readers).await.map_err(Fault::from)?;
        Ok(rows.iter().map(snapshot).collect::<Result<_, _>>()?)
    }

    async fn forget_all(&self, user: UserId) -> Result<(), PortError> {
        self.writer.run(move |connection| Box::pin(forget_all(connection, user))).await
    }

    async fn sweep(&self, cutoff: Timestamp, limit: u32) -> Result<Swept, PortError> {
        self.writer.run(move |connection| Box::pin(sweep(connection, cutoff, limit))).await
    }
}

pub(super) async fn open(connection: &mut SqliteConnection, new: NewSession) -> Result<OpenOutcome, Fault> {
    let NewSession { session, lookup, token } = new;
    let (id, user) = (text(session.id.uuid()), text(session.user.uuid()));
    let opened = sqlx::query(OPEN_SESSION)
        .bind(id)
        .bind(user)
        .bind(lookup.as_str())
        .bind(session.created_at.millis())
        .bind(session.device.user_agent)
        .bind(session.device.ip)
        .bind(session.device.label)
        .bind(session.ends_at.millis())
        .bind(token.expires_at.millis())
        .bind(token.access.as_ref().map(|access| &access.hash.as_bytes()[..]))
        .bind(token.access.map(|access| access.expires_at.millis()))
        .execute(&mut *connection)
        .await;
    match opened {
        // The statement undoes itself, and it was the first.
        Err(cause) if fault::refers_to_nothing(&cause) => return Ok(OpenOutcome::NoSuchUser),
        opened => opened.map_err(taken)?,
    };
    sqlx::query(OPEN_TOKEN)
        .bind(lookup.as_str())
        .bind(session.created_at.millis())
        .bind(user)
        .bind(token.expires_at.millis())
        .bind(id)
        .bind(session.ends_at.millis())
        .bind(token.held.generation.0)
        .bind(&token.held.hash.as_bytes()[..])
        .bind(token.recent.to_bytes())
        .execute(connection)
        .await
        .map_err(taken)?;
    Ok(OpenOutcome::Opened)
}

fn taken(cause: sqlx::Error) -> Fault {
    if fault::is_taken(&cause) { Fault::Taken("a session") } else { cause.into() }
}

pub(super) async fn end_one(connection: &mut SqliteConnection, end: End) -> Result<EndOutcome, Fault> {
    let (lookup, by_id) = match &end.session {
        SessionKey::Lookup(lookup) => (Some(lookup.as_str()), None),
        SessionKey::Id(id) => (None, Some(text(id.uuid()))),
    };
    let held = end.only_while.as_ref();
    let ended: Option<Hyphenated> = sqlx::query_scalar(END_TOKEN)
        .bind(lookup)
        .bind(by_id)
        .bind(end.at.millis())
        .bind(held.map(|held| held.generation.0))
        .bind(held.map(|held| &held.hash.as_bytes()[..]))
        .fetch_optional(&mut *connection)
        .await?;
    if let Some(session) = ended {
        let query = sqlx::query(END_SESSION).bind(session).bind(end.at.millis()).bind(end.reason.code());
        query.execute(connection).await?;
        return Ok(EndOutcome::Ended);
    }
    let why: Option<bool> =
        sqlx::query_scalar(WHY_NOT_ENDED).bind(lookup).bind(by_id).fetch_optional(connection).await?;
    Ok(match why {
        None => EndOutcome::NotFound,
        Some(true) => EndOutcome::AlreadyEnded,
        Some(false) => EndOutcome::Moved,
    })
}

async fn end_all(connection: &mut SqliteConnection, end: EndAll) -> Result<Vec<SessionId>, Fault> {
    let (user, but) = (text(end.user.uuid()), end.but.map(|id| text(id.uuid())));
    sqlx::query(END_ALL_TOKENS).bind(user).bind(but).bind(end.at.millis()).execute(&mut *connection).await?;
    let ended: Vec<Hyphenated> = sqlx::query_scalar(END_ALL_SESSIONS)
        .bind(user)
        .bind(but)
        .bind(end.at.millis())
        .bind(end.reason.code())
        .fetch_all(connection)
        .await?;
    Ok(ended.into_iter().map(|id| id.into_uuid().into()).collect())
}

async fn forget_all(connection: &mut SqliteConnection, user: UserId) -> Result<(), Fault> {
    for sql in ["DELETE FROM refresh_tokens WHERE user_id = ?1", "DELETE FROM sessions WHERE user_id = ?1"] {
        sqlx::query(sql).bind(text(user.uuid())).execute(&mut *connection).await?;
    }
    Ok(())
}

async fn sweep(connection: &mut SqliteConnection, cutoff: Timestamp, limit: u32) -> Result<Swept, Fault> {
    let due: Vec<(String, String, i64)> =
        sqlx::query_as(DUE).bind(cutoff.millis()).bind(limit).fetch_all(&mut *connection).await?;
    let (over, prolonged): (Vec<_>, Vec<_>) = due.into_iter().partition(|(.., over_at)| *over_at <= cutoff.millis());
    let removed = u64::try_from(over.len()).unwrap_or(u64::MAX);
    let (sessions, tokens): (Vec<_>, Vec<_>) = over.into_iter().map(|(session, token, _)| (session, token)).unzip();
    let prolonged: Vec<_> = prolonged.into_iter().map(|(session, ..)| session).collect();
    for (sql, which) in [(FORGET_TOKENS, tokens), (FORGET_SESSIONS, sessions), (LOOK_LATER, prolonged)] {
        if !which.is_empty() {
            sqlx::query(sql).bind(serde_json::json!(which).to_string()).execute(&mut *connection).await?;
        }
    }
    let any: bool = sqlx::query_scalar(IS_ANY_DUE).bind(cutoff.millis()).fetch_one(connection).await?;
    Ok(Swept { removed, done: !any })
}

/// Ids are text in this store: friendlier to whoever asks it by hand than 16 bytes.
pub(super) fn text(id: Uuid) -> Hyphenated {
    id.hyphenated()
}

pub(super) fn id(row: &SqliteRow, column: &'static str) -> Result<Uuid, sqlx::Error> {
    Ok(row.try_get::<Hyphenated, _>(column)?.into_uuid())
}

pub(super) fn snapshot(row: &SqliteRow) -> Result<Snapshot, Fault> {
    let raw = RawSession {
        id: id(row, "id")?,
        user: id(row, "user_id")?,
        created_at: row.try_get("created_at")?,
        ends_at: row.try_get("ends_at")?,
        label: row.try_get("label")?,
        user_agent: row.try_get("user_agent")?,
        ip: row.try_get("ip")?,
        ended_at: row.try_get("ended_at")?,
        end_reason: row.try_get("end_reason")?,
        access_token: row.try_get("access_token")?,
        access_token_expires_at: row.try_get("access_token_expires_at")?,
        lookup: row.try_get("token")?,
        session_ends_at: row.try_get("session_ends_at")?,
        revoked_at: row.try_get("revoked_at")?,
        expires_at: row.try_get("expires_at")?,
        generation: row.try_get("generation")?,
        secret_hash: row.try_get("secret_hash")?,
        recent: row.try_get("recent")?,
    };
    Ok(raw.try_into()?)
}
