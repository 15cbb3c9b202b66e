//! Requests: how many, with what answer, how long they took.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::{Metrics, seconds};

/// A refresh takes about a millisecond, a sign-in some tens, a store that is away seconds.
const BOUNDS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answer {
    route: String,
    method: &'static str,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: String,
}

#[derive(Debug)]
pub(super) struct Requests {
    answered: Family<Answer, Counter>,
    took: Family<Route, Histogram, fn() -> Histogram>,
}

impl Requests {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let answered = Family::default();
        registry.register("http_requests", "Requests that were answered", answered.clone());
        let took = Family::new_with_constructor((|| seconds(&BOUNDS)) as fn() -> Histogram);
        registry.register("http_request_duration_seconds", "From the head of a request to its answer", took.clone());
        Self { answered, took }
    }
}

impl Metrics {
    /// A request was answered. `route` is a template of the router's, or one word for all that it has not; `method` is one
    /// of a fixed list.
    pub fn answered(&self, route: &str, method: &'static str, status: u16, took: Duration) {
        let Requests { answered, took: histograms } = &self.requests;
        answered.get_or_create(&Answer { route: route.to_owned(), method, status }).inc();
        histograms.get_or_create(&Route { route: route.to_owned() }).observe(took.as_secs_f64());
    }
}
