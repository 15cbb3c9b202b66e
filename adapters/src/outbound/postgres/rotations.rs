//! Rotations: one statement for all that wait at the same time.
//!
//! A batch names its rows in the order of their keys, and takes them in that order, so two batches (of two processes, say)
//! never wait for each other in a circle. One that stands alone goes by the plainer statement.

use regrant_domain::ids::UserId;
use regrant_domain::ports::{PortError, RotateOutcome, Rotated, Rotation, Spends};
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use sqlx::types::Uuid;

use super::batches::{Answered, Batched};
use super::rows;
use super::work::{Core, Statement};

/// One row, and no index: `check_at` moves only where a token is to expire *earlier* than was planned (when the operator
/// has shortened the lifetime), which keeps the promise of the sweep.
macro_rules! rotate {
    ($recent:expr) => {
        concat!(
            "UPDATE refresh_tokens SET generation = $4, secret_hash = $5, recent = ",
            $recent,
            ", updated_at = $7, expires_at = LEAST($8, session_ends_at), check_at = LEAST(check_at, $8) \
             WHERE token = $1 AND generation = $2 AND secret_hash = $3 AND revoked_at IS NULL AND expires_at > $7 \
             AND session_ends_at > $7 RETURNING user_id, expires_at, session_ends_at"
        )
    };
}

/// The last 112 bytes of what was there and the new entry.
macro_rules! appending {
    () => {
        "substring(recent || $6::bytea FROM greatest(octet_length(recent) + octet_length($6::bytea) - 111, 1))"
    };
}

/// Where access tokens are kept, the pair's other half with it.
macro_rules! rotate_pair {
    ($recent:expr) => {
        concat!(
            "WITH rotated AS (",
            rotate!($recent),
            ", session_id), paired AS (
                UPDATE sessions SET access_token = $9, access_token_expires_at = LEAST($10, rotated.session_ends_at),
                                    refresh_token_expires_at = rotated.expires_at, updated_at = $7
                FROM rotated WHERE sessions.id = rotated.session_id RETURNING id
            )
            SELECT user_id, expires_at, session_ends_at, (SELECT count(*) FROM paired) AS paired FROM rotated"
        )
    };
}

/// The statement of a refresh that wins alone. (Public for `tests/load`, which measures it by itself.)
pub const ROTATE_APPENDING: &str = rotate!(appending!());
const ROTATE_REPLACING: &str = rotate!("$6::bytea");
const ROTATE_PAIR_APPENDING: &str = rotate_pair!(appending!());
const ROTATE_PAIR_REPLACING: &str = rotate_pair!("$6::bytea");

