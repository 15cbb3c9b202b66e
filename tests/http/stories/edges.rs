//! The right answer on each side of each edge, to the millisecond, in every token system.

use std::sync::LazyLock;
use std::time::Duration;

use crate::support::actors::Device;
use crate::support::world::{DAY, HOUR, MINUTE, World};

const MILLISECOND: Duration = Duration::from_millis(1);

/// Lifetimes of a configuration file.
struct Lifetimes {
    config: &'static str,
    access: Duration,
    idle: Duration,
    absolute: Duration,
    rotates: bool,
}

static ALL: LazyLock<[Lifetimes; 4]> = LazyLock::new(|| {
    [
        Lifetimes { config: "default", access: HOUR, idle: 60 * DAY, absolute: 365 * DAY, rotates: true },
        Lifetimes { config: "static", access: HOUR, idle: 60 * DAY, absolute: 60 * DAY, rotates: false },
        Lifetimes { config: "opaque", access: 5 * MINUTE, idle: 7 * DAY, absolute: 90 * DAY, rotates: true },
        Lifetimes { config: "jwt", access: 15 * MINUTE, idle: 30 * DAY, absolute: 180 * DAY, rotates: true },
    ]
});

async fn begin(lifetimes: &Lifetimes) -> (World, Device) {
    let world = World::of_config(lifetimes.config);
    let device = world.signs_up("ada@example.org").await.signs_in().await;
    (world, device)
}

async fn is_refreshed(device: &mut Device) {
    device.refreshes().await.0.is(200);
}

#[tokio::test]
async fn an_access_token_lives_to_the_millisecond() {
    for lifetimes in ALL.iter() {
        let (world, mut device) = begin(lifetimes).await;
        for _ in 0..3 {
            world.clock.advance(lifetimes.access - MILLISECOND);
            device.is_signed_in().await;
            world.clock.advance(MILLISECOND);
            device.is_signed_out("access_token_expired").await;
            is_refreshed(&mut device).await;
        }
    }
}

#[tokio::test]
async fn a_session_that_is_not_refreshed_lives_to_the_millisecond_of_its_idle_expiry() {
    for lifetimes in ALL.iter().filter(|lifetimes| lifetimes.rotates) {
        let (world, mut device) = begin(lifetimes).await;
        world.clock.advance(lifetimes.idle - MILLISECOND);
        is_refreshed(&mut device).await;
        world.clock.advance(lifetimes.idle);
        device.refreshes().await.is_refused("expired");
    }
}

#[tokio::test]
async fn a_replay_does_not_prolong_a_session() {
    for lifetimes in ALL.iter().filter(|lifetimes| lifetimes.rotates) {
        let (world, mut device) = begin(lifetimes).await;
        let spent = device.refresh.clone();
        let answer = device.presents_with_key(&spent, "k").await.0;
        world.clock.advance(lifetimes.idle - MILLISECOND);
        device.presents_with_key(&spent, "k").await.is_granted();
        world.clock.advance(MILLISECOND);
        device.takes(&answer);
        device.refreshes().await.is_refused("expired");
        device.presents_with_key(&spent, "k").await.is_refused("expired");
    }
}

#[tokio::test]
async fn a_session_ends_at_the_millisecond_of_its_absolute_end_however_often_it_is_refreshed() {
    for lifetimes in ALL.iter() {
        let (world, mut device) = begin(lifetimes).await;
        let days = u32::try_from(lifetimes.absolute.as_secs() / DAY.as_secs()).unwrap();
        for _ in 0..(days - 1) / 5 {
            world.clock.advance(5 * DAY);
            is_refreshed(&mut device).await;
        }
        let gone = 5 * DAY * ((days - 1) / 5);
        world.clock.advance(lifetimes.absolute - gone - MILLISECOND);
        is_refreshed(&mut device).await;
        device.is_signed_in().await;
        world.clock.advance(MILLISECOND);
        device.refreshes().await.is_refused("session_expired");
        let refused = device.asks(crate::support::transport::Call::get("/api/me")).await;
        refused.is(401);
    }
}

#[test]
fn the_lifetimes_above_are_those_of_the_files() {
    for lifetimes in ALL.iter() {
        let policies = World::policies_of_config(lifetimes.config);
        assert_eq!(policies.access.ttl, lifetimes.access, "{}", lifetimes.config);
        assert_eq!(policies.refresh.ttl, lifetimes.idle, "{}", lifetimes.config);
        assert_eq!(policies.session.max_age, lifetimes.absolute, "{}", lifetimes.config);
        assert_eq!(policies.refresh.rotate, lifetimes.rotates, "{}", lifetimes.config);
    }
}
