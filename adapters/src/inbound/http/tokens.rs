//! Tokens: get the first ones, trade them, give them up.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;

use super::App;
use super::auth::{RefreshBearer, Retry};
use super::body::{Json, NoBody};
use super::device::{From, labelled};
use super::problem::{self, Problem};
use super::wire::{self, SignIn};

#[utoipa::path(post, path = "/api/login", tag = "tokens", operation_id = "login", request_body = SignIn,
    responses((status = 200, description = "The account and the first tokens of a session.", body = wire::SignedInBody<'_>,
        links(
            ("history" = (operation_id = "history", parameters(("id" = "$response.body#/session_id")))),
            ("signOut" = (operation_id = "endSession", parameters(("id" = "$response.body#/session_id")))),
        ))))]
/// Sign in.
pub(super) async fn login(
    State(app): State<App>,
    From(origin): From,
    Json(body): Json<SignIn>,
) -> Result<impl IntoResponse, Problem> {
    let device = labelled(origin, body.label);
    let outcome = app.use_cases().sign_in.run(&body.email, body.password, device, body.lifetime).await?;
    let (user, tokens) = problem::signed_in(outcome)?;
    Ok(wire::signed_in(&user, &tokens))
}

#[utoipa::path(post, path = "/api/refresh", tag = "tokens", operation_id = "refresh", security(("refresh_token" = [])),
    params(("Idempotency-Key" = Option<String>, Header, description = "The retry key: one per refresh token, sent again with every \
        repetition of the request. 16 to 128 characters.")),
    responses((status = 200, description = "The next tokens; where refresh tokens do not change, the access token only.",
        body = wire::RefreshedBody<'_>)))]
/// Trade a refresh token for its successor and a new access token.
pub(super) async fn refresh(
    State(app): State<App>,
    bearer: RefreshBearer,
    Retry(key): Retry,
    From(origin): From,
    _: NoBody,
) -> Result<impl IntoResponse, Problem> {
    let outcome = app.use_cases().refresh.run(bearer.text(), key, &origin).await?;
    Ok(wire::tokens(&problem::refreshed(outcome)?))
}

#[utoipa::path(post, path = "/api/revoke", tag = "tokens", operation_id = "revoke", security(("refresh_token" = [])),
    responses((status = 204, description = "The session is over, now or since earlier.")))]
/// End the session of a refresh token.
pub(super) async fn revoke(
    State(app): State<App>,
    bearer: RefreshBearer,
    From(origin): From,
    _: NoBody,
) -> Result<StatusCode, Problem> {
    problem::signed_out(app.use_cases().sign_out.run(bearer.text(), &origin).await?)?;
    Ok(StatusCode::NO_CONTENT)
}
