//! A store that fails never looks like a bad token, and never like success.

use std::time::Duration;

use axum::http::Method;

use super::every_route::{ROUTES, Scene};
use crate::support::transport::Call;
use crate::support::unsteady::{CAUSE, Health};
use crate::support::world::World;

#[tokio::test]
async fn while_the_stores_are_away_every_route_says_try_again() {
    for health in [Health::Away, Health::Corrupt, Health::AnswersLost] {
        let asks_no_store =
            ["/healthz", "/.well-known/jwks.json", "/.well-known/oauth-authorization-server", "/api/verify"];
        for route in ROUTES.iter().filter(|route| !asks_no_store.contains(&route.path)) {
            let scene = Scene::new().await;
            scene.world.sessions.becomes(health);
            scene.world.users.becomes(health);
            let answer = scene.world.send(scene.proper(route)).await;
            answer.is_problem(503, "unavailable");
            assert_eq!(answer.header("retry-after"), Some("1"));
            assert_eq!(answer.header("www-authenticate"), None);
            assert!(!answer.everything().contains(CAUSE));
        }
    }
}

#[tokio::test]
async fn while_one_store_is_away_a_route_does_its_work_or_says_try_again() {
    for health in [Health::Away, Health::Corrupt, Health::AnswersLost] {
        for sessions in [true, false] {
            for route in &ROUTES {
                let scene = Scene::new().await;
                let world = &scene.world;
                if sessions {
                    world.sessions.becomes(health);
                } else {
                    world.users.becomes(health);
                }
                let answer = world.send(scene.proper(route)).await;
                if answer.status != route.status {
                    answer.is_problem(503, "unavailable");
                }
            }
        }
    }
}

#[tokio::test]
async fn alive_is_alive_whatever_the_stores_do() {
    let world = World::new();
    for health in [Health::Away, Health::Corrupt, Health::Stuck] {
        world.sessions.becomes(health);
        world.users.becomes(health);
        world.send(Call::get("/healthz")).await.is(200);
    }
}

#[tokio::test]
async fn an_answer_that_was_lost_is_given_again() {
    let mut scene = Scene::new().await;
    let first = scene.phone.refresh.clone();
    scene.world.sessions.becomes(Health::AnswersLost);
    scene.phone.refreshes().await.0.is_problem(503, "unavailable");
    scene.world.sessions.becomes(Health::Well);
    let second = scene.phone.refreshes().await.is_granted();
    assert_eq!(scene.phone.presents(&first).await.is_granted(), second);
    scene.phone.refreshes().await.is_granted();
}

#[tokio::test]
async fn a_store_that_does_not_answer_makes_the_service_not_ready_in_time() {
    let world = World::with(|plan| plan.options.ready_timeout = Duration::from_secs(2));
    world.users.becomes(Health::Stuck);
    let answer = world.send(Call::get("/readyz")).await;
    assert_eq!(answer.is_problem(503, "unavailable").header("retry-after"), Some("1"));
    world.users.becomes(Health::Well);
    world.send(Call::new(Method::GET, "/readyz")).await.is(200);
}
