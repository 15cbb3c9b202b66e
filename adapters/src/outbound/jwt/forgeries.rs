//! Texts that are not our access tokens, however much they look like them.

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Map, json};

use super::tests::{KEYS, NOW, SESSION, USER, grant, key, tokens};
use regrant_domain::testing::Counting;

use super::*;

fn unsigned(header: &str, claims: &str) -> String {
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims))
}

/// A good signature over any header and claims.
fn forge(key: &SigningKey, header: &str, claims: &str) -> String {
    let text = unsigned(header, claims);
    let signature = key.sign(text.as_bytes()).expect("signed");
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn hs256(secret: &[u8], header: &str, claims: &str) -> String {
    let text = unsigned(header, claims);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(tag))
}

fn header_with(algorithm: &str, kid: &str) -> String {
    json!({ "typ": "at+jwt", "alg": algorithm, "kid": kid }).to_string()
}

fn header(key: &SigningKey) -> String {
    header_with(key.verifying_key().algorithm().name(), key.verifying_key().kid())
}

fn claims() -> Map<String, Value> {
    let claims = json!({
        "iss": "https://auth.example", "aud": "api", "client_id": "regrant", "sub": USER.to_string(),
        "sid": SESSION.to_string(), "jti": SESSION.to_string(), "iat": 1_795_249_800, "exp": 1_795_253_400,
    });
    claims.as_object().expect("an object").clone()
}

/// The claims with one of them replaced by this JSON text, or left out.
fn claims_but(name: &str, text: Option<&str>) -> String {
    let mut claims = claims();
    claims.remove(name);
    let others = Value::Object(claims).to_string();
    text.map_or(others.clone(), |text| format!("{{\"{name}\":{text},{}", &others[1..]))
}

fn verify(tokens: &JwtAccessTokens, text: &str) -> Result<AccessClaims, AccessRefusal> {
    tokens.verify(text, NOW)
}

const FORGED: Result<AccessClaims, AccessRefusal> = Err(AccessRefusal::NotAuthentic);

#[test]
fn the_helper_makes_tokens_that_are_accepted_unless_something_is_wrong_with_them() {
    for algorithm in Algorithm::ALL {
        let key = key(algorithm);
        assert!(verify(&tokens(algorithm), &forge(&key, &header(&key), &Value::Object(claims()).to_string())).is_ok());
    }
}

