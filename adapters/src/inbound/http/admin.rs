//! For those who run the service: on a listener of its own, which is not for the public.
//!
//! Deliberately absent: anything that changes something.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;

/// What is measured, as text, at the moment when it is asked for.
#[derive(Clone)]
pub struct Measured {
    /// The content type of the text.
    pub content_type: &'static str,
    /// The text.
    pub text: Arc<dyn Fn() -> String + Send + Sync>,
}

/// The routes of the admin listener.
pub fn admin_router(measured: Measured) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .fallback(async || (StatusCode::NOT_FOUND, "there is only /metrics here\n"))
        .with_state(measured)
}

async fn metrics(State(measured): State<Measured>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, measured.content_type)], (measured.text)())
}
