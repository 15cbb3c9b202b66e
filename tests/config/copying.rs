//! Moving from one store to another with `regrant copy`.

use super::process::{ADA, Place, member, request, sign_in};
use crate::support::servers::{is_wanted, postgres, redis};

const COPY: &[&str] = &["copy", "--from", "old.toml", "--to", "new.toml"];

/// SQLite here, and `new` there; both with the keys of `./data`.
fn place(new: &str) -> Place {
    let place = Place::new();
    place.write("old.toml", "");
    place.write("new.toml", new);
    place
}

fn refresh(addr: std::net::SocketAddr, token: &str) -> String {
    let (status, body) = request(addr, "POST", "/api/refresh", Some(token), "");
    assert_eq!(status, 200, "{body}");
    member(&body, "refresh_token")
}

/// Copies twice, and nobody is signed out.
fn moves(place: &Place) {
    let old = place.serve(&["--config", "old.toml"]);
    let (early, late) =
        (sign_in(old.addr), member(&request(old.addr, "POST", "/api/login", None, ADA).1, "refresh_token"));
    let ended = member(&request(old.addr, "POST", "/api/login", None, ADA).1, "refresh_token");
    assert_eq!(request(old.addr, "POST", "/api/revoke", Some(&ended), "").0, 204);
    for _ in 0..2 {
        let done = place.run(COPY);
        assert_eq!((done.code, done.out.as_str()), (0, "Copied 1 users and 3 sessions.\n"), "{}", done.err);
    }
    // At the old place, after the copy.
    let late = refresh(old.addr, &late);
    old.stop();

    let new = place.serve(&["--config", "new.toml"]);
    let early = refresh(new.addr, &early);
    refresh(new.addr, &late);
    assert_eq!(request(new.addr, "POST", "/api/refresh", Some(&ended), "").0, 401);
    assert_eq!(request(new.addr, "POST", "/api/login", None, ADA).0, 200);
    // Once more, as if it had been forgotten: nothing goes back.
    let done = place.run(COPY);
    assert_eq!(done.code, 0, "{}", done.err);
    refresh(new.addr, &early);
}

#[tokio::test]
async fn from_sqlite_to_postgres_nobody_is_signed_out() {
    if !is_wanted("postgres") {
        return;
    }
    let url = postgres::fresh_database().await;
    let place = place(&format!("[store]\nkind = \"postgres\"\nurl = \"{url}\"\n"));
    moves(&place);
    let up = place.run(&["migrate", "status", "--config", "new.toml"]);
    assert!(
        up.code == 0 && up.out.starts_with("0001 initial") && !up.out.contains("not applied"),
        "{}{}",
        up.out,
        up.err
    );
    let swept = place.run(&["sweep", "--config", "new.toml"]);
    assert_eq!((swept.code, swept.out.as_str()), (0, "Forgot 0 sessions.\n"), "{}", swept.err);
}

#[tokio::test]
async fn a_first_run_on_postgres_makes_tables_and_keys_and_later_ones_make_neither() {
    if !is_wanted("postgres") {
        return;
    }
    let url = postgres::fresh_database().await;
    let place = Place::new();
    place.write("new.toml", &format!("[store]\nkind = \"postgres\"\nurl = \"{url}\"\n"));
    let config = &["--config", "new.toml"][..];
    let told = place.refused(&[&["sweep"], config].concat(), 1);
    assert!(told.contains("has no tables of Regrant's") && told.contains("store.url"), "{told}");

    let first = place.serve(config);
    for made in ["the tables in postgres://", "./data/token.key.", "./data/access-es256.pem."] {
        assert!(first.greeting.contains(made), "{made}: {}", first.greeting);
    }
    let token = sign_in(first.addr);
    first.stop();
    let second = place.serve(config);
    assert!(!second.greeting.contains("Made "), "{}", second.greeting);
    refresh(second.addr, &token);
    let (status, log) = second.stop();
    assert!(status.success() && !log.contains("WARN"), "{log}");

    std::fs::rename(place.path("data/token.key"), place.path("kept")).unwrap();
    let told = place.refused(&[config, &["--listen", "127.0.0.1:0"]].concat(), 1);
    assert!(told.contains("./data/token.key is missing") && told.contains("everyone is signed out"), "{told}");
    assert!(!place.path("data/token.key").exists());

    let down = place.run(&[&["migrate", "down", "--steps", "9"], config].concat());
    assert!(down.code == 0 && down.out.contains("not applied"), "{}{}", down.out, down.err);
    let up = place.run(&[&["migrate", "up"], config].concat());
    assert!(up.code == 0 && !up.out.contains("not applied"), "{}{}", up.out, up.err);
}

