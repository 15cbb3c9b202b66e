//! A run: clients act on a set-up while its nemesis does harm, and then what they heard is checked.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, block_in_place};

use super::chance::Chance;
use super::checks::{Terms, violations};
use super::client::{Actor, Device, Life, Person};
use super::history::{Heard, Recorder};
use super::leaks::Secrets;
use super::nemesis::{carry_out, plan};
use super::session::unexplained;
use super::site::{Setup, Site, Wishes};
use super::wire::{Ask, Came, Line, Reply};

/// Clients at once.
const CLIENTS: usize = 48;
/// How long a session lasts, so that some expire within a run.
const MAX_AGE: Duration = Duration::from_secs(30);
/// Delayed answers may mislead a service about the clock of its store by so much.
const MARGIN: Duration = Duration::from_secs(2);

/// How much is done at least.
#[derive(Debug, Clone, Copy)]
pub(super) struct Amount {
    pub(super) sessions: usize,
    pub(super) operations: u64,
    pub(super) faults: usize,
}

/// What everybody in a run shares.
pub(super) struct Run {
    pub(super) line: Line,
    pub(super) recorder: Recorder,
    pub(super) sign_ins: Semaphore,
    pub(super) duplicates: tokio::sync::Mutex<JoinSet<()>>,
    pub(super) operations: AtomicU64,
    peace: AtomicBool,
    amount: Amount,
    odd: Mutex<Vec<String>>,
    secrets: Mutex<Secrets>,
    /// Devices that are put aside until all faults are over.
    kept: Mutex<Vec<(Device, Chance)>>,
}

impl Run {
    pub(super) fn new(site: Arc<Site>, amount: Amount) -> Arc<Self> {
        Arc::new(Self {
            line: Line::new(site),
            recorder: Recorder::new(),
            sign_ins: Semaphore::new(4),
            duplicates: tokio::sync::Mutex::default(),
            operations: AtomicU64::default(),
            peace: AtomicBool::default(),
            amount,
            odd: Mutex::default(),
            secrets: Mutex::default(),
            kept: Mutex::default(),
        })
    }

    /// Sends a request, and counts it if there was somebody to send it to.
    pub(super) async fn send(&self, ask: &Ask, at: usize) -> Reply {
        let reply = self.line.send(ask, at).await;
        if !matches!(reply, Reply::NotSent) {
            self.operations.fetch_add(1, Ordering::Relaxed);
        }
        reply
    }

    /// An answer outside of a session that should never be given.
    pub(super) fn is_odd(&self, what: &str, came: &Came) {
        let said = format!("I7: {what} was answered {}", came.told());
        self.recorder.note(said.clone());
        self.odd.lock().unwrap().push(said);
    }

    fn is_enough(&self) -> bool {
        self.peace.load(Ordering::Relaxed) && self.done_of(1) >= 1
    }

    /// How much was done, where so many parts are all that is to be done.
    fn done_of(&self, parts: usize) -> usize {
        let sessions = self.recorder.sessions() * parts / self.amount.sessions;
        let operations = self.operations.load(Ordering::Relaxed) * parts as u64 / self.amount.operations;
        sessions.min(usize::try_from(operations).unwrap())
    }
}

impl Actor {
    /// Signs up, then has one session after another.
    async fn lives(mut self, number: usize) {
        let person = self.signs_up(number).await;
        while !self.run.is_enough() {
            self.has_a_session(&person).await;
        }
    }

    pub(super) async fn signs_up(&mut self, number: usize) -> Person {
        let mut person = Person { number, id: String::new(), email: format!("user-{number}@example.org") };
        let body = json!({ "email": person.email, "password": person.password() });
        let ask = Ask::new(Method::POST, "/api/users").json(body);
        let run = self.run.clone();
        loop {
            let turn = run.sign_ins.acquire().await.unwrap();
            match run.send(&ask, 0).await {
                Reply::Came(came) if came.status == 201 => {
                    person.id = came.text("id");
                    return person;
                }
                Reply::Came(came) if !came.is_unavailable() => panic!("a sign-up was answered {}", came.told()),
                _ => drop(turn),
            }
            self.breathes().await;
        }
    }

