//! Tokens that are not ours, however much they look like them, at every door that takes one (RFC 8725, RFC 9068 §4). What
//! each is refused for is tested beside the code that does; here it is shown that no door is without it.

use std::sync::Arc;

use axum::http::Method;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use regrant_adapters::outbound::jwt::{Algorithm, JwtAccessTokens, JwtOptions, SigningKey};
use regrant_domain::testing::Counting;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::oauth::is_inactive;
use crate::support::actors::Device;
use crate::support::transport::Call;
use crate::support::world::{AUDIENCE, ISSUER, World, signing_key};

/// HMAC-SHA256 (RFC 2104).
fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut block = [0; 64];
    if key.len() > block.len() {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = Sha256::new().chain_update(block.map(|b| b ^ 0x36)).chain_update(text).finalize();
    Sha256::new().chain_update(block.map(|b| b ^ 0x5c)).chain_update(inner).finalize().into()
}

fn unsigned(header: &str, claims: &str) -> String {
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims))
}

fn hs256(key: &[u8], header: &str, claims: &str) -> String {
    let text = unsigned(header, claims);
    let tag = URL_SAFE_NO_PAD.encode(hmac(key, text.as_bytes()));
    format!("{text}.{tag}")
}

/// Header and claims of a token, as text.
fn parts(token: &str) -> (String, String) {
    let part = |at| String::from_utf8(URL_SAFE_NO_PAD.decode(token.split('.').nth(at).unwrap()).unwrap()).unwrap();
    (part(0), part(1))
}

/// A member of a JSON object with another value, as text; `None`: without it.
fn but(object: &str, name: &str, value: Option<&str>) -> String {
    let mut object: Value = serde_json::from_str(object).unwrap();
    object.as_object_mut().unwrap().remove(name);
    let text = object.to_string();
    value.map_or(text.clone(), |value| format!("{{\"{name}\":{value},{}", &text[1..]))
}

/// What needs no key.
fn without_a_key(token: &str) -> Vec<String> {
    let (header, claims) = parts(token);
    let (message, signature) = token.rsplit_once('.').unwrap();
    let mut forged = vec![message.to_owned(), format!("{message}."), format!("{token}."), format!("{token}x")];
    forged.extend([format!("{message}.{}", &signature[1..]), format!("{message}.{signature}{signature}")]);
    // ECDSA with r = s = 0, in both encodings that are about.
    forged.extend(
        [vec![0; 64], vec![0x30, 6, 2, 1, 0, 2, 1, 0]]
            .map(|zero| format!("{message}.{}", URL_SAFE_NO_PAD.encode(zero))),
    );
    for algorithm in ["none", "None", "NONE", "nOnE", "", "HS256", "HS512", "RS256", "PS256", "ES256", "ES384", "EdDSA"]
    {
        let header = but(&header, "alg", Some(&format!("\"{algorithm}\"")));
        let text = unsigned(&header, &claims);
        if text != message {
            forged.extend([format!("{text}."), format!("{text}.{signature}"), text]);
        }
    }
    for kid in ["../../../../dev/null", "' OR 1=1 --", "x\\u0000y", "", "$(id)", &"k".repeat(5000)] {
        forged.push(format!("{}.{signature}", unsigned(&but(&header, "kid", Some(&format!("\"{kid}\""))), &claims)));
        forged.push(hs256(b"", &but(&header, "kid", Some(&format!("\"{kid}\""))), &claims));
    }
    let admin = but(&claims, "sub", Some("\"00000000-0000-0000-0000-000000000001\""));
    forged.push(format!("{}.{signature}", unsigned(&header, &admin)));
    forged.push(format!("{}.{signature}", unsigned(&header, &format!("{claims}{}", " ".repeat(9000)))));
    forged
}

