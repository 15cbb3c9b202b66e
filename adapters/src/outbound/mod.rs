//! What Regrant reaches: stores, token formats, password hashing, the clock and the generator.

pub mod jwt;
pub mod memory;
pub mod passwords;
pub mod postgres;
pub mod redis;
pub mod sql;
pub mod sqlite;
pub mod system;
pub mod token_codec;
