//! OAuth as libraries of other people speak it: refresh, introspect and revoke, from the metadata document alone.

use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::systems::{client, output_of};
use super::{Service, Start, answer, command, member, root};

const NAME: &str = "gateway";

/// A secret and its entry, as the operator makes them.
fn new_client() -> (String, String) {
    let home = TempDir::new().unwrap();
    let out =
        command(home.path(), &Start::default()).args(["client", "new", NAME, "--format", "json"]).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let made: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(made["client_id"], NAME);
    assert!(!home.path().join("data").exists(), "it changes nothing");
    (member(&made, "client_secret").to_owned(), member(&made, "entry").to_owned())
}

fn saw_what_it_should(seen: &Value, user: &str, session: &str) {
    for method in ["client_secret_basic", "client_secret_post"] {
        for (kind, token_type) in [("access_token", "Bearer"), ("refresh_token", "refresh_token")] {
            let token = &seen["inspected"][format!("{method} {kind}")];
            assert_eq!(token["active"], true, "{seen}");
            assert_eq!((&token["token_type"], &token["sub"]), (&json!(token_type), &json!(user)), "{seen}");
            assert_eq!(token["sid"], session);
        }
    }
    assert_eq!((&seen["revoked"], &seen["refused"]), (&json!(200), &json!("invalid_grant")), "{seen}");
    assert_eq!(seen["after"], json!({ "active": false }));
}

#[tokio::test(flavor = "multi_thread")]
async fn libraries_of_other_languages_refresh_introspect_and_revoke_from_the_metadata_alone() {
    let (secret, entry) = new_client();
    for config in ["default.toml", "opaque.toml", "jwt.toml"] {
        let home = TempDir::new().unwrap();
        let start = Start { config: Some(config), ..Start::default() }.with("REGRANT__OAUTH__CLIENTS", &entry);
        let service = Service::start(&home, &start);
        service.signs_up("ada@example.org").await;
        let scripts = root().join("tests/clients");
        let mut python = Command::new("python3");
        python.arg(scripts.join("oauth.py")).env("PYTHONPATH", client("python")).env("no_proxy", "*");
        let mut node = Command::new("node");
        node.arg(scripts.join("oauth.mjs")).arg(client("node"));
        for library in [&mut python, &mut node] {
            let login = service.signs_in("ada@example.org").await;
            library.args([&service.base, NAME, &secret]);
            let seen = output_of(library, member(&login, "refresh_token"));
            saw_what_it_should(&seen, member(&login, "id"), member(&login, "session_id"));
        }
        assert!(!service.log().contains(&secret), "{}", service.log());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_issuer_is_what_was_configured_and_access_tokens_name_it() {
    let issuer = "https://auth.example.org/regrant";
    let home = TempDir::new().unwrap();
    let plain = Start { config: Some("default.toml"), ..Start::default() };
    let mut service = Service::start(&home, &plain);
    service.signs_up("ada@example.org").await;
    let before = service.signs_in("ada@example.org").await;
    let path = "/.well-known/oauth-authorization-server";
    let (status, body) = answer(service.http.get(format!("{}{path}", service.base))).await;
    assert_eq!((status, &body["issuer"]), (200, &json!(service.base)), "it listens on this machine only");
    service.stops();

    let service = Service::start(&home, &plain.with("REGRANT__OAUTH__ISSUER_URL", issuer));
    let (status, body) = answer(service.http.get(format!("{}{path}", service.base))).await;
    assert_eq!((status, &body["issuer"]), (200, &json!(issuer)));
    assert_eq!(body["token_endpoint"], format!("{issuer}/oauth/token"));
    // Who was signed in stays so: access tokens of before are refused, and the refresh token brings a new one.
    assert_eq!(service.get("/api/me", member(&before, "token")).await.0, 401);
    let (status, next) = service.refreshes(member(&before, "refresh_token")).await;
    assert_eq!(status, 200, "{next}");
    let claims = member(&next, "token").split('.').nth(1).unwrap();
    let claims = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, claims).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&claims).unwrap()["iss"], issuer);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_for_the_service_signs_nobody_out_whose_refresh_token_is_a_jwt() {
    let home = TempDir::new().unwrap();
    let plain = Start { config: Some("jwt.toml"), ..Start::default() }.with("REGRANT__ACCESS_TOKEN__ISSUER", "");
    let mut service = Service::start(&home, &plain);
    service.signs_up("ada@example.org").await;
    let before = service.signs_in("ada@example.org").await;
    service.stops();
    let service = Service::start(&home, &plain.with("REGRANT__OAUTH__ISSUER_URL", "https://auth.example.org"));
    assert_eq!(service.refreshes(member(&before, "refresh_token")).await.0, 200);
    assert_eq!(service.get("/api/me", member(&before, "token")).await.0, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn elsewhere_than_on_this_machine_the_address_has_to_be_told() {
    let home = TempDir::new().unwrap();
    let service = Service::start(&home, &Start { listen: Some("0.0.0.0:0"), ..Start::default() });
    let url = format!("{}/.well-known/oauth-authorization-server", service.base);
    let (status, body) = answer(service.http.get(url)).await;
    assert_eq!((status, &body["code"]), (404, &json!("issuer_not_known")));
}
