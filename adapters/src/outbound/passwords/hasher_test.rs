//! Hashes of other implementations, passwords that bcrypt would confuse, and stored hashes that mean harm.

use std::cell::RefCell;

use super::hasher::{Check, Hasher};

thread_local! {
    static HASHER: RefCell<Hasher> = RefCell::default();
}

fn check(password: &str, stored: &str) -> Check {
    HASHER.with_borrow_mut(|hasher| hasher.check(password, stored))
}

#[test]
fn argon2_hashes_of_the_reference_implementation_match() {
    // The test vectors of phc-winner-argon2.
    for stored in [
        "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
        "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc",
        "$argon2id$v=19$m=65536,t=1,p=1$c29tZXNhbHQ$9qWtwbpyPd3vm1rB1GThgPzZ3/ydHL92zKL+15XZypg",
        "$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$iekCn0Y3spW+sCcFanM2xBT63UP2sghkUoHLIUpWRS8",
        "$argon2i$v=19$m=256,t=2,p=2$c29tZXNhbHQ$T/XOJ2mh1/TIpJHfCdQan76Q5esCFVoT5MAeIM1Oq2E",
        "$argon2i$v=16$m=256,t=2,p=1$c29tZXNhbHQ$/U3YPXYsSb3q9XxHvc0MLxur+GP960kN9j7emXX8zwY",
        "$argon2i$m=256,t=2,p=1$c29tZXNhbHQ$/U3YPXYsSb3q9XxHvc0MLxur+GP960kN9j7emXX8zwY",
    ] {
        assert_eq!(check("password", stored), Check::MatchesWeakly, "{stored}");
        assert_eq!(check("Password", stored), Check::Differs, "{stored}");
        assert_eq!(check("password\0", stored), Check::Differs, "{stored}");
    }
}

#[test]
fn only_a_hash_that_is_weaker_than_new_ones_matches_weakly() {
    use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, Version};
    for (algorithm, version, (m, t, p), salt, len, expected) in [
        (Algorithm::Argon2id, Version::V0x13, (19_456, 2, 1), 16, 32, Check::Matches),
        (Algorithm::Argon2id, Version::V0x13, (20_000, 3, 2), 32, 64, Check::Matches),
        (Algorithm::Argon2id, Version::V0x13, (19_455, 2, 1), 16, 32, Check::MatchesWeakly),
        (Algorithm::Argon2id, Version::V0x13, (47_104, 1, 1), 16, 32, Check::MatchesWeakly),
        (Algorithm::Argon2id, Version::V0x13, (19_456, 2, 1), 8, 32, Check::MatchesWeakly),
        (Algorithm::Argon2id, Version::V0x13, (19_456, 2, 1), 16, 31, Check::MatchesWeakly),
        (Algorithm::Argon2id, Version::V0x10, (19_456, 2, 1), 16, 32, Check::MatchesWeakly),
        (Algorithm::Argon2i, Version::V0x13, (19_456, 2, 1), 16, 32, Check::MatchesWeakly),
        (Algorithm::Argon2d, Version::V0x13, (19_456, 2, 1), 16, 32, Check::MatchesWeakly),
    ] {
        let argon2 = Argon2::new(algorithm, version, Params::new(m, t, p, Some(len)).expect("in range"));
        let stored = argon2.hash_password_with_salt(b"password", &vec![5; salt]).expect("hashed").to_string();
        assert_eq!(check("password", &stored), expected, "{stored}");
        assert_eq!(check("passwort", &stored), Check::Differs, "{stored}");
    }
}

#[test]
fn new_hashes_are_what_the_library_makes_of_them_and_matched_exactly() {
    use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, Version};
    let mut hasher = Hasher::default();
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(19_456, 2, 1, None).expect("in range"));
    let long = "x".repeat(1024);
    for password in ["", "pässwörd 😀", "trailing ", "trailing", "nul\0", "nul\0more", "nul", &long, &long[1..]] {
        let stored = hasher.hash(password, &[7; 16]).expect("hashed");
        let theirs = argon2.hash_password_with_salt(password.as_bytes(), &[7; 16]).expect("hashed");
        assert_eq!(stored, theirs.to_string());
        assert_eq!(hasher.check(password, &stored), Check::Matches, "{password:?}");
        for other in [format!("{password} "), format!("{password}\0"), format!(" {password}")] {
            assert_eq!(hasher.check(&other, &stored), Check::Differs, "{other:?}");
        }
    }
}

