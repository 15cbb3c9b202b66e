//! Where everything runs: throwaway servers on loopback ports, and services on them.

use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use regrant_domain::token_key::TokenKeyRing;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tokio::sync::watch;

use super::Options;
use super::servers::guardian::Guardian;
use super::servers::postgres::Postgres;
use super::servers::redis::Servers;
use crate::answer::Checks;
use crate::chains::{Chains, Order};
use crate::connection::{Connection, Request};
use crate::deployment::{self, Place};
use crate::drive::{Outcome, Plan, Work, drive};
use crate::pace::Pace;
use crate::seed::Seed;
use crate::{Failure, output};

/// What the tests set for speed of their own is set back to what Postgres comes with.
const STOCK: &[&str] = &["shared_buffers=128MB", "deadlock_timeout=1s", "autovacuum_naptime=1min"];
/// How long a service may take to start.
const PATIENCE: Duration = Duration::from_secs(30);
/// Runs `$@` in place of the shell, with its output in the file `$0`.
const LOGGED: &str = r#"exec "$@" >>"$0" 2>&1"#;
/// The text that sessions are derived from.
pub(super) const SEED: &str = "compare";

/// Most that a measurement lasts which has no length of its own.
pub(super) const LONGEST: Duration = Duration::from_hours(1);
/// Databases of a Redis server; the first is left to its benchmark.
const REDIS_DATABASES: u8 = 16;

/// Where sessions are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Store {
    Sqlite,
    Postgres,
    Redis,
}

impl Store {
    /// As the settings call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
            Self::Redis => "redis",
        }
    }
}

impl fmt::Display for Store {
    /// As people call it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "Postgres",
            Self::Redis => "Redis",
        })
    }
}

/// The servers, started when they are first needed, and ended with this.
pub(super) struct Ground {
    pub(super) options: Options,
    postgres: OnceCell<Postgres>,
    redis: OnceCell<Servers>,
    redis_databases: Cell<u8>,
    guardian: Rc<Guardian>,
}

impl Ground {
    pub(super) fn new(options: Options) -> Result<Self, Failure> {
        let program = options.program.canonicalize();
        let program = program.map_err(|error| format!("{}: {error}", options.program.display()))?;
        let options = Options { program, ..options };
        let guardian = Rc::new(Guardian::new("load"));
        let (postgres, redis) = (OnceCell::new(), OnceCell::new());
        Ok(Self { options, postgres, redis, redis_databases: Cell::new(0), guardian })
    }

    pub(super) fn folder(&self) -> &Path {
        self.guardian.folder()
    }

    pub(super) fn postgres(&self) -> &Postgres {
        self.postgres.get_or_init(|| Postgres::start_with(STOCK))
    }

    pub(super) fn redis(&self) -> &Servers {
        self.redis.get_or_init(|| Servers::single(&[]))
    }

    /// An empty database; its URL.
    pub(super) async fn database(&self, name: &str) -> Result<String, Failure> {
        self.drop_database(name).await?;
        let mut connection = PgConnection::connect(&self.postgres().url("postgres")).await?;
        let create = format!("CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0");
        connection.execute(AssertSqlSafe(create)).await?;
        Ok(self.postgres().url(name))
    }

