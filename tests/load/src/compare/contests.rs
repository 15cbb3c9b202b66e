//! What is measured against what.

use std::cell::RefCell;
use std::process::Command;
use std::rc::Rc;

use super::axum::{HELLO, VERIFY};
use super::ground::{Deployment, Ground, Load, Process, SEED, Store};
use super::pgbench::Pgbench;
use super::redis_benchmark::RedisBenchmark;
use super::table::{Entry, Goal, Run};
use super::{floors, sizes};
use crate::answer::Checks;
use crate::chains::Chains;
use crate::drive::{Outcome, Work};
use crate::pace::Pace;
use crate::people;
use crate::seed::Seed;
use crate::{Failure, output};

/// Something that can be compared.
pub(super) struct Contest {
    pub(super) name: &'static str,
    pub(super) what: &'static str,
}

/// Asked for by an option of its own.
pub(super) const SCALE: &str = "scale";
const CONNECTIONS: u64 = 32;
const MANY_CONNECTIONS: u64 = 256;
const STORM: u64 = 64;
/// Beside a storm, refreshes come at this part of what a closed loop reaches: users do not come faster for it.
const PART_OF_CAPACITY: f64 = 0.25;
const MIB: &str = "MiB";

pub(super) const CONTESTS: &[Contest] = &[
    Contest { name: "refresh-postgres", what: "refreshes on Postgres ÷ pgbench with the same statement" },
    Contest { name: "refresh-redis", what: "refreshes on Redis ÷ redis-benchmark with the same script" },
    Contest { name: "refresh-sqlite", what: "refreshes on SQLite ÷ one writer that commits each rotation" },
    Contest { name: "connections", what: "256 connections ÷ 32 connections, Postgres" },
    Contest { name: "verify", what: "GET /api/me ÷ axum that only verifies" },
    Contest { name: "sign-in", what: "sign-ins ÷ bare Argon2 on all cores" },
    Contest {
        name: "storm", what: "refresh p99 beside 64 simultaneous sign-ins ÷ without, Postgres; memory after it"
    },
    Contest { name: "lone", what: "p50 of a lone refresh ÷ p50 of the statement, Postgres" },
    Contest { name: "size", what: "bytes per session after 10 refreshes, Postgres and Redis" },
    Contest { name: "start", what: "start to first answer on an existing database" },
    Contest { name: "parts", what: "axum's hello world, and signing alone on one core" },
    Contest { name: SCALE, what: "refreshes at many sessions ÷ at a hundredth of them, Postgres" },
];

/// Measures one of them.
pub(super) async fn hold(name: &str, ground: &Ground) -> Result<Vec<Entry>, Failure> {
    match name {
        "refresh-postgres" => refresh_postgres(ground).await,
        "refresh-redis" => refresh_redis(ground).await,
        "refresh-sqlite" => refresh_sqlite(ground).await,
        "connections" => connections(ground).await,
        "verify" => verify(ground).await,
        "sign-in" => sign_in(ground).await,
        "storm" => storm(ground).await,
        "lone" => lone(ground).await,
        "size" => size(ground).await,
        "start" => start(ground).await,
        "parts" => parts(ground).await,
        SCALE => scale(ground).await,
        _ => Err("there is no such comparison".into()),
    }
}

/// Floor and Regrant by turns.
async fn by_turns(
    ground: &Ground,
    mut floor: impl AsyncFnMut() -> Result<f64, Failure>,
    mut ours: impl AsyncFnMut() -> Result<(f64, Option<Outcome>), Failure>,
) -> Result<Vec<Run>, Failure> {
    let mut runs = Vec::new();
    for _ in 0..ground.options.runs {
        let floor = floor().await?;
        output::note(format_args!("  {floor:.2} to compare with"));
        let (ours, outcome) = ours().await?;
        runs.push(Run { floor: Some(floor), ours, outcome });
    }
    Ok(runs)
}

fn rate(outcome: Outcome) -> (f64, Option<Outcome>) {
    (outcome.measured.per_second, Some(outcome))
}

