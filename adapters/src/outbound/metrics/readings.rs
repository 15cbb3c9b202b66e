//! What is not counted but looked at, each time when it is asked for.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

/// A metric whose values are read. Where none can be read, the metric is not there.
pub struct Reading {
    name: &'static str,
    help: &'static str,
    kind: Kind,
    series: Vec<Series>,
}

/// What the values of a [`Reading`] do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// They go up and down.
    Gauge,
    /// They only go up; the name gets its `_total` by itself.
    Counter,
}

struct Series {
    labels: Vec<(&'static str, &'static str)>,
    value: Box<dyn Fn() -> Option<f64> + Send + Sync>,
}

impl Reading {
    /// Without any series yet. `name` is complete, but for the `_total` of a counter.
    pub const fn new(kind: Kind, name: &'static str, help: &'static str) -> Self {
        Self { name, help, kind, series: Vec::new() }
    }

    /// And with this series; its value, in the unit of the name, is `None` while it is not known.
    #[must_use]
    pub fn with(
        mut self,
        labels: &[(&'static str, &'static str)],
        value: impl Fn() -> Option<f64> + Send + Sync + 'static,
    ) -> Self {
        self.series.push(Series { labels: labels.to_vec(), value: Box::new(value) });
        self
    }

    fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let known: Vec<_> =
            self.series.iter().filter_map(|series| Some((series.labels.as_slice(), (series.value)()?))).collect();
        if known.is_empty() {
            return Ok(());
        }
        let kind = match self.kind {
            Kind::Gauge => MetricType::Gauge,
            Kind::Counter => MetricType::Counter,
        };
        // With a full stop, as the library writes those of its own.
        let help = format!("{}.", self.help);
        let mut metric = encoder.encode_descriptor(self.name, &help, None, kind)?;
        for (labels, value) in known {
            if labels.is_empty() {
                self.sample(&mut metric, value)?;
            } else {
                self.sample(&mut metric.encode_family(&labels)?, value)?;
            }
        }
        Ok(())
    }

    fn sample(&self, series: &mut MetricEncoder<'_>, value: f64) -> fmt::Result {
        match self.kind {
            Kind::Gauge => series.encode_gauge(&value),
            Kind::Counter => series.encode_counter::<NoLabelSet, _, f64>(&value, None),
        }
    }
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reading").field("name", &self.name).field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// All of them.
#[derive(Debug)]
pub(super) struct Readings(pub(super) Arc<RwLock<Vec<Reading>>>);

impl Collector for Readings {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let readings = self.0.read().unwrap_or_else(PoisonError::into_inner);
        readings.iter().try_for_each(|reading| reading.encode(&mut encoder))
    }
}
