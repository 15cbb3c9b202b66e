//! The one place where answers of the domain become refusals in HTTP: `application/problem+json` (RFC 9457).
//!
//! Deliberately absent: causes, values that were sent, and `_` arms. A new answer of the domain does not compile until
//! it has a meaning here. A refusal is never made of a [`PortError`]: that is 503 on every route.

use std::borrow::Cow;
use std::error::Error;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use regrant_domain::limit::Limited;
use regrant_domain::ports::PortError;
use regrant_domain::reason::{EndReason, Refusal};
use regrant_domain::refresh_token::InvalidRetryKey;
use regrant_domain::usecases::account::Changed;
use regrant_domain::usecases::authenticate::Authenticated;
use regrant_domain::usecases::refresh::{Granted, Refreshed};
use regrant_domain::usecases::register::Registered;
use regrant_domain::usecases::sessions::EndedOne;
use regrant_domain::usecases::sign_in::SignedIn;
use regrant_domain::usecases::sign_out::SignedOut;
use regrant_domain::user::{InvalidEmail, InvalidPassword, User};
use serde_json::json;

use super::wire::NEW_PASSWORD;

mod oauth;

pub(super) use oauth::{OAuthError, granted};

/// A request that is not done, and what to tell of it.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    status: StatusCode,
    /// Stable; the last part of `type`.
    code: &'static str,
    /// The same at every occurrence.
    title: &'static str,
    detail: Cow<'static, str>,
    /// The field of the request body that is at fault.
    field: Option<&'static str>,
    challenge: Option<Challenge>,
    /// Ask again, after so many seconds.
    retry_after: Option<u64>,
    /// Told in the form of RFC 6749 §5.2, with this error, instead of that of RFC 9457.
    oauth: Option<OAuthError>,
}

/// `WWW-Authenticate` (RFC 6750 §3).
#[derive(Debug, Clone, Copy)]
enum Challenge {
    /// No credential was sent: no error code.
    Ask,
    /// Malformed.
    InvalidRequest,
    /// Refused.
    InvalidToken,
    /// A client is to prove itself, by HTTP Basic (RFC 6749 §5.2).
    Client,
}

// What the answers of the domain mean.

/// Answer of a sign-up.
pub(super) fn registered(outcome: Registered) -> Result<User, Problem> {
    match outcome {
        Registered::Account(user) => Ok(user),
        Registered::EmailTaken => {
            let title = "E-mail address taken";
            Err(Problem::new(StatusCode::CONFLICT, "email_taken", title, "Another account has this e-mail address."))
        }
        Registered::PasswordRefused(why) => Err(Problem::invalid_password("password", why)),
        Registered::Limited(limited) => Err(limited.into()),
    }
}

/// Answer of a sign-in.
pub(super) fn signed_in(outcome: SignedIn) -> Result<(User, Granted), Problem> {
    match outcome {
        SignedIn::Granted { user, tokens } => Ok((user, tokens)),
        SignedIn::Refused => {
            let detail = "The e-mail address or the password is wrong.";
            let problem = Problem::new(StatusCode::UNAUTHORIZED, "invalid_credentials", "Sign-in refused", detail);
            Err(problem.challenging(Challenge::Ask))
        }
        SignedIn::TooManySessions => {
            let detail = "The account has as many sessions as it may have; end one of them first.";
            Err(Problem::new(StatusCode::FORBIDDEN, "session_limit", "Too many sessions", detail))
        }
        SignedIn::Limited(limited) => Err(limited.into()),
        SignedIn::Overtaken => Err(Problem::try_again()),
    }
}

/// Answer of a refresh.
pub(super) fn refreshed(outcome: Refreshed) -> Result<Granted, Problem> {
    match outcome {
        Refreshed::Granted(granted) => Ok(granted),
        Refreshed::Refused(why) => Err(why.into()),
        Refreshed::NotAuthentic => Err(Problem::not_authentic()),
        Refreshed::Limited(limited) => Err(limited.into()),
    }
}

/// Answer of a revoke.
pub(super) fn signed_out(outcome: SignedOut) -> Result<(), Problem> {
    match outcome {
        SignedOut::Over => Ok(()),
        SignedOut::NotAuthentic => Err(Problem::not_authentic()),
    }
}

/// Answer to "who is calling?".
pub(super) fn authenticated<C>(outcome: Authenticated<C>) -> Result<C, Problem> {
    match outcome {
        Authenticated::Caller(caller) => Ok(caller),
        Authenticated::NotAuthentic => Err(Problem::not_authentic()),
        Authenticated::Expired => {
            Err(Problem::refused("access_token_expired", "The access token has expired; refresh it."))
        }
        Authenticated::Refused(why) => Err(why.into()),
    }
}

/// The user of a session that was live a moment ago.
pub(super) fn found(user: Option<User>) -> Result<User, Problem> {
    user.ok_or_else(|| Refusal::Ended(EndReason::UserDeleted).into())
}

