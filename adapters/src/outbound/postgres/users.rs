//! The `users` table.

use async_trait::async_trait;
use regrant_domain::ids::UserId;
use regrant_domain::ports::{AddUserOutcome, PasswordChange, PortError, UserRepository};
use regrant_domain::time::Timestamp;
use regrant_domain::user::{Email, User};

use super::work::Statement;
use super::{PostgresStore, rows};

const ADD: &str = "\
INSERT INTO users (id, email, password_hash, session_epoch, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (email) DO NOTHING RETURNING true";

const FIND: &str = "SELECT id, email, password_hash, session_epoch, created_at, updated_at FROM users WHERE id = $1";

const FIND_BY_EMAIL: &str =
    "SELECT id, email, password_hash, session_epoch, created_at, updated_at FROM users WHERE email = $1";

const SET_PASSWORD: &str = "\
UPDATE users SET password_hash = $3, updated_at = $4, session_epoch = session_epoch + $5
WHERE id = $1 AND password_hash = $2 RETURNING true";

const ADVANCE_EPOCH: &str =
    "UPDATE users SET session_epoch = session_epoch + 1, updated_at = $2 WHERE id = $1 RETURNING true";

/// The cascade would remove the refresh tokens too, but in an order of its own; so they go first, in the order in which
/// everybody locks them, and each takes its session along. What is left to the cascade are sessions that were opened a moment ago, which this statement
/// cannot see.
const DELETE: &str = "\
WITH leaving AS MATERIALIZED (
    SELECT id FROM users WHERE id = $1 FOR UPDATE
), held AS MATERIALIZED (
    SELECT token FROM refresh_tokens WHERE user_id = (SELECT id FROM leaving) ORDER BY token FOR UPDATE
), tokens AS (
    DELETE FROM refresh_tokens WHERE token = ANY (ARRAY(SELECT token FROM held)) RETURNING token
)
DELETE FROM users WHERE id = (SELECT id FROM leaving) AND (SELECT count(*) FROM tokens) >= 0 RETURNING true";

#[async_trait]
impl UserRepository for PostgresStore {
    async fn add(&self, user: User) -> Result<AddUserOutcome, PortError> {
        let add = Statement::write(ADD)
            .bind(user.id.uuid())
            .bind(user.email.as_str())
            .bind(user.password_hash.as_str())
            .bind(user.epoch.0)
            .bind(rows::instant(user.created_at))
            .bind(rows::instant(user.updated_at));
        Ok(if self.run(add).await?.is_empty() { AddUserOutcome::EmailTaken } else { AddUserOutcome::Added })
    }

    async fn find(&self, id: UserId) -> Result<Option<User>, PortError> {
        self.run(Statement::read(FIND).bind(id.uuid())).await?.first().map(rows::user).transpose()
    }

    async fn find_by_email(&self, email: &Email) -> Result<Option<User>, PortError> {
        self.run(Statement::read(FIND_BY_EMAIL).bind(email.as_str())).await?.first().map(rows::user).transpose()
    }

    async fn set_password(&self, change: PasswordChange) -> Result<bool, PortError> {
        let set = Statement::write(SET_PASSWORD)
            .bind(change.user.uuid())
            .bind(change.from.as_str())
            .bind(change.to.as_str())
            .bind(rows::instant(change.now))
            .bind(i64::from(change.advance_epoch));
        Ok(!self.run(set).await?.is_empty())
    }

    async fn advance_epoch(&self, id: UserId, now: Timestamp) -> Result<bool, PortError> {
        let advance = Statement::write(ADVANCE_EPOCH).bind(id.uuid()).bind(rows::instant(now));
        Ok(!self.run(advance).await?.is_empty())
    }

    async fn delete(&self, id: UserId) -> Result<bool, PortError> {
        Ok(!self.run(Statement::write(DELETE).bind(id.uuid())).await?.is_empty())
    }
}
