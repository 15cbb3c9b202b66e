//! The user's own sessions: list them, end one, end all, and what happened to one.

use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, Uri};
use axum::response::IntoResponse;
use regrant_domain::ids::SessionId;

use super::App;
use super::auth::SignedIn;
use super::device::From;
use super::problem::{self, Problem};
use super::{query, wire};

#[utoipa::path(get, path = "/api/sessions", tag = "sessions", operation_id = "sessions", security(("access_token" = [])),
    params(("live" = Option<bool>, Query, description = "Only those that can be used.")),
    responses((status = 200, description = "All sessions that are still kept.", body = Vec<wire::SessionBody<'_>>)))]
/// List the user's sessions.
pub(super) async fn list(
    State(app): State<App>,
    SignedIn(caller): SignedIn,
    uri: Uri,
) -> Result<impl IntoResponse, Problem> {
    let only_live = query::flag(&uri, "live")?;
    let listed = app.use_cases().sessions.list(caller.user).await?;
    Ok(wire::sessions(&listed, &caller, only_live))
}

#[utoipa::path(get, path = "/api/sessions/{id}/history", tag = "sessions", operation_id = "history",
    security(("access_token" = [])), params(("id" = String, Path, description = "Of the session.")),
    responses((status = 200, description = "What happened, the latest last.", body = Vec<wire::EntryBody<'_>>)))]
/// What happened to a session.
pub(super) async fn history(
    State(app): State<App>,
    SignedIn(caller): SignedIn,
    SessionInPath(session): SessionInPath,
) -> Result<impl IntoResponse, Problem> {
    let entries = app.use_cases().history.run(&caller, session).await?;
    Ok(wire::history(&entries.ok_or_else(Problem::session_not_found)?))
}

#[utoipa::path(delete, path = "/api/sessions/{id}", tag = "sessions", operation_id = "endSession",
    security(("access_token" = [])), params(("id" = String, Path, description = "Of the session.")),
    responses((status = 204, description = "It is over, now or since earlier.")))]
/// End one session.
pub(super) async fn end_one(
    State(app): State<App>,
    SignedIn(caller): SignedIn,
    SessionInPath(session): SessionInPath,
    From(origin): From,
) -> Result<StatusCode, Problem> {
    problem::ended_one(app.use_cases().sessions.end_one(&caller, session, &origin).await?)?;
    Ok(StatusCode::NO_CONTENT)
}

#[utoipa::path(delete, path = "/api/sessions", tag = "sessions", operation_id = "endSessions", security(("access_token" = [])),
    params(("include_current" = Option<bool>, Query, description = "The caller's own too.")),
    responses((status = 204, description = "They are over.")))]
/// End all sessions but this one.
pub(super) async fn end_all(
    State(app): State<App>,
    SignedIn(caller): SignedIn,
    From(origin): From,
    uri: Uri,
) -> Result<StatusCode, Problem> {
    let include_current = query::flag(&uri, "include_current")?;
    app.use_cases().sessions.end_all(&caller, include_current, &origin).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The session that the path names. What is no id names no session.
pub(super) struct SessionInPath(SessionId);

impl FromRequestParts<App> for SessionInPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let id = Path::<String>::from_request_parts(parts, app).await.ok().and_then(|Path(id)| id.parse().ok());
        id.map(Self).ok_or_else(Problem::session_not_found)
    }
}
