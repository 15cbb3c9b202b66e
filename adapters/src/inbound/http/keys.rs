//! The keys that access tokens can be checked with by anybody.

use aws_lc_rs::digest::{SHA256, digest};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::App;

/// Where they are.
pub(super) const JWKS: &str = "/.well-known/jwks.json";

/// A JWK Set.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "describes what is published")]
struct KeySet {
    /// Each a JWK (RFC 7517 §4).
    #[schema(value_type = Vec<Object>)]
    keys: Vec<serde_json::Value>,
}

/// The media type of a JWK Set (RFC 7517 §8.5.2).
const JWK_SET: &str = "application/jwk-set+json";

#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "service", operation_id = "keys",
    params(("If-None-Match" = Option<String>, Header, description = "The ETag of the keys that are known (RFC 9110 §13.1.2).")),
    responses(
        (status = 200, description = "A JWK Set (RFC 7517 §5); empty where nobody else can check access tokens.",
            body = KeySet, content_type = "application/jwk-set+json",
            headers(("ETag" = String, description = "Of these keys, in every process alike."))),
        (status = 304, description = "The keys are the known ones."),
    ))]
/// The keys that access tokens can be checked with.
pub(super) async fn published(State(app): State<App>, headers: HeaderMap) -> Response {
    let options = app.options();
    let set = json!({ "keys": (options.published_keys)() }).to_string();
    let tag = entity_tag(&set);
    let kept = format!("public, max-age={}", options.published_max_age.as_secs());
    let is_known = headers.get_all(header::IF_NONE_MATCH).iter().any(|known| names(known.as_bytes(), &tag));
    let about = [(header::CACHE_CONTROL, kept), (header::ETAG, tag)];
    if is_known {
        return (StatusCode::NOT_MODIFIED, about).into_response();
    }
    (about, [(header::CONTENT_TYPE, JWK_SET)], set).into_response()
}

/// A strong one (RFC 9110 §8.8.3): the same in every process that publishes the same keys.
fn entity_tag(set: &str) -> String {
    let hash = digest(&SHA256, set.as_bytes());
    format!("\"{}\"", URL_SAFE_NO_PAD.encode(&hash.as_ref()[..16]))
}

/// Whether the field names this tag, in the weak comparison that RFC 9110 §13.1.2 asks for. None of our tags has a comma.
fn names(field: &[u8], tag: &str) -> bool {
    let field = String::from_utf8_lossy(field);
    field.split(',').map(str::trim).any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_names_a_tag_alone_in_a_list_weakly_or_by_a_star() {
        let tag = entity_tag("{}");
        for field in [tag.clone(), format!("W/{tag}"), format!("\"a\", {tag} ,\"b\""), "*".to_owned()] {
            assert!(names(field.as_bytes(), &tag), "{field}");
        }
        for field in ["", "\"\"", "\"a\"", tag.trim_matches('"'), "\"*\"", "W/"] {
            assert!(!names(field.as_bytes(), &tag), "{field}");
        }
        assert_ne!(entity_tag("{}"), entity_tag("{ }"));
    }
}
