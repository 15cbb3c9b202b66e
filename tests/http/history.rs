//! What happened to a session, as its user sees it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::actors::{Device, Person};
use crate::support::transport::Call;
use crate::support::unsteady::Health;
use crate::support::world::{DAY, MINUTE, World};

async fn history(device: &Device, session: &str) -> Vec<Value> {
    let answer = device.asks(Call::get(format!("/api/sessions/{session}/history"))).await;
    answer.is(200).json().as_array().unwrap().clone()
}

fn whats(history: &[Value]) -> Vec<&str> {
    history.iter().map(|entry| entry["what"].as_str().unwrap()).collect()
}

/// Failed sign-ins are written beside the request.
async fn history_of(device: &Device, entries: usize) -> Vec<Value> {
    for _ in 0..500 {
        let history = history(device, &device.session).await;
        if history.len() >= entries {
            return history;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("there are never {entries} entries");
}

async fn signs_in_with(person: &Person, world: &World, user_agent: &str) -> Device {
    let body = json!({ "email": person.email, "password": person.password });
    person.device(&world.send(Call::post("/api/login").json(body).header("user-agent", user_agent)).await)
}

#[tokio::test]
async fn a_history_has_what_happened_where_from_and_when_the_latest_last() {
    let world = World::new();
    let ada = world.signs_up("ada@example.org").await;
    let phone = signs_in_with(&ada, &world, "phone/1").await;
    let laptop = ada.signs_in().await;
    world.clock.advance(MINUTE);
    phone.presents(&phone.refresh).await.is_granted();
    let again = Call::post("/api/refresh").bearer(&phone.refresh).header("user-agent", "thief/\t1");
    world.send(again.clone()).await.is(200);
    world.clock.advance(MINUTE);
    world.send(again).await.is_problem(401, "reuse_detected");

    let entry = |at: &str, what: &str, reason: Option<&str>, detail: &str, agent: &str| {
        json!({
            "at": at, "about": "session", "what": what, "reason": reason, "detail": detail, "ip": "192.0.2.7",
            "user_agent": agent,
        })
    };
    let end = "A spent refresh token was presented again, so the session was ended for safety.";
    let (a, b, c) = ("2026-01-01T00:00:00.000Z", "2026-01-01T00:01:00.000Z", "2026-01-01T00:02:00.000Z");
    let expected = json!([
        entry(a, "opened", None, "The session was opened by a sign-in.", "phone/1"),
        entry(b, "replayed", None, "A refresh was repeated, and got the same answer again.", "thief/1"),
        entry(c, "reuse_seen", None, "A spent refresh token was presented again: two parties held it.", "thief/1"),
        entry(c, "ended", Some("reuse_detected"), end, "thief/1"),
    ]);
    assert_eq!(Value::from(history(&laptop, &phone.session).await), expected);
    assert_eq!(whats(&history(&laptop, &laptop.session).await), ["opened"], "a rotation is no entry");
}

#[tokio::test]
async fn what_happened_to_the_account_meanwhile_is_marked() {
    let world = World::new();
    let ada = world.signs_up("ada@example.org").await;
    let mut phone = ada.signs_in().await;
    world.clock.advance(MINUTE);
    ada.tries("a guess").await.is_problem(401, "invalid_credentials");
    history_of(&phone, 2).await;
    world.clock.advance(MINUTE);
    let body = json!({ "current_password": ada.password, "new_password": "battery staple" });
    phone.asks(Call::put("/api/me/password").json(body)).await.is(204);
    phone.refreshes().await.is_granted();
    let history = history_of(&phone, 3).await;
    assert_eq!(whats(&history), ["opened", "sign_in_failed", "password_changed"]);
    let about: Vec<_> = history.iter().map(|entry| entry["about"].as_str().unwrap()).collect();
    assert_eq!(about, ["session", "account", "account"]);
}

#[tokio::test]
async fn a_history_is_its_users_only() {
    let world = World::new();
    let phone = world.signs_up("ada@example.org").await.signs_in().await;
    let stranger = world.signs_up("bob@example.org").await.signs_in().await;
    for id in [phone.session.as_str(), "018f4e9e-0000-7000-8000-000000000000", "7", "%ff", "..%2fme"] {
        let answer = stranger.asks(Call::get(format!("/api/sessions/{id}/history"))).await;
        answer.is_problem(404, "session_not_found");
    }
}

#[tokio::test]
async fn a_history_outlives_the_idle_session_and_ends_with_the_account() {
    let world = World::new();
    let ada = world.signs_up("ada@example.org").await;
    let idle = ada.signs_in().await;
    world.clock.advance(61 * DAY);
    let phone = ada.signs_in().await;
    assert_eq!(whats(&history(&phone, &idle.session).await), ["opened"]);
    phone.asks(Call::delete("/api/me").json(json!({ "password": ada.password }))).await.is(204);
    let again = world.signs_up("ada@example.org").await.signs_in().await;
    for session in [&idle.session, &phone.session] {
        again.asks(Call::get(format!("/api/sessions/{session}/history"))).await.is_problem(404, "session_not_found");
    }
}

#[tokio::test]
async fn while_histories_cannot_be_written_everything_else_goes_on() {
    for health in [Health::Away, Health::Corrupt, Health::AnswersLost] {
        let world = World::new();
        let ada = world.signs_up("ada@example.org").await;
        world.history.becomes(health);
        let mut phone = ada.signs_in().await;
        let first = phone.refresh.clone();
        phone.refreshes().await.is_granted();
        assert_eq!(phone.presents(&first).await.is_granted(), phone.refresh);
        ada.tries("a guess").await.is_problem(401, "invalid_credentials");
        let path = format!("/api/sessions/{}/history", phone.session);
        phone.asks(Call::get(&path)).await.is_problem(503, "unavailable");
        phone.revokes().await.is(204);
        phone.presents(&first).await.is_refused("signed_out");
        world.history.becomes(Health::Well);
        let laptop = ada.signs_in().await;
        let told = history(&laptop, &phone.session).await;
        assert!(whats(&told).contains(&"opened") && whats(&told).contains(&"ended"), "{told:?}");
    }
}

/// With passwords and tokens in every place where a client sends one.
#[tokio::test]
async fn no_history_has_a_token_a_password_or_a_retry_key() {
    let world = World::new();
    let ada = world.signs_up("ada@example.org").await;
    let mut phone = ada.signs_in().await;
    let mut secrets = vec![ada.password.clone(), "a wrong guess".into(), "battery staple".into(), "a-retry-key".into()];
    for _ in 0..3 {
        secrets.extend([phone.access.clone(), phone.refresh.clone()]);
        world.clock.advance(Duration::from_secs(1));
        let spent = phone.refresh.clone();
        phone.presents_with_key(&spent, "a-retry-key").await.is_granted();
        let again = phone.presents_with_key(&spent, "a-retry-key").await;
        phone.takes(&again.0);
    }
    secrets.extend([phone.access.clone(), phone.refresh.clone()]);
    ada.tries("a wrong guess").await.is(401);
    let body = json!({ "current_password": ada.password, "new_password": "battery staple" });
    phone.asks(Call::put("/api/me/password").json(body)).await.is(204);
    let told = Value::from(history_of(&phone, 6).await).to_string();
    for secret in secrets {
        let parts = secret.split('.').filter(|part| part.len() >= 8).chain([secret.as_str()]);
        for part in parts {
            assert!(!told.contains(part), "{part}: {told}");
        }
    }
}
