//! The schema: where a database stands, and how it gets from one version to another. Whoever migrates holds an advisory
//! lock, so that servers which start side by side do it once.

use sqlx::migrate::{Migrate as _, MigrateError, Migrator};
use sqlx::{Connection as _, PgConnection, Row as _};

use super::super::sql::{Migration, MigrationStatus, SchemaState, migrator, schema_state, statuses};
use super::{PostgresOptions, StartError, lone_connection};

/// Every migration, in order.
pub const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "initial",
    up: include_str!("../../../../migrations/postgres/0001_initial.up.sql"),
    down: include_str!("../../../../migrations/postgres/0001_initial.down.sql"),
}];

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
    /// Going down would delete what is kept.
    #[error(
        "going down would delete {users} users and {sessions} sessions: make a backup, then say that they may be lost"
    )]
    WouldLose {
        /// How many users.
        users: i64,
        /// How many sessions.
        sessions: i64,
    },
    /// A migration failed; it was taken back.
    #[error("the schema could not be changed: {0}")]
    Failed(#[from] MigrateError),
    /// Could not find out.
    #[error("the schema could not be read: {0}")]
    Unreadable(#[from] sqlx::Error),
}

/// What is to happen to rows that a migration down deletes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// Refuse while there are any.
    Keep,
    /// Delete them.
    Lose,
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

/// Applies what is missing, and says what that was.
///
/// # Errors
/// [`StartError`]: nothing of the migration that failed was applied.
pub async fn up(options: &PostgresOptions) -> Result<Vec<i64>, StartError> {
    let mut connection = lone_connection(options).await?;
    let done = apply(&mut connection).await;
    let _ = connection.close().await;
    Ok(done?)
}

/// Takes back every migration after `target`; 0 takes back all.
///
/// # Errors
/// [`StartError`]: nothing of the migration that failed was taken back.
pub async fn down(options: &PostgresOptions, target: i64, rows: Rows) -> Result<(), StartError> {
    let mut connection = lone_connection(options).await?;
    let done = take_back(&mut connection, target, rows).await;
    let _ = connection.close().await;
    Ok(done?)
}

/// Creates the schema where there is none; otherwise compares it with what this version needs. Changing a schema that
/// holds something is for the operator to start.
pub(super) async fn create_or_compare(options: &PostgresOptions) -> Result<(), StartError> {
    let mut connection = lone_connection(options).await?;
    let done = async {
        let applied = applied(&mut connection).await?;
        match schema_state(MIGRATIONS, &applied) {
            SchemaState::Current => Ok(()),
            SchemaState::Behind { .. } if applied.is_empty() => apply(&mut connection).await.map(drop),
            SchemaState::Behind { have, want } => Err(SchemaError::Behind { have, want }),
            SchemaState::Ahead { have, want } => Err(SchemaError::Ahead { have, want }),
        }
    }
    .await;
    let _ = connection.close().await;
    Ok(done?)
}

fn migrations() -> Migrator {
    migrator(MIGRATIONS)
}

async fn applied(connection: &mut PgConnection) -> Result<Vec<i64>, SchemaError> {
    let table = migrations().table_name;
    let exists: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
        .bind(table.as_ref())
        .fetch_one(&mut *connection)
        .await?;
    if !exists {
        return Ok(Vec::new());
    }
    let applied = connection.list_applied_migrations(&table).await?;
    Ok(applied.into_iter().map(|migration| migration.version).collect())
}

async fn apply(connection: &mut PgConnection) -> Result<Vec<i64>, SchemaError> {
    // Held until the connection closes, whatever happens.
    connection.lock().await?;
    let before = applied(connection).await?;
    if let SchemaState::Ahead { have, want } = schema_state(MIGRATIONS, &before) {
        return Err(SchemaError::Ahead { have, want });
    }
    if before.is_empty() {
        refuse_strangers(connection).await?;
    }
    migrations().run_direct(None, connection, false).await?;
    Ok(applied(connection).await?.into_iter().filter(|version| !before.contains(version)).collect())
}

async fn take_back(connection: &mut PgConnection, target: i64, rows: Rows) -> Result<(), SchemaError> {
    connection.lock().await?;
    let before = applied(connection).await?;
    if let SchemaState::Ahead { have, want } = schema_state(MIGRATIONS, &before) {
        return Err(SchemaError::Ahead { have, want });
    }
    // The first migration's tables are all there is; later ones say for themselves what they lose.
    if rows == Rows::Keep && target < 1 && before.contains(&1) {
        let counts = "SELECT (SELECT count(*) FROM users) AS users, (SELECT count(*) FROM sessions) AS sessions";
        let row = sqlx::query(counts).fetch_one(&mut *connection).await?;
        let (users, sessions) = (row.try_get("users")?, row.try_get("sessions")?);
        if users != 0 || sessions != 0 {
            return Err(SchemaError::WouldLose { users, sessions });
        }
    }
    migrations().undo(connection, target).await?;
    Ok(())
}

/// Where no migration was applied, no table of these names can be Regrant's.
async fn refuse_strangers(connection: &mut PgConnection) -> Result<(), SchemaError> {
    for table in ["users", "sessions", "refresh_tokens"] {
        let taken: bool =
            sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL").bind(table).fetch_one(&mut *connection).await?;
        if taken {
            return Err(SchemaError::Taken(table.into()));
        }
    }
    Ok(())
}
