//! The commands beside serving.

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use super::process::{Place, member, request, sign_in};

#[test]
fn config_check_names_every_fault_and_answers_2() {
    let place = Place::new();
    let fine = place.run(&["config", "check"]);
    assert_eq!((fine.code, fine.out.as_str()), (0, "The configuration is fine.\n"));
    place.write("regrant.toml", "[log]\nlevel = \"loud\"\n[session]\nmax_agee = \"1d\"\n");
    let told = place.refused(&["config", "check", "--config", "regrant.toml", "--listen", "nowhere"], 2);
    for part in [
        "the configuration has 3 faults:",
        "log.level (regrant.toml, line 2)",
        "session.max_agee (regrant.toml, line 4): there is no such key; did you mean session.max_age?",
        "server.listen (flag --listen)",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(!place.path("data").exists());
}

#[test]
fn config_show_prints_a_file_that_can_be_used() {
    let place = Place::new();
    let first = place.run_with(&["--listen", "127.0.0.1:1", "config", "show"], &[("REGRANT__LOG__LEVEL", "warn")], "");
    assert_eq!(first.code, 0, "{}", first.err);
    assert!(first.out.contains("level = \"warn\"  # environment variable REGRANT__LOG__LEVEL"), "{}", first.out);
    place.write("shown.toml", &first.out);
    let second = place.run(&["config", "show", "--config", "shown.toml"]);
    let values = |text: &str| text.parse::<toml::Table>().unwrap();
    assert_eq!(values(&first.out), values(&second.out));
}

#[test]
fn what_is_misspelt_on_the_command_line_answers_2_and_help_is_help() {
    let place = Place::new();
    for args in [&["sevre"][..], &["--listne", "x"], &["migrate", "down", "--steps", "0"], &["migrate"], &["--config"]]
    {
        let told = place.run(args);
        assert_eq!(told.code, 2, "{args:?}: {}", told.err);
        assert!(!told.err.is_empty());
    }
    for args in [&["--help"][..], &["serve", "--help"], &["migrate", "down", "--help"], &["explain", "--help"]] {
        let told = place.run(args);
        assert_eq!(told.code, 0, "{args:?}");
        assert!(told.out.contains("Usage: regrant") && told.out.contains("--config <FILE>"), "{}", told.out);
    }
    assert!(place.run(&["--help"]).out.contains("Examples:"));
    assert!(place.run(&["--version"]).out.starts_with("regrant 0."));
}

#[test]
fn migrations_go_up_and_down_and_are_shown() {
    let place = Place::new();
    let shown = place.run(&["migrate", "status"]);
    assert_eq!(shown.code, 0, "{}", shown.err);
    assert!(shown.out.starts_with("0001 initial") && shown.out.contains("not applied"), "{}", shown.out);
    assert!(!place.path("data").exists(), "status makes nothing");
    let up = place.run(&["migrate", "up"]);
    assert_eq!(up.code, 0, "{}", up.err);
    assert!(!up.out.contains("not applied"), "{}", up.out);
    let down = place.run(&["migrate", "down", "--steps", "99"]);
    assert_eq!(down.code, 0, "{}", down.err);
    assert!(down.out.contains("not applied"), "{}", down.out);
    place.serve(&[]);
}

#[test]
fn sweep_needs_a_store_on_disk() {
    let place = Place::new();
    let told = place.refused(&["sweep"], 1);
    assert!(told.contains("there is no database at ./data/regrant.db"), "{told}");
    assert!(!place.path("data").exists());
    place.write("memory.toml", "[store]\nkind = \"memory\"\n");
    let told = place.refused(&["sweep", "--config", "memory.toml"], 2);
    assert!(told.contains("only the running server can reach it"), "{told}");
}

#[test]
fn sweep_forgets_what_is_over_and_counts_it() {
    let place = Place::new();
    place.write("regrant.toml", "[sweep]\nevery = \"0s\"\nretention = \"0s\"\n");
    let serving = place.serve(&["--config", "regrant.toml"]);
    let token = sign_in(serving.addr);
    assert_eq!(request(serving.addr, "POST", "/api/revoke", Some(&token), "").0, 204);
    let done = place.run(&["sweep", "--config", "regrant.toml"]);
    assert_eq!((done.code, done.out.as_str()), (0, "Forgot 1 sessions.\n"), "{}", done.err);
    let done = place.run(&["sweep", "--config", "regrant.toml"]);
    assert_eq!((done.code, done.out.as_str()), (0, "Forgot 0 sessions.\n"), "{}", done.err);
}

#[test]
fn explain_tells_what_a_refresh_would_answer_and_changes_nothing() {
    let place = Place::new();
    let serving = place.serve(&[]);
    let first = sign_in(serving.addr);
    let explain = |token: &str| {
        let told = place.run_with(&["explain", "--json"], &[], token);
        assert_eq!(told.code, 0, "{}", told.err);
        serde_json::from_str::<serde_json::Value>(&told.out).unwrap()
    };
    for _ in 0..2 {
        let told = explain(&format!("{first}\n"));
        assert_eq!((&told["generation"], &told["would"]["outcome"]), (&0.into(), &"rotate".into()), "{told}");
    }
    let (_, body) = request(serving.addr, "POST", "/api/refresh", Some(&first), "");
    let second = member(&body, "refresh_token");
    assert_eq!(explain(&first)["would"]["outcome"], "replay");
    let told = explain(&second);
    assert_eq!(told["session"]["current_generation"], 1);
    assert_eq!(told["session"]["recent"][0]["retry_key"], false);
    assert_eq!(request(serving.addr, "POST", "/api/revoke", Some(&second), "").0, 204);
    let told = explain(&second);
    assert_eq!((&told["would"]["outcome"], &told["would"]["code"]), (&"refuse".into(), &"signed_out".into()));

    let text = place.run_with(&["explain"], &[], &second).out;
    for part in ["generation     1", "state          ended at 20", "a refresh      refuse signed_out", "signed out."] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let history: Vec<_> = text.lines().filter(|line| line.starts_with("history        20")).collect();
    assert!(history.len() == 2 && history[0].ends_with("Z opened, from 127.0.0.1"), "{text}");
    assert!(history[1].ends_with("Z ended signed_out, from 127.0.0.1"), "{text}");
    let whats = told["history"].as_array().unwrap().iter().map(|entry| entry["what"].as_str().unwrap());
    assert_eq!(whats.collect::<Vec<_>>(), ["opened", "ended"]);
    let secret = second.split('.').next().unwrap();
    assert!(!text.contains(secret), "the token is not printed");
}

#[test]
fn explain_uses_the_retry_key_that_it_is_given() {
    let place = Place::new();
    let serving = place.serve(&[]);
    let token = sign_in(serving.addr);
    place.write("key", "my-retry-key\n");
    let told = place.run_with(&["explain", "--retry-key-file", "key"], &[], &token);
    assert_eq!(told.code, 0, "{}", told.err);
    place.write("key", "not a key\n");
    let told = place.run_with(&["explain", "--retry-key-file", "key"], &[], &token);
    assert_eq!(told.code, 1);
    assert!(told.err.contains("Idempotency-Key must be"), "{}", told.err);
}

#[test]
fn explain_refuses_what_is_no_token() {
    let place = Place::new();
    place.serve(&[]).stop();
    let told = place.run_with(&["explain"], &[], "hunter2");
    assert_eq!(told.code, 1);
    assert!(
        told.err.contains("not a refresh token of this deployment") && !told.err.contains("hunter2"),
        "{}",
        told.err
    );
    let told = place.refused(&["explain"], 1);
    assert!(told.contains("it is empty") && told.contains("regrant explain"), "{told}");
}

async fn rows_of_history(place: &Place) -> i64 {
    let options = SqliteConnectOptions::new().filename(place.path("data/regrant.db"));
    let mut connection = options.connect().await.unwrap();
    let count = sqlx::query_scalar("SELECT count(*) FROM history").fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    count
}

#[tokio::test]
async fn history_is_kept_only_where_it_is_wanted_and_what_was_kept_before_is_swept() {
    let place = Place::new();
    place.write("without.toml", "[history]\nretention = \"0s\"\n[sweep]\nevery = \"0s\"\n");
    for args in [&[][..], &["--config", "without.toml"]] {
        let serving = place.serve(args);
        let token = sign_in(serving.addr);
        assert_eq!(request(serving.addr, "POST", "/api/revoke", Some(&token), "").0, 204);
        serving.stop();
        assert_eq!(rows_of_history(&place).await, 2, "{args:?}");
        // What the session's own record says is told all the same.
        let text = place.run_with(&[args, &["explain"]].concat(), &[], &token).out;
        assert!(text.contains("Z opened, from 127.0.0.1\n") && text.contains("Z ended signed_out"), "{text}");
    }
    assert_eq!(place.run(&["sweep", "--config", "without.toml"]).code, 0);
    assert_eq!(rows_of_history(&place).await, 0);
}
