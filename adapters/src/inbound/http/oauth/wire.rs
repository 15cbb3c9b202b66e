//! What travels: domain values to the JSON of the standards.

use axum::response::IntoResponse;
use regrant_domain::access_token::CLIENT_ID;
use regrant_domain::secret::TokenText;
use regrant_domain::usecases::introspect::{Introspected, Kind, Token};
use regrant_domain::usecases::refresh::Granted;
use regrant_domain::user::Email;
use serde::Serialize;
use utoipa::ToSchema;

use super::OAuthOptions;
use crate::inbound::http::wire::Answer;

/// RFC 6749 §5.1
#[derive(Serialize, ToSchema)]
#[schema(as = OAuthTokens)]
pub(super) struct TokensBody<'a> {
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
#[derive(Serialize, ToSchema)]
#[schema(as = Active)]
pub(super) struct ActiveBody<'a> {
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
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Inactive)]
pub(super) struct InactiveBody {
    active: bool,
}

/// What an introspection answers.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = Introspection)]
pub(super) enum IntrospectionBody<'a> {
    /// Good for something.
    Active(ActiveBody<'a>),
    /// Good for nothing.
    Inactive(InactiveBody),
}

/// What `POST /oauth/token` takes.
#[derive(ToSchema)]
#[schema(as = TokenForm)]
#[expect(dead_code, reason = "describes what `Form` reads")]
pub(super) struct TokenForm<'a> {
    /// `refresh_token`
    grant_type: &'a str,
    refresh_token: &'a str,
    /// Of a client that has a secret, or wants to say who it is.
    client_id: Option<&'a str>,
    /// Unless it comes in the header.
    client_secret: Option<&'a str>,
}

/// What `POST /oauth/revoke` and `POST /oauth/introspect` take.
#[derive(ToSchema)]
#[schema(as = AboutForm)]
#[expect(dead_code, reason = "describes what `Form` reads")]
pub(super) struct AboutForm<'a> {
    token: &'a str,
    /// `access_token` or `refresh_token`; not needed.
    token_type_hint: Option<&'a str>,
    client_id: Option<&'a str>,
    client_secret: Option<&'a str>,
}

/// Answer of an introspection.
pub(super) fn introspected(told: &Introspected, options: &OAuthOptions) -> impl IntoResponse + use<> {
    let body = match told {
        Introspected::Active(token) => IntrospectionBody::Active(active(token, options)),
        Introspected::Inactive => IntrospectionBody::Inactive(InactiveBody { active: false }),
    };
    Answer(body).into_response()
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
#[derive(Serialize, ToSchema)]
#[schema(as = Metadata)]
pub(super) struct MetadataBody<'a> {
    pub(super) issuer: &'a str,
    pub(super) token_endpoint: String,
    pub(super) revocation_endpoint: String,
    pub(super) introspection_endpoint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) jwks_uri: Option<String>,
    /// Required, and there is none: people sign in without OAuth.
    #[schema(value_type = Vec<String>)]
    pub(super) response_types_supported: [&'static str; 0],
    #[schema(value_type = Vec<String>)]
    pub(super) grant_types_supported: [&'static str; 1],
    #[schema(value_type = Vec<String>)]
    pub(super) token_endpoint_auth_methods_supported: &'static [&'static str],
    #[schema(value_type = Vec<String>)]
    pub(super) revocation_endpoint_auth_methods_supported: &'static [&'static str],
    #[schema(value_type = Vec<String>)]
    pub(super) introspection_endpoint_auth_methods_supported: &'static [&'static str],
}
