//! What runs beside the requests: connections, sweeps, the store's clock.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use regrant_domain::time::Timestamp;

use super::{Label, Metrics};

type Connections = Family<Label, Gauge>;
type Seconds = Gauge<f64, AtomicU64>;

#[derive(Debug)]
pub(super) struct Service {
    connections: Connections,
    sweep_at: Seconds,
    sweep_took: Seconds,
    sweeps_failed: Counter,
    forgotten: Counter,
    clock_failed: Counter,
}

/// A connection that is open; when this is dropped, it is not.
#[derive(Debug)]
pub struct Connection(Gauge);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// What one sweep came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SweepRun {
    /// Sessions that were forgotten.
    pub removed: u64,
    /// How long it took.
    pub took: Duration,
    /// Whether it could not go on to its end.
    pub failed: bool,
}

impl Service {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let connections = Connections::default();
        for listener in ["public", "admin"] {
            drop(connections.get_or_create(&[("listener", listener)]));
        }
        registry.register("open_connections", "Connections that are open", connections.clone());
        let mut seconds = |name, help: &str| {
            let gauge = Seconds::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        let sweep_at = seconds(
            "sweep_last_success_timestamp_seconds",
            "When a sweep last came to its end, since 1970; 0: never since the start",
        );
        let sweep_took = seconds("sweep_last_duration_seconds", "How long the last sweep took, failed or not");
        let mut counter = |name, help: &str| {
            let counter = Counter::default();
            registry.register(name, help, counter.clone());
            counter
        };
        Self {
            connections,
            sweep_at,
            sweep_took,
            sweeps_failed: counter("sweep_failures", "Sweeps that a store's fault cut short"),
            forgotten: counter(
                "sweep_sessions_forgotten",
                "Sessions that were over for long enough and were forgotten",
            ),
            clock_failed: counter("clock_check_failures", "Looks at the store's clock that it did not answer"),
        }
    }
}

impl Metrics {
    /// A connection was opened, at this listener (`public` or `admin`).
    pub fn connection(&self, listener: &'static str) -> Connection {
        let gauge = self.service.connections.get_or_create(&[("listener", listener)]).clone();
        gauge.inc();
        Connection(gauge)
    }

    /// A sweep came to its end, or was cut short.
    pub fn swept(&self, run: SweepRun, now: Timestamp) {
        self.service.forgotten.inc_by(run.removed);
        self.service.sweep_took.set(run.took.as_secs_f64());
        if run.failed {
            self.service.sweeps_failed.inc();
        } else {
            self.service.sweep_at.set(unix_seconds(now));
        }
    }

    /// The store's clock could not be read.
    pub fn clock_check_failed(&self) {
        self.service.clock_failed.inc();
    }
}

/// To the second: a gauge has no more digits to give.
#[expect(clippy::cast_precision_loss, reason = "seconds since 1970 have few digits")]
fn unix_seconds(at: Timestamp) -> f64 {
    at.seconds() as f64
}