/// Answer of a change of the account.
pub(super) fn changed(outcome: Changed) -> Result<(), Problem> {
    match outcome {
        Changed::Done => Ok(()),
        Changed::WrongPassword => {
            let detail = "The current password is another one.";
            Err(Problem::new(StatusCode::FORBIDDEN, "wrong_password", "Wrong password", detail))
        }
        Changed::PasswordRefused(why) => Err(Problem::invalid_password(NEW_PASSWORD, why)),
        Changed::Gone => Err(Refusal::Ended(EndReason::UserDeleted).into()),
        Changed::Overtaken => Err(Problem::try_again()),
    }
}

/// Answer of an end of one session.
pub(super) fn ended_one(outcome: EndedOne) -> Result<(), Problem> {
    match outcome {
        EndedOne::Over => Ok(()),
        EndedOne::NotFound => Err(Problem::session_not_found()),
    }
}

/// An authentic token was refused: whoever holds it is told why.
impl From<Refusal> for Problem {
    fn from(why: Refusal) -> Self {
        Self::refused(why.code(), why.sentence())
    }
}

/// Too many: ask again later. By which limit is for the log.
impl From<Limited> for Problem {
    fn from(limited: Limited) -> Self {
        let detail = "There were too many requests of this kind; send this one again after the time in Retry-After.";
        let problem = Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", "Too many requests", detail);
        problem.again_after(limited.wait)
    }
}

/// Could not find out: ask again later. The cause is for the log.
impl From<PortError> for Problem {
    fn from(error: PortError) -> Self {
        match &error {
            PortError::Unavailable { what, cause } => tracing::warn!(what, cause = %Chain(&**cause), "unavailable"),
            PortError::Corrupt { what, cause } => tracing::error!(what, cause = %Chain(&**cause), "corrupt"),
        }
        Self::unavailable()
    }
}

impl From<InvalidRetryKey> for Problem {
    fn from(why: InvalidRetryKey) -> Self {
        Self::retry_key(why.to_string())
    }
}

/// An error and its causes, on one line.
struct Chain<'a>(&'a (dyn Error + 'static));

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut next = self.0.source();
        while let Some(cause) = next {
            write!(f, ": {cause}")?;
            next = cause.source();
        }
        Ok(())
    }
}

// What HTTP itself has to refuse.

impl Problem {
    /// No credential was sent, or one of a scheme that is not ours (RFC 6750 §3.1, last paragraph).
    pub(super) fn missing_token() -> Self {
        let detail = "This route needs a token in the header: Authorization: Bearer <token>.";
        Self::new(StatusCode::UNAUTHORIZED, "missing_token", "Token missing", detail).challenging(Challenge::Ask)
    }

    /// A token was sent in a way that cannot be understood.
    pub(super) fn invalid_request(detail: &'static str) -> Self {
        let problem = Self::new(StatusCode::BAD_REQUEST, "invalid_request", "Malformed request", detail);
        problem.challenging(Challenge::InvalidRequest)
    }

    /// Not a token of ours. It gets no reason.
    fn not_authentic() -> Self {
        Self::refused("invalid_token", "The token is not one that this route accepts.")
    }

