//! What surrounds every request: its id and span, the headers that all answers share, the time limit, and that what it has
//! begun comes to its end.
//!
//! Deliberately absent from the log: the query, headers, bodies, and paths that no route has. They may hold secrets.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt as _;
use tokio::time::Instant;
use tracing::field::Empty;
use tracing::{Instrument, Span};

use super::problem::Problem;
use super::trace::TraceParent;
use super::{App, HttpOptions, Peer, cors, keys};
use crate::completed::{Panicked, completed};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// An answer, for those who measure.
#[derive(Debug, Clone, Copy)]
pub struct Answered<'a> {
    /// The template of the route, or `unmatched`.
    pub route: &'a str,
    /// One of a few, or `other`.
    pub method: &'static str,
    /// Its status.
    pub status: u16,
    /// From the head of the request to the answer.
    pub took: Duration,
    /// Whether its route is asked all the time, like that of refreshes, and hashes no password.
    pub is_usual: bool,
}

/// All of it, in one layer: each layer of a router is cloned, and boxed, for each request.
///
/// Names the request, opens its span, and finishes the answer: the bodies of problems, `X-Request-Id`, and what
/// [`CommonHeaders`] holds.
pub(super) async fn surround(State(app): State<App>, request: Request, next: Next) -> Response {
    let options = app.options();
    let id = request_id(request.headers(), options);
    let asked = Asked::of(&request);
    let span = span(&asked, &id, options);
    // Measures; decides nothing. The `Clock` port follows the store's clock and may step.
    let started = Instant::now();
    let response = bound(&app, request, next).instrument(span.clone()).await;
    let code = response.extensions().get::<Problem>().map(Problem::code);
    let response = finish(response, &id, &app.0.headers);
    let (status, took) = (response.status(), started.elapsed());
    span.in_scope(|| tell(&asked, status, code, took));
    if options.traces.is_some() {
        span.record("http.response.status_code", i64::from(status.as_u16()));
        if status.is_server_error() {
            span.record("otel.status_code", "ERROR");
        }
    }
    let Asked { method, route, .. } = &asked;
    let (route, is_usual) = (route.as_ref().map_or("unmatched", MatchedPath::as_str), asked.is_usual());
    (options.answered)(&Answered { route, method, status: status.as_u16(), took, is_usual });
    response
}

/// What is known of a request before anything is done.
struct Asked {
    method: &'static str,
    route: Option<MatchedPath>,
    client: Option<IpAddr>,
    parent: Option<TraceParent>,
}

impl Asked {
    fn of(request: &Request) -> Self {
        Self {
            method: known_method(request.method()),
            route: request.extensions().get::<MatchedPath>().cloned(),
            client: request.extensions().get::<Peer>().map(|Peer(ip)| ip.to_canonical()),
            parent: TraceParent::of(request.headers()),
        }
    }

    fn is_usual(&self) -> bool {
        self.route.as_ref().is_some_and(|route| BUSY.contains(&route.as_str()))
    }
}

/// A client may call its method anything.
fn known_method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        _ => "other",
    }
}

fn span(asked: &Asked, id: &str, options: &HttpOptions) -> Span {
    let Asked { method, route, parent, .. } = asked;
    let path = route.as_ref().map_or("-", MatchedPath::as_str);
    let span = tracing::info_span!(
        "request", request_id = %id, method, path, trace_id = Empty, otel.kind = Empty,
        otel.name = Empty, http.response.status_code = Empty, otel.status_code = Empty
    );
    match &options.traces {
        Some(traces) => {
            // Before it is part of a trace: then it has its kind.
            span.record("otel.kind", "server");
            span.record("otel.name", format!("{method} {path}"));
            span.record("trace_id", traces(&span, *parent));
        }
        None => {
            if let Some(parent) = parent {
                span.record("trace_id", parent.trace_id());
            }
        }
    }
    span
}

