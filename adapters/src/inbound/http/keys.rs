//! The keys that access tokens can be checked with by anybody.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, header};
use axum::response::IntoResponse;
use serde_json::json;

use super::App;

/// A JWK Set.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "describes what is published")]
struct KeySet {
    /// Each a JWK (RFC 7517 §4).
    #[schema(value_type = Vec<Object>)]
    keys: Vec<serde_json::Value>,
}

/// Verifiers may keep the keys for five minutes: a key is published for longer than that before it signs.
const CACHED: (HeaderName, &str) = (header::CACHE_CONTROL, "public, max-age=300");

#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "service", operation_id = "keys",
    responses((status = 200, description = "A JWK Set (RFC 7517 §5); empty where nobody else can check access tokens.", body = KeySet)))]
/// The keys that access tokens can be checked with.
pub(super) async fn published(State(app): State<App>) -> impl IntoResponse {
    ([CACHED], Json(json!({ "keys": (app.options().published_keys)() })))
}
