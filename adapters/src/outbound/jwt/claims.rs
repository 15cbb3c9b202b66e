//! The claims of an access token, as JSON.
//!
//! Reading is strict: a claim that is missing, `null` or of another JSON type is refused, and so is one that is there
//! twice. Nothing here knows the time.

use std::borrow::Cow;

use regrant_domain::access_token::{AccessGrant, CLIENT_ID};
use regrant_domain::ids::{AccessTokenId, SessionId, UserId};
use regrant_domain::time::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Number;

/// The claims that are written (RFC 9068 §2.2, RFC 7519 §4.1).
#[derive(Serialize)]
pub(super) struct Written<'a> {
    iss: &'a str,
    exp: i64,
    aud: &'a str,
    sub: String,
    client_id: &'a str,
    iat: i64,
    jti: String,
    sid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_email: Option<&'a str>,
}

impl<'a> Written<'a> {
    pub(super) fn new(issuer: &'a str, audience: &'a str, grant: &'a AccessGrant) -> Self {
        Self {
            iss: issuer,
            exp: grant.expires_at.seconds(),
            aud: audience,
            sub: grant.user.to_string(),
            client_id: CLIENT_ID,
            iat: grant.issued_at.seconds(),
            jti: grant.id.to_string(),
            sid: grant.session.to_string(),
            user_email: grant.email.as_ref().map(regrant_domain::user::Email::as_str),
        }
    }
}

/// What the claims say, each of the right type.
#[derive(Deserialize)]
pub(super) struct Claims {
    iss: String,
    aud: Audience,
    #[serde(deserialize_with = "instant")]
    pub(super) exp: Timestamp,
    #[serde(deserialize_with = "instant")]
    pub(super) iat: Timestamp,
    #[serde(default, deserialize_with = "optional_instant")]
    pub(super) nbf: Option<Timestamp>,
    #[serde(deserialize_with = "parsed")]
    pub(super) sub: UserId,
    #[serde(deserialize_with = "parsed")]
    pub(super) sid: SessionId,
    #[serde(deserialize_with = "parsed")]
    pub(super) jti: AccessTokenId,
    #[serde(rename = "client_id")]
    _client_id: String,
}

/// One recipient or several (RFC 7519 §4.1.3).
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Audience {
    /// Whether this one is among them.
    pub(super) fn has(&self, audience: &str) -> bool {
        match self {
            Self::One(one) => one == audience,
            Self::Many(many) => many.iter().any(|one| one == audience),
        }
    }
}

impl Claims {
    /// Whether they are of this issuer, and for this audience among others.
    pub(super) fn are_of(&self, issuer: &str, audience: &str) -> bool {
        self.iss == issuer && self.aud.has(audience)
    }
}

pub(super) fn parsed<'de, D: Deserializer<'de>, T: std::str::FromStr<Err: std::fmt::Display>>(
    d: D,
) -> Result<T, D::Error> {
    Cow::<'de, str>::deserialize(d)?.parse().map_err(serde::de::Error::custom)
}

fn optional_instant<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    instant(deserializer).map(Some)
}

/// A `NumericDate` (RFC 7519 §2): seconds since 1970, perhaps with a fraction, which is cut to the millisecond.
pub(super) fn instant<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    const MAX: i64 = Timestamp::MAX.seconds();
    let number = Number::deserialize(deserializer)?;
    let out_of_range = || serde::de::Error::custom("not an instant between 1970 and 9999");
    if let Some(seconds) = number.as_i64() {
        return if (0..=MAX).contains(&seconds) {
            Ok(Timestamp::from_millis(seconds * 1000))
        } else {
            Err(out_of_range())
        };
    }
    #[expect(clippy::cast_precision_loss, reason = "both ends of the range are exact")]
    let seconds = number.as_f64().filter(|s| s.is_sign_positive() && *s < MAX as f64 + 1.0).ok_or_else(out_of_range)?;
    #[expect(clippy::cast_possible_truncation, reason = "it was just checked to be in range; the fraction is cut")]
    let millis = (seconds * 1000.0) as i64;
    Ok(Timestamp::from_millis(millis))
}
