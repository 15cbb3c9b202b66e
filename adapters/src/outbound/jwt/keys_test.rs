//! Key files: what is read, what is refused and how it is told. Every key here was made for these tests.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::key::thumbprint;
use super::tests::{KEYS, NOW, grant};
use super::*;

/// `openssl ecparam -name prime256v1 -genkey`
const SEC1_P256: &str = "\
-----BEGIN EC PARAMETERS-----
BggqhkjOPQMBBw==
-----END EC PARAMETERS-----
-----BEGIN EC PRIVATE KEY-----
MHcCAQEEINv4rar5jVo4JOFiltQv6sAutLlX5q4k3upZO8v5zOzroAoGCCqGSM49
AwEHoUQDQgAE1PZXTvBcS6Ac6MQjD03kYVpwCF/VJdkUm56cDgqW5nOz6xnMcS5L
TQRbXZdOS2BeoMU1NDvAcCnrStpPRUH8Lg==
-----END EC PRIVATE KEY-----
";

/// `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`
const PKCS8_P256: &str = "\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgrHg80dxJIfIU2GYR
k3Em61/JVltl6v2u7wBSCcaOJaahRANCAASQ7CgTztO3E/b3FWD0AJCx2hko1Sdu
pebITQrCwxrTM3Nfxw1TIgAakFO5rzVlLoQb3AiY1TcKAZfjUezyKlAZ
-----END PRIVATE KEY-----
";

/// `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384`
const PKCS8_P384: &str = "\
-----BEGIN PRIVATE KEY-----
MIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDCB/MUEpWqF3IXwsMdF
gyfNPE8Ohkf6MUeL8db/mqlOWPe4zn+ExBtuwGpxPoMnJDOhZANiAATWGKMZNZpU
/mwpPjNj5tg+E2tvJJWTK7ThOZVFhRMZRwEcZU8r6uA4VweoA7OH7dm6r2s6iJ+T
bnaHQqrZ+SQgF86gkFaexr+X+GEDuZFUA8zoTkH/0PupxBNcJEvfp3E=
-----END PRIVATE KEY-----
";

/// `openssl genpkey -algorithm ed448`
const PKCS8_ED448: &str = "\
-----BEGIN PRIVATE KEY-----
MEcCAQAwBQYDK2VxBDsEOSmZ9qDcBWt4PpthkMa7940mgW2JiCOxsFgveflerQQb
liL6H92f9BJDUp7L+u26fyQEc1+DRuBCPQ==
-----END PRIVATE KEY-----
";

/// `openssl genrsa -traditional 1024`
const PKCS1_1024: &str = "\
-----BEGIN RSA PRIVATE KEY-----
MIICXQIBAAKBgQDFgQWFB3ufuYk8I/TaRN0PTBZ6jyike4IMC8d42tgspUwOxfwM
uByrwOWsQM4oq9zhksET4C6P/ViR66eC/pYASxiEiAcgmjxGKlxq01/JDGIJgNQZ
iAwK6q1sXEneVTgigJhaBXGVfSxdLdWI43LnW/O/o4Gi7xrN8tgfHnHZdQIDAQAB
AoGBAIslJxpd9z7EnGb+fhb4xTVtybh2+49GZIzQD6yZogtyOW9/FOBxJeHreOQu
lBAbZPaXSegS3TscpjXH7LBhZJN68YGrjJ4ABfKXuXzHdk52bXkvQSgZzyLUbWiT
dVXMEvrRHxdhnjuZ2SYhDtApv/gqciscAZtJmxXGecXbBpRRAkEA7oEJqzoBKTEz
qVKpAzh4i4nQj0cTuuPW3ELx5Uf1rn5N1J/Y0yry8/MwYlId1okfvqUDo0cD259z
War4onKoEwJBANP+Bv/DYMviZ9Xj9owHKv8PRS6G+L6Lx11YjZPUBALTm5Agd28l
Omj+oBX7TivwfTGv7oKb8S7nHrWRD2SHuVcCQDqTtqw3MtHLI8USaDBCTlj3ICIQ
cugTzVGLn52QbubMXpE6MSasBb+kmt2LDYkDZKiOHrabWnc2Uj5Tn31Ga8ECQQDL
gE+3thZ1oiGLcgp64Wak8kO3JloikIwRT7CY+C3hiMEM2h3M1C/+GnASqeugwntr
9zc+qfQc0kDoixf7qU6BAkABz2Yg2QL1hJHU2Uj0aXEP+jgzaOhEJlTZJnLHAk8i
UZBMOAn2nFImjChKd4DzAvcQr1hTQ6NxIH1WeX7KhFK6
-----END RSA PRIVATE KEY-----
";

