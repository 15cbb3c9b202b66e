//! `config/default.toml`: a JWT for an hour, and a rotating refresh token that carries a label.

use std::time::Duration;

use super::{Life, part, text};
use crate::support::world::{DAY, HOUR};

#[tokio::test]
async fn a_life_with_the_default_tokens() {
    let mut life = Life::begins("default").await;
    let (secret, label) = life.phone.refresh.split_once('.').unwrap();
    assert!(secret.len() == 64 && secret.bytes().all(|b| b.is_ascii_hexdigit()) && label.len() == 50);
    assert_eq!(part(&life.phone.access, 0)["typ"], "at+jwt");

    // She uses it, and refreshes when the access token has expired.
    life.world.clock.advance(HOUR);
    life.phone.is_signed_out("access_token_expired").await;
    let spent = life.phone.refresh.clone();
    life.phone.refreshes().await.is_granted();
    assert_ne!(life.phone.refresh, spent);
    life.phone.is_signed_in().await;

    // An answer is lost: the same request gets the same refresh token, whenever it comes, if it has its retry key.
    let lost = life.phone.presents_with_key(&life.phone.refresh, "key-1").await.is_granted();
    life.world.clock.advance(40 * DAY);
    let again = life.phone.presents_with_key(&life.phone.refresh, "key-1").await;
    assert_eq!(again.is_granted(), lost);
    life.phone.takes(&again.0);
    life.phone.refreshes().await.is_granted();

    // Two tabs, and more, refresh at once: one successor for all of them.
    life.laptop.refreshes().await.is_granted();
    let answers = life.tabs_race(&life.laptop, 8).await;
    let next = text(&answers[0], "refresh_token");
    assert!(answers.iter().all(|answer| text(answer, "refresh_token") == next));
    life.laptop.refresh = next;
    life.laptop.refreshes().await.is_granted();

    life.signs_out_on_the_phone().await;
    let mut tablet = life.changes_the_password_on_a_tablet().await;

    // Somebody copies the tablet's token. Whoever refreshes second, later than the window, ends the session.
    let mut thief = tablet.clone();
    thief.refreshes().await.is_granted();
    life.world.clock.advance(Duration::from_secs(31));
    tablet.refreshes().await.is_refused("reuse_detected");
    thief.refreshes().await.is_refused("reuse_detected");
    thief.is_signed_out("reuse_detected").await;

    let tablet = life.ada.signs_in().await;
    life.deletes_the_account(&tablet).await;
}
