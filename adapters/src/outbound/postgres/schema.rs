//! The schema: where a database stands, and how it gets from one version to another. Whoever migrates holds an advisory
//! lock, so that servers which start side by side do it once.

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{Connection as _, Executor as _, PgConnection, Postgres, Transaction};

use super::{PostgresOptions, StartError, lone_connection};
use crate::outbound::sql::{Migration, MigrationStatus, SchemaState, migrator, schema_state, statuses};

/// Every migration, in order.
pub const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "initial",
        up: include_str!("../../../../migrations/postgres/0001_initial.up.sql"),
        down: include_str!("../../../../migrations/postgres/0001_initial.down.sql"),
    },
    Migration {
        version: 2,
        name: "history",
        up: include_str!("../../../../migrations/postgres/0002_history.up.sql"),
        down: include_str!("../../../../migrations/postgres/0002_history.down.sql"),
    },
    Migration {
        version: 3,
        name: "rate limits",
        up: include_str!("../../../../migrations/postgres/0003_rate_limits.up.sql"),
        down: include_str!("../../../../migrations/postgres/0003_rate_limits.down.sql"),
    },
    Migration {
        version: 4,
        name: "less room",
        up: include_str!("../../../../migrations/postgres/0004_less_room.up.sql"),
        down: include_str!("../../../../migrations/postgres/0004_less_room.down.sql"),
    },
];

/// Why the schema is not, or cannot be made, what this version needs.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// An earlier version's.
    #[error("the database's schema is at version {have}, this Regrant needs {want}: run `regrant migrate up`")]
    Behind {
        /// The last migration that it has.
        have: i64,
        /// The last one that this version knows.
        want: i64,
    },
    /// A later version's.
    #[error(
        "the database's schema is at version {have}, this Regrant knows {want}: run the newer Regrant, or have it run \
         `regrant migrate down` first"
    )]
    Ahead {
        /// The last migration that it has.
        have: i64,
        /// The last one that this version knows.
        want: i64,
    },
    /// Somebody else's tables are in the way.
    #[error(
        "the database has a table `{0}` that is not Regrant's: give Regrant a database, or a schema (the URL's \
         `options[search_path]`), of its own"
    )]
    Taken(String),
    /// A migration failed; it was taken back.
    #[error("the schema could not be changed: {0}")]
    Failed(#[from] MigrateError),
    /// Could not find out.
    #[error("the schema could not be read: {0}")]
    Unreadable(#[from] sqlx::Error),
}

/// Every migration that is known or applied, in order.
///
/// # Errors
/// [`StartError`]: could not find out.
pub async fn status(options: &PostgresOptions) -> Result<Vec<MigrationStatus>, StartError> {
    let mut connection = lone_connection(options).await?;
    let applied = applied(&mut connection).await;
    let _ = connection.close().await;
    Ok(statuses(MIGRATIONS, &applied?))
}

/// Applies what the database lacks, up to and including version `to` (`None`: everything), and says where it stands then.
/// All or nothing.
///
/// # Errors
/// [`StartError`]; the database is as it was.
pub async fn up(options: &PostgresOptions, to: Option<i64>) -> Result<Vec<MigrationStatus>, StartError> {
    let mut connection = lone_connection(options).await?;
    let done = apply(&mut connection, to).await;
    let _ = connection.close().await;
    Ok(statuses(MIGRATIONS, &done?))
}

/// Takes the last `steps` migrations back **and their data with them**, and says where the database stands then. All or
/// nothing.
///
/// # Errors
/// [`StartError`]; the database is as it was.
pub async fn down(options: &PostgresOptions, steps: u32) -> Result<Vec<MigrationStatus>, StartError> {
    let mut connection = lone_connection(options).await?;
    let done = take_back(&mut connection, steps).await;
    let _ = connection.close().await;
    Ok(statuses(MIGRATIONS, &done?))
}

/// Creates the schema where there is none; otherwise compares it with what this version needs. Changing a schema that
/// holds something is for the operator to start.
pub(super) async fn create_or_compare(options: &PostgresOptions) -> Result<(), StartError> {
    let mut connection = lone_connection(options).await?;
    let done = async {
        let applied = applied(&mut connection).await?;
        match schema_state(MIGRATIONS, &applied) {
            SchemaState::Current => Ok(()),
            SchemaState::Behind { .. } if applied.is_empty() => apply(&mut connection, None).await.map(drop),
            SchemaState::Behind { have, want } => Err(SchemaError::Behind { have, want }),
            SchemaState::Ahead { have, want } => Err(SchemaError::Ahead { have, want }),
        }
    }
    .await;
    let _ = connection.close().await;
    Ok(done?)
}

/// Without locks of its own: whoever runs it holds one.
fn migrations() -> Migrator {
    let mut migrations = migrator(MIGRATIONS);
    migrations.set_locking(false);
    migrations
}

/// The versions that were applied, in order.
async fn applied(connection: &mut PgConnection) -> Result<Vec<i64>, SchemaError> {
    let exists = has_table(connection, "_sqlx_migrations").await?;
    if !exists {
        return Ok(Vec::new());
    }
    Ok(sqlx::query_scalar("SELECT version FROM _sqlx_migrations ORDER BY version").fetch_all(connection).await?)
}

/// Any number, as long as every version of Regrant has the same.
const LOCK: i64 = 0x0052_6567_7261_6e74;

/// Begins a change of the schema, alone: the lock goes with the transaction, however that ends.
async fn begin(connection: &mut PgConnection) -> Result<Transaction<'_, Postgres>, SchemaError> {
    let mut tx = connection.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *tx).await?;
    Ok(tx)
}

