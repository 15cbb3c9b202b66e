//! [`HistoryRepository`] on SQLite.

use async_trait::async_trait;
use regrant_domain::history::Entry;
use regrant_domain::ids::{SessionId, UserId};
use regrant_domain::ports::{HistoryRepository, PortError, Swept};
use regrant_domain::reason::EndReason;
use regrant_domain::time::Timestamp;
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use uuid::Uuid;

use super::SqliteStore;
use super::fault::Fault;
use super::sessions::{id, text};
use crate::outbound::sql::{RawEntry, subject};

/// Nothing for a user who is not there, and nothing for an entry that is.
const APPEND: &str = "
    INSERT INTO history (subject, at, id, user_id, what, reason, ip, user_agent)
    SELECT ?1, ?2, ?3, id, ?5, ?6, ?7, ?8 FROM users WHERE id = ?4
    ON CONFLICT DO NOTHING";
const TRIM: &str = "
    DELETE FROM history WHERE subject = ?1 AND what = ?2 AND (at, id) IN (
        SELECT at, id FROM history WHERE subject = ?1 AND what = ?2 ORDER BY at DESC, id DESC LIMIT -1 OFFSET ?3)";
const FIND: &str = "SELECT subject, at, user_id, what, reason, ip, user_agent FROM history WHERE subject = ?1";
const FORGET_ALL: &str = "DELETE FROM history WHERE user_id = ?1";
const SWEEP: &str = "
    DELETE FROM history WHERE (subject, at, id) IN (
        SELECT subject, at, id FROM history WHERE at <= ?1 ORDER BY at LIMIT ?2)";
const IS_ANY_DUE: &str = "SELECT EXISTS (SELECT 1 FROM history WHERE at <= ?1)";

#[async_trait]
impl HistoryRepository for SqliteStore {
    async fn append(&self, entries: Vec<Entry>) -> Result<(), PortError> {
        self.writer.run(move |connection| Box::pin(append(connection, entries))).await
    }

    async fn of_session(&self, session: SessionId) -> Result<Vec<Entry>, PortError> {
        let entries = self.entries(session.uuid()).await?;
        Ok(entries.into_iter().filter(|entry| entry.session == Some(session)).collect())
    }

    async fn of_account(&self, user: UserId) -> Result<Vec<Entry>, PortError> {
        let entries = self.entries(user.uuid()).await?;
        Ok(entries.into_iter().filter(|entry| entry.session.is_none()).collect())
    }

    async fn forget_all(&self, user: UserId) -> Result<(), PortError> {
        self.writer.run(move |connection| Box::pin(forget_all(connection, user))).await
    }

    async fn sweep(&self, cutoff: Timestamp, limit: u32) -> Result<Swept, PortError> {
        self.writer.run(move |connection| Box::pin(sweep(connection, cutoff, limit))).await
    }
}

impl SqliteStore {
    async fn entries(&self, subject: Uuid) -> Result<Vec<Entry>, PortError> {
        let rows = sqlx::query(FIND).bind(text(subject)).fetch_all(&self.readers).await.map_err(Fault::from)?;
        Ok(rows.iter().map(entry).collect::<Result<_, _>>()?)
    }
}

async fn append(connection: &mut SqliteConnection, entries: Vec<Entry>) -> Result<(), Fault> {
    for entry in entries {
        let subject = text(subject(&entry));
        let appended = sqlx::query(APPEND)
            .bind(subject)
            .bind(entry.at.millis())
            .bind(&entry.id()[..])
            .bind(text(entry.user.uuid()))
            .bind(entry.what.code())
            .bind(entry.what.reason().map(EndReason::code))
            .bind(entry.from.ip)
            .bind(entry.from.user_agent)
            .execute(&mut *connection)
            .await?;
        if appended.rows_affected() > 0 {
            let trim = sqlx::query(TRIM).bind(subject).bind(entry.what.code()).bind(Entry::MAX_OF_A_KIND);
            trim.execute(&mut *connection).await?;
        }
    }
    Ok(())
}

async fn forget_all(connection: &mut SqliteConnection, user: UserId) -> Result<(), Fault> {
    sqlx::query(FORGET_ALL).bind(text(user.uuid())).execute(connection).await?;
    Ok(())
}

async fn sweep(connection: &mut SqliteConnection, cutoff: Timestamp, limit: u32) -> Result<Swept, Fault> {
    let swept = sqlx::query(SWEEP).bind(cutoff.millis()).bind(limit).execute(&mut *connection).await?;
    let any: bool = sqlx::query_scalar(IS_ANY_DUE).bind(cutoff.millis()).fetch_one(connection).await?;
    Ok(Swept { removed: swept.rows_affected(), done: !any })
}

fn entry(row: &SqliteRow) -> Result<Entry, Fault> {
    let raw = RawEntry {
        subject: id(row, "subject")?,
        at: row.try_get("at")?,
        user: id(row, "user_id")?,
        what: row.try_get("what")?,
        reason: row.try_get("reason")?,
        ip: row.try_get("ip")?,
        user_agent: row.try_get("user_agent")?,
    };
    Ok(raw.try_into()?)
}