    async fn has_a_session(&mut self, person: &Person) {
        let mut device = self.signs_in(person).await;
        for _ in 0..self.chance.between(5, 14) {
            if !device.may_rotate() {
                break;
            }
            if self.chance.percent(4) {
                self.duplicates(&mut device).await;
            }
            if self.refreshes(&mut device).await == Life::Over || self.verifies(&device).await == Life::Over {
                return;
            }
            if self.chance.percent(3) {
                self.forges(&device).await;
            }
        }
        if self.chance.percent(10) {
            device.tells_its_secrets(&mut self.run.secrets.lock().unwrap());
        }
        match self.chance.below(100) {
            0..15 => self.revokes(&device).await,
            15..30 => self.revokes_beside_a_refresh(&mut device).await,
            30..36 => self.ends_all(&device).await,
            // Older than what is remembered of spent tokens, even if an answer was lost.
            36..45 if device.generation() >= 6 => self.is_robbed(&device).await,
            _ => {
                let own = self.chance.of(device.number as u64);
                self.run.kept.lock().unwrap().push((device, own));
                return;
            }
        }
        // It is over for everybody.
        self.verifies(&device).await;
        if device.may_rotate() {
            self.refreshes(&mut device).await;
        }
    }

    async fn revokes_beside_a_refresh(&mut self, device: &mut Device) {
        if !device.may_rotate() {
            return self.revokes(device).await;
        }
        let revoker = device.clone();
        let mut other = self.twin();
        tokio::join!(other.revokes(&revoker), async {
            self.refreshes(device).await;
        });
    }
}

/// What a run came to.
pub(super) struct Summary {
    setup: Setup,
    seed: u64,
    sessions: usize,
    operations: u64,
    unknown: usize,
    faults: BTreeMap<&'static str, usize>,
    served_at_last: usize,
    took: Duration,
    history: PathBuf,
    violations: Vec<String>,
}

/// Writes the history when a run is over, however it ends.
struct Written<'a> {
    run: &'a Run,
    path: PathBuf,
}

impl Drop for Written<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.run.recorder.history().write(&self.path) {
            println!("{}: {error}", self.path.display());
        }
    }
}

/// The service, so that all that a run is to see happens within it.
fn wishes() -> Wishes {
    Wishes { differ: true, ..Wishes::new() }
        .with("REGRANT__SESSION__MAX_AGE", format!("{}s", MAX_AGE.as_secs()))
        .with("REGRANT__CLOCK__CHECK_EVERY", "1s")
        .with("REGRANT__SWEEP__EVERY", "2s")
        .with("REGRANT__STORE__STATEMENT_TIMEOUT", "1s")
        .with("REGRANT__STORE__MAX_CONNECTIONS", "8")
        .with("REGRANT__SERVER__REQUEST_TIMEOUT", "5s")
        .with("REGRANT__SERVER__SHUTDOWN_GRACE", "1s")
}

/// Runs a set-up, checks what was heard, and tells of it.
pub(super) async fn run(setup: Setup, amount: Amount, seed: u64) -> Summary {
    println!("{}: REGRANT_FAULT_SEED={seed}", setup.name());
    let begun = Instant::now();
    let site = Arc::new(Site::start(setup, &wishes()).await);
    let run = Run::new(site.clone(), amount);
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("faults-{}.jsonl", setup.name()));
    let written = Written { run: &run, path };
    let faults = harm(&run, &site, &Chance::new(seed)).await;
    let served_at_last = in_the_end(&run).await;
    let mut violations = block_in_place(|| check(&run, &site, MAX_AGE));
    let idle = site.left_in_transactions().await;
    if idle > 0 {
        violations.push(format!("{idle} connections were left in a transaction"));
    }
    let history = run.recorder.history();
    Summary {
        setup,
        seed,
        sessions: history.sessions.len(),
        operations: run.operations.load(Ordering::Relaxed),
        unknown: history.records.iter().filter(|record| record.heard == Heard::Unknown).count(),
        faults,
        served_at_last,
        took: begun.elapsed(),
        history: written.path.clone(),
        violations,
    }
}

