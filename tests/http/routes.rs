//! What each route does when all is well.

use std::num::NonZeroU32;

use regrant_domain::policy::WhenFull;
use regrant_domain::usecases::register::TakenEmail;
use serde_json::{Value, json};

use crate::support::transport::{Answer, Call};
use crate::support::world::{DAY, HOUR, MINUTE, Plan, World};

fn keys(body: &Value) -> Vec<&str> {
    let mut keys: Vec<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

#[tokio::test]
async fn signing_up_answers_the_user() {
    let world = World::new();
    let body = json!({ "email": "Ada@Example.org", "password": "correct horse" });
    let answer = world.send(Call::post("/api/users").json(body)).await;
    let body = answer.is(201).json();
    assert_eq!(keys(&body), ["created_at", "email", "id", "updated_at"]);
    assert_eq!(body["email"], "ada@example.org");
    assert_eq!(body["created_at"], "2026-01-01T00:00:00.000Z");
    assert_eq!(body["updated_at"], body["created_at"]);
}

#[tokio::test]
async fn an_address_belongs_to_one_account() {
    let world = World::new();
    world.signs_up("ada@example.org").await;
    let again = Call::post("/api/users").json(json!({ "email": "ada@example.org", "password": "another one" }));
    world.send(again).await.is_problem(409, "email_taken");
}

#[tokio::test]
async fn a_taken_address_can_be_hidden() {
    let world = World::with(|plan| plan.policies.taken_email = TakenEmail::Hide);
    let ada = world.signs_up("ada@example.org").await;
    let again = Call::post("/api/users").json(json!({ "email": "ada@example.org", "password": "another one" }));
    let answer = world.send(again).await;
    assert_eq!(keys(&answer.is(201).json()), ["created_at", "email", "id", "updated_at"]);
    assert_ne!(answer.json()["id"], ada.id);
    ada.tries("another one").await.is_problem(401, "invalid_credentials");
}

#[tokio::test]
async fn signing_in_answers_the_user_and_the_tokens() {
    let world = World::new();
    let ada = world.signs_up("ada@example.org").await;
    let body = ada.tries(&ada.password).await.is(200).json();
    let expected =
        ["created_at", "email", "expires_in", "id", "refresh_token", "session_id", "token", "token_type", "updated_at"];
    assert_eq!(keys(&body), expected);
    assert_eq!(body["id"], ada.id);
    assert_eq!(body["token_type"], "Bearer");
    assert_eq!(body["expires_in"], 3600);
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_address_get_one_answer() {
    let world = World::new();
    let mut ada = world.signs_up("ada@example.org").await;
    let wrong = ada.tries("not the password").await;
    ada.email = "nobody@example.org".into();
    let unknown = ada.tries("not the password").await;
    wrong.is_problem(401, "invalid_credentials");
    assert_eq!(wrong.header("www-authenticate"), Some("Bearer realm=\"regrant\""));
    let but_id = |answer: &Answer| {
        let mut body = answer.json();
        body["request_id"] = Value::Null;
        body
    };
    assert_eq!(but_id(&wrong), but_id(&unknown));
    assert_eq!(wrong.header("www-authenticate"), unknown.header("www-authenticate"));
}

#[tokio::test]
async fn refreshing_answers_new_tokens() {
    let world = World::new();
    let ada = world.signs_up("ada@example.org").await;
    let mut phone = ada.signs_in().await;
    let (old_access, old_refresh) = (phone.access.clone(), phone.refresh.clone());
    let body = phone.refreshes().await.0.is(200).json();
    assert_eq!(keys(&body), ["expires_in", "refresh_token", "token", "token_type"]);
    assert_eq!((&body["token_type"], &body["expires_in"]), (&json!("Bearer"), &json!(3600)));
    assert_ne!(phone.access, old_access);
    assert_ne!(phone.refresh, old_refresh);
    phone.is_signed_in().await;
    assert_eq!(phone.asks(Call::get("/api/me")).await.json()["id"], ada.id);
}

#[tokio::test]
async fn a_refresh_token_that_stays_is_answered_with_exactly_one_field() {
    let world = World::with(Plan::becomes_static);
    let phone = world.signs_up("ada@example.org").await.signs_in().await;
    assert_eq!(phone.refresh.len(), 64);
    for _ in 0..3 {
        let answer = phone.presents(&phone.refresh).await.0;
        assert_eq!(keys(&answer.is(200).json()), ["token"]);
    }
}

#[tokio::test]
async fn revoking_ends_the_session_and_may_be_repeated() {
    let world = World::new();
    let mut phone = world.signs_up("ada@example.org").await.signs_in().await;
    for _ in 0..2 {
        let answer = phone.revokes().await;
        assert!(answer.is(204).body.is_empty());
    }
    phone.refreshes().await.is_refused("signed_out");
    phone.is_signed_out("signed_out").await;
}

#[tokio::test]
async fn a_new_password_ends_the_other_sessions() {
    let world = World::new();
    let mut ada = world.signs_up("ada@example.org").await;
    let (phone, mut laptop) = (ada.signs_in().await, ada.signs_in().await);
    let body = json!({ "current_password": ada.password, "new_password": "a much better one" });
    phone.asks(Call::put("/api/me/password").json(body)).await.is(204);
    phone.is_signed_in().await;
    laptop.is_signed_out("password_changed").await;
    laptop.refreshes().await.is_refused("password_changed");
    ada.tries(&ada.password).await.is_problem(401, "invalid_credentials");
    ada.password = "a much better one".into();
    ada.signs_in().await.is_signed_in().await;
}

#[tokio::test]
async fn the_current_password_is_asked_for() {
    let world = World::new();
    let ada = world.signs_up("ada@example.org").await;
    let phone = ada.signs_in().await;
    let body = json!({ "current_password": "a guess", "new_password": "a much better one" });
    phone.asks(Call::put("/api/me/password").json(body)).await.is_problem(403, "wrong_password");
    let body = json!({ "password": "a guess" });
    phone.asks(Call::delete("/api/me").json(body)).await.is_problem(403, "wrong_password");
    let body = json!({ "current_password": ada.password, "new_password": "short" });
    let answer = phone.asks(Call::put("/api/me/password").json(body)).await;
    assert_eq!(answer.is_problem(422, "invalid_password").json()["field"], "new_password");
    phone.is_signed_in().await;
}

#[tokio::test]
async fn deleting_the_account_leaves_nothing() {
    let world = World::new();
    let ada = world.signs_up("ada@example.org").await;
    let (phone, mut laptop) = (ada.signs_in().await, ada.signs_in().await);
    phone.asks(Call::delete("/api/me").json(json!({ "password": ada.password }))).await.is(204);
    phone.is_signed_out("unknown_session").await;
    laptop.refreshes().await.is_refused("unknown_session");
    ada.tries(&ada.password).await.is_problem(401, "invalid_credentials");
}

#[tokio::test]
async fn sessions_are_listed_with_all_that_is_known_of_them() {
    let world = World::new();
    let ada = world.signs_up("ada@example.org").await;
    let mut phone = ada.signs_in().await;
    world.clock.advance(MINUTE);
    phone.refreshes().await.is_granted();
    let body = json!({ "email": ada.email, "password": ada.password, "label": "Ada's laptop" });
    let answer = world.send(Call::post("/api/login").json(body).header("user-agent", "curl/8.1")).await;
    let laptop = answer.is(200).json()["session_id"].clone();

    let sessions = phone.lists_sessions().await;
    let expected = json!([
        {
            "id": laptop, "label": "Ada's laptop", "user_agent": "curl/8.1", "ip": "192.0.2.7",
            "created_at": "2026-01-01T00:01:00.000Z", "last_refreshed_at": null,
            "expires_at": "2026-03-02T00:01:00.000Z", "current": false, "ended_at": null, "end_reason": null,
        },
        {
            "id": phone.session, "label": null, "user_agent": null, "ip": "192.0.2.7",
            "created_at": "2026-01-01T00:00:00.000Z", "last_refreshed_at": "2026-01-01T00:01:00.000Z",
            "expires_at": "2026-03-02T00:01:00.000Z", "current": true, "ended_at": null, "end_reason": null,
        },
    ]);
    assert_eq!(Value::from(sessions), expected);
}

#[tokio::test]
async fn ended_and_expired_sessions_come_last_and_can_be_left_out() {
    let world = World::new();
    let ada = world.signs_up("ada@example.org").await;
    let _forgotten = ada.signs_in().await;
    world.clock.advance(59 * DAY);
    let tablet = ada.signs_in().await;
    tablet.revokes().await.is(204);
    world.clock.advance(2 * DAY);
    let phone = ada.signs_in().await;

    let sessions = phone.lists_sessions().await;
    let told: Vec<_> = sessions.iter().map(|s| (s["end_reason"].as_str(), s["ended_at"].as_str())).collect();
    let expected = [
        (None, None),
        (Some("signed_out"), Some("2026-03-01T00:00:00.000Z")),
        (Some("expired"), Some("2026-03-02T00:00:00.000Z")),
    ];
    assert_eq!(told, expected);

    let live = phone.asks(Call::get("/api/sessions?live=true")).await.is(200).json();
    assert_eq!(live.as_array().unwrap().len(), 1);
    assert_eq!(live[0]["id"], phone.session);
    let all = phone.asks(Call::get("/api/sessions?live=false")).await.is(200).json();
    assert_eq!(all.as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_session_expires_at_the_earlier_of_idleness_and_its_absolute_end() {
    let world = World::with(|plan| plan.policies.session.max_age = 10 * DAY);
    let phone = world.signs_up("ada@example.org").await.signs_in().await;
    assert_eq!(phone.lists_sessions().await[0]["expires_at"], "2026-01-11T00:00:00.000Z");
    world.clock.advance(10 * DAY);
    phone.presents(&phone.refresh).await.is_refused("session_expired");
}

#[tokio::test]
async fn one_session_can_be_ended_from_another() {
    let world = World::new();
    let ada = world.signs_up("ada@example.org").await;
    let (phone, mut laptop) = (ada.signs_in().await, ada.signs_in().await);
    let path = format!("/api/sessions/{}", laptop.session);
    for _ in 0..2 {
        phone.asks(Call::delete(&path)).await.is(204);
    }
    laptop.refreshes().await.is_refused("signed_out_elsewhere");
    phone.asks(Call::delete(format!("/api/sessions/{}", phone.session))).await.is(204);
    phone.is_signed_out("signed_out").await;
}

#[tokio::test]
async fn nobody_can_end_the_session_of_somebody_else() {
    let world = World::new();
    let phone = world.signs_up("ada@example.org").await.signs_in().await;
    let stranger = world.signs_up("bob@example.org").await.signs_in().await;
    for id in [phone.session.as_str(), "018f4e9e-0000-7000-8000-000000000000", "7", "%ff", "..%2fme"] {
        let answer = stranger.asks(Call::delete(format!("/api/sessions/{id}"))).await;
        answer.is_problem(404, "session_not_found");
    }
    phone.is_signed_in().await;
}

#[tokio::test]
async fn all_other_sessions_can_be_ended_and_the_own_one_too() {
    let world = World::new();
    let ada = world.signs_up("ada@example.org").await;
    let (phone, laptop) = (ada.signs_in().await, ada.signs_in().await);
    phone.asks(Call::delete("/api/sessions")).await.is(204);
    laptop.is_signed_out("signed_out_elsewhere").await;
    phone.is_signed_in().await;
    phone.asks(Call::delete("/api/sessions?include_current=true")).await.is(204);
    phone.is_signed_out("signed_out_elsewhere").await;
}

#[tokio::test]
async fn a_misspelt_parameter_is_told_and_nothing_ends() {
    let world = World::new();
    let ada = world.signs_up("ada@example.org").await;
    let (phone, laptop) = (ada.signs_in().await, ada.signs_in().await);
    for query in ["include_curent=true", "include_current=yes", "include_current", "include_current=true&x=1"] {
        let answer = phone.asks(Call::delete(format!("/api/sessions?{query}"))).await;
        answer.is_problem(400, "invalid_query");
    }
    phone.asks(Call::get("/api/sessions?live=1")).await.is_problem(400, "invalid_query");
    laptop.is_signed_in().await;
}

#[tokio::test]
async fn a_user_may_have_too_many_sessions() {
    let world = World::with(|plan| {
        plan.policies.session.max_per_user = NonZeroU32::new(1);
        plan.policies.session.when_full = WhenFull::Deny;
    });
    let ada = world.signs_up("ada@example.org").await;
    ada.signs_in().await;
    ada.tries(&ada.password).await.is_problem(403, "session_limit");
}

#[tokio::test]
async fn an_access_token_expires() {
    let world = World::new();
    let mut phone = world.signs_up("ada@example.org").await.signs_in().await;
    world.clock.advance(HOUR);
    phone.is_signed_out("access_token_expired").await;
    phone.refreshes().await.is_granted();
    phone.is_signed_in().await;
}

#[tokio::test]
async fn the_service_is_alive_and_ready() {
    let world = World::new();
    assert_eq!(world.send(Call::get("/healthz")).await.is(200).text(), "ok");
    world.send(Call::get("/readyz")).await.is(200);
}
