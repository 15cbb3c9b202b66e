//! `Authorization: Bearer` (RFC 6750) in all its wrong forms.

use super::every_route::{Needs, ROUTES, Route, Scene};
use crate::support::transport::{Answer, Call};

const ASK: &str = "Bearer realm=\"regrant\"";

/// Those that tell a malformed token from a refused one, and look at the query string.
fn routes_with_a_token() -> impl Iterator<Item = &'static Route> {
    ROUTES.iter().filter(|route| route.takes_bearer() && route.needs != Needs::Forwarded)
}

#[track_caller]
fn is_malformed(answer: &Answer) {
    answer.is_problem(400, "invalid_request");
    let challenge = answer.header("www-authenticate").unwrap();
    assert!(challenge.starts_with("Bearer error=\"invalid_request\""), "{challenge}");
}

#[tokio::test]
async fn another_scheme_counts_as_no_token() {
    let scene = Scene::new().await;
    for route in routes_with_a_token() {
        for value in ["", "Basic YWRhOnB3", "Bearerx abc", "Token abc", "DPoP abc"] {
            let answer = scene.world.send(scene.anonymous(route).header("authorization", value)).await;
            answer.is_problem(401, "missing_token");
            assert_eq!(answer.header("www-authenticate"), Some(ASK));
        }
    }
}

#[tokio::test]
async fn a_malformed_token_is_a_bad_request() {
    let scene = Scene::new().await;
    let overlong = format!("Bearer {}", "a".repeat(8 * 1024 + 1));
    let values: [&[u8]; 10] = [
        b"Bearer",
        b"bearer ",
        b"Bearer a b",
        b"Bearer a,b",
        b"Bearer a=b",
        b"Bearer ===",
        b"Bearer \"a\"",
        b"Bearer a\tb",
        b"Bearer \xc3\xa4",
        overlong.as_bytes(),
    ];
    for route in routes_with_a_token() {
        for value in values {
            let answer = scene.world.send(scene.anonymous(route).header("authorization", value)).await;
            is_malformed(&answer);
        }
    }
}

#[tokio::test]
async fn the_longest_token_is_still_looked_at() {
    let scene = Scene::new().await;
    let longest = "a".repeat(8 * 1024);
    for route in routes_with_a_token() {
        scene.world.send(scene.anonymous(route).bearer(&longest)).await.is_problem(401, "invalid_token");
    }
}

#[tokio::test]
async fn one_token_in_one_place() {
    for route in routes_with_a_token() {
        let scene = Scene::new().await;
        let twice = scene.proper(route).bearer("again");
        is_malformed(&scene.world.send(twice).await);
        for parameter in ["access_token", "refresh_token", "token", "access%5Ftoken", "a=b&token"] {
            for mut call in [scene.proper(route), scene.anonymous(route)] {
                let sign = if call.path.contains('?') { '&' } else { '?' };
                call.path = format!("{}{sign}{parameter}={}", call.path, scene.phone.access);
                is_malformed(&scene.world.send(call).await);
            }
        }
        scene.phone.is_signed_in().await;
    }
}

#[tokio::test]
async fn the_scheme_may_be_written_in_any_case() {
    let scene = Scene::new().await;
    for scheme in ["bearer", "BEARER", "BeArEr", "Bearer  "] {
        let value = format!("{scheme} {}", scene.phone.access);
        scene.world.send(Call::get("/api/me").header("authorization", value)).await.is(200);
    }
}

#[tokio::test]
async fn refresh_and_revoke_take_no_body() {
    let scene = Scene::new().await;
    for path in ["/api/refresh", "/api/revoke"] {
        let stolen = format!("{{\"refresh_token\":\"{}\"}}", scene.phone.refresh);
        for body in [stolen.as_str(), "refresh_token=abc", "[]", "{}{}", "0", "\"\"", "nul"] {
            let call = Call::post(path).bearer(&scene.phone.refresh).body(body);
            is_malformed(&scene.world.send(call).await);
            scene.world.send(Call::post(path).body(body)).await.is_problem(401, "missing_token");
        }
        let long = Call::post(path).bearer(&scene.phone.refresh).body(" ".repeat(64 * 1024 + 1));
        scene.world.send(long).await.is_problem(413, "body_too_large");
    }
    scene.phone.is_signed_in().await;
    for body in ["", " \r\n\t", "{}", "null", " {}\n"] {
        let call = Call::post("/api/refresh").bearer(&scene.phone.refresh).body(body);
        scene.world.send(call).await.is(200);
    }
}

#[tokio::test]
async fn a_retry_key_is_there_once_and_visible() {
    let scene = Scene::new().await;
    let longest = "k".repeat(255);
    let too_long = "k".repeat(256);
    let refresh = || Call::post("/api/refresh").bearer(&scene.phone.refresh);
    for bad in ["", "two words", "ä", &too_long] {
        let answer = scene.world.send(refresh().header("idempotency-key", bad)).await;
        assert!(answer.is_problem(400, "invalid_idempotency_key").text().contains("Idempotency-Key"));
    }
    let twice = refresh().header("idempotency-key", "a").header("idempotency-key", "a");
    scene.world.send(twice).await.is_problem(400, "invalid_idempotency_key");
    scene.world.send(refresh().header("idempotency-key", &longest)).await.is(200);
}
