//! Hashes that other software made, and such as only look like it.

use regrant_domain::ports::ForeignHashes as _;

use super::KnownHashes;
use super::hasher::{Check, Hasher};

/// Of `correct horse`, made by passlib 1.7, Django 5.2, Werkzeug 3.1 and the hashlib of Python 3.11.
#[rustfmt::skip]
const CORRECT_HORSE: &[&str] = &[
    "$pbkdf2-sha256$1000$RMgZYwyh1NobAwDg/H/v3Q$VIMS9iDl5Uj/rsMPfOMOvNqGsajFcFHg/VsOU/OeExA",
    "$pbkdf2-sha512$1000$aQ2B0DrHOMf4fw9BSKn1/g$6Re5eTzF4I1OITTfSG0XXHm2glitRn7PCG6dWEy89faoDwQQO7RsoYUCr3YZ1ho1lqe6/2HgcVZbbPEcS8eWwA",
    "$scrypt$ln=4,r=8,p=1$R0hJybmXkvL+X8t5751TCg$lrSO7n5/OdUvrF1oA8Zu3SGqn/Vc5PhRpvVBBRVz3g0",
    "$scrypt$ln=5,r=4,p=2$hBCCsBbinHPuPWdsDUHoHQ$ZA+usnBIwVwje5RYHE8hVoZb9cZi+ZL1psgTUjNbEbI",
    "$argon2id$v=19$m=64,t=1,p=1$mzOmNOa8917LmXPuvVcqJQ$Uas7WIQo+QSaroM6xvji42UYYUCeORxxAj2jq0Qllpc",
    "$argon2i$v=19$m=64,t=2,p=1$E+IcgxBiDIEQYsy5937vXQ$rejtiDcdIyoxOvGWJ+/7lhlxq9U6pbEo9wJtWeQOYac",
    "$argon2d$v=19$m=64,t=2,p=2$/V/LGSOEMAbAmFMqxRiDsA$4+fSoxgDE5NO372WIRcSMTgxnFKVFI10v1lNJcbCLw0",
    "$2a$04$yKSoZg7mqFIo1SyHjHZXge.sJc16RbZ57Uc2R5Wr4cnenPukxSQDa",
    "$2b$04$Q9KcBLjWOnxV9Bxw..Fvo.FNN5ZSq1N/0rn1EwoMmADP5u2eukJRe",
    "$2y$04$qqb1XdFslOwEUpsT2TudueFIJVUNDhK8zFPwsEOV3a4.j.pRGhBO2",
    "pbkdf2_sha256$1000$saltySALT0123456789ab$yiv44esNNmmtSAJ6Qqi1i7QNTJj+SHMtXIV2pQ35oR4=",
    "scrypt$16$VCcfqFG1kMa7tmhJZ058W2$8$5$qYA6MnbmGyGODm97U6OotdNIXrvY9Uhq1M8ONLRjyeixNfSaaZCfes9PYy/CmIxcRzryCOS6XX7X7aSg+/NLAQ==",
    "argon2$argon2id$v=19$m=64,t=1,p=1$OU1kY2szTkdqT1FZNnIwZGhrZkFqRQ$s8cLwo9ptf2EMtZOdwvOUuVgAg9udBFCIbIhmdw6tLE",
    "bcrypt$$2b$04$coNw4fuBfHVcOH0j98YWn.ggYJDslxqdetFPDeVT8ScyH8AB/KjwW",
    "pbkdf2:sha256:1000$0BbYdDHZ25SyAkuN$9969d80e9c71046c7cd49f1b0446d69039d8b6a8929ccb5e51e87bb191c20120",
    "pbkdf2:sha512:1000$FBMWIKsgMuCahQ9N$baafa384abb8ab392a25c41afaf9801b6d9303b28805fbd3041434182b65f59badecf6a93cd86a9fd103c98a7bc3c0181ec1ad7655e23032a1fe7194360ec43d",
    "scrypt:1024:8:1$Lm9SwMKdWypOWdU0$591e2abedefc07ed1da255476df75d9e2679ef5369fdf567dfbd30ec631cca77561302c7795312bff27e63fe8a338a7909c1c639c1adf5c4e7e54b17aefaee35",
    "$pbkdf2-sha256$i=1000,l=32$//79MDEyMzQ1Njc4OWFiYw$FjcSyAsHLZlu3xmZCnfMxQmzQ1zmn86HEYGhb1qCawM",
    "$pbkdf2-sha512$i=1000,l=64$//79MDEyMzQ1Njc4OWFiYw$jvvwOa8fElMp9/ZZWngxeccPrBwvhTGIOqsDkkEgKjj8eysAzZwhtqEr1Zxnh4bhehSv7jwMWeZJxZ15n8lHRg",
];

