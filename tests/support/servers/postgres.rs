//! A Postgres of the tests' own, or the one that `REGRANT_TEST_POSTGRES_URL` names.
//!
//! The server is stopped and its folder removed when the test process ends, however it ends: a small guardian waits at a
//! pipe that only the test process holds open.

use std::fs::File;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

/// Stops the server of the folder `$1` and removes the folder, once nobody holds its standard input open any more.
const GUARDIAN: &str = r#"
cat >/dev/null
pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null)
if [ -n "$pid" ]; then
    kill -CONT "$pid" $(pgrep -P "$pid") 2>/dev/null
    kill -INT "$pid" 2>/dev/null
    tries=0
    while kill -0 "$pid" 2>/dev/null && [ "$tries" -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
    kill -QUIT "$pid" 2>/dev/null
fi
rm -rf "$1"
"#;

/// A server that is the test's to stop, pause and set.
pub(crate) struct Postgres {
    folder: PathBuf,
    binaries: PathBuf,
    user: Option<&'static str>,
    port: u16,
    process: Mutex<Option<Child>>,
    /// While this is open, the guardian waits.
    _lifeline: ChildStdin,
}

/// The server that all tests share which do not harm it, unless the environment names another.
static SHARED: OnceLock<Postgres> = OnceLock::new();

/// The URL of a database on the shared server that cases may use side by side.
pub(crate) async fn shared_database() -> String {
    static MADE: tokio::sync::OnceCell<()> = tokio::sync::OnceCell::const_new();
    MADE.get_or_init(|| create_database("regrant_test")).await;
    url_of("regrant_test")
}

/// The URL of an empty database of its own on the shared server.
pub(crate) async fn fresh_database() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("regrant_test_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    create_database(&name).await;
    url_of(&name)
}

async fn create_database(name: &str) {
    let mut connection = PgConnection::connect(&url_of("postgres")).await.expect("the Postgres of the tests answers");
    connection.execute(AssertSqlSafe(format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))).await.unwrap();
    let create = format!("CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0");
    connection.execute(AssertSqlSafe(create)).await.unwrap();
    connection.close().await.unwrap();
}

/// The URL of a database on the shared server.
fn url_of(database: &str) -> String {
    let named = std::env::var("REGRANT_TEST_POSTGRES_URL").ok().filter(|url| !url.is_empty());
    let Some(named) = named else { return SHARED.get_or_init(Postgres::start).url(database) };
    let (before, parameters) = named.split_once('?').unwrap_or((&named, ""));
    let server = before.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
    format!("{server}/{database}?{parameters}")
}

impl Postgres {
    /// A new server.
    pub(crate) fn start() -> Self {
        let binaries = binaries();
        // Postgres refuses to run as root.
        let user = is_root().then(|| if exists("postgres") { "postgres" } else { "nobody" });
        let folder = tempfile::Builder::new().prefix("regrant-postgres-").tempdir().unwrap().keep();
        let lifeline = guard(&folder);
        if let Some(user) = user {
            run(Command::new("chown").arg(user).arg(&folder));
        }
        let initdb = ["--no-sync", "--auth=trust", "--username=regrant", "--encoding=UTF8", "--locale=C"];
        run(as_user(user, &binaries.join("initdb")).args(initdb).arg("-D").arg(folder.join("data")));
        let server = Self { folder, binaries, user, port: free_port(), process: Mutex::new(None), _lifeline: lifeline };
        server.resume_from_stop();
        server
    }

    /// The URL of one of its databases.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://regrant@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    /// Starts it, or starts it again.
    pub(crate) fn resume_from_stop(&self) {
        let log = File::options().create(true).append(true).open(self.folder.join("log")).unwrap();
        let settings = [
            "listen_addresses=127.0.0.1".to_owned(),
            format!("port={}", self.port),
            format!("unix_socket_directories={}", self.folder.display()),
            "shared_buffers=32MB".into(),
            "max_connections=400".into(),
            "deadlock_timeout=200ms".into(),
            "autovacuum_naptime=5s".into(),
        ];
        let mut postgres = as_user(self.user, &self.binaries.join("postgres"));
        postgres.arg("-D").arg(self.folder.join("data")).process_group(0).stdin(Stdio::null());
        postgres.args(settings.iter().flat_map(|setting| ["-c", setting]));
        postgres.stdout(log.try_clone().unwrap()).stderr(log);
        *self.process.lock().unwrap() = Some(postgres.spawn().expect("Postgres starts"));
        self.wait_until_ready();
    }

