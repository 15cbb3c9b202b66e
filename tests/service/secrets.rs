//! No secret in the database, its journal, or the log at its most talkative.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{PASSWORD, Service, Start, files, member};

/// The ways in which a secret could be written.
fn spellings(secret: &[u8]) -> Vec<Vec<u8>> {
    let text = [
        hex::encode(secret),
        hex::encode_upper(secret),
        STANDARD.encode(secret),
        STANDARD_NO_PAD.encode(secret),
        URL_SAFE_NO_PAD.encode(secret),
    ];
    std::iter::once(secret.to_vec()).chain(text.into_iter().map(String::into_bytes)).collect()
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

async fn use_it(service: &Service) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut keep = |body: &Value| {
        for name in ["token", "refresh_token"] {
            if let Some(token) = body[name].as_str() {
                tokens.push(token.to_owned());
            }
        }
    };
    service.signs_up("ada@example.org").await;
    let mut current = service.signs_in("ada@example.org").await;
    keep(&current);
    for i in 0..5 {
        let request = service.http.post(format!("{}/api/refresh", service.base)).header("Idempotency-Key", KEY);
        let token = member(&current, "refresh_token").to_owned();
        let (_, next) = super::answer(request.bearer_auth(&token)).await;
        keep(&next);
        if i == 3 {
            keep(&service.refreshes(&token).await.1);
        }
        if next["refresh_token"].is_string() {
            current = next;
        }
    }
    let access = member(&current, "token").to_owned();
    let wrong = json!({"email": "ada@example.org", "password": WRONG});
    assert_eq!(service.post("/api/login", None, Some(wrong)).await.0, 401);
    let change = json!({"current_password": PASSWORD, "new_password": NEW});
    let url = format!("{}/api/me/password", service.base);
    assert_eq!(super::answer(service.http.put(url).bearer_auth(&access).json(&change)).await.0, 204);
    assert_eq!(service.get("/api/sessions", &access).await.0, 200);
    assert_eq!(service.get("/api/me?access_token=in-the-query-string", &access).await.0, 400);
    let refresh = member(&current, "refresh_token");
    assert_eq!(service.get("/api/me", refresh).await.0, 401);
    assert_eq!(service.post("/api/revoke", Some(refresh), None).await.0, 204);
    assert_eq!(service.refreshes(refresh).await.0, 401);
    tokens
}

const WRONG: &str = "a wrong password altogether";
const NEW: &str = "a new password altogether";
const KEY: &str = "a-retry-key-that-nobody-may-see";

#[tokio::test(flavor = "multi_thread")]
async fn neither_the_files_nor_the_log_at_trace_contain_a_token_or_a_password() {
    for format in ["human", "json"] {
        let home = TempDir::new().unwrap();
        let start = Start::default().with("REGRANT__LOG__LEVEL", "trace").with("REGRANT__LOG__FORMAT", format);
        let mut service = Service::start(&home, &start.with("RUST_LOG", "trace"));
        let tokens = use_it(&service).await;
        assert!(tokens.len() >= 10);
        let mut secrets: Vec<Vec<u8>> =
            [PASSWORD, WRONG, NEW, KEY].into_iter().flat_map(|s| spellings(s.as_bytes())).collect();
        secrets.push(b"in-the-query-string".to_vec());
        for token in &tokens {
            secrets.extend(spellings(token.as_bytes()));
            if let Some(secret) = token.get(..64).and_then(|secret| hex::decode(secret).ok()) {
                secrets.extend(spellings(&secret));
                secrets.push(token.as_bytes()[..64].to_vec());
            }
            // The signature of a JWT, or the label of a refresh token.
            secrets.push(token.rsplit('.').next().unwrap().as_bytes().to_vec());
        }
        // While it runs, so that the journal is there as well; then once more after it has stopped.
        for stopped in [false, true] {
            if stopped {
                assert!(service.stops().success());
            }
            let mut read = 0;
            for path in files(home.path()) {
                let content = std::fs::read(&path).unwrap();
                read += content.len();
                let found = secrets.iter().find(|secret| contains(&content, secret));
                assert!(found.is_none(), "{} contains {:?}", path.display(), String::from_utf8_lossy(found.unwrap()));
            }
            assert!(read > 20_000, "only {read} bytes were searched");
        }
        let log = service.log();
        assert!(
            log.contains("TRACE") || log.contains("DEBUG") || log.contains("trace"),
            "the log is not at trace:\n{log}"
        );
    }
}

#[test]
fn the_search_finds_what_is_there() {
    for spelling in spellings(b"some secret") {
        assert!(contains(&[b"before ".as_slice(), &spelling, b" after"].concat(), &spelling));
    }
}
