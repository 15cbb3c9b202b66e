//! The first minutes: nothing set up, one command.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Service, Start, member, query};

const DAY: i64 = 86_400_000;

fn claims(jwt: &str) -> Value {
    let part = jwt.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[test]
fn the_printed_curl_lines_work_as_printed() {
    let home = TempDir::new().unwrap();
    let service = Service::start(&home, &Start::default());
    let printed = service.printed();
    let script: Vec<&str> =
        printed.lines().map(str::trim).filter(|l| l.contains("curl ") || l.starts_with("REFRESH=")).collect();
    assert!(script.len() >= 4, "{printed}");
    let readme = std::fs::read_to_string(super::root().join("README.md")).unwrap();
    for line in &script {
        let line = line.replace(&service.base, "http://127.0.0.1:8080");
        assert!(readme.contains(&line), "README.md says something else than is printed: {line}");
    }
    let out = Command::new("sh").arg("-euc").arg(script.join("\n")).output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    assert!(out.status.success(), "{text}{}", String::from_utf8_lossy(&out.stderr));
    for expected in ["\"id\"", "\"email\"", "\"refresh_token\"", "\"expires_in\":3600", "204"] {
        assert!(text.contains(expected), "{expected} is missing in:\n{text}");
    }
    assert!(!text.contains("urn:regrant:problem"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_answers_what_it_should_and_the_database_says_the_same() {
    let home = TempDir::new().unwrap();
    let service = Service::start(&home, &Start::default());
    service.signs_up("ada@example.org").await;
    let login = service.signs_in("ada@example.org").await;
    for name in ["id", "created_at", "updated_at", "email", "token", "refresh_token"] {
        member(&login, name);
    }
    let claims = claims(member(&login, "token"));
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 3600);
    assert_eq!(login["expires_in"], json!(3600));
    assert_eq!(claims["sub"], login["id"]);
    assert_eq!(claims["sid"], login["session_id"]);

    let token = member(&login, "refresh_token").to_owned();
    let (secret, label) = token.split_once('.').unwrap();
    assert!(secret.len() == 64 && secret.bytes().all(|b| b.is_ascii_hexdigit()), "{token}");
    assert_eq!(label.len(), 50);

    let row = || query_tokens(&service);
    let before = row().await;
    assert_eq!(before[1].as_i64().unwrap() - before[0].as_i64().unwrap(), 60 * DAY);
    assert_eq!(before[2], Value::Null);

    let (status, _) = service.post("/api/revoke", Some(&token), None).await;
    assert_eq!(status, 204);
    let after = row().await;
    assert!(after[2].is_i64(), "revoked_at is set");
    assert_eq!(after[2], after[3], "and updated_at with it");
    let (status, body) = service.refreshes(&token).await;
    assert_eq!((status, &body["code"]), (401, &json!("signed_out")));
    assert_eq!(service.post("/api/revoke", Some(&token), None).await.0, 204);
    assert_eq!(row().await, after, "nothing is written");
}

async fn query_tokens(service: &Service) -> Vec<Value> {
    let sql = "SELECT created_at, expires_at, revoked_at, updated_at FROM refresh_tokens";
    query(&service.database(), sql).await.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_outlives_a_restart_and_keys_are_private_files() {
    let home = TempDir::new().unwrap();
    let mut service = Service::start(&home, &Start::default());
    service.signs_up("ada@example.org").await;
    let login = service.signs_in("ada@example.org").await;
    assert!(service.stops().success(), "{}", service.log());
    let mut keys = 0;
    for path in super::files(&home.path().join("data")) {
        let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", path.display());
        keys += usize::from(path.extension().is_some_and(|e| e == "pem" || e == "key"));
    }
    assert_eq!(keys, 2, "a signing key and a token key");

    let service = Service::start(&home, &Start::default());
    let (status, body) = service.refreshes(member(&login, "refresh_token")).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(service.get("/api/me", member(&login, "token")).await.0, 200, "the signing key is the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_in_flight_are_completed_when_it_is_told_to_stop() {
    let home = TempDir::new().unwrap();
    let mut service = Service::start(&home, &Start::default());
    service.signs_up("ada@example.org").await;
    let (http, url) = (service.http.clone(), format!("{}/api/login", service.base));
    let slow: Vec<_> = (0..8)
        .map(|_| {
            let body = json!({"email": "ada@example.org", "password": super::PASSWORD});
            tokio::spawn(super::answer(http.post(&url).json(&body)))
        })
        .collect();
    // Argon2 keeps the sign-ins busy for longer than this.
    tokio::time::sleep(std::time::Duration::from_millis(30)).await;
    let status = tokio::task::block_in_place(|| service.stops());
    assert!(status.success(), "{}", service.log());
    for task in slow {
        let (status, body) = task.await.unwrap();
        assert_eq!(status, 200, "{body}");
    }
}