/// Regrant on a store full of sessions.
struct Ours<'g> {
    ground: &'g Ground,
    deployment: Deployment,
    process: Process,
    chains: Rc<RefCell<Chains>>,
    checks: Rc<RefCell<Checks>>,
}

impl<'g> Ours<'g> {
    async fn on(ground: &'g Ground, store: Store, name: &str, sessions: u64) -> Result<Self, Failure> {
        let seed = Seed::new(SEED, sessions);
        let deployment = ground.deploy(name, store, Some(seed.clone())).await?;
        let process = deployment.serve(ground)?;
        let (chains, checks) = (deployment.chains(seed)?, deployment.checks()?);
        Ok(Self { ground, deployment, process, chains, checks })
    }

    fn load(&self, work: Work, connections: u64) -> Load<'_> {
        let Self { process, chains, checks, .. } = self;
        Load { process, work, connections, pace: Pace::Closed, chains, checks, storm: None }
    }

    async fn refresh(&self, connections: u64) -> Result<Outcome, Failure> {
        self.ground.load(self.load(Work::Refresh, connections)).await
    }
}

async fn refresh_postgres(ground: &Ground) -> Result<Vec<Entry>, Failure> {
    let floor = Pgbench::prepare(ground, "floor", ground.options.sessions).await?;
    let ours = Ours::on(ground, Store::Postgres, "refresh-postgres", ground.options.sessions).await?;
    let runs = by_turns(
        ground,
        async || Ok(floor.run(ground, CONNECTIONS).await?.per_second),
        async || Ok(rate(ours.refresh(CONNECTIONS).await?)),
    );
    let what = "refreshes on Postgres ÷ pgbench with the same statement, 32 connections each";
    Ok(vec![Entry { name: "refresh-postgres", what, goal: Goal::AtLeast(1.2), unit: "/s", runs: runs.await? }])
}

async fn refresh_redis(ground: &Ground) -> Result<Vec<Entry>, Failure> {
    let ours = Ours::on(ground, Store::Redis, "refresh-redis", ground.options.sessions).await?;
    let floor = RedisBenchmark::prepare(ground, ground.options.sessions).await?;
    let runs =
        by_turns(ground, async || floor.run(ground, CONNECTIONS), async || Ok(rate(ours.refresh(CONNECTIONS).await?)));
    let what = "refreshes on Redis ÷ redis-benchmark with the same script, 32 connections each, AOF every second";
    Ok(vec![Entry { name: "refresh-redis", what, goal: Goal::AtLeast(0.55), unit: "/s", runs: runs.await? }])
}

async fn refresh_sqlite(ground: &Ground) -> Result<Vec<Entry>, Failure> {
    let ours = Ours::on(ground, Store::Sqlite, "refresh-sqlite", ground.options.sessions).await?;
    let runs =
        by_turns(ground, async || floors::sqlite(ground).await, async || Ok(rate(ours.refresh(CONNECTIONS).await?)));
    let what = "refreshes on SQLite, 32 connections ÷ one writer that commits each rotation, synchronous = FULL each";
    Ok(vec![Entry { name: "refresh-sqlite", what, goal: Goal::AtLeast(3.0), unit: "/s", runs: runs.await? }])
}

async fn connections(ground: &Ground) -> Result<Vec<Entry>, Failure> {
    let ours = Ours::on(ground, Store::Postgres, "connections", ground.options.sessions).await?;
    let runs = by_turns(
        ground,
        async || Ok(ours.refresh(CONNECTIONS).await?.measured.per_second),
        async || Ok(rate(ours.refresh(MANY_CONNECTIONS).await?)),
    );
    let runs = runs.await?;
    let p99 = |run: &Run| {
        let ours = run.outcome.as_ref().map_or(f64::NAN, |outcome| outcome.measured.latency.p99);
        Run { floor: None, ours, outcome: None }
    };
    let latency = runs.iter().map(p99).collect();
    let what = "refreshes on Postgres, 256 connections ÷ 32 connections";
    let tail = "p99 of a refresh on Postgres, 256 connections";
    Ok(vec![
        Entry { name: "connections", what, goal: Goal::AtLeast(1.0), unit: "/s", runs },
        Entry { name: "connections-p99", what: tail, goal: Goal::AtMost(60.0), unit: "ms", runs: latency },
    ])
}

