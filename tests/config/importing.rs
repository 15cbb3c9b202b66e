//! `regrant user import`: users of other software, in small and in large.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::Connection as _;

use super::process::{Outcome, Place, binary, request};
use crate::support::hashes::HASHES;
use crate::support::servers::{is_wanted, postgres};

/// What a new hash begins with.
const TODAYS: &str = "$argon2id$v=19$m=19456,t=2,p=1$";

fn email(number: usize) -> String {
    format!("user{number}@example.org")
}

/// The password of this user, and its hash in the old software.
fn password(number: usize) -> (&'static str, &'static str) {
    HASHES[number % HASHES.len()]
}

fn json_lines(count: usize) -> String {
    let mut text = String::new();
    for number in 0..count {
        let row = json!({ "email": email(number), "password_hash": password(number).1, "created_at": "2019-05-01T12:00:00Z" });
        writeln!(text, "{row}").unwrap();
    }
    text
}

fn signs_in(addr: std::net::SocketAddr, number: usize, password: &str) -> bool {
    let body = json!({ "email": email(number), "password": password }).to_string();
    let (status, body) = request(addr, "POST", "/api/login", None, &body);
    assert!(status == 200 || status == 401, "{status}: {body}");
    status == 200
}

/// The hash of every user, by address.
async fn hashes(place: &Place) -> HashMap<String, String> {
    let url = format!("sqlite:{}?mode=ro", place.path("data/regrant.db").display());
    let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
    let rows: Vec<(String, String)> =
        sqlx::query_as("SELECT email, password_hash FROM users").fetch_all(&mut connection).await.unwrap();
    rows.into_iter().collect()
}

/// Imports `count` users of all kinds, of whom every `step`th signs in with the old password.
async fn everybody_signs_in_with_the_old_password(count: usize, step: usize) -> Finished {
    let place = Place::new();
    place.write("users.jsonl", &json_lines(count));
    let serving = place.serve(&[]);
    let finished = finish(&place, &["user", "import", "users.jsonl"]);
    let Outcome { code, out, err } = &finished.outcome;
    assert_eq!((*code, out.as_str()), (0, format!("Imported {count} users; 0 rows were refused.\n").as_str()), "{err}");

    let before = hashes(&place).await;
    assert_eq!(before.len(), count);
    for number in 0..count {
        assert_eq!(before[&email(number)], password(number).1);
    }
    let (next, addr) = (AtomicUsize::new(0), serving.addr);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(step, Ordering::SeqCst);
                    if number >= count {
                        return;
                    }
                    let (password, hash) = password(number);
                    assert!(signs_in(addr, number, password), "{hash}");
                }
            });
        }
    });
    let after = hashes(&place).await;
    for number in (0..count).step_by(step) {
        assert!(after[&email(number)].starts_with(TODAYS), "{}", after[&email(number)]);
    }
    // The new hash is of the same password, and of no other.
    for number in (0..count).step_by(step).take(2 * HASHES.len()) {
        let (password, hash) = password(number);
        assert!(signs_in(addr, number, password), "{hash}");
        assert!(!signs_in(addr, number, &format!("{password}x")), "{hash}");
    }
    assert_eq!(hashes(&place).await, after);
    finished
}

#[tokio::test]
async fn users_of_every_kind_of_hash_sign_in_with_the_old_password_and_have_todays_hash_afterwards() {
    everybody_signs_in_with_the_old_password(HASHES.len() + 1, 1).await;
}

/// With `REGRANT_TEST_SCALE=full`. Signing in costs a new hash each, so every fiftieth user does; `REGRANT_TEST_SIGN_INS`
/// says how many shall (100000: everybody). Everybody's stored hash is looked at.
#[tokio::test]
async fn a_hundred_thousand_users_are_imported_with_bounded_memory() {
    const MANY: usize = 100_000;
    if std::env::var("REGRANT_TEST_SCALE").as_deref() != Ok("full") {
        return;
    }
    let sign_ins = std::env::var("REGRANT_TEST_SIGN_INS").map_or(2_000, |number| number.parse().unwrap());
    let few = everybody_signs_in_with_the_old_password(1_000, 100).await;
    let many = everybody_signs_in_with_the_old_password(MANY, MANY / sign_ins).await;
    println!(
        "1,000 users: {:?}, at most {} KiB; 100,000 users: {:?}, at most {} KiB; {sign_ins} of them signed in",
        few.took, few.peak, many.took, many.peak
    );
    assert!(few.peak > 0 && many.peak < few.peak + 32 * 1024, "a hundred times as many users need no more memory");
}

