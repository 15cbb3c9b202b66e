//! Rotation over real HTTP.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Service, Start, member};

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_simultaneous_refreshes_get_sixty_four_answers_with_one_successor() {
    let home = TempDir::new().unwrap();
    let service = Service::start(&home, &Start::default());
    service.signs_up("ada@example.org").await;
    let mut token = member(&service.signs_in("ada@example.org").await, "refresh_token").to_owned();
    for _ in 0..5 {
        let url = format!("{}/api/refresh", service.base);
        let all: Vec<_> =
            (0..64).map(|_| tokio::spawn(super::answer(service.http.post(&url).bearer_auth(&token)))).collect();
        let mut successors = HashSet::new();
        for task in all {
            let (status, body) = task.await.unwrap();
            assert_eq!(status, 200, "{body}");
            successors.insert(member(&body, "refresh_token").to_owned());
        }
        assert_eq!(successors.len(), 1);
        token = successors.into_iter().next().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_two_generations_old_ends_the_session_and_the_reason_is_everywhere() {
    let home = TempDir::new().unwrap();
    let service = Service::start(&home, &Start::default().with("REGRANT__REFRESH_TOKEN__REPLAY_WINDOW", "1s"));
    service.signs_up("ada@example.org").await;
    let login = service.signs_in("ada@example.org").await;
    let first = member(&login, "refresh_token");
    let second = service.refreshes(first).await.1;
    let third = service.refreshes(member(&second, "refresh_token")).await.1;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let (status, body) = service.refreshes(first).await;
    assert_eq!((status, &body["code"]), (401, &json!("reuse_detected")));
    let (status, body) = service.refreshes(member(&third, "refresh_token")).await;
    assert_eq!((status, &body["code"]), (401, &json!("reuse_detected")), "the end is committed");
    let (status, body) = service.get("/api/me", member(&third, "token")).await;
    assert_eq!((status, &body["code"]), (401, &json!("reuse_detected")));

    let again = service.signs_in("ada@example.org").await;
    let (status, list) = service.get("/api/sessions", member(&again, "token")).await;
    assert_eq!(status, 200);
    let items = list.as_array().or_else(|| list["sessions"].as_array()).unwrap();
    let ended = items.iter().find(|item| item["id"] == login["session_id"]).unwrap();
    assert_eq!(ended["end_reason"], json!("reuse_detected"));
    assert!(ended["ended_at"].is_string());
    let line = service.log();
    let line = line.lines().find(|line| line.contains("reuse_detected")).expect("a line in the log");
    assert!(line.contains(member(&login, "session_id")), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_static_token_refreshes_any_number_of_times_and_the_answer_is_exactly_a_token() {
    let home = TempDir::new().unwrap();
    let service = Service::start(&home, &Start { config: Some("static.toml"), ..Start::default() });
    service.signs_up("ada@example.org").await;
    let login = service.signs_in("ada@example.org").await;
    let token = member(&login, "refresh_token");
    assert!(token.len() == 64 && token.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')), "{token}");
    let mut seen = HashSet::new();
    for _ in 0..50 {
        let (status, body) = service.refreshes(token).await;
        assert_eq!(status, 200);
        let names: Vec<_> = body.as_object().unwrap().keys().collect();
        assert_eq!(names, ["token"]);
        let access = member(&body, "token");
        assert!(seen.insert(access.to_owned()), "access tokens are unique");
        assert_eq!(service.get("/api/me", access).await.0, 200);
    }
    assert_eq!(service.post("/api/revoke", Some(token), None).await.0, 204);
    let (status, body) = service.refreshes(token).await;
    assert_eq!((status, &body["code"]), (401, &Value::from("signed_out")));
    assert_eq!(service.refreshes(&"0".repeat(64)).await.1["code"], json!("invalid_token"));
}
