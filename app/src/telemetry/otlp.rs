//! Traces, sent to a collector by OTLP (protobuf over HTTP), where one is named.
//!
//! Deliberately absent: the lines of the log, which hold addresses and user agents and go elsewhere. What is sent is spans: of
//! requests and of what stores were asked, with names, codes and times, and never a key, a hash or a token. Also absent: any way
//! in which a collector holds a request up. Spans wait in a queue of fixed length for a thread of their own; where the
//! collector is away or slow and the queue is full, they are lost.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tracing::Level;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::{Layer, Registry};

use super::OWN;
use super::collector::Collector;
use crate::compose::{TraceParent, Traces};
use crate::failure::Failure;
use crate::settings::Otlp;

/// At a stop, the last spans have so long to be sent.
const LAST: Duration = Duration::from_secs(2);

/// Spans on their way to a collector.
pub struct Exporting(SdkTracerProvider);

impl Exporting {
    pub(super) fn start(to: &Otlp) -> Result<Self, Failure> {
        let unusable = || Failure::new("traces cannot be sent to telemetry.otlp_endpoint");
        let collector = Collector::new().map_err(|error| unusable().because(&error))?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(collector)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(&to.traces_url)
            .build()
            .map_err(|error| unusable().because(&error))?;
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            // A caller who records a trace wants our part of it; of the others, a share.
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(to.sampling))))
            .with_resource(Resource::builder().with_service_name("regrant").with_attribute(version).build())
            .build();
        Ok(Self(provider))
    }

    /// Takes our own spans, and nothing else.
    pub(super) fn layer(&self) -> Box<dyn Layer<Registry> + Send + Sync> {
        let layer = tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer(OWN))
            // Where a span was made, and on which thread, tells nobody anything.
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_context_activation(false);
        let own = filter_fn(|of| of.is_span() && of.target().starts_with(OWN) && *of.level() <= Level::INFO);
        layer.with_filter(own).boxed()
    }

    /// Makes requests part of traces.
    pub fn traces(&self) -> Traces {
        Arc::new(|span, parent| {
            if let Some(parent) = parent {
                // It fails for a span that nobody records.
                let _ = span.set_parent(Context::new().with_remote_span_context(remote(parent)));
            }
            span.context().span().span_context().trace_id().to_string()
        })
    }

    /// Sends what waits, if that does not take long.
    pub fn finish(self) {
        // Whoever could be told has been told by the collector's side.
        let _ = self.0.shutdown_with_timeout(LAST);
    }
}

fn remote(parent: TraceParent) -> SpanContext {
    let flags = if parent.sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
    SpanContext::new(TraceId::from(parent.trace), SpanId::from(parent.span), flags, true, TraceState::default())
}