async fn apply(connection: &mut PgConnection, to: Option<i64>) -> Result<Vec<i64>, SchemaError> {
    let mut tx = begin(connection).await?;
    let before = applied(&mut tx).await?;
    refuse_if_ahead(&before)?;
    if before.is_empty() {
        refuse_strangers(&mut tx).await?;
    }
    // Another process may have been first; then nothing is left to do.
    migrations().run_direct(to, &mut *tx, false).await?;
    let now = applied(&mut tx).await?;
    tx.commit().await?;
    Ok(now)
}

async fn take_back(connection: &mut PgConnection, steps: u32) -> Result<Vec<i64>, SchemaError> {
    let mut tx = begin(connection).await?;
    let mut now = applied(&mut tx).await?;
    refuse_if_ahead(&now)?;
    now.truncate(now.len().saturating_sub(usize::try_from(steps).unwrap_or(usize::MAX)));
    migrations().undo(&mut *tx, now.last().copied().unwrap_or(0)).await?;
    if now.is_empty() {
        tx.execute("DROP TABLE IF EXISTS _sqlx_migrations").await?;
    }
    tx.commit().await?;
    Ok(now)
}

fn refuse_if_ahead(applied: &[i64]) -> Result<(), SchemaError> {
    match schema_state(MIGRATIONS, applied) {
        SchemaState::Ahead { have, want } => Err(SchemaError::Ahead { have, want }),
        SchemaState::Current | SchemaState::Behind { .. } => Ok(()),
    }
}

/// Where no migration was applied, no table of these names can be Regrant's.
async fn refuse_strangers(connection: &mut PgConnection) -> Result<(), SchemaError> {
    for table in ["users", "sessions", "refresh_tokens", "history", "rate_limits"] {
        let taken = has_table(connection, table).await?;
        if taken {
            return Err(SchemaError::Taken(table.into()));
        }
    }
    Ok(())
}

/// Asks the catalogue's rows. (`to_regclass` may answer from a cache, which a wait for an advisory lock does not renew.)
async fn has_table(connection: &mut PgConnection, name: &str) -> Result<bool, sqlx::Error> {
    const SQL: &str = "SELECT EXISTS (SELECT FROM pg_catalog.pg_class WHERE relname = $1 AND pg_table_is_visible(oid))";
    sqlx::query_scalar(SQL).bind(name).fetch_one(connection).await
}
