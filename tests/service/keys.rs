//! Keys that change while the service runs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use regrant_domain::time::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::{JoinSet, block_in_place};

use super::verifiers::{Verdicts, Verifier};
use super::{PASSWORD, Service, Start, answer, command, member};
use crate::support::servers;

const LONG: Duration = Duration::from_mins(1);

/// A service that looks at its keys every hour: only SIGHUP makes it look.
fn patient() -> Start {
    Start::default().with("REGRANT__KEYS__CHECK_EVERY", "1h").with("REGRANT__KEYS__PUBLISH_BEFORE", "2h")
}

/// Runs `regrant keys …` on the folder of a home.
fn keys(home: &TempDir, start: &Start, args: &[&str]) -> String {
    let out = command(home.path(), start).arg("keys").args(args).output().unwrap();
    assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

fn manifest(home: &TempDir) -> PathBuf {
    home.path().join("data/keys.json")
}

/// Lets hours pass for all keys of a folder: their instants lie so much further back.
fn hours_pass(manifest: &Path, hours: i64) {
    let mut keys: Value = serde_json::from_str(&std::fs::read_to_string(manifest).unwrap()).unwrap();
    let kinds = ["signing", "token"].map(|kind| keys[kind].as_array_mut().map(std::mem::take).unwrap());
    for (kind, mut entries) in ["signing", "token"].into_iter().zip(kinds) {
        for name in ["created_at", "signs_from"] {
            for key in &mut entries {
                let at: Timestamp = key[name].as_str().unwrap().parse().unwrap();
                key[name] = Timestamp::from_millis(at.millis() - hours * 3_600_000).to_string().into();
            }
        }
        keys[kind] = entries.into();
    }
    std::fs::write(manifest, keys.to_string()).unwrap();
}

impl Service {
    fn hangs_up(&self) {
        let sent = Command::new("kill").arg("-HUP").arg(self.child.id().to_string()).status().unwrap();
        assert!(sent.success());
    }

    async fn published(&self) -> BTreeSet<String> {
        let body = answer(self.http.get(format!("{}/.well-known/jwks.json", self.base))).await.1;
        body["keys"].as_array().unwrap().iter().map(|key| member(key, "kid").to_owned()).collect()
    }

    /// Looks at its keys, and has seen it when there are so many.
    async fn publishes(&self, count: usize) -> BTreeSet<String> {
        self.hangs_up();
        let deadline = Instant::now() + LONG;
        loop {
            let keys = self.published().await;
            if keys.len() == count {
                return keys;
            }
            assert!(Instant::now() < deadline, "{keys:?}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Looks at its keys, and has seen it when the log says this once more.
    async fn says(&self, text: &str) {
        let count = |log: String| log.matches(text).count();
        let before = count(self.log());
        self.hangs_up();
        let deadline = Instant::now() + LONG;
        while count(self.log()) == before {
            assert!(Instant::now() < deadline, "{text}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn header(token: &str) -> Value {
    use base64::Engine as _;
    let head = token.split('.').next().unwrap();
    serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(head).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_published_before_it_signs_and_until_what_it_signed_has_expired() {
    let home = TempDir::new().unwrap();
    let start = patient();
    let service = Service::start(&home, &start);
    service.signs_up("ada@example.org").await;
    let first = service.signs_in("ada@example.org").await;
    let first_kid = header(member(&first, "token"))["kid"].as_str().unwrap().to_owned();
    keys(&home, &start, &["rotate"]);
    keys(&home, &start, &["rotate", "token"]);
    let both = service.publishes(2).await;
    assert!(both.contains(&first_kid));
    let refreshed = service.refreshes(member(&first, "refresh_token")).await.1;
    assert_eq!(header(member(&refreshed, "token"))["kid"], json!(first_kid), "the new one does not sign yet");

    // The new one signs; the old one is still good.
    hours_pass(&manifest(&home), 2);
    service.says("keys have changed").await;
    let second = service.refreshes(member(&refreshed, "refresh_token")).await.1;
    let second_kid = header(member(&second, "token"))["kid"].as_str().unwrap().to_owned();
    assert!(second_kid != first_kid && both.contains(&second_kid));
    assert_eq!(service.published().await, both);
    assert_eq!(service.get("/api/me", member(&refreshed, "token")).await.0, 200);
    assert_eq!(service.get("/api/me", member(&second, "token")).await.0, 200);
    // A lost answer, asked for again: the spent token is of the old key, its successor of the new one.
    let (status, again) = service.refreshes(member(&refreshed, "refresh_token")).await;
    assert_eq!((status, &again["refresh_token"]), (200, &second["refresh_token"]));

    // An hour and some minutes later, what the old one signed has expired.
    hours_pass(&manifest(&home), 4);
    assert_eq!(service.publishes(1).await, BTreeSet::from([second_kid]));
    let (status, body) = service.get("/api/me", member(&refreshed, "token")).await;
    assert_eq!((status, &body["code"]), (401, &json!("invalid_token")));
    assert_eq!(service.refreshes(member(&second, "refresh_token")).await.0, 200, "nobody is signed out");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_folder_never_takes_the_place_of_the_keys_in_use() {
    let home = TempDir::new().unwrap();
    let start = patient();
    let service = Service::start(&home, &start);
    service.signs_up("ada@example.org").await;
    let mut login = service.signs_in("ada@example.org").await;
    keys(&home, &start, &["rotate"]);
    keys(&home, &start, &["rotate", "token"]);
    let both = service.publishes(2).await;
    let good = std::fs::read_to_string(manifest(&home)).unwrap();
    let listed: Value = serde_json::from_str(&good).unwrap();
    let file = home.path().join("data").join(listed["token"][1]["file"].as_str().unwrap());
    let key = std::fs::read(&file).unwrap();

    let trouble = "the key folder cannot be used";
    std::fs::write(manifest(&home), &good[..good.len() / 2]).unwrap();
    service.says(trouble).await;
    std::fs::write(manifest(&home), &good).unwrap();
    service.says("can be used again").await;
    std::fs::remove_file(manifest(&home)).unwrap();
    service.says("the key manifest is gone").await;
    assert_eq!(service.published().await, both);
    std::fs::write(manifest(&home), &good).unwrap();
    service.says("can be used again").await;
    std::fs::write(&file, &key[..key.len() - 20]).unwrap();
    service.says(trouble).await;
    std::fs::remove_file(&file).unwrap();
    service.says(trouble).await;
    assert_eq!(service.published().await, both);
    login = service.refreshes(member(&login, "refresh_token")).await.1;
    assert_eq!(service.get("/api/me", member(&login, "token")).await.0, 200);
    let before = service.log().matches(trouble).count();
    service.says("SIGHUP").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(service.log().matches(trouble).count(), before, "told when it begins, not each time");
    std::fs::write(&file, &key).unwrap();
    service.says("can be used again").await;
    assert_eq!(service.refreshes(member(&login, "refresh_token")).await.0, 200);
    assert!(!service.log().contains("PRIVATE KEY"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_signing_key_makes_clients_refresh_and_a_revoked_token_key_signs_everyone_out() {
    let home = TempDir::new().unwrap();
    let start = patient();
    let service = Service::start(&home, &start);
    service.signs_up("ada@example.org").await;
    let login = service.signs_in("ada@example.org").await;
    let old = service.published().await;
    keys(&home, &start, &["rotate", "--now", "--revoke-old", "--yes"]);
    service.says("keys have changed").await;
    assert!(service.published().await.is_disjoint(&old));
    assert_eq!(service.get("/api/me", member(&login, "token")).await.1["code"], json!("invalid_token"));
    let (status, next) = service.refreshes(member(&login, "refresh_token")).await;
    assert_eq!(status, 200, "{next}");
    assert_eq!(service.get("/api/me", member(&next, "token")).await.0, 200);

    keys(&home, &start, &["rotate", "token", "--now", "--revoke-old", "--yes"]);
    service.says("keys have changed").await;
    let (status, body) = service.refreshes(member(&next, "refresh_token")).await;
    assert_eq!((status, &body["code"]), (401, &json!("invalid_token")));
    let again = service.signs_in("ada@example.org").await;
    assert_eq!(service.refreshes(member(&again, "refresh_token")).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_another_algorithm_are_good_until_they_expire_and_a_shared_secret_rotates_unpublished() {
    let home = TempDir::new().unwrap();
    let start = patient();
    let service = Service::start(&home, &start);
    service.signs_up("ada@example.org").await;
    let login = service.signs_in("ada@example.org").await;
    let mut tokens = vec![member(&login, "token").to_owned()];
    let mut refresh = member(&login, "refresh_token").to_owned();
    for (algorithm, published) in [("EdDSA", 2), ("HS256", 2), ("RS256", 3)] {
        let other = start.clone().with("REGRANT__ACCESS_TOKEN__ALGORITHM", algorithm);
        keys(&home, &other, &["rotate", "--now"]);
        service.says("keys have changed").await;
        assert_eq!(service.published().await.len(), published, "{algorithm}");
        let next = service.refreshes(&refresh).await.1;
        assert_eq!(header(member(&next, "token"))["alg"], json!(algorithm));
        tokens.push(member(&next, "token").to_owned());
        member(&next, "refresh_token").clone_into(&mut refresh);
        for token in &tokens {
            assert_eq!(service.get("/api/me", token).await.0, 200, "{}", header(token));
        }
    }
    assert!(service.log().contains("still signed with another algorithm"), "ES256 was configured");
}

#[tokio::test(flavor = "multi_thread")]
async fn published_keys_have_a_tag_a_type_and_an_age_that_fits() {
    let home = TempDir::new().unwrap();
    let start = Start::default().with("REGRANT__KEYS__PUBLISH_BEFORE", "10m");
    let service = Service::start(&home, &start);
    let url = format!("{}/.well-known/jwks.json", service.base);
    let head = |answer: &reqwest::Response, name: &str| answer.headers()[name].to_str().unwrap().to_owned();
    let first = service.http.get(&url).send().await.unwrap();
    assert_eq!(head(&first, "content-type"), "application/jwk-set+json");
    assert_eq!(head(&first, "cache-control"), "public, max-age=120");
    let tag = head(&first, "etag");
    let same = service.http.get(&url).header("If-None-Match", &tag).send().await.unwrap();
    assert_eq!(
        (same.status().as_u16(), head(&same, "etag"), head(&same, "cache-control")),
        (304, tag.clone(), "public, max-age=120".into())
    );
    assert_eq!(same.text().await.unwrap(), "");
    keys(&home, &start, &["rotate"]);
    service.publishes(2).await;
    let other = service.http.get(&url).header("If-None-Match", &tag).send().await.unwrap();
    assert_eq!(other.status().as_u16(), 200);
    assert_ne!(head(&other, "etag"), tag);
}

/// For how long a key is published before it signs; others may keep the keys for a fifth of it.
const PUBLISHED: Duration = Duration::from_secs(10);
const KEPT: u32 = 2;
const CLIENTS: usize = 6;

/// Two processes on one store and one key folder.
struct Pair {
    services: [Service; 2],
    start: Start,
    home: TempDir,
    _other: TempDir,
}

impl Pair {
    async fn new() -> Self {
        let (home, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let start = Start::default()
            .with("REGRANT__KEYS__DIR", home.path().join("data").to_str().unwrap())
            .with("REGRANT__KEYS__CHECK_EVERY", "1s")
            .with("REGRANT__KEYS__PUBLISH_BEFORE", "10s")
            .with("REGRANT__STORE__KIND", "postgres")
            .with("REGRANT__STORE__URL", &servers::postgres::fresh_database().await);
        let services = block_in_place(|| [&home, &other].map(|home| Service::start(home, &start)));
        services[0].signs_up("ada@example.org").await;
        Self { services, start, home, _other: other }
    }

    /// `for_all` this time, clients sign in and refresh at either process, and show every access token to the other one and
    /// to all verifiers; meanwhile something happens. Answers how many tokens there were.
    async fn under_load(
        &self,
        verifiers: &[Verifier],
        for_all: Duration,
        meanwhile: impl Future<Output = ()>,
    ) -> usize {
        let (over, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut clients = JoinSet::new();
        for at in 0..CLIENTS {
            let client = Client {
                http: self.services[0].http.clone(),
                bases: [0, 1].map(|turn| self.services[(at + turn) % 2].base.clone()),
                verifiers: verifiers.iter().map(Verifier::tokens).collect(),
            };
            let (over, count) = (over.clone(), count.clone());
            clients.spawn(async move {
                while !over.load(Ordering::SeqCst) {
                    client.one_session(&over, &count).await;
                }
            });
        }
        tokio::join!(tokio::time::sleep(for_all), meanwhile);
        over.store(true, Ordering::SeqCst);
        while let Some(ended) = clients.join_next().await {
            ended.unwrap();
        }
        count.load(Ordering::SeqCst)
    }
}

struct Client {
    http: reqwest::Client,
    bases: [String; 2],
    verifiers: Vec<Sender<String>>,
}

impl Client {
    async fn one_session(&self, over: &AtomicBool, count: &AtomicUsize) {
        let login = self.http.post(format!("{}/api/login", self.bases[0]));
        let (status, mut tokens) = answer(login.json(&json!({"email": "ada@example.org", "password": PASSWORD}))).await;
        assert_eq!(status, 200, "{tokens}");
        for turn in 0..40 {
            self.shows(member(&tokens, "token"), turn).await;
            count.fetch_add(1, Ordering::SeqCst);
            if over.load(Ordering::SeqCst) {
                return;
            }
            let refresh = self.http.post(format!("{}/api/refresh", self.bases[turn % 2]));
            let (status, next) = answer(refresh.bearer_auth(member(&tokens, "refresh_token"))).await;
            assert_eq!(status, 200, "{next}");
            tokens = next;
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
    }

    /// To the process that did not make it, and to everybody else.
    async fn shows(&self, token: &str, turn: usize) {
        for verifier in &self.verifiers {
            verifier.send(token.to_owned()).unwrap();
        }
        let at = &self.bases[turn % 2];
        let (status, body) = answer(self.http.get(format!("{at}/api/me")).bearer_auth(token)).await;
        assert_eq!(status, 200, "{body}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_notices_a_rotation_under_load() {
    if !servers::is_wanted("postgres") {
        return;
    }
    let pair = Pair::new().await;
    let [first, second] = [0, 1].map(|at| pair.services[at].base.as_str());
    let verifiers = [
        Verifier::pyjwt(first, KEPT),
        Verifier::jose(second, KEPT),
        Verifier::polling(first, KEPT),
        Verifier::polling(second, KEPT),
    ];
    let rotation = async {
        tokio::time::sleep(Duration::from_secs(4)).await;
        block_in_place(|| {
            keys(&pair.home, &pair.start, &["rotate"]);
            keys(&pair.home, &pair.start, &["rotate", "token"]);
        });
    };
    let count = pair.under_load(&verifiers, PUBLISHED + Duration::from_secs(12), rotation).await;
    for verifier in verifiers {
        let name = verifier.name;
        let Verdicts { good, wrong } = block_in_place(|| verifier.ends());
        println!("{name}: {good:?} good, {} wrong, of {count}", wrong.len());
        assert!(wrong.is_empty(), "{name}: {wrong:?}");
        assert_eq!(good.values().sum::<usize>(), count, "{name} checked every token");
        assert!(good.len() == 2 && good.values().all(|tokens| *tokens > 20), "{name}: {good:?}");
    }
}

/// That the test above can fail: what it shows is not shown by a key that signs at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_key_that_signs_at_once_is_noticed_by_who_keeps_the_published_keys() {
    let home = TempDir::new().unwrap();
    let start = patient();
    let service = Service::start(&home, &start);
    service.signs_up("ada@example.org").await;
    // They have fetched the keys, and will not do so again for a while.
    let verifiers = [Verifier::jose(&service.base, 600), Verifier::polling(&service.base, 600)];
    let asks = Verifier::pyjwt(&service.base, 600);
    keys(&home, &start, &["rotate", "--now"]);
    service.publishes(2).await;
    let login = service.signs_in("ada@example.org").await;
    for verifier in verifiers.into_iter().chain([asks]) {
        verifier.tokens().send(member(&login, "token").to_owned()).unwrap();
        let name = verifier.name;
        let Verdicts { good, wrong } = block_in_place(|| verifier.ends());
        println!("{name}: {good:?} {wrong:?}");
        assert_eq!(wrong.len(), usize::from(name != "PyJWKClient"), "{name}: {good:?} {wrong:?}");
    }
}
