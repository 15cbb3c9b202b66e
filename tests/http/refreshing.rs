//! Refresh tokens as a client sees them: one successor, replays, reuse.

use std::collections::HashSet;

use regrant_domain::ports::Event;

use super::every_route::Scene;
use crate::support::world::{DAY, MINUTE, Plan, World};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixty_four_simultaneous_refreshes_get_one_successor_and_nothing_ends() {
    let mut scene = Scene::new().await;
    let requests: Vec<_> = (0..64)
        .map(|_| {
            let phone = scene.phone.clone();
            tokio::spawn(async move { phone.presents(&phone.refresh).await.is_granted() })
        })
        .collect();
    let mut successors = HashSet::new();
    for request in requests {
        successors.insert(request.await.unwrap());
    }
    assert_eq!(successors.len(), 1);
    let rotations = scene.world.events.take().iter().filter(|event| matches!(event, Event::Rotated { .. })).count();
    assert_eq!(rotations, 1);
    scene.phone.refreshes().await.is_granted();
    scene.phone.refreshes().await.is_granted();
}

#[tokio::test]
async fn a_spent_token_ends_the_session_for_everybody_who_holds_it() {
    let mut scene = Scene::new().await;
    let stolen = scene.phone.refresh.clone();
    scene.phone.refreshes().await.is_granted();
    scene.phone.refreshes().await.is_granted();
    scene.world.clock.advance(MINUTE);
    scene.phone.presents(&stolen).await.is_refused("reuse_detected");
    scene.phone.refreshes().await.is_refused("reuse_detected");
    scene.phone.is_signed_out("reuse_detected").await;
}

#[tokio::test]
async fn a_late_duplicate_is_refused_and_nothing_ends() {
    let mut scene = Scene::new().await;
    let first = scene.phone.refresh.clone();
    scene.phone.refreshes().await.is_granted();
    scene.phone.refreshes().await.is_granted();
    scene.phone.presents(&first).await.is_refused("superseded");
    scene.phone.refreshes().await.is_granted();
}

#[tokio::test]
async fn the_retry_key_gives_the_same_answer_however_late() {
    let scene = Scene::new().await;
    let phone = scene.phone;
    let second = phone.presents_with_key(&phone.refresh, "a-key").await.is_granted();
    scene.world.clock.advance(DAY);
    assert_eq!(phone.presents_with_key(&phone.refresh, "a-key").await.is_granted(), second);
    phone.presents_with_key(&phone.refresh, "another-key").await.is_refused("reuse_detected");
}

#[tokio::test]
async fn an_idle_token_expires_on_the_millisecond() {
    let scene = Scene::new().await;
    scene.world.clock.advance(60 * DAY);
    scene.phone.presents(&scene.phone.refresh).await.is_refused("expired");
}

#[tokio::test]
async fn text_that_is_not_ours_is_refused_without_a_reason() {
    let scene = Scene::new().await;
    let mut forged = scene.phone.refresh.clone().into_bytes();
    for at in [0, 40, 70, forged.len() - 1] {
        forged[at] = if forged[at] == b'0' { b'1' } else { b'0' };
        let forged = str::from_utf8(&forged).unwrap();
        scene.phone.presents(forged).await.0.is_problem(401, "invalid_token");
    }
    scene.phone.is_signed_in().await;
}

#[tokio::test]
async fn a_bare_token_that_nobody_has_is_not_ours() {
    let world = World::with(Plan::becomes_static);
    let phone = world.signs_up("ada@example.org").await.signs_in().await;
    phone.presents(&"0".repeat(64)).await.0.is_problem(401, "invalid_token");
    phone.revokes().await.is(204);
    phone.presents(&phone.refresh).await.is_refused("signed_out");
}
