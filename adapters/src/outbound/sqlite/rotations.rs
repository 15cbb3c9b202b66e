//! Rotations: one statement for all that wait at the same time.
//!
//! Each statement is two journeys to the library's thread and back, which cost more than what SQLite does there. One that
//! stands alone goes by the plainer statement.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock};

use regrant_domain::ports::{PortError, RotateOutcome, Rotated, Rotation, Spends};
use regrant_domain::time::Timestamp;
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::fault::Fault;
use super::sessions::{id, text};
use super::writer::Writer;
use crate::outbound::together::Bounds;

/// One: what comes while a batch is on its way goes with the next.
pub(super) const BOUNDS: Bounds = Bounds { lanes: 1, batch: 64, waiting: 4096 };

/// The statement of a refresh that wins alone. (Public for `tests/load`, which measures it by itself.) One narrow row, no
/// index. `||` makes text of two blobs, and `substr` would count its characters: hence the cast.
pub const ROTATE: &str = "
    UPDATE refresh_tokens
    SET generation = ?4, secret_hash = ?5, updated_at = ?6, expires_at = MIN(?7, session_ends_at),
        recent = COALESCE(?8, substr(CAST(recent || ?9 AS BLOB), -112))
    WHERE token = ?1 AND generation = ?2 AND secret_hash = ?3
      AND revoked_at IS NULL AND expires_at > ?6 AND session_ends_at > ?6
    RETURNING user_id, expires_at, session_ends_at, session_id";
/// Where access tokens are kept, the pair's other half, in the same transaction.
const ROTATE_ACCESS: &str = "
    UPDATE sessions
    SET access_token = ?2, access_token_expires_at = MIN(?3, ends_at), refresh_token_expires_at = ?4, updated_at = ?5
    WHERE id = ?1";

/// The same for the rows that follow it, each with the arguments of [`ROTATE`]. No two of them may name one token.
const ROTATE_ALL: &str = "
    UPDATE refresh_tokens AS t
    SET generation = a.column4, secret_hash = a.column5, updated_at = a.column6,
        expires_at = MIN(a.column7, t.session_ends_at),
        recent = COALESCE(a.column8, substr(CAST(t.recent || a.column9 AS BLOB), -112))
    FROM (VALUES ";
const WHERE_CURRENT: &str = ") AS a
    WHERE t.token = a.column1 AND t.generation = a.column2 AND t.secret_hash = a.column3
      AND t.revoked_at IS NULL AND t.expires_at > a.column6 AND t.session_ends_at > a.column6
    RETURNING token, user_id, expires_at, session_ends_at, session_id";
const ARGUMENTS: usize = 9;

/// For 2, 4, 8, … rows, so that a few statements are prepared once; rows that are too many are NULL, and name nothing.
static ROTATIONS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let row = format!("({})", ["?"; ARGUMENTS].join(", "));
    let sizes = (1..=BOUNDS.batch.ilog2()).map(|power| 1_usize << power);
    sizes.map(|size| format!("{ROTATE_ALL}{}{WHERE_CURRENT}", vec![row.as_str(); size].join(", "))).collect()
});

/// Runs a batch, and answers each in its place.
pub(super) async fn run(writer: Writer, all: Vec<Rotation>) -> Vec<Result<RotateOutcome, PortError>> {
    if let [one] = all.as_slice() {
        return vec![alone(&writer, one.clone()).await];
    }
    let all = Arc::new(all);
    let batch = all.clone();
    match writer.hand_over(move |connection| Box::pin(async move { together(connection, &batch).await })).await {
        Ok(outcomes) => outcomes.into_iter().map(Ok).collect(),
        // Something of one of them does not fit: that one is to fail, and no other.
        Err(fault) if !fault.ends_the_transaction() => {
            tracing::warn!(error = %fault, "the database refused rotations that were written together; each is written alone");
            let mut outcomes = Vec::with_capacity(all.len());
            for one in all.iter() {
                outcomes.push(alone(&writer, one.clone()).await);
            }
            outcomes
        }
        Err(fault) => {
            let fault = Arc::new(fault);
            all.iter().map(|_| Err(Fault::Together(fault.clone()).into())).collect()
        }
    }
}

async fn alone(writer: &Writer, rotation: Rotation) -> Result<RotateOutcome, PortError> {
    writer.run(move |connection| Box::pin(async move { rotate(connection, &rotation).await })).await
}

