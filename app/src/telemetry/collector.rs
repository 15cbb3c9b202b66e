//! How spans reach the collector: plain HTTP/1.1, on the exporter's own thread.
//!
//! Deliberately absent: TLS. A collector stands beside the service, or its agent does, and that one speaks TLS to the rest.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use tokio::runtime::Runtime;

/// For one export.
const LIMIT: Duration = Duration::from_secs(5);
/// Longest answer in bytes; a collector has nothing much to say.
const MAX_ANSWER: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct Collector {
    client: Client<HttpConnector, Full<Bytes>>,
    /// Of the exporter's thread: it disturbs no request, and no request disturbs it.
    runtime: Runtime,
    away: AtomicBool,
}

impl Collector {
    pub(super) fn new() -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        // A connection is used every few seconds: it costs less to make one than to find that one has gone.
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http();
        Ok(Self { client, runtime, away: AtomicBool::new(false) })
    }

    async fn ask(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (head, body) = self.client.request(request.map(Full::new)).await?.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await?.to_bytes();
        Ok(Response::from_parts(head, body))
    }

    /// Logs when it goes away and when it comes back, and not each time.
    fn told(&self, outcome: &Result<Response<Bytes>, HttpError>) {
        let why = match outcome {
            Ok(response) if response.status().is_success() => None,
            Ok(response) => Some(format!("it answered {}", response.status())),
            Err(error) => Some(error.to_string()),
        };
        match (&why, self.away.swap(why.is_some(), Ordering::Relaxed)) {
            (Some(why), false) => {
                tracing::warn!(why, "the collector of telemetry.otlp_endpoint takes no spans; they are lost");
            }
            (None, true) => tracing::info!("the collector of telemetry.otlp_endpoint takes spans again"),
            (Some(_), true) | (None, false) => {}
        }
    }
}

#[async_trait]
impl HttpClient for Collector {
    /// Blocks, as the exporter's thread has nothing else to do.
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let asked = async { tokio::time::timeout(LIMIT, self.ask(request)).await };
        let outcome = self.runtime.block_on(asked).unwrap_or_else(|_| Err("it does not answer".into()));
        self.told(&outcome);
        outcome
    }
}