/// The same for all rows that are named by `a`, each with its place in the batch. Of two that name one row, one applies.
macro_rules! rotate_all {
    ($columns:literal, $returning:literal) => {
        concat!(
            "UPDATE refresh_tokens t SET generation = a.generation, secret_hash = a.hash,
                recent = COALESCE(a.replaced, substring(t.recent || a.appended
                                  FROM greatest(octet_length(t.recent) + octet_length(a.appended) - 111, 1))),
                updated_at = a.now, expires_at = LEAST(a.idle, t.session_ends_at), check_at = LEAST(t.check_at, a.idle)
            FROM unnest($1::text[], $2::bigint[], $3::bytea[], $4::bigint[], $5::bytea[], $6::bytea[], $7::bytea[],
                        $8::timestamptz[], $9::timestamptz[]",
            $columns,
            " place)
            WHERE t.token = a.token AND t.generation = a.from_generation AND t.secret_hash = a.from_hash
              AND t.revoked_at IS NULL AND t.expires_at > a.now AND t.session_ends_at > a.now
            RETURNING a.place, t.user_id, t.expires_at, t.session_ends_at",
            $returning
        )
    };
}

const ROTATE_ALL: &str = rotate_all!(
    ") WITH ORDINALITY AS a (token, from_generation, from_hash, generation, hash, replaced, appended, now, idle,",
    ""
);
const ROTATE_ALL_PAIRS: &str = concat!(
    "WITH rotated AS (",
    rotate_all!(
        ", $10::bytea[], $11::timestamptz[])
            WITH ORDINALITY AS a (token, from_generation, from_hash, generation, hash, replaced, appended, now, idle,
                                  access, access_expires_at,",
        ", t.session_id, a.now, a.access, a.access_expires_at"
    ),
    "), paired AS (
        UPDATE sessions SET access_token = r.access, updated_at = r.now, refresh_token_expires_at = r.expires_at,
                            access_token_expires_at = LEAST(r.access_expires_at, r.session_ends_at)
        FROM rotated r WHERE sessions.id = r.session_id AND r.access IS NOT NULL RETURNING id
    )
    SELECT place, user_id, expires_at, session_ends_at, (SELECT count(*) FROM paired) AS paired FROM rotated"
);

impl Batched for Rotation {
    type Answer = RotateOutcome;
    const THEY: &'static str = "rotations";

    async fn alone(&self, core: &Core) -> Result<RotateOutcome, PortError> {
        let (sql, recent) = match (&self.spends, self.access) {
            (Spends::Append(spent), None) => (ROTATE_APPENDING, spent.to_bytes().to_vec()),
            (Spends::Append(spent), Some(_)) => (ROTATE_PAIR_APPENDING, spent.to_bytes().to_vec()),
            (Spends::Replace(recent), None) => (ROTATE_REPLACING, recent.to_bytes()),
            (Spends::Replace(recent), Some(_)) => (ROTATE_PAIR_REPLACING, recent.to_bytes()),
        };
        let rotate = Statement::write(sql)
            .bind(self.lookup.as_str())
            .bind(i64::from(self.from.generation.0))
            .bind(self.from.hash.as_bytes().as_slice())
            .bind(i64::from(self.to.generation.0))
            .bind(self.to.hash.as_bytes().as_slice())
            .bind(recent)
            .bind(rows::instant(self.now))
            .bind(rows::instant(self.idle_expires_at));
        let rotate = match self.access {
            Some(access) => rotate.bind(access.hash.as_bytes().as_slice()).bind(rows::instant(access.expires_at)),
            None => rotate,
        };
        core.run(rotate).await?.first().map_or(Ok(RotateOutcome::NotCurrent), rotated)
    }

    async fn together(core: &Core, all: &[Self]) -> Result<Vec<Answered<Self>>, sqlx::Error> {
        let mut order: Vec<usize> = (0..all.len()).collect();
        order.sort_by(|a, b| all[*a].lookup.cmp(&all[*b].lookup));
        let each = || order.iter().map(|place| &all[*place]);
        let replaced = |r: &Rotation| match &r.spends {
            Spends::Append(_) => None,
            Spends::Replace(recent) => Some(recent.to_bytes()),
        };
        let appended = |r: &Rotation| match &r.spends {
            Spends::Append(spent) => Some(spent.to_bytes().to_vec()),
            Spends::Replace(_) => None,
        };
        let pairs = all.iter().any(|rotation| rotation.access.is_some());
        let rotate = Statement::write(if pairs { ROTATE_ALL_PAIRS } else { ROTATE_ALL })
            .bind(each().map(|r| r.lookup.as_str()).collect::<Vec<_>>())
            .bind(each().map(|r| i64::from(r.from.generation.0)).collect::<Vec<_>>())
            .bind(each().map(|r| r.from.hash.as_bytes().as_slice()).collect::<Vec<_>>())
            .bind(each().map(|r| i64::from(r.to.generation.0)).collect::<Vec<_>>())
            .bind(each().map(|r| r.to.hash.as_bytes().as_slice()).collect::<Vec<_>>())
            .bind(each().map(replaced).collect::<Vec<_>>())
            .bind(each().map(appended).collect::<Vec<_>>())
            .bind(each().map(|r| rows::instant(r.now)).collect::<Vec<_>>())
            .bind(each().map(|r| rows::instant(r.idle_expires_at)).collect::<Vec<_>>());
        let rotate = if pairs {
            rotate
                .bind(each().map(|r| r.access.map(|access| access.hash.as_bytes().to_vec())).collect::<Vec<_>>())
                .bind(each().map(|r| r.access.map(|access| rows::instant(access.expires_at))).collect::<Vec<_>>())
        } else {
            rotate
        };
        let mut outcomes: Vec<_> = all.iter().map(|_| Ok(RotateOutcome::NotCurrent)).collect();
        for row in core.run_raw(rotate).await? {
            let place: i64 = row.try_get("place")?;
            let place = usize::try_from(place - 1).ok().and_then(|place| order.get(place));
            let outcome = place.and_then(|place| outcomes.get_mut(*place));
            *outcome.ok_or(sqlx::Error::RowNotFound)? = rotated(&row);
        }
        Ok(outcomes)
    }
}

fn rotated(row: &PgRow) -> Result<RotateOutcome, PortError> {
    Ok(RotateOutcome::Rotated(Rotated {
        user: UserId::from(rows::get::<Uuid>(row, "user_id")?),
        expires_at: rows::timestamp(row, "expires_at")?,
        ends_at: rows::timestamp(row, "session_ends_at")?,
    }))
}
