//! Who is chosen: settings to adapters, adapters to use cases, use cases to a server.

pub mod cli;
pub mod compose;
pub mod failure;
pub mod output;
pub mod serve;
pub mod settings;
pub mod telemetry;
