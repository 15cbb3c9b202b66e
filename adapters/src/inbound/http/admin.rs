//! For those who run the service: on a listener of its own, which is not for the public.
//!
//! Deliberately absent: anything that changes something.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use regrant_domain::usecases::ready::Ready;

use super::health;

/// What is measured, as text, at the moment when it is asked for.
#[derive(Clone)]
pub struct Measured {
    /// The classic text format, for whoever does not ask for another.
    pub classic: Text,
    /// `OpenMetrics`, for whoever asks for it.
    pub open: Text,
}

/// One text format.
#[derive(Clone)]
pub struct Text {
    /// Its content type.
    pub content_type: &'static str,
    /// The text.
    pub text: Arc<dyn Fn() -> String + Send + Sync>,
}

#[derive(Clone)]
struct Admin {
    measured: Measured,
    ready: Ready,
    ready_timeout: Duration,
}

/// The routes of the admin listener. After `ready_timeout`, `/readyz` says that the service cannot serve.
pub fn admin_router(measured: Measured, ready: Ready, ready_timeout: Duration) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(readiness))
        .fallback(async || (StatusCode::NOT_FOUND, "there are only /metrics, /healthz and /readyz here\n"))
        .with_state(Admin { measured, ready, ready_timeout })
}

async fn metrics(State(admin): State<Admin>, headers: HeaderMap) -> impl IntoResponse {
    let Measured { classic, open } = &admin.measured;
    let Text { content_type, text } = if asks_for_open(&headers) { open } else { classic };
    ([(header::CONTENT_TYPE, *content_type), (header::VARY, "Accept")], text())
}

/// Prometheus names what it prefers first, and `OpenMetrics` before all where it is preferred at all.
fn asks_for_open(headers: &HeaderMap) -> bool {
    let mut accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let first = accepted.next().and_then(|value| value.split(',').find(|kind| is_known(kind)));
    first.is_some_and(|kind| kind.trim().starts_with(OPEN))
}

const OPEN: &str = "application/openmetrics-text";

fn is_known(kind: &str) -> bool {
    let kind = kind.trim();
    kind.starts_with(OPEN) || kind.starts_with("text/plain") || kind.starts_with("*/*")
}

async fn readiness(State(admin): State<Admin>) -> (StatusCode, &'static str) {
    match tokio::time::timeout(admin.ready_timeout, admin.ready.run()).await {
        Ok(Ok(())) => (StatusCode::OK, "ok"),
        Ok(Err(_)) | Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "a store does not answer\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_the_one_that_is_named_first() {
        let asks =
            |accept: &str| asks_for_open(&HeaderMap::from_iter([(header::ACCEPT, accept.parse().expect("text"))]));
        assert!(asks("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"));
        assert!(asks("application/vnd.google.protobuf, application/openmetrics-text; version=0.0.1;q=0.8"));
        for classic in ["", "*/*", "text/html", "text/plain;version=0.0.4;q=0.5,application/openmetrics-text;q=0.4"] {
            assert!(!asks(classic), "{classic}");
        }
        assert!(!asks_for_open(&HeaderMap::new()));
    }
}