/// What takes the public key for a secret, or brings a key along.
fn with_the_public_key(token: &str, jwk: &Value) -> Vec<String> {
    let (header, claims) = parts(token);
    let coordinate = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
    let raw = [vec![4], coordinate("x"), coordinate("y")].concat();
    let prefix = hex::decode("3059301306072a8648ce3d020106082a8648ce3d030107034200").unwrap();
    let der = [prefix, raw.clone()].concat();
    let body = STANDARD.encode(&der);
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n{}\n-----END PUBLIC KEY-----", &body[..64], &body[64..]);
    let mut forged = Vec::new();
    let jwk_text = jwk.to_string();
    let leading = format!("\n {pem}");
    for secret in [
        raw.as_slice(),
        &raw[1..],
        &der,
        pem.as_bytes(),
        format!("{pem}\n").as_bytes(),
        leading.as_bytes(),
        jwk_text.as_bytes(),
    ] {
        for algorithm in ["HS256", "ES256"] {
            forged.push(hs256(secret, &but(&header, "alg", Some(&format!("\"{algorithm}\""))), &claims));
        }
    }
    let theirs = SigningKey::generate(Algorithm::Es256, &Counting::default()).unwrap();
    let theirs = SigningKey::from_file_contents(Algorithm::Es256, &theirs).unwrap();
    let options = JwtOptions { issuer: ISSUER.into(), audience: AUDIENCE.into() };
    let stranger = JwtAccessTokens::new(options, theirs, vec![]).public_jwks().remove(0);
    for (name, value) in [
        ("jwk", stranger.to_string()),
        ("jku", "\"https://evil.example/jwks\"".into()),
        ("x5u", "\"https://evil.example/cert\"".into()),
        ("x5c", "[\"AAAA\"]".into()),
        ("kid", stranger["kid"].to_string()),
    ] {
        let header = but(&header, name, Some(&value));
        forged.push(hs256(stranger.to_string().as_bytes(), &header, &claims));
        forged.push(format!("{}.{}", unsigned(&header, &claims), token.rsplit('.').next().unwrap()));
    }
    forged
}

/// Good signatures over what is not an access token of this deployment, of this moment.
fn with_the_secret(token: &str, secret: &[u8]) -> Vec<String> {
    let (header, claims) = parts(token);
    assert_eq!(hs256(secret, &header, &claims), token, "the helper signs as the service does");
    let mut forged = Vec::new();
    for typ in ["\"JWT\"", "\"rt+jwt\"", "\"at+jwtx\"", "\"\"", "null", "[\"at+jwt\"]"] {
        forged.push(hs256(secret, &but(&header, "typ", Some(typ)), &claims));
    }
    for name in ["typ", "alg", "kid"] {
        forged.push(hs256(secret, &but(&header, name, None), &claims));
        let value = &serde_json::from_str::<Value>(&header).unwrap()[name];
        forged.push(hs256(secret, &format!("{{\"{name}\":{value},{}", &header[1..]), &claims));
    }
    forged.push(hs256(secret, &but(&header, "crit", Some("[\"exp\"]")), &claims));
    for name in ["iss", "aud", "exp", "iat", "sub", "sid", "jti", "client_id"] {
        for value in [None, Some("null"), Some("[]"), Some("{}"), Some("true")] {
            forged.push(hs256(secret, &header, &but(&claims, name, value)));
        }
        let value = &serde_json::from_str::<Value>(&claims).unwrap()[name];
        forged.push(hs256(secret, &header, &format!("{{\"{name}\":{value},{}", &claims[1..])));
    }
    for (name, value) in [
        ("iss", "\"https://issuer.test/\""),
        ("iss", "\"https://evil.test\""),
        ("aud", "\"another\""),
        ("aud", "[\"another\"]"),
        ("exp", "\"9999999999\""),
        ("exp", "1e400"),
        ("exp", "-1"),
        ("exp", "1767225600"),
        ("exp", "1767225599"),
        ("nbf", "1767225601"),
        ("nbf", "\"0\""),
        ("sub", "\"admin\""),
        ("sid", "\"' OR 1=1 --\""),
    ] {
        forged.push(hs256(secret, &header, &but(&claims, name, Some(value))));
    }
    forged
}

/// Whether a text can stand in a header at all.
fn fits_a_header(token: &str) -> bool {
    token.bytes().all(|b| b.is_ascii_graphic())
}

