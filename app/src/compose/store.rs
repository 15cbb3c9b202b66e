//! Opening, migrating and closing the chosen store. One arm per store.

use std::path::Path;
use std::sync::Arc;

use regrant_adapters::outbound::memory::MemoryStore;
use regrant_adapters::outbound::sqlite::{SqliteStore, StartError, schema};
use regrant_domain::ports::{SessionRepository, UserRepository};

use super::{Purpose, Settings, Store};
use crate::failure::{Failure, Kind};

/// A store that is open.
pub(super) enum Open {
    /// See [`Store::Memory`].
    Memory(Arc<MemoryStore>),
    /// See [`Store::Sqlite`].
    Sqlite(Arc<SqliteStore>),
}

impl Open {
    /// Whether it certainly holds neither a user nor a session.
    pub(super) async fn is_empty(&self) -> Result<bool, Failure> {
        match self {
            Self::Memory(_) => Ok(true),
            Self::Sqlite(store) => store.is_empty().await.map_err(|error| Failure::of(&error)),
        }
    }

    pub(super) fn ports(&self) -> (Arc<dyn UserRepository>, Arc<dyn SessionRepository>) {
        match self {
            Self::Memory(store) => (store.clone(), store.clone()),
            Self::Sqlite(store) => (store.clone(), store.clone()),
        }
    }

    pub(super) async fn close(&self) {
        match self {
            Self::Memory(_) => {}
            Self::Sqlite(store) => store.close().await,
        }
    }
}

/// Opens the chosen store; to serve, a database that is not there is made, and so is its folder if it is `data.dir`.
pub(super) async fn open(settings: &Settings, purpose: Purpose, made: &mut Vec<String>) -> Result<Open, Failure> {
    match (&settings.store, purpose) {
        (Store::Memory, Purpose::Serve) => Ok(Open::Memory(Arc::new(MemoryStore::default()))),
        (Store::Memory, Purpose::Tend) => Err(in_memory()),
        (Store::Sqlite { file }, _) => {
            let is_there = exists(file)?;
            if !is_there && purpose == Purpose::Tend {
                let failure = Failure::new(format!("there is no database at {}", file.display()));
                return Err(failure.advise("check data.dir and store.url; `regrant serve` makes a new one"));
            }
            if !is_there && file.parent() == Some(&settings.data_dir) {
                make_folder(&settings.data_dir, "data.dir", made)?;
            }
            let store = SqliteStore::open(file).await.map_err(|error| failure(&error))?;
            if !is_there {
                made.push(format!("the database {}", file.display()));
            }
            Ok(Open::Sqlite(Arc::new(store)))
        }
    }
}

fn in_memory() -> Failure {
    let failure =
        Failure::new("the store is in memory (store.kind = \"memory\"): only the running server can reach it");
    Failure { kind: Kind::Configuration, ..failure }
}

/// The error's own text says what to do.
fn failure(error: &StartError) -> Failure {
    Failure::of(error)
}

/// Whether there is such a file; a failure if that cannot be found out.
pub(super) fn exists(path: &Path) -> Result<bool, Failure> {
    path.try_exists().map_err(|error| {
        let what = format!("whether {} exists cannot be found out", path.display());
        Failure::new(what).because(&error).advise("check the folder that it is in, and who may read it")
    })
}

/// Makes a folder that only this user may enter, if it is not there.
pub(super) fn make_folder(path: &Path, setting: &str, made: &mut Vec<String>) -> Result<(), Failure> {
    if path.is_dir() {
        return Ok(());
    }
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|error| {
        Failure::new(format!("the folder {} cannot be made", path.display()))
            .because(&error)
            .advise(format!("make it, let this user write there, or name another one with {setting}"))
    })?;
    made.push(format!("the folder {}", path.display()));
    Ok(())
}

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

/// Changes the schema of the chosen store, and says where it stands then.
///
/// # Errors
/// [`Failure`]; the database is as it was.
pub async fn migrate(settings: &Settings, what: Migrate) -> Result<Vec<Migration>, Failure> {
    let file = match &settings.store {
        Store::Memory => return Err(in_memory()),
        Store::Sqlite { file } => file,
    };
    let all = match what {
        Migrate::Up => {
            if !exists(file)? && file.parent() == Some(&settings.data_dir) {
                make_folder(&settings.data_dir, "data.dir", &mut Vec::new())?;
            }
            schema::up(file, None).await
        }
        Migrate::Down { steps } => schema::down(file, steps).await,
        Migrate::Status => schema::status(file).await,
    };
    let all = all.map_err(|error| failure(&error))?;
    let all = all.into_iter();
    Ok(all.map(|one| Migration { version: one.version, name: one.name.into_owned(), applied: one.applied }).collect())
}