    /// Removes a database, if it is there.
    async fn drop_database(&self, name: &str) -> Result<(), Failure> {
        let mut connection = PgConnection::connect(&self.postgres().url("postgres")).await?;
        connection.execute(AssertSqlSafe(format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))).await?;
        Ok(())
    }

    /// An empty database of the Redis server; its URL.
    fn redis_database(&self) -> Result<String, Failure> {
        let number = self.redis_databases.get() % (REDIS_DATABASES - 1) + 1;
        self.redis_databases.set(number);
        let url = format!("{}/{number}", self.redis().url());
        flush(&url)?;
        Ok(url)
    }

    pub(super) fn length(&self) -> Duration {
        Duration::from_secs(self.options.seconds.into())
    }

    pub(super) fn warm_up(&self) -> Duration {
        Duration::from_secs(self.options.warm_up.into())
    }

    /// Starts a process that serves on a port of this ground's choice, and waits until it answers there.
    pub(super) fn start(
        &self,
        name: &str,
        command: impl Fn(SocketAddr) -> Command,
        ready: &str,
    ) -> Result<Process, Failure> {
        let server = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let command = command(server);
        let log = self.folder().join(format!("{name}.log"));
        let mut logged = Command::new("sh");
        logged.args(["-c", LOGGED]).arg(&log).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            logged.env(name, value.unwrap_or_default());
        }
        let log_from = fs::metadata(&log).map_or(0, |log| log.len());
        let begun = Instant::now();
        let child = self.guardian.spawn(logged.current_dir(self.folder()))?;
        let (guardian, started_after) = (self.guardian.clone(), Duration::ZERO);
        let mut process = Process { server, started_after, log, log_from, child, guardian };
        while !answers(server, ready) {
            if process.child.try_wait()?.is_some() || begun.elapsed() > PATIENCE {
                return Err(format!("{name} does not start:\n{}", process.log()).into());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        process.started_after = begun.elapsed();
        Ok(process)
    }

    /// Regrant on a fresh store, which the service has opened once; with these sessions.
    pub(super) async fn deploy(&self, name: &str, store: Store, seed: Option<&Seed>) -> Result<Deployment, Failure> {
        let folder = self.folder().join(name);
        let file = format!("sqlite:{}", folder.join("regrant.db").display());
        let (url, users) = match store {
            Store::Sqlite => (file, None),
            Store::Postgres => (self.database(&database(name)).await?, None),
            Store::Redis => (self.redis_database()?, Some(file)),
        };
        let deployment = Deployment { name: name.to_owned(), store, folder, url, users };
        drop(deployment.serve(self, &[])?);
        if let Some(seed) = seed {
            deployment.fill(seed).await?;
        }
        Ok(deployment)
    }

    /// Runs a load; a wrong answer is a failure.
    pub(super) async fn load(&self, load: Load<'_>) -> Result<Outcome, Failure> {
        let plan = Plan {
            server: load.process.server,
            work: load.work,
            connections: load.connections,
            pace: load.pace,
            order: Order::Random,
            warm_up: self.warm_up(),
            length: if load.until.is_some() { LONGEST } else { self.length() },
            storm: load.storm,
            pid: Some(load.process.pid()),
            until: load.until,
        };
        let outcome = drive(&plan, load.chains, load.checks).await?;
        let measured = &outcome.measured;
        output::note(format_args!(
            "  {:.0}/s, p50 {:.2} ms, p99 {:.2} ms; this tool {:.2} cores",
            measured.per_second, measured.latency.p50, measured.latency.p99, outcome.tool_cores
        ));
        if measured.failures() > 0 {
            return Err(format!("answers were wrong: {:?}", measured.wrong).into());
        }
        Ok(outcome)
    }
}

/// What to ask of whom.
pub(super) struct Load<'a> {
    pub(super) process: &'a Process,
    pub(super) work: Work,
    pub(super) connections: u64,
    pub(super) pace: Pace,
    pub(super) chains: &'a Rc<RefCell<Chains>>,
    pub(super) checks: &'a Rc<RefCell<Checks>>,
    pub(super) storm: Option<(String, u64)>,
    /// Instead of the usual time, until this is true.
    pub(super) until: Option<watch::Receiver<bool>>,
}

/// A server that is ended when this is dropped.
pub(super) struct Process {
    pub(super) server: SocketAddr,
    /// From its start to its first answer.
    pub(super) started_after: Duration,
    log: PathBuf,
    /// What is before was said by an earlier one of the same name.
    log_from: u64,
    child: Child,
    guardian: Rc<Guardian>,
}

impl Process {
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has said.
    fn log(&self) -> String {
        self.said_after(0).unwrap_or_default()
    }

