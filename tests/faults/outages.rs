//! Stores that are away for longer than any patience, at random points of many refreshes: every client that keeps the
//! contract ends with a working token, and nobody ever hears 401.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::chance::Chance;
use super::client::{Actor, Life};
use super::history::Heard;
use super::proxy::Wire;
use super::run::{Run, check};
use super::site::{Setup, Site, Wishes};
use super::{Amount, is_full, seed};

const CLIENTS: usize = 20;
/// Longer than all of it takes.
const MAX_AGE: Duration = Duration::from_hours(2);

pub(super) async fn outages_sign_nobody_out(setup: Setup) {
    if !setup.is_wanted() {
        return;
    }
    let (refreshes, outages): (usize, &[u64]) = if is_full() { (2_000, &[5, 45, 120]) } else { (400, &[5]) };
    let (begun, seed) = (Instant::now(), seed());
    println!("{}: REGRANT_FAULT_SEED={seed}", setup.name());
    let mut chance = Chance::new(seed);
    let site = Arc::new(Site::start(setup, &Wishes::new()).await);
    let run = Run::new(site.clone(), Amount { sessions: 0, operations: 0, faults: 0 });
    let done = Arc::<AtomicUsize>::default();
    let each = refreshes / CLIENTS;
    let mut clients: JoinSet<()> = (0..CLIENTS)
        .map(|number| {
            let actor = Actor { run: run.clone(), chance: chance.of(number as u64), one_at_a_time: true };
            client(actor, number, each, done.clone())
        })
        .collect();
    // When so many refreshes are done, the store is away.
    let mut points: Vec<u64> = outages.iter().map(|_| chance.below(refreshes as u64 * 9 / 10)).collect();
    points.sort_unstable();
    for (point, seconds) in points.iter().zip(outages) {
        while (done.load(Ordering::Relaxed) as u64) < *point {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let (there, span, lot) = (site.clone(), Duration::from_secs(*seconds), chance.next());
        run.recorder.note(format!("away for {seconds} s after {point} refreshes"));
        tokio::task::spawn_blocking(move || there.is_away(lot, span)).await.unwrap();
        run.recorder.note("there again".to_owned());
    }
    while let Some(one) = clients.join_next().await {
        one.expect("a client that keeps the contract ends with a working token");
    }
    let violations = tokio::task::block_in_place(|| check(&run, &site, MAX_AGE));
    let history = run.recorder.history();
    let unknown = history.records.iter().filter(|record| record.heard == Heard::Unknown).count();
    let refused = history.records.iter().filter(|record| matches!(record.heard, Heard::Refused(_))).count();
    println!(
        "{}: outages of {outages:?} s after {points:?} of {refreshes} refreshes: {CLIENTS} of {CLIENTS} clients end with a \
         working token, {unknown} answers were lost or 503, {refused} were 401, {:.0} s, seed {seed}",
        setup.name(),
        begun.elapsed().as_secs_f32()
    );
    assert!(violations.is_empty(), "seed {seed}: {violations:#?}");
    assert_eq!(refused, 0, "somebody heard 401");
    assert!(unknown > 0, "nobody noticed");
}

/// Refreshes so many times, each until it is served.
async fn client(mut actor: Actor, number: usize, refreshes: usize, done: Arc<AtomicUsize>) {
    let person = actor.signs_up(number).await;
    let mut device = actor.signs_in(&person).await;
    for _ in 0..refreshes {
        assert_eq!(actor.refreshes(&mut device).await, Life::Goes, "signed out");
        done.fetch_add(1, Ordering::Relaxed);
        actor.breathes().await;
    }
    assert_eq!(actor.verifies(&device).await, Life::Goes, "signed out");
}

impl Site {
    /// The store is away for so long: cut off, silent, or killed, by this lot.
    fn is_away(&self, lot: u64, span: Duration) {
        match (self.setup, lot % 3) {
            (Setup::Sqlite, _) => {
                self.is_full(true);
                std::thread::sleep(span);
                self.is_full(false);
            }
            (Setup::Postgres | Setup::Redis | Setup::RedisSentinel, 0) => self.store_dies(0, span),
            (_, 1) => self.loses_its_wires(Wire::Held, span),
            _ => self.loses_its_wires(Wire::Gone, span),
        }
    }

    fn loses_its_wires(&self, wire: Wire, span: Duration) {
        self.wires_become(wire, 8);
        std::thread::sleep(span);
        self.wires_become(Wire::Whole, 8);
    }
}
