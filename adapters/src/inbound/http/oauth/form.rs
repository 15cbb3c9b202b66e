//! Requests as OAuth sends them: parameters as a form in the body, each at most once, and nothing in the query string
//! (RFC 6749 §2.3.1, §3.2).

use std::collections::HashSet;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::{HeaderMap, Uri, header};
use regrant_domain::refresh_token::RetryKey;
use regrant_domain::secret::TokenText;

use crate::inbound::http::App;
use crate::inbound::http::auth::Retry;
use crate::inbound::http::body;
use crate::inbound::http::problem::{OAuthError, Problem};

/// Parameters that are not taken from the query string, though somebody may try.
const PARAMETERS: [&str; 9] = [
    "grant_type",
    "refresh_token",
    "access_token",
    "scope",
    "token",
    "token_type_hint",
    "client_id",
    "client_secret",
    "client_assertion",
];

/// The parameters and headers of a request.
pub(in crate::inbound::http) struct Form {
    parameters: Vec<(String, TokenText)>,
    headers: HeaderMap,
    retry_key: Option<RetryKey>,
}

impl FromRequest<App> for Form {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let (mut head, body) = request.into_parts();
        if has_parameter(&head.uri) {
            return Err(malformed("Parameters are taken from the body, not from the query string."));
        }
        if !is_form(&head.headers) {
            return Err(malformed("The body must be a form: Content-Type: application/x-www-form-urlencoded."));
        }
        let Retry(key) = Retry::from_request_parts(&mut head, app)
            .await
            .map_err(|problem| problem.in_oauth(OAuthError::InvalidRequest))?;
        let body = body::read(body, app).await?;
        Ok(Self { parameters: parameters(&body.bytes)?, headers: head.headers, retry_key: key })
    }
}

impl Form {
    /// A parameter that may be left out; one without a value is (RFC 6749 §3.2).
    pub(in crate::inbound::http) fn optional(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.expose()).filter(|value| !value.is_empty())
    }

    /// A parameter that must be there.
    pub(in crate::inbound::http) fn required(&self, name: &'static str) -> Result<&str, Problem> {
        self.optional(name)
            .ok_or_else(|| Problem::oauth(OAuthError::InvalidRequest, format!("The parameter {name} is missing.")))
    }

    /// The headers.
    pub(in crate::inbound::http) const fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The `Idempotency-Key`, once.
    pub(in crate::inbound::http) const fn take_retry_key(&mut self) -> Option<RetryKey> {
        self.retry_key.take()
    }
}

/// Pairs of a form. Bytes that are not UTF-8 become a character that no token and no secret has.
fn parameters(body: &[u8]) -> Result<Vec<(String, TokenText)>, Problem> {
    let mut names = HashSet::new();
    let mut pairs = Vec::new();
    for (name, value) in form_urlencoded::parse(body) {
        if !names.insert(name.clone()) {
            return Err(malformed("A parameter is there twice."));
        }
        pairs.push((name.into_owned(), TokenText::new(value.into_owned())));
    }
    Ok(pairs)
}

fn has_parameter(uri: &Uri) -> bool {
    let pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    pairs.into_iter().any(|(name, _)| PARAMETERS.contains(&&*name))
}

/// `application/x-www-form-urlencoded`, with or without parameters, once.
fn is_form(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(only), None) = (types.next().and_then(|only| only.to_str().ok()), types.next()) else { return false };
    let essence = only.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

fn malformed(detail: &'static str) -> Problem {
    Problem::oauth(OAuthError::InvalidRequest, detail)
}
