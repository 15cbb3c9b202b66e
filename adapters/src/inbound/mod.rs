//! How the world reaches Regrant.

pub mod http;
