//! OAuth 2.0, for clients that speak it already.

mod callers;
mod introspection;
mod metadata;
mod revocation;
mod token;

use serde_json::Value;

use super::every_route::Scene;
use crate::support::actors::Device;
use crate::support::transport::{Answer, Call};
use crate::support::world::{GATEWAY, World};

/// Trades a refresh token.
async fn trades(world: &World, refresh: &str) -> Answer {
    let form = [("grant_type", "refresh_token"), ("refresh_token", refresh)];
    world.send(Call::post("/oauth/token").form(&form)).await
}

/// Gives a token up.
async fn revokes(world: &World, token: &str) -> Answer {
    world.send(Call::post("/oauth/revoke").form(&[("token", token)])).await
}

/// What a token is worth, as the gateway is told.
pub(super) async fn introspects(world: &World, token: &str) -> Answer {
    world.send(Call::post("/oauth/introspect").form(&[("token", token)]).basic(GATEWAY)).await
}

/// Asserts that a token is worth nothing, and that nothing else is told.
pub(super) async fn is_inactive(world: &World, token: &str) {
    let answer = introspects(world, token).await;
    assert_eq!(answer.is(200).text(), r#"{"active":false}"#);
}

/// The four token systems, each with Ada's phone.
async fn systems() -> Vec<(&'static str, World, Device)> {
    let mut all = Vec::new();
    for config in ["default", "static", "opaque", "jwt"] {
        let world = World::of_config(config);
        let phone = world.signs_up("ada@example.org").await.signs_in().await;
        all.push((config, world, phone));
    }
    all
}

fn keys(body: &Value) -> Vec<&str> {
    let mut keys: Vec<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}
