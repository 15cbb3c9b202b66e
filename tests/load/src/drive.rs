//! Many connections, each with sessions of its own, on one thread.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use regrant_domain::ids::SessionId;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep, sleep_until};

use crate::answer::{Checks, Tokens, Wrong, anything, profile, verified};
use crate::chains::{Chains, Order, Share};
use crate::connection::{Connection, Request};
use crate::pace::{Pace, Turns};
use crate::record::{Measured, Record};
use crate::seed::{PASSWORD, email};
use crate::{Failure, output, usage};

/// After a failed connection: a server that is away is not to be asked in a tight loop.
const PAUSE: Duration = Duration::from_millis(10);
pub(crate) const REFRESH: &str = "/api/refresh";
pub(crate) const SIGN_IN: &str = "/api/login";
pub(crate) const ME: &str = "/api/me";
pub(crate) const VERIFY: &str = "/api/verify";

/// What is asked.
#[derive(Debug, Clone)]
pub(crate) enum Work {
    /// Each session's refresh token is presented, and its successor next time.
    Refresh,
    /// A route that says whose this access token is.
    Guarded { path: String, bearer: String },
    /// The profile, with an access token for each connection.
    Me,
    /// Whether an access token is good, one for each connection.
    Verify,
    /// Users sign in: those that this name stands for, and how many they are.
    SignIn { name: String, users: u64 },
    /// Anything that answers 200.
    Get(String),
}

/// A measurement.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) server: SocketAddr,
    pub(crate) work: Work,
    pub(crate) connections: u64,
    pub(crate) pace: Pace,
    pub(crate) order: Order,
    pub(crate) warm_up: Duration,
    pub(crate) length: Duration,
    /// So many users sign in at once meanwhile, again and again: those that this name stands for.
    pub(crate) storm: Option<(String, u64)>,
    /// The service's process, where its costs are to be told.
    pub(crate) pid: Option<u32>,
    /// Ends it before its time is up, once this is true.
    pub(crate) until: Option<watch::Receiver<bool>>,
}

/// What a measurement came to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) connections: u64,
    /// Requests a second that were asked for; none in a closed loop.
    pub(crate) asked_per_second: Option<f64>,
    #[serde(flatten)]
    pub(crate) measured: Measured,
    /// Cores that this tool was busy on.
    pub(crate) tool_cores: f64,
    /// By how much its timer was late at worst, in milliseconds.
    pub(crate) tool_late_ms: f64,
    /// Cores that the service was busy on.
    pub(crate) service_cores: Option<f64>,
    /// The most memory that the service has had resident so far.
    pub(crate) service_peak_mib: Option<f64>,
    /// Sign-ins of the storm, if there was one.
    pub(crate) storm_sign_ins: Option<u64>,
}

struct Shared {
    plan: Plan,
    turns: Turns,
    record: RefCell<Option<Record>>,
    chains: Rc<RefCell<Chains>>,
    checks: Rc<RefCell<Checks>>,
}

/// Runs it. What is answered wrongly is counted, and is no error.
///
/// # Errors
/// Nobody is there, or there are fewer sessions than connections.
pub(crate) async fn drive(
    plan: &Plan,
    chains: &Rc<RefCell<Chains>>,
    checks: &Rc<RefCell<Checks>>,
) -> Result<Outcome, Failure> {
    if matches!(plan.work, Work::Refresh) && chains.borrow().len() < plan.connections {
        return Err("there must be at least as many sessions as connections".into());
    }
    LocalSet::new().run_until(run(plan, chains.clone(), checks.clone())).await
}

