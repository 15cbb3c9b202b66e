//! Access tokens as signed JWTs in the profile of RFC 9068, checked as RFC 8725 asks.
//!
//! Deliberately absent: the clock (the time is a value), leeway, key look-ups by what a token says (`kid` only chooses
//! among keys in memory; `jku`, `x5u`, `jwk` are never read), and a general JWT library. A library would read the key
//! again for each token, which doubles the cost of a signature, and its checks of types and times would have to be
//! done again in any case. What is left of RFC 7515 is three parts and two dots; a general library, in the tests,
//! reads what is written here and writes what is read here.

mod claims;
mod key;
mod pem;

#[cfg(test)]
mod forgeries;
#[cfg(test)]
mod keys_test;
#[cfg(test)]
mod tests;

pub use key::{Algorithm, InvalidSigningKey, KeyGenerationFailed, SigningKey, UnknownAlgorithm, VerifyingKey};
pub use pem::Found;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use regrant_domain::access_token::{AccessClaims, AccessGrant, AccessRefusal, AccessToken};
use regrant_domain::ports::{AccessTokens, PortError};
use regrant_domain::secret::TokenText;
use regrant_domain::time::Timestamp;
use serde_json::Value;

use claims::{Claims, Header, Written};

/// Longest token in bytes; ours are far shorter.
const MAX_LEN: usize = 8 * 1024;
/// Longest signature in bytes: RSA of 8192 bits, and what a decoder may ask for beyond it.
const MAX_SIGNATURE: usize = 1024 + 8;
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
    /// The header of every token, encoded, with the dot after it.
    header: String,
    signing: SigningKey,
    /// What is accepted: the signing key's tokens, and those of other keys.
    accepted: Vec<VerifyingKey>,
}

impl JwtAccessTokens {
    /// Signs with one key, and accepts its tokens and those of `also`: keys that signed before, until their last token
    /// has expired, and keys that other servers have already begun to sign with.
    pub fn new(options: JwtOptions, signing: SigningKey, also: Vec<VerifyingKey>) -> Self {
        let key = signing.verifying_key();
        // Neither name has a character that JSON escapes.
        let header = format!(r#"{{"typ":"{TYPE}","alg":"{}","kid":"{}"}}"#, key.algorithm(), key.kid());
        let header = format!("{}.", URL_SAFE_NO_PAD.encode(header));
        let accepted = std::iter::once(key.clone()).chain(also).collect();
        Self { options, header, signing, accepted }
    }

    /// The keys that others may check tokens with, the signing key first (RFC 7517 §5); none for HS256.
    pub fn public_jwks(&self) -> Vec<Value> {
        self.accepted.iter().filter_map(VerifyingKey::public_jwk).collect()
    }

    /// The claims, if the signature is that of a key of ours, and the token is of our type. The order matters: nothing
    /// of the claims is read before they are known to be ours.
    fn read<'b>(&self, text: &str, buffer: &'b mut Vec<u8>) -> Option<Claims<'b>> {
        if text.len() > MAX_LEN {
            return None;
        }
        let (message, signature) = text.rsplit_once('.')?;
        let (header, claims) = message.split_once('.')?;
        let key = self.key_for(header)?;
        let mut bytes = [0; MAX_SIGNATURE];
        let len = URL_SAFE_NO_PAD.decode_slice(signature, &mut bytes).ok()?;
        if !key.accepts(message.as_bytes(), bytes.get(..len)?) {
            return None;
        }
        // A further dot is no character of base64url, so there are three parts and not four.
        URL_SAFE_NO_PAD.decode_vec(claims, buffer).ok()?;
        serde_json::from_slice(buffer).ok()
    }

    fn key_for(&self, header: &str) -> Option<&VerifyingKey> {
        let header = URL_SAFE_NO_PAD.decode(header).ok()?;
        let header: Header<'_> = serde_json::from_slice(&header).ok()?;
        if header.crit || !is_access_token_type(&header.typ) {
            return None;
        }
        let key = self.accepted.iter().find(|key| key.kid() == header.kid)?;
        (key.algorithm().name() == header.alg).then_some(key)
    }
}

/// `at+jwt` or `application/at+jwt`, in any case (RFC 9068 §4, RFC 7515 §4.1.9).
fn is_access_token_type(typ: &str) -> bool {
    const PREFIX: &str = "application/";
    let bare = match typ.split_at_checked(PREFIX.len()) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case(PREFIX) => rest,
        _ => typ,
    };
    bare.eq_ignore_ascii_case(TYPE)
}

impl AccessTokens for JwtAccessTokens {
    fn issue(&self, grant: &AccessGrant) -> Result<AccessToken, PortError> {
        let failed = |cause| PortError::unavailable("access token signing", cause);
        let claims = Written::new(&self.options.issuer, &self.options.audience, grant);
        let claims = serde_json::to_vec(&claims).map_err(|error| failed(error.to_string()))?;
        let mut text = String::with_capacity(self.header.len() + claims.len() * 4 / 3 + 400);
        text.push_str(&self.header);
        URL_SAFE_NO_PAD.encode_string(claims, &mut text);
        self.signing.sign_into(&mut text).map_err(|_| failed("the signature could not be made".into()))?;
        // `exp` has whole seconds: what is promised is what will be enforced.
        let expires_at = Timestamp::from_millis(grant.expires_at.seconds() * 1000);
        Ok(AccessToken { text: TokenText::new(text), expires_at })
    }

    fn verify(&self, text: &str, now: Timestamp) -> Result<AccessClaims, AccessRefusal> {
        let mut buffer = Vec::new();
        let claims = self.read(text, &mut buffer).ok_or(AccessRefusal::NotAuthentic)?;
        let ours = claims.iss == self.options.issuer
            && claims.are_for(&self.options.audience)
            && claims.nbf.is_none_or(|not_before| now >= not_before);
        if !ours {
            return Err(AccessRefusal::NotAuthentic);
        }
        if now.has_reached(claims.exp) {
            return Err(AccessRefusal::Expired);
        }
        Ok(AccessClaims { user: claims.sub, session: claims.sid, expires_at: claims.exp })
    }
}
