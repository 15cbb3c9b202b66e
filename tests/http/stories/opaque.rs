//! `config/opaque.toml`: pairs of 256 characters, replaced together.

use std::sync::Arc;
use std::time::Duration;

use regrant_adapters::outbound::token_codec::LabelledCodec;
use regrant_domain::policy::KeptAccessPolicy;

use super::{Life, text};
use crate::support::transport::Call;
use crate::support::world::{DAY, MINUTE, World};

fn is_opaque(token: &str) -> bool {
    token.len() == 256 && token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

#[tokio::test]
async fn a_life_with_opaque_tokens() {
    let mut life = Life::begins("opaque").await;
    for device in [&life.phone, &life.laptop] {
        assert!(is_opaque(&device.access) && is_opaque(&device.refresh));
    }

    // A refresh replaces the pair, and the old access token is refused at once.
    let old = life.phone.clone();
    life.world.clock.advance(MINUTE);
    let answer = life.phone.refreshes().await.0;
    assert_eq!(answer.json()["expires_in"], 300);
    assert!(is_opaque(&life.phone.access) && is_opaque(&life.phone.refresh));
    assert!(life.phone.access != old.access && life.phone.refresh != old.refresh);
    old.is_signed_out("superseded").await;
    life.phone.is_signed_in().await;

    // The access token expires; the refresh token brings a new one.
    life.world.clock.advance(5 * MINUTE);
    life.phone.is_signed_out("access_token_expired").await;
    life.phone.refreshes().await.is_granted();
    life.phone.is_signed_in().await;

    // An answer is lost: the repeated request gets the very same pair.
    let lost = life.phone.presents(&life.phone.refresh).await.0;
    life.world.clock.advance(Duration::from_secs(20));
    let again = life.phone.presents(&life.phone.refresh).await.0;
    assert_eq!(text(&again, "token"), text(&lost, "token"));
    assert_eq!(text(&again, "refresh_token"), text(&lost, "refresh_token"));
    assert_eq!(again.json()["expires_in"], 280, "it does not live longer for it");
    life.phone.takes(&again);
    life.phone.is_signed_in().await;

    // Tabs race: one pair for all of them.
    life.laptop.refreshes().await.is_granted();
    let answers = life.tabs_race(&life.laptop, 8).await;
    for field in ["token", "refresh_token"] {
        assert!(answers.iter().all(|answer| text(answer, field) == text(&answers[0], field)), "{field}");
    }
    life.laptop.takes(&answers[0]);
    life.laptop.is_signed_in().await;

    // Neither token is taken for the other.
    life.laptop.presents(&life.laptop.access).await.0.is_problem(401, "invalid_token");
    let call = Call::get("/api/me").bearer(&life.laptop.refresh);
    life.world.send(call).await.is_problem(401, "invalid_token");

    life.signs_out_on_the_phone().await;
    let mut tablet = life.changes_the_password_on_a_tablet().await;
    let mut thief = tablet.clone();
    thief.refreshes().await.is_granted();
    thief.is_signed_in().await;
    tablet.is_signed_out("superseded").await;
    life.world.clock.advance(Duration::from_secs(31));
    tablet.refreshes().await.is_refused("reuse_detected");
    thief.is_signed_out("reuse_detected").await;

    let tablet = life.ada.signs_in().await;
    life.deletes_the_account(&tablet).await;
}

#[tokio::test]
async fn who_refreshes_in_time_is_never_signed_out_before_the_session_ends() {
    let life = Life::begins("opaque").await;
    let mut phone = life.phone;
    for _ in 0..11 {
        life.world.clock.advance(7 * DAY - Duration::from_millis(1));
        phone.refreshes().await.is_granted();
        phone.is_signed_in().await;
    }
    life.world.clock.advance(7 * DAY);
    phone.refreshes().await.is_refused("expired");
}

#[tokio::test]
async fn a_grace_lets_the_replaced_access_token_live_on_for_calls_under_way() {
    let world = World::of_config_with("opaque", |plan| {
        let kept = plan.policies.access.kept.unwrap();
        plan.policies.access.kept = Some(KeptAccessPolicy { grace: Duration::from_secs(10), ..kept });
    });
    let mut phone = world.signs_up("ada@example.org").await.signs_in().await;
    let first = phone.clone();
    phone.refreshes().await.is_granted();
    world.clock.advance(Duration::from_millis(9_999));
    first.is_signed_in().await;
    world.clock.advance(Duration::from_millis(1));
    first.is_signed_out("superseded").await;
    phone.is_signed_in().await;

    // Of the predecessor only, and not of a session that has ended.
    let second = phone.clone();
    phone.refreshes().await.is_granted();
    phone.refreshes().await.is_granted();
    second.is_signed_out("superseded").await;
    let third = phone.clone();
    phone.refreshes().await.is_granted();
    third.is_signed_in().await;
    phone.revokes().await.is(204);
    third.is_signed_out("signed_out").await;
}

#[tokio::test]
async fn all_tokens_differ() {
    let life = Life::begins("opaque").await;
    let (mut phone, mut seen) = (life.phone, std::collections::HashSet::new());
    for _ in 0..100 {
        assert!(seen.insert(phone.access.clone()) && seen.insert(phone.refresh.clone()));
        phone.refreshes().await.is_granted();
    }
}

#[tokio::test]
async fn an_opaque_access_token_goes_with_a_labelled_refresh_token_too() {
    let world = World::of_config_with("opaque", |plan| {
        plan.ports.codec = Arc::new(LabelledCodec::new(plan.ports.codec.ring()));
    });
    let mut phone = world.signs_up("ada@example.org").await.signs_in().await;
    let first = phone.clone();
    assert!(is_opaque(&first.access) && first.refresh.len() == 115);
    phone.refreshes().await.is_granted();
    first.is_signed_out("superseded").await;
    phone.is_signed_in().await;
}
