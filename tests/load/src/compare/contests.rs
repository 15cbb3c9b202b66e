//! What is measured against what.

use std::cell::RefCell;
use std::process::Command;
use std::rc::Rc;

use super::axum::{HELLO, VERIFY};
use super::ground::{Deployment, Ground, Load, Process, SEED, Store};
use super::pgbench::Pgbench;
use super::redis_benchmark::RedisBenchmark;
use super::table::{Entry, Goal, Run};
use super::{floors, scale, sizes, sweep};
use crate::answer::Checks;
use crate::chains::{Chains, Order};
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

impl Contest {
    /// Whether this name means it, or it and others.
    pub(super) fn is_meant_by(&self, name: &str) -> bool {
        self.name.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    }

    /// Whether it needs to be told how many sessions.
    pub(super) fn is_of_scale(&self) -> bool {
        self.is_meant_by("scale")
    }
}

pub(super) const CONNECTIONS: u64 = 32;
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
    Contest { name: "verify", what: "GET /api/verify ÷ axum that only verifies" },
    Contest { name: "sign-in", what: "sign-ins ÷ bare Argon2 on all cores" },
    Contest {
        name: "storm", what: "refresh p99 beside 64 simultaneous sign-ins ÷ without, Postgres; memory after it"
    },
    Contest { name: "lone", what: "p50 of a lone refresh ÷ p50 of the statement, Postgres" },
    Contest { name: "size", what: "bytes per session after 10 refreshes, Postgres and Redis" },
    Contest { name: "start", what: "start to first answer on an existing database" },
    Contest { name: "parts", what: "axum's hello world, and signing alone on one core" },
    Contest { name: "sweep-postgres", what: "refresh p99 beside a sweep ÷ without, and its speed, Postgres" },
    Contest { name: "sweep-sqlite", what: "the same on SQLite" },
    Contest {
        name: "scale-postgres",
        what: "refreshes at --scale sessions ÷ at a hundredth of them, and their size, Postgres",
    },
    Contest { name: "scale-sqlite", what: "the same on SQLite" },
    Contest { name: "scale-redis", what: "the same on Redis, with a fifth of --scale" },
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
        "sweep-postgres" => sweep::hold(ground, Store::Postgres).await,
        "sweep-sqlite" => sweep::hold(ground, Store::Sqlite).await,
        "scale-postgres" => scale::hold(ground, Store::Postgres).await,
        "scale-sqlite" => scale::hold(ground, Store::Sqlite).await,
        "scale-redis" => scale::hold(ground, Store::Redis).await,
        _ => Err("there is no such comparison".into()),
    }
}

/// Floor and Regrant by turns.
pub(super) async fn by_turns(
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

pub(super) fn rate(outcome: Outcome) -> (f64, Option<Outcome>) {
    (outcome.measured.per_second, Some(outcome))
}

/// Regrant on a store full of sessions.
pub(super) struct Ours<'g> {
    ground: &'g Ground,
    pub(super) deployment: Deployment,
    process: Option<Process>,
    chains: Rc<RefCell<Chains>>,
    checks: Rc<RefCell<Checks>>,
}

impl<'g> Ours<'g> {
    async fn on(ground: &'g Ground, store: Store, name: &str, sessions: u64) -> Result<Self, Failure> {
        Self::seeded(ground, store, name, Seed::new(SEED, sessions)).await
    }

    pub(super) async fn seeded(ground: &'g Ground, store: Store, name: &str, seed: Seed) -> Result<Self, Failure> {
        Self::of(ground, ground.deploy(name, store, Some(&seed)).await?, seed)
    }

    /// Of a deployment that was filled with these.
    pub(super) fn of(ground: &'g Ground, deployment: Deployment, seed: Seed) -> Result<Self, Failure> {
        let process = Some(deployment.serve(ground, &[])?);
        let (chains, checks) = (deployment.chains(seed)?, deployment.checks()?);
        Ok(Self { ground, deployment, process, chains, checks })
    }

    pub(super) fn process(&self) -> Result<&Process, Failure> {
        self.process.as_ref().ok_or_else(|| "the service is stopped".into())
    }

