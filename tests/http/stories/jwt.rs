//! `config/jwt.toml`: two JWTs, replaced together.

use std::time::Duration;

use super::{Life, part, text};
use crate::support::transport::Call;
use crate::support::world::{DAY, MINUTE};

#[tokio::test]
async fn a_life_with_jwts() {
    let mut life = Life::begins("jwt").await;
    let (access, refresh) = (part(&life.phone.access, 1), part(&life.phone.refresh, 1));
    for claims in [&access, &refresh] {
        assert_eq!((&claims["iss"], &claims["aud"]), (&"regrant".into(), &"regrant".into()));
        assert_eq!(claims["sub"], life.ada.id);
        assert_eq!(claims["sid"], life.phone.session);
        assert!(claims["exp"].is_u64() && claims["jti"].is_string());
    }
    assert_eq!(access["user_email"], "ada@example.org");
    assert_eq!(refresh["exp"].as_i64().unwrap() - access["exp"].as_i64().unwrap(), 30 * 86_400 - 900);
    assert_eq!(part(&life.phone.access, 0)["typ"], "at+jwt");
    assert_eq!(part(&life.phone.refresh, 0)["typ"], "rt+jwt");

    life.world.clock.advance(15 * MINUTE);
    life.phone.is_signed_out("access_token_expired").await;
    let spent = life.phone.clone();
    life.phone.refreshes().await.is_granted();
    assert!(life.phone.access != spent.access && life.phone.refresh != spent.refresh);
    assert_eq!(part(&life.phone.refresh, 1)["gen"], 1);
    life.phone.is_signed_in().await;

    // A lost answer: the same refresh token, byte for byte.
    let lost = life.phone.presents(&life.phone.refresh).await.is_granted();
    life.world.clock.advance(Duration::from_secs(25));
    let again = life.phone.presents(&life.phone.refresh).await;
    assert_eq!(again.is_granted(), lost);
    life.phone.takes(&again.0);

    life.laptop.refreshes().await.is_granted();
    let answers = life.tabs_race(&life.laptop, 8).await;
    assert!(answers.iter().all(|answer| text(answer, "refresh_token") == text(&answers[0], "refresh_token")));
    life.laptop.takes(&answers[0]);

    // Neither token is taken for the other.
    life.laptop.presents(&life.laptop.access).await.0.is_problem(401, "invalid_token");
    let call = Call::get("/api/me").bearer(&life.laptop.refresh);
    life.world.send(call).await.is_problem(401, "invalid_token");

    life.signs_out_on_the_phone().await;
    let mut tablet = life.changes_the_password_on_a_tablet().await;
    let mut thief = tablet.clone();
    thief.refreshes().await.is_granted();
    life.world.clock.advance(Duration::from_secs(31));
    tablet.refreshes().await.is_refused("reuse_detected");
    thief.refreshes().await.is_refused("reuse_detected");

    let tablet = life.ada.signs_in().await;
    life.deletes_the_account(&tablet).await;
}

#[tokio::test]
async fn a_refresh_token_says_when_it_expires_and_is_refused_from_then_on() {
    let life = Life::begins("jwt").await;
    let mut phone = life.phone;
    for _ in 0..5 {
        life.world.clock.advance(30 * DAY - Duration::from_millis(1));
        phone.refreshes().await.is_granted();
    }
    life.world.clock.advance(30 * DAY);
    phone.refreshes().await.is_refused("expired");
    // Whoever holds it may still end the session, and why it ended is told rather than that it has expired.
    phone.revokes().await.is(204);
    phone.refreshes().await.is_refused("signed_out");
}
