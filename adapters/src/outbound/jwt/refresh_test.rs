use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use regrant_domain::ids::{SessionId, UserId};
use regrant_domain::ports::{AccessTokens as _, NotAuthentic, TokenCodec as _, TokenFacts};
use regrant_domain::refresh_token::{Generation, Lifetime, Presented, RefreshToken};
use regrant_domain::secret::Secret;
use regrant_domain::time::Timestamp;
use regrant_domain::token_key::{TokenKey, TokenKeyId, TokenKeyRing};
use serde_json::{Map, Value, json};

use super::tests::{NOW, grant, tokens};
use super::{Algorithm, JwtCodec, JwtOptions};

const SESSION: SessionId = SessionId::from_bytes([7; 16]);
const USER: UserId = UserId::from_bytes([9; 16]);
const FACTS: TokenFacts = TokenFacts { user: USER, expires_at: Timestamp::from_millis(1_795_249_800_999) };

fn token_key(id: u8) -> TokenKey {
    TokenKey::new(TokenKeyId(id), &[id; TokenKey::LEN])
}

fn codec_with(current: u8, earlier: &[u8]) -> JwtCodec {
    let ring = TokenKeyRing::new(token_key(current), earlier.iter().copied().map(token_key).collect());
    // The issuer and the audience of the access tokens beside it.
    let options = JwtOptions { issuer: "https://auth.example".into(), audience: "api".into() };
    JwtCodec::new(options, Arc::new(ring.expect("ids differ")))
}

fn codec() -> JwtCodec {
    codec_with(1, &[])
}

fn token(lifetime: Lifetime) -> RefreshToken {
    RefreshToken {
        session: SESSION,
        generation: Generation(3),
        secret: Secret::new((0..32).collect()),
        lifetime,
        key: TokenKeyId(1),
        expires_at: None,
    }
}

fn text(codec: &JwtCodec) -> String {
    codec.encode(&token(Lifetime::Usual), &FACTS).expect("its key is in the ring").expose().to_owned()
}

fn part(text: &str, index: usize) -> Map<String, Value> {
    let part = text.split('.').nth(index).expect("three parts");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("JSON")
}

/// Any header and claims, with a good signature of the first token key.
fn signed(header: &Value, claims: &Value) -> String {
    let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, token_key(1).jwt_key()), text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(tag))
}

fn forged(header: &[(&str, Value)], claims: &[(&str, Value)]) -> Option<NotAuthentic> {
    let good = text(&codec());
    let (mut head, mut body) = (part(&good, 0), part(&good, 1));
    for (name, value) in header {
        head.insert((*name).into(), value.clone());
    }
    for (name, value) in claims {
        body.insert((*name).into(), value.clone());
    }
    body.retain(|_, value| *value != json!("(missing)"));
    codec().decode(&signed(&head.into(), &body.into())).err()
}

#[test]
fn it_carries_what_the_design_names_and_is_of_its_own_type() {
    let text = text(&codec());
    assert_eq!(Value::Object(part(&text, 0)), json!({ "typ": "rt+jwt", "alg": "HS256", "kid": "1" }));
    let claims = part(&text, 1);
    assert_eq!(claims["iss"], "https://auth.example");
    assert_eq!(claims["aud"], "api");
    assert_eq!(claims["sub"], USER.to_string());
    assert_eq!(claims["exp"], 1_795_249_801);
    assert_eq!(claims["sid"], SESSION.to_string());
    assert_eq!(claims["gen"], 3);
    let secret = URL_SAFE_NO_PAD.decode(claims["sec"].as_str().expect("text")).expect("base64url");
    assert_eq!(secret, (0..32).collect::<Vec<u8>>());
    assert!(claims["jti"].as_str().is_some_and(|jti| jti.len() == 36));
    assert!(!claims.contains_key("remembered"));
}

#[test]
fn it_comes_back_equal_and_the_same_token_has_the_same_text() {
    let codec = codec();
    for lifetime in [Lifetime::Usual, Lifetime::Remembered] {
        let made = codec.encode(&token(lifetime), &FACTS).expect("encoded");
        assert_eq!(made.expose(), codec.encode(&token(lifetime), &FACTS).expect("encoded").expose());
        let Ok(Presented::Chained(read)) = codec.decode(made.expose()) else { panic!("it is ours") };
        assert_eq!(read.secret.expose(), token(lifetime).secret.expose());
        assert_eq!((read.session, read.generation, read.key), (SESSION, Generation(3), TokenKeyId(1)));
        assert_eq!((read.lifetime, read.expires_at), (lifetime, Some(Timestamp::from_millis(1_795_249_801_000))));
    }
}

