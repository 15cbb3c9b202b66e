//! Refresh tokens as JWTs: `typ: rt+jwt`, signed with the token key.
//!
//! HMAC-SHA256 (RFC 7518 §3.2), because only this service reads them, and because a replay must answer with the very
//! same text: a signature with randomness in it (ES256) would differ each time.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{DecodingKey, EncodingKey, Header};
use regrant_domain::ids::SessionId;
use regrant_domain::ports::{NotAuthentic, PortError, TokenCodec, TokenFacts};
use regrant_domain::refresh_token::{Generation, Lifetime, LookupKey, Presented, RefreshToken};
use regrant_domain::secret::{Secret, TokenText};
use regrant_domain::token_key::{TokenKeyId, TokenKeyRing};
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::claims::{Audience, instant, parsed};
use super::{Algorithm, JwtOptions, MAX_LEN, is_type, validation};

/// The type of refresh tokens, so that none is taken for an access token (RFC 8725 §3.11).
const TYPE: &str = "rt+jwt";

/// Refresh tokens as JWTs.
pub struct JwtCodec {
    options: JwtOptions,
    ring: Arc<TokenKeyRing>,
    keys: Vec<Key>,
}

struct Key {
    id: TokenKeyId,
    header: Header,
    signing: EncodingKey,
    verifying: DecodingKey,
}

impl std::fmt::Debug for JwtCodec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JwtCodec").field("options", &self.options).field("ring", &self.ring).finish_non_exhaustive()
    }
}

/// What is written. The expiry is that of the stored token, in whole seconds (RFC 7519 §2) and never earlier: the store
/// knows the millisecond. So the same token has the same text.
#[derive(Serialize)]
struct Written<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: String,
    exp: i64,
    jti: String,
    sid: String,
    #[serde(rename = "gen")]
    generation: u32,
    sec: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    remembered: bool,
}

/// What is read, each claim of the right JSON type.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: Audience,
    #[serde(rename = "sub", deserialize_with = "parsed")]
    _sub: regrant_domain::ids::UserId,
    #[serde(deserialize_with = "instant")]
    exp: regrant_domain::time::Timestamp,
    #[serde(rename = "jti", deserialize_with = "parsed")]
    _jti: Uuid,
    #[serde(deserialize_with = "parsed")]
    sid: SessionId,
    #[serde(rename = "gen")]
    generation: u32,
    #[serde(rename = "sec", deserialize_with = "secret")]
    secret: Secret,
    #[serde(default)]
    remembered: bool,
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
    let text = Zeroizing::new(String::deserialize(deserializer)?);
    URL_SAFE_NO_PAD.decode(&*text).map(Secret::new).map_err(|_| serde::de::Error::custom("not base64url"))
}

impl JwtCodec {
    /// A codec that signs with, and accepts, the keys of this ring.
    pub fn new(options: JwtOptions, ring: Arc<TokenKeyRing>) -> Self {
        let keys = ring.keys().map(|key| Key {
            id: key.id(),
            header: Header {
                typ: Some(TYPE.to_owned()),
                kid: Some(key.id().0.to_string()),
                ..Header::new(Algorithm::Hs256.library())
            },
            signing: EncodingKey::from_secret(key.jwt_key()),
            verifying: DecodingKey::from_secret(key.jwt_key()),
        });
        Self { options, keys: keys.collect(), ring }
    }

    fn read(&self, text: &str) -> Option<(TokenKeyId, Claims)> {
        if text.len() > MAX_LEN {
            return None;
        }
        let header = jsonwebtoken::decode_header(text).ok()?;
        if header.crit.is_some() || !header.typ.is_some_and(|typ| is_type(&typ, TYPE)) {
            return None;
        }
        let key = self.keys.iter().find(|key| key.header.kid == header.kid)?;
        let claims = jsonwebtoken::decode::<Claims>(text, &key.verifying, &validation(Algorithm::Hs256)).ok()?.claims;
        let ours = claims.iss == self.options.issuer && claims.aud.has(&self.options.audience);
        ours.then_some((key.id, claims))
    }
}

/// Unique as the secret is, and the same each time.
fn jti(token: &RefreshToken) -> Uuid {
    let hash = token.secret.hash();
    uuid::Builder::from_custom_bytes(std::array::from_fn(|i| hash.as_bytes()[i])).into_uuid()
}

impl TokenCodec for JwtCodec {
    fn secret_len(&self) -> usize {
        Secret::LEN
    }

    fn encode(&self, token: &RefreshToken, facts: &TokenFacts) -> Result<TokenText, PortError> {
        let key = self.keys.iter().find(|key| key.id == token.key).ok_or_else(|| {
            PortError::corrupt("token key ring", format!("token key {} is no longer in the key ring", token.key.0))
        })?;
        let secret = Zeroizing::new(URL_SAFE_NO_PAD.encode(token.secret.expose()));
        let claims = Written {
            iss: &self.options.issuer,
            aud: &self.options.audience,
            sub: facts.user.to_string(),
            exp: (facts.expires_at.millis() + 999) / 1000,
            jti: jti(token).to_string(),
            sid: token.session.to_string(),
            generation: token.generation.0,
            sec: &secret,
            remembered: token.lifetime == Lifetime::Remembered,
        };
        let text = jsonwebtoken::encode(&key.header, &claims, &key.signing);
        text.map(TokenText::new).map_err(|e| PortError::unavailable("refresh token signing", e.to_string()))
    }

    fn decode(&self, text: &str) -> Result<Presented, NotAuthentic> {
        let (key, claims) = self.read(text).ok_or(NotAuthentic)?;
        if claims.generation > Generation::LAST.0 {
            return Err(NotAuthentic);
        }
        Ok(Presented::Chained(RefreshToken {
            session: claims.sid,
            generation: Generation(claims.generation),
            secret: claims.secret,
            lifetime: if claims.remembered { Lifetime::Remembered } else { Lifetime::Usual },
            key,
            expires_at: Some(claims.exp),
        }))
    }

    fn id_of(&self, token: &RefreshToken) -> Option<Uuid> {
        Some(jti(token))
    }

    fn lookup(&self, token: &RefreshToken) -> LookupKey {
        LookupKey::of_session(token.session)
    }

    fn ring(&self) -> Arc<TokenKeyRing> {
        Arc::clone(&self.ring)
    }
}
