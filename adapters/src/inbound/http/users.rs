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

#[utoipa::path(post, path = "/api/users", tag = "account", operation_id = "register", request_body = SignUp,
    responses((status = 201, description = "The account.", body = wire::UserBody<'_>)))]
/// Sign up.
///
/// Unless the operator chose otherwise, an address that has an account already is answered like a new one.
pub(super) async fn register(
    State(app): State<App>,
    From(origin): From,
    Json(body): Json<SignUp>,
) -> Result<impl IntoResponse, Problem> {
    let user = problem::registered(app.use_cases().register.run(body.email, body.password, &origin).await?)?;
    Ok((StatusCode::CREATED, wire::user(&user)))
}

#[utoipa::path(get, path = "/api/me", tag = "account", operation_id = "me", security(("access_token" = [])),
    responses((status = 200, description = "The account.", body = wire::UserBody<'_>)))]
/// Who am I?
pub(super) async fn me(State(app): State<App>, SignedIn(caller): SignedIn) -> Result<impl IntoResponse, Problem> {
    let user = problem::found(app.use_cases().account.read(caller.user).await?)?;
    Ok(wire::user(&user))
}

#[utoipa::path(put, path = "/api/me/password", tag = "account", operation_id = "changePassword",
    security(("access_token" = [])), request_body = NewPassword,
    responses((status = 204, description = "Changed; the other sessions have ended.")))]
/// Change the password.
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

#[utoipa::path(delete, path = "/api/me", tag = "account", operation_id = "deleteAccount",
    security(("access_token" = [])), request_body = PasswordOnly,
    responses((status = 204, description = "The account, its sessions and its tokens are gone.")))]
/// Delete the account.
pub(super) async fn delete(
    State(app): State<App>,
    SignedIn(caller): SignedIn,
    From(origin): From,
    Json(body): Json<PasswordOnly>,
) -> Result<StatusCode, Problem> {
    problem::changed(app.use_cases().account.delete(&caller, body.password, &origin).await?)?;
    Ok(StatusCode::NO_CONTENT)
}
