//! Which pages of other origins may call the service from a browser (the CORS protocol of the Fetch standard, §3.2).
//!
//! Deliberately absent: patterns. An origin is on the list as it is, or it gets no header of this protocol at all.

use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::App;

/// Who may call what. Each list is written once, as it is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cors {
    origins: Origins,
    methods: HeaderValue,
    headers: HeaderValue,
    exposed: HeaderValue,
    credentials: bool,
    max_age: HeaderValue,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Origins {
    Any,
    These(Vec<HeaderValue>),
}

/// What a [`Cors`] is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorsLists {
    /// Origins as browsers send them, such as `https://app.example.org`; or `*` alone: any.
    pub origins: Vec<String>,
    /// Methods that pages may use.
    pub methods: Vec<String>,
    /// Headers that they may send.
    pub headers: Vec<String>,
    /// Headers of answers that they may read.
    pub exposed: Vec<String>,
    /// Whether browsers send cookies along; not with `*`.
    pub credentials: bool,
    /// For how long browsers remember what is allowed.
    pub max_age: Duration,
}

impl Cors {
    /// `None`: there are no origins, or something cannot be in a header.
    pub fn new(lists: &CorsLists) -> Option<Self> {
        let joined = |list: &[String]| HeaderValue::try_from(list.join(", ")).ok();
        let origins = match lists.origins.as_slice() {
            [] => return None,
            [any] if any == "*" => Origins::Any,
            these => Origins::These(these.iter().map(|one| one.parse().ok()).collect::<Option<_>>()?),
        };
        Some(Self {
            origins,
            methods: joined(&lists.methods)?,
            headers: joined(&lists.headers)?,
            exposed: joined(&lists.exposed)?,
            credentials: lists.credentials,
            max_age: HeaderValue::from(lists.max_age.as_secs()),
        })
    }

    /// What to answer to this origin; `None`: it is not on the list.
    fn allowed(&self, origin: &HeaderValue) -> Option<HeaderValue> {
        match &self.origins {
            Origins::Any => Some(HeaderValue::from_static("*")),
            Origins::These(these) => these.contains(origin).then(|| origin.clone()),
        }
    }

    /// Notes on an answer who may read it.
    fn mark(&self, headers: &mut HeaderMap, allowed: Option<HeaderValue>) {
        if matches!(self.origins, Origins::These(_)) {
            headers.append(header::VARY, HeaderValue::from_static("Origin"));
        }
        let Some(allowed) = allowed else { return };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        if self.credentials {
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }

    fn preflight(&self, allowed: HeaderValue) -> Response {
        let mut response = StatusCode::NO_CONTENT.into_response();
        let headers = response.headers_mut();
        self.mark(headers, Some(allowed));
        let asked = HeaderValue::from_static("Access-Control-Request-Method, Access-Control-Request-Headers");
        headers.append(header::VARY, asked);
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone());
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, self.headers.clone());
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
        response
    }
}

/// Answers preflights, which carry no credential, before anything else is looked at; and marks all other answers.
pub(super) async fn share(app: &App, request: Request, next: Next) -> Response {
    let Some(cors) = &app.options().cors else { return next.run(request).await };
    let allowed = request.headers().get(header::ORIGIN).and_then(|origin| cors.allowed(origin));
    let is_preflight =
        request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    if let (true, Some(allowed)) = (is_preflight, &allowed) {
        return cors.preflight(allowed.clone());
    }
    let mut response = next.run(request).await;
    if allowed.is_some() && !cors.exposed.is_empty() {
        response.headers_mut().insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, cors.exposed.clone());
    }
    cors.mark(response.headers_mut(), allowed);
    response
}