/// The public half of some key.
const PUBLIC: &str = "\
-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAJ2nXDUClIu+j56zl9cvS/eJAI7sDLOi1vMo2HusX5Y0=
-----END PUBLIC KEY-----
";

fn refused(algorithm: Algorithm, text: &str) -> Found {
    SigningKey::from_file_contents(algorithm, text).expect_err("refused").found
}

fn generated(algorithm: Algorithm) -> &'static str {
    KEYS.iter().find(|(one, _)| *one == algorithm).map(|(_, text)| text.as_str()).expect("a key of each")
}

fn works(key: SigningKey) {
    let options = JwtOptions { issuer: "i".into(), audience: "a".into() };
    let tokens = JwtAccessTokens::new(options, key, vec![]);
    let token = tokens.issue(&grant()).expect("issued");
    assert!(tokens.verify(token.text.expose(), NOW).is_ok());
}

#[test]
fn keys_of_openssl_are_read() {
    for (algorithm, text) in [
        (Algorithm::Es256, SEC1_P256.to_owned()),
        (Algorithm::Es256, PKCS8_P256.to_owned()),
        (Algorithm::Es256, PKCS8_P256.replace('\n', "\r\n")),
        (Algorithm::Es256, format!("a comment\n\n{PUBLIC}{PKCS8_P256}\nanother")),
    ] {
        works(SigningKey::from_file_contents(algorithm, &text).expect("a key"));
    }
}

#[test]
fn an_rsa_key_in_the_form_of_pkcs_1_is_the_same_key() {
    let pkcs8 = generated(Algorithm::Rs256);
    let der = pem::read(pkcs8).expect("a private key").der;
    // PKCS#8 wraps the PKCS#1 form in 26 bytes: version, algorithm, and the head of an octet string.
    let pkcs1 =
        format!("-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----\n", STANDARD.encode(&der[26..]));
    let (a, b) =
        [pkcs8, &pkcs1].map(|text| SigningKey::from_file_contents(Algorithm::Rs256, text).expect("a key")).into();
    assert_eq!(a.verifying_key().public_jwk(), b.verifying_key().public_jwk());
    works(b);
}

#[test]
fn the_wrong_key_is_told_apart() {
    use Algorithm::{EdDsa, Es256, Hs256, Rs256};
    let encrypted = PKCS8_P256.replace("PRIVATE", "ENCRYPTED PRIVATE");
    let legacy = SEC1_P256.replace("KEY-----\nMHc", "KEY-----\nProc-Type: 4,ENCRYPTED\n\nMHc");
    let zeros = STANDARD.encode([0; 40]);
    for (algorithm, text, found) in [
        (Es256, PKCS8_P384, Found::Ec("P-384")),
        (EdDsa, PKCS8_P256, Found::Ec("P-256")),
        (EdDsa, PKCS8_ED448, Found::Other),
        (Rs256, SEC1_P256, Found::Ec("P-256")),
        (Rs256, PKCS1_1024, Found::Rsa(1024)),
        (Es256, PKCS1_1024, Found::Rsa(1024)),
        (Es256, generated(Rs256), Found::Rsa(2048)),
        (Rs256, generated(EdDsa), Found::Ed25519),
        (Es256, PUBLIC, Found::Public),
        (EdDsa, PUBLIC, Found::Public),
        (Es256, &encrypted, Found::Encrypted),
        (Es256, &legacy, Found::Encrypted),
        (Es256, &PKCS8_P256.replace("PRIVATE", "OPENSSH PRIVATE"), Found::OpenSsh),
        (Es256, "", Found::NoPem),
        (Es256, generated(Hs256), Found::NoPem),
        (Es256, &PKCS8_P256[..200], Found::DamagedPem),
        (Es256, "-----BEGIN ", Found::DamagedPem),
        (Es256, &PKCS8_P256.replace("MIGH", "M"), Found::DamagedPem),
        (Es256, &format!("-----BEGIN PRIVATE KEY-----{zeros}-----END PRIVATE KEY-----"), Found::DamagedPem),
        (Hs256, PKCS8_P256, Found::Pem),
        (Hs256, PUBLIC, Found::Pem),
    ] {
        assert_eq!(refused(algorithm, text), found, "{algorithm}: {}", text.get(..60).unwrap_or(text));
    }
    // The private scalar with one bit changed no longer fits the public key.
    assert_eq!(refused(Es256, &PKCS8_P256.replace("rHg80", "rXg80")), Found::Inconsistent);
}