    fn wait_until_ready(&self) {
        let deadline = Instant::now() + Duration::from_secs(30);
        let ready = || {
            let status = std::fs::read_to_string(self.folder.join("data/postmaster.pid")).unwrap_or_default();
            status.lines().nth(7).is_some_and(|line| line.trim() == "ready")
        };
        while !ready() {
            let log = || std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            let ended = self.process.lock().unwrap().as_mut().is_some_and(|p| p.try_wait().unwrap().is_some());
            assert!(!ended && Instant::now() < deadline, "Postgres did not start:\n{}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Stops it, as an operator would who does not wait for clients.
    pub(crate) fn stop(&self) {
        self.signal("-INT", false);
        if let Some(mut process) = self.process.lock().unwrap().take() {
            process.wait().unwrap();
        }
    }

    /// Kills it outright, and waits until nothing of it is left.
    pub(crate) fn kill(&self) {
        let pids = self.pids();
        self.signal("-KILL", true);
        if let Some(mut process) = self.process.lock().unwrap().take() {
            process.wait().unwrap();
        }
        let is_there =
            |pid: &String| Path::new("/proc").join(pid).join("fd").read_dir().is_ok_and(|mut fd| fd.next().is_some());
        while pids.iter().any(is_there) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The processes of the server, the first of all first.
    pub(crate) fn pids(&self) -> Vec<String> {
        let file = std::fs::read_to_string(self.folder.join("data/postmaster.pid")).expect("it runs");
        let first = file.lines().next().unwrap().trim().to_owned();
        let listed = Command::new("pgrep").args(["-P", &first]).output().unwrap();
        let children = String::from_utf8(listed.stdout).unwrap();
        std::iter::once(first).chain(children.split_whitespace().map(str::to_owned)).collect()
    }

    /// Its port on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Makes it fall silent: connections stay open, nothing answers.
    pub(crate) fn pause(&self) {
        self.signal("-STOP", true);
    }

    /// Lets it go on.
    pub(crate) fn unpause(&self) {
        self.signal("-CONT", true);
        // `runuser` stops itself when its child is stopped, and would never see it end.
        let starter = self.process.lock().unwrap().as_ref().map(|process| process.id().to_string());
        if let Some(starter) = starter {
            let _ = Command::new("kill").args(["-CONT", &starter]).status().unwrap();
        }
    }

    fn signal(&self, signal: &str, children: bool) {
        let pids = self.pids();
        let mut kill = Command::new("kill");
        kill.arg(signal).args(&pids[..if children { pids.len() } else { 1 }]).stderr(Stdio::null());
        // A child may have gone meanwhile; that the server itself is there was just read.
        let _ = kill.status().unwrap();
    }

    /// A program that comes with the server, to be run against it.
    pub(crate) fn program(&self, name: &str) -> Command {
        Command::new(self.binaries.join(name))
    }

    /// Where it keeps its files.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // The guardian does the rest when the lifeline closes; this only keeps no zombie until then.
        if let Some(mut process) = self.process.lock().unwrap().take() {
            std::thread::spawn(move || process.wait());
        }
    }
}

/// Where `initdb` and `postgres` are.
fn binaries() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    for (parent, below) in [
        ("/usr/lib/postgresql", "bin"),
        ("/usr/pgsql", "bin"),
        ("/opt/homebrew/opt", "bin"),
        ("/usr/local/opt", "bin"),
        ("/home/linuxbrew/.linuxbrew/opt", "bin"),
    ] {
        let mut found: Vec<_> = std::fs::read_dir(parent).into_iter().flatten().flatten().map(|e| e.path()).collect();
        found.sort();
        folders.extend(found.into_iter().rev().map(|folder| folder.join(below)));
    }
    let has_both = |folder: &PathBuf| ["initdb", "postgres"].iter().all(|name| folder.join(name).is_file());
    let found = folders.into_iter().find(has_both).expect(
        "no Postgres found: run tests/install-servers, or name a server in REGRANT_TEST_POSTGRES_URL, or leave it out \
         with REGRANT_TEST_STORES=memory,sqlite",
    );
    // A link may stand alone; the other programs are where it leads.
    found.join("postgres").canonicalize().ok().and_then(|path| path.parent().map(Path::to_owned)).unwrap_or(found)
}

fn guard(folder: &Path) -> ChildStdin {
    let mut guardian = Command::new("sh");
    guardian.args(["-c", GUARDIAN, "guardian"]).arg(folder).process_group(0).current_dir("/");
    guardian.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    guardian.spawn().unwrap().stdin.take().unwrap()
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

fn exists(user: &str) -> bool {
    Command::new("id").arg(user).output().is_ok_and(|output| output.status.success())
}

fn as_user(user: Option<&str>, program: &Path) -> Command {
    let mut command = match user {
        Some(user) => {
            let mut runuser = Command::new("runuser");
            runuser.args(["-u", user, "--"]).arg(program);
            runuser
        }
        None => Command::new(program),
    };
    command.current_dir("/").env_remove("PGDATA").env_remove("PGOPTIONS");
    command
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