#[tokio::test]
async fn sessions_move_to_redis_while_users_stay() {
    if !is_wanted("redis") {
        return;
    }
    let url = tokio::task::spawn_blocking(redis::single).await.unwrap();
    let prefix = format!("copying-{}:", std::process::id());
    let store = format!("[store]\nkind = \"redis\"\nurl = \"{url}\"\nprefix = \"{prefix}\"\n");
    moves(&place(&format!("{store}[users]\nkind = \"sqlite\"\n")));
}

#[test]
fn what_would_sign_everyone_out_is_refused_unless_asked_for() {
    let place = Place::new();
    place.write("old.toml", "");
    place.write("new.toml", "[store]\nurl = \"sqlite:new.db\"\n[keys]\ndir = \"keys\"\n");
    let old = place.serve(&["--config", "old.toml"]);
    sign_in(old.addr);
    let told = place.refused(COPY, 1);
    assert!(told.contains("keys/token.key is missing (copy ./data/token.key there)"), "{told}");
    assert_eq!(place.run(&["keys", "init", "--config", "new.toml"]).code, 0);
    let told = place.refused(COPY, 1);
    assert!(told.contains("keys/token.key lacks a key of ./data/token.key"), "{told}");
    assert!(told.contains("--allow-other-keys") && !place.path("new.db").exists(), "{told}");
    let done = place.run(&[COPY, &["--allow-other-keys"]].concat());
    assert_eq!((done.code, done.out.as_str()), (0, "Copied 1 users and 1 sessions.\n"), "{}", done.err);
    std::fs::copy(place.path("data/token.key"), place.path("keys/token.key")).unwrap();
    place.write("new.toml", "[store]\nurl = \"sqlite:new.db\"\n[keys]\ndir = \"keys\"\n[refresh_token]\nformat = \"bare\"\nrotate = false\n");
    let told = place.refused(COPY, 1);
    assert!(told.contains("refresh_token.format differs"), "{told}");
}

#[test]
fn what_cannot_be_copied_is_told() {
    let place = Place::new();
    place.write("old.toml", "");
    place.write("same.toml", "[log]\nlevel = \"warn\"\n");
    place.write("memory.toml", "[store]\nkind = \"memory\"\n");
    place.write("faulty.toml", "[store]\nkind = \"postgress\"\n");
    let told = place.refused(&["copy", "--from", "old.toml", "--to", "same.toml"], 2);
    assert!(told.contains("the same store"), "{told}");
    let told = place.refused(&["copy", "--from", "old.toml", "--to", "memory.toml"], 2);
    assert!(told.contains("in memory"), "{told}");
    let told = place.refused(&["copy", "--from", "memory.toml", "--to", "faulty.toml"], 2);
    assert!(told.contains("faulty.toml, line 2"), "{told}");
    let told = place.refused(&["copy", "--from", "old.toml", "--to", "same.toml", "--data", "x"], 2);
    assert!(told.contains("--from and --to"), "{told}");
    let to = [("REGRANT_TO__STORE__KIND", "nowhere"), ("REGRANT__STORE__KIND", "not read")];
    let told = place.run_with(&["copy", "--from", "old.toml", "--to", "same.toml"], &to, "");
    assert!(told.code == 2 && told.err.contains("environment variable REGRANT_TO__STORE__KIND"), "{}", told.err);
    assert!(place.run(&["copy", "--help"]).out.contains("regrant copy --from sqlite.toml --to postgres.toml"));
}
