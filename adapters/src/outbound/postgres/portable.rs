//! [`Portable`] on Postgres: a batch is one statement over arrays.

use async_trait::async_trait;
use regrant_domain::ids::{SessionId, UserId};
use regrant_domain::ports::{Counted, PortError, Portable};
use regrant_domain::session::{Snapshot, Status};
use regrant_domain::user::User;

use super::sessions::{SESSIONS_AFTER, own_key};
use super::work::Statement;
use super::{PostgresStore, rows};

const COUNT: &str = "SELECT (SELECT count(*) FROM users) AS users, (SELECT count(*) FROM sessions) AS sessions";

const USERS_AFTER: &str = "\
SELECT id, email, password_hash, session_epoch, created_at, updated_at FROM users
WHERE $1::uuid IS NULL OR id > $1 ORDER BY id LIMIT $2";

/// One user a statement: an address that is taken must not undo the others.
const KEEP_USER: &str = "\
INSERT INTO users (id, email, password_hash, session_epoch, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (id) DO UPDATE SET email = EXCLUDED.email, password_hash = EXCLUDED.password_hash,
    session_epoch = GREATEST(users.session_epoch, EXCLUDED.session_epoch), updated_at = EXCLUDED.updated_at
WHERE users.updated_at < EXCLUDED.updated_at";

/// A taken address or id does nothing. In the order of the addresses, so that two imports at once wait for each other in one
/// order.
const ADD_USERS: &str = "\
INSERT INTO users (id, email, password_hash, session_epoch, created_at, updated_at)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::timestamptz[], $6::timestamptz[])
    AS coming (id, email, password_hash, session_epoch, created_at, updated_at) ORDER BY email
ON CONFLICT DO NOTHING RETURNING id";

/// Locks in the order of everybody: users, then refresh tokens by token, then sessions. The conditions are those of
/// `regrant_domain::session::later_of`, looked at on the row as locked.
const KEEP_SESSIONS: &str = "\
WITH coming AS MATERIALIZED (
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::timestamptz[], $5::text[], $6::text[], $7::text[],
                         $8::timestamptz[], $9::text[], $10::text[], $11::bigint[], $12::bytea[], $13::timestamptz[],
                         $14::bytea[], $15::bytea[], $16::timestamptz[], $17::text[])
    AS coming (id, user_id, created_at, ends_at, user_agent, ip, label, ended_at, end_reason, token, generation,
               secret_hash, expires_at, recent, access_token, access_token_expires_at, own_key)
), owners AS MATERIALIZED (
    SELECT id FROM users WHERE id IN (SELECT user_id FROM coming) ORDER BY id FOR KEY SHARE
), kept AS (
    INSERT INTO refresh_tokens (token, user_id, session_id, created_at, updated_at, expires_at, session_ends_at, check_at,
                                revoked_at, generation, secret_hash, recent)
    SELECT c.token, c.user_id, c.id, c.created_at, COALESCE(c.ended_at, c.created_at), c.expires_at, c.ends_at,
           LEAST(c.expires_at, c.ends_at, c.ended_at), c.ended_at, c.generation, c.secret_hash, c.recent
    FROM coming c JOIN owners o ON o.id = c.user_id ORDER BY c.token
    ON CONFLICT (token) DO UPDATE SET
        updated_at = EXCLUDED.updated_at, expires_at = EXCLUDED.expires_at, check_at = EXCLUDED.check_at,
        revoked_at = EXCLUDED.revoked_at, generation = EXCLUDED.generation, secret_hash = EXCLUDED.secret_hash,
        recent = EXCLUDED.recent
    WHERE refresh_tokens.revoked_at IS NULL
      AND (EXCLUDED.revoked_at IS NOT NULL OR EXCLUDED.generation > refresh_tokens.generation)
    RETURNING token
), shown AS (
    INSERT INTO sessions (id, user_id, created_at, updated_at, ends_at, ended_at, end_reason, token, user_agent, ip, label,
                          access_token, access_token_expires_at, refresh_token_expires_at)
    SELECT c.id, c.user_id, c.created_at, COALESCE(c.ended_at, c.created_at), c.ends_at, c.ended_at, c.end_reason, c.own_key,
           c.user_agent, c.ip, c.label, c.access_token, c.access_token_expires_at,
           CASE WHEN c.access_token IS NOT NULL THEN c.expires_at END
    FROM coming c WHERE c.token IN (SELECT token FROM kept)
    ON CONFLICT (id) DO UPDATE SET
        updated_at = EXCLUDED.updated_at, ended_at = EXCLUDED.ended_at, end_reason = EXCLUDED.end_reason,
        access_token = EXCLUDED.access_token, access_token_expires_at = EXCLUDED.access_token_expires_at,
        refresh_token_expires_at = EXCLUDED.refresh_token_expires_at
)
SELECT count(*) FROM coming c WHERE c.user_id NOT IN (SELECT id FROM owners)";

/// Unique violation.
const TAKEN: &str = "23505";

