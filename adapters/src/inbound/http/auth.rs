//! `Authorization: Bearer` (RFC 6750): one way to send a token, and one middleware that resolves the caller.
//!
//! Deliberately absent: tokens in the query string or in a body (RFC 6750 §2.2 and §2.3); both are refused.

use axum::extract::{FromRequestParts, Query, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Uri, header};
use axum::middleware::Next;
use axum::response::Response;
use regrant_domain::refresh_token::RetryKey;
use regrant_domain::secret::TokenText;
use regrant_domain::usecases::authenticate::Caller;

use super::App;
use super::problem::{self, Problem};

/// Longest token in bytes. The longest of ours, a JWT, has about one tenth of it.
const MAX_TOKEN: usize = 8 * 1024;

/// Query parameters that somebody may try to send a token in.
const TOKEN_PARAMETERS: [&str; 3] = ["access_token", "refresh_token", "token"];

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Stands before every guarded route: resolves the caller, once, and hands it to the handler as [`SignedIn`].
pub(super) async fn require_access_token(
    State(app): State<App>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let token = bearer(request.headers(), request.uri())?;
    let caller = problem::authenticated(app.use_cases().authenticate.run(token.expose()).await?)?;
    request.extensions_mut().insert(SignedIn(caller));
    Ok(next.run(request).await)
}

/// The signed-in caller of a guarded route.
#[derive(Clone)]
pub(super) struct SignedIn(pub(super) Box<Caller>);

impl FromRequestParts<App> for SignedIn {
    type Rejection = Problem;

    /// Fails only where a route was left out of the guarded ones.
    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        parts.extensions.remove::<Self>().ok_or_else(|| {
            tracing::error!("a handler asks for the caller, but its route is not guarded");
            Problem::internal()
        })
    }
}

/// The refresh token of a request that takes one.
pub(super) struct RefreshBearer(TokenText);

impl RefreshBearer {
    /// The token.
    pub(super) fn text(&self) -> &str {
        self.0.expose()
    }
}

impl FromRequestParts<App> for RefreshBearer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        bearer(&parts.headers, &parts.uri).map(Self)
    }
}

/// The access token of a request that a proxy has to decide about. The query string is not looked at: it is that other
/// request's. What is malformed is a refusal: proxies take any other answer for an outage.
pub(super) struct ForwardedBearer(TokenText);

impl ForwardedBearer {
    /// The token.
    pub(super) fn text(&self) -> &str {
        self.0.expose()
    }
}

impl FromRequestParts<App> for ForwardedBearer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        authorization(&parts.headers).map(Self).map_err(Problem::into_refusal)
    }
}

/// The `Idempotency-Key` of a request, if it has one.
pub(super) struct Retry(pub(super) Option<RetryKey>);

impl FromRequestParts<App> for Retry {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        let mut keys = parts.headers.get_all(IDEMPOTENCY_KEY).iter();
        match (keys.next(), keys.next()) {
            (None, _) => Ok(Self(None)),
            (Some(key), None) => {
                let key = RetryKey::parse(key.to_str().unwrap_or_default());
                key.map(|key| Self(Some(key))).map_err(Problem::from)
            }
            (Some(_), Some(_)) => Err(Problem::repeated_retry_key()),
        }
    }
}

/// The token of a request.
fn bearer(headers: &HeaderMap, uri: &Uri) -> Result<TokenText, Problem> {
    if has_token_parameter(uri) {
        return Err(Problem::invalid_request("Tokens are not taken from the query string; send a Bearer header."));
    }
    authorization(headers)
}

fn authorization(headers: &HeaderMap) -> Result<TokenText, Problem> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    match (values.next(), values.next()) {
        (None, _) => Err(Problem::missing_token()),
        (Some(_), Some(_)) => Err(Problem::invalid_request("There is more than one Authorization header.")),
        (Some(value), None) => parse(value.as_bytes()),
    }
}

fn has_token_parameter(uri: &Uri) -> bool {
    // Decoded as a form, so that `access%5Ftoken` is seen too; and if that should ever fail, refused.
    let parsed = Query::<Vec<(String, String)>>::try_from_uri(uri);
    parsed.map_or(true, |Query(pairs)| pairs.iter().any(|(name, _)| TOKEN_PARAMETERS.contains(&name.as_str())))
}

/// `credentials = "Bearer" 1*SP b64token` (RFC 6750 §2.1); the scheme in any case (RFC 9110 §11.1).
fn parse(value: &[u8]) -> Result<TokenText, Problem> {
    let value = value.trim_ascii();
    let end = value.iter().position(u8::is_ascii_whitespace).unwrap_or(value.len());
    let (scheme, token) = value.split_at(end);
    if !scheme.eq_ignore_ascii_case(b"Bearer") {
        return Err(Problem::missing_token());
    }
    let token = token.trim_ascii_start();
    if token.is_empty() {
        return Err(Problem::invalid_request("The Authorization header has no token."));
    }
    if token.len() > MAX_TOKEN {
        return Err(Problem::invalid_request("The token is longer than any that this service issues."));
    }
    let text = str::from_utf8(token).ok().filter(|text| is_b64token(text));
    let text = text.ok_or_else(|| Problem::invalid_request("The token has characters that no Bearer token has."))?;
    Ok(TokenText::new(text.to_owned()))
}

/// `b64token = 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="`
fn is_b64token(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    !body.is_empty() && body.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_may_have_any_case_and_several_blanks_may_follow() {
        for good in ["Bearer abc", "bearer abc", "BEARER   abc", "Bearer abc "] {
            assert!(parse(good.as_bytes()).is_ok_and(|token| token.expose() == "abc"), "{good:?}");
        }
    }

    #[test]
    fn tokens_have_the_characters_of_rfc_6750() {
        assert!(is_b64token("aZ09-._~+/==") && is_b64token("a"));
        for bad in ["", "=", "a=b", "a b", "a,b", "a\"b", "ä", "a:b"] {
            assert!(!is_b64token(bad), "{bad:?}");
        }
    }
}