#[test]
fn bcrypt_hashes_of_other_implementations_match() {
    let (x71, x72) = ("x".repeat(71), "x".repeat(72));
    for (password, stored) in [
        // jBCrypt
        ("", "$2a$06$DCq7YPn5Rq63x1Lad4cll.TV4S6ytwfsfvkgY8jIucDrjc8deX1s."),
        ("a", "$2a$06$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe"),
        ("abcdefghijklmnopqrstuvwxyz", "$2a$08$aTsUwsyowQuzRrDqFflhgekJ8d9/7Z3GV3UcgvzQW3J5zMyrTvlz."),
        // libxcrypt
        ("rasmuslerdorf", "$2y$07$BCryptRequires22Chrcte/VlQH0piJtjXl.0t1XkA8pw9dMXTpOq"),
        ("old", "$2a$05$abcdefghijklmnopqrstuugsBODdSIQv1RxnI8aaFc6h0RUUfZOGC"),
        ("päßwörd 😀", "$2b$04$abcdefghijklmnopqrstuumHvGPfIvJvoUZQyuGrST8ARUPQo60bW"),
        ("trailing ", "$2b$04$abcdefghijklmnopqrstuuQYH3kFZKNCd30HUPALYjdVyCPu61XJi"),
        (&x71, "$2b$04$abcdefghijklmnopqrstuu.gc7UY/21CSNJGJg21jJzx9QiOpJ9bO"),
        (&x72, "$2b$04$abcdefghijklmnopqrstuubzadhGtS2zEF.gu0yd0opP6cVzb.e0i"),
    ] {
        assert_eq!(check(password, stored), Check::MatchesWeakly, "{stored}");
        assert_eq!(check(&format!("{password}y"), stored), Check::Differs, "{stored}");
        assert_eq!(check(password.trim_end(), stored) == Check::Differs, password.ends_with(' '), "{stored}");
    }
}

#[test]
fn what_bcrypt_would_cut_or_repeat_differs() {
    let of_72 = "$2b$04$abcdefghijklmnopqrstuubzadhGtS2zEF.gu0yd0opP6cVzb.e0i";
    assert!(bcrypt::verify("x".repeat(73), of_72).expect("well formed"), "the trap is there");
    assert_eq!(check(&"x".repeat(73), of_72), Check::Differs);
    assert_eq!(check(&"x".repeat(1024), of_72), Check::Differs);
    let of_a = "$2a$06$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe";
    assert!(bcrypt::verify("a\0a", of_a).expect("well formed"), "the trap is there");
    for password in ["a\0a", "a\0", "\0a", "a\0b"] {
        assert_eq!(check(password, of_a), Check::Differs, "{password:?}");
    }
}

