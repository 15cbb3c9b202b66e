//! Session policies: "remember me", and how many sessions a user may have.

use std::num::NonZeroU32;
use std::time::Duration;

use regrant_domain::policy::WhenFull;
use serde_json::json;

use crate::support::actors::Device;
use crate::support::actors::Person;
use crate::support::transport::Call;
use crate::support::world::{DAY, World};

async fn signs_in_remembered(ada: &Person, world: &World, remember_me: bool) -> Device {
    let body = json!({ "email": ada.email, "password": ada.password, "remember_me": remember_me });
    ada.device(&world.send(Call::post("/api/login").json(body)).await)
}

#[tokio::test]
async fn who_asks_to_be_remembered_gets_the_longer_lifetimes() {
    for config in ["opaque", "jwt"] {
        let world = World::of_config(config);
        let policies = World::policies_of_config(config);
        let (usual, long) = (policies.refresh.ttl, policies.refresh.remembered_ttl);
        assert!(usual < long && policies.session.max_age < policies.session.remembered_max_age);
        let ada = world.signs_up("ada@example.org").await;
        let mut forgotten = signs_in_remembered(&ada, &world, false).await;
        let mut remembered = signs_in_remembered(&ada, &world, true).await;

        world.clock.advance(usual);
        forgotten.refreshes().await.is_refused("expired");
        world.clock.advance(long - usual - Duration::from_millis(1));
        // Each successor is remembered like the first.
        for _ in 0..2 {
            remembered.refreshes().await.is_granted();
            world.clock.advance(long - Duration::from_millis(1));
        }
        remembered.refreshes().await.is_granted();
        world.clock.advance(long);
        remembered.refreshes().await.is_refused("expired");
    }
}

#[tokio::test]
async fn a_remembered_session_ends_at_its_own_absolute_age() {
    let world = World::of_config("opaque");
    let ada = world.signs_up("ada@example.org").await;
    let mut device = signs_in_remembered(&ada, &world, true).await;
    for _ in 0..36 {
        world.clock.advance(10 * DAY);
        device.refreshes().await.is_granted();
    }
    world.clock.advance(5 * DAY - Duration::from_millis(1));
    device.refreshes().await.is_granted();
    world.clock.advance(Duration::from_millis(1));
    device.refreshes().await.is_refused("session_expired");
}

#[tokio::test]
async fn where_no_longer_lifetime_is_set_to_be_remembered_makes_no_difference() {
    let world = World::of_config("default");
    let ada = world.signs_up("ada@example.org").await;
    let mut device = signs_in_remembered(&ada, &world, true).await;
    world.clock.advance(60 * DAY);
    device.refreshes().await.is_refused("expired");
}

#[tokio::test]
async fn remember_me_is_true_or_false() {
    let world = World::new();
    let ada = world.signs_up("ada@example.org").await;
    let body = json!({ "email": ada.email, "password": ada.password, "remember_me": "yes" });
    let refused = world.send(Call::post("/api/login").json(body)).await;
    let told = refused.is_problem(422, "invalid_body").json();
    assert!(told["detail"].as_str().unwrap().contains("remember_me must be true or false"), "{told}");
}

#[tokio::test]
async fn sessions_beyond_the_limit_are_ended_or_denied_in_every_token_system() {
    for config in ["default", "static", "opaque", "jwt"] {
        for when_full in [WhenFull::EndOldest, WhenFull::EndLeastRecent, WhenFull::Deny] {
            let world = World::of_config_with(config, |plan| {
                plan.policies.session.max_per_user = NonZeroU32::new(2);
                plan.policies.session.when_full = when_full;
            });
            let ada = world.signs_up("ada@example.org").await;
            let mut first = ada.signs_in().await;
            world.clock.advance(Duration::from_mins(1));
            let second = ada.signs_in().await;
            world.clock.advance(Duration::from_mins(1));
            first.refreshes().await.0.is(200);
            if when_full == WhenFull::Deny {
                ada.tries(&ada.password).await.is_problem(403, "session_limit");
                first.is_signed_in().await;
                second.is_signed_in().await;
                continue;
            }
            ada.signs_in().await.is_signed_in().await;
            // A static token tells nobody when it was used.
            let least_recent = when_full == WhenFull::EndLeastRecent && config != "static";
            let (ended, lives) = if least_recent { (second, first) } else { (first, second) };
            ended.is_signed_out("session_limit").await;
            lives.is_signed_in().await;
        }
    }
}
