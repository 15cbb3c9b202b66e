//! Tokens as signed JWTs, checked as RFC 8725 asks: access tokens in the profile of RFC 9068, and, in [`JwtCodec`], refresh
//! tokens.
//!
//! Deliberately absent: the clock (the time is a value), leeway, and key look-ups by what a token says (`kid` only chooses
//! among keys in memory; `jku`, `x5u`, `jwk` are never followed). Headers are read by the JWT library, unless one is the very
//! header that we write; the signature is checked by the cryptographic library, with a key that is parsed once. What
//! is checked here is what they leave open: the type, unknown extensions, JSON types of claims, and our own time.

mod claims;
mod key;
mod pem;
mod refresh;

#[cfg(test)]
mod forgeries;
#[cfg(test)]
mod keys_test;
#[cfg(test)]
mod refresh_test;
#[cfg(test)]
mod tests;

pub use key::{Algorithm, InvalidSigningKey, KeyGenerationFailed, SigningKey, UnknownAlgorithm, VerifyingKey};
pub use pem::Found;
pub use refresh::JwtCodec;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Validation;
use regrant_domain::access_token::{AccessClaims, AccessGrant, AccessRefusal, AccessToken, Proof};
use regrant_domain::ports::{AccessTokens, PortError};
use regrant_domain::secret::TokenText;
use regrant_domain::time::Timestamp;
use serde_json::{Value, json};

use claims::{Claims, Written};

/// Longest token in bytes; ours are far shorter.
const MAX_LEN: usize = 8 * 1024;
/// The type of access tokens (RFC 9068 §2.1).
const TYPE: &str = "at+jwt";

/// Who issues tokens, and for whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwtOptions {
    /// `iss`
    pub issuer: String,
    /// `aud`
    pub audience: String,
}

/// Access tokens as JWTs.
#[derive(Debug)]
pub struct JwtAccessTokens {
    options: JwtOptions,
    /// The header of every token, as it stands in the token.
    header: String,
    signing: SigningKey,
    /// Whose tokens are accepted: the signing key's, then those of other keys.
    accepted: Vec<VerifyingKey>,
}

impl JwtAccessTokens {
    /// Signs with one key, and accepts its tokens and those of `also`: keys that signed before, until their last token
    /// has expired, and keys that other servers have already begun to sign with.
    pub fn new(options: JwtOptions, signing: SigningKey, also: Vec<VerifyingKey>) -> Self {
        let key = signing.verifying_key();
        let header = json!({ "typ": TYPE, "alg": key.algorithm().name(), "kid": key.kid() });
        let header = URL_SAFE_NO_PAD.encode(header.to_string());
        let accepted = std::iter::once(key.clone()).chain(also).collect();
        Self { options, header, signing, accepted }
    }

    /// The keys that others may check tokens with, the signing key first (RFC 7517 §5); none for HS256.
    pub fn public_jwks(&self) -> Vec<Value> {
        self.accepted.iter().filter_map(VerifyingKey::public_jwk).collect()
    }

    /// `header.claims.signature` (RFC 7515 §7.1).
    fn written(&self, claims: &Written<'_>) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
        let mut text = String::with_capacity(1024);
        text.push_str(&self.header);
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(serde_json::to_vec(claims)?, &mut text);
        let signature = self.signing.sign(text.as_bytes())?;
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut text);
        Ok(text)
    }

    /// The claims, if the signature is that of a key of ours, and the token is of our type. The order matters: nothing
    /// of the claims is read before they are known to be ours.
    fn read(&self, text: &str) -> Option<Claims> {
        if text.len() > MAX_LEN {
            return None;
        }
        let mut parts = text.split('.');
        let (Some(header), Some(claims), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return None;
        };
        let key = self.key_of(header, text)?;
        let signed = text.get(..header.len() + 1 + claims.len())?;
        if !key.is_signature(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).ok()?) {
            return None;
        }
        let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
        claims.are_of(&self.options.issuer, &self.options.audience).then_some(claims)
    }

    /// The key that this header names, if it is one of ours and signs as the header says.
    fn key_of(&self, header: &str, text: &str) -> Option<&VerifyingKey> {
        if header == self.header {
            return self.accepted.first();
        }
        let header = jsonwebtoken::decode_header(text).ok()?;
        // Extensions that must be understood, whichever they are (RFC 7515 §4.1.11).
        if header.crit.is_some() || !header.typ.is_some_and(|typ| is_type(&typ, TYPE)) {
            return None;
        }
        let kid = header.kid?;
        let key = self.accepted.iter().find(|key| key.kid() == kid)?;
        (key.algorithm().library() == header.alg).then_some(key)
    }
}

/// The algorithm of the key, and nothing else: the library would ask its own clock, with a leeway, and pass claims that
/// are there with another JSON type (CVE-2026-25537); [`Claims`] does not.
fn validation(algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm.library());
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation
}

/// `at+jwt` or `application/at+jwt`, in any case (RFC 9068 §4, RFC 7515 §4.1.9); likewise of other types.
fn is_type(typ: &str, wanted: &str) -> bool {
    const PREFIX: &str = "application/";
    let bare = match typ.split_at_checked(PREFIX.len()) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case(PREFIX) => rest,
        _ => typ,
    };
    bare.eq_ignore_ascii_case(wanted)
}

impl AccessTokens for JwtAccessTokens {
    fn issue(&self, grant: &AccessGrant) -> Result<AccessToken, PortError> {
        let claims = Written::new(&self.options.issuer, &self.options.audience, grant);
        let text = self.written(&claims).map_err(|cause| PortError::unavailable("access token signing", cause))?;
        // `exp` has whole seconds: what is promised is what will be enforced.
        let expires_at = Timestamp::from_millis(grant.expires_at.seconds() * 1000);
        Ok(AccessToken { text: TokenText::new(text), expires_at })
    }

    fn verify(&self, text: &str, now: Timestamp) -> Result<AccessClaims, AccessRefusal> {
        let claims = self.read(text).ok_or(AccessRefusal::NotAuthentic)?;
        if claims.nbf.is_some_and(|not_before| now < not_before) {
            return Err(AccessRefusal::NotAuthentic);
        }
        if now.has_reached(claims.exp) {
            return Err(AccessRefusal::Expired);
        }
        let proof = Proof::Signed { id: claims.jti, issued_at: claims.iat };
        Ok(AccessClaims { user: claims.sub, session: claims.sid, expires_at: claims.exp, proof })
    }
}
