//! The keys that access tokens can be checked with by anybody.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, header};
use axum::response::IntoResponse;
use serde_json::json;

use super::App;

/// Where they are.
pub(super) const JWKS: &str = "/.well-known/jwks.json";

/// Verifiers may keep the keys for five minutes: a key is published for longer than that before it signs.
pub(super) const CACHED: (HeaderName, &str) = (header::CACHE_CONTROL, "public, max-age=300");

/// `GET /.well-known/jwks.json`: a JWK Set (RFC 7517 §5).
pub(super) async fn published(State(app): State<App>) -> impl IntoResponse {
    ([CACHED], Json(json!({ "keys": (app.options().published_keys)() })))
}