#[async_trait]
impl Portable for PostgresStore {
    async fn count(&self) -> Result<Counted, PortError> {
        let counted = self.run(Statement::read(COUNT)).await?;
        let row = counted.first().ok_or_else(|| super::corrupt("a count came to nothing"))?;
        let number = |column| rows::get::<i64>(row, column).map(i64::unsigned_abs);
        Ok(Counted { users: number("users")?, sessions: number("sessions")? })
    }

    async fn users_after(&self, after: Option<UserId>, limit: u32) -> Result<Vec<User>, PortError> {
        let query = Statement::read(USERS_AFTER).bind(after.map(UserId::uuid)).bind(i64::from(limit));
        self.run(query).await?.iter().map(rows::user).collect()
    }

    async fn sessions_after(&self, after: Option<SessionId>, limit: u32) -> Result<Vec<Snapshot>, PortError> {
        let query = Statement::read(SESSIONS_AFTER).bind(after.map(SessionId::uuid)).bind(i64::from(limit));
        self.run(query).await?.iter().map(rows::snapshot).collect()
    }

    async fn keep_users(&self, users: Vec<User>) -> Result<u64, PortError> {
        let mut left_out = 0;
        for user in users {
            let keep = Statement::write(KEEP_USER)
                .bind(user.id.uuid())
                .bind(user.email.as_str())
                .bind(user.password_hash.as_str())
                .bind(user.epoch.0)
                .bind(rows::instant(user.created_at))
                .bind(rows::instant(user.updated_at));
            match self.core.run_raw(keep).await {
                Ok(_) => {}
                Err(error) if super::errors::has_code(&error, TAKEN) => left_out += 1,
                Err(error) => return Err(super::errors::port_error(error)),
            }
        }
        Ok(left_out)
    }

    async fn add_users(&self, users: Vec<User>) -> Result<Vec<UserId>, PortError> {
        let each = || users.iter();
        let add = Statement::write(ADD_USERS)
            .bind(each().map(|user| user.id.uuid()).collect::<Vec<_>>())
            .bind(each().map(|user| user.email.as_str().to_owned()).collect::<Vec<_>>())
            .bind(each().map(|user| user.password_hash.as_str().to_owned()).collect::<Vec<_>>())
            .bind(each().map(|user| user.epoch.0).collect::<Vec<_>>())
            .bind(each().map(|user| rows::instant(user.created_at)).collect::<Vec<_>>())
            .bind(each().map(|user| rows::instant(user.updated_at)).collect::<Vec<_>>());
        let added = self.run(add).await?;
        added.iter().map(|row| rows::get::<uuid::Uuid>(row, "id").map(UserId::from)).collect()
    }

    async fn keep_sessions(&self, sessions: Vec<Snapshot>) -> Result<u64, PortError> {
        let each = || sessions.iter();
        let ended = |snapshot: &Snapshot| match snapshot.session.status {
            Status::Live => None,
            Status::Ended { at, reason } => Some((at, reason)),
        };
        let text = |text: &Option<String>| text.clone().map(super::sessions::storable);
        let keep = Statement::write(KEEP_SESSIONS)
            .bind(each().map(|s| s.session.id.uuid()).collect::<Vec<_>>())
            .bind(each().map(|s| s.session.user.uuid()).collect::<Vec<_>>())
            .bind(each().map(|s| rows::instant(s.session.created_at)).collect::<Vec<_>>())
            .bind(each().map(|s| rows::instant(s.session.ends_at)).collect::<Vec<_>>())
            .bind(each().map(|s| text(&s.session.device.user_agent)).collect::<Vec<_>>())
            .bind(each().map(|s| text(&s.session.device.ip)).collect::<Vec<_>>())
            .bind(each().map(|s| text(&s.session.device.label)).collect::<Vec<_>>())
            .bind(each().map(|s| ended(s).map(|(at, _)| rows::instant(at))).collect::<Vec<_>>())
            .bind(each().map(|s| ended(s).map(|(_, reason)| reason.code())).collect::<Vec<_>>())
            .bind(each().map(|s| s.lookup.as_str().to_owned()).collect::<Vec<_>>())
            .bind(each().map(|s| i64::from(s.token.held.generation.0)).collect::<Vec<_>>())
            .bind(each().map(|s| s.token.held.hash.as_bytes().to_vec()).collect::<Vec<_>>())
            .bind(each().map(|s| rows::instant(s.token.expires_at)).collect::<Vec<_>>())
            .bind(each().map(|s| s.token.recent.to_bytes()).collect::<Vec<_>>())
            .bind(each().map(|s| s.token.access.map(|a| a.hash.as_bytes().to_vec())).collect::<Vec<_>>())
            .bind(each().map(|s| s.token.access.map(|a| rows::instant(a.expires_at))).collect::<Vec<_>>())
            .bind(each().map(|s| own_key(s.session.id, &s.lookup)).collect::<Vec<_>>());
        let left_out: i64 = rows::only(&self.run(keep).await?)?;
        Ok(left_out.unsigned_abs())
    }
}
