//! `/api/verify`, for reverse proxies.

use axum::http::Method;

use super::every_route::Scene;
use crate::support::transport::{Answer, Call};
use crate::support::unsteady::Health;
use crate::support::world::{HOUR, World};

const SESSION: &str = "/api/verify?check=session";

fn names(answer: &Answer) -> [Option<&str>; 3] {
    ["x-auth-user", "x-auth-session", "x-auth-expires"].map(|name| answer.header(name))
}

#[track_caller]
fn is_refused(answer: &Answer, error: &str) {
    answer.is(401);
    assert_eq!(names(answer), [None; 3], "{}", answer.everything());
    assert!(answer.header("www-authenticate").unwrap().contains(error), "{}", answer.everything());
}

#[tokio::test]
async fn a_good_token_is_named_to_the_proxy_whatever_method_it_asks_with() {
    let Scene { world: _world, ada, phone } = Scene::new().await;
    for path in ["/api/verify", SESSION] {
        for method in [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
            let answer = phone.asks(Call::new(method.clone(), path).body("ignored")).await;
            // 2026-01-01T01:00:00Z
            let expected = [Some(ada.id.as_str()), Some(&phone.session), Some("1767229200")];
            assert_eq!(names(answer.is(200)), expected, "{method} {path}");
            assert!(answer.body.is_empty());
            assert_eq!(answer.header("cache-control"), Some("no-store"));
        }
    }
}

#[tokio::test]
async fn a_signed_token_is_checked_without_a_store_unless_the_session_is_asked_for() {
    let Scene { world, phone, .. } = Scene::new().await;
    for health in [Health::Away, Health::Corrupt, Health::Stuck] {
        world.sessions.becomes(health);
        world.users.becomes(health);
        phone.asks(Call::get("/api/verify")).await.is(200);
        if health != Health::Stuck {
            let answer = phone.asks(Call::get(SESSION)).await;
            assert_eq!(answer.is_problem(503, "unavailable").header("retry-after"), Some("1"));
            assert_eq!(names(&answer), [None; 3]);
        }
    }
    world.sessions.becomes(Health::Well);
    phone.revokes().await.is(204);
    phone.asks(Call::get("/api/verify")).await.is(200);
    is_refused(phone.asks(Call::get(SESSION)).await.is_problem(401, "signed_out"), "invalid_token");
    world.clock.advance(HOUR);
    is_refused(phone.asks(Call::get("/api/verify")).await.is_problem(401, "access_token_expired"), "invalid_token");
}

#[tokio::test]
async fn an_opaque_token_is_always_looked_up() {
    let world = World::of_config("opaque");
    let mut phone = world.signs_up("ada@example.org").await.signs_in().await;
    let old = phone.clone();
    phone.refreshes().await.is_granted();
    for path in ["/api/verify", SESSION] {
        phone.asks(Call::get(path)).await.is(200);
        is_refused(old.asks(Call::get(path)).await.is_problem(401, "superseded"), "invalid_token");
        world.sessions.becomes(Health::Away);
        phone.asks(Call::get(path)).await.is_problem(503, "unavailable");
        world.sessions.becomes(Health::Well);
    }
    phone.revokes().await.is(204);
    is_refused(phone.asks(Call::get("/api/verify")).await.is_problem(401, "signed_out"), "invalid_token");
}

#[tokio::test]
async fn what_is_malformed_is_a_refusal_because_proxies_take_all_else_for_an_outage() {
    let Scene { world, phone, .. } = Scene::new().await;
    let overlong = format!("Bearer {}", "a".repeat(8 * 1024 + 1));
    for path in ["/api/verify", SESSION] {
        for value in ["Bearer", "Bearer a b", "Bearer ===", overlong.as_str()] {
            let answer = world.send(Call::get(path).header("authorization", value)).await;
            is_refused(answer.is_problem(401, "invalid_request"), "invalid_request");
        }
        let twice = Call::get(path).bearer(&phone.access).bearer(&phone.access);
        is_refused(&world.send(twice).await, "invalid_request");
        is_refused(&world.send(Call::get(path).header("authorization", "Basic YTpi")).await, "Bearer realm");
    }
}

#[tokio::test]
async fn the_query_of_the_other_request_changes_nothing() {
    let Scene { world, phone, .. } = Scene::new().await;
    let glued = "/api/verify?check=session&path=/a?token=x&access_token=y";
    phone.asks(Call::get(glued)).await.is(200);
    phone.asks(Call::get("/api/verify?path=/a")).await.is(200);
    for path in [glued, &format!("/api/verify?access_token={}", phone.access)] {
        is_refused(&world.send(Call::get(path)).await, "Bearer realm");
    }
    for path in ["/api/verify?check=", "/api/verify?check=token", "/api/verify?check=session&check=token"] {
        phone.asks(Call::get(path)).await.is_problem(400, "invalid_query");
    }
    phone.revokes().await.is(204);
    is_refused(&phone.asks(Call::get(glued)).await, "invalid_token");
}

#[tokio::test]
async fn names_that_the_proxy_hands_on_are_not_repeated() {
    let Scene { world, phone, .. } = Scene::new().await;
    let forged = Call::get("/api/verify").header("x-auth-user", "admin").header("x-auth-session", "admin");
    is_refused(&world.send(forged.clone()).await, "Bearer realm");
    let answer = phone.asks(forged).await;
    assert!(!answer.is(200).everything().contains("admin"));
}
