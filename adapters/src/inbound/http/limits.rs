//! Too many requests from one network: refused before their bodies are read.

use std::sync::Once;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use regrant_domain::limit::Limit;

use super::device::origin;
use super::forwarded::is_forwarded;
use super::problem::Problem;
use super::{App, HttpOptions, Peer};

/// For [`from_fn_with_state`](axum::middleware::from_fn_with_state), as a `route_layer`, so that other methods of the same
/// path do not count.
pub(super) async fn by_address(
    State((app, limit)): State<(App, Limit)>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    tell_of_a_proxy_that_is_not_named(&request, app.options());
    let from = origin(request.headers(), request.extensions(), app.options());
    match app.use_cases().admit.run(limit, &from).await? {
        None => Ok(next.run(request).await),
        Some(limited) => Err(limited.into()),
    }
}

/// Once: a proxy on this machine whose word is not taken makes all of its clients one address, which is exempt by default.
fn tell_of_a_proxy_that_is_not_named(request: &Request, options: &HttpOptions) {
    static TOLD: Once = Once::new();
    let is_local = request.extensions().get::<Peer>().is_some_and(|Peer(ip)| ip.to_canonical().is_loopback());
    if is_local && options.proxies.trusted.is_empty() && is_forwarded(request.headers()) {
        TOLD.call_once(|| {
            tracing::warn!(
                "a proxy on this machine forwards requests, and its clients cannot be told apart: name it in \
                 server.trusted_proxies"
            );
        });
    }
}
