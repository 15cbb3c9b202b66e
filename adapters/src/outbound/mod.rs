//! What Regrant reaches: stores, token formats, password hashing, the clock and the generator.

pub mod events;
pub mod in_use;
pub mod jwt;
pub mod key_manifest;
pub mod memory;
pub mod memory_limits;
pub mod metrics;
pub mod no_history;
pub mod opaque;
pub mod passwords;
pub mod postgres;
pub mod private_file;
pub mod redis;
pub mod sql;
pub mod sqlite;
pub mod system;
pub mod tasks;
pub mod together;
pub mod token_codec;
pub mod token_keys;
