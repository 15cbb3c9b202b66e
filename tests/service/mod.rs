//! The built program as its users meet it: a process, real HTTP, files on disk.

mod first_run;
mod keys;
mod kills;
mod limits;
mod oauth;
mod observing;
mod proxies;
mod queries;
mod reasons;
mod rotation;
mod schemathesis;
mod secrets;
// It looks into /proc.
#[cfg(target_os = "linux")]
mod storm;
mod systems;
mod tracing;
mod verifiers;
mod wrong_input;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// A running `regrant serve` on a port of its own. Killed when dropped.
pub(crate) struct Service {
    child: Child,
    /// `http://127.0.0.1:PORT`
    pub(crate) base: String,
    home: PathBuf,
    pub(crate) http: reqwest::Client,
}

/// How to start one.
#[derive(Default, Clone)]
pub(crate) struct Start {
    /// A file below `config/`.
    pub(crate) config: Option<&'static str>,
    /// Where to listen; `None`: on this machine only.
    pub(crate) listen: Option<&'static str>,
    pub(crate) env: BTreeMap<&'static str, String>,
}

impl Start {
    pub(crate) fn with(mut self, key: &'static str, value: &str) -> Self {
        self.env.insert(key, value.to_owned());
        self
    }
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The program under test, built beside this test binary.
pub(crate) fn binary() -> PathBuf {
    let exe = std::env::current_exe().unwrap();
    let path = exe.ancestors().nth(2).unwrap().join("regrant");
    assert!(path.is_file(), "{} is missing: run tests/run, or `cargo build --workspace` first", path.display());
    path
}

pub(crate) fn command(home: &Path, start: &Start) -> Command {
    let mut command = Command::new(binary());
    if let Some(name) = start.config {
        command.arg("--config").arg(root().join("config").join(name));
    }
    command.arg("--listen").arg(start.listen.unwrap_or("127.0.0.1:0")).arg("--data").arg(home.join("data"));
    command.current_dir(home).envs(&start.env).stdin(Stdio::null());
    command
}

impl Service {
    /// Starts one with its files below `home`, and waits until it says that it is ready.
    pub(crate) fn start(home: &TempDir, start: &Start) -> Self {
        let home = home.path().to_owned();
        let out = home.join("out");
        let mut command = command(&home, start);
        let log = File::options().create(true).append(true).open(home.join("log")).unwrap();
        let child = command.stdout(File::create(&out).unwrap()).stderr(log).spawn().unwrap();
        let http = reqwest::Client::builder().timeout(Duration::from_secs(30)).no_proxy().build().unwrap();
        let mut service = Self { child, base: String::new(), home, http };
        let deadline = Instant::now() + Duration::from_mins(1);
        while service.base.is_empty() {
            let exited = service.child.try_wait().unwrap();
            assert!(exited.is_none() && Instant::now() < deadline, "not ready: {exited:?}\n{}", service.log());
            let printed = fs::read_to_string(&out).unwrap();
            if let Some(at) = printed.find("ready on http://").filter(|at| printed[*at..].contains('\n')) {
                let line = printed[at + "ready on ".len()..].lines().next().unwrap();
                line.trim_end_matches(['/', '.']).clone_into(&mut service.base);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        service
    }

    /// What it printed for its user.
    pub(crate) fn printed(&self) -> String {
        fs::read_to_string(self.home.join("out")).unwrap()
    }

    /// What it logged, over all starts.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.home.join("log")).unwrap_or_default()
    }

    /// The most memory that it has had so far, in bytes.
    #[cfg(target_os = "linux")]
    pub(crate) fn peak_memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// Its threads: name and nice value.
    #[cfg(target_os = "linux")]
    pub(crate) fn threads(&self) -> Vec<(String, i32)> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        // One may end meanwhile.
        let stats = tasks.filter_map(|task| fs::read_to_string(task.unwrap().path().join("stat")).ok());
        let thread = |stat: String| {
            let (name, fields) = stat.split_once('(').and_then(|(_, rest)| rest.rsplit_once(')')).unwrap();
            (name.to_owned(), fields.split_whitespace().nth(16).unwrap().parse().unwrap())
        };
        stats.map(thread).collect()
    }

    /// The embedded database.
    pub(crate) fn database(&self) -> PathBuf {
        database(&self.home)
    }

    /// SIGTERM, and waits.
    pub(crate) fn stops(&mut self) -> ExitStatus {
        let sent = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status().unwrap();
        assert!(sent.success());
        self.child.wait().unwrap()
    }

    /// SIGKILL, and waits.
    pub(crate) fn dies(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) async fn post(&self, path: &str, bearer: Option<&str>, body: Option<Value>) -> (u16, Value) {
        let mut request = self.http.post(format!("{}{path}", self.base));
        if let Some(bearer) = bearer {
            request = request.bearer_auth(bearer);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        answer(request).await
    }

    pub(crate) async fn get(&self, path: &str, bearer: &str) -> (u16, Value) {
        answer(self.http.get(format!("{}{path}", self.base)).bearer_auth(bearer)).await
    }

    /// Signs up; a user of this name may exist already.
    pub(crate) async fn signs_up(&self, email: &str) {
        let (status, body) = self.post("/api/users", None, Some(json!({"email": email, "password": PASSWORD}))).await;
        assert_eq!(status, 201, "{body}");
    }

    pub(crate) async fn signs_in(&self, email: &str) -> Value {
        let (status, body) = self.post("/api/login", None, Some(json!({"email": email, "password": PASSWORD}))).await;
        assert_eq!(status, 200, "{body}");
        body
    }

    pub(crate) async fn refreshes(&self, token: &str) -> (u16, Value) {
        self.post("/api/refresh", Some(token), None).await
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) const PASSWORD: &str = "the password of these tests";

/// The embedded database of a service whose files are below `home`.
pub(crate) fn database(home: &Path) -> PathBuf {
    let below = fs::read_dir(home.join("data")).unwrap().map(|entry| entry.unwrap().path());
    below
        .into_iter()
        .find(|path| path.extension().is_some_and(|e| e == "db" || e == "sqlite"))
        .expect("a database file")
}

/// Status, and the body as JSON (null if it is none).
pub(crate) async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default())
}

/// A string member.
pub(crate) fn member<'a>(body: &'a Value, name: &str) -> &'a str {
    body[name].as_str().unwrap_or_else(|| panic!("{name} is missing in {body}"))
}

/// Asks the embedded database with the `sqlx` that the service uses, read-only.
pub(crate) async fn query(database: &Path, sql: &'static str) -> Vec<Vec<Value>> {
    use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
    use sqlx::{Column as _, Row as _, TypeInfo as _, ValueRef as _};
    let options = SqliteConnectOptions::new().filename(database).read_only(true);
    let pool = SqlitePool::connect_with(options).await.unwrap();
    let rows = sqlx::query(sql).fetch_all(&pool).await.unwrap();
    pool.close().await;
    let cell = |row: &sqlx::sqlite::SqliteRow, i: usize| {
        let raw = row.try_get_raw(i).unwrap();
        match (raw.is_null(), raw.type_info().name()) {
            (true, _) => Value::Null,
            (_, "INTEGER") => json!(row.get::<i64, _>(i)),
            (_, "TEXT") => json!(row.get::<String, _>(i)),
            (_, kind) => panic!("{}: {kind}", row.column(i).name()),
        }
    };
    rows.iter().map(|row| (0..row.len()).map(|i| cell(row, i)).collect()).collect()
}

/// Every file below a folder.
pub(crate) fn files(below: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(below).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}