async fn verify(ground: &Ground) -> Result<Vec<Entry>, Failure> {
    let ours = Ours::on(ground, Store::Sqlite, "verify", ground.options.sessions).await?;
    let floor = floor_server(ground, &ours.deployment)?;
    let bearer = Some(floors::access_token(&ours.deployment)?);
    let there = Work::Guarded { path: VERIFY.to_owned(), bearer };
    let here = Work::Guarded { path: "/api/me".to_owned(), bearer: None };
    let runs = by_turns(
        ground,
        async || {
            let load = Load { process: &floor, ..ours.load(there.clone(), CONNECTIONS) };
            Ok(ground.load(load).await?.measured.per_second)
        },
        async || Ok(rate(ground.load(ours.load(here.clone(), CONNECTIONS)).await?)),
    );
    let what =
        "GET /api/me on SQLite ÷ axum that verifies the token (ES256) and does nothing else, 32 connections each";
    Ok(vec![Entry { name: "verify", what, goal: Goal::AtLeast(0.8), unit: "/s", runs: runs.await? }])
}

fn floor_server(ground: &Ground, deployment: &Deployment) -> Result<Process, Failure> {
    let this = std::env::current_exe()?;
    let command = |server: std::net::SocketAddr| {
        let mut command = Command::new(&this);
        command.args(["floor", "--listen", &server.to_string(), "--keys"]).arg(deployment.keys());
        command
    };
    ground.start("axum", command, HELLO)
}

async fn sign_in(ground: &Ground) -> Result<Vec<Entry>, Failure> {
    let ours = Ours::on(ground, Store::Sqlite, "sign-in", CONNECTIONS).await?;
    people::sign_up(ours.process.server, people::USERS, CONNECTIONS).await?;
    let work = Work::SignIn { name: people::USERS.to_owned(), users: CONNECTIONS };
    let runs = by_turns(
        ground,
        async || floors::argon2(ground).await,
        async || Ok(rate(ground.load(ours.load(work.clone(), CONNECTIONS)).await?)),
    );
    let what = "sign-ins on SQLite, 32 connections ÷ bare Argon2id (19 MiB, 2, 1) on all cores";
    Ok(vec![Entry { name: "sign-in", what, goal: Goal::AtLeast(0.9), unit: "/s", runs: runs.await? }])
}

async fn storm(ground: &Ground) -> Result<Vec<Entry>, Failure> {
    let ours = Ours::on(ground, Store::Postgres, "storm", ground.options.sessions).await?;
    people::sign_up(ours.process.server, people::STORM, STORM).await?;
    let capacity = ours.refresh(CONNECTIONS).await?.measured.per_second;
    let pace = Pace::Open((capacity * PART_OF_CAPACITY).max(1.0));
    let calm = || Load { pace, ..ours.load(Work::Refresh, CONNECTIONS) };
    let runs = by_turns(
        ground,
        async || Ok(ground.load(calm()).await?.measured.latency.p99),
        async || {
            let outcome = ground.load(Load { storm: Some((people::STORM.to_owned(), STORM)), ..calm() }).await?;
            Ok((outcome.measured.latency.p99, Some(outcome)))
        },
    );
    let runs = runs.await?;
    let peak = |run: &Run| {
        let ours = run.outcome.as_ref().and_then(|outcome| outcome.service_peak_mib).unwrap_or(f64::NAN);
        Run { floor: None, ours, outcome: None }
    };
    let memory = runs.iter().map(peak).collect();
    let what = "p99 of refreshes (Postgres, a quarter of capacity) beside 64 simultaneous sign-ins ÷ without";
    let most = "resident memory at most, 32 connections and the sign-ins included";
    Ok(vec![
        Entry { name: "storm", what, goal: Goal::AtMost(3.0), unit: "ms", runs },
        Entry { name: "memory", what: most, goal: Goal::AtMost(120.0), unit: MIB, runs: memory },
    ])
}