/// Of `pässwörd 😀`, made by the same.
#[rustfmt::skip]
const PASSWORD: &[&str] = &[
    "$pbkdf2-sha256$1000$ZgwhZGwt5VwLwZjzPqd0rg$pj4GpqhpiOx6TFvy6tA9cN8wGwx8.g8TSMvPcWzB2F0",
    "$pbkdf2-sha512$1000$QyhFKMVYCwGgVKpVKqXUOg$Smwi6vEUXbN/myeiX2tPpBsxf9FF1c9Cdv91nbtiuiGILEDFRzKz1d9qrD43hD1gtnLL5WA2ikbs1HqZOoAKMw",
    "$scrypt$ln=4,r=8,p=1$UGqt9V5rzbmXUkopRWiN0Q$7f9sXD+feS+vscyhwUkTmsfO4SN+mvX1ldCj7z7bMHg",
    "$scrypt$ln=5,r=4,p=2$jZES4twbQ+jd+3/vfW8NYQ$6wj93iCi7CD2aW5bKxp2cpQs5k0xia5Z0c3idaK6tgU",
    "$argon2id$v=19$m=64,t=1,p=1$3bvX2vt/T2mNkRICwBjDOA$UHMA3A82qhsVQpoJYWmRR9ZXbSjFyQpVePAExSaHu6o",
    "$argon2i$v=19$m=64,t=2,p=1$jfEeAwDA+D8nJEToXQuhNA$elmiBh78eohPHqNsvNbROE7PDOJXBOZf7GtwqWbhbxQ",
    "$argon2d$v=19$m=64,t=2,p=2$IIQQYsyZE+KckxIiZCyFcA$wLh3RlgHyqgnHdaN1DzRJVIjvBF5edEAd6CGzlheJfs",
    "$2a$04$bKoaopWnPaBJYVZz039zY.9wHDwyNIkO9OfckgqsHapBcdaoblz6C",
    "$2b$04$3UaBXF3Hv408VzjifRvUEOQAvJn257onqMx3OEYAQypQO./Hc91uy",
    "$2y$04$hE8HLi4gbpo5fYbqXcNDLOC3XZPvXtvEoTxquxxfl1SzXOhynLwse",
    "pbkdf2_sha256$1000$saltySALT0123456789ab$BkN+e/K0EhndmnwktqkQ9kFPsAo2kitUfUz3m2IuR5k=",
    "scrypt$16$1MI8tlhwxwQ1jCyQpVNkPf$8$5$P9trgsOjL/fOexnR7aBb1WdMyynFtH7IwAefEwPbX1Vx4yDXdRTEtAWYolnBOY7e0ihxxTvnBPLp+9NL5O24+w==",
    "argon2$argon2id$v=19$m=64,t=1,p=1$Vlc0UjUwU2FaRVZQcjVkblRra2xPSQ$dVGqfgH7lLk1Q7IPskHWdiw4E6AHJuVeIA7TX5GufuY",
    "bcrypt$$2b$04$cQ7bXqOAey2jhYXmKwji5uW8RMIaYM1rZd5AP9wJcE9kfJvDdQq3q",
    "pbkdf2:sha256:1000$lcrIJS7Vpl4urw8p$695db2c6369e4444fdeadf2dadf498a98cfcac0b78d0374c9e38b1bae70b2b37",
    "pbkdf2:sha512:1000$Tqu0QwRONLkLbEuA$731854e2618cc19c6a6525ffa854003f44bb5d15da1fe9cf881bd3d19e24812a70f46fcafbe36832ccf749945c6eb7345eb7f3f6e7ae8e3c8b20d8699813c7ee",
    "scrypt:1024:8:1$aCWXXxe3ghmi58qw$9f18ad8952c2186b2cdefda835878b5822f9e0772f8c531764f1ad7949c13ab580a2a626a1f8ae2b83f4a628a084f3aa624c660b71a77935448aefd6575a4ecd",
    "$pbkdf2-sha256$i=1000,l=32$//79MDEyMzQ1Njc4OWFiYw$RaRqtKiAglkaCpFjRGq78cIDzpdM+ra6vIfh8YoXdiI",
    "$pbkdf2-sha512$i=1000,l=64$//79MDEyMzQ1Njc4OWFiYw$Wbq9rYZxi3Uh17V4UcyQ5UDoBKLcjsmL4DfUk5wl4nAuhbUW4x9lVemDmVEL6PgnB70eifJtfIBThDvzw8Lm/A",
];

