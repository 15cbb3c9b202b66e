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

/// `POST /api/login`
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

/// `POST /api/refresh`: trade a refresh token for its successor and a new access token.
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

/// `POST /api/revoke`: end the session of a refresh token.
pub(super) async fn revoke(
    State(app): State<App>,
    bearer: RefreshBearer,
    From(origin): From,
    _: NoBody,
) -> Result<StatusCode, Problem> {
    problem::signed_out(app.use_cases().sign_out.run(bearer.text(), &origin).await?)?;
    Ok(StatusCode::NO_CONTENT)
}
