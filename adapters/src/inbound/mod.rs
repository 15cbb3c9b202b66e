//! How the world reaches Regrant.

pub mod http;
pub mod users_file;
