//! Tokens that are JWTs.
//!
//! Text as it is shows the way up to the signature. Behind it lies what a key of ours has signed, which no search would
//! ever find; so two lines of JSON are taken as header and claims, and signed here.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use regrant_adapters::outbound::jwt::{Algorithm, JwtAccessTokens, JwtCodec, JwtOptions, SigningKey};
use regrant_domain::access_token::AccessRefusal;
use regrant_domain::ports::{AccessTokens as _, TokenCodec as _, TokenFacts};
use regrant_domain::refresh_token::{Generation, Presented};
use regrant_domain::time::Timestamp;
use regrant_domain::token_key::TokenKeyRing;
use serde_json::Value;
use sha2::Sha256;

use crate::{Made, keys, tokens};

/// 32 bytes.
const SIGNING_KEY: [u8; 32] = *b"a key that only these tests have";
const NOBODYS_KEY: [u8; 32] = *b"a key that never signed anything";

pub(crate) fn refresh(data: &[u8]) -> Made {
    let ring = keys::ours();
    let Some((text, signed)) = text(data, jwt_key(&ring)) else { return Made::Nothing };
    assert!(JwtCodec::new(options(), keys::nobodys()).decode(&text).is_err(), "a forgery was accepted");
    let codec = JwtCodec::new(options(), ring);
    let Ok(presented) = codec.decode(&text) else { return Made::Nothing };
    assert!(access_tokens(SIGNING_KEY).verify(&text, Timestamp::from_millis(0)).is_err(), "it is an access token too");
    has_the_header_of(&text, "rt+jwt");
    let Presented::Chained(token) = &presented else { panic!("it carries its session") };
    assert!(token.generation <= Generation::LAST);
    assert_eq!(codec.lookup(token), presented.lookup());
    if !signed {
        // Ours, and so with the one user of the corpus.
        let facts = TokenFacts { expires_at: token.expires_at.expect("it says so"), ..tokens::FACTS };
        let again = codec.encode(token, &facts).expect("its key is ours");
        assert_eq!(again.expose(), text, "a token has two texts");
    }
    Made::Something
}

pub(crate) fn access(data: &[u8]) -> Made {
    let Some((text, _)) = text(data, &SIGNING_KEY) else { return Made::Nothing };
    let start = Timestamp::from_millis(0);
    let forged = access_tokens(NOBODYS_KEY).verify(&text, start);
    assert_eq!(forged.err(), Some(AccessRefusal::NotAuthentic), "a forgery was accepted");
    let tokens = access_tokens(SIGNING_KEY);
    let Ok(claims) = tokens.verify(&text, start) else { return Made::Nothing };
    has_the_header_of(&text, "at+jwt");
    assert!(JwtCodec::new(options(), keys::ours()).decode(&text).is_err(), "it is a refresh token too");
    assert!(claims.proof.kept().is_none() && claims.expires_at > start);
    assert_eq!(tokens.verify(&text, claims.expires_at).err(), Some(AccessRefusal::Expired));
    Made::Something
}

fn options() -> JwtOptions {
    JwtOptions { issuer: "https://issuer.test".into(), audience: "test".into() }
}

fn access_tokens(key: [u8; 32]) -> JwtAccessTokens {
    let key = key.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
    let key = SigningKey::from_file_contents(Algorithm::Hs256, &key).expect("32 bytes in hex");
    JwtAccessTokens::new(options(), key, vec![])
}

fn jwt_key(ring: &TokenKeyRing) -> &[u8; 32] {
    ring.keys().next().expect("there is one").jwt_key()
}

/// The text that the bytes stand for, and whether it was signed here.
fn text(data: &[u8], key: &[u8; 32]) -> Option<(String, bool)> {
    let text = str::from_utf8(data).ok()?;
    let Some((header, claims)) = text.split_once('\n') else { return Some((text.to_owned(), false)) };
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length will do");
    mac.update(signed.as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
    Some((format!("{signed}.{signature}"), true))
}

/// Whatever is accepted says so itself: the one algorithm, the one type, and no extension that must be understood.
fn has_the_header_of(text: &str, typ: &str) {
    let header = text.split('.').next().expect("the first part");
    let header = URL_SAFE_NO_PAD.decode(header).expect("it was accepted");
    let header: Value = serde_json::from_slice(&header).expect("it was accepted");
    assert_eq!(header["alg"], "HS256");
    let of_type = header["typ"].as_str().expect("text").to_ascii_lowercase();
    assert_eq!(of_type.strip_prefix("application/").unwrap_or(&of_type), typ);
    assert!(header["crit"].is_null(), "an extension was passed over");
}