#[test]
fn no_algorithm_but_the_keys_own_is_accepted() {
    let claims = Value::Object(claims()).to_string();
    for algorithm in Algorithm::ALL {
        let (tokens, key) = (tokens(algorithm), key(algorithm));
        let kid = key.verifying_key().kid();
        for name in ["none", "None", "NONE", "nOnE", "", "HS256", "HS512", "ES256", "ES384", "RS256", "PS256", "EdDSA"]
        {
            if name == algorithm.name() {
                continue;
            }
            let header = header_with(name, kid);
            let signed = forge(&key, &header, &claims);
            let (message, signature) = signed.rsplit_once('.').expect("three parts");
            for text in [signed.clone(), format!("{message}."), message.to_owned(), format!("{message}.{signature}.")] {
                assert_eq!(verify(&tokens, &text), FORGED, "{algorithm} as {name:?}");
            }
        }
        for header in [
            format!(r#"{{"typ":"at+jwt","kid":"{kid}"}}"#),
            format!(r#"{{"typ":"at+jwt","alg":null,"kid":"{kid}"}}"#),
            format!(r#"{{"typ":"at+jwt","alg":["{algorithm}"],"kid":"{kid}"}}"#),
            format!(r#"{{"typ":"at+jwt","alg":"{}","kid":"{kid}"}}"#, algorithm.name().to_lowercase() + " "),
        ] {
            assert_eq!(verify(&tokens, &forge(&key, &header, &claims)), FORGED, "{header}");
        }
    }
}

#[test]
fn a_public_key_is_no_hmac_key() {
    let claims = Value::Object(claims()).to_string();
    let (_, pem) = KEYS.iter().find(|(algorithm, _)| *algorithm == Algorithm::Es256).expect("a key of each");
    let file = pem::read(pem).expect("a private key");
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &file.der).expect("generated");
    let der: PublicKeyX509Der<'_> = pair.public_key().as_der().expect("DER");
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----", STANDARD.encode(der.as_ref()));
    let tokens = tokens(Algorithm::Es256);
    let key = key(Algorithm::Es256);
    let kid = key.verifying_key().kid();
    let jwk = key.verifying_key().public_jwk().expect("public").to_string();
    let secrets: [&[u8]; 9] = [
        pair.public_key().as_ref(),
        &pair.public_key().as_ref()[1..],
        der.as_ref(),
        pem.as_bytes(),
        &[pem.as_bytes(), b"\n"].concat(),
        &[b"  \n", pem.as_bytes()].concat(),
        jwk.as_bytes(),
        kid.as_bytes(),
        b"",
    ];
    for secret in secrets {
        for name in ["HS256", "ES256"] {
            assert_eq!(verify(&tokens, &hs256(secret, &header_with(name, kid), &claims)), FORGED);
        }
    }
}

#[test]
fn only_the_type_of_access_tokens_is_accepted() {
    let claims = Value::Object(claims()).to_string();
    let key = key(Algorithm::EdDsa);
    let tokens = tokens(Algorithm::EdDsa);
    let kid = key.verifying_key().kid();
    let with = |typ: &str| verify(&tokens, &forge(&key, &format!(r#"{{"alg":"EdDSA","kid":"{kid}"{typ}}}"#), &claims));
    for typ in ["at+jwt", "AT+JWT", "application/at+jwt", "Application/At+JWT"] {
        assert!(with(&format!(r#","typ":"{typ}""#)).is_ok(), "{typ}");
    }
    for typ in [
        "JWT",
        "jwt",
        "rt+jwt",
        "",
        "at+jwt ",
        " at+jwt",
        "at",
        "application/",
        "application/jwt",
        "text/at+jwt",
        "application/application/at+jwt",
        "at+jwt\\u0000",
        "ät+jwt",
        "applicatioä/at+jwt",
    ] {
        assert_eq!(with(&format!(r#","typ":"{typ}""#)), FORGED, "{typ}");
    }
    for typ in ["", r#","typ":null"#, r#","typ":["at+jwt"]"#, r#","typ":1"#] {
        assert_eq!(with(typ), FORGED, "{typ}");
    }
}

#[test]
fn extensions_that_must_be_understood_are_not() {
    let claims = Value::Object(claims()).to_string();
    let key = key(Algorithm::EdDsa);
    // (`null` reads as absent, and names no extension.)
    for crit in [r#"["exp"]"#, "[]", "0", r#"["b64"],"b64":false"#] {
        let header = format!("{},\"crit\":{crit}}}", header(&key).trim_end_matches('}'));
        assert_eq!(verify(&tokens(Algorithm::EdDsa), &forge(&key, &header, &claims)), FORGED, "{crit}");
    }
}

#[test]
fn a_strange_kid_is_harmless_and_key_locations_are_never_followed() {
    let claims = Value::Object(claims()).to_string();
    let key = key(Algorithm::Es256);
    let tokens = tokens(Algorithm::Es256);
    let long = "k".repeat(10_000);
    let strange =
        ["", "' OR 1=1 --", "../../../../dev/null", "/dev/null", "http://169.254.169.254/", "\0", "😀", &long];
    for kid in strange {
        assert_eq!(verify(&tokens, &forge(&key, &header_with("ES256", kid), &claims)), FORGED);
        assert_eq!(verify(&tokens, &hs256(b"", &header_with("HS256", kid), &claims)), FORGED);
    }
    for kid in ["", r#","kid":null"#, r#","kid":7"#, r#","kid":{}"#] {
        let header = format!(r#"{{"typ":"at+jwt","alg":"ES256"{kid}}}"#);
        assert_eq!(verify(&tokens, &forge(&key, &header, &claims)), FORGED, "{kid}");
    }
    // A key that the token brings along does not count, even under our name.
    let theirs = SigningKey::generate(Algorithm::Es256, &Counting::default()).expect("a key");
    let theirs = SigningKey::from_file_contents(Algorithm::Es256, &theirs).expect("a key");
    let jwk = theirs.verifying_key().public_jwk().expect("public");
    for kid in [key.verifying_key().kid(), theirs.verifying_key().kid()] {
        let header = json!({
            "typ": "at+jwt", "alg": "ES256", "kid": kid, "jwk": jwk, "jku": "https://evil.example/jwks",
            "x5u": "https://evil.example/cert", "x5c": ["AAAA"],
        });
        assert_eq!(verify(&tokens, &forge(&theirs, &header.to_string(), &claims)), FORGED);
    }
}

#[test]
fn a_token_of_another_deployment_is_refused() {
    for algorithm in Algorithm::ALL {
        let text = SigningKey::generate(algorithm, &Counting::from(900)).expect("a key");
        let theirs = SigningKey::from_file_contents(algorithm, &text).expect("a key");
        let options = JwtOptions { issuer: "https://auth.example".into(), audience: "api".into() };
        let token = JwtAccessTokens::new(options, theirs, vec![]).issue(&grant()).expect("issued");
        assert_eq!(verify(&tokens(algorithm), token.text.expose()), FORGED);
        for (issuer, audience) in [("https://auth.example/", "api"), ("", "api"), ("https://auth.example", "API")] {
            let options = JwtOptions { issuer: issuer.into(), audience: audience.into() };
            let token = JwtAccessTokens::new(options, key(algorithm), vec![]).issue(&grant()).expect("issued");
            assert_eq!(verify(&tokens(algorithm), token.text.expose()), FORGED, "{issuer} {audience}");
        }
    }
}

#[test]
fn each_claim_must_be_there_and_of_the_right_type() {
    const NUMBERS: [&str; 14] = [
        "\"9999999999\"",
        "null",
        "1e400",
        "-1",
        "-0.5",
        "-1e400",
        "1e300",
        "18446744073709551615",
        "253402300800",
        "[1795253400]",
        "{}",
        "true",
        "\"\"",
        "NaN",
    ];
    let key = key(Algorithm::Hs256);
    let tokens = tokens(Algorithm::Hs256);
    let with = |name, text| verify(&tokens, &forge(&key, &header(&key), &claims_but(name, text)));
    for name in ["iss", "aud", "exp", "iat", "sub", "sid", "jti", "client_id"] {
        assert_eq!(with(name, None), FORGED, "without {name}");
    }
    for name in ["exp", "iat", "nbf"] {
        for text in NUMBERS {
            assert_eq!(with(name, Some(text)), FORGED, "{name}: {text}");
        }
    }
    for name in ["iss", "sub", "sid", "jti"] {
        for text in ["null", "1", "[]", "{}", "\"\"", "\"x\"", "\"01010101010101010101010101010101\"", "true"] {
            assert_eq!(with(name, Some(text)), FORGED, "{name}: {text}");
        }
    }
    for text in ["null", "1", "[]", "{}", "\"\"", "[\"x\"]", "[1,\"api\"]", "[[\"api\"]]", "{\"api\":1}", "\"api \""] {
        assert_eq!(with("aud", Some(text)), FORGED, "aud: {text}");
    }
    for text in ["null", "1", "[]"] {
        assert_eq!(with("client_id", Some(text)), FORGED, "client_id: {text}");
    }
    for text in [r#"["other","api"]"#, r#"["api"]"#, r#""\u0061pi""#] {
        assert!(with("aud", Some(text)).is_ok(), "aud: {text}");
    }
}

#[test]
fn instants_may_have_fractions_and_are_exact_to_the_millisecond() {
    let key = key(Algorithm::Hs256);
    let tokens = tokens(Algorithm::Hs256);
    let at = |name, text: &str| verify(&tokens, &forge(&key, &header(&key), &claims_but(name, Some(text))));
    assert_eq!(at("exp", "1795249800.251").map(|c| c.expires_at.millis()), Ok(1_795_249_800_251));
    assert_eq!(at("exp", "1795249800.25"), Err(AccessRefusal::Expired));
    assert_eq!(at("exp", "1.7952534e9").map(|c| c.expires_at.millis()), Ok(1_795_253_400_000));
    assert_eq!(at("exp", "0"), Err(AccessRefusal::Expired));
    assert_eq!(at("exp", "253402300799").map(|c| c.expires_at.millis()), Ok(253_402_300_799_000));
    assert!(at("nbf", "1795249800.25").is_ok());
    assert_eq!(at("nbf", "1795249800.251"), FORGED);
    assert!(at("iat", "1795249999").is_ok(), "the issuer's clock may be ahead of ours");
}

#[test]
fn an_expired_token_is_told_apart_only_if_everything_else_is_genuine() {
    let key = key(Algorithm::Hs256);
    let tokens = tokens(Algorithm::Hs256);
    let expired = claims_but("exp", Some("1795249800"));
    let text = forge(&key, &header(&key), &expired);
    assert_eq!(verify(&tokens, &text), Err(AccessRefusal::Expired));
    assert_eq!(verify(&tokens, &forge(&key, &header(&key), &expired.replace("\"api\"", "\"apj\""))), FORGED);
    assert_eq!(verify(&tokens, &format!("{}A", &text[..text.len() - 1])), FORGED);
}

#[test]
fn members_that_are_there_twice_are_refused() {
    let key = key(Algorithm::Hs256);
    let tokens = tokens(Algorithm::Hs256);
    let good = Value::Object(claims()).to_string();
    for (name, value) in claims() {
        let twice = format!("{{\"{name}\":{value},{}", &good[1..]);
        assert_eq!(verify(&tokens, &forge(&key, &header(&key), &twice)), FORGED, "{name}");
    }
    for name in ["alg", "typ", "kid"] {
        let header = header(&key);
        let value = &serde_json::from_str::<Value>(&header).expect("JSON")[name];
        let twice = format!("{{\"{name}\":{value},{}", &header[1..]);
        assert_eq!(verify(&tokens, &forge(&key, &twice, &good)), FORGED, "{name}");
    }
}

#[test]
fn no_bit_of_any_part_can_be_changed() {
    for algorithm in Algorithm::ALL {
        let tokens = tokens(algorithm);
        let token = tokens.issue(&grant()).expect("issued");
        let good = token.text.expose();
        let parts: Vec<_> = good.split('.').collect();
        for (index, part) in parts.iter().enumerate() {
            let bytes = URL_SAFE_NO_PAD.decode(part).expect("base64url");
            for bit in 0..bytes.len() * 8 {
                let mut bytes = bytes.clone();
                bytes[bit / 8] ^= 1 << (bit % 8);
                let changed = URL_SAFE_NO_PAD.encode(bytes);
                let mut parts = parts.clone();
                parts[index] = &changed;
                assert_eq!(verify(&tokens, &parts.join(".")), FORGED, "{algorithm}, part {index}, bit {bit}");
            }
        }
    }
}

#[test]
fn no_character_of_the_text_can_be_changed() {
    let tokens = tokens(Algorithm::Hs256);
    let token = tokens.issue(&grant()).expect("issued");
    let good = token.text.expose();
    for at in 0..good.len() {
        for other in ['A', 'b', '0', '-', '_', '.', '=', '+', '/', ' ', '\n', '\0', 'é'] {
            if good.as_bytes()[at] != other as u8 || !other.is_ascii() {
                let forged = format!("{}{other}{}", &good[..at], &good[at + 1..]);
                assert_eq!(verify(&tokens, &forged), FORGED, "character {at} as {other:?}");
            }
        }
        assert_eq!(verify(&tokens, &good[..at]), FORGED, "cut at {at}");
        assert_eq!(verify(&tokens, &good[at + 1..]), FORGED, "from {at}");
    }
}

#[test]
fn other_shapes_are_refused_without_a_panic() {
    let key = key(Algorithm::Hs256);
    let tokens = tokens(Algorithm::Hs256);
    let good = forge(&key, &header(&key), &Value::Object(claims()).to_string());
    let long = "A".repeat(1_000_000);
    let deep = forge(&key, &header(&key), &("[".repeat(3000)));
    let padded = claims_but("x", Some(&format!("\"{}\"", "x".repeat(9000))));
    let trailing = format!("{}x", Value::Object(claims()));
    for text in [
        String::new(),
        ".".into(),
        "..".into(),
        "...".into(),
        "a.b.c".into(),
        format!("{good}="),
        format!("{good}=="),
        format!(" {good}"),
        format!("{good}\n"),
        format!("{good}.{good}"),
        format!("Bearer {good}"),
        good.replace('.', ".."),
        format!("{long}.{long}.{long}"),
        format!("..{long}"),
        deep,
        forge(&key, &header(&key), &padded),
        forge(&key, &header(&key), &trailing),
        forge(&key, &header(&key), "\u{feff}{}"),
        forge(&key, &header(&key), "null"),
        forge(&key, &header(&key), "[]"),
        forge(&key, "[]", "{}"),
        forge(&key, &"[".repeat(5000), "{}"),
    ] {
        assert_eq!(verify(&tokens, &text), FORGED, "{}", text.get(..80).unwrap_or(&text));
    }
}