/// Routes that are asked all the time, and hash no password: a line of the log for each would cost more than much of what
/// they do.
const BUSY: [&str; 7] =
    ["/api/refresh", "/api/verify", "/healthz", "/oauth/introspect", "/oauth/token", "/readyz", keys::JWKS];

/// One line for each request. What is asked all the time, and goes well, is for debugging.
fn tell(asked: &Asked, status: StatusCode, code: Option<&str>, took: Duration) {
    let latency_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let (status_code, client) = (status.as_u16(), asked.client.map(tracing::field::display));
    let goes_well = status.is_success() || status.is_redirection();
    if status.is_server_error() {
        tracing::warn!(status = status_code, latency_ms, code, client, "answered");
    } else if goes_well && asked.is_usual() {
        tracing::debug!(status = status_code, latency_ms, code, client, "answered");
    } else {
        tracing::info!(status = status_code, latency_ms, code, client, "answered");
    }
}

/// The client's own id, if it is one; otherwise a new one.
fn request_id(headers: &HeaderMap, options: &HttpOptions) -> String {
    let mut given = headers.get_all(REQUEST_ID).iter();
    match (given.next().and_then(|id| id.to_str().ok()), given.next()) {
        (Some(id), None) if is_request_id(id) => id.to_owned(),
        _ => (options.request_ids)(),
    }
}

fn is_request_id(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

/// Headers of every answer, unless its route has its own.
pub(super) struct CommonHeaders(Vec<(HeaderName, HeaderValue)>);

impl CommonHeaders {
    /// What an answer is not to be used for in a browser: it is data for programs, never a page.
    const HARDENING: [(HeaderName, HeaderValue); 5] = [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
        (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
    ];

    pub(super) fn new(options: &HttpOptions) -> Self {
        let mut headers = Self::HARDENING.to_vec();
        let hsts = HeaderValue::try_from(format!("max-age={}", options.hsts.as_secs()));
        if let (false, Ok(hsts)) = (options.hsts.is_zero(), hsts) {
            headers.push((header::STRICT_TRANSPORT_SECURITY, hsts));
        }
        Self(headers)
    }
}

fn finish(mut response: Response, id: &str, common: &CommonHeaders) -> Response {
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        problem.write(&mut response, id);
    }
    let headers = response.headers_mut();
    for (name, value) in &common.0 {
        headers.entry(name).or_insert_with(|| value.clone());
    }
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, id);
    }
    response
}

/// Answers for a request that takes too long. What it has begun goes on.
async fn bound(app: &App, request: Request, next: Next) -> Response {
    let limit = app.options().request_timeout;
    match tokio::time::timeout(limit, detach(app.clone(), request, next)).await {
        Ok(response) => response,
        Err(_elapsed) => Problem::timeout().into_response(),
    }
}

/// Runs the rest to its end: the server drops this future when the client hangs up, and what the client has begun, such as
/// a rotation, is completed all the same. A panic becomes an answer without its text.
///
/// A request that only asks (RFC 9110 §9.2.1) begins nothing, and ends with its client.
async fn detach(app: App, request: Request, next: Next) -> Response {
    let only_asks = request.method().is_safe();
    let rest = async move { cors::share(&app, request, next).await };
    let outcome = if only_asks {
        AssertUnwindSafe(rest).catch_unwind().await.map_err(|_text| Panicked)
    } else {
        completed(rest).await
    };
    outcome.unwrap_or_else(|Panicked| {
        tracing::error!("a request panicked");
        Problem::internal().into_response()
    })
}

#[cfg(test)]
mod tests {
    use super::is_request_id;

    #[test]
    fn a_request_id_is_1_to_64_characters_of_a_small_alphabet() {
        assert!(is_request_id("a") && is_request_id("Az09._-") && is_request_id(&"x".repeat(64)));
        for bad in ["", "a b", "ä", "a\"b", "a\nb", &"x".repeat(65)] {
            assert!(!is_request_id(bad), "{bad:?}");
        }
    }
}
