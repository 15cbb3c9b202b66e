//! [`UserRepository`] on SQLite.

use async_trait::async_trait;
use regrant_domain::ids::UserId;
use regrant_domain::ports::{AddUserOutcome, PasswordChange, PortError, UserRepository};
use regrant_domain::time::Timestamp;
use regrant_domain::user::{Email, User};
use sqlx::Row as _;
use sqlx::Sqlite;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqliteRow};

use super::SqliteStore;
use super::fault::{self, Fault};
use super::sessions::{id, text};
use crate::outbound::sql::RawUser;

/// A taken address does nothing; a taken id is a fault.
const ADD: &str = "
    INSERT INTO users (id, email, password_hash, session_epoch, created_at, updated_at)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (email) DO NOTHING";
const FIND: &str = "
    SELECT id, email, password_hash, session_epoch, created_at, updated_at FROM users WHERE id = ?1";
const FIND_BY_EMAIL: &str = "
    SELECT id, email, password_hash, session_epoch, created_at, updated_at FROM users WHERE email = ?1";
pub(super) const USERS_AFTER: &str = "
    SELECT id, email, password_hash, session_epoch, created_at, updated_at FROM users
    WHERE ?1 IS NULL OR id > ?1 ORDER BY id LIMIT ?2";
const SET_PASSWORD: &str = "
    UPDATE users SET password_hash = ?3, updated_at = ?4, session_epoch = session_epoch + ?5
    WHERE id = ?1 AND password_hash = ?2";
const ADVANCE_EPOCH: &str = "UPDATE users SET session_epoch = session_epoch + 1, updated_at = ?2 WHERE id = ?1";
/// Sessions and refresh tokens go along, by their foreign keys.
const DELETE: &str = "DELETE FROM users WHERE id = ?1";

#[async_trait]
impl UserRepository for SqliteStore {
    async fn add(&self, user: User) -> Result<AddUserOutcome, PortError> {
        self.writer.run(move |connection| Box::pin(add(connection, user))).await
    }

    async fn find(&self, id: UserId) -> Result<Option<User>, PortError> {
        let query = sqlx::query(FIND).bind(text(id.uuid()));
        let row = query.fetch_optional(&self.readers).await.map_err(Fault::from)?;
        Ok(row.as_ref().map(user).transpose()?)
    }

    async fn find_by_email(&self, email: &Email) -> Result<Option<User>, PortError> {
        let query = sqlx::query(FIND_BY_EMAIL).bind(email.as_str());
        let row = query.fetch_optional(&self.readers).await.map_err(Fault::from)?;
        Ok(row.as_ref().map(user).transpose()?)
    }

    async fn set_password(&self, change: PasswordChange) -> Result<bool, PortError> {
        self.writer.run(move |connection| Box::pin(set_password(connection, change))).await
    }

    async fn advance_epoch(&self, id: UserId, now: Timestamp) -> Result<bool, PortError> {
        self.writer.run(move |connection| Box::pin(advance_epoch(connection, id, now))).await
    }

    async fn delete(&self, id: UserId) -> Result<bool, PortError> {
        self.writer.run(move |connection| Box::pin(delete(connection, id))).await
    }
}

/// This statement, which inserts a user, with the user's columns in the order of the table.
pub(super) fn inserting<'q>(sql: &'static str, user: &'q User) -> Query<'q, Sqlite, SqliteArguments> {
    sqlx::query(sql)
        .bind(text(user.id.uuid()))
        .bind(user.email.as_str())
        .bind(user.password_hash.as_str())
        .bind(user.epoch.0)
        .bind(user.created_at.millis())
        .bind(user.updated_at.millis())
}

pub(super) async fn add(connection: &mut SqliteConnection, user: User) -> Result<AddUserOutcome, Fault> {
    let added = inserting(ADD, &user)
        .execute(connection)
        .await
        .map_err(|cause| if fault::is_taken(&cause) { Fault::Taken("a user") } else { cause.into() })?;
    Ok(if added.rows_affected() == 1 { AddUserOutcome::Added } else { AddUserOutcome::EmailTaken })
}

async fn set_password(connection: &mut SqliteConnection, change: PasswordChange) -> Result<bool, Fault> {
    let changed = sqlx::query(SET_PASSWORD)
        .bind(text(change.user.uuid()))
        .bind(change.from.as_str())
        .bind(change.to.as_str())
        .bind(change.now.millis())
        .bind(i64::from(change.advance_epoch))
        .execute(connection)
        .await?;
    Ok(changed.rows_affected() == 1)
}

async fn advance_epoch(connection: &mut SqliteConnection, id: UserId, now: Timestamp) -> Result<bool, Fault> {
    let query = sqlx::query(ADVANCE_EPOCH).bind(text(id.uuid())).bind(now.millis());
    Ok(query.execute(connection).await?.rows_affected() == 1)
}

async fn delete(connection: &mut SqliteConnection, id: UserId) -> Result<bool, Fault> {
    let deleted = sqlx::query(DELETE).bind(text(id.uuid())).execute(connection).await?;
    Ok(deleted.rows_affected() == 1)
}

pub(super) fn user(row: &SqliteRow) -> Result<User, Fault> {
    let raw = RawUser {
        id: id(row, "id")?,
        email: row.try_get("email")?,
        password_hash: row.try_get("password_hash")?,
        epoch: row.try_get("session_epoch")?,
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
    };
    Ok(raw.try_into()?)
}
