//! Wrong input over the wire: a sensible status, and the service goes on.

use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{PASSWORD, Service, Start, member};

/// Sends bytes as they are; the status of the answer, or 0 if there was none.
async fn raw(service: &Service, bytes: &[u8]) -> u16 {
    let mut stream = TcpStream::connect(service.base.trim_start_matches("http://")).await.unwrap();
    // The service may answer and close before it has read everything.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(Ok(n)) = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut buffer)).await {
        answer.extend_from_slice(&buffer[..n]);
        if n == 0 || answer.windows(2).any(|w| w == b"\r\n") {
            break;
        }
    }
    let text = String::from_utf8_lossy(&answer).into_owned();
    text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

fn post(path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_wrong_input_gets_a_sensible_status_and_the_service_goes_on() {
    let home = TempDir::new().unwrap();
    let service = Service::start(&home, &Start::default());
    service.signs_up("ada@example.org").await;
    let token = member(&service.signs_in("ada@example.org").await, "refresh_token").to_owned();
    let json_type = "Content-Type: application/json\r\n";
    let login = |password: &str| json!({"email": "ada@example.org", "password": password}).to_string().into_bytes();
    let huge = "a".repeat(10 * 1024 * 1024);
    let cases: Vec<(&str, Vec<u8>, &[u16])> = vec![
        ("bad JSON", post("/api/login", json_type, b"{\"email\":"), &[400]),
        ("not UTF-8", post("/api/login", json_type, b"{\"email\":\"\xff\xfe\"}"), &[400]),
        ("wrong type", post("/api/login", json_type, b"{\"email\":1,\"password\":[]}"), &[422]),
        ("array for object", post("/api/login", json_type, b"[[[[[[]]]]]]"), &[400, 422]),
        ("deep nesting", post("/api/login", json_type, "[".repeat(50_000).as_bytes()), &[400, 422]),
        (
            "unknown field",
            post("/api/login", json_type, b"{\"email\":\"a@b\",\"password\":\"x\",\"admin\":true}"),
            &[422],
        ),
        (
            "repeated field",
            post("/api/login", json_type, b"{\"email\":\"a@b\",\"email\":\"c@d\",\"password\":\"x\"}"),
            &[400, 422],
        ),
        ("no content type", post("/api/login", "", &login(PASSWORD)), &[415]),
        ("form", post("/api/login", "Content-Type: application/x-www-form-urlencoded\r\n", b"email=a"), &[415]),
        ("10 MB body", post("/api/login", json_type, &login(&huge)), &[413]),
        ("1025 byte password", post("/api/login", json_type, &login(&huge[..1025])), &[422]),
        (
            "NUL in e-mail",
            post("/api/users", json_type, b"{\"email\":\"a\\u0000@b\",\"password\":\"long enough\"}"),
            &[422],
        ),
        ("NUL in password", post("/api/login", json_type, &login(&format!("{PASSWORD}\0"))), &[401]),
        ("NUL in a header", post("/api/refresh", "Authorization: Bearer a\0b\r\n", b""), &[400]),
        ("huge header", post("/api/refresh", &format!("X: {}\r\n", &huge[..1_000_000]), b""), &[400, 431]),
        ("many headers", post("/api/refresh", &"X: y\r\n".repeat(2_000), b""), &[400, 431]),
        ("overlong token", post("/api/refresh", &format!("Authorization: Bearer {}\r\n", &huge[..9_000]), b""), &[400]),
        ("two tokens", post("/api/refresh", "Authorization: Bearer a\r\nAuthorization: Bearer b\r\n", b""), &[400]),
        ("basic", post("/api/refresh", "Authorization: Basic YTpi\r\n", b""), &[401]),
        ("no token", post("/api/refresh", "", b""), &[401]),
        ("unknown token", post("/api/refresh", "Authorization: Bearer nobody\r\n", b""), &[401]),
        ("not HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec(), &[0, 400]),
        ("bad path", post("/api/%00/../../etc/passwd", "", b""), &[404]),
        ("lying length", b"POST /api/login HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n".to_vec(), &[400]),
        (
            "smuggling",
            b"POST /api/login HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n".to_vec(),
            &[400],
        ),
    ];
    for (name, bytes, expected) in cases {
        let status = raw(&service, &bytes).await;
        assert!(expected.contains(&status), "{name}: {status}, expected {expected:?}\n{}", service.log());
    }
    let (status, body) = service.refreshes(&token).await;
    assert_eq!(status, 200, "the service goes on: {body}");
    assert!(!service.log().contains("panicked"), "{}", service.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_a_byte_now_and_then_is_hung_up_on() {
    let home = TempDir::new().unwrap();
    let service = Service::start(&home, &Start::default());
    let mut stream = TcpStream::connect(service.base.trim_start_matches("http://")).await.unwrap();
    stream.write_all(b"POST /api/login HTTP/1.1\r\n").await.unwrap();
    let mut buffer = [0; 1024];
    let closed = tokio::time::timeout(Duration::from_mins(1), async {
        while stream.read(&mut buffer).await.is_ok_and(|n| n > 0) {}
    });
    assert!(closed.await.is_ok(), "still open after a minute");
}
