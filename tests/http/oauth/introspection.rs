//! `POST /oauth/introspect` (RFC 7662).

use super::{Scene, introspects, is_inactive, keys, systems, trades};
use crate::http::stories::part;
use crate::support::transport::Call;
use crate::support::unsteady::Health;
use crate::support::world::{AUDIENCE, DAY, HOUR, ISSUER, MINUTE};

/// 2026-01-01T00:00:00Z, where the clock of tests begins.
const START: i64 = 1_767_225_600;

#[tokio::test]
async fn an_access_token_is_described() {
    let Scene { world, ada, phone } = Scene::new().await;
    let answer = introspects(&world, &phone.access).await;
    let body = answer.is(200).json();
    assert_eq!(keys(&body), ["active", "aud", "client_id", "exp", "iat", "iss", "jti", "sid", "sub", "token_type"]);
    assert_eq!((&body["active"], &body["token_type"]), (&true.into(), &"Bearer".into()));
    assert_eq!((&body["sub"], &body["sid"]), (&ada.id.into(), &phone.session.into()));
    assert_eq!((&body["iss"], &body["aud"], &body["client_id"]), (&ISSUER.into(), &AUDIENCE.into(), &"regrant".into()));
    assert_eq!((body["iat"].as_i64(), body["exp"].as_i64()), (Some(START), Some(START + 3600)));
    assert_eq!((answer.header("cache-control"), answer.header("pragma")), (Some("no-store"), Some("no-cache")));
}

#[tokio::test]
async fn both_kinds_are_told_apart_in_every_system() {
    for (config, world, mut phone) in systems().await {
        world.clock.advance(MINUTE);
        phone.refreshes().await.0.is(200);
        for (token, token_type) in [(&phone.access, "Bearer"), (&phone.refresh, "refresh_token")] {
            let body = introspects(&world, token).await.is(200).json();
            assert_eq!(body["active"], true, "{config} {token_type}");
            assert_eq!(body["token_type"], token_type);
            assert_eq!(body["sid"], phone.session.as_str());
            let iat = if config == "static" && token_type == "refresh_token" { START } else { START + 60 };
            assert_eq!(body["iat"], iat, "{config} {token_type}");
            assert!(body["exp"].as_i64().is_some_and(|exp| exp >= START + 60 + 300), "{body}");
            let is_jwt = token.split('.').count() == 3;
            let jti = is_jwt.then(|| part(token, 1)["jti"].clone());
            assert_eq!(body.get("jti"), jti.as_ref(), "{config} {body}");
            for name in ["username", "user_email"] {
                assert_eq!(body[name].as_str(), (config == "jwt").then_some("ada@example.org"), "{config}");
            }
        }
    }
}

#[tokio::test]
async fn whatever_the_cause_an_inactive_token_is_told_in_the_same_bytes() {
    for (config, world, mut phone) in systems().await {
        for text in ["x", "\u{0}", &"0".repeat(64), &phone.refresh[1..], &format!("{}x", phone.access)] {
            is_inactive(&world, text).await;
        }
        let first = phone.clone();
        phone.refreshes().await.0.is(200);
        if config != "static" {
            is_inactive(&world, &first.refresh).await;
        }
        if config == "opaque" {
            is_inactive(&world, &first.access).await;
        }
        phone.revokes().await.is(204);
        for token in [&phone.access, &phone.refresh] {
            is_inactive(&world, token).await;
        }
    }
}

#[tokio::test]
async fn an_expired_token_is_inactive_from_its_last_second_on() {
    let Scene { world, phone, .. } = Scene::new().await;
    world.clock.advance(HOUR - MINUTE);
    assert_eq!(introspects(&world, &phone.access).await.json()["active"], true);
    world.clock.advance(MINUTE);
    is_inactive(&world, &phone.access).await;
    assert_eq!(introspects(&world, &phone.refresh).await.json()["active"], true);
    world.clock.advance(60 * DAY);
    is_inactive(&world, &phone.refresh).await;
}

#[tokio::test]
async fn looking_at_a_spent_token_is_no_reuse() {
    for (config, world, mut phone) in systems().await {
        if config == "static" {
            continue;
        }
        let spent = phone.refresh.clone();
        phone.refreshes().await.is_granted();
        phone.refreshes().await.is_granted();
        world.clock.advance(DAY);
        world.events.take();
        for _ in 0..3 {
            is_inactive(&world, &spent).await;
        }
        assert!(world.events.take().is_empty(), "{config}: nothing happened");
        let current = phone.refresh.clone();
        assert_eq!(introspects(&world, &current).await.json()["active"], true);
        trades(&world, &current).await.is(200);
        trades(&world, &spent).await.is_oauth_error(400, "invalid_grant", Some("reuse_detected"));
    }
}

#[tokio::test]
async fn a_user_who_is_gone_has_no_tokens() {
    let (_, world, phone) = systems().await.remove(3);
    let password = "the pass phrase of ada@example.org";
    phone.asks(Call::delete("/api/me").json(serde_json::json!({ "password": password }))).await.is(204);
    for token in [&phone.access, &phone.refresh] {
        is_inactive(&world, token).await;
    }
}

#[tokio::test]
async fn an_outage_is_no_answer() {
    for health in [Health::Away, Health::Corrupt, Health::AnswersLost] {
        let Scene { world, phone, .. } = Scene::new().await;
        world.sessions.becomes(health);
        for token in [&phone.access, &phone.refresh] {
            let answer = introspects(&world, token).await;
            assert_eq!(answer.is_problem(503, "unavailable").header("retry-after"), Some("1"));
        }
    }
}
