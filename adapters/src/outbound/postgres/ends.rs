//! Ends of single sessions: one statement for all that wait at the same time.
//!
//! Of several that end one session in one batch, the first whose guard holds is the one that ends it. An end and a rotation of
//! one session that wait at the same time were asked for by two callers, and either may come first; whoever wants
//! the one after the other waits for the answer in between.

use regrant_domain::ports::{End, EndOutcome, PortError, SessionKey};
use regrant_domain::refresh_token::LookupKey;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use sqlx::types::Uuid;

use super::batches::{Answered, Batched};
use super::work::{Core, Statement};
use super::{corrupt, rows};

/// `$1` is an id, or nothing; `$2` the key, or the one that the id has where the session names no other.
const END: &str = "\
WITH held AS MATERIALIZED (
    SELECT token, revoked_at IS NOT NULL AS ended,
           $5::bigint IS NOT NULL AND (generation, secret_hash) IS DISTINCT FROM ($5, $6::bytea) AS moved
    FROM refresh_tokens WHERE token = COALESCE((SELECT token FROM sessions WHERE id = $1), $2) FOR NO KEY UPDATE
), revoked AS (
    UPDATE refresh_tokens SET revoked_at = $3, updated_at = $3, check_at = LEAST(check_at, $3)
    WHERE token = (SELECT token FROM held WHERE NOT ended AND NOT moved) RETURNING session_id
), closed AS (
    UPDATE sessions SET ended_at = $3, end_reason = $4, updated_at = $3
    WHERE id = (SELECT session_id FROM revoked) RETURNING id
)
SELECT ended, moved, (SELECT count(*) FROM closed) AS closed FROM held";

/// The same for all: rows are locked in the order of their keys, and what each finds is looked at on the rows as locked.
const END_EACH: &str = "\
WITH asked AS MATERIALIZED (
    SELECT a.place, COALESCE((SELECT s.token FROM sessions s WHERE s.id = a.id), a.token) AS token,
           a.at, a.reason, a.generation, a.hash
    FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::text[], $5::bigint[], $6::bytea[])
         WITH ORDINALITY AS a (id, token, at, reason, generation, hash, place)
), held AS MATERIALIZED (
    SELECT token, revoked_at IS NOT NULL AS ended, generation, secret_hash FROM refresh_tokens
    WHERE token = ANY (ARRAY(SELECT token FROM asked)) ORDER BY token FOR NO KEY UPDATE
), met AS MATERIALIZED (
    SELECT a.place, a.token, a.at, a.reason, h.ended,
           a.generation IS NOT NULL AND (h.generation, h.secret_hash) IS DISTINCT FROM (a.generation, a.hash) AS moved
    FROM asked a JOIN held h ON h.token = a.token
), chosen AS MATERIALIZED (
    SELECT DISTINCT ON (token) place, token, at, reason FROM met WHERE NOT ended AND NOT moved ORDER BY token, place
), revoked AS (
    UPDATE refresh_tokens t SET revoked_at = c.at, updated_at = c.at, check_at = LEAST(t.check_at, c.at)
    FROM chosen c WHERE t.token = c.token RETURNING t.session_id, c.place, c.at, c.reason
), closed AS (
    UPDATE sessions s SET ended_at = r.at, end_reason = r.reason, updated_at = r.at
    FROM revoked r WHERE s.id = r.session_id RETURNING r.place
)
SELECT m.place, m.ended OR (NOT m.moved AND m.place NOT IN (SELECT place FROM chosen)) AS ended, m.moved,
       (SELECT count(*) FROM closed WHERE closed.place = m.place) AS closed
FROM met m";

/// The id, if there is one, and the key.
fn named(end: &End) -> (Option<Uuid>, LookupKey) {
    match &end.session {
        SessionKey::Id(id) => (Some(id.uuid()), LookupKey::of_session(*id)),
        SessionKey::Lookup(lookup) => (None, lookup.clone()),
    }
}

impl Batched for End {
    type Answer = EndOutcome;
    const THEY: &'static str = "ends";

    async fn alone(&self, core: &Core) -> Result<EndOutcome, PortError> {
        let (id, key) = named(self);
        let end = Statement::write(END)
            .bind(id)
            .bind(key.as_str())
            .bind(rows::instant(self.at))
            .bind(self.reason.code())
            .bind(self.only_while.map(|held| i64::from(held.generation.0)))
            .bind(self.only_while.map(|held| held.hash.as_bytes().to_vec()));
        core.run(end).await?.first().map_or(Ok(EndOutcome::NotFound), outcome)
    }

    async fn together(core: &Core, all: &[Self]) -> Result<Vec<Answered<Self>>, sqlx::Error> {
        let (ids, keys): (Vec<_>, Vec<_>) = all.iter().map(named).unzip();
        let each = || all.iter();
        let end = Statement::write(END_EACH)
            .bind(ids)
            .bind(keys.iter().map(LookupKey::as_str).collect::<Vec<_>>())
            .bind(each().map(|end| rows::instant(end.at)).collect::<Vec<_>>())
            .bind(each().map(|end| end.reason.code()).collect::<Vec<_>>())
            .bind(each().map(|end| end.only_while.map(|held| i64::from(held.generation.0))).collect::<Vec<_>>())
            .bind(each().map(|end| end.only_while.map(|held| held.hash.as_bytes().to_vec())).collect::<Vec<_>>());
        let mut outcomes: Vec<_> = all.iter().map(|_| Ok(EndOutcome::NotFound)).collect();
        for row in core.run_raw(end).await? {
            let place = usize::try_from(row.try_get::<i64, _>("place")? - 1).unwrap_or(usize::MAX);
            *outcomes.get_mut(place).ok_or(sqlx::Error::RowNotFound)? = outcome(&row);
        }
        Ok(outcomes)
    }
}

fn outcome(row: &PgRow) -> Result<EndOutcome, PortError> {
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