    fn refused(code: &'static str, detail: &'static str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, code, "Token refused", detail).challenging(Challenge::InvalidToken)
    }

    /// A refusal, whatever it was before: to a caller who knows no third answer.
    pub(super) fn into_refusal(self) -> Self {
        Self { status: StatusCode::UNAUTHORIZED, ..self }
    }

    /// A proxy asks for a check that there is not.
    pub(super) fn unknown_check() -> Self {
        let detail = "The parameter check takes one value: check=session.";
        Self::new(StatusCode::BAD_REQUEST, "invalid_query", "Unknown parameter", detail)
    }

    /// `Idempotency-Key` is there more than once.
    pub(super) fn repeated_retry_key() -> Self {
        Self::retry_key("There is more than one Idempotency-Key header.".to_owned())
    }

    fn retry_key(detail: String) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_idempotency_key", "Malformed Idempotency-Key", detail)
    }

    /// The body is not JSON, from there on.
    pub(super) fn invalid_json(line: usize, column: usize) -> Self {
        let detail = format!("The body is not JSON: look at line {line}, column {column}.");
        Self::new(StatusCode::BAD_REQUEST, "invalid_json", "Malformed JSON", detail)
    }

    /// The body ended before its time.
    pub(super) fn incomplete_body() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "incomplete_body",
            "Incomplete body",
            "The body could not be read to its end.",
        )
    }

    /// A parameter of the query string is not the one that the route knows.
    pub(super) fn invalid_query(known: &'static str) -> Self {
        let detail = format!("The only parameter of this route is {known}=true or {known}=false.");
        Self::new(StatusCode::BAD_REQUEST, "invalid_query", "Unknown parameter", detail)
    }

    /// JSON, but not of the right shape.
    pub(super) fn invalid_body(field: Option<&'static str>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { field, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_body", "Unexpected body", detail) }
    }

    /// Not an e-mail address.
    pub(super) fn invalid_email(field: &'static str, why: InvalidEmail) -> Self {
        let detail = format!("{field}: {why}.");
        let title = "Invalid e-mail address";
        Self { field: Some(field), ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_email", title, detail) }
    }

    /// Not a password that can be taken.
    pub(super) fn invalid_password(field: &'static str, why: InvalidPassword) -> Self {
        let detail = format!("{field}: {why}.");
        let title = "Password not accepted";
        Self { field: Some(field), ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_password", title, detail) }
    }

    /// Not a name for a session.
    pub(super) fn invalid_label(why: &'static str) -> Self {
        let detail = format!("label: the label {why}.");
        let title = "Invalid label";
        Self { field: Some("label"), ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_label", title, detail) }
    }

    /// The body is not said to be JSON.
    pub(super) fn unsupported_media_type() -> Self {
        let (title, detail) =
            ("JSON expected", "The body must be JSON, with the header Content-Type: application/json.");
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", title, detail)
    }

    /// The body is longer than `limit` bytes.
    pub(super) fn body_too_large(limit: usize) -> Self {
        let detail = format!("The body is longer than {limit} bytes.");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "Body too large", detail)
    }

    /// Too many bodies are on their way.
    pub(super) fn busy() -> Self {
        let detail = "The service is reading as many request bodies as it can; send the same request again.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "Busy", detail).again()
    }

    /// The caller has no such session.
    pub(super) fn session_not_found() -> Self {
        let detail = "You have no session with this id.";
        Self::new(StatusCode::NOT_FOUND, "session_not_found", "No such session", detail)
    }

    /// Overtaken by another request of the same user.
    fn try_again() -> Self {
        let detail = "Another request changed the account at the same moment; send this one again.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "try_again", "Overtaken", detail).again()
    }

    /// Could not find out.
    pub(super) fn unavailable() -> Self {
        let detail = "The service cannot answer at the moment. Nothing is decided; send the same request again.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Not available", detail).again()
    }

    /// Took too long.
    pub(super) fn timeout() -> Self {
        let detail = "The request took too long. Whether it was done is not known; send the same request again.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "timeout", "Timed out", detail).again()
    }

    /// A fault of ours.
    pub(super) fn internal() -> Self {
        let detail = "Something went wrong here; the log has it under the request's id.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error", detail)
    }

    fn new(status: StatusCode, code: &'static str, title: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        let detail = detail.into();
        Self { status, code, title, detail, field: None, challenge: None, retry_after: None, oauth: None }
    }

    fn challenging(self, challenge: Challenge) -> Self {
        Self { challenge: Some(challenge), ..self }
    }

    fn again(self) -> Self {
        self.again_after(Duration::from_secs(1))
    }

    /// In whole seconds, rounded up: whoever waits so long has waited long enough.
    fn again_after(self, wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        Self { retry_after: Some(seconds.max(1)), ..self }
    }

    /// The stable code.
    pub(super) fn code(&self) -> &'static str {
        self.code
    }

    /// Writes it into its answer: the only place where the body of a problem is made.
    pub(super) fn write(self, response: &mut Response, request_id: &str) {
        if let Some(error) = self.oauth {
            return self.write_as_oauth(error, response, request_id);
        }
        let mut body = json!({
            "type": format!("urn:regrant:problem:{}", self.code),
            "title": self.title,
            "status": self.status.as_u16(),
            "detail": self.detail,
            "code": self.code,
            "request_id": request_id,
        });
        if let Some(field) = self.field {
            body["field"] = field.into();
        }
        *response.body_mut() = Body::from(body.to_string());
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        self.write_headers(response);
    }

    fn write_headers(self, response: &mut Response) {
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(challenge) = self.challenge.and_then(|challenge| challenge.header(&self.detail)) {
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
    }
}

impl Challenge {
    fn header(self, detail: &str) -> Option<HeaderValue> {
        let error = match self {
            Self::Ask => return Some(HeaderValue::from_static("Bearer realm=\"regrant\"")),
            Self::InvalidRequest => "invalid_request",
            Self::InvalidToken => "invalid_token",
            Self::Client => return Some(HeaderValue::from_static("Basic realm=\"regrant\"")),
        };
        let said = plain(detail);
        HeaderValue::try_from(format!("Bearer error=\"{error}\", error_description=\"{said}\"")).ok()
    }
}

/// Printable ASCII without quotes and backslashes (RFC 6749 §5.2, RFC 6750 §3).
fn plain(detail: &str) -> String {
    detail.chars().filter(|c| matches!(c, ' '..='~') && !matches!(c, '"' | '\\')).collect()
}

/// Travels as an extension: the request's id, which the body names, is known further out.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// For paths that no route has.
pub(super) async fn not_found() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not_found", "No such route", "There is nothing under this path.")
}

/// For methods that a route does not have; axum adds `Allow`.
pub(super) async fn method_not_allowed() -> Problem {
    let detail = "This path does not take this method; the Allow header lists those that it takes.";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "Method not allowed", detail)
}
