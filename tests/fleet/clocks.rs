//! Machines whose clocks are ten minutes apart.

use std::sync::Arc;
use std::time::{Duration, Instant};

use regrant_adapters::outbound::system::{SystemClock, system_now};
use regrant_domain::ports::Clock;
use regrant_domain::time::Timestamp;

use super::instances::Instance;
use super::{Fleet, Store, tell};
use crate::support::actors::Device;
use crate::support::world::MINUTE;

const APART: Duration = Duration::from_mins(10);
const WINDOW: Duration = Duration::from_secs(3);
const IDLE: Duration = Duration::from_secs(6);
/// How far from an edge it is looked, so that a slow machine is not taken for a wrong clock.
const MARGIN: Duration = Duration::from_millis(1_500);

/// The clock of a service on a machine whose own clock is ahead.
struct OnThatMachine {
    ahead: Duration,
    follows: SystemClock,
}

impl OnThatMachine {
    fn machine_now(&self) -> Timestamp {
        system_now().plus(self.ahead)
    }

    /// Measures, as a service does at its start and then regularly.
    async fn measures(&self, instance: &Instance) {
        let sent = self.machine_now();
        let store_now = instance.time.store_now().await.unwrap();
        let skew = self.follows.observe(store_now, sent, self.machine_now());
        assert_eq!(skew.exceeds(Duration::from_secs(1)), !self.ahead.is_zero(), "{skew:?}");
    }
}

impl Clock for OnThatMachine {
    fn now(&self) -> Timestamp {
        // `follows` reads the true clock of this machine, where the other machine would read its own.
        self.follows.now().plus(self.ahead)
    }
}

/// Two instances, of which the second is on a machine whose clock is ahead. (The offset of its [`SystemClock`] makes up
/// for that, once it has measured.)
async fn fleet(store: Store, idle: Duration) -> (Fleet, [Arc<OnThatMachine>; 2]) {
    let clocks = [Duration::ZERO, APART].map(|ahead| Arc::new(OnThatMachine { ahead, follows: SystemClock::new() }));
    let fleet = Fleet::with(store.deploy().await, |at, plan| {
        plan.ports.clock = clocks[at].clone();
        plan.policies.refresh.replay_window = WINDOW;
        plan.policies.refresh.ttl = idle;
    })
    .await;
    (fleet, clocks)
}

async fn measure(fleet: &Fleet, clocks: &[Arc<OnThatMachine>]) {
    for (clock, instance) in clocks.iter().zip(fleet.instances()) {
        clock.measures(instance).await;
    }
    let [first, second] = fleet.instances() else { panic!("two instances") };
    let apart = second.ports.clock.now().millis() - first.ports.clock.now().millis();
    assert!(apart.abs() < 500, "{apart} ms apart");
}

pub(super) async fn instances_whose_clocks_differ_decide_alike(store: Store) {
    let begun = Instant::now();
    tokio::join!(the_replay_window(store), the_idle_expiry(store), what_would_be_otherwise(store));
    tell(store, begun, "two instances with clocks ten minutes apart decided alike");
}

/// Within the window both replay; after it both call it reuse.
async fn the_replay_window(store: Store) {
    let (fleet, clocks) = fleet(store, 60 * MINUTE).await;
    measure(&fleet, &clocks).await;
    let ada = fleet.somebody().await;
    for (first, second) in [(0, 1), (1, 0)] {
        let (inside, outside) =
            (spent(&fleet, &ada.signs_in().await, first).await, spent(&fleet, &ada.signs_in().await, first).await);
        for at in [first, second] {
            let again = inside.device.at(fleet.turn(at)).presents(&inside.device.refresh).await.is_granted();
            assert_eq!(again, inside.successor);
        }
        tokio::time::sleep_until((inside.since + WINDOW.saturating_sub(MARGIN)).into()).await;
        for at in [first, second] {
            let again = inside.device.at(fleet.turn(at)).presents(&inside.device.refresh).await.is_granted();
            assert_eq!(again, inside.successor, "still within the window");
        }
        tokio::time::sleep_until((outside.since + WINDOW + MARGIN).into()).await;
        inside.device.at(fleet.turn(first)).presents(&inside.device.refresh).await.is_refused("reuse_detected");
        outside.device.at(fleet.turn(second)).presents(&outside.device.refresh).await.is_refused("reuse_detected");
    }
}

struct Spent {
    device: Device,
    successor: String,
    since: Instant,
}

/// Spends a token, at this instance.
async fn spent(fleet: &Fleet, device: &Device, at: usize) -> Spent {
    let successor = device.at(fleet.turn(at)).presents(&device.refresh).await.is_granted();
    Spent { device: device.clone(), successor, since: Instant::now() }
}

/// Before the expiry both refresh; after it both refuse.
async fn the_idle_expiry(store: Store) {
    let (fleet, clocks) = fleet(store, IDLE).await;
    measure(&fleet, &clocks).await;
    let ada = fleet.somebody().await;
    for (first, second) in [(0, 1), (1, 0)] {
        let (mut early, late) =
            (ada.at(fleet.turn(first)).signs_in().await, ada.at(fleet.turn(first)).signs_in().await);
        let since = Instant::now();
        tokio::time::sleep_until((since + IDLE.saturating_sub(MARGIN)).into()).await;
        early = early.at(fleet.turn(second));
        early.refreshes().await.is_granted();
        tokio::time::sleep_until((since + IDLE + MARGIN).into()).await;
        for at in [first, second] {
            late.at(fleet.turn(at)).presents(&late.refresh).await.is_refused("expired");
        }
        early.at(fleet.turn(first)).refreshes().await.is_granted();
    }
}

/// That the other machine's clock is wrong can be seen, as long as its service does not follow the store's.
async fn what_would_be_otherwise(store: Store) {
    let (fleet, _) = fleet(store, IDLE).await;
    let ada = fleet.somebody().await;
    let device = ada.signs_in().await;
    device.at(fleet.turn(1)).presents(&device.refresh).await.is_refused("expired");
    device.at(fleet.turn(0)).presents(&device.refresh).await.is_granted();
}