async fn rotate(connection: &mut SqliteConnection, rotation: &Rotation) -> Result<RotateOutcome, Fault> {
    let row = bound(sqlx::query(ROTATE), rotation).fetch_optional(&mut *connection).await?;
    match row {
        Some(row) => rotated(connection, rotation, &row).await.map(RotateOutcome::Rotated),
        None => Ok(RotateOutcome::NotCurrent),
    }
}

/// As if they came one after the other: of several that name one token, the first is decided first.
async fn together(connection: &mut SqliteConnection, all: &[Rotation]) -> Result<Vec<RotateOutcome>, Fault> {
    let mut outcomes = vec![RotateOutcome::NotCurrent; all.len()];
    let mut left: Vec<usize> = (0..all.len()).collect();
    while !left.is_empty() {
        let mut named = HashSet::with_capacity(left.len());
        let (round, later): (Vec<_>, Vec<_>) = left.into_iter().partition(|place| named.insert(&all[*place].lookup));
        for row in at_once(connection, round.iter().map(|place| &all[*place])).await? {
            let token: &str = row.try_get("token")?;
            let place = round.iter().copied().find(|place| all[*place].lookup.as_str() == token);
            let place = place.ok_or(sqlx::Error::RowNotFound)?;
            outcomes[place] = RotateOutcome::Rotated(rotated(connection, &all[place], &row).await?);
        }
        left = later;
    }
    Ok(outcomes)
}

async fn at_once(
    connection: &mut SqliteConnection,
    all: impl ExactSizeIterator<Item = &Rotation>,
) -> Result<Vec<SqliteRow>, sqlx::Error> {
    let size = all.len().max(2).next_power_of_two();
    let nothing = size - all.len();
    let sql = ROTATIONS.get(size.ilog2() as usize - 1).ok_or(sqlx::Error::RowNotFound)?;
    let query = all.fold(sqlx::query(sqlx::AssertSqlSafe(sql.as_str())), bound);
    let query = (0..nothing * ARGUMENTS).fold(query, |query, _| query.bind(None::<i64>));
    query.fetch_all(connection).await
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;

/// With the arguments of one rotation.
fn bound<'q>(query: Query<'q>, rotation: &Rotation) -> Query<'q> {
    let Rotation { lookup, from, to, spends, now, idle_expires_at, .. } = rotation;
    let (replaced, appended) = match spends {
        Spends::Append(spent) => (None, Some(spent.to_bytes().to_vec())),
        Spends::Replace(recent) => (Some(recent.to_bytes()), None),
    };
    query
        .bind(lookup.as_str().to_owned())
        .bind(from.generation.0)
        .bind(from.hash.as_bytes().to_vec())
        .bind(to.generation.0)
        .bind(to.hash.as_bytes().to_vec())
        .bind(now.millis())
        .bind(idle_expires_at.millis())
        .bind(replaced)
        .bind(appended)
}

/// What a rotation has come to; and the pair's other half, if it has one.
async fn rotated(connection: &mut SqliteConnection, rotation: &Rotation, row: &SqliteRow) -> Result<Rotated, Fault> {
    let rotated = Rotated {
        user: id(row, "user_id")?.into(),
        expires_at: Timestamp::from_millis(row.try_get("expires_at")?),
        ends_at: Timestamp::from_millis(row.try_get("session_ends_at")?),
    };
    if let Some(access) = &rotation.access {
        sqlx::query(ROTATE_ACCESS)
            .bind(text(id(row, "session_id")?))
            .bind(access.hash.as_bytes().to_vec())
            .bind(access.expires_at.millis())
            .bind(rotated.expires_at.millis())
            .bind(rotation.now.millis())
            .execute(connection)
            .await?;
    }
    Ok(rotated)
}

#[cfg(test)]
mod tests {
    use sqlx::ConnectOptions as _;

    use super::*;
    use crate::outbound::sqlite::{SqliteStore, options};

    /// Not the other way round: that would be all rows of the table.
    #[tokio::test]
    async fn each_of_a_batch_looks_its_row_up() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let path = folder.path().join("regrant.db");
        SqliteStore::open(&path).await.expect("opened").close().await;
        let mut connection = options(&path).connect().await.expect("connected");
        assert_eq!(ROTATIONS.len(), 6);
        for sql in ROTATIONS.iter() {
            let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
            let steps = sqlx::query(explain).fetch_all(&mut connection).await.expect("planned");
            let steps: Vec<String> = steps.iter().map(|step| step.get("detail")).collect();
            assert!(steps.iter().any(|step| step == "SEARCH t USING PRIMARY KEY (token=?)"), "{steps:?}");
            assert!(!steps.iter().any(|step| step.starts_with("SCAN t")), "{steps:?}");
        }
    }
}
