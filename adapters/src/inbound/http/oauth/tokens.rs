//! The three endpoints: trade a refresh token, give a token up, ask what one is worth.

use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::IntoResponse;

use super::form::Form;
use super::{caller, wire};
use crate::inbound::http::App;
use crate::inbound::http::device::From;
use crate::inbound::http::problem::{self, OAuthError, Problem};

/// For caches of HTTP/1.0, which do not know `Cache-Control` (RFC 6749 §5.1).
const NOT_KEPT: [(HeaderName, &str); 1] = [(header::PRAGMA, "no-cache")];

#[utoipa::path(post, path = "/oauth/token", tag = "oauth", operation_id = "oauthToken", security((), ("client" = [])),
    params(("Idempotency-Key" = Option<String>, Header, description = "The retry key, as in `POST /api/refresh`.")),
    request_body(content = wire::TokenForm<'_>, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "The next tokens (RFC 6749 §5.1).", body = wire::TokensBody<'_>)))]
/// Refresh, for clients that speak OAuth 2.0 (RFC 6749 §6).
///
/// By the rules of `POST /api/refresh`.
pub(in crate::inbound::http) async fn token(
    State(app): State<App>,
    From(origin): From,
    mut form: Form,
) -> Result<impl IntoResponse, Problem> {
    let key = form.take_retry_key();
    caller::of(&form, &app.options().oauth.clients)?;
    if form.required("grant_type")? != "refresh_token" {
        let detail = "The only grant here is refresh_token; people sign in at /api/login.";
        return Err(Problem::oauth(OAuthError::UnsupportedGrantType, detail));
    }
    if form.optional("scope").is_some() {
        return Err(Problem::oauth(OAuthError::InvalidScope, "Tokens here have no scope; leave the parameter out."));
    }
    let outcome = app.use_cases().refresh.run(form.required("refresh_token")?, key, &origin).await?;
    Ok((NOT_KEPT, wire::tokens(&problem::granted(outcome)?)))
}

#[utoipa::path(post, path = "/oauth/revoke", tag = "oauth", operation_id = "oauthRevoke", security((), ("client" = [])),
    request_body(content = wire::AboutForm<'_>, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "The session of the token is over.")))]
/// End the session of a token (RFC 7009 §2).
///
/// What is not a token, or no longer one, is revoked already: 200.
pub(in crate::inbound::http) async fn revoke(
    State(app): State<App>,
    From(origin): From,
    form: Form,
) -> Result<StatusCode, Problem> {
    caller::of(&form, &app.options().oauth.clients)?;
    app.use_cases().revoke.run(form.required("token")?, &origin).await?;
    Ok(StatusCode::OK)
}

#[utoipa::path(post, path = "/oauth/introspect", tag = "oauth", operation_id = "introspect", security(("client" = [])),
    request_body(content = wire::AboutForm<'_>, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "RFC 7662 §2.2; of a token that is good for nothing: that only.",
        body = wire::IntrospectionBody<'_>)))]
/// What is a token worth (RFC 7662 §2)? For known clients only.
pub(in crate::inbound::http) async fn introspect(
    State(app): State<App>,
    form: Form,
) -> Result<impl IntoResponse, Problem> {
    let options = &app.options().oauth;
    caller::of(&form, &options.clients)?.is_known()?;
    let told = app.use_cases().introspect.run(form.required("token")?).await?;
    Ok((NOT_KEPT, wire::introspected(&told, options)))
}
