//! The `history` table.

use async_trait::async_trait;
use regrant_domain::history::Entry;
use regrant_domain::ids::{SessionId, UserId};
use regrant_domain::ports::{HistoryRepository, PortError, Swept};
use regrant_domain::reason::EndReason;
use regrant_domain::time::Timestamp;
use sqlx::postgres::PgRow;
use sqlx::types::Uuid;

use super::sessions::storable;
use super::work::Statement;
use super::{PostgresStore, corrupt, rows};
use crate::outbound::sql::{RawEntry, subject};

/// The lock on the user keeps a deletion out, whose cascade would wait for rows that this holds. What is beyond the limit
/// goes with it, as far as this statement can see: its own rows it cannot, so it counts them; what others append at the
/// same moment goes with the next. Rows that somebody else removes are passed by.
const APPEND: &str = "\
WITH coming AS MATERIALIZED (
    SELECT * FROM unnest($2::uuid[], $3::timestamptz[], $4::bytea[], $5::text[], $6::text[], $7::text[], $8::text[])
    AS coming (subject, at, id, what, reason, ip, user_agent)
), owner AS MATERIALIZED (
    SELECT id FROM users WHERE id = $1 FOR KEY SHARE
), added AS (
    INSERT INTO history (subject, at, id, user_id, what, reason, ip, user_agent)
    SELECT c.subject, c.at, c.id, owner.id, c.what, c.reason, c.ip, c.user_agent FROM coming c, owner
    ON CONFLICT DO NOTHING RETURNING subject, what
), kinds AS (
    SELECT subject, what, count(*) AS more FROM added GROUP BY subject, what
), surplus AS (
    SELECT old.* FROM kinds CROSS JOIN LATERAL (
        SELECT h.subject, h.at, h.id FROM history h WHERE h.subject = kinds.subject AND h.what = kinds.what
        ORDER BY h.at DESC, h.id DESC OFFSET greatest($9 - kinds.more, 0)
    ) old
), held AS MATERIALIZED (
    SELECT h.subject, h.at, h.id FROM history h JOIN surplus USING (subject, at, id) FOR UPDATE OF h SKIP LOCKED
)
DELETE FROM history h USING held WHERE (h.subject, h.at, h.id) = (held.subject, held.at, held.id)";

const FIND: &str = "SELECT subject, at, user_id, what, reason, ip, user_agent FROM history WHERE subject = $1";

/// In the order in which a deletion of the user would come here: after the user.
const FORGET_ALL: &str = "\
WITH owner AS MATERIALIZED (
    SELECT id FROM users WHERE id = $1 FOR KEY SHARE
)
DELETE FROM history WHERE user_id = (SELECT id FROM owner)";

/// Passes by rows that somebody holds: those are about to go.
const SWEEP: &str = "\
WITH held AS MATERIALIZED (
    SELECT subject, at, id FROM history WHERE at <= $1 ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM history h USING held WHERE (h.subject, h.at, h.id) = (held.subject, held.at, held.id) RETURNING h.id
)
SELECT (SELECT count(*) FROM gone) AS removed";

#[async_trait]
impl HistoryRepository for PostgresStore {
    async fn append(&self, entries: Vec<Entry>) -> Result<(), PortError> {
        let Some(user) = entries.first().map(|entry| entry.user) else { return Ok(()) };
        let each = || entries.iter();
        let text = |text: &Option<String>| text.clone().map(storable);
        let append = Statement::write(APPEND)
            .bind(user.uuid())
            .bind(each().map(subject).collect::<Vec<_>>())
            .bind(each().map(|entry| rows::instant(entry.at)).collect::<Vec<_>>())
            .bind(each().map(|entry| entry.id().to_vec()).collect::<Vec<_>>())
            .bind(each().map(|entry| entry.what.code()).collect::<Vec<_>>())
            .bind(each().map(|entry| entry.what.reason().map(EndReason::code)).collect::<Vec<_>>())
            .bind(each().map(|entry| text(&entry.from.ip)).collect::<Vec<_>>())
            .bind(each().map(|entry| text(&entry.from.user_agent)).collect::<Vec<_>>())
            .bind(i64::from(Entry::MAX_OF_A_KIND));
        self.run(append).await.map(drop)
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
        self.run(Statement::write(FORGET_ALL).bind(user.uuid())).await.map(drop)
    }

    async fn sweep(&self, cutoff: Timestamp, limit: u32) -> Result<Swept, PortError> {
        let swept = self.run(Statement::write(SWEEP).bind(rows::instant(cutoff)).bind(i64::from(limit))).await?;
        let removed = u64::try_from(rows::only::<i64>(&swept)?).map_err(corrupt)?;
        // A batch that is not full is the last: what it passed by is going.
        Ok(Swept { removed, done: removed < u64::from(limit) })
    }
}

impl PostgresStore {
    async fn entries(&self, subject: Uuid) -> Result<Vec<Entry>, PortError> {
        self.run(Statement::read(FIND).bind(subject)).await?.iter().map(entry).collect()
    }
}

fn entry(row: &PgRow) -> Result<Entry, PortError> {
    let raw = RawEntry {
        subject: rows::get(row, "subject")?,
        at: rows::millis(row, "at")?,
        user: rows::get(row, "user_id")?,
        what: rows::get(row, "what")?,
        reason: rows::get(row, "reason")?,
        ip: rows::get(row, "ip")?,
        user_agent: rows::get(row, "user_agent")?,
    };
    raw.try_into().map_err(corrupt)
}
