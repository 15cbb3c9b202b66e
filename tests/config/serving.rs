//! Serving: the greeting, the address, the limits of connections.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::process::{LONG, Place, answer, request, sign_in};

/// Pastes what the greeting says into a POSIX shell, and answers its lines.
fn paste(greeting: &str) -> Vec<String> {
    let mut shell = Command::new("sh").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    shell.stdin.take().unwrap().write_all(greeting.as_bytes()).unwrap();
    let output = shell.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

fn commands(greeting: &str) -> String {
    let lines: Vec<_> = greeting.lines().filter(|line| !line.starts_with("Made ")).collect();
    lines.join("\n") + "\n"
}

#[test]
fn the_printed_lines_work_as_printed_one_after_the_other() {
    let curl = Command::new("curl").arg("--version").stdout(Stdio::null()).status();
    assert!(curl.is_ok_and(|curl| curl.success()), "this test needs curl");
    let place = Place::new();
    let serving = place.serve(&[]);
    for _ in 0..2 {
        let lines = paste(&commands(&serving.greeting));
        let [signed_up, login, refresh, revoked] = lines.as_slice() else { panic!("{lines:?}") };
        assert!(signed_up.contains("\"email\":\"ada@example.org\""), "{signed_up}");
        let token = super::process::member(login, "refresh_token");
        assert_ne!(super::process::member(refresh, "refresh_token"), token);
        assert_eq!(revoked, "204");
        let (status, why) = request(serving.addr, "POST", "/api/refresh", Some(&token), "");
        assert_eq!((status, super::process::member(&why, "code").as_str()), (401, "signed_out"), "{why}");
    }
}

#[test]
fn the_printed_lines_work_with_static_tokens_and_long_passwords_too() {
    let place = Place::new();
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/static.toml");
    let text = std::fs::read_to_string(config).unwrap().replace("min_length = 8", "min_length = 64");
    place.write("static.toml", &text);
    let serving = place.serve(&["--config", "static.toml"]);
    let lines = paste(&commands(&serving.greeting));
    let [_, login, refresh, revoked] = lines.as_slice() else { panic!("{lines:?}") };
    let token = super::process::member(login, "refresh_token");
    assert!(token.len() == 64 && token.bytes().all(|b| b.is_ascii_hexdigit()), "{token}");
    let refresh: serde_json::Value = serde_json::from_str(refresh).unwrap();
    assert_eq!(refresh.as_object().unwrap().keys().collect::<Vec<_>>(), ["token"]);
    assert_eq!(revoked, "204");
}

#[test]
fn quiet_leaves_the_lines_out() {
    let serving = Place::new().serve(&["serve", "--quiet"]);
    assert!(!serving.greeting.contains("curl"), "{}", serving.greeting);
}

#[test]
fn a_port_that_is_taken_is_told_before_anything_is_made() {
    let place = Place::new();
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = holder.local_addr().unwrap().to_string();
    let told = place.refused(&["--listen", &addr], 1);
    assert!(told.contains(&addr) && told.contains("server.listen or --listen"), "{told}");
    assert!(!place.path("data").exists());
    let told = place.refused(&["--listen", "192.0.2.1:80"], 1);
    assert!(told.contains("192.0.2.1:80 cannot be listened on"), "{told}");
}

#[test]
fn flags_may_stand_before_or_after_the_command() {
    let place = Place::new();
    drop(place.serve(&["--data", "elsewhere", "serve"]));
    assert!(place.path("elsewhere/token.key").exists());
}

#[test]
fn a_huge_head_is_answered_431_and_a_huge_body_413() {
    let serving = Place::new().serve(&[]);
    let mut stream = TcpStream::connect(serving.addr).unwrap();
    let _ = write!(stream, "GET /healthz HTTP/1.1\r\nHost: test\r\nX-Long: {}\r\n\r\n", "x".repeat(60_000));
    let mut head = [0; 12];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(String::from_utf8_lossy(&head), "HTTP/1.1 431");

    let long = format!("{{\"email\":\"{}\"}}", "x".repeat(100_000));
    let mut stream = TcpStream::connect(serving.addr).unwrap();
    let head = "POST /api/login HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Type: application/json\r\n";
    let _ = write!(stream, "{head}Content-Length: {}\r\n\r\n{long}", long.len());
    let mut head = [0; 12];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(String::from_utf8_lossy(&head), "HTTP/1.1 413");
    assert_eq!(request(serving.addr, "GET", "/healthz", None, "").0, 200);
}

#[test]
fn a_head_that_does_not_come_closes_the_connection() {
    let place = Place::new();
    place.write("regrant.toml", "[server]\nheader_timeout = \"1s\"\n");
    let serving = place.serve(&["--config", "regrant.toml"]);
    for begun in ["", "GET /healthz HTTP/1.1\r\nHo"] {
        let mut stream = TcpStream::connect(serving.addr).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream.write_all(begun.as_bytes()).unwrap();
        let started = Instant::now();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        assert!(started.elapsed() < LONG / 2, "it was not closed");
    }
}

#[test]
fn connections_beyond_the_limit_wait_their_turn() {
    let place = Place::new();
    place.write("regrant.toml", "[server]\nmax_connections = 1\n");
    let serving = place.serve(&["--config", "regrant.toml"]);
    let idle = TcpStream::connect(serving.addr).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let mut second = TcpStream::connect(serving.addr).unwrap();
    second.write_all(b"GET /healthz HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
    second.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    assert!(second.peek(&mut [0]).is_err(), "the first connection holds the only place");
    drop(idle);
    second.set_read_timeout(Some(LONG)).unwrap();
    assert_eq!(answer(&mut second).0, 200);
}

#[test]
fn the_log_at_trace_holds_no_secret() {
    let place = Place::new();
    place.write("regrant.toml", "[log]\nlevel = \"trace\"\nformat = \"json\"\n");
    let serving = place.serve(&["--config", "regrant.toml"]);
    let first = sign_in(serving.addr);
    let (_, body) = request(serving.addr, "POST", "/api/refresh", Some(&first), "");
    let (second, access) = (super::process::member(&body, "refresh_token"), super::process::member(&body, "token"));
    assert_eq!(request(serving.addr, "GET", "/api/me", Some(&access), "").0, 200);
    let (_, log) = serving.stop();
    assert!(log.lines().count() > 5, "{log}");
    for line in log.lines() {
        let _: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
    }
    for secret in [&first[..64], &second[..64], &access, "correct horse"] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[test]
fn a_reader_who_goes_away_does_not_stop_the_service() {
    let place = Place::new();
    let command = format!("{} config show | head -n 1", super::process::binary().display());
    let shown = Command::new("sh").arg("-c").arg(command).current_dir(place.path(".")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&shown.stderr), "");
}