#[test]
fn errors_say_what_was_expected_and_what_was_found() {
    let error = SigningKey::from_file_contents(Algorithm::Rs256, PKCS1_1024).expect_err("too short");
    assert_eq!(
        error.to_string(),
        "RS256 needs an RSA private key of 2048 to 8192 bits in PEM form (PKCS#8 or PKCS#1); \
         found an RSA key of 1024 bits"
    );
    let error = SigningKey::from_file_contents(Algorithm::Hs256, "c0ffee").expect_err("too short");
    assert_eq!(error.to_string(), "HS256 needs at least 32 random bytes as hex or base64; found 3 bytes");
}

#[test]
fn a_secret_is_hex_or_base64_of_at_least_thirty_two_bytes() {
    let bytes: Vec<u8> = (0..32).map(|i| 0xff - i * 7).collect();
    let kid = |text: &str| {
        let key = SigningKey::from_file_contents(Algorithm::Hs256, text).expect("a key");
        let kid = key.verifying_key().kid().to_owned();
        works(key);
        kid
    };
    let spellings = [
        hex::encode(&bytes),
        hex::encode_upper(&bytes),
        format!("  {}\r\n", hex::encode(&bytes)),
        STANDARD.encode(&bytes),
        URL_SAFE_NO_PAD.encode(&bytes),
    ];
    assert!(spellings.iter().all(|text| kid(text) == kid(&spellings[0])));
    assert_ne!(kid(&STANDARD.encode([1; 33])), kid(&spellings[0]));
    for (text, found) in [
        (String::new(), Found::Bytes(0)),
        (hex::encode(&bytes[..31]), Found::Bytes(31)),
        (STANDARD.encode(&bytes[..31]), Found::Bytes(31)),
        ("ab".repeat(40)[1..].to_owned(), Found::NotText),
        ("correct horse battery staple, and then some more".into(), Found::NotText),
        ("pässwörd".repeat(8), Found::NotText),
    ] {
        assert_eq!(refused(Algorithm::Hs256, &text), found, "{text}");
    }
}

#[test]
fn thumbprints_are_those_of_rfc_7638_and_rfc_8037() {
    // RFC 7638 §3.1
    let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCi\
             FV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnY\
             b9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0\
             Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
    let jwk = serde_json::json!({ "kty": "RSA", "n": n, "e": "AQAB" });
    assert_eq!(thumbprint(&jwk), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    // RFC 8037 appendices A.1 to A.3
    let seed = URL_SAFE_NO_PAD.decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").expect("base64url");
    let der = [&hex::decode("302e020100300506032b657004220420").expect("hex"), &*seed].concat();
    let key = SigningKey::from_file_contents(Algorithm::EdDsa, &pem::write(&der)).expect("a key");
    let expected = serde_json::json!({
        "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        "use": "sig", "alg": "EdDSA", "kid": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
    });
    assert_eq!(key.verifying_key().public_jwk(), Some(expected));
}

#[test]
fn names_of_algorithms_come_back() {
    for algorithm in Algorithm::ALL {
        assert_eq!(algorithm.name().parse(), Ok(algorithm));
    }
    for name in ["none", "es256", "", "HS512"] {
        assert_eq!(name.parse::<Algorithm>(), Err(UnknownAlgorithm));
    }
}
