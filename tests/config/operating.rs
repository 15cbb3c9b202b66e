//! `regrant user` and `regrant session`, beside a service that runs.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use super::process::{ADA, Outcome, Place, answer, member, request, sign_in};
use crate::support::servers::{is_wanted, postgres, redis};

const CONFIG: &[&str] = &["--config", "regrant.toml"];

impl Place {
    fn with_store(store: &str) -> Self {
        let place = Self::new();
        place.write("regrant.toml", store);
        place
    }

    fn operates(&self, args: &[&str], input: &str) -> Outcome {
        self.run_with(&[args, CONFIG].concat(), &[], input)
    }

    /// A command that does what it should: what it prints.
    #[track_caller]
    fn does(&self, args: &[&str], input: &str) -> String {
        let Outcome { code, out, err } = self.operates(args, input);
        // Some stores have something to warn of at every start.
        let told: Vec<_> = err.lines().filter(|line| !line.contains(" WARN regrant::compose::store: ")).collect();
        assert!(code == 0 && told.is_empty(), "{args:?}: {code} {out}{err}");
        out
    }

    #[track_caller]
    fn json(&self, args: &[&str]) -> Value {
        let out = self.does(&[args, &["--format", "json"]].concat(), "");
        serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}"))
    }

    #[track_caller]
    fn says_no(&self, args: &[&str], code: i32, part: &str) {
        let told = self.refused(&[args, CONFIG].concat(), code);
        assert!(told.contains(part), "{args:?}: {told}");
    }
}

fn login(addr: SocketAddr, body: &str) -> Option<(String, String)> {
    let (status, body) = request(addr, "POST", "/api/login", None, body);
    (status == 200).then(|| (member(&body, "refresh_token"), member(&body, "session_id")))
}

