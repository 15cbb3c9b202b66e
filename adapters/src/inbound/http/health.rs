//! For whoever watches over the process: is it alive, can it serve?

use axum::extract::State;

use super::App;
use super::problem::Problem;

#[utoipa::path(get, path = "/healthz", tag = "service", operation_id = "alive", responses((status = 200, description = "Alive.", body = String, content_type = "text/plain")))]
/// The process answers.
///
/// Asks nothing of anybody, so that a store which is away does not get the process restarted.
pub(super) async fn alive() -> &'static str {
    "ok"
}

#[utoipa::path(get, path = "/readyz", tag = "service", operation_id = "ready", responses((status = 200, description = "Ready.", body = String, content_type = "text/plain")))]
/// The stores answer, and in time.
pub(super) async fn ready(State(app): State<App>) -> Result<&'static str, Problem> {
    match tokio::time::timeout(app.options().ready_timeout, app.use_cases().ready.run()).await {
        Ok(answered) => answered.map(|()| "ok").map_err(Problem::from),
        Err(_elapsed) => Err(Problem::unavailable()),
    }
}