/// At every door: not let in, nothing told, nothing ended.
async fn is_refused_everywhere(world: &World, phone: &Device, forged: &str) {
    if fits_a_header(forged) {
        for (method, path) in [
            (Method::GET, "/api/me"),
            (Method::GET, "/api/sessions"),
            (Method::DELETE, "/api/sessions"),
            (Method::GET, "/api/verify"),
            (Method::GET, "/api/verify?check=session"),
            (Method::POST, "/api/refresh"),
            (Method::POST, "/api/revoke"),
        ] {
            let answer = world.send(Call::new(method, path).bearer(forged)).await;
            let refused = matches!(answer.status.as_u16(), 400 | 401);
            assert!(refused && answer.header("www-authenticate").is_some(), "{path} {forged}: {}", answer.everything());
            assert_eq!(answer.header("x-auth-user"), None);
        }
    }
    is_inactive(world, forged).await;
    let form = [("grant_type", "refresh_token"), ("refresh_token", forged)];
    world.send(Call::post("/oauth/token").form(&form)).await.is_oauth_error(400, "invalid_grant", None);
    world.send(Call::post("/oauth/revoke").form(&[("token", forged)])).await.is(200);
    assert!(phone.asks(Call::get("/api/me")).await.status == 200, "{forged} ended the session");
}

async fn ada_at(world: &World) -> Device {
    world.signs_up("ada@example.org").await.signs_in().await
}

#[tokio::test]
async fn signatures_that_are_missing_or_of_another_algorithm() {
    let key = SigningKey::generate(Algorithm::Es256, &Counting::default()).unwrap();
    let key = SigningKey::from_file_contents(Algorithm::Es256, &key).unwrap();
    let jwk = key.verifying_key().public_jwk().unwrap();
    let options = JwtOptions { issuer: ISSUER.into(), audience: AUDIENCE.into() };
    let world = World::with(|plan| plan.ports.access_tokens = Arc::new(JwtAccessTokens::new(options, key, vec![])));
    let phone = ada_at(&world).await;
    let forged = [without_a_key(&phone.access), with_the_public_key(&phone.access, &jwk)].concat();
    assert!(forged.len() > 70 && !forged.contains(&phone.access), "{}", forged.len());
    for forged in forged {
        is_refused_everywhere(&world, &phone, &forged).await;
    }
}

#[tokio::test]
async fn good_signatures_over_something_else() {
    let world = World::new();
    let phone = ada_at(&world).await;
    let secret = SigningKey::generate(Algorithm::Hs256, &Counting::default()).unwrap();
    let secret = hex::decode(secret.trim()).unwrap();
    let forged = with_the_secret(&phone.access, &secret);
    assert!(forged.len() > 70 && !forged.contains(&phone.access), "{}", forged.len());
    for forged in forged {
        is_refused_everywhere(&world, &phone, &forged).await;
    }
}

#[tokio::test]
async fn tokens_of_other_deployments() {
    let world = World::new();
    let phone = ada_at(&world).await;
    for (issuer, audience) in [(ISSUER, "other"), ("https://other.test", AUDIENCE)] {
        let options = JwtOptions { issuer: issuer.into(), audience: audience.into() };
        let there = World::with(|plan| {
            plan.ports.access_tokens = Arc::new(JwtAccessTokens::new(options, signing_key(), vec![]));
        });
        let stranger = ada_at(&there).await;
        is_refused_everywhere(&world, &phone, &stranger.access).await;
    }
}

#[tokio::test]
async fn refresh_tokens_that_are_jwts() {
    let world = World::of_config("jwt");
    let phone = ada_at(&world).await;
    let forged = without_a_key(&phone.refresh);
    assert!(forged.len() > 50 && !forged.contains(&phone.refresh), "{}", forged.len());
    for forged in forged {
        is_refused_everywhere(&world, &phone, &forged).await;
    }
    // Nor is one taken for the other, however its type is written.
    let (header, claims) = parts(&phone.refresh);
    let renamed = format!("{}.x", unsigned(&but(&header, "typ", Some(&json!("at+jwt").to_string())), &claims));
    is_refused_everywhere(&world, &phone, &renamed).await;
}