/// Signs Ada in with this user agent; the refresh token.
fn login_with(addr: SocketAddr, agent: &str) -> String {
    let mut stream = TcpStream::connect(addr).unwrap();
    let head = format!(
        "POST /api/login HTTP/1.1\r\nHost: test\r\nConnection: close\r\nUser-Agent: {agent}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{ADA}",
        ADA.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    member(&answer(&mut stream).1, "refresh_token")
}

/// Why a refresh is refused; `None`: it is not.
fn refusal(addr: SocketAddr, token: &str) -> Option<String> {
    let (status, body) = request(addr, "POST", "/api/refresh", Some(token), "");
    (status != 200).then(|| member(&body, "code"))
}

/// Everything once, on any store.
fn operates_on_it(store: &str) {
    let place = Place::with_store(store);
    let serving = place.serve(CONFIG);
    let addr = serving.addr;
    let added = place.does(&["user", "add", "Ada@Example.org"], "correct horse battery\n");
    assert!(added.starts_with("Added ada@example.org as "), "{added}");
    let (first, id) = login(addr, ADA).expect("she can sign in");
    let (second, _) = login(addr, ADA).unwrap();
    let shown = place.json(&["user", "show", "ada@example.org"]);
    assert_eq!((&shown["sessions"]["live"], &shown["email"]), (&2.into(), &"ada@example.org".into()), "{shown}");
    let user = shown["id"].as_str().unwrap();

    let session = place.json(&["session", "show", &id]);
    assert_eq!(
        (&session["user_id"], &session["live"], &session["ip"]),
        (&user.into(), &true.into(), &"127.0.0.1".into())
    );
    assert_eq!(place.does(&["session", "end", &id], ""), "Ended 1 session.\n");
    assert_eq!(place.does(&["session", "end", &id], ""), "It had ended before.\n");
    assert_eq!(refusal(addr, &first).as_deref(), Some("ended_by_operator"));
    assert_eq!(refusal(addr, &second), None);
    assert_eq!(place.json(&["session", "show", &id])["end_reason"], "ended_by_operator");

    let (third, _) = login(addr, ADA).unwrap();
    assert_eq!(place.does(&["session", "end", "--user", user], ""), "Ended 2 sessions.\n");
    assert_eq!(refusal(addr, &third).as_deref(), Some("ended_by_operator"));

    let (old, new) = (login_with(addr, "OldApp/1.2"), login_with(addr, "NewApp/2.0"));
    let conditions = &["session", "end", "--where", "--user-agent", "OldApp/", "--address", "127.0.0.0/8"];
    let counted = place.does(&[conditions, &["--dry-run"][..]].concat(), "");
    assert_eq!(counted, "1 sessions meet the conditions; none was ended.\n");
    assert_eq!(place.does(&[conditions, &["--yes"][..]].concat(), ""), "Ended 1 sessions.\n");
    assert_eq!(refusal(addr, &old).as_deref(), Some("ended_by_operator"));
    assert_eq!(refusal(addr, &new), None);

    let set = place.does(&["user", "set-password", "ada@example.org"], "another horse");
    assert_eq!(set, "The password is set; 1 sessions ended.\n");
    assert!(login(addr, ADA).is_none());
    let (last, _) = login(addr, &ADA.replace("correct horse battery", "another horse")).unwrap();
    assert_eq!(place.does(&["user", "delete", user, "--yes"], ""), "Deleted ada@example.org; 1 sessions ended.\n");
    assert!(refusal(addr, &last).is_some());
    assert!(login(addr, &ADA.replace("correct horse battery", "another horse")).is_none());
    let told = place.operates(&["user", "show", "ada@example.org"], "");
    assert!(told.code == 1 && told.err.contains("there is no user ada@example.org"), "{}", told.err);
}

#[test]
fn on_sqlite_a_running_service_sees_at_once_what_the_operator_does() {
    operates_on_it("");
}

#[tokio::test]
async fn on_postgres_a_running_service_sees_at_once_what_the_operator_does() {
    if is_wanted("postgres") {
        let url = postgres::fresh_database().await;
        operates_on_it(&format!("[store]\nkind = \"postgres\"\nurl = \"{url}\"\n"));
    }
}

#[tokio::test]
async fn on_redis_a_running_service_sees_at_once_what_the_operator_does() {
    if is_wanted("redis") {
        let url = tokio::task::spawn_blocking(redis::single).await.unwrap();
        let prefix = format!("operating-{}:", std::process::id());
        let store = format!("[store]\nkind = \"redis\"\nurl = \"{url}\"\nprefix = \"{prefix}\"\n");
        operates_on_it(&format!("{store}[users]\nkind = \"sqlite\"\n"));
    }
}

#[test]
fn users_and_sessions_are_listed_in_tables_and_in_json() {
    let place = Place::with_store("");
    let serving = place.serve(CONFIG);
    for name in ["a", "b", "c"] {
        place.does(&["user", "add", &format!("{name}@example.org")], "correct horse\n");
    }
    let table = place.does(&["user", "list"], "");
    let lines: Vec<_> = table.lines().collect();
    assert!(lines.len() == 4 && lines[0].starts_with("ID ") && lines[0].ends_with("E-MAIL"), "{table}");
    assert!(lines[1].ends_with("  a@example.org") && lines[3].ends_with("  c@example.org"), "{table}");
    let json = |args: &[&str]| -> Vec<Value> {
        let out = place.does(&[args, &["--format", "json"]].concat(), "");
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let all = json(&["user", "list"]);
    assert_eq!(all.iter().map(|user| user["email"].as_str().unwrap()).collect::<Vec<_>>().len(), 3);
    assert!(!table.contains("argon2"), "no hash is shown");
    let first = all[0]["id"].as_str().unwrap();
    assert_eq!(json(&["user", "list", "--after", first, "--limit", "1"]), all[1..2]);

    sign_in(serving.addr);
    let (ended, id) = login(serving.addr, ADA).unwrap();
    assert_eq!(request(serving.addr, "POST", "/api/revoke", Some(&ended), "").0, 204);
    let list = &["session", "list", "--user", "ada@example.org"];
    let table = place.does(list, "");
    let lines: Vec<_> = table.lines().collect();
    assert!(lines.len() == 3 && lines[1].contains("  live ") && lines[2].contains("  signed_out "), "{table}");
    assert!(lines[2].starts_with(&id), "{table}");
    assert_eq!(place.does(&[&list[..], &["--live"]].concat(), "").lines().count(), 2);
    assert_eq!(json(list).len(), 2);
    let shown = place.does(&["session", "show", &id], "");
    assert!(shown.contains("state          ended at 20") && shown.contains(": signed_out\n"), "{shown}");
    let shown = place.does(&["user", "show", "ada@example.org"], "");
    assert!(shown.contains("sessions       1 live, 1 over"), "{shown}");
}

#[test]
fn what_cannot_be_taken_back_is_not_done_unasked() {
    let place = Place::with_store("");
    let serving = place.serve(CONFIG);
    let token = sign_in(serving.addr);
    place.says_no(&["user", "delete", "ada@example.org"], 2, "say --yes");
    place.says_no(&["session", "end", "--where", "--created-before", "0s"], 2, "say --yes");
    place.says_no(&["session", "end", "--where", "--yes"], 2, "--where needs a condition");
    assert_eq!(refusal(serving.addr, &token), None);
}

#[test]
fn conditions_that_are_none_are_told_apart() {
    let place = Place::with_store("");
    place.serve(CONFIG).stop();
    for (args, part) in [
        (&["session", "end"][..], "required arguments"),
        (&["session", "end", "--address", "10.0.0.0/8"], "--where"),
        (&["session", "end", "--user", "ada@example.org", "--dry-run"], "cannot be used with"),
        (&["session", "end", "0198c2f1-5d3a-7c11-9a51-2f6b1c0d9e10", "--address", "::1"], "cannot be used with"),
        (&["session", "end", "--where", "--user", "ada@example.org"], "cannot be used with"),
        (&["session", "end", "--where", "--address", "10.1.2.3/8"], "did you mean 10.0.0.0/8?"),
        (&["session", "end", "--where", "--address", "nowhere"], "expected an address"),
        (&["session", "end", "--where", "--created-before", "30"], "2026-11-21T08:30:00Z, or a duration such as 30d"),
        (&["session", "end", "--where", "--user-agent", ""], "--user-agent"),
        (&["session", "end", "7"], "not an identifier"),
        (&["user", "show", "ada"], "name@domain"),
        (&["user", "add", "ada"], "name@domain"),
        (&["user", "list", "--limit", "many"], "--limit"),
    ] {
        let told = place.operates(args, "");
        assert_eq!(told.code, 2, "{args:?}: {}{}", told.out, told.err);
        assert!(told.err.contains(part), "{args:?}: {}", told.err);
    }
    for instant in ["2026-11-21T08:30:00Z", "2026-11-21T08:30:00+01:00", "30d", "90s"] {
        let counted = place.does(&["session", "end", "--where", "--created-before", instant, "--dry-run"], "");
        assert_eq!(counted, "0 sessions meet the conditions; none was ended.\n");
    }
}

#[test]
fn a_password_comes_from_one_line_of_standard_input_and_is_not_trimmed() {
    let place = Place::with_store("");
    let serving = place.serve(CONFIG);
    for (input, part) in [
        ("", "it is empty"),
        ("\n", "it is empty"),
        ("one line\nand another\n", "more than one line"),
        ("short\n", "at least 8 characters"),
    ] {
        let told = place.operates(&["user", "add", "ada@example.org"], input);
        assert_eq!(told.code, 1, "{input:?}");
        assert!(told.err.contains(part) && !told.err.contains("another"), "{input:?}: {}", told.err);
    }
    place.does(&["user", "add", "ada@example.org"], " correct horse battery \r\n");
    assert!(login(serving.addr, ADA).is_none());
    assert!(login(serving.addr, &ADA.replace("correct horse battery", " correct horse battery ")).is_some());
    let told = place.operates(&["user", "add", "ada@example.org"], "correct horse\n");
    assert!(told.code == 1 && told.err.contains("is there already"), "{}", told.err);
}
