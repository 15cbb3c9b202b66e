//! The account: sign up, look, change the password, delete.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;

use super::App;
use super::auth::SignedIn;
use super::body::Json;
use super::device::From;
use super::problem::{self, Problem};
use super::wire::{self, NewPassword, PasswordOnly, SignUp};

/// `POST /api/users`
pub(super) async fn register(
    State(app): State<App>,
    From(origin): From,
    Json(body): Json<SignUp>,
) -> Result<impl IntoResponse, Problem> {
    let user = problem::registered(app.use_cases().register.run(body.email, body.password, &origin).await?)?;
    Ok((StatusCode::CREATED, wire::user(&user)))
}

/// `GET /api/me`
pub(super) async fn me(State(app): State<App>, SignedIn(caller): SignedIn) -> Result<impl IntoResponse, Problem> {
    let user = problem::found(app.use_cases().account.read(caller.user).await?)?;
    Ok(wire::user(&user))
}

/// `PUT /api/me/password`
pub(super) async fn change_password(
    State(app): State<App>,
    SignedIn(caller): SignedIn,
    From(origin): From,
    Json(body): Json<NewPassword>,
) -> Result<StatusCode, Problem> {
    let outcome = app.use_cases().account.change_password(&caller, body.current, body.new, &origin).await?;
    problem::changed(outcome)?;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /api/me`
pub(super) async fn delete(
    State(app): State<App>,
    SignedIn(caller): SignedIn,
    From(origin): From,
    Json(body): Json<PasswordOnly>,
) -> Result<StatusCode, Problem> {
    problem::changed(app.use_cases().account.delete(&caller, body.password, &origin).await?)?;
    Ok(StatusCode::NO_CONTENT)
}
