//! Opening sessions: one statement for all that wait at the same time.

use std::collections::HashSet;

use regrant_domain::ports::{NewSession, OpenOutcome, PortError};
use sqlx::Row as _;
use sqlx::types::Uuid;

use super::batches::{Answered, Batched};
use super::errors::{has_code, port_error};
use super::rows;
use super::sessions::{own_key, storable};
use super::work::{Core, Statement};

/// The lock on the user keeps a deletion out until the session is there to be deleted, too.
const OPEN: &str = "\
WITH owner AS MATERIALIZED (
    SELECT id FROM users WHERE id = $2 FOR KEY SHARE
), token AS (
    INSERT INTO refresh_tokens (token, user_id, session_id, created_at, updated_at, expires_at, session_ends_at,
                                check_at, generation, secret_hash, recent)
    SELECT $8, owner.id, $1, $3, $3, $9, $4, LEAST($9, $4), $10, $11, $12 FROM owner RETURNING session_id
), session AS (
    INSERT INTO sessions (id, user_id, created_at, updated_at, ends_at, token, user_agent, ip, label,
                          access_token, access_token_expires_at, refresh_token_expires_at)
    SELECT $1, owner.id, $3, $3, $4, $15, $5, $6, $7, $13::bytea, $14::timestamptz,
           CASE WHEN $13::bytea IS NOT NULL THEN $9::timestamptz END FROM owner RETURNING id
)
SELECT session.id FROM session JOIN token ON token.session_id = session.id";

/// The same for all. Users in the order of their ids, tokens in that of their keys: two that add the same, which is a fault,
/// are told so and do not wait in a circle.
const OPEN_EACH: &str = "\
WITH coming AS MATERIALIZED (
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::timestamptz[], $5::text[], $6::text[], $7::text[],
                         $8::text[], $9::timestamptz[], $10::bigint[], $11::bytea[], $12::bytea[], $13::bytea[],
                         $14::timestamptz[], $15::text[])
    AS coming (id, user_id, created_at, ends_at, user_agent, ip, label, token, expires_at, generation, secret_hash, recent,
               access_token, access_token_expires_at, own_key)
), owners AS MATERIALIZED (
    SELECT id FROM users WHERE id IN (SELECT user_id FROM coming) ORDER BY id FOR KEY SHARE
), tokens AS (
    INSERT INTO refresh_tokens (token, user_id, session_id, created_at, updated_at, expires_at, session_ends_at,
                                check_at, generation, secret_hash, recent)
    SELECT c.token, o.id, c.id, c.created_at, c.created_at, c.expires_at, c.ends_at, LEAST(c.expires_at, c.ends_at),
           c.generation, c.secret_hash, c.recent
    FROM coming c JOIN owners o ON o.id = c.user_id ORDER BY c.token RETURNING session_id
), opened AS (
    INSERT INTO sessions (id, user_id, created_at, updated_at, ends_at, token, user_agent, ip, label,
                          access_token, access_token_expires_at, refresh_token_expires_at)
    SELECT c.id, o.id, c.created_at, c.created_at, c.ends_at, c.own_key, c.user_agent, c.ip, c.label,
           c.access_token, c.access_token_expires_at, CASE WHEN c.access_token IS NOT NULL THEN c.expires_at END
    FROM coming c JOIN owners o ON o.id = c.user_id RETURNING id
)
SELECT opened.id FROM opened JOIN tokens ON tokens.session_id = opened.id";

/// Foreign key violation: the user was deleted meanwhile.
const NO_SUCH_ROW: &str = "23503";

impl Batched for NewSession {
    type Answer = OpenOutcome;
    const THEY: &'static str = "sessions to open";

    async fn alone(&self, core: &Core) -> Result<OpenOutcome, PortError> {
        let Self { session, lookup, token } = self;
        let text = |text: &Option<String>| text.clone().map(storable);
        let open = Statement::write(OPEN)
            .bind(session.id.uuid())
            .bind(session.user.uuid())
            .bind(rows::instant(session.created_at))
            .bind(rows::instant(session.ends_at))
            .bind(text(&session.device.user_agent))
            .bind(text(&session.device.ip))
            .bind(text(&session.device.label))
            .bind(lookup.as_str())
            .bind(rows::instant(token.expires_at))
            .bind(i64::from(token.held.generation.0))
            .bind(token.held.hash.as_bytes().as_slice())
            .bind(token.recent.to_bytes())
            .bind(token.access.map(|access| access.hash.as_bytes().to_vec()))
            .bind(token.access.map(|access| rows::instant(access.expires_at)))
            .bind(own_key(session.id, lookup));
        match core.run_raw(open).await {
            Ok(rows) if rows.is_empty() => Ok(OpenOutcome::NoSuchUser),
            Ok(_) => Ok(OpenOutcome::Opened),
            Err(error) if has_code(&error, NO_SUCH_ROW) => Ok(OpenOutcome::NoSuchUser),
            Err(error) => Err(port_error(error)),
        }
    }

    async fn together(core: &Core, all: &[Self]) -> Result<Vec<Answered<Self>>, sqlx::Error> {
        let each = || all.iter();
        let sessions = || all.iter().map(|new| &new.session);
        let tokens = || all.iter().map(|new| &new.token);
        let text = |text: &Option<String>| text.clone().map(storable);
        let open = Statement::write(OPEN_EACH)
            .bind(sessions().map(|session| session.id.uuid()).collect::<Vec<_>>())
            .bind(sessions().map(|session| session.user.uuid()).collect::<Vec<_>>())
            .bind(sessions().map(|session| rows::instant(session.created_at)).collect::<Vec<_>>())
            .bind(sessions().map(|session| rows::instant(session.ends_at)).collect::<Vec<_>>())
            .bind(sessions().map(|session| text(&session.device.user_agent)).collect::<Vec<_>>())
            .bind(sessions().map(|session| text(&session.device.ip)).collect::<Vec<_>>())
            .bind(sessions().map(|session| text(&session.device.label)).collect::<Vec<_>>())
            .bind(each().map(|new| new.lookup.as_str()).collect::<Vec<_>>())
            .bind(tokens().map(|token| rows::instant(token.expires_at)).collect::<Vec<_>>())
            .bind(tokens().map(|token| i64::from(token.held.generation.0)).collect::<Vec<_>>())
            .bind(tokens().map(|token| token.held.hash.as_bytes().as_slice()).collect::<Vec<_>>())
            .bind(tokens().map(|token| token.recent.to_bytes()).collect::<Vec<_>>())
            .bind(tokens().map(|token| token.access.map(|access| access.hash.as_bytes().to_vec())).collect::<Vec<_>>())
            .bind(tokens().map(|token| token.access.map(|access| rows::instant(access.expires_at))).collect::<Vec<_>>())
            .bind(each().map(|new| own_key(new.session.id, &new.lookup)).collect::<Vec<_>>());
        // (Ids are unique in what was opened: the server refuses a batch with one twice.)
        let opened = core.run_raw(open).await?;
        let opened: HashSet<Uuid> = opened.iter().map(|row| row.try_get("id")).collect::<Result<_, _>>()?;
        let outcome = |new: &Self| {
            if opened.contains(&new.session.id.uuid()) { OpenOutcome::Opened } else { OpenOutcome::NoSuchUser }
        };
        Ok(each().map(|new| Ok(outcome(new))).collect())
    }
}