fn check(password: &str, stored: &str) -> Check {
    Hasher::default().check(password, stored)
}

#[test]
fn hashes_of_other_software_match_their_password_weakly_and_no_other() {
    for (password, hashes) in [("correct horse", CORRECT_HORSE), ("pässwörd 😀", PASSWORD)] {
        for stored in hashes {
            assert_eq!(check(password, stored), Check::MatchesWeakly, "{stored}");
            for other in [&password[1..], &format!("{password}x"), &password.to_uppercase(), ""] {
                assert_eq!(check(other, stored), Check::Differs, "{other:?}: {stored}");
            }
        }
    }
}

#[test]
fn what_can_be_checked_is_accepted_as_it_is() {
    for stored in CORRECT_HORSE.iter().chain(PASSWORD) {
        assert_eq!(KnownHashes.accept(stored).expect(stored).as_str(), *stored);
    }
}

#[test]
fn published_test_vectors_match() {
    // RFC 7914 §12, written as PHC strings.
    for (password, stored) in [
        (
            "password",
            "$scrypt$ln=10,r=8,p=16$TmFDbA$/bq+HJ00cgB4VucZDQHp/nxq18vII3gw53N2Y0s3MWIurzDZLiKjiG/xCSedmDDaxyevuUqD7m2DYMvfoswGQA",
        ),
        (
            "pleaseletmein",
            "$scrypt$ln=14,r=8,p=1$U29kaXVtQ2hsb3JpZGU$cCO9yzr9c0hGHAbNgf046/2o+7qQT44+qbVD9lRdofLVQylVYT8Pz2LUlwUkKpr55h6F3A1lHkDfzwF7RVdYhw",
        ),
    ] {
        assert_eq!(check(password, stored), Check::MatchesWeakly, "{stored}");
    }
}

#[test]
fn a_password_that_hmac_would_fill_up_to_another_differs() {
    for stored in CORRECT_HORSE.iter().filter(|stored| stored.contains("pbkdf2") || stored.contains("scrypt")) {
        assert_eq!(check("correct horse\0", stored), Check::Differs, "{stored}");
        assert_eq!(check("correct horse\0\0", stored), Check::Differs, "{stored}");
    }
}

