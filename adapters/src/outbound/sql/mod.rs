//! What the SQL stores share: reading rows whole, where their schema stands, and how busy their pools are.
//!
//! Deliberately absent: any store or statement.

mod connections;
mod history;
mod rows;
mod schema;

pub use connections::Connections;
pub use history::{RawEntry, subject};
pub use rows::{ImpossibleRow, RawSession, RawUser};
pub use schema::{Migration, MigrationStatus, SchemaState, migrator, schema_state, statuses};