#[test]
fn a_stored_hash_that_cannot_be_used_is_a_password_that_differs_at_the_cost_of_one_hash() {
    const SALT_AND_HASH: &str = "c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
    let argon2 = |head: &str| format!("{head}${SALT_AND_HASH}");
    let bcrypt = "$2a$06$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe";
    let long = "$".repeat(100_000);
    let mut hostile: Vec<String> = [
        "",
        "$",
        "$$",
        "password",
        "plain$text",
        "\0",
        "ü",
        "$argon2id",
        "$argon2id$",
        "$argon2id$v=19",
        "$argon2id$v=19$m=65536,t=2,p=1",
        "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ",
        "$2",
        "$2a$",
        "$2a$06$",
        "$2b$04$äääääääääääääääääääääääääää",
        "$1$abcdefgh$G//4keteveJp0qb8z2DxG/",
        "$6$salt$hash",
        &long,
    ]
    .map(str::to_owned)
    .to_vec();
    hostile.extend(
        [
            // More than the machine has, or more than it should give.
            "$argon2id$v=19$m=4294967295,t=2,p=1",
            "$argon2id$v=19$m=262145,t=2,p=1",
            "$argon2id$v=19$m=65536,t=4294967295,p=1",
            "$argon2id$v=19$m=65536,t=17,p=1",
            "$argon2id$v=19$m=65536,t=2,p=17",
            "$argon2id$v=19$m=65536,t=2,p=16777215",
            // Numbers that are none.
            "$argon2id$v=19$m=99999999999999999999,t=2,p=1",
            "$argon2id$v=19$m=-1,t=2,p=1",
            "$argon2id$v=19$m=,t=,p=",
            "$argon2id$v=19$m=0,t=0,p=0",
            "$argon2id$v=19$m=65536,t=0,p=1",
            "$argon2id$v=19$m=7,t=2,p=1",
            "$argon2id$v=19$m=8,t=2,p=2",
            // Parameters that lack, are there twice, or are not known.
            "$argon2id$v=19",
            "$argon2id$v=19$m=65536",
            "$argon2id$v=19$t=2,p=1",
            "$argon2id$v=19$m=65536,m=8,t=2,p=1",
            "$argon2id$v=19$m=65536,t=2,p=1,data=AAAA",
            "$argon2id$v=19$m=65536,t=2,p=1,x=1",
            // Kinds and versions that are not known.
            "$argon2id$v=20$m=65536,t=2,p=1",
            "$argon2id$v=0$m=65536,t=2,p=1",
            "$argon2x$v=19$m=65536,t=2,p=1",
            "$ARGON2ID$v=19$m=65536,t=2,p=1",
            "argon2id$v=19$m=65536,t=2,p=1",
        ]
        .map(argon2),
    );
    hostile.extend(
        [
            "$c2FsdA$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
            "$c29tZXNhbHQ$",
            "$c29tZXNhbHQ$AAAA",
            "$c29tZXNhbHQ$!!!!",
            "$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc=",
            "$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc$more",
            "$$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
        ]
        .map(|tail| format!("$argon2id$v=19$m=65536,t=2,p=1{tail}")),
    );
    hostile.push(format!("$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ${}", "A".repeat(400)));
    hostile.push(format!("$argon2id$v=19$m=65536,t=2,p=1${}$AAAAAAAAAAAAAAAAAAAA", "A".repeat(100)));
    hostile.extend([
        bcrypt[..59].to_owned(),
        format!("{bcrypt}."),
        bcrypt.replace("$06$", "$31$"),
        bcrypt.replace("$06$", "$17$"),
        bcrypt.replace("$06$", "$03$"),
        bcrypt.replace("$06$", "$00$"),
        bcrypt.replace("$06$", "$99$"),
        bcrypt.replace("$06$", "$xx$"),
        bcrypt.replace("$06$", "$-1$"),
        bcrypt.replace("$2a$", "$2x$"),
        bcrypt.replace("$2a$", "$2c$"),
        bcrypt.replace("DGO3", "DG!3"),
        bcrypt.replace("DGO3r", "DGé3"),
    ]);
    let mut hasher = Hasher::default();
    for stored in hostile {
        hasher.done.clear();
        assert_eq!(hasher.check("password", &stored), Check::Differs, "{stored}");
        assert_eq!(hasher.done, ["argon2 as new"], "{stored}");
    }
}

#[test]
fn nothing_to_compare_with_costs_as_much_as_a_wrong_or_right_password() {
    let mut hasher = Hasher::default();
    let stored = hasher.hash("password", &[7; 16]).expect("hashed");
    hasher.done.clear();
    assert_eq!(hasher.check("password", &stored), Check::Matches);
    assert_eq!(hasher.check("other", &stored), Check::Differs);
    assert_eq!(hasher.check_nothing("password"), Check::Differs);
    assert_eq!(hasher.done, ["argon2 as new"; 3]);
}

#[test]
fn memory_is_used_again_and_does_not_grow() {
    let mut hasher = Hasher::default();
    hasher.check_nothing("password");
    let kept = hasher.kept();
    hasher.check("x", "$argon2id$v=19$m=65536,t=1,p=1$c29tZXNhbHQ$9qWtwbpyPd3vm1rB1GThgPzZ3/ydHL92zKL+15XZypg");
    hasher.check("x", "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4");
    hasher.check_nothing("password");
    assert_eq!((kept, hasher.kept()), (19_456, 19_456));
}
