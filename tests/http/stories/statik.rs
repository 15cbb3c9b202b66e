//! `config/static.toml`: a JWT for an hour, and a refresh token that never changes.

use serde_json::json;

use super::Life;
use crate::support::world::{DAY, HOUR};

#[tokio::test]
async fn a_life_with_static_tokens() {
    let mut life = Life::begins("static").await;
    let refresh = life.phone.refresh.clone();
    assert!(refresh.len() == 64 && refresh.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')));

    life.world.clock.advance(HOUR);
    life.phone.is_signed_out("access_token_expired").await;
    let answer = life.phone.refreshes().await.0;
    assert_eq!(answer.is(200).json(), json!({ "token": life.phone.access }), "exactly that");
    assert_eq!(life.phone.refresh, refresh);
    life.phone.is_signed_in().await;

    // A lost answer and racing tabs are nothing here: the same token again.
    for answer in life.tabs_race(&life.phone, 8).await {
        assert_eq!(answer.is(200).json().as_object().unwrap().len(), 1);
    }

    // A thief is not noticed: that is the price, and the file says so.
    let mut thief = life.phone.clone();
    thief.refreshes().await.0.is(200);
    life.phone.refreshes().await.0.is(200);

    life.laptop.refreshes().await.0.is(200);
    life.signs_out_on_the_phone().await;
    thief.refreshes().await.is_refused("signed_out");
    let mut tablet = life.changes_the_password_on_a_tablet().await;

    // Sixty days from sign-in, however often it is refreshed.
    for _ in 0..59 {
        life.world.clock.advance(DAY);
        tablet.refreshes().await.0.is(200);
    }
    life.world.clock.advance(DAY);
    tablet.refreshes().await.is_refused("session_expired");

    let tablet = life.ada.signs_in().await;
    life.deletes_the_account(&tablet).await;
}
