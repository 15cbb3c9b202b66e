//! Refusals as clients expect them that speak OAuth: JSON with `error` (RFC 6749 §5.2). What the standard has no error for,
//! such as an outage, stays a problem.

use std::borrow::Cow;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use regrant_domain::usecases::refresh::{Granted, Refreshed};
use serde_json::json;

use super::{Challenge, Problem, plain};

/// The errors of RFC 6749 §5.2 that can happen here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::inbound::http) enum OAuthError {
    /// Malformed.
    InvalidRequest,
    /// The client did not prove itself.
    InvalidClient,
    /// The refresh token is refused.
    InvalidGrant,
    /// Another grant than `refresh_token`.
    UnsupportedGrantType,
    /// There are no scopes here.
    InvalidScope,
}

impl OAuthError {
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::InvalidScope => "invalid_scope",
        }
    }
}

/// Answer of a refresh, to a client that speaks OAuth.
pub(in crate::inbound::http) fn granted(outcome: Refreshed) -> Result<Granted, Problem> {
    match outcome {
        Refreshed::Granted(granted) => Ok(granted),
        Refreshed::Refused(why) => {
            let problem = Problem::oauth(OAuthError::InvalidGrant, why.sentence());
            Err(Problem { code: why.code(), ..problem })
        }
        Refreshed::NotAuthentic => {
            Err(Problem::oauth(OAuthError::InvalidGrant, "The token is not a refresh token of this service."))
        }
        // No error of the standard, which knows no limits.
        Refreshed::Limited(limited) => Err(limited.into()),
    }
}

impl Problem {
    /// As OAuth says it.
    pub(in crate::inbound::http) fn oauth(error: OAuthError, detail: impl Into<Cow<'static, str>>) -> Self {
        let problem = Self::new(StatusCode::BAD_REQUEST, error.code(), "OAuth error", detail).in_oauth(error);
        match error {
            OAuthError::InvalidClient => {
                Self { status: StatusCode::UNAUTHORIZED, ..problem }.challenging(Challenge::Client)
            }
            OAuthError::InvalidRequest
            | OAuthError::InvalidGrant
            | OAuthError::UnsupportedGrantType
            | OAuthError::InvalidScope => problem,
        }
    }

    /// The same, told as OAuth does.
    pub(in crate::inbound::http) fn in_oauth(self, error: OAuthError) -> Self {
        Self { oauth: Some(error), ..self }
    }

    /// Nobody has said where clients reach the service.
    pub(in crate::inbound::http) fn issuer_not_known() -> Self {
        let detail = "The operator has not set oauth.issuer_url, so this service does not know its own address.";
        Self::new(StatusCode::NOT_FOUND, "issuer_not_known", "Issuer not known", detail)
    }

    /// RFC 6749 §5.2. The reason, where there is one beside the error, has the name that it has everywhere: `code`.
    pub(super) fn write_as_oauth(self, error: OAuthError, response: &mut Response, request_id: &str) {
        let error = error.code();
        let mut body = json!({ "error": error, "error_description": plain(&self.detail), "request_id": request_id });
        if self.code != error {
            body["code"] = self.code.into();
        }
        *response.body_mut() = Body::from(body.to_string());
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
        self.write_headers(response);
    }
}