/// Text of a hash, and why it is refused.
#[rustfmt::skip]
const REFUSED: &[(&str, &str)] = &[
    // More than a check may cost: memory, time, or both.
    ("$scrypt$ln=19,r=8,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA", "costs"),
    ("$scrypt$ln=63,r=8,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA", "costs"),
    ("$scrypt$ln=18,r=8,p=5$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA", "costs"),
    ("$scrypt$ln=1,r=4294967295,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA", "costs"),
    ("$scrypt$ln=1,r=1,p=4294967295$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA", "costs"),
    ("$scrypt$ln=14,r=8,p=99999999999$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA", "costs"),
    ("scrypt$1073741824$salt$8$1$AAAAAAAAAAAAAAAAAAAAAA==", "costs"),
    ("scrypt:2147483648:8:1$salt$00000000000000000000000000000000", "costs"),
    ("$pbkdf2-sha256$i=5000001$c2FsdA$AAAAAAAAAAAAAAAAAAAAAA", "costs"),
    ("$pbkdf2-sha256$i=2500001$c2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "costs"),
    ("$pbkdf2-sha512$4294967295$c2FsdA$AAAAAAAAAAAAAAAAAAAAAA", "costs"),
    ("pbkdf2_sha256$99999999999999999999$salt$AAAAAAAAAAAAAAAAAAAAAA==", "costs"),
    ("pbkdf2:sha256:4294967295$salt$00000000000000000000000000000000", "costs"),
    ("$argon2id$v=19$m=262145,t=2,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA", "costs"),
    ("$2b$17$abcdefghijklmnopqrstuubzadhGtS2zEF.gu0yd0opP6cVzb.e0i", "costs"),
    // Parameters that are none, lack, are there twice, or are not known.
    ("$scrypt$ln=0,r=8,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA", "parameters"),
    ("$scrypt$ln=4,r=0,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA", "parameters"),
    ("$scrypt$ln=4,r=8,p=0$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA", "parameters"),
    ("$scrypt$ln=64,r=8,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA", "parameters"),
    ("$scrypt$ln=4,r=8$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA", "parameters"),
    ("$scrypt$ln=4,r=8,p=1,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA", "parameters"),
    ("$scrypt$ln=4,r=8,p=1,x=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA", "parameters"),
    ("$scrypt$ln=+4,r=8,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA", "parameters"),
    ("scrypt$15$salt$8$1$AAAAAAAAAAAAAAAAAAAAAA==", "parameters"),
    ("scrypt$0$salt$8$1$AAAAAAAAAAAAAAAAAAAAAA==", "parameters"),
    ("$pbkdf2-sha256$i=0$c2FsdA$AAAAAAAAAAAAAAAAAAAAAA", "parameters"),
    ("$pbkdf2-sha256$l=16$c2FsdA$AAAAAAAAAAAAAAAAAAAAAA", "parameters"),
    ("$pbkdf2-sha256$i=1,l=32$c2FsdA$AAAAAAAAAAAAAAAAAAAAAA", "parameters"),
    ("$pbkdf2-sha256$i=$c2FsdA$AAAAAAAAAAAAAAAAAAAAAA", "parameters"),
    ("$pbkdf2-sha256$$c2FsdA$AAAAAAAAAAAAAAAAAAAAAA", "parameters"),
    ("pbkdf2_sha256$-1$salt$AAAAAAAAAAAAAAAAAAAAAA==", "parameters"),
    // Salts and outputs that are none, or so short that other passwords would match.
    ("$pbkdf2-sha256$i=1$c2FsdA$", "short"),
    ("$pbkdf2-sha256$i=1$$AAAAAAAAAAAAAAAAAAAAAA", "short"),
    ("$pbkdf2-sha256$i=1$c2FsdA$AAAAAAAAAAAAAAAAAAAA", "short"),
    ("pbkdf2_sha256$1$$AAAAAAAAAAAAAAAAAAAAAA==", "short"),
    ("$scrypt$ln=4,r=8,p=1$c2FsdHNhbHQ$AAAA", "short"),
    ("$pbkdf2-sha256$i=1$c2FsdA$AAAAAAAAAAAAAAAAAAAAAA==", "damaged"),
    ("$pbkdf2-sha256$i=1$c2Fsd$AAAAAAAAAAAAAAAAAAAAAA", "damaged"),
    ("pbkdf2_sha256$1$salt$AAAAAAAAAAAAAAAAAAAAAA", "damaged"),
    ("pbkdf2:sha256:1$salt$0000000000000000000000000000000g", "damaged"),
    // Kinds that are not known.
    ("", "not known"),
    ("hunter2", "not known"),
    ("5f4dcc3b5aa765d61d8327deb882cf99", "not known"),
    ("$1$abcdefgh$G//4keteveJp0qb8z2DxG/", "not known"),
    ("$6$salt$hash", "not known"),
    ("$pbkdf2$1000$c2FsdA$AAAAAAAAAAAAAAAAAAAAAA", "not known"),
    ("$pbkdf2-md5$i=1000$c2FsdA$AAAAAAAAAAAAAAAAAAAAAA", "not known"),
    ("pbkdf2:md5:1000$salt$00000000000000000000000000000000", "not known"),
    ("bcrypt_sha256$$2b$04$Ga4Uq/IYCiWx6B2xvv7gWOL18DYA1PSHpGa.zznigM1O53roetsIa", "not known"),
    ("$2x$04$abcdefghijklmnopqrstuubzadhGtS2zEF.gu0yd0opP6cVzb.e0i", "bcrypt"),
    ("bcrypt$$2b$04$abcdefghijklmnopqrstuubzadhGtS2zEF.gu0yd0opP6cVzb.e0", "damaged"),
    ("argon2$argon2id$v=19$m=64,t=1,p=1$c2FsdA$AAAAAAAAAAAAAAAAAAAAAA", "PHC"),
    ("$argon2id$v=19$m=64,t=1,p=1 $c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA", "characters"),
];

#[test]
fn a_hash_that_is_damaged_or_unknown_or_means_harm_is_refused_and_differs_at_the_cost_of_one_hash() {
    let mut hasher = Hasher::default();
    for (stored, part) in REFUSED {
        let why = KnownHashes.accept(stored).expect_err(stored).to_string();
        let part = if *part == "costs" { "may cost" } else { part };
        assert!(why.starts_with("the password hash cannot be used: ") && why.contains(part), "{stored}: {why}");
        hasher.done.clear();
        assert_eq!(hasher.check("password", stored), Check::Differs, "{stored}");
        assert_eq!(hasher.done, ["argon2 as new"], "{stored}");
    }
}
