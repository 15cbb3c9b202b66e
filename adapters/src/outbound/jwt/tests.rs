//! What is issued is accepted, until its expiry, and means the same to other implementations.

use std::sync::LazyLock;

use regrant_domain::access_token::Proof;
use regrant_domain::ids::{AccessTokenId, SessionId, UserId};
use regrant_domain::user::Email;
use serde_json::json;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use regrant_domain::testing::Counting;

use super::*;

/// A key of each algorithm.
pub(super) static KEYS: LazyLock<Vec<(Algorithm, String)>> = LazyLock::new(|| {
    Algorithm::ALL
        .map(|algorithm| (algorithm, SigningKey::generate(algorithm, &Counting::default()).expect("a key").to_string()))
        .to_vec()
});

pub(super) fn key(algorithm: Algorithm) -> SigningKey {
    let (_, text) = KEYS.iter().find(|(one, _)| *one == algorithm).expect("a key of each");
    SigningKey::from_file_contents(algorithm, text).expect("it was generated")
}

pub(super) fn tokens(algorithm: Algorithm) -> JwtAccessTokens {
    let options = JwtOptions { issuer: "https://auth.example".into(), audience: "api".into() };
    JwtAccessTokens::new(options, key(algorithm), vec![])
}

/// 2026-11-21T08:30:00.250Z
pub(super) const NOW: Timestamp = Timestamp::from_millis(1_795_249_800_250);
pub(super) const USER: UserId = UserId::from_bytes([1; 16]);
pub(super) const SESSION: SessionId = SessionId::from_bytes([2; 16]);

pub(super) fn grant() -> AccessGrant {
    AccessGrant {
        id: AccessTokenId::from_bytes([3; 16]),
        user: USER,
        session: SESSION,
        issued_at: NOW,
        expires_at: NOW.plus(std::time::Duration::from_hours(1)),
        email: None,
        kept: None,
    }
}

fn part(text: &str, index: usize) -> Value {
    let part = text.split('.').nth(index).expect("three parts");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("JSON")
}

#[test]
fn what_is_issued_is_accepted_in_each_algorithm() {
    for algorithm in Algorithm::ALL {
        let tokens = tokens(algorithm);
        let token = tokens.issue(&grant()).expect("issued");
        let claims = tokens.verify(token.text.expose(), NOW).expect("genuine");
        let AccessGrant { id, issued_at, .. } = grant();
        let proof = Proof::Signed { id, issued_at: Timestamp::from_millis(issued_at.seconds() * 1000) };
        let expected = AccessClaims { user: USER, session: SESSION, expires_at: token.expires_at, proof };
        assert_eq!(claims, expected, "{algorithm}");
    }
}

#[test]
fn header_and_claims_are_those_of_rfc_9068() {
    let tokens = tokens(Algorithm::Es256);
    let email = Email::parse("ada@example.org").ok();
    let token = tokens.issue(&AccessGrant { email, ..grant() }).expect("issued");
    let text = token.text.expose();
    let kid = tokens.signing.verifying_key().kid();
    assert_eq!(part(text, 0), json!({ "typ": "at+jwt", "alg": "ES256", "kid": kid }));
    let expected = json!({
        "iss": "https://auth.example",
        "aud": "api",
        "client_id": "regrant",
        "sub": "01010101-0101-0101-0101-010101010101",
        "sid": "02020202-0202-0202-0202-020202020202",
        "jti": "03030303-0303-0303-0303-030303030303",
        "iat": 1_795_249_800,
        "exp": 1_795_253_400,
        "user_email": "ada@example.org",
    });
    assert_eq!(part(text, 1), expected);
    assert_eq!(part(tokens.issue(&grant()).expect("issued").text.expose(), 1).get("user_email"), None);
}

#[test]
fn a_token_is_accepted_until_the_millisecond_before_its_expiry() {
    let tokens = tokens(Algorithm::EdDsa);
    let token = tokens.issue(&grant()).expect("issued");
    assert_eq!(token.expires_at, Timestamp::from_millis(1_795_253_400_000));
    assert!(token.expires_at <= grant().expires_at);
    let at = |millis| tokens.verify(token.text.expose(), Timestamp::from_millis(millis)).err();
    assert_eq!(at(1_795_253_399_999), None);
    assert_eq!(at(1_795_253_400_000), Some(AccessRefusal::Expired));
    assert_eq!(at(i64::MAX), Some(AccessRefusal::Expired));
    // A server whose clock is behind the one that issued it does not sign anyone out.
    assert_eq!(at(0), None);
}