async fn lone(ground: &Ground) -> Result<Vec<Entry>, Failure> {
    let floor = Pgbench::prepare(ground, "lone_floor", ground.options.sessions).await?;
    let ours = Ours::on(ground, Store::Postgres, "lone", ground.options.sessions).await?;
    let runs = by_turns(
        ground,
        async || Ok(floor.run(ground, 1).await?.p50),
        async || {
            let outcome = ours.refresh(1).await?;
            Ok((outcome.measured.latency.p50, Some(outcome)))
        },
    );
    let what = "p50 of refreshes one after the other, Postgres ÷ p50 of the statement alone (pgbench)";
    Ok(vec![Entry { name: "lone", what, goal: Goal::AtMost(2.0), unit: "ms", runs: runs.await? }])
}

async fn size(ground: &Ground) -> Result<Vec<Entry>, Failure> {
    let mut entries = Vec::new();
    for (store, name, what) in [
        (Store::Postgres, "size-postgres", "bytes per session after 10 refreshes, Postgres, indexes included"),
        (Store::Redis, "size-redis", "bytes per session after 10 refreshes, Redis, the users' sets included"),
    ] {
        let runs = vec![sizes::measure(ground, store).await?];
        entries.push(Entry { name, what, goal: Goal::AtMost(600.0), unit: "bytes", runs });
    }
    Ok(entries)
}

async fn start(ground: &Ground) -> Result<Vec<Entry>, Failure> {
    let mut entries = Vec::new();
    for (store, name, what) in [
        (Store::Sqlite, "start-sqlite", "start to first answer, existing database, SQLite"),
        (Store::Postgres, "start-postgres", "start to first answer, existing database, Postgres"),
    ] {
        let seed = Seed::new(SEED, ground.options.sessions);
        let deployment = ground.deploy(name, store, Some(seed)).await?;
        let mut runs = Vec::new();
        for _ in 0..ground.options.runs {
            let after = deployment.serve(ground)?.started_after;
            runs.push(Run { floor: None, ours: after.as_secs_f64() * 1000.0, outcome: None });
        }
        entries.push(Entry { name, what, goal: Goal::AtMost(300.0), unit: "ms", runs });
    }
    Ok(entries)
}

async fn parts(ground: &Ground) -> Result<Vec<Entry>, Failure> {
    let ours = Ours::on(ground, Store::Sqlite, "parts", CONNECTIONS).await?;
    let floor = floor_server(ground, &ours.deployment)?;
    let (mut hello, mut signing) = (Vec::new(), Vec::new());
    for _ in 0..ground.options.runs {
        let load = Load { process: &floor, ..ours.load(Work::Get(HELLO.to_owned()), CONNECTIONS) };
        let (said, outcome) = rate(ground.load(load).await?);
        hello.push(Run { floor: None, ours: said, outcome });
        signing.push(Run { floor: None, ours: floors::signing(ground, &ours.deployment)?, outcome: None });
    }
    let unit = "/s";
    Ok(vec![
        Entry { name: "hello", what: "axum's hello world, 32 connections", goal: Goal::None, unit, runs: hello },
        Entry {
            name: "signing",
            what: "signing access tokens (ES256) on one core",
            goal: Goal::None,
            unit,
            runs: signing,
        },
    ])
}

async fn scale(ground: &Ground) -> Result<Vec<Entry>, Failure> {
    let many = ground.options.scale.ok_or("say how many sessions with --scale")?;
    let fewer = Ours::on(ground, Store::Postgres, "scale-few", (many / 100).max(CONNECTIONS)).await?;
    let ours = Ours::on(ground, Store::Postgres, "scale-many", many).await?;
    let runs = by_turns(
        ground,
        async || Ok(fewer.refresh(CONNECTIONS).await?.measured.per_second),
        async || Ok(rate(ours.refresh(CONNECTIONS).await?)),
    );
    let what = "refreshes on Postgres with so many sessions as --scale says ÷ with a hundredth of them";
    Ok(vec![Entry { name: SCALE, what, goal: Goal::AtLeast(0.8), unit: "/s", runs: runs.await? }])
}