    pub(super) fn stop(&mut self) {
        self.process = None;
    }

    /// Starts it again, with these settings in its environment.
    pub(super) fn start(&mut self, settings: &[(&str, &str)]) -> Result<(), Failure> {
        self.process = Some(self.deployment.serve(self.ground, settings)?);
        Ok(())
    }

    /// Ends it, and gives back the room that its store takes.
    pub(super) async fn remove(mut self) -> Result<(), Failure> {
        self.stop();
        self.deployment.remove(self.ground).await
    }

    pub(super) fn load(&self, work: Work, connections: u64) -> Result<Load<'_>, Failure> {
        let Self { chains, checks, .. } = self;
        let process = self.process()?;
        Ok(Load { process, work, connections, pace: Pace::Closed, chains, checks, storm: None, until: None })
    }

    pub(super) async fn refresh(&self, connections: u64) -> Result<Outcome, Failure> {
        self.ground.load(self.load(Work::Refresh, connections)?).await
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
    Ok(vec![Entry::new("refresh-postgres", what, Goal::AtLeast(1.2), "/s", runs.await?)])
}

async fn refresh_redis(ground: &Ground) -> Result<Vec<Entry>, Failure> {
    let ours = Ours::on(ground, Store::Redis, "refresh-redis", ground.options.sessions).await?;
    let floor = RedisBenchmark::prepare(ground, ground.options.sessions).await?;
    let runs =
        by_turns(ground, async || floor.run(ground, CONNECTIONS), async || Ok(rate(ours.refresh(CONNECTIONS).await?)));
    let what = "refreshes on Redis ÷ redis-benchmark with the same script, 32 connections each, AOF every second";
    Ok(vec![Entry::new("refresh-redis", what, Goal::AtLeast(0.55), "/s", runs.await?)])
}

async fn refresh_sqlite(ground: &Ground) -> Result<Vec<Entry>, Failure> {
    let ours = Ours::on(ground, Store::Sqlite, "refresh-sqlite", ground.options.sessions).await?;
    let runs =
        by_turns(ground, async || floors::sqlite(ground).await, async || Ok(rate(ours.refresh(CONNECTIONS).await?)));
    let what = "refreshes on SQLite, 32 connections ÷ one writer that commits each rotation, synchronous = FULL each";
    Ok(vec![Entry::new("refresh-sqlite", what, Goal::AtLeast(3.0), "/s", runs.await?)])
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
        Entry::new("connections", what, Goal::AtLeast(1.0), "/s", runs),
        Entry::new("connections-p99", tail, Goal::AtMost(60.0), "ms", latency),
    ])
}

async fn verify(ground: &Ground) -> Result<Vec<Entry>, Failure> {
    let ours = Ours::on(ground, Store::Sqlite, "verify", ground.options.sessions).await?;
    let floor = floor_server(ground, &ours.deployment)?;
    let bearer = floors::access_token(&ours.deployment)?;
    let there = Work::Guarded { path: VERIFY.to_owned(), bearer };
    let runs = by_turns(
        ground,
        async || {
            let load = Load { process: &floor, ..ours.load(there.clone(), CONNECTIONS)? };
            Ok(ground.load(load).await?.measured.per_second)
        },
        async || Ok(rate(ground.load(ours.load(Work::Verify, CONNECTIONS)?).await?)),
    );
    let what = "GET /api/verify ÷ axum that verifies the token (ES256) and does nothing else, 32 connections each";
    Ok(vec![Entry::new("verify", what, Goal::AtLeast(0.8), "/s", runs.await?)])
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
    people::sign_up(ours.process()?.server, people::USERS, CONNECTIONS).await?;
    let work = Work::SignIn { name: people::USERS.to_owned(), users: CONNECTIONS };
    let runs = by_turns(
        ground,
        async || floors::argon2(ground).await,
        async || Ok(rate(ground.load(ours.load(work.clone(), CONNECTIONS)?).await?)),
    );
    let what = "sign-ins on SQLite, 32 connections ÷ bare Argon2id (19 MiB, 2, 1) on all cores";
    Ok(vec![Entry::new("sign-in", what, Goal::AtLeast(0.9), "/s", runs.await?)])
}