async fn run(plan: &Plan, chains: Rc<RefCell<Chains>>, checks: Rc<RefCell<Checks>>) -> Result<Outcome, Failure> {
    let mut workers = Vec::new();
    let round = chains.borrow_mut().begin_round();
    for which in 0..plan.connections {
        workers.push(Worker::begin(plan, (which, round), &chains, &checks).await?);
    }
    let start = Instant::now();
    let from = start + plan.warm_up;
    let shared = Rc::new(Shared {
        plan: plan.clone(),
        turns: Turns::new(plan.pace, start, plan.warm_up + plan.length),
        record: RefCell::new(Some(Record::new(from, plan.length))),
        chains,
        checks,
    });
    let mut tasks = JoinSet::new();
    for worker in workers {
        tasks.spawn_local(worker.run(shared.clone()));
    }
    let storm = plan.storm.clone().map(|storm| tokio::task::spawn_local(rage(plan.server, storm, from + plan.length)));
    let watchers = [
        tokio::task::spawn_local(show(shared.clone(), start)),
        tokio::task::spawn_local(end_early(shared.clone(), plan.until.clone())),
    ];
    sleep_until(from).await;
    let (cpu, service_cpu) = (usage::own_cpu(), plan.pid.and_then(usage::cpu_of));
    while let Some(done) = tasks.join_next().await {
        done?;
    }
    let now = Instant::now();
    let (cpu, service_cpu_now) = (usage::own_cpu().saturating_sub(cpu), plan.pid.and_then(usage::cpu_of));
    for watcher in &watchers {
        watcher.abort();
    }
    let storm_sign_ins = match storm {
        Some(storm) => Some(storm.await??),
        None => None,
    };
    let record = shared.record.take().ok_or("it was finished before")?;
    let cores = |time: Duration| time.as_secs_f64() / (now - from).as_secs_f64();
    Ok(Outcome {
        connections: plan.connections,
        asked_per_second: match plan.pace {
            Pace::Closed => None,
            Pace::Open(rate) => Some(rate),
        },
        measured: record.finish(now),
        tool_cores: cores(cpu),
        tool_late_ms: shared.turns.latest().as_secs_f64() * 1000.0,
        service_cores: service_cpu.zip(service_cpu_now).map(|(before, after)| cores(after.saturating_sub(before))),
        service_peak_mib: plan.pid.and_then(usage::peak_memory_of).map(|kib| kib as f64 / 1024.0),
        storm_sign_ins,
    })
}

/// One connection.
struct Worker {
    connection: Connection,
    share: Share,
    /// For guarded routes: the access token, and whose session it is of.
    bearer: Option<(String, Option<SessionId>)>,
}

impl Worker {
    async fn begin(
        plan: &Plan,
        (which, round): (u64, u64),
        chains: &Rc<RefCell<Chains>>,
        checks: &Rc<RefCell<Checks>>,
    ) -> Result<Self, Failure> {
        let all = match &plan.work {
            Work::SignIn { users, .. } => *users,
            _ => chains.borrow().len(),
        };
        let mut connection = Connection::new(plan.server);
        connection.open().await.map_err(|error| format!("{}: {error}", plan.server))?;
        let mut share = Share::new(which, plan.connections, all, plan.order, round);
        let bearer = match &plan.work {
            Work::Guarded { bearer, .. } => Some((bearer.clone(), None)),
            Work::Me | Work::Verify => {
                let number = share.next();
                let token = access_token(&mut connection, number, chains, checks).await?;
                Some((token, chains.borrow().session(number)))
            }
            Work::Refresh | Work::SignIn { .. } | Work::Get(_) => None,
        };
        Ok(Self { connection, share, bearer })
    }

    async fn run(mut self, shared: Rc<Shared>) {
        while let Some(since) = shared.turns.next().await {
            let verdict = self.ask(&shared).await;
            let now = Instant::now();
            let failed = matches!(verdict, Err(Wrong::Connection(_)));
            if let Some(record) = &mut *shared.record.borrow_mut() {
                match verdict {
                    Ok(()) => record.right(since, now),
                    Err(wrong) => record.wrong(wrong),
                }
            }
            if failed {
                sleep(PAUSE).await;
            }
        }
    }

    async fn ask(&mut self, shared: &Shared) -> Result<(), Wrong> {
        let (connection, bearer) = (&mut self.connection, self.bearer.as_ref());
        match &shared.plan.work {
            Work::Refresh => refresh(connection, self.share.next(), &shared.chains, &shared.checks).await,
            Work::Guarded { path, .. } => profile(connection.ask(guarded(path, bearer)).await.map_err(lost)?),
            Work::Me => profile(connection.ask(guarded(ME, bearer)).await.map_err(lost)?),
            Work::Verify => {
                let session = bearer.and_then(|(_, session)| *session).ok_or(Wrong::Session)?;
                verified(connection.ask(guarded(VERIFY, bearer)).await.map_err(lost)?, session)
            }
            Work::SignIn { name, .. } => {
                let number = self.share.next();
                sign_in(connection, name, number, &shared.checks).await.map(drop)
            }
            Work::Get(path) => {
                let request = Request { method: "GET", path, bearer: None, json: None };
                anything(connection.ask(request).await.map_err(lost)?)
            }
        }
    }
}

fn guarded<'a>(path: &'a str, bearer: Option<&'a (String, Option<SessionId>)>) -> Request<'a> {
    let bearer = bearer.map(|(token, _)| token.as_str());
    Request { method: "GET", path, bearer, json: None }
}

