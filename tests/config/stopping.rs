//! Stopping: what is under way is answered, what does not end is cut off, and what was acknowledged is kept.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use regrant::serve::{Drained, start};
use regrant::settings::Settings;

use super::process::{ADA, LONG, Place, answer, request};

/// Half of a sign-up; the other half is returned.
fn begin(addr: std::net::SocketAddr) -> (TcpStream, &'static str) {
    let (half, rest) = ADA.split_at(20);
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    let head = "POST /api/users HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n";
    write!(stream, "{head}Content-Length: {}\r\n\r\n{half}", ADA.len()).unwrap();
    // Until the server has begun with it.
    std::thread::sleep(Duration::from_millis(300));
    (stream, rest)
}

#[test]
fn a_request_under_way_is_answered_before_the_end() {
    for signal in ["TERM", "INT"] {
        let place = Place::new();
        let serving = place.serve(&[]);
        let (mut stream, rest) = begin(serving.addr);
        serving.signal(signal);
        let deadline = Instant::now() + LONG;
        while TcpStream::connect(serving.addr).is_ok() {
            assert!(Instant::now() < deadline, "it still accepts connections");
            std::thread::sleep(Duration::from_millis(20));
        }
        stream.write_all(rest.as_bytes()).unwrap();
        assert_eq!(answer(&mut stream).0, 201);
        let (status, log) = serving.end();
        assert_eq!(status.code(), Some(0), "{log}");
        let again = place.serve(&[]);
        assert_eq!(request(again.addr, "POST", "/api/login", None, ADA).0, 200);
    }
}

#[test]
fn a_second_signal_stops_at_once() {
    let serving = Place::new().serve(&[]);
    let (_stream, _) = begin(serving.addr);
    serving.signal("TERM");
    std::thread::sleep(Duration::from_millis(300));
    let started = Instant::now();
    let (status, log) = serving.stop();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(started.elapsed() < Duration::from_secs(20));
    assert!(log.contains("SIGTERM came a second time"), "{log}");
}

#[test]
fn an_idle_connection_does_not_hold_the_stop_up() {
    let serving = Place::new().serve(&[]);
    let _silent = TcpStream::connect(serving.addr).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    let started = Instant::now();
    let (status, log) = serving.stop();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(started.elapsed() < Duration::from_secs(20), "it waited for a connection that asked nothing");
}

fn settings(text: &str) -> Settings {
    super::loaded(&format!("[store]\nkind = \"memory\"\n{text}")).settings
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_does_not_end_is_cut_off_after_the_grace() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings("[server]\nlisten = \"127.0.0.1:0\"\nshutdown_grace = \"1s\"\n");
    settings.keys.dir = folder.path().to_owned();
    for key in [&mut settings.keys.signing_key, &mut settings.keys.token_key] {
        key.path = folder.path().join(key.path.file_name().unwrap());
    }
    let running = start(&settings).await.unwrap();
    assert_eq!(running.made().len(), 2, "{:?}", running.made());
    let addr = running.endpoint().addr().unwrap();
    let _held = tokio::task::spawn_blocking(move || begin(addr)).await.unwrap();
    let started = Instant::now();
    assert_eq!(running.stop().await, Drained::CutOff);
    assert!(started.elapsed() >= Duration::from_millis(900) && started.elapsed() < LONG);

    let again = start(&settings).await.unwrap();
    assert_eq!(again.stop().await, Drained::Completely);
}
