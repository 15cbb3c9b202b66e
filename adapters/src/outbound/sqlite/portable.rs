//! [`Portable`] on SQLite: everything out in the order of ids, and in again without lowering anything.

use async_trait::async_trait;
use regrant_domain::ids::{SessionId, UserId};
use regrant_domain::ports::{Counted, End, EndOutcome, NewSession, OpenOutcome, PortError, Portable, SessionKey};
use regrant_domain::session::{Session, Snapshot, Status, later_of};
use regrant_domain::user::User;
use sqlx::sqlite::SqliteConnection;
use uuid::fmt::Hyphenated;

use super::SqliteStore;
use super::fault::{self, Fault};
use super::sessions::{FIND_BY_ID, SESSIONS_AFTER, end_one, open, snapshot, text};
use super::users::{USERS_AFTER, add, inserting, user};

const COUNT: &str = "SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM sessions)";
const FIND_USER: &str = "
    SELECT id, email, password_hash, session_epoch, created_at, updated_at FROM users WHERE id = ?1";
/// A taken address or id does nothing.
const ADD_IF_FREE: &str = "
    INSERT INTO users (id, email, password_hash, session_epoch, created_at, updated_at)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING";

const REPLACE_USER: &str = "
    UPDATE users SET email = ?2, password_hash = ?3, session_epoch = MAX(session_epoch, ?4), updated_at = ?5
    WHERE id = ?1";

#[async_trait]
impl Portable for SqliteStore {
    async fn count(&self) -> Result<Counted, PortError> {
        let (users, sessions): (i64, i64) =
            sqlx::query_as(COUNT).fetch_one(&self.readers).await.map_err(Fault::from)?;
        Ok(Counted { users: users.unsigned_abs(), sessions: sessions.unsigned_abs() })
    }

    async fn users_after(&self, after: Option<UserId>, limit: u32) -> Result<Vec<User>, PortError> {
        let query = sqlx::query(USERS_AFTER).bind(after.map(|id| text(id.uuid()))).bind(limit);
        let rows = query.fetch_all(&self.readers).await.map_err(Fault::from)?;
        Ok(rows.iter().map(user).collect::<Result<_, _>>()?)
    }

    async fn sessions_after(&self, after: Option<SessionId>, limit: u32) -> Result<Vec<Snapshot>, PortError> {
        let query = sqlx::query(SESSIONS_AFTER).bind(after.map(|id| text(id.uuid()))).bind(limit);
        let rows = query.fetch_all(&self.readers).await.map_err(Fault::from)?;
        Ok(rows.iter().map(snapshot).collect::<Result<_, _>>()?)
    }

    async fn keep_users(&self, users: Vec<User>) -> Result<u64, PortError> {
        self.writer.run(move |connection| Box::pin(keep_users(connection, users))).await
    }

    async fn add_users(&self, users: Vec<User>) -> Result<Vec<UserId>, PortError> {
        self.writer.run(move |connection| Box::pin(add_users(connection, users))).await
    }

    async fn keep_sessions(&self, sessions: Vec<Snapshot>) -> Result<u64, PortError> {
        self.writer.run(move |connection| Box::pin(keep_sessions(connection, sessions))).await
    }
}

async fn keep_users(connection: &mut SqliteConnection, users: Vec<User>) -> Result<u64, Fault> {
    let mut left_out = 0;
    for coming in users {
        let row = sqlx::query(FIND_USER).bind(text(coming.id.uuid())).fetch_optional(&mut *connection).await?;
        match row.as_ref().map(user).transpose()? {
            Some(there) if there.updated_at >= coming.updated_at => {}
            Some(_) => left_out += u64::from(!replace_user(connection, coming).await?),
            None => {
                let added = add(connection, coming).await?;
                left_out += u64::from(added == regrant_domain::ports::AddUserOutcome::EmailTaken);
            }
        }
    }
    Ok(left_out)
}

async fn add_users(connection: &mut SqliteConnection, users: Vec<User>) -> Result<Vec<UserId>, Fault> {
    let mut added = Vec::new();
    for user in users {
        let done = inserting(ADD_IF_FREE, &user).execute(&mut *connection).await?;
        added.extend((done.rows_affected() == 1).then_some(user.id));
    }
    Ok(added)
}

/// `false`: another user has the address.
async fn replace_user(connection: &mut SqliteConnection, user: User) -> Result<bool, Fault> {
    let replaced = sqlx::query(REPLACE_USER)
        .bind(text(user.id.uuid()))
        .bind(user.email.as_str())
        .bind(user.password_hash.as_str())
        .bind(user.epoch.0)
        .bind(user.updated_at.millis())
        .execute(connection)
        .await;
    match replaced {
        Err(cause) if fault::is_taken(&cause) => Ok(false),
        other => Ok(other.map(|_| true)?),
    }
}

async fn keep_sessions(connection: &mut SqliteConnection, sessions: Vec<Snapshot>) -> Result<u64, Fault> {
    let mut left_out = 0;
    for coming in sessions {
        let id = text(coming.session.id.uuid());
        let row = sqlx::query(FIND_BY_ID).bind(id).fetch_optional(&mut *connection).await?;
        let there = row.as_ref().map(snapshot).transpose()?;
        let Some(later) = later_of(there.as_ref(), coming) else { continue };
        if there.is_some() {
            forget(connection, id).await?;
        }
        left_out += u64::from(!keep(connection, later).await?);
    }
    Ok(left_out)
}

async fn forget(connection: &mut SqliteConnection, id: Hyphenated) -> Result<(), Fault> {
    for sql in [
        "DELETE FROM refresh_tokens WHERE token = (SELECT token FROM sessions WHERE id = ?1)",
        "DELETE FROM sessions WHERE id = ?1",
    ] {
        sqlx::query(sql).bind(id).execute(&mut *connection).await?;
    }
    Ok(())
}

/// `false`: its user is not there.
async fn keep(connection: &mut SqliteConnection, snapshot: Snapshot) -> Result<bool, Fault> {
    let Snapshot { session, lookup, token } = snapshot;
    let (id, status) = (session.id, session.status);
    let live = Session { status: Status::Live, ..session };
    if open(connection, NewSession { session: live, lookup, token }).await? == OpenOutcome::NoSuchUser {
        return Ok(false);
    }
    if let Status::Ended { at, reason } = status {
        let ended = end_one(connection, End { session: SessionKey::Id(id), reason, at, only_while: None }).await?;
        debug_assert_eq!(ended, EndOutcome::Ended, "it was opened a moment ago, in this transaction");
    }
    Ok(true)
}
