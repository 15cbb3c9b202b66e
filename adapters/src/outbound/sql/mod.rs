//! What the SQL stores share: reading rows whole, and where their schema stands.
//!
//! Deliberately absent: any store, connection or statement. This knows plain values only.

mod history;
mod rows;
mod schema;

pub use history::{RawEntry, subject};
pub use rows::{ImpossibleRow, RawSession, RawUser};
pub use schema::{Migration, MigrationStatus, SchemaState, migrator, schema_state, statuses};
