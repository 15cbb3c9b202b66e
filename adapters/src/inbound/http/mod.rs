//! The HTTP service: requests in, use cases, answers out.
//!
//! Deliberately absent: rules about sessions, stores, sockets, randomness. A handler parses, calls one use case and
//! translates; what a domain answer means in HTTP is written in `problem`, and nowhere else.
//!
//! Around every request, outermost first (see `around`): its id, the span and the headers that all answers share; the
//! time limit; unless it only asks, that it comes to its end, so that a client which hangs up never cancels what it has
//! begun.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{any, delete, get, post, put};
use regrant_domain::limit::Limit;
use regrant_domain::usecases::UseCases;
use serde_json::Value;
use tokio::sync::Semaphore;
use tracing::Span;

mod admin;
mod around;
mod auth;
mod body;
mod cors;
mod device;
mod forwarded;
mod health;
mod keys;
mod limits;
mod oauth;
mod openapi;
mod problem;
mod query;
mod sessions;
mod tokens;
mod trace;
mod users;
mod verify;
mod wire;

pub use admin::{Measured, Text, admin_router};
pub use around::Answered;
pub use cors::{Cors, CorsLists};
pub use forwarded::{Forwarding, Proxies};
pub use oauth::OAuthOptions;
pub use openapi::document;
pub use trace::TraceParent;

/// The address that a request came from. The server loop puts it into the request's extensions; without it, sessions
/// have no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub IpAddr);

/// What the HTTP service depends on beside the use cases.
#[derive(Clone)]
pub struct HttpOptions {
    /// Longest request body in bytes; a longer one is answered 413.
    pub body_limit: usize,
    /// How many bytes of bodies may be on their way at once, by what they are announced to be; a further body is answered
    /// 503.
    pub body_memory: usize,
    /// After this time a request is answered 503, and what it has begun goes on.
    pub request_timeout: Duration,
    /// After this time `/readyz` says that the service cannot serve.
    pub ready_timeout: Duration,
    /// Whose word is taken for where a request comes from.
    pub proxies: Proxies,
    /// Which pages of other origins may call; `None`: none.
    pub cors: Option<Cors>,
    /// For how long browsers are to come by TLS only (RFC 6797); zero: nothing is said.
    pub hsts: Duration,
    /// Makes the id of a request that brought none: 1 to 64 characters of `[A-Za-z0-9._-]`, unique for practical
    /// purposes.
    pub request_ids: Arc<dyn Fn() -> String + Send + Sync>,
    /// Whether there are `/openapi.json` and `/docs`.
    pub docs: bool,
    /// The keys that anybody may check access tokens with, each as a JWK (RFC 7517 §4), as they are now; none where
    /// nobody else can check them.
    pub published_keys: Arc<dyn Fn() -> Vec<Value> + Send + Sync>,
    /// Is told of every answer.
    pub answered: Arc<dyn Fn(&Answered<'_>) + Send + Sync>,
    /// Makes a request's span part of the trace that its caller named, or of a new one, and says which; `None` where
    /// traces go nowhere, and the caller's is named in the log only.
    pub traces: Option<Traces>,
    /// For how long they may be kept without asking again, in whole seconds.
    pub published_max_age: Duration,
    /// For clients that speak OAuth 2.0.
    pub oauth: OAuthOptions,
}

/// See [`HttpOptions::traces`].
pub type Traces = Arc<dyn Fn(&Span, Option<TraceParent>) -> String + Send + Sync>;

impl HttpOptions {
    /// What [`ready_timeout`](Self::ready_timeout) usually is.
    pub const READY_TIMEOUT: Duration = Duration::from_secs(2);

    /// 64 KiB, 64 MiB, 30 s, 2 s, no proxies, no other origins, with documentation, no keys, 5 min, no OAuth clients; nobody
    /// is told, and traces go nowhere.
    pub fn new(request_ids: Arc<dyn Fn() -> String + Send + Sync>) -> Self {
        Self {
            body_limit: 64 * 1024,
            body_memory: 64 * 1024 * 1024,
            request_timeout: Duration::from_secs(30),
            ready_timeout: Self::READY_TIMEOUT,
            proxies: Proxies::default(),
            cors: None,
            hsts: Duration::ZERO,
            request_ids,
            docs: true,
            published_keys: Arc::new(Vec::new),
            answered: Arc::new(|_| {}),
            traces: None,
            published_max_age: Duration::from_mins(5),
            oauth: OAuthOptions::default(),
        }
    }
}

impl fmt::Debug for HttpOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpOptions")
            .field("body_limit", &self.body_limit)
            .field("body_memory", &self.body_memory)
            .field("request_timeout", &self.request_timeout)
            .field("ready_timeout", &self.ready_timeout)
            .field("proxies", &self.proxies)
            .field("cors", &self.cors)
            .field("hsts", &self.hsts)
            .finish_non_exhaustive()
    }
}

/// What every handler can reach.
#[derive(Clone)]
struct App(Arc<Shared>);

struct Shared {
    use_cases: UseCases,
    options: HttpOptions,
    /// `HttpOptions::body_memory`, in KiB.
    bodies: Semaphore,
    /// What every answer carries.
    headers: around::CommonHeaders,
}

impl App {
    fn use_cases(&self) -> &UseCases {
        &self.0.use_cases
    }

    fn options(&self) -> &HttpOptions {
        &self.0.options
    }
}

/// Every route of the service.
pub fn router(use_cases: UseCases, options: HttpOptions) -> Router {
    let bodies = Semaphore::new(options.body_memory.div_ceil(1024).min(Semaphore::MAX_PERMITS));
    let headers = around::CommonHeaders::new(&options);
    let app = App(Arc::new(Shared { use_cases, options, bodies, headers }));
    let docs = if app.options().docs { openapi::routes() } else { Router::new() };
    open_routes(&app)
        .merge(docs)
        .merge(guarded_routes(&app))
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(from_fn_with_state(app.clone(), around::surround))
        .with_state(app)
}

/// Routes for anybody, and those that take a refresh token or a password instead of an access token.
fn open_routes(app: &App) -> Router<App> {
    let limited = |limit| from_fn_with_state((app.clone(), limit), limits::by_address);
    Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route(keys::JWKS, get(keys::published))
        .route("/api/users", post(users::register).route_layer(limited(Limit::SignUpByAddress)))
        .route("/api/login", post(tokens::login).route_layer(limited(Limit::SignInByAddress)))
        .route("/api/refresh", post(tokens::refresh).route_layer(limited(Limit::RefreshByAddress)))
        .route("/api/revoke", post(tokens::revoke))
        .route("/api/verify", any(verify::verify))
        .merge(oauth::routes(app))
}

/// Routes that take an access token. The middleware stands before each of them, so no handler can forget it; another
/// method of the same path is still a 405, not a 401.
fn guarded_routes(app: &App) -> Router<App> {
    let guard = from_fn_with_state(app.clone(), auth::require_access_token);
    [
        ("/api/me", get(users::me).delete(users::delete)),
        ("/api/me/password", put(users::change_password)),
        ("/api/sessions", get(sessions::list).delete(sessions::end_all)),
        ("/api/sessions/{id}", delete(sessions::end_one)),
        ("/api/sessions/{id}/history", get(sessions::history)),
    ]
    .into_iter()
    .fold(Router::new(), |router, (path, methods)| router.route(path, methods.route_layer(guard.clone())))
}
