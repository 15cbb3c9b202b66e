//! The listener for those who run the service.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, header};
use regrant_adapters::inbound::http::{Measured, Text, admin_router};
use regrant_domain::usecases::ready::Ready;
use tower::ServiceExt as _;

use crate::support::unsteady::Health;
use crate::support::world::World;

fn scene() -> (World, Router) {
    let text = |content_type, text: &'static str| Text { content_type, text: Arc::new(|| text.to_owned()) };
    let measured =
        Measured { classic: text("text/plain", "classic"), open: text("application/openmetrics-text", "open") };
    let mut admin = None;
    let world = World::with(|plan| {
        admin = Some(admin_router(measured, Ready::new(plan.ports.clone()), Duration::from_millis(500)));
    });
    (world, admin.unwrap())
}

async fn get(admin: &Router, path: &str, accept: &str) -> (u16, String, String) {
    let request = Request::get(path).header(header::ACCEPT, accept).body(Body::empty()).unwrap();
    let answer = admin.clone().oneshot(request).await.unwrap();
    let kind = answer.headers().get(header::CONTENT_TYPE).map(|kind| kind.to_str().unwrap().to_owned());
    let status = answer.status().as_u16();
    let body = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    (status, kind.unwrap_or_default(), String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn metrics_come_in_the_format_that_is_asked_for() {
    let (_world, admin) = scene();
    assert_eq!(get(&admin, "/metrics", "*/*").await, (200, "text/plain".into(), "classic".into()));
    let accept = "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;q=0.5";
    assert_eq!(get(&admin, "/metrics", accept).await, (200, "application/openmetrics-text".into(), "open".into()));
}

#[tokio::test]
async fn it_is_alive_whatever_the_stores_do_and_ready_while_they_answer() {
    let (world, admin) = scene();
    assert_eq!(get(&admin, "/healthz", "*/*").await.0, 200);
    assert_eq!(get(&admin, "/readyz", "*/*").await.0, 200);
    for health in [Health::Away, Health::Corrupt, Health::Stuck] {
        world.sessions.becomes(health);
        assert_eq!(get(&admin, "/healthz", "*/*").await.0, 200, "{health:?}");
        assert_eq!(get(&admin, "/readyz", "*/*").await.0, 503, "{health:?}");
    }
    world.sessions.becomes(Health::Well);
    assert_eq!(get(&admin, "/readyz", "*/*").await.0, 200);
}

#[tokio::test]
async fn nothing_of_the_service_itself_is_there() {
    let (_world, admin) = scene();
    for path in ["/", "/api/me", "/metrics/", "/.well-known/jwks.json"] {
        assert_eq!(get(&admin, path, "*/*").await.0, 404, "{path}");
    }
}
