//! Each token system, as its configuration file starts it, and as software of other people reads its tokens.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Service, Start, answer, member, query, root};

fn start(config: &'static str) -> Start {
    Start { config: Some(config), ..Start::default() }
}

/// Where `tests/install-clients` has put the libraries of another language.
pub(super) fn client(language: &str) -> PathBuf {
    let exe = std::env::current_exe().unwrap();
    let path = exe.ancestors().nth(3).unwrap().join("clients").join(language);
    assert!(path.is_dir(), "{} is missing: run tests/run, or tests/install-clients first", path.display());
    path
}

/// Runs a program with a token on its standard input, and returns the JSON that it prints.
pub(super) fn output_of(command: &mut Command, token: &str) -> Value {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(token.as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn libraries_of_other_languages_verify_access_tokens_with_the_published_key() {
    for algorithm in ["ES256", "EdDSA", "RS256"] {
        let home = TempDir::new().unwrap();
        let service = Service::start(&home, &start("jwt.toml").with("REGRANT__ACCESS_TOKEN__ALGORITHM", algorithm));
        service.signs_up("ada@example.org").await;
        let login = service.signs_in("ada@example.org").await;
        let token = member(&login, "token");
        let scripts = root().join("tests/clients");

        let mut python = Command::new("python3");
        python.arg(scripts.join("verify.py")).args([&service.base, "regrant", "regrant"]);
        python.env("PYTHONPATH", client("python")).env("no_proxy", "*");
        let mut node = Command::new("node");
        node.arg(scripts.join("verify.mjs")).arg(client("node")).args([&service.base, "regrant", "regrant"]);
        for claims in [output_of(&mut python, token), output_of(&mut node, token)] {
            assert_eq!(claims["sub"], login["id"], "{algorithm}");
            assert_eq!(claims["sid"], login["session_id"]);
            assert_eq!(claims["user_email"], "ada@example.org");
            assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 900);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_published_for_those_who_need_them_and_a_shared_secret_never() {
    for (config, algorithm, published) in
        [("jwt.toml", "ES256", 1), ("default.toml", "ES256", 1), ("jwt.toml", "HS256", 0), ("opaque.toml", "ES256", 0)]
    {
        let home = TempDir::new().unwrap();
        let service = Service::start(&home, &start(config).with("REGRANT__ACCESS_TOKEN__ALGORITHM", algorithm));
        let (status, body) = answer(service.http.get(format!("{}/.well-known/jwks.json", service.base))).await;
        assert_eq!((status, body["keys"].as_array().unwrap().len()), (200, published), "{config} {algorithm}: {body}");
        for private in ["d", "p", "q", "k"] {
            assert!(body["keys"].as_array().unwrap().iter().all(|key| key.get(private).is_none()), "{body}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn opaque_pairs_are_kept_as_hashes_with_their_expiries() {
    let home = TempDir::new().unwrap();
    let service = Service::start(&home, &start("opaque.toml"));
    service.signs_up("ada@example.org").await;
    let mut pair = service.signs_in("ada@example.org").await;
    let sql = "SELECT hex(access_token), access_token_expires_at, refresh_token_expires_at, updated_at FROM sessions";
    let mut hashes = std::collections::HashSet::new();
    for _ in 0..3 {
        for name in ["token", "refresh_token"] {
            let token = member(&pair, name);
            assert_eq!(token.len(), 256);
            assert!(token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)), "{token}");
        }
        let row = query(&service.database(), sql).await.remove(0);
        let at = |column: usize| row[column].as_i64().unwrap();
        assert_eq!((at(1) - at(3), at(2) - at(3)), (300_000, 7 * 86_400_000));
        assert_eq!(row[0].as_str().unwrap().len(), 64);
        assert!(hashes.insert(row[0].clone()), "each refresh brings another");
        assert_eq!(service.get("/api/me", member(&pair, "token")).await.0, 200);
        let (status, next) = service.refreshes(member(&pair, "refresh_token")).await;
        assert_eq!(status, 200, "{next}");
        let (status, body) = service.get("/api/me", member(&pair, "token")).await;
        assert_eq!((status, &body["code"]), (401, &json!("superseded")));
        pair = next;
    }
    assert!(!home.path().join("data/access-es256.pem").exists(), "nothing is signed with it");
}

#[test]
fn the_printed_lines_work_in_every_system() {
    for config in ["default.toml", "static.toml", "opaque.toml", "jwt.toml"] {
        let home = TempDir::new().unwrap();
        let service = Service::start(&home, &start(config));
        let printed = service.printed();
        let script: Vec<&str> = printed.lines().map(str::trim).filter(|line| line.contains("curl ")).collect();
        let out = Command::new("sh").arg("-euc").arg(script.join("\n")).output().unwrap();
        let text = String::from_utf8(out.stdout).unwrap();
        assert!(out.status.success() && text.trim_end().ends_with("204"), "{config}: {text}");
        assert!(!text.contains("urn:regrant:problem"), "{config}: {text}");
    }
}