#[test]
fn what_is_only_expired_is_still_authentic_and_says_so() {
    let Ok(read) = codec().decode(&text(&codec())) else { panic!("it is ours") };
    let second = Timestamp::from_millis(1_795_249_801_000);
    assert!(read.says_expired(second));
    assert!(!read.says_expired(Timestamp::from_millis(second.millis() - 1)));
}

#[test]
fn the_helper_makes_tokens_that_are_accepted_unless_something_is_wrong_with_them() {
    assert_eq!(forged(&[], &[]), None);
    assert_eq!(forged(&[("typ", json!("application/RT+JWT"))], &[]), None);
}

#[test]
fn a_wrong_signature_is_refused() {
    let good = text(&codec());
    let (signed, signature) = good.rsplit_once('.').expect("dots");
    assert!(codec().decode(signed).is_err() && codec().decode(&format!("{signed}.")).is_err());
    let mut bytes = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
    for bit in 0..256 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(codec().decode(&format!("{signed}.{}", URL_SAFE_NO_PAD.encode(&bytes))).is_err(), "bit {bit}");
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
    for at in 0..good.len() {
        let mut bytes = good.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        assert!(codec().decode(&String::from_utf8(bytes).expect("ASCII")).is_err(), "character {at}");
    }
}

#[test]
fn another_algorithm_is_refused() {
    for algorithm in ["none", "None", "HS384", "HS512", "ES256", "RS256", "EdDSA", ""] {
        assert!(forged(&[("alg", json!(algorithm))], &[]).is_some(), "{algorithm}");
    }
    let unsigned = text(&codec());
    let claims = unsigned.split('.').nth(1).expect("claims");
    let header = URL_SAFE_NO_PAD.encode(r#"{"typ":"rt+jwt","alg":"none","kid":"1"}"#);
    assert!(codec().decode(&format!("{header}.{claims}.")).is_err());
}

#[test]
fn another_type_is_refused() {
    for typ in [json!("at+jwt"), json!("JWT"), json!("rt"), json!(""), json!(null)] {
        assert!(forged(&[("typ", typ.clone())], &[]).is_some(), "{typ}");
    }
    assert!(forged(&[("crit", json!(["exp"]))], &[]).is_some());
}

#[test]
fn another_issuer_is_refused() {
    for issuer in [json!("https://auth.example/"), json!(""), json!(["https://auth.example"]), json!("(missing)")] {
        assert!(forged(&[], &[("iss", issuer.clone())]).is_some(), "{issuer}");
    }
}

#[test]
fn another_audience_is_refused() {
    for audience in [json!("API"), json!([]), json!(["other"]), json!(null), json!("(missing)")] {
        assert!(forged(&[], &[("aud", audience.clone())]).is_some(), "{audience}");
    }
    assert_eq!(forged(&[], &[("aud", json!(["other", "api"]))]), None);
}

#[test]
fn an_expiry_that_is_missing_or_no_number_is_refused() {
    for exp in [json!("9999999999"), json!(null), json!(-1), json!(1e300), json!(true), json!("(missing)")] {
        assert!(forged(&[], &[("exp", exp.clone())]).is_some(), "{exp}");
    }
}

#[test]
fn a_session_generation_or_secret_of_another_shape_is_refused() {
    for (name, value) in [
        ("sub", json!("nobody")),
        ("sid", json!("(missing)")),
        ("sid", json!(7)),
        ("gen", json!(-1)),
        ("gen", json!("3")),
        ("gen", json!(u32::MAX)),
        ("gen", json!("(missing)")),
        ("sec", json!("not base64url!")),
        ("sec", json!("(missing)")),
        ("jti", json!("x")),
        ("remembered", json!("yes")),
    ] {
        assert!(forged(&[], &[(name, value.clone())]).is_some(), "{name}: {value}");
    }
}

#[test]
fn keys_come_from_the_ring_and_from_nowhere_else() {
    let old = text(&codec());
    assert!(codec_with(2, &[1]).decode(&old).is_ok());
    assert!(codec_with(2, &[]).decode(&old).is_err());
    for kid in [json!("2"), json!("../1"), json!("1' OR '1'='1"), json!("x".repeat(10_000)), json!(null)] {
        assert!(forged(&[("kid", kid.clone())], &[]).is_some());
    }
    assert_eq!(forged(&[("jku", json!("https://evil.example/keys"))], &[]), None, "never followed");
}

#[test]
fn an_access_token_is_no_refresh_token_and_the_other_way_round() {
    for algorithm in Algorithm::ALL {
        let tokens = tokens(algorithm);
        let access = tokens.issue(&grant()).expect("issued");
        assert!(codec().decode(access.text.expose()).is_err(), "{algorithm}");
        assert!(tokens.verify(&text(&codec()), NOW).is_err(), "{algorithm}");
    }
}
