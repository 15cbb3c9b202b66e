//! Files and folders that cannot be used: a sentence that names them, and no panic.

use super::process::{Place, sign_in};

const SERVE: &[&str] = &["serve", "--listen", "127.0.0.1:0"];

#[test]
fn a_data_folder_that_cannot_be_made_is_told() {
    let place = Place::new();
    // Below a file, because tests may run as a user who may write everywhere.
    place.write("file", "");
    let told = place.refused(&["--listen", "127.0.0.1:0", "--data", "file/data"], 1);
    assert!(told.contains("file/data") && told.contains("what to do: "), "{told}");
    let told = place.refused(&["--listen", "127.0.0.1:0", "--data", "file"], 1);
    assert!(told.contains("file"), "{told}");
    let told = place.refused(&["keys", "init", "--data", "file/data"], 1);
    assert!(told.contains("file/data"), "{told}");
}

#[test]
fn a_file_that_is_no_database_is_told_and_left_alone() {
    let place = Place::new();
    std::fs::create_dir(place.path("data")).unwrap();
    let text = "this is not a database, but somebody's diary".repeat(100);
    place.write("data/regrant.db", &text);
    let told = place.refused(SERVE, 1);
    assert!(told.contains("./data/regrant.db: this file is not an SQLite database"), "{told}");
    assert_eq!(std::fs::read_to_string(place.path("data/regrant.db")).unwrap(), text);
    assert_eq!(place.names("data"), ["regrant.db"], "no key is made for a store that cannot be used");
}

#[test]
fn a_damaged_database_is_told() {
    let place = Place::new();
    let serving = place.serve(&[]);
    sign_in(serving.addr);
    serving.stop();
    let path = place.path("data/regrant.db");
    let mut bytes = std::fs::read(&path).unwrap();
    for byte in &mut bytes[100..4096] {
        *byte = 0xa5;
    }
    std::fs::write(&path, bytes).unwrap();
    let told = place.refused(SERVE, 1);
    assert!(told.contains("./data/regrant.db"), "{told}");
}

#[test]
fn a_folder_in_the_place_of_a_file_is_told() {
    let place = Place::new();
    for name in ["data", "data/regrant.db"] {
        std::fs::create_dir(place.path(name)).unwrap();
    }
    let told = place.refused(SERVE, 1);
    assert!(told.contains("./data/regrant.db"), "{told}");
}

#[test]
fn a_wrong_key_file_is_told_by_name_without_its_content() {
    let place = Place::new();
    assert_eq!(place.run(&["keys", "init"]).code, 0);
    let (signing, token) = (place.path("data/access-es256.pem"), place.path("data/token.key"));
    let right = [std::fs::read(&signing).unwrap(), std::fs::read(&token).unwrap()];
    for (wrong, part) in [
        ("", "found"),
        ("hunter2", "found"),
        ("-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n", "found"),
    ] {
        std::fs::write(&signing, wrong).unwrap();
        let told = place.refused(SERVE, 1);
        assert!(told.contains("./data/access-es256.pem cannot be used") && told.contains(part), "{told}");
        assert!(told.contains("keys.signing_key") && !told.contains("hunter2"), "{told}");
    }
    std::fs::write(&signing, &right[0]).unwrap();
    for (wrong, part) in [("", "it holds no key"), ("1 hunter2\n", "line 1: the key must be 64 hex characters")] {
        std::fs::write(&token, wrong).unwrap();
        let told = place.refused(SERVE, 1);
        assert!(told.contains("./data/token.key cannot be used") && told.contains(part), "{told}");
        assert!(told.contains("keys.token_key") && !told.contains("hunter2"), "{told}");
    }
    std::fs::write(&token, &right[1]).unwrap();
    place.serve(&[]);
}

#[test]
fn a_key_file_that_cannot_be_read_is_told_by_name() {
    let place = Place::new();
    assert_eq!(place.run(&["keys", "init"]).code, 0);
    let token = place.path("data/token.key");
    std::fs::remove_file(&token).unwrap();
    std::fs::create_dir(&token).unwrap();
    let told = place.refused(SERVE, 1);
    assert!(told.contains("./data/token.key cannot be read"), "{told}");
    std::fs::remove_dir(&token).unwrap();
    std::fs::write(&token, [0xff; 40]).unwrap();
    let told = place.refused(SERVE, 1);
    assert!(told.contains("./data/token.key cannot be read"), "{told}");
}

#[test]
fn a_key_for_another_algorithm_is_told() {
    let place = Place::new();
    assert_eq!(place.run(&["keys", "init"]).code, 0);
    place.write("regrant.toml", "[access_token]\nalgorithm = \"EdDSA\"\n[keys]\nsigning_key = \"access-es256.pem\"\n");
    let told = place.refused(&["--config", "regrant.toml", "--listen", "127.0.0.1:0"], 1);
    assert!(told.contains("EdDSA needs an Ed25519 private key"), "{told}");
}

#[test]
fn a_key_file_that_others_can_read_is_a_warning() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::new();
    assert_eq!(place.run(&["keys", "init"]).code, 0);
    let token = place.path("data/token.key");
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o644)).unwrap();
    let (status, log) = place.serve(&[]).stop();
    assert_eq!(status.code(), Some(0));
    assert!(log.contains("chmod it to 600") && log.contains("token.key"), "{log}");
}
