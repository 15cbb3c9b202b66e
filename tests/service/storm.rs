//! A storm of sign-ins: the memory stays within its bound, the overflow is refused, and refreshes do not notice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::{PASSWORD, Service, Start, member};

const AT_ONCE: usize = 2_000;
const REFRESHERS: usize = 4;
const MIB: u64 = 1024 * 1024;
/// Bytes of the long passwords.
const LONG: usize = 1024 * 1024;

/// What docs/limits.md says that the process may need beyond what it needs at rest, with two threads that hash.
const BOUND: u64 = 2 * 19 * MIB + 64 * MIB + 900 * 100 * 1024;

/// A sign-in with a password of this length, on a connection of its own; its status, 0 where the connection was cut before
/// one came.
async fn signs_in(address: &str, request: Arc<Vec<u8>>) -> u16 {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let (mut from, mut to) = socket.split();
    let send = async {
        // The service may have answered, and hung up, before it has read all.
        let _ = to.write_all(&request).await;
        std::future::pending::<()>().await;
    };
    let mut head = [0; 12];
    let read = async { from.read_exact(&mut head).await };
    tokio::select! {
        () = send => unreachable!("it waits for the answer"),
        read = read => match read {
            Ok(_) => str::from_utf8(&head[9..]).unwrap().parse().unwrap(),
            Err(_) => 0,
        },
    }
}

fn request(password: usize) -> Arc<Vec<u8>> {
    let body = format!("{{\"email\":\"ada@example.org\",\"password\":\"{}\"}}", "x".repeat(password));
    let head = "POST /api/login HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n";
    Arc::new(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes())
}

/// So many at once; how many got which status.
async fn storm(service: &Service, password: usize) -> BTreeMap<u16, usize> {
    let address = service.base.trim_start_matches("http://").to_owned();
    let request = request(password);
    let mut storm = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (address, request) = (address.clone(), request.clone());
        storm.spawn(async move { signs_in(&address, request).await });
    }
    let mut statuses = BTreeMap::new();
    while let Some(status) = storm.join_next().await {
        *statuses.entry(status.unwrap()).or_default() += 1;
    }
    statuses
}

/// Refreshes one session after the other until it is over; how many times, and the longest.
async fn refreshes(service: &Service, first: String, over: &AtomicBool) -> (usize, Duration) {
    let (mut token, mut count, mut longest) = (first, 0, Duration::ZERO);
    while !over.load(Ordering::SeqCst) {
        let begun = Instant::now();
        let (status, body) = service.refreshes(&token).await;
        assert_eq!(status, 200, "{body}");
        member(&body, "refresh_token").clone_into(&mut token);
        (count, longest) = (count + 1, longest.max(begun.elapsed()));
    }
    (count, longest)
}

async fn weathers(start: Start, password: usize, expected: &[u16]) {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let needed = (AT_ONCE as u64 + 500).max(soft);
    setrlimit(Resource::RLIMIT_NOFILE, needed, hard).expect("2,500 open files are allowed");
    let home = TempDir::new().unwrap();
    let start = start.with("REGRANT__PASSWORD__HASH_THREADS", "2").with("REGRANT__LOG__LEVEL", "warn");
    let service = tokio::task::block_in_place(|| Service::start(&home, &start));
    service.signs_up("ada@example.org").await;
    let mut tokens = Vec::new();
    for _ in 0..REFRESHERS {
        let body = service.signs_in("ada@example.org").await;
        tokens.push(member(&body, "refresh_token").to_owned());
    }
    // At rest, with the memory of one hash.
    let before = service.peak_memory() - 19 * MIB;

    let (service, over) = (Arc::new(service), Arc::new(AtomicBool::new(false)));
    let mut refreshing = JoinSet::new();
    for token in tokens {
        let (service, over) = (service.clone(), over.clone());
        refreshing.spawn(async move { refreshes(&service, token, &over).await });
    }
    let begun = Instant::now();
    let statuses = storm(&service, password).await;
    let took = begun.elapsed();
    over.store(true, Ordering::SeqCst);
    let refreshed = refreshing.join_all().await;
    let grown = service.peak_memory() - before;
    println!(
        "{AT_ONCE} passwords of {password} bytes in {took:?}: {statuses:?}; {} MiB more; refreshes: {refreshed:?}",
        grown / MIB
    );
    assert!(grown <= BOUND, "{} MiB more, {} are promised", grown / MIB, BOUND / MIB);
    assert!(statuses.keys().all(|status| expected.contains(status)), "{statuses:?}");
    assert_eq!(statuses.values().sum::<usize>(), AT_ONCE);
    assert!(refreshed.iter().all(|(count, _)| *count > 0), "{refreshed:?}");
    // And it is over when it is over, unless there were too many for a while.
    let ada = serde_json::json!({ "email": "ada@example.org", "password": PASSWORD });
    let (status, body) = service.post("/api/login", None, Some(ada)).await;
    assert_eq!(status, if expected.contains(&429) { 429 } else { 200 }, "{body}");
}

#[test]
fn the_threads_that_hash_are_behind_all_others() {
    let home = TempDir::new().unwrap();
    let service = Service::start(&home, &Start::default().with("REGRANT__PASSWORD__HASH_THREADS", "3"));
    let (hashing, others): (Vec<_>, Vec<_>) =
        service.threads().into_iter().partition(|(name, _)| name.starts_with("password-"));
    assert_eq!((hashing.len(), others.is_empty()), (3, false), "{hashing:?} {others:?}");
    let usual = others[0].1;
    assert!(others.iter().all(|(_, nice)| *nice == usual), "{others:?}");
    assert!(hashing.iter().all(|(_, nice)| *nice == (usual + 10).min(19)), "{hashing:?} {others:?}");
    assert!(!service.log().contains("passwords are hashed at the priority"), "{}", service.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passwords_of_a_mebibyte_are_too_large_before_they_are_read() {
    // Cut (0): the service hangs up on whoever goes on sending.
    weathers(Start::default(), LONG, &[413, 0]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_higher_limit_of_bodies_as_many_are_read_at_once_as_there_is_memory_for() {
    let start = Start::default().with("REGRANT__SERVER__BODY_LIMIT", "2097152");
    // 422: no password is so long.
    weathers(start, LONG, &[422, 503, 0]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_passwords_than_can_be_hashed_wait_in_line_or_come_again() {
    weathers(Start::default(), 1000, &[401, 503]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_one_network_more_sign_ins_than_are_allowed_are_refused() {
    // The refreshes are those of one session each, without a pause: more than any honest client's.
    let start =
        Start::default().with("REGRANT__LIMITS__EXEMPT", "::1").with("REGRANT__LIMITS__REFRESH_BY_SESSION", "0");
    weathers(start.with("REGRANT__LIMITS__SIGN_IN_BY_ADDRESS", "100/1h"), 1000, &[401, 429, 503]).await;
}