    /// What it has said after so many bytes.
    pub(super) fn said_after(&self, bytes: u64) -> Result<String, Failure> {
        let mut log = File::open(&self.log)?;
        log.seek(SeekFrom::Start(self.log_from + bytes))?;
        let mut said = Vec::new();
        log.read_to_end(&mut said)?;
        // Cut back to whole lines: what is cut is read the next time.
        said.truncate(said.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1));
        Ok(String::from_utf8(said)?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(self.child.id().cast_signed());
        // It may have ended by itself; it is waited for in any case.
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _ = self.child.wait();
        self.guardian.gone(self.child.id());
    }
}

/// Regrant, on a store, with keys of its own.
pub(super) struct Deployment {
    name: String,
    store: Store,
    folder: PathBuf,
    pub(super) url: String,
    users: Option<String>,
}

impl Deployment {
    /// Puts these sessions, none of which is there, into its store.
    pub(super) async fn fill(&self, seed: &Seed) -> Result<(), Failure> {
        let place = Place::open(&self.url, self.users.as_deref()).await?;
        seed.fill(&place, &self.ring()?, true).await
    }

    /// Removes its store.
    pub(super) async fn remove(self, ground: &Ground) -> Result<(), Failure> {
        match self.store {
            Store::Sqlite => {}
            Store::Postgres => ground.drop_database(&database(&self.name)).await?,
            Store::Redis => flush(&self.url)?,
        }
        Ok(fs::remove_dir_all(&self.folder)?)
    }

    /// How large its database file is.
    pub(super) fn file_len(&self) -> Result<u64, Failure> {
        Ok(fs::metadata(self.folder.join("regrant.db"))?.len())
    }

    /// Starts it, with these settings in its environment.
    pub(super) fn serve(&self, ground: &Ground, settings: &[(&str, &str)]) -> Result<Process, Failure> {
        let command = |server: SocketAddr| {
            let mut command = Command::new(&ground.options.program);
            command.arg("--quiet").arg("--listen").arg(server.to_string()).arg("--data").arg(&self.folder);
            command.env("REGRANT__STORE__KIND", self.store.name()).envs(settings.iter().copied());
            // SQLite's place follows from the folder, which the service makes on its first run.
            if self.store != Store::Sqlite {
                command.env("REGRANT__STORE__URL", &self.url);
            }
            if self.users.is_some() {
                command.env("REGRANT__USERS__KIND", "sqlite");
            }
            command
        };
        ground.start(&self.name, command, "/readyz")
    }

    pub(super) fn ring(&self) -> Result<Arc<TokenKeyRing>, Failure> {
        deployment::token_keys(&self.folder)
    }

    /// Where its keys are.
    pub(super) fn keys(&self) -> &Path {
        &self.folder
    }

    /// What checks its answers.
    pub(super) fn checks(&self) -> Result<Rc<RefCell<Checks>>, Failure> {
        Ok(Rc::new(RefCell::new(Checks::new(Some(deployment::access_tokens(&self.folder)?)))))
    }

    /// The sessions that it was deployed with.
    pub(super) fn chains(&self, seed: Seed) -> Result<Rc<RefCell<Chains>>, Failure> {
        Ok(Rc::new(RefCell::new(Chains::seeded(seed, self.ring()?))))
    }
}

/// The name of its database.
fn database(deployment: &str) -> String {
    deployment.replace('-', "_")
}

/// Empties a database of a Redis server.
fn flush(url: &str) -> Result<(), Failure> {
    let mut connection = redis::Client::open(url)?.get_connection()?;
    Ok(redis::cmd("FLUSHDB").query(&mut connection)?)
}

/// Whether somebody answers 200 there.
fn answers(server: SocketAddr, path: &str) -> bool {
    let ask = async {
        let mut connection = Connection::new(server);
        let request = Request { method: "GET", path, bearer: None, json: None };
        connection.ask(request).await.is_ok_and(|answer| answer.status == 200)
    };
    // On a thread of its own: a runtime cannot wait within another one.
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.is_ok_and(|runtime| runtime.block_on(ask))
        });
        asking.join().unwrap_or(false)
    })
}
