//! Pages of other origins, and what every answer says to a browser.

use std::time::Duration;

use axum::http::Method;
use regrant_adapters::inbound::http::{Cors, CorsLists};

use super::every_route::{ROUTES, Scene};
use crate::support::transport::{Answer, Call};
use crate::support::world::World;

const APP: &str = "https://app.example.org";

fn lists(origins: &[&str]) -> CorsLists {
    let texts = |all: &[&str]| all.iter().map(|&one| one.to_owned()).collect();
    CorsLists {
        origins: texts(origins),
        methods: texts(&["GET", "POST", "PUT", "DELETE"]),
        headers: texts(&["Authorization", "Content-Type", "Idempotency-Key"]),
        exposed: texts(&["Retry-After", "WWW-Authenticate", "X-Request-Id"]),
        credentials: false,
        max_age: Duration::from_mins(10),
    }
}

fn world(lists: &CorsLists) -> World {
    World::with(|plan| plan.options.cors = Cors::new(lists))
}

fn preflight(path: &str, origin: &str) -> Call {
    let call = Call::new(Method::OPTIONS, path).header("origin", origin);
    call.header("access-control-request-method", "POST").header("access-control-request-headers", "authorization")
}

fn vary(answer: &Answer) -> Vec<&str> {
    answer.headers.get_all("vary").iter().map(|value| value.to_str().unwrap()).collect()
}

fn shares_nothing(answer: &Answer) {
    let found = answer.headers.keys().find(|name| name.as_str().starts_with("access-control-"));
    assert_eq!(found, None, "{answer:?}");
}

#[tokio::test]
async fn a_preflight_from_a_listed_origin_is_answered_on_every_route_without_a_token() {
    let world = world(&lists(&[APP, "https://other.example.org"]));
    for route in &ROUTES {
        let answer = world.send(preflight(route.path, APP)).await;
        assert!(answer.is(204).body.is_empty());
        assert_eq!(answer.header("access-control-allow-origin"), Some(APP));
        assert_eq!(answer.header("access-control-allow-methods"), Some("GET, POST, PUT, DELETE"));
        let headers = answer.header("access-control-allow-headers");
        assert_eq!(headers, Some("Authorization, Content-Type, Idempotency-Key"));
        assert_eq!(answer.header("access-control-max-age"), Some("600"));
        assert_eq!(answer.header("access-control-allow-credentials"), None);
        assert_eq!(vary(&answer)[0], "Origin");
        assert!(answer.header("x-request-id").is_some());
    }
}

#[tokio::test]
async fn an_origin_that_is_not_listed_gets_no_header_and_a_preflight_of_it_is_a_method_like_any_other() {
    let world = world(&lists(&[APP]));
    for origin in ["https://evil.example", "https://app.example.org.evil.example", "http://app.example.org", "null"] {
        let answer = world.send(preflight("/api/refresh", origin)).await;
        shares_nothing(answer.is_problem(405, "method_not_allowed"));
        let answer = world.send(Call::get("/healthz").header("origin", origin)).await;
        shares_nothing(answer.is(200));
        assert_eq!(vary(&answer), ["Origin"]);
    }
}

#[tokio::test]
async fn answers_to_a_listed_origin_can_be_read_refusals_too() {
    let scene = Scene::new().await;
    let shared = world(&lists(&[APP]));
    for (answer, status) in [
        (shared.send(Call::get("/healthz").header("origin", APP)).await, 200),
        (shared.send(Call::get("/api/me").header("origin", APP)).await, 401),
        (shared.send(Call::get("/nothing").header("origin", APP)).await, 404),
        (shared.send(Call::new(Method::OPTIONS, "/api/me").header("origin", APP)).await, 405),
    ] {
        assert_eq!(answer.is(status).header("access-control-allow-origin"), Some(APP));
        let exposed = answer.header("access-control-expose-headers");
        assert_eq!(exposed, Some("Retry-After, WWW-Authenticate, X-Request-Id"));
        assert_eq!(vary(&answer), ["Origin"]);
    }
    // And a page of nobody's, or no page at all, sees what it always saw.
    let answer = shared.send(Call::get("/healthz")).await;
    shares_nothing(answer.is(200));
    assert_eq!(vary(&answer), ["Origin"]);
    scene.phone.is_signed_in().await;
}

#[tokio::test]
async fn any_origin_is_a_star_and_cookies_go_to_listed_ones_only() {
    let any = world(&lists(&["*"]));
    for origin in [APP, "null"] {
        let answer = any.send(preflight("/api/refresh", origin)).await;
        assert_eq!(answer.is(204).header("access-control-allow-origin"), Some("*"));
    }
    let with_cookies = world(&CorsLists { credentials: true, ..lists(&[APP]) });
    for call in [preflight("/api/refresh", APP), Call::get("/healthz").header("origin", APP)] {
        let answer = with_cookies.send(call).await;
        assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
    }
    shares_nothing(&with_cookies.send(preflight("/api/refresh", "https://evil.example")).await);
}

#[tokio::test]
async fn without_origins_the_protocol_is_not_spoken() {
    assert_eq!(Cors::new(&lists(&[])), None);
    let answer = World::new().send(preflight("/api/refresh", APP)).await;
    shares_nothing(answer.is_problem(405, "method_not_allowed"));
    assert_eq!(answer.header("vary"), None);
}

#[tokio::test]
async fn tls_is_asked_for_only_where_it_is_configured() {
    let answer = World::new().send(Call::get("/healthz")).await;
    assert_eq!(answer.header("strict-transport-security"), None);
    let world = World::with(|plan| plan.options.hsts = Duration::from_hours(24 * 365));
    for path in ["/healthz", "/api/me", "/nothing"] {
        let answer = world.send(Call::get(path)).await;
        assert_eq!(answer.header("strict-transport-security"), Some("max-age=31536000"));
    }
}