/// A command that has come to its end.
struct Finished {
    outcome: Outcome,
    took: Duration,
    /// The most memory that it held, in KiB, as far as it was seen.
    peak: u64,
}

fn finish(place: &Place, args: &[&str]) -> Finished {
    let started = Instant::now();
    let mut command = Command::new(binary());
    command.args(args).current_dir(place.path(".")).env_clear().stdin(Stdio::null());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut peak = 0;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        let about = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let held = about.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak = held.and_then(|held| held.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(peak);
        std::thread::sleep(Duration::from_millis(10));
    };
    let took = started.elapsed();
    let text = |from: &mut dyn std::io::Read| {
        let mut text = String::new();
        from.read_to_string(&mut text).unwrap();
        text
    };
    let outcome = Outcome {
        code: status.code().unwrap(),
        out: text(&mut child.stdout.take().unwrap()),
        err: text(&mut child.stderr.take().unwrap()),
    };
    Finished { outcome, took, peak }
}

#[tokio::test]
async fn rows_that_are_refused_are_reported_and_an_import_can_be_repeated() {
    let place = Place::new();
    place.serve(&[]).stop();
    let (_, good) = HASHES[0];
    let argon2 = HASHES.iter().find(|(_, hash)| hash.starts_with("$argon2id$")).unwrap().1;
    place.write(
        "users.csv",
        &format!(
            "email,password_hash,created_at\nada@example.org,{good},2019-05-01T12:00:00Z\n\
             \"eve@example.org\",\"{argon2}\",\nnobody,{good},\n\u{1b}[31m@example.org,{good},\n\
             greedy@example.org,\"$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA\",\n\
             plain@example.org,hunter2,\nADA@example.org,{good},\nlate@example.org,{good},tomorrow\n\
             comma@example.org,{argon2},\nlast@example.org,{good},\n"
        ),
    );
    let run = |args: &[&str]| place.run(&[&["user", "import", "users.csv"], args].concat());
    let report = || -> Vec<Value> {
        let text = std::fs::read_to_string(place.path("refused.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };

    let dry = run(&["--dry-run"]);
    assert_eq!((dry.code, dry.out.as_str()), (1, "Would import 3 users; 7 rows were refused.\n"), "{}", dry.err);
    assert!(dry.err.contains("line 4 (nobody): the e-mail address must have the form name@domain\n"), "{}", dry.err);
    assert!(dry.err.contains("line 5 (?[31m@example.org): ") && !dry.err.contains('\u{1b}'), "{}", dry.err);
    assert!(!dry.err.contains("hunter2"), "{}", dry.err);
    assert_eq!(hashes(&place).await.len(), 0);

    let done = run(&["--refused", "refused.jsonl"]);
    assert_eq!((done.code, done.out.as_str()), (1, "Imported 3 users; 7 rows were refused.\n"), "{}", done.err);
    assert!(done.err.contains("7 rows were refused\n  what to do: see refused.jsonl"), "{}", done.err);
    let refused = report();
    let found: Vec<_> =
        refused.iter().map(|row| (row["line"].as_u64().unwrap(), row["code"].as_str().unwrap())).collect();
    let expected = [
        (4, "invalid_email"),
        (5, "invalid_email"),
        (6, "unusable_hash"),
        (7, "unusable_hash"),
        (8, "email_taken"),
        (9, "invalid_instant"),
        (10, "not_a_row"),
    ];
    assert_eq!(found, expected);
    assert_eq!(refused[2]["email"], "greedy@example.org");
    assert_eq!(refused[2]["reason"], "the password hash cannot be used: it asks for more than a hash may cost");
    #[cfg(unix)]
    assert_eq!(super::process::mode(&place.path("refused.jsonl")), 0o600);

    let there = hashes(&place).await;
    assert_eq!(there.len(), 3);
    let again = run(&["--refused", "refused.jsonl"]);
    assert_eq!((again.code, again.out.as_str()), (1, "Imported 0 users; 10 rows were refused.\n"), "{}", again.err);
    assert_eq!(report().iter().filter(|row| row["code"] == "email_taken").count(), 4);
    assert_eq!(hashes(&place).await, there);
}

#[tokio::test]
async fn a_file_comes_from_standard_input_where_its_format_is_said() {
    let place = Place::new();
    place.serve(&[]).stop();
    let text = json_lines(3);
    let done = place.run_with(&["user", "import", "-", "--format", "jsonl"], &[], &text);
    assert_eq!((done.code, done.out.as_str()), (0, "Imported 3 users; 0 rows were refused.\n"), "{}", done.err);
    let told = place.refused(&["user", "import", "-"], 2);
    assert!(told.contains("--format jsonl or --format csv"), "{told}");
}

#[test]
fn a_file_that_is_none_is_told_and_what_came_before_is_imported() {
    let place = Place::new();
    place.serve(&[]).stop();
    std::fs::write(place.path("binary.jsonl"), b"\xff\xfe\x00\x01").unwrap();
    let told = place.refused(&["user", "import", "binary.jsonl"], 1);
    assert!(told.contains("binary.jsonl is not a file of users") && told.contains("line 1 is not UTF-8"), "{told}");
    place.write("no-header.csv", &format!("ada@example.org,{}\n", HASHES[0].1));
    let told = place.refused(&["user", "import", "no-header.csv"], 1);
    assert!(told.contains("its first line is no header") && told.contains("email,password_hash"), "{told}");
    let told = place.refused(&["user", "import", "nowhere.csv"], 1);
    assert!(told.contains("nowhere.csv cannot be read"), "{told}");

    let mut broken = json_lines(600).into_bytes();
    broken.extend(b"\xff\n");
    std::fs::write(place.path("broken.jsonl"), &broken).unwrap();
    let told = place.run(&["user", "import", "broken.jsonl"]);
    assert_eq!((told.code, told.out.as_str()), (1, "Imported 500 users; 0 rows were refused.\n"));
    assert!(told.err.contains("line 601 is not UTF-8"), "{}", told.err);
    place.write("broken.jsonl", &json_lines(600));
    let mended = place.run(&["user", "import", "broken.jsonl"]);
    assert_eq!((mended.code, mended.out.as_str()), (1, "Imported 100 users; 500 rows were refused.\n"));
    assert_eq!(mended.err.lines().filter(|line| line.starts_with("line ")).count(), 20);
    assert!(mended.err.contains("see them all with --refused FILE"), "{}", mended.err);
}

#[tokio::test]
async fn users_are_imported_into_postgres() {
    if !is_wanted("postgres") {
        return;
    }
    let place = Place::new();
    let url = postgres::fresh_database().await;
    place.write("regrant.toml", &format!("[store]\nkind = \"postgres\"\nurl = \"{url}\"\n"));
    place.write("users.jsonl", &json_lines(1_200));
    let serving = place.serve(&["--config", "regrant.toml"]);
    let import = || place.run(&["user", "import", "users.jsonl", "--config", "regrant.toml"]);
    let done = import();
    assert_eq!((done.code, done.out.as_str()), (0, "Imported 1200 users; 0 rows were refused.\n"), "{}", done.err);
    for number in 0..HASHES.len() {
        assert!(signs_in(serving.addr, number, password(number).0), "{}", password(number).1);
    }
    let again = import();
    assert_eq!((again.code, again.out.as_str()), (1, "Imported 0 users; 1200 rows were refused.\n"), "{}", again.err);
    assert!(signs_in(serving.addr, 0, password(0).0), "the better hash is there still");
}
