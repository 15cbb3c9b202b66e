//! SQLite's migrations: where a file stands among them, and moving it there.

use std::path::Path;

use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection as _, SqliteTransaction};

use super::StartError;
use super::file;
use crate::outbound::sql::{Migration, MigrationStatus, SchemaState, migrator, schema_state, statuses};

const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "initial",
        up: include_str!("../../../../migrations/sqlite/0001_initial.up.sql"),
        down: include_str!("../../../../migrations/sqlite/0001_initial.down.sql"),
    },
    Migration {
        version: 2,
        name: "history",
        up: include_str!("../../../../migrations/sqlite/0002_history.up.sql"),
        down: include_str!("../../../../migrations/sqlite/0002_history.down.sql"),
    },
];

/// All migrations, and which of them the database at `path` has. A file that is not there has none, and stays away.
///
/// # Errors
/// [`StartError`], when the file cannot be read or is not a database of Regrant.
pub async fn status(path: &Path) -> Result<Vec<MigrationStatus>, StartError> {
    if !file::is_there(path)? {
        return Ok(statuses(MIGRATIONS, &[]));
    }
    let mut connection = file::connect(path).await?;
    let applied = applied(&mut connection).await.map_err(|cause| StartError::of(path, cause));
    file::close(connection).await;
    Ok(statuses(MIGRATIONS, &applied?.unwrap_or_default()))
}

/// Applies what the database at `path` lacks, up to and including version `to` (`None`: everything), and says where it
/// stands then. Creates the file if need be. All or nothing.
///
/// # Errors
/// [`StartError`]; the database is as it was.
pub async fn up(path: &Path, to: Option<i64>) -> Result<Vec<MigrationStatus>, StartError> {
    file::create(path)?;
    let mut connection = file::connect(path).await?;
    let outcome = up_on(path, &mut connection, to).await;
    file::close(connection).await;
    outcome
}

/// Takes the last `steps` migrations back **and their data with them**, and says where the database stands then. All or
/// nothing.
///
/// # Errors
/// [`StartError`]; the database is as it was.
pub async fn down(path: &Path, steps: u32) -> Result<Vec<MigrationStatus>, StartError> {
    if !file::is_there(path)? {
        return Ok(statuses(MIGRATIONS, &[]));
    }
    let mut connection = file::connect(path).await?;
    let outcome = down_on(path, &mut connection, steps).await;
    file::close(connection).await;
    outcome
}

/// Applies everything to a database without tables; refuses any other that does not have exactly what this version
/// needs.
pub(super) async fn ready(path: &Path, connection: &mut SqliteConnection) -> Result<(), StartError> {
    let Some(applied) = applied(connection).await.map_err(|cause| StartError::of(path, cause))? else {
        up_on(path, connection, None).await?;
        return Ok(());
    };
    match schema_state(MIGRATIONS, &applied) {
        SchemaState::Current => Ok(()),
        SchemaState::Behind { have, want } => Err(StartError::SchemaBehind { path: path.into(), have, want }),
        SchemaState::Ahead { have, want } => Err(StartError::SchemaAhead { path: path.into(), have, want }),
    }
}

async fn up_on(
    path: &Path,
    connection: &mut SqliteConnection,
    to: Option<i64>,
) -> Result<Vec<MigrationStatus>, StartError> {
    let cause = |cause| StartError::of(path, cause);
    let mut tx = begin(connection).await.map_err(cause)?;
    refuse_if_ahead(path, &mut tx).await?;
    // Another process may have been first; then nothing is left to do.
    migrator(MIGRATIONS).run_direct(to, &mut *tx, false).await.map_err(|cause| StartError::migration(path, cause))?;
    let now = applied(&mut tx).await.map_err(cause)?.unwrap_or_default();
    tx.commit().await.map_err(cause)?;
    Ok(statuses(MIGRATIONS, &now))
}

async fn down_on(
    path: &Path,
    connection: &mut SqliteConnection,
    steps: u32,
) -> Result<Vec<MigrationStatus>, StartError> {
    let cause = |cause| StartError::of(path, cause);
    let mut tx = begin(connection).await.map_err(cause)?;
    let Some(had) = refuse_if_ahead(path, &mut tx).await? else { return Ok(statuses(MIGRATIONS, &[])) };
    let kept = had.len().saturating_sub(usize::try_from(steps).unwrap_or(usize::MAX));
    let target = if kept == 0 { 0 } else { had[kept - 1] };
    migrator(MIGRATIONS).undo(&mut *tx, target).await.map_err(|cause| StartError::migration(path, cause))?;
    if kept == 0 {
        // An empty database is one without tables: it is filled again at the next start.
        sqlx::query("DROP TABLE _sqlx_migrations").execute(&mut *tx).await.map_err(cause)?;
    }
    tx.commit().await.map_err(cause)?;
    Ok(statuses(MIGRATIONS, &had[..kept]))
}

/// Holds every other writer off from here on, so that two processes that start at once do not both migrate.
async fn begin(connection: &mut SqliteConnection) -> Result<SqliteTransaction<'_>, sqlx::Error> {
    connection.begin_with("BEGIN IMMEDIATE").await
}

async fn refuse_if_ahead(path: &Path, connection: &mut SqliteConnection) -> Result<Option<Vec<i64>>, StartError> {
    let applied = applied(connection).await.map_err(|cause| StartError::of(path, cause))?;
    match schema_state(MIGRATIONS, applied.as_deref().unwrap_or_default()) {
        SchemaState::Ahead { have, want } => Err(StartError::SchemaAhead { path: path.into(), have, want }),
        SchemaState::Current | SchemaState::Behind { .. } => Ok(applied),
    }
}

/// The versions that were applied, in order; `None` for a database without tables.
async fn applied(connection: &mut SqliteConnection) -> Result<Option<Vec<i64>>, sqlx::Error> {
    let (tables, ours): (i64, i64) = sqlx::query_as(
        "SELECT count(*), count(*) FILTER (WHERE name = '_sqlx_migrations')
         FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
    )
    .fetch_one(&mut *connection)
    .await?;
    match (tables, ours) {
        (0, _) => Ok(None),
        // Somebody else's tables: as good as a database that has none of our migrations. It is told to be behind, and
        // `migrate up` fails if a name is taken.
        (_, 0) => Ok(Some(vec![])),
        _ => sqlx::query_scalar("SELECT version FROM _sqlx_migrations ORDER BY version")
            .fetch_all(connection)
            .await
            .map(Some),
    }
}
