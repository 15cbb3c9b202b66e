//! The commands that rotate keys, on a folder that nobody serves from.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::process::{Place, binary, mode};

const INIT: &[&str] = &["keys", "init"];

fn initialised() -> Place {
    let place = Place::new();
    assert_eq!(place.run(INIT).code, 0);
    place
}

/// What a command prints that must succeed.
#[track_caller]
fn told(place: &Place, args: &[&str]) -> String {
    let outcome = place.run(args);
    assert_eq!(outcome.code, 0, "{args:?}: {}{}", outcome.out, outcome.err);
    outcome.out
}

/// The keys of one kind, as they are listed.
#[track_caller]
fn listed(place: &Place, kind: &str) -> Vec<Value> {
    let out = told(place, &["keys", "list", "--format", "json"]);
    let all = out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    all.filter(|key| key["key"] == kind).collect()
}

#[track_caller]
fn stages(place: &Place, kind: &str) -> Vec<String> {
    listed(place, kind).iter().map(|key| key["stage"].as_str().unwrap().to_owned()).collect()
}

/// Lets some hours pass for the keys of a kind: their instants lie so much further back.
fn hours_pass(place: &Place, kind: &str, hours: i64) {
    let path = place.path("data/keys.json");
    let mut manifest: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    for key in manifest[kind].as_array_mut().unwrap() {
        for name in ["created_at", "signs_from", "revoked_at"] {
            if let Some(at) = key[name].as_str() {
                let at: regrant_domain::time::Timestamp = at.parse().unwrap();
                let earlier = regrant_domain::time::Timestamp::from_millis(at.millis() - hours * 3_600_000);
                key[name] = earlier.to_string().into();
            }
        }
    }
    std::fs::write(path, manifest.to_string()).unwrap();
}

#[test]
fn a_key_is_next_then_signing_while_the_old_one_is_verifying_then_retired_then_pruned() {
    // For access tokens an hour; for refresh tokens 365 days, and 30 days more.
    for (kind, still, longer) in [("signing", 0, 2), ("token", 394 * 24, 48)] {
        let place = initialised();
        assert_eq!(stages(&place, kind), ["signing"]);
        let said = told(&place, &["keys", "rotate", kind]);
        assert!(said.contains("It is published now, and used from ") && said.contains("accepted until"), "{said}");
        assert_eq!(stages(&place, kind), ["signing", "next"]);
        let before = listed(&place, kind);
        assert_ne!(before[0]["id"], before[1]["id"]);
        assert_eq!(before[0]["accepted_until"].as_str().map(str::len), Some(24));
        assert_eq!(before[1]["accepted_until"], Value::Null);

        let again = told(&place, &["keys", "rotate", kind]);
        assert!(again.contains("Nothing was changed"), "{again}");
        assert_eq!(listed(&place, kind), before);
        hours_pass(&place, kind, 2);
        assert_eq!(stages(&place, kind), ["verifying", "signing"]);
        assert_eq!(told(&place, &["keys", "prune"]), "There is nothing to remove.\n");
        hours_pass(&place, kind, still);
        assert_eq!(stages(&place, kind), ["verifying", "signing"]);
        hours_pass(&place, kind, longer);
        assert_eq!(stages(&place, kind), ["retired", "signing"]);
        let removed = told(&place, &["keys", "prune"]);
        assert_eq!(removed.lines().count(), 1, "{removed}");
        assert_eq!(stages(&place, kind), ["signing"]);
        assert_eq!(listed(&place, kind)[0]["id"], before[1]["id"]);
        assert!(!std::path::Path::new(before[0]["file"].as_str().unwrap()).exists());
        // And on: with what was named in the beginning gone.
        told(&place, &["keys", "rotate", kind]);
        assert_eq!(stages(&place, kind), ["signing", "next"]);
        place.serve(&[]);
    }
}

#[test]
fn new_files_are_private_and_old_ones_are_not_touched() {
    let place = initialised();
    let old = ["data/access-es256.pem", "data/token.key"].map(|name| std::fs::read(place.path(name)).unwrap());
    for kind in ["signing", "token"] {
        told(&place, &["keys", "rotate", kind]);
    }
    assert_eq!(["data/access-es256.pem", "data/token.key"].map(|name| std::fs::read(place.path(name)).unwrap()), old);
    let names = place.names("data");
    assert_eq!(names.len(), 6, "{names:?}");
    assert!(names.iter().all(|name| mode(&place.path("data").join(name)) == 0o600), "{names:?}");
    let manifest = std::fs::read_to_string(place.path("data/keys.json")).unwrap();
    let token = std::fs::read_to_string(place.path("data/token.key")).unwrap();
    let hex = token.lines().last().unwrap().split(' ').nth(1).unwrap();
    assert!(!manifest.contains(hex) && !manifest.contains("PRIVATE"), "no key is in it");
}

