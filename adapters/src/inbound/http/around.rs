//! What surrounds every request: its id and span, the headers that all answers share, the time limit, and a task of its
//! own.
//!
//! Deliberately absent from the log: the query, headers, bodies, and paths that no route has. They may hold secrets.

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::Instant;
use tracing::{Instrument, Span};

use super::problem::Problem;
use super::{App, HttpOptions};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Names the request, opens its span, and finishes the answer: the bodies of problems, `X-Request-Id`,
/// and what [`CommonHeaders`] holds.
pub(super) async fn observe(State(app): State<App>, request: Request, next: Next) -> Response {
    let id = request_id(request.headers(), app.options());
    let span = span(&request, &id);
    // Measures; decides nothing. The `Clock` port follows the store's clock and may step.
    let started = Instant::now();
    let response = next.run(request).instrument(span.clone()).await;
    let code = response.extensions().get::<Problem>().map(Problem::code);
    let response = finish(response, &id, &app.0.headers);
    span.in_scope(|| tell(response.status(), code, started));
    response
}

fn span(request: &Request, id: &str) -> Span {
    let path = request.extensions().get::<MatchedPath>().map_or("-", MatchedPath::as_str);
    let method = match *request.method() {
        Method::GET | Method::HEAD | Method::POST | Method::PUT | Method::DELETE | Method::OPTIONS | Method::PATCH => {
            request.method().as_str()
        }
        _ => "-",
    };
    tracing::info_span!("request", request_id = %id, method, path)
}

fn tell(status: StatusCode, code: Option<&str>, started: Instant) {
    let latency_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let status_code = status.as_u16();
    if status.is_server_error() {
        tracing::warn!(status = status_code, latency_ms, code, "answered");
    } else {
        tracing::info!(status = status_code, latency_ms, code, "answered");
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
pub(super) async fn bound(State(app): State<App>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(app.options().request_timeout, next.run(request)).await {
        Ok(response) => response,
        Err(_elapsed) => Problem::timeout().into_response(),
    }
}

/// Runs the rest in a task of its own: the server drops this future when the client hangs up, and what the client has
/// begun, such as a rotation, is completed all the same. A panic becomes an answer without its text.
pub(super) async fn detach(request: Request, next: Next) -> Response {
    let rest = tokio::spawn(next.run(request).instrument(Span::current()));
    rest.await.unwrap_or_else(|_panicked| {
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
