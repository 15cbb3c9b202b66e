//! What happens, counted and timed, in the text formats of Prometheus.
//!
//! Deliberately absent: labels without a bound. A label is a word of a fixed list, or a route of the router; users, sessions,
//! addresses and paths never are. What the documentation calls a series that is always there is there from the start, at
//! zero, so that a rate over it is right from the first event.

use std::sync::{Arc, PoisonError, RwLock};

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

mod classic;
mod events;
mod process;
mod readings;
mod requests;
mod service;
mod stores;

pub use events::EventCounters;
pub use readings::{Kind, Reading};
pub use service::{Connection, SweepRun};
pub use stores::STORE_SPANS;

use readings::Readings;
use requests::Requests;
use service::Service;
use stores::Timings;

type Label = [(&'static str, &'static str); 1];
type Counters = Family<Label, Counter>;

/// Counts and times what it is told.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    events: EventCounters,
    requests: Requests,
    timings: Timings,
    service: Service,
    readings: Arc<RwLock<Vec<Reading>>>,
}

impl Metrics {
    /// The content type of [`Metrics::open`].
    pub const OPEN_CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    /// The content type of [`Metrics::classic`].
    pub const CLASSIC_CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

    /// All at zero. `version`: of this program.
    pub fn new(version: &'static str) -> Self {
        let mut registry = Registry::default();
        let own = registry.sub_registry_with_prefix("regrant");
        own.register("build", "What is running: always 1", Info::new([("version", version)]));
        let metrics = (EventCounters::new(own), Requests::new(own), Timings::new(own), Service::new(own));
        let readings = Arc::new(RwLock::new(process::readings()));
        registry.register_collector(Box::new(Readings(readings.clone())));
        let (events, requests, timings, service) = metrics;
        Self { registry, events, requests, timings, service, readings }
    }

    /// Adds what is read at the moment when it is asked for.
    pub fn add(&self, readings: impl IntoIterator<Item = Reading>) {
        self.readings.write().unwrap_or_else(PoisonError::into_inner).extend(readings);
    }

    /// What happened, counted.
    pub fn events(&self) -> EventCounters {
        self.events.clone()
    }

    /// Everything, as it is now, as `OpenMetrics` text.
    pub fn open(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    /// The same in the classic text format.
    pub fn classic(&self) -> String {
        classic::from_open(&self.open())
    }
}

/// A histogram of seconds.
fn seconds(bounds: &[f64]) -> Histogram {
    Histogram::new(bounds.iter().copied())
}

#[cfg(test)]
mod tests;
