//! Changing the schema of the chosen store. One arm per store with a schema.

use regrant_adapters::outbound::sql::MigrationStatus;
use regrant_adapters::outbound::{postgres, sqlite};

use super::Settings;
use super::store::{exists, in_memory, make_folder, postgres_failure, postgres_options};
use crate::failure::Failure;
use crate::settings::Database;

/// One migration, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    /// Its place.
    pub version: i64,
    /// What it is about.
    pub name: String,
    /// Whether the database has it.
    pub applied: bool,
}

/// What to do with migrations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Migrate {
    /// Apply what is missing.
    Up,
    /// Take the last ones back, with their data.
    Down {
        /// How many.
        steps: u32,
    },
    /// Change nothing.
    Status,
}

/// Changes the schema of the chosen store, and says where it stands then. Redis has none: there, it is that of the
/// users' store.
///
/// # Errors
/// [`Failure`]; the database is as it was.
pub async fn run(settings: &Settings, what: Migrate) -> Result<Vec<Migration>, Failure> {
    let all = match settings.store.users() {
        Database::Memory => return Err(in_memory()),
        Database::Sqlite { file } => {
            if what == Migrate::Up && !exists(file)? && file.parent() == Some(&settings.data_dir) {
                make_folder(&settings.data_dir, "data.dir", &mut Vec::new())?;
            }
            let all = match what {
                Migrate::Up => sqlite::schema::up(file, None).await,
                Migrate::Down { steps } => sqlite::schema::down(file, steps).await,
                Migrate::Status => sqlite::schema::status(file).await,
            };
            // The error's own text says what to do.
            all.map_err(|error| Failure::of(&error))?
        }
        Database::Postgres(chosen) => {
            let options = postgres_options(chosen)?;
            let all = match what {
                Migrate::Up => postgres::schema::up(&options, None).await,
                Migrate::Down { steps } => postgres::schema::down(&options, steps).await,
                Migrate::Status => postgres::schema::status(&options).await,
            };
            all.map_err(|error| postgres_failure(&chosen.url, &error))?
        }
    };
    Ok(all.into_iter().map(migration).collect())
}

fn migration(one: MigrationStatus) -> Migration {
    Migration { version: one.version, name: one.name.into_owned(), applied: one.applied }
}
