//! What travels: domain values to the JSON of the standards.

use axum::Json as Answer;
use axum::response::IntoResponse;
use regrant_domain::access_token::CLIENT_ID;
use regrant_domain::secret::TokenText;
use regrant_domain::usecases::introspect::{Introspected, Kind, Token};
use regrant_domain::usecases::refresh::Granted;
use regrant_domain::user::Email;
use serde::Serialize;

use super::OAuthOptions;

/// RFC 6749 §5.1
#[derive(Serialize)]
struct TokensBody<'a> {
    access_token: &'a str,
    token_type: &'static str,
    expires_in: u64,
    /// Left out where the presented one stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<&'a str>,
}

/// The tokens of a refresh.
pub(super) fn tokens(granted: &Granted) -> impl IntoResponse + use<> {
    let body = TokensBody {
        access_token: granted.access.text.expose(),
        token_type: "Bearer",
        expires_in: granted.expires_in.as_secs(),
        refresh_token: granted.refresh.as_ref().map(TokenText::expose),
    };
    Answer(body).into_response()
}

/// RFC 7662 §2.2, with the names that the claims of a JWT have.
#[derive(Serialize)]
struct ActiveBody<'a> {
    active: bool,
    token_type: &'static str,
    client_id: &'static str,
    sub: String,
    iss: &'a str,
    aud: &'a str,
    exp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    iat: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<String>,
    sid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_email: Option<&'a str>,
}

/// The same for every token that is good for nothing (RFC 7662 §2.2).
#[derive(Serialize)]
struct InactiveBody {
    active: bool,
}

/// Answer of an introspection.
pub(super) fn introspected(told: &Introspected, options: &OAuthOptions) -> impl IntoResponse + use<> {
    match told {
        Introspected::Active(token) => Answer(active(token, options)).into_response(),
        Introspected::Inactive => Answer(InactiveBody { active: false }).into_response(),
    }
}

fn active<'a>(token: &'a Token, options: &'a OAuthOptions) -> ActiveBody<'a> {
    let token_type = match token.kind {
        Kind::Access => "Bearer",
        // Not a type of RFC 6750: whoever takes tokens for its routes must see that this is none for them.
        Kind::Refresh => "refresh_token",
    };
    let email = token.email.as_ref().map(Email::as_str);
    ActiveBody {
        active: true,
        token_type,
        client_id: CLIENT_ID,
        sub: token.user.to_string(),
        iss: &options.token_issuer,
        aud: &options.audience,
        exp: token.expires_at.seconds(),
        iat: token.issued_at.map(regrant_domain::time::Timestamp::seconds),
        jti: token.id.map(|id| id.to_string()),
        sid: token.session.to_string(),
        username: email,
        user_email: email,
    }
}

/// RFC 8414 §2, as far as it exists here.
#[derive(Serialize)]
pub(super) struct MetadataBody<'a> {
    pub(super) issuer: &'a str,
    pub(super) token_endpoint: String,
    pub(super) revocation_endpoint: String,
    pub(super) introspection_endpoint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) jwks_uri: Option<String>,
    /// Required, and there is none: people sign in without OAuth.
    pub(super) response_types_supported: [&'static str; 0],
    pub(super) grant_types_supported: [&'static str; 1],
    pub(super) token_endpoint_auth_methods_supported: &'static [&'static str],
    pub(super) revocation_endpoint_auth_methods_supported: &'static [&'static str],
    pub(super) introspection_endpoint_auth_methods_supported: &'static [&'static str],
}
