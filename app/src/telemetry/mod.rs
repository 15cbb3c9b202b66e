//! What is logged, and how: to standard error, as lines of text or of JSON; and where traces go, if anywhere.
//!
//! Deliberately absent: a way to make the libraries talk. At `debug` or `trace`, an HTTP library prints the headers it
//! reads, tokens included, and a database library the values it binds. So the level of the settings is for Regrant's own
//! modules, which log no secret at any level; everything else is held at `warn`, and no variable (`RUST_LOG`) or flag
//! raises it.

use std::io::IsTerminal as _;

use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, Registry, fmt};

use crate::compose::STORE_SPANS;
use crate::failure::Failure;
use crate::settings::{Log, LogFormat, Otlp};

mod collector;
mod otlp;

pub use otlp::Exporting;

/// Regrant's packages begin so, and so do their targets.
const OWN: &str = "regrant";

/// Sets the log up for the process, and what takes traces to a collector. A second call does nothing.
///
/// # Errors
/// [`Failure`]: the collector's address cannot be used.
pub fn start(log: Log, otlp: Option<&Otlp>) -> Result<Option<Exporting>, Failure> {
    let exporting = otlp.map(Exporting::start).transpose()?;
    let mut layers = vec![written(log)];
    layers.extend(exporting.as_ref().map(Exporting::layer));
    // The only cause is that the process has a log already.
    drop(tracing_subscriber::registry().with(layers).try_init());
    std::panic::set_hook(Box::new(|panic| {
        // Where, and not what: the text of a panic may hold the value that was at hand.
        let place = panic.location().map(|place| format!("{}:{}", place.file(), place.line())).unwrap_or_default();
        tracing::error!(target: "regrant::panic", place, "this is a bug in Regrant; please report it");
    }));
    Ok(exporting)
}

fn written(log: Log) -> Box<dyn Layer<Registry> + Send + Sync> {
    let filter = filter(log.level);
    let layer = fmt::layer().with_writer(std::io::stderr);
    match log.format {
        LogFormat::Human => layer.with_ansi(std::io::stderr().is_terminal()).with_filter(filter).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).with_filter(filter).boxed(),
    }
}

/// `level` for Regrant; for everything else the same, but at most `warn`. Spans of stores are for traces only.
fn filter(level: Level) -> Targets {
    let spans = (STORE_SPANS, LevelFilter::OFF);
    Targets::new().with_default(level.min(Level::WARN)).with_target(OWN, level).with_targets([spans])
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
        assert!(!filter(Level::TRACE).would_enable(STORE_SPANS, &Level::ERROR));
        assert!(filter(Level::TRACE).would_enable("sqlx", &Level::WARN));
        assert!(!filter(Level::ERROR).would_enable("sqlx", &Level::WARN));
    }
}
