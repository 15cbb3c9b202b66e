//! Whoever has a dump has no token.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use regrant_domain::ports::{NewSession, RotateOutcome, Rotation, SessionRepository as _, Spends, UserRepository as _};
use regrant_domain::refresh_token::{Generation, Held, LookupKey, RetryKey, Spent, TokenState};
use regrant_domain::secret::Secret;

use super::connect;
use crate::contract::bench::{a_session, a_user, minutes, random};
use crate::support::servers::{self, postgres::Postgres};

fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    let texts = [
        hex::encode(secret),
        hex::encode_upper(secret),
        // Any alignment within a longer text: without the characters that neighbours would change.
        STANDARD.encode(secret),
        STANDARD_NO_PAD.encode(&secret[..30]),
        URL_SAFE.encode(secret),
        URL_SAFE_NO_PAD.encode(&secret[..30]),
    ];
    texts.into_iter().map(String::into_bytes).chain([secret.to_vec(), secret[..16].to_vec()]).collect()
}

/// Whether any of the needles (of 8 bytes or more) is in there: one pass, by their first 8 bytes.
fn holds_any(dump: &[u8], needles: &[Vec<u8>]) -> bool {
    let starts: HashSet<&[u8]> = needles.iter().map(|needle| &needle[..8]).collect();
    dump.windows(8).enumerate().any(|(at, window)| {
        !window.starts_with(&[0, 0])
            && starts.contains(window)
            && needles.iter().any(|needle| dump[at..].starts_with(needle))
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_a_dump_nor_the_servers_files_contain_a_token_or_a_retry_key() {
    if !servers::is_wanted("postgres") {
        return;
    }
    let server = Postgres::start();
    let url = server.url("postgres");
    let store = connect(&url, 2).await;
    let user = a_user();
    store.add(user.clone()).await.unwrap();
    let mut secrets = Vec::new();
    let mut hashes = Vec::new();
    for bare in [false, true] {
        let first: [u8; 32] = random();
        let hash = Secret::new(first.to_vec()).hash();
        secrets.push(first.to_vec());
        let mut new: NewSession = a_session(user.id);
        new.token = TokenState { held: Held { generation: Generation(0), hash }, ..new.token };
        if bare {
            new.lookup = LookupKey::of_secret(&hash);
        }
        store.open(new.clone()).await.unwrap();
        let mut from = new.token.held;
        for generation in 1..=6 {
            let next: [u8; 32] = random();
            secrets.push(next.to_vec());
            let to = Held { generation: Generation(generation), hash: Secret::new(next.to_vec()).hash() };
            let key = hex::encode(random::<32>());
            secrets.push(key.clone().into_bytes());
            let retry_key = Some(RetryKey::parse(&key).unwrap().hash_for(new.session.id));
            let now = minutes(u64::from(generation));
            let spends = Spends::Append(Spent { generation: from.generation, at: now, retry_key });
            let lookup = new.lookup.clone();
            let step = Rotation { lookup, from, to, spends, now, idle_expires_at: now, access: None };
            let step = Rotation { idle_expires_at: new.session.ends_at, ..step };
            assert!(matches!(store.rotate(step).await.unwrap(), RotateOutcome::Rotated(_)));
            from = to;
        }
        hashes.push(hex::encode(from.hash.as_bytes()));
    }
    store.close().await;
    let dumped = server.program("pg_dump").arg(&url).output().expect("pg_dump comes with the server");
    assert!(dumped.status.success(), "{}", String::from_utf8_lossy(&dumped.stderr));
    let mut content = dumped.stdout;
    for hash in &hashes {
        assert!(holds_any(&content, &[hash.clone().into_bytes()]), "it is a dump of what was stored");
    }
    server.stop();
    let tables_and_log = [server.data().join("base"), server.data().join("pg_wal"), server.data().join("../log")];
    for path in tables_and_log {
        read_all(&path, &mut content);
    }
    let needles: Vec<_> = secrets.iter().flat_map(|secret| forms(secret)).collect();
    assert!(!holds_any(&content, &needles), "a secret was found");
}

fn read_all(path: &std::path::Path, into: &mut Vec<u8>) {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            read_all(&entry.unwrap().path(), into);
        }
    } else {
        into.extend(std::fs::read(path).unwrap());
    }
}