#[test]
fn the_last_instant_and_names_that_json_escapes_survive() {
    let options = JwtOptions { issuer: "a\"b\\ü\n".into(), audience: "\u{1}".into() };
    let tokens = JwtAccessTokens::new(options, key(Algorithm::Hs256), vec![]);
    let token = tokens.issue(&AccessGrant { expires_at: Timestamp::MAX, ..grant() }).expect("issued");
    assert_eq!(tokens.verify(token.text.expose(), NOW).map(|c| c.expires_at), Ok(token.expires_at));
}

#[test]
fn tokens_of_the_keys_before_and_after_are_accepted_and_of_others_are_not() {
    let options = JwtOptions { issuer: "https://auth.example".into(), audience: "api".into() };
    let before = tokens(Algorithm::Rs256);
    let also = vec![key(Algorithm::Rs256).verifying_key().clone()];
    let after = JwtAccessTokens::new(options, key(Algorithm::Es256), also);
    let (old, new) = (before.issue(&grant()).expect("issued"), after.issue(&grant()).expect("issued"));
    assert!(after.verify(old.text.expose(), NOW).is_ok());
    assert!(after.verify(new.text.expose(), NOW).is_ok());
    assert_eq!(before.verify(new.text.expose(), NOW), Err(AccessRefusal::NotAuthentic));
    let kids: Vec<_> = after.public_jwks().iter().map(|jwk| jwk["kty"].to_string()).collect();
    assert_eq!(kids, [r#""EC""#, r#""RSA""#]);
    assert!(tokens(Algorithm::Hs256).public_jwks().is_empty());
}

#[test]
fn nothing_that_is_held_can_be_printed() {
    for (algorithm, text) in &*KEYS {
        let shown = format!("{:?} {:?}", tokens(*algorithm), key(*algorithm));
        let secret = text.lines().find(|line| !line.starts_with('-')).expect("a line of key");
        assert!(!shown.contains(secret));
    }
}

mod another_implementation {
    use super::*;
    use jsonwebtoken as other;

    fn algorithm(ours: Algorithm) -> other::Algorithm {
        match ours {
            Algorithm::Es256 => other::Algorithm::ES256,
            Algorithm::EdDsa => other::Algorithm::EdDSA,
            Algorithm::Rs256 => other::Algorithm::RS256,
            Algorithm::Hs256 => other::Algorithm::HS256,
        }
    }

    fn secret(ours: Algorithm) -> Vec<u8> {
        let (_, text) = KEYS.iter().find(|(one, _)| *one == ours).expect("a key of each");
        hex::decode(text.trim()).unwrap_or_else(|_| text.clone().into_bytes())
    }

    #[test]
    fn accepts_what_is_issued_with_the_published_key() {
        for ours in Algorithm::ALL {
            let tokens = tokens(ours);
            let key = tokens.public_jwks().pop().map_or_else(
                || other::DecodingKey::from_secret(&secret(ours)),
                |jwk| other::DecodingKey::from_jwk(&serde_json::from_value(jwk).expect("a JWK")).expect("a key"),
            );
            let mut validation = other::Validation::new(algorithm(ours));
            validation.validate_exp = false;
            validation.set_audience(&["api"]);
            validation.set_issuer(&["https://auth.example"]);
            let token = tokens.issue(&grant()).expect("issued");
            let read = other::decode::<Value>(token.text.expose(), &key, &validation).expect("accepted");
            assert_eq!(read.claims["sub"], USER.to_string());
        }
    }

    #[test]
    fn writes_what_is_accepted() {
        for ours in Algorithm::ALL {
            let tokens = tokens(ours);
            let text = secret(ours);
            let key = match ours {
                Algorithm::Es256 => other::EncodingKey::from_ec_pem(&text),
                Algorithm::EdDsa => other::EncodingKey::from_ed_pem(&text),
                Algorithm::Rs256 => other::EncodingKey::from_rsa_pem(&text),
                Algorithm::Hs256 => Ok(other::EncodingKey::from_secret(&text)),
            };
            let mut header = other::Header::new(algorithm(ours));
            header.typ = Some("application/AT+JWT".into());
            header.kid = Some(tokens.signing.verifying_key().kid().to_owned());
            let claims = part(tokens.issue(&grant()).expect("issued").text.expose(), 1);
            let token = other::encode(&header, &claims, &key.expect("a key")).expect("signed");
            assert_eq!(tokens.verify(&token, NOW).map(|claims| claims.user), Ok(USER), "{ours}");
        }
    }
}
