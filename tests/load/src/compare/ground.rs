//! Where everything runs: throwaway servers on loopback ports, and services on them.

use std::cell::{OnceCell, RefCell};
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use regrant_domain::token_key::TokenKeyRing;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

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

/// Where sessions are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Store {
    Sqlite,
    Postgres,
    Redis,
}

/// The servers, started when they are first needed, and ended with this.
pub(super) struct Ground {
    pub(super) options: Options,
    postgres: OnceCell<Postgres>,
    redis: OnceCell<Servers>,
    guardian: Rc<Guardian>,
}

impl Ground {
    pub(super) fn new(options: Options) -> Result<Self, Failure> {
        let program = options.program.canonicalize();
        let program = program.map_err(|error| format!("{}: {error}", options.program.display()))?;
        let options = Options { program, ..options };
        let guardian = Rc::new(Guardian::new("load"));
        Ok(Self { options, postgres: OnceCell::new(), redis: OnceCell::new(), guardian })
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
        let mut connection = PgConnection::connect(&self.postgres().url("postgres")).await?;
        let create = format!("CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0");
        connection.execute(AssertSqlSafe(format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))).await?;
        connection.execute(AssertSqlSafe(create)).await?;
        Ok(self.postgres().url(name))
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
        let begun = Instant::now();
        let child = self.guardian.spawn(logged.current_dir(self.folder()))?;
        let mut process = Process { server, child, guardian: self.guardian.clone(), started_after: Duration::ZERO };
        while !answers(server, ready) {
            if process.child.try_wait()?.is_some() || begun.elapsed() > PATIENCE {
                let said = fs::read_to_string(&log).unwrap_or_default();
                return Err(format!("{name} does not start:\n{said}").into());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        process.started_after = begun.elapsed();
        Ok(process)
    }

    /// Regrant on a fresh store, with as many sessions as `seed` says.
    pub(super) async fn deploy(&self, name: &str, store: Store, seed: Option<Seed>) -> Result<Deployment, Failure> {
        let folder = self.folder().join(name);
        let mut url = format!("sqlite:{}", folder.join("regrant.db").display());
        let mut users = None;
        match store {
            Store::Sqlite => {}
            Store::Postgres => url = self.database(&name.replace('-', "_")).await?,
            Store::Redis => {
                users = Some(std::mem::replace(&mut url, self.redis().url().to_owned()));
                self.redis().first().ask("FLUSHALL", &[]).map_err(|error| error.to_string())?;
            }
        }
        let deployment = Deployment { name: name.to_owned(), store, folder, url, users };
        let first = deployment.serve(self)?;
        if let Some(seed) = seed {
            let place = Place::open(&deployment.url, deployment.users()).await?;
            seed.fill(&place, &deployment.ring()?).await?;
        }
        drop(first);
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
            length: self.length(),
            storm: load.storm,
            pid: Some(load.process.pid()),
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
}

/// A server that is ended when this is dropped.
pub(super) struct Process {
    pub(super) server: SocketAddr,
    /// From its start to its first answer.
    pub(super) started_after: Duration,
    child: Child,
    guardian: Rc<Guardian>,
}

impl Process {
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
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
    /// Starts it.
    pub(super) fn serve(&self, ground: &Ground) -> Result<Process, Failure> {
        let kind = match self.store {
            Store::Sqlite => "sqlite",
            Store::Postgres => "postgres",
            Store::Redis => "redis",
        };
        let command = |server: SocketAddr| {
            let mut command = Command::new(&ground.options.program);
            command.arg("--quiet").arg("--listen").arg(server.to_string()).arg("--data").arg(&self.folder);
            command.env("REGRANT__STORE__KIND", kind);
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

    /// Where its users are, if not with the sessions.
    pub(super) fn users(&self) -> Option<&str> {
        self.users.as_deref()
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
