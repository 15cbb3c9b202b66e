//! `POST /oauth/token` (RFC 6749 §6, §5.1, §5.2).

use super::{Scene, keys, systems, trades};
use crate::support::transport::{Answer, Call};
use crate::support::unsteady::{CAUSE, Health};
use crate::support::world::{DAY, MINUTE};

fn refresh_of(answer: &Answer) -> String {
    answer.is(200).json()["refresh_token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_refresh_token_is_traded_in_every_system() {
    for (config, world, mut phone) in systems().await {
        let answer = trades(&world, &phone.refresh).await;
        let body = answer.is(200).json();
        let stays = config == "static";
        let expected = if stays {
            vec!["access_token", "expires_in", "token_type"]
        } else {
            vec!["access_token", "expires_in", "refresh_token", "token_type"]
        };
        assert_eq!(keys(&body), expected, "{config}");
        assert_eq!(body["token_type"], "Bearer");
        assert!(body["expires_in"].as_u64().is_some_and(|seconds| seconds >= 300));
        assert_eq!((answer.header("cache-control"), answer.header("pragma")), (Some("no-store"), Some("no-cache")));
        body["access_token"].as_str().unwrap().clone_into(&mut phone.access);
        phone.is_signed_in().await;
        if !stays {
            body["refresh_token"].as_str().unwrap().clone_into(&mut phone.refresh);
        }
        trades(&world, &phone.refresh).await.is(200);
    }
}

#[tokio::test]
async fn the_rules_are_those_of_the_other_route() {
    let Scene { world, phone, .. } = Scene::new().await;
    let first = phone.refresh.clone();
    let second = refresh_of(&trades(&world, &first).await);
    assert_eq!(refresh_of(&trades(&world, &first).await), second, "a replay");
    assert_eq!(phone.presents(&first).await.is_granted(), second, "at either route");
    let third = phone.presents(&second).await.is_granted();
    trades(&world, &first).await.is_oauth_error(400, "invalid_grant", Some("superseded"));
    world.clock.advance(MINUTE);
    trades(&world, &first).await.is_oauth_error(400, "invalid_grant", Some("reuse_detected"));
    trades(&world, &third).await.is_oauth_error(400, "invalid_grant", Some("reuse_detected"));
    phone.is_signed_out("reuse_detected").await;
}

#[tokio::test]
async fn the_retry_key_gives_the_same_answer_however_late() {
    let Scene { world, phone, .. } = Scene::new().await;
    let with = |key: &str| {
        let form = [("grant_type", "refresh_token"), ("refresh_token", phone.refresh.as_str())];
        world.send(Call::post("/oauth/token").form(&form).header("idempotency-key", key))
    };
    let second = refresh_of(&with("a-key").await);
    world.clock.advance(DAY);
    assert_eq!(refresh_of(&with("a-key").await), second);
    with("two words").await.is_oauth_error(400, "invalid_request", Some("invalid_idempotency_key"));
    with("another-key").await.is_oauth_error(400, "invalid_grant", Some("reuse_detected"));
}

#[tokio::test]
async fn text_that_is_not_ours_gets_no_reason() {
    for (config, world, phone) in systems().await {
        let long = "a".repeat(60_000);
        for text in ["x", "\u{0}", "%", &phone.access, &phone.refresh[1..], &"0".repeat(64), &long] {
            let answer = trades(&world, text).await;
            answer.is_oauth_error(400, "invalid_grant", None);
            assert!(!answer.text().contains(text) || text.len() == 1, "{config}");
        }
        phone.is_signed_in().await;
    }
}

#[tokio::test]
async fn each_reason_is_told() {
    let Scene { world, ada, phone } = Scene::new().await;
    let tablet = ada.signs_in().await;
    phone.revokes().await.is(204);
    trades(&world, &phone.refresh).await.is_oauth_error(400, "invalid_grant", Some("signed_out"));
    world.clock.advance(60 * DAY);
    trades(&world, &tablet.refresh).await.is_oauth_error(400, "invalid_grant", Some("expired"));
}

#[tokio::test]
async fn there_is_no_grant_but_one() {
    let Scene { world, phone, ada } = Scene::new().await;
    for grant in ["password", "client_credentials", "authorization_code", "REFRESH_TOKEN", "refresh_token "] {
        let form = [
            ("grant_type", grant),
            ("refresh_token", phone.refresh.as_str()),
            ("username", &ada.email),
            ("password", &ada.password),
        ];
        let answer = world.send(Call::post("/oauth/token").form(&form)).await;
        answer.is_oauth_error(400, "unsupported_grant_type", None);
    }
    let scoped =
        [("grant_type", "refresh_token"), ("refresh_token", phone.refresh.as_str()), ("scope", "openid profile")];
    world.send(Call::post("/oauth/token").form(&scoped)).await.is_oauth_error(400, "invalid_scope", None);
    phone.is_signed_in().await;
    assert!(phone.lists_sessions().await[0]["last_refreshed_at"].is_null(), "nothing was spent");
}

#[tokio::test]
async fn a_malformed_request_is_told_and_spends_nothing() {
    let Scene { world, phone, .. } = Scene::new().await;
    let token = phone.refresh.as_str();
    let send = |body: String| {
        let call = Call::post("/oauth/token").header("content-type", "application/x-www-form-urlencoded");
        world.send(call.body(body))
    };
    for body in [
        String::new(),
        "grant_type=refresh_token".to_owned(),
        "grant_type=refresh_token&refresh_token=".to_owned(),
        format!("refresh_token={token}"),
        format!("grant_type=&refresh_token={token}"),
        format!("grant_type=refresh_token&grant_type=refresh_token&refresh_token={token}"),
        format!("grant_type=refresh_token&refresh_token={token}&refresh_token={token}"),
        format!("grant_type=refresh_token&refresh%5Ftoken={token}&refresh_token={token}"),
        format!("grant_type=refresh_token&refresh_token={token}&x=1&x=2"),
        format!("grant_type=refresh_token&refresh_token={token}&client_id=&client_id="),
        format!("{{\"grant_type\":\"refresh_token\",\"refresh_token\":\"{token}\"}}"),
    ] {
        send(body).await.is_oauth_error(400, "invalid_request", None);
    }
    let good = format!("grant_type=refresh_token&refresh_token={token}");
    for content_type in ["application/json", "text/plain", "multipart/form-data; boundary=x", ""] {
        let call = Call::post("/oauth/token").header("content-type", content_type).body(good.clone());
        world.send(call).await.is_oauth_error(400, "invalid_request", None);
    }
    world.send(Call::post("/oauth/token").body(good.clone())).await.is_oauth_error(400, "invalid_request", None);
    let in_query = Call::post(format!("/oauth/token?{good}")).form(&[("grant_type", "refresh_token")]);
    world.send(in_query).await.is_oauth_error(400, "invalid_request", None);
    send(format!("{good}&x={}", "a".repeat(64 * 1024))).await.is_problem(413, "body_too_large");
    assert!(phone.lists_sessions().await[0]["last_refreshed_at"].is_null(), "nothing was spent");

    // What is empty is left out, what is unknown is passed over, and a type may say more.
    let call = Call::post("/oauth/token?tenant=a").body(format!("{good}&scope=&client_id=&state=x"));
    let call = call.header("content-type", "Application/X-WWW-Form-Urlencoded; charset=UTF-8");
    world.send(call).await.is(200);
}

#[tokio::test]
async fn an_outage_is_never_a_refusal() {
    for health in [Health::Away, Health::Corrupt, Health::AnswersLost] {
        let Scene { world, phone, .. } = Scene::new().await;
        world.sessions.becomes(health);
        let answer = trades(&world, &phone.refresh).await;
        assert_eq!(answer.is_problem(503, "unavailable").header("retry-after"), Some("1"));
        assert!(!answer.everything().contains("invalid_grant") && !answer.everything().contains(CAUSE));
        world.sessions.becomes(Health::Well);
        refresh_of(&trades(&world, &phone.refresh).await);
    }
}
