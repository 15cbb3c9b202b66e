//! Migrations as text that is part of the program, and where a database stands among them.

use std::borrow::Cow;

use sqlx::SqlSafeStr as _;
use sqlx::migrate::{MigrationType, Migrator};

/// One step of a schema, and the way back.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// Its place: 1, 2, 3, …
    pub version: i64,
    /// What it is about.
    pub name: &'static str,
    /// Statements that apply it.
    pub up: &'static str,
    /// Statements that take it back.
    pub down: &'static str,
}

/// A migration, and whether a database has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationStatus {
    /// Its place.
    pub version: i64,
    /// What it is about.
    pub name: Cow<'static, str>,
    /// Whether the database has it.
    pub applied: bool,
}

/// Where a database stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaState {
    /// It has exactly what this version needs.
    Current,
    /// It lacks migrations.
    Behind {
        /// The last one that it has; 0 is none.
        have: i64,
        /// The last one that this version knows.
        want: i64,
    },
    /// It has migrations that this version does not know: a later version was here.
    Ahead {
        /// The last one that it has.
        have: i64,
        /// The last one that this version knows.
        want: i64,
    },
}

/// What applies these migrations, takes them back, and remembers which a database has. (Each goes into a transaction
/// with the note that it was applied.)
pub fn migrator(known: &[Migration]) -> Migrator {
    let both =
        known.iter().flat_map(|m| [(m, MigrationType::ReversibleUp, m.up), (m, MigrationType::ReversibleDown, m.down)]);
    let migrations = both
        .map(|(m, kind, sql)| sqlx::migrate::Migration::new(m.version, m.name.into(), kind, sql.into_sql_str(), false));
    Migrator::with_migrations(migrations.collect())
}

/// Where a database stands that has the migrations `applied`.
pub fn schema_state(known: &[Migration], applied: &[i64]) -> SchemaState {
    let have = applied.iter().copied().max().unwrap_or(0);
    let want = known.iter().map(|m| m.version).max().unwrap_or(0);
    if applied.iter().any(|version| known.iter().all(|m| m.version != *version)) {
        SchemaState::Ahead { have, want }
    } else if known.iter().any(|m| !applied.contains(&m.version)) {
        SchemaState::Behind { have, want }
    } else {
        SchemaState::Current
    }
}

/// All migrations that are known or applied, in order.
pub fn statuses(known: &[Migration], applied: &[i64]) -> Vec<MigrationStatus> {
    let ours = known.iter().map(|m| MigrationStatus {
        version: m.version,
        name: m.name.into(),
        applied: applied.contains(&m.version),
    });
    let unknown = applied.iter().filter(|version| known.iter().all(|m| m.version != **version)).map(|version| {
        MigrationStatus { version: *version, name: "of a later version of Regrant".into(), applied: true }
    });
    let mut all: Vec<_> = ours.chain(unknown).collect();
    all.sort_by_key(|status| status.version);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_current_behind_or_ahead() {
        let one = Migration { version: 1, name: "one", up: "", down: "" };
        let known = [one, Migration { version: 2, name: "two", ..one }];
        assert_eq!(schema_state(&known, &[1, 2]), SchemaState::Current);
        assert_eq!(schema_state(&known, &[]), SchemaState::Behind { have: 0, want: 2 });
        assert_eq!(schema_state(&known, &[1]), SchemaState::Behind { have: 1, want: 2 });
        assert_eq!(schema_state(&known, &[2]), SchemaState::Behind { have: 2, want: 2 });
        assert_eq!(schema_state(&known, &[1, 2, 3]), SchemaState::Ahead { have: 3, want: 2 });
        let applied: Vec<_> = statuses(&known, &[1, 3]).iter().map(|s| (s.version, s.applied)).collect();
        assert_eq!(applied, [(1, true), (2, false), (3, true)]);
    }
}