/// Clients act until enough is done, and meanwhile the plan of this seed is carried out.
async fn harm(run: &Arc<Run>, site: &Arc<Site>, chance: &Chance) -> BTreeMap<&'static str, usize> {
    let clients: JoinSet<()> = (0..CLIENTS)
        .map(|at| Actor { run: run.clone(), chance: chance.of(at as u64), one_at_a_time: false }.lives(at))
        .collect();
    // Everybody has signed up and is at work.
    while run.recorder.sessions() < CLIENTS {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let plan = plan(site.setup, run.amount.faults, &mut chance.of(1_000));
    let faults =
        carry_out(site, plan, chance.of(1_001), |parts| run.done_of(parts), |what| run.recorder.note(what)).await;
    run.peace.store(true, Ordering::Relaxed);
    clients.join_all().await;
    std::mem::take(&mut *run.duplicates.lock().await).join_all().await;
    faults
}

/// All faults are over: every client that was put aside is served, or hears why its session is over.
async fn in_the_end(run: &Arc<Run>) -> usize {
    let kept = std::mem::take(&mut *run.kept.lock().unwrap());
    let turns = Arc::new(Semaphore::new(CLIENTS));
    // The latest first: they have turns one after another, and the others hear that their time is up whenever it is theirs.
    let mut ending: JoinSet<bool> = kept
        .into_iter()
        .rev()
        .map(|(mut device, chance)| {
            let (turns, mut actor) = (turns.clone(), Actor { run: run.clone(), chance, one_at_a_time: false });
            async move {
                if !device.may_rotate() {
                    tokio::time::sleep(device.rest()).await;
                }
                let _turn = turns.acquire().await.unwrap();
                actor.refreshes(&mut device).await == Life::Goes && actor.verifies(&device).await == Life::Goes
            }
        })
        .collect();
    let mut served = 0;
    while let Some(one) = ending.join_next().await {
        served += usize::from(one.unwrap());
    }
    served
}

/// Everything that is wrong with what was heard, and with where it was kept.
pub(super) fn check(run: &Run, site: &Site, max_age: Duration) -> Vec<String> {
    let history = run.recorder.history();
    let mut found = violations(&history, Terms { max_age, margin: MARGIN });
    found.extend(unexplained(&history));
    found.extend(run.odd.lock().unwrap().drain(..));
    let leaks = run.secrets.lock().unwrap().found_in(&site.folders());
    found.extend(leaks.into_iter().map(|file| format!("a token lies in {}", file.display())));
    found
}

impl Summary {
    /// Fails if anything was violated, or if too little was done to see it.
    pub(super) fn is_clean(&self, amount: Amount) {
        let faults: usize = self.faults.values().sum();
        println!(
            "{}: {} sessions, {} operations ({} of unknown outcome), {faults} faults {:?}, {} clients served at last, \
             {} violations, {:.0} s, seed {}, history in {}",
            self.setup.name(),
            self.sessions,
            self.operations,
            self.unknown,
            self.faults,
            self.served_at_last,
            self.violations.len(),
            self.took.as_secs_f32(),
            self.seed,
            self.history.display(),
        );
        let mut by_kind: BTreeMap<&str, Vec<&String>> = BTreeMap::new();
        for violation in &self.violations {
            by_kind.entry(violation.split([':', ' ']).next().unwrap_or_default()).or_default().push(violation);
        }
        for (kind, all) in &by_kind {
            println!("{kind}, {} times, such as {}", all.len(), all[0]);
        }
        assert!(by_kind.is_empty(), "seed {}: see above, and the history", self.seed);
        assert!(self.sessions >= amount.sessions && self.operations >= amount.operations && faults >= amount.faults);
        assert!(self.unknown > 0 && self.served_at_last > 0, "nothing was put to the test");
    }
}
