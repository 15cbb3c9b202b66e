//! Clients that go away, requests that take too long, handlers that panic.

use std::time::Duration;

use regrant_domain::ports::{Event, MockUserRepository};
use regrant_domain::usecases::Ports;
use serde_json::json;
use tower::ServiceExt;

use super::every_route::Scene;
use crate::support::transport::Call;
use crate::support::unsteady::Health;
use crate::support::world::World;

pub(super) const MOMENT: Duration = Duration::from_millis(20);

/// Waits until the service tells of a rotation.
pub(super) async fn a_rotation_is_told(world: &World) {
    let told = async {
        while !world.events.take().iter().any(|event| matches!(event, Event::Rotated { .. })) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let told = tokio::time::timeout(Duration::from_secs(5), told).await;
    assert!(told.is_ok(), "the work was not completed");
}

#[tokio::test]
async fn a_client_that_hangs_up_does_not_cancel_what_it_has_begun() {
    let mut scene = Scene::new().await;
    scene.world.sessions.becomes(Health::Stuck);
    let refresh = Call::post("/api/refresh").bearer(&scene.phone.refresh).into_request();
    let response = scene.world.router().oneshot(refresh);
    // Dropped half way, as the server does with the response of a client that is gone.
    assert!(tokio::time::timeout(MOMENT, response).await.is_err());
    scene.world.sessions.becomes(Health::Well);
    a_rotation_is_told(&scene.world).await;
    scene.phone.refreshes().await.is_granted();
    assert!(matches!(scene.world.events.take().as_slice(), [Event::Replayed { .. }]));
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_answered_and_goes_on() {
    // Long enough for a sign-in on the slowest store.
    let world = World::with(|plan| plan.options.request_timeout = Duration::from_secs(2));
    let mut phone = world.signs_up("ada@example.org").await.signs_in().await;
    world.sessions.becomes(Health::Stuck);
    let answer = phone.refreshes().await.0;
    assert_eq!(answer.is_problem(503, "timeout").header("retry-after"), Some("1"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    world.sessions.becomes(Health::Well);
    a_rotation_is_told(&world).await;
    phone.refreshes().await.is_granted();
}

#[tokio::test]
async fn a_panic_is_an_internal_error_without_its_text() {
    let world = World::with(|plan| {
        let mut users = MockUserRepository::new();
        users.expect_find_by_email().returning(|email| panic!("hunter22 of {email:?}"));
        plan.ports = Ports { users: std::sync::Arc::new(users), ..plan.ports.clone() };
    });
    let body = json!({ "email": "ada@example.org", "password": "hunter22" });
    let answer = world.send(Call::post("/api/login").json(body)).await;
    assert_eq!(answer.is_problem(500, "internal").header("cache-control"), Some("no-store"));
    assert!(!answer.everything().contains("hunter22"));
    world.send(Call::get("/healthz")).await.is(200);
}