/// Refreshes the session with this number.
pub(crate) async fn refresh(
    connection: &mut Connection,
    number: u64,
    chains: &RefCell<Chains>,
    checks: &RefCell<Checks>,
) -> Result<(), Wrong> {
    present(connection, number, chains, checks, |_| ()).await
}

/// The same; the new access token.
async fn access_token(
    connection: &mut Connection,
    number: u64,
    chains: &RefCell<Chains>,
    checks: &RefCell<Checks>,
) -> Result<String, Wrong> {
    present(connection, number, chains, checks, |tokens| tokens.token.to_owned()).await
}

async fn present<T>(
    connection: &mut Connection,
    number: u64,
    chains: &RefCell<Chains>,
    checks: &RefCell<Checks>,
    wanted: impl FnOnce(&Tokens<'_>) -> T,
) -> Result<T, Wrong> {
    let spent = chains.borrow_mut().take(number).map_err(|error| Wrong::Connection(error.to_string()))?;
    let request = Request { method: "POST", path: REFRESH, bearer: Some(&spent), json: None };
    let answered = connection.ask(request).await.map_err(lost);
    let checked = answered.and_then(|answer| checks.borrow_mut().refreshed(&spent, answer));
    // Without a right answer the same token is presented again.
    let (next, answer) = match checked {
        Ok(tokens) => (tokens.refresh_token.into(), Ok(wanted(&tokens))),
        Err(wrong) => (spent, Err(wrong)),
    };
    chains.borrow_mut().put(number, next);
    answer
}

/// Signs a user in; the refresh token.
pub(crate) async fn sign_in(
    connection: &mut Connection,
    name: &str,
    number: u64,
    checks: &RefCell<Checks>,
) -> Result<Box<str>, Wrong> {
    let body = credentials(name, number);
    let request = Request { method: "POST", path: SIGN_IN, bearer: None, json: Some(&body) };
    let answer = connection.ask(request).await.map_err(lost)?;
    checks.borrow_mut().signed_in(answer).map(|tokens| tokens.refresh_token.into())
}

pub(crate) fn credentials(name: &str, number: u64) -> String {
    format!(r#"{{"email":"{}","password":"{PASSWORD}"}}"#, email(name, number).as_str())
}

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` hands over")]
fn lost(error: std::io::Error) -> Wrong {
    Wrong::Connection(error.to_string())
}

/// Signs all of them in at once, again and again; how many succeeded.
async fn rage(server: SocketAddr, (name, users): (String, u64), until: Instant) -> Result<u64, String> {
    let mut connections: Vec<_> = (0..users).map(|number| (number, Connection::new(server))).collect();
    let mut signed_in = 0;
    while Instant::now() < until {
        let mut round = JoinSet::new();
        for (number, mut connection) in connections.drain(..) {
            let name = name.clone();
            round.spawn_local(async move {
                let checks = RefCell::new(Checks::new(None));
                let answer = sign_in(&mut connection, &name, number, &checks).await;
                (number, connection, answer)
            });
        }
        while let Some(done) = round.join_next().await {
            let (number, connection, answer) = done.map_err(|error| error.to_string())?;
            answer.map_err(|wrong| format!("a sign-in of the storm failed: {wrong}"))?;
            signed_in += 1;
            connections.push((number, connection));
        }
    }
    Ok(signed_in)
}

/// Ends the turns when somebody says so.
async fn end_early(shared: Rc<Shared>, until: Option<watch::Receiver<bool>>) {
    let Some(mut until) = until else { return };
    // An error means that nobody is there any more to say so: then it lasts until its time is up.
    if until.wait_for(|ended| *ended).await.is_ok() {
        shared.turns.end_at(Instant::now());
    }
}

/// How far it is.
async fn show(shared: Rc<Shared>, start: Instant) {
    let whole = shared.plan.warm_up + shared.plan.length;
    let bar = output::progress("{wide_bar} {msg}", whole.as_millis() as u64);
    loop {
        let elapsed = start.elapsed();
        let Some(answers) = shared.record.borrow().as_ref().map(Record::answers) else { return };
        let counted = elapsed.saturating_sub(shared.plan.warm_up).as_secs_f64();
        bar.set_position(elapsed.as_millis() as u64);
        if counted > 0.0 {
            bar.set_message(format!("{:.0}/s", answers as f64 / counted));
        }
        sleep(Duration::from_millis(200)).await;
    }
}