async fn storm(ground: &Ground) -> Result<Vec<Entry>, Failure> {
    let ours = Ours::on(ground, Store::Postgres, "storm", ground.options.sessions).await?;
    people::sign_up(ours.process()?.server, people::STORM, STORM).await?;
    let capacity = ours.refresh(CONNECTIONS).await?.measured.per_second;
    let pace = Pace::Open((capacity * PART_OF_CAPACITY).max(1.0));
    let calm = || ours.load(Work::Refresh, CONNECTIONS).map(|load| Load { pace, ..load });
    let runs = by_turns(
        ground,
        async || Ok(ground.load(calm()?).await?.measured.latency.p99),
        async || {
            let outcome = ground.load(Load { storm: Some((people::STORM.to_owned(), STORM)), ..calm()? }).await?;
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
        Entry::new("storm", what, Goal::AtMost(3.0), "ms", runs),
        Entry::new("memory", most, Goal::AtMost(120.0), MIB, memory),
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
    Ok(vec![Entry::new("lone", what, Goal::AtMost(2.0), "ms", runs.await?)])
}

async fn size(ground: &Ground) -> Result<Vec<Entry>, Failure> {
    let mut entries = Vec::new();
    for (store, name, order, what) in [
        (Store::Postgres, "size-postgres", Order::Each, "in rounds, eight neighbours at a time, Postgres with indexes"),
        (Store::Postgres, "size-random-postgres", Order::Random, "at random, eight at a time, Postgres with indexes"),
        (Store::Redis, "size-redis", Order::Random, "at random, Redis with the users' sets"),
    ] {
        let runs = vec![sizes::measure(ground, name, store, order).await?];
        let what = format!("bytes per session after 10 refreshes of each, {what}");
        entries.push(Entry::new(name, what, Goal::AtMost(600.0), "bytes", runs));
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
        let deployment = ground.deploy(name, store, Some(&seed)).await?;
        let mut runs = Vec::new();
        for _ in 0..ground.options.runs {
            let after = deployment.serve(ground, &[])?.started_after;
            runs.push(Run { floor: None, ours: after.as_secs_f64() * 1000.0, outcome: None });
        }
        entries.push(Entry::new(name, what, Goal::AtMost(300.0), "ms", runs));
    }
    Ok(entries)
}

async fn parts(ground: &Ground) -> Result<Vec<Entry>, Failure> {
    let ours = Ours::on(ground, Store::Sqlite, "parts", CONNECTIONS).await?;
    let floor = floor_server(ground, &ours.deployment)?;
    let (mut hello, mut signing) = (Vec::new(), Vec::new());
    for _ in 0..ground.options.runs {
        let load = Load { process: &floor, ..ours.load(Work::Get(HELLO.to_owned()), CONNECTIONS)? };
        let (said, outcome) = rate(ground.load(load).await?);
        hello.push(Run { floor: None, ours: said, outcome });
        signing.push(Run { floor: None, ours: floors::signing(ground, &ours.deployment)?, outcome: None });
    }
    Ok(vec![
        Entry::new("hello", "axum's hello world, 32 connections", Goal::None, "/s", hello),
        Entry::new("signing", "signing access tokens (ES256) on one core", Goal::None, "/s", signing),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_means_one_or_all_that_begin_with_it() {
        let meant = |name: &str| {
            let all = CONTESTS.iter().filter(|contest| contest.is_meant_by(name));
            all.map(|contest| contest.name).collect::<Vec<_>>()
        };
        assert_eq!(meant("scale"), ["scale-postgres", "scale-sqlite", "scale-redis"]);
        assert_eq!(meant("sweep-sqlite"), ["sweep-sqlite"]);
        assert_eq!(meant("sign-in"), ["sign-in"]);
        assert_eq!(meant("s"), Vec::<&str>::new());
        assert_eq!(CONTESTS.iter().filter(|contest| contest.is_of_scale()).count(), 3);
    }
}