#[test]
fn any_number_of_rotations_at_once_are_one() {
    for args in [&["keys", "rotate"][..], &["keys", "rotate", "token"], &["keys", "rotate", "token", "--now"]] {
        let place = initialised();
        let all: Vec<_> = std::thread::scope(|scope| {
            let tries: Vec<_> = (0..8).map(|_| scope.spawn(|| told(&place, args))).collect();
            tries.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert_eq!(all.iter().filter(|said| said.starts_with("Made the ")).count(), 1, "{all:?}");
        let kind = args.get(2).copied().unwrap_or("signing");
        assert_eq!(stages(&place, kind), ["signing", "next"]);
        assert_eq!(place.names("data").len(), 5, "{:?}", place.names("data"));
    }
}

/// What a rotation leaves behind that ends after any of its steps.
#[test]
fn whatever_a_rotation_leaves_behind_the_folder_is_as_good_as_before() {
    let place = initialised();
    told(&place, &["keys", "rotate"]);
    hours_pass(&place, "signing", 2);
    let before = listed(&place, "signing");
    let key = std::fs::read(place.path("data/access-es256.pem")).unwrap();
    // The lock, held by nobody. A draft of a key. A key that nothing refers to. A draft of the manifest.
    place.write("data/keys.lock", "");
    place.write("data/.access-es256-AAAAAAAAAAAA.pem.1-0.new", "-----BEGIN PRIV");
    std::fs::write(place.path("data/access-es256-AAAAAAAAAAAA.pem"), &key).unwrap();
    place.write("data/token-2.key", "2 half");
    place.write("data/.keys.json.1-0.new", "{\"version\": 1, \"sig");
    assert_eq!(listed(&place, "signing"), before);
    place.serve(&[]);
    told(&place, &["keys", "rotate"]);
    told(&place, &["keys", "rotate", "token"]);
    assert_eq!(stages(&place, "signing"), ["verifying", "signing", "next"]);
    assert_eq!(listed(&place, "token")[1]["id"], "3", "the name of the file is taken");
    let removed = told(&place, &["keys", "prune"]);
    assert!(removed.contains("AAAAAAAAAAAA.pem") && removed.contains("token-2.key"), "{removed}");
    assert_eq!(stages(&place, "signing"), ["verifying", "signing", "next"]);
    place.serve(&[]);
}

#[test]
fn a_rotation_that_is_killed_at_any_time_leaves_a_folder_that_can_be_used() {
    let place = initialised();
    let (mut made, mut kills) = (0, 0);
    for round in 0..60_u64 {
        let mut command = Command::new(binary());
        command.args(["keys", "rotate", "token"]).current_dir(place.path("data").parent().unwrap()).env_clear();
        let mut child = command.stdout(std::process::Stdio::null()).spawn().unwrap();
        // The whole command takes some 30 ms; what it writes, a part of that.
        std::thread::sleep(Duration::from_micros(round * 800));
        kills += u32::from(child.try_wait().unwrap().is_none());
        let _ = child.kill();
        child.wait().unwrap();
        let now = stages(&place, "token");
        match now.last().map(String::as_str) {
            Some("next") => {
                made += 1;
                hours_pass(&place, "token", 2);
                assert_eq!(stages(&place, "token").last().map(String::as_str), Some("signing"));
            }
            last => assert_eq!(last, Some("signing"), "{now:?}"),
        }
    }
    assert!(kills > 5 && made > 5, "{kills} were killed, {made} keys were made");
    told(&place, &["keys", "rotate", "token"]);
    told(&place, &["keys", "prune"]);
    place.serve(&[]);
}

#[test]
fn to_revoke_is_asked_for_and_says_what_it_does() {
    let place = initialised();
    told(&place, &["keys", "rotate"]);
    let before = listed(&place, "signing");
    assert!(place.run(&["keys", "rotate", "--revoke-old"]).code == 2, "only with --now");
    let refused = place.refused(&["keys", "rotate", "--now", "--revoke-old"], 2);
    assert!(refused.contains("--yes"), "{refused}");
    assert_eq!(listed(&place, "signing"), before);

    let said = told(&place, &["keys", "rotate", "--now", "--revoke-old", "--yes"]);
    assert!(said.contains("It is used from now on.") && said.contains("nobody is signed out"), "{said}");
    assert_eq!(stages(&place, "signing"), ["retired", "signing"], "what was next may have been stolen too");
    let said = told(&place, &["keys", "rotate", "token", "--now", "--revoke-old", "--yes"]);
    assert!(said.contains("everyone is signed out"), "{said}");
    assert_eq!(stages(&place, "token"), ["retired", "signing"]);
}

#[test]
fn at_once_is_at_once_for_access_tokens_and_as_soon_as_all_have_looked_for_refresh_tokens() {
    let place = initialised();
    told(&place, &["keys", "rotate", "--now"]);
    assert_eq!(stages(&place, "signing"), ["verifying", "signing"]);
    told(&place, &["keys", "rotate", "token", "--now"]);
    assert_eq!(stages(&place, "token"), ["signing", "next"]);
    let key = &listed(&place, "token")[1];
    let at = |name: &str| key[name].as_str().unwrap().parse::<regrant_domain::time::Timestamp>().unwrap();
    assert_eq!(at("signs_from").since(at("created_at")), Duration::from_secs(30));
    // In a hurry, one that was to take over later gives way.
    let place = initialised();
    told(&place, &["keys", "rotate"]);
    let later = listed(&place, "signing")[1]["id"].clone();
    told(&place, &["keys", "rotate", "--now"]);
    assert_eq!(stages(&place, "signing"), ["verifying", "signing"]);
    assert_ne!(listed(&place, "signing")[1]["id"], later);
}

#[test]
fn another_algorithm_takes_over_in_the_same_way() {
    let place = initialised();
    for (algorithm, ending) in [("EdDSA", ".pem"), ("RS256", ".pem"), ("HS256", ".key"), ("ES256", ".pem")] {
        let variable = [("REGRANT__ACCESS_TOKEN__ALGORITHM", algorithm)];
        let outcome = place.run_with(&["keys", "rotate"], &variable, "");
        assert_eq!(outcome.code, 0, "{}", outcome.err);
        let keys = listed(&place, "signing");
        assert_eq!((keys[keys.len() - 1]["algorithm"].as_str(), keys.len() > 1), (Some(algorithm), true));
        assert!(keys[keys.len() - 1]["file"].as_str().unwrap().ends_with(ending));
        // Whichever is configured, what is listed is used.
        place.serve(&[]);
        hours_pass(&place, "signing", 2);
    }
    assert_eq!(listed(&place, "signing").len(), 5);
}

#[test]
fn a_key_that_the_operator_brought_is_where_rotation_begins() {
    let place = initialised();
    std::fs::rename(place.path("data/access-es256.pem"), place.path("data/ours.pem")).unwrap();
    place.write("regrant.toml", "[keys]\nsigning_key = \"ours.pem\"\n");
    let with = |args: &[&'static str]| [&["--config", "regrant.toml"][..], args].concat();
    told(&place, &with(&["keys", "rotate"]));
    let manifest = std::fs::read_to_string(place.path("data/keys.json")).unwrap();
    assert!(manifest.contains("\"ours.pem\""), "{manifest}");
    place.serve(&["--config", "regrant.toml"]);
    // Once it is pruned, the setting names nothing, and what is listed is used.
    hours_pass(&place, "signing", 24);
    told(&place, &with(&["keys", "prune"]));
    assert!(!place.path("data/ours.pem").exists());
    place.serve(&["--config", "regrant.toml"]);
    // Another key under that name is a contradiction.
    assert_eq!(
        Command::new(binary())
            .args(["keys", "init", "--data", "other"])
            .current_dir(place.path("."))
            .status()
            .unwrap()
            .code(),
        Some(0)
    );
    std::fs::rename(place.path("other/access-es256.pem"), place.path("data/ours.pem")).unwrap();
    let said = place.refused(&with(&["serve", "--listen", "127.0.0.1:0"]), 1);
    assert!(said.contains("ours.pem is named, but ./data/keys.json does not list it"), "{said}");
}

#[test]
fn a_folder_that_contradicts_its_manifest_is_told_by_name() {
    let place = initialised();
    told(&place, &["keys", "rotate"]);
    let manifest = std::fs::read_to_string(place.path("data/keys.json")).unwrap();
    let whole = |text: &str| place.write("data/keys.json", text);
    for (text, part) in [
        ("", "keys.json cannot be used"),
        (&manifest[..manifest.len() / 2], "it is not a manifest"),
        (&manifest.replace("\"version\": 1", "\"version\": 9"), "this program knows version 1"),
        (&manifest.replace("access-es256.pem", "nowhere.pem"), "nowhere.pem cannot be read"),
        (&manifest.replace("ES256", "none"), "expected ES256, EdDSA, RS256 or HS256"),
    ] {
        whole(text);
        for args in [&["serve", "--listen", "127.0.0.1:0"][..], &["keys", "list"]] {
            let said = place.refused(args, 1);
            assert!(said.contains(part), "{part}: {said}");
        }
        if !part.starts_with("nowhere") && !part.starts_with("expected") {
            place.refused(&["keys", "rotate"], 1);
            assert_eq!(std::fs::read_to_string(place.path("data/keys.json")).unwrap(), text, "it is left alone");
        }
    }
    whole(&manifest);
    std::fs::copy(
        place.path("data/access-es256.pem"),
        listed(&place, "signing")[1]["file"].as_str().map(|f| place.path(f)).unwrap(),
    )
    .unwrap();
    let said = place.refused(&["serve", "--listen", "127.0.0.1:0"], 1);
    assert!(said.contains("is ") && said.contains(", not ") && said.contains("keys.json means"), "{said}");
}

#[test]
fn where_nothing_is_signed_or_there_is_no_key_there_is_nothing_to_rotate() {
    let place = Place::new();
    let said = place.refused(&["keys", "rotate", "--data", "."], 1);
    assert!(said.contains("access-es256.pem is missing"), "{said}");
    let outcome = place.run_with(&["keys", "rotate"], &[("REGRANT__ACCESS_TOKEN__FORMAT", "opaque")], "");
    assert!(outcome.code == 1 && outcome.err.contains("regrant keys rotate token"), "{}", outcome.err);
}
