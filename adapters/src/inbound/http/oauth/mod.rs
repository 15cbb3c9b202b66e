//! OAuth 2.0, for clients that speak it already: refresh (RFC 6749 §6), revoke (RFC 7009), introspect (RFC 7662), and the
//! document that says where (RFC 8414).
//!
//! Thin on purpose: the same use cases as below `/api`, with the names and errors of the standards. Deliberately absent:
//! every grant but `refresh_token` (RFC 9700 §2.4 forbids the one with a password), scopes, and refresh tokens that are
//! bound to a client: whoever holds one may use it, as below `/api`.

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use regrant_domain::client::Clients;
use regrant_domain::limit::Limit;

use super::{App, limits};

mod caller;
mod form;
pub(super) mod metadata;
pub(super) mod tokens;
mod wire;

/// What OAuth depends on beside the use cases.
#[derive(Debug, Clone)]
pub struct OAuthOptions {
    /// Where clients reach the service, without a slash at the end: the issuer of RFC 8414 §2. `None`: not known, and no
    /// metadata.
    pub issuer_url: Option<String>,
    /// `iss` of access tokens.
    pub token_issuer: String,
    /// `aud` of access tokens.
    pub audience: String,
    /// Who may introspect.
    pub clients: Clients,
}

impl Default for OAuthOptions {
    /// No issuer, no client, tokens of and for "regrant".
    fn default() -> Self {
        let named = "regrant".to_owned();
        Self { issuer_url: None, token_issuer: named.clone(), audience: named, clients: Clients::default() }
    }
}

const TOKEN: &str = "/oauth/token";
const REVOKE: &str = "/oauth/revoke";
const INTROSPECT: &str = "/oauth/introspect";

pub(super) fn routes(app: &App) -> Router<App> {
    let limited = from_fn_with_state((app.clone(), Limit::RefreshByAddress), limits::by_address);
    Router::new()
        .route("/.well-known/oauth-authorization-server", get(metadata::published))
        .route(TOKEN, post(tokens::token).route_layer(limited))
        .route(REVOKE, post(tokens::revoke))
        .route(INTROSPECT, post(tokens::introspect))
}
