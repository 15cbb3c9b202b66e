//! What is logged, and how: to standard error, as lines of text or of JSON.
//!
//! Deliberately absent: a way to make the libraries talk. At `debug` or `trace`, an HTTP library prints the headers it
//! reads, tokens included, and a database library the values it binds. So the level of the settings is for Regrant's own
//! modules, which log no secret at any level; everything else is held at `warn`, and no variable (`RUST_LOG`) or flag
//! raises it.

use std::io::IsTerminal as _;

use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

use crate::settings::{Log, LogFormat};

/// Regrant's packages begin so, and so do their targets.
const OWN: &str = "regrant";

/// Sets the log up for the process. A second call does nothing.
pub fn start(log: Log) {
    let filter = filter(log.level);
    let layer = fmt::layer().with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry();
    let done = match log.format {
        LogFormat::Human => {
            registry.with(layer.with_ansi(std::io::stderr().is_terminal()).with_filter(filter)).try_init()
        }
        LogFormat::Json => registry.with(layer.json().flatten_event(true).with_filter(filter)).try_init(),
    };
    // The only cause is that the process has a log already.
    drop(done);
    std::panic::set_hook(Box::new(|panic| {
        // Where, and not what: the text of a panic may hold the value that was at hand.
        let place = panic.location().map(|place| format!("{}:{}", place.file(), place.line())).unwrap_or_default();
        tracing::error!(target: "regrant::panic", place, "this is a bug in Regrant; please report it");
    }));
}

/// `level` for Regrant; for everything else the same, but at most `warn`.
fn filter(level: Level) -> Targets {
    Targets::new().with_default(level.min(Level::WARN)).with_target(OWN, level)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_held_at_warn_whatever_the_level() {
        for level in [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE] {
            let filter = filter(level);
            for own in ["regrant", "regrant_adapters::inbound::http", "regrant::events", "regrant_domain"] {
                assert!(filter.would_enable(own, &level), "{own} at {level}");
            }
            for library in ["hyper::proto::h1::io", "sqlx::query", "axum", "h2::codec", "tower_http"] {
                for noisy in [Level::INFO, Level::DEBUG, Level::TRACE] {
                    assert!(!filter.would_enable(library, &noisy), "{library} at {noisy} with level {level}");
                }
            }
        }
        assert!(filter(Level::TRACE).would_enable("sqlx", &Level::WARN));
        assert!(!filter(Level::ERROR).would_enable("sqlx", &Level::WARN));
    }
}
