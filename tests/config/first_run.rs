//! A first run makes what it needs and says so; later ones keep it; keys are never replaced behind one's back.

use super::process::{Place, member, mode, request, sign_in};

#[test]
fn a_first_run_makes_private_files_and_says_which() {
    let place = Place::new();
    let serving = place.serve(&[]);
    assert_eq!(request(serving.addr, "GET", "/readyz", None, "").0, 200);
    for (made, bits) in
        [("data", 0o700), ("data/regrant.db", 0o600), ("data/access-es256.pem", 0o600), ("data/token.key", 0o600)]
    {
        assert_eq!(mode(&place.path(made)), bits, "{made}");
        assert!(serving.greeting.contains(&format!(" ./{made}.\n")), "{made}: {}", serving.greeting);
    }
    let (status, log) = serving.stop();
    assert_eq!(status.code(), Some(0), "{log}");
    assert_eq!(place.names("data"), ["access-es256.pem", "regrant.db", "token.key"], "the log is folded in");
}

#[test]
fn a_second_run_keeps_keys_and_sessions_and_makes_nothing() {
    let place = Place::new();
    let first = place.serve(&[]);
    let token = sign_in(first.addr);
    first.stop();
    let keys = ["data/access-es256.pem", "data/token.key"].map(|name| std::fs::read(place.path(name)).unwrap());
    let second = place.serve(&[]);
    assert!(!second.greeting.contains("Made "), "{}", second.greeting);
    let (status, body) = request(second.addr, "POST", "/api/refresh", Some(&token), "");
    assert_eq!(status, 200, "{body}");
    let again = ["data/access-es256.pem", "data/token.key"].map(|name| std::fs::read(place.path(name)).unwrap());
    assert_eq!(keys, again);
}

#[test]
fn a_missing_key_is_not_replaced_once_there_are_users() {
    for (key, loss) in [("token.key", "everyone is signed out"), ("access-es256.pem", "clients have to refresh")] {
        let place = Place::new();
        let serving = place.serve(&[]);
        let token = sign_in(serving.addr);
        serving.stop();
        let path = place.path("data").join(key);
        let kept = place.path("kept");
        std::fs::rename(&path, &kept).unwrap();

        let told = place.refused(&["--listen", "127.0.0.1:0"], 1);
        for part in [format!("./data/{key} is missing"), "put it back".into(), "regrant keys init".into(), loss.into()]
        {
            assert!(told.contains(&part), "{part}: {told}");
        }
        assert!(!path.exists());

        std::fs::rename(&kept, &path).unwrap();
        let serving = place.serve(&[]);
        assert_eq!(request(serving.addr, "POST", "/api/refresh", Some(&token), "").0, 200);
        serving.stop();

        std::fs::remove_file(&path).unwrap();
        let made = place.run(&["keys", "init"]);
        assert_eq!(made.code, 0, "{}", made.err);
        assert!(made.out.contains(&format!("{key}.\n")) && made.out.contains(" alone"), "{}", made.out);
        let serving = place.serve(&[]);
        let fresh = request(serving.addr, "POST", "/api/login", None, super::process::ADA).1;
        assert_eq!(request(serving.addr, "POST", "/api/refresh", Some(&member(&fresh, "refresh_token")), "").0, 200);
    }
}

#[test]
fn a_missing_key_is_made_while_nobody_has_signed_up() {
    let place = Place::new();
    place.serve(&[]).stop();
    std::fs::remove_file(place.path("data/token.key")).unwrap();
    let serving = place.serve(&[]);
    assert!(serving.greeting.contains("Made the token key"), "{}", serving.greeting);
}

#[test]
fn a_key_file_that_the_operator_named_is_never_made_by_itself() {
    let place = Place::new();
    place.write("regrant.toml", "[keys]\ndir = \"keys\"\ntoken_key = \"ours.key\"\n");
    let told = place.refused(&["--config", "regrant.toml", "--listen", "127.0.0.1:0"], 1);
    assert!(told.contains("keys/ours.key is missing") && told.contains("regrant keys init"), "{told}");
    let made = place.run(&["keys", "init", "--config", "regrant.toml"]);
    assert_eq!(made.code, 0, "{}", made.err);
    assert_eq!(place.names("keys"), ["access-es256.pem", "ours.key"]);
    place.serve(&["--config", "regrant.toml"]);
}

#[test]
fn keys_are_never_overwritten() {
    let place = Place::new();
    assert_eq!(place.run(&["keys", "init"]).code, 0);
    assert_eq!(mode(&place.path("data")), 0o700);
    let before = std::fs::read(place.path("data/token.key")).unwrap();
    let told = place.refused(&["keys", "init"], 1);
    assert!(told.contains("nothing to make") && told.contains("never overwritten"), "{told}");
    assert_eq!(std::fs::read(place.path("data/token.key")).unwrap(), before);
}

#[test]
fn each_algorithm_gets_a_key_of_its_own_kind_and_serves() {
    for (algorithm, name) in
        [("EdDSA", "access-eddsa.pem"), ("HS256", "access-hs256.key"), ("RS256", "access-rs256.pem")]
    {
        let place = Place::new();
        place.write("regrant.toml", &format!("[access_token]\nalgorithm = \"{algorithm}\"\n"));
        let serving = place.serve(&["--config", "regrant.toml"]);
        assert!(place.path("data").join(name).exists(), "{name}");
        assert_eq!(request(serving.addr, "POST", "/api/users", None, super::process::ADA).0, 201);
        let (_, body) = request(serving.addr, "POST", "/api/login", None, super::process::ADA);
        let (status, me) = request(serving.addr, "GET", "/api/me", Some(&member(&body, "token")), "");
        assert_eq!(status, 200, "{algorithm}: {me}");
    }
}

#[test]
fn the_memory_store_needs_no_database() {
    let place = Place::new();
    place.write("regrant.toml", "[store]\nkind = \"memory\"\n");
    let serving = place.serve(&["--config", "regrant.toml"]);
    sign_in(serving.addr);
    assert_eq!(place.names("data"), ["access-es256.pem", "token.key"]);
}
