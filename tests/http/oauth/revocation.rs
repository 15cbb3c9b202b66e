//! `POST /oauth/revoke` (RFC 7009).

use super::{Scene, revokes, systems, trades};
use crate::support::transport::Call;
use crate::support::unsteady::Health;
use crate::support::world::HOUR;

#[tokio::test]
async fn a_refresh_token_ends_its_session_in_every_system() {
    for (config, world, phone) in systems().await {
        let answer = revokes(&world, &phone.refresh).await;
        assert!(answer.is(200).body.is_empty(), "{config}");
        phone.is_signed_out("signed_out").await;
        trades(&world, &phone.refresh).await.is_oauth_error(400, "invalid_grant", Some("signed_out"));
        revokes(&world, &phone.refresh).await.is(200);
    }
}

#[tokio::test]
async fn an_access_token_ends_its_session_in_every_system() {
    for (config, world, phone) in systems().await {
        revokes(&world, &phone.access).await.is(200);
        phone.is_signed_out("signed_out").await;
        let answer = phone.presents(&phone.refresh).await.0;
        assert_eq!(answer.is(401).json()["code"], "signed_out", "{config}");
    }
}

#[tokio::test]
async fn a_wrong_hint_does_not_matter() {
    for hint in ["access_token", "refresh_token", "saml2", ""] {
        for kind in ["refresh", "access"] {
            let Scene { world, phone, .. } = Scene::new().await;
            let token = if kind == "refresh" { &phone.refresh } else { &phone.access };
            let form = [("token", token.as_str()), ("token_type_hint", hint)];
            world.send(Call::post("/oauth/revoke").form(&form)).await.is(200);
            phone.is_signed_out("signed_out").await;
        }
    }
}

#[tokio::test]
async fn what_is_good_for_nothing_is_revoked_already_and_ends_nothing() {
    for (_, world, phone) in systems().await {
        for text in ["x", &phone.refresh[1..], &format!("{}x", phone.access), &"0".repeat(64)] {
            revokes(&world, text).await.is(200);
        }
        phone.is_signed_in().await;
    }
    // Opaque, and replaced by a refresh: whoever still has it cannot end the session with it.
    let (_, world, mut phone) = systems().await.remove(2);
    let old = phone.access.clone();
    phone.refreshes().await.is_granted();
    revokes(&world, &old).await.is(200);
    phone.is_signed_in().await;
}

#[tokio::test]
async fn an_expired_access_token_ends_nothing_and_a_spent_refresh_token_does() {
    let Scene { world, mut phone, .. } = Scene::new().await;
    let (access, refresh) = (phone.access.clone(), phone.refresh.clone());
    world.clock.advance(HOUR);
    phone.refreshes().await.is_granted();
    revokes(&world, &access).await.is(200);
    phone.is_signed_in().await;
    revokes(&world, &refresh).await.is(200);
    phone.is_signed_out("signed_out").await;
}

#[tokio::test]
async fn a_malformed_request_is_told() {
    let Scene { world, phone, .. } = Scene::new().await;
    for form in [
        &[("token_type_hint", "refresh_token")][..],
        &[("token", "")],
        &[("token", &phone.refresh), ("token", &phone.refresh)],
    ] {
        world.send(Call::post("/oauth/revoke").form(form)).await.is_oauth_error(400, "invalid_request", None);
    }
    phone.is_signed_in().await;
}

#[tokio::test]
async fn an_end_that_may_not_have_happened_is_not_acknowledged() {
    for health in [Health::Away, Health::Corrupt, Health::AnswersLost] {
        for kind in ["refresh", "access"] {
            let Scene { world, phone, .. } = Scene::new().await;
            world.sessions.becomes(health);
            let token = if kind == "refresh" { &phone.refresh } else { &phone.access };
            let answer = revokes(&world, token).await;
            assert_eq!(answer.is_problem(503, "unavailable").header("retry-after"), Some("1"));
            world.sessions.becomes(Health::Well);
            revokes(&world, token).await.is(200);
            phone.is_signed_out("signed_out").await;
        }
    }
}
