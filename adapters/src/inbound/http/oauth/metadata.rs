//! `GET /.well-known/oauth-authorization-server`: where everything is (RFC 8414).

use axum::extract::State;
use axum::http::{HeaderName, header};
use axum::response::IntoResponse;

use super::wire::MetadataBody;
use super::{INTROSPECT, REVOKE, TOKEN};
use crate::inbound::http::App;
use crate::inbound::http::keys::JWKS;
use crate::inbound::http::problem::Problem;
use crate::inbound::http::wire::Answer;

/// It changes with the configuration only.
const CACHED: (HeaderName, &str) = (header::CACHE_CONTROL, "public, max-age=300");

/// How a client may authenticate (RFC 7591 §2).
const WITH_SECRET: &[&str] = &["client_secret_basic", "client_secret_post"];
const WITH_SECRET_OR_WITHOUT: &[&str] = &["none", "client_secret_basic", "client_secret_post"];

#[utoipa::path(get, path = "/.well-known/oauth-authorization-server", tag = "oauth", operation_id = "metadata",
    responses((status = 200, description = "RFC 8414 §2.", body = MetadataBody<'_>)))]
/// Where everything is.
pub(in crate::inbound::http) async fn published(State(app): State<App>) -> Result<impl IntoResponse, Problem> {
    let issuer = app.options().oauth.issuer_url.as_deref().ok_or_else(Problem::issuer_not_known)?;
    let at = |path: &str| format!("{issuer}{path}");
    let has_keys = !(app.options().published_keys)().is_empty();
    let body = MetadataBody {
        issuer,
        token_endpoint: at(TOKEN),
        revocation_endpoint: at(REVOKE),
        introspection_endpoint: at(INTROSPECT),
        jwks_uri: has_keys.then(|| at(JWKS)),
        response_types_supported: [],
        grant_types_supported: ["refresh_token"],
        token_endpoint_auth_methods_supported: WITH_SECRET_OR_WITHOUT,
        revocation_endpoint_auth_methods_supported: WITH_SECRET_OR_WITHOUT,
        introspection_endpoint_auth_methods_supported: WITH_SECRET,
    };
    Ok(([CACHED], Answer(body)).into_response())
}
