//! A sweep by one instance, while others refresh.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use regrant_adapters::outbound::system::system_now;
use regrant_domain::ports::{NewSession, OpenOutcome};
use regrant_domain::usecases::sweep::{Retention, Sweep};

use super::{Fleet, Store, a_while, crowd, scaled, tell};
use crate::contract::bench::{a_session, by_lookup};
use crate::support::world::HOUR;

const RETENTION: Duration = HOUR;
/// How long a client waits between two refreshes, at most.
const PAUSE: Duration = Duration::from_millis(100);

pub(super) async fn a_sweep_beside_refreshes_disturbs_none(store: Store) {
    let (over, live) = (scaled(2000), 20);
    let fleet = Fleet::of(store.deploy().await).await;
    let ada = fleet.somebody().await;
    let user = ada.id.parse().unwrap();
    let expired = crowd(over, 64, |at| {
        let sessions = fleet.instances()[0].ports.sessions.clone();
        async move {
            let mut new: NewSession = a_session(user);
            let ended = system_now().minus(RETENTION * 2);
            new.session.created_at = ended.minus(HOUR);
            // One half is over, the other idle for too long.
            (new.session.ends_at, new.token.expires_at) =
                if at % 2 == 0 { (ended, ended) } else { (ended.plus(24 * HOUR), ended) };
            assert_eq!(sessions.open(new.clone()).await.unwrap(), OpenOutcome::Opened);
            new
        }
    })
    .await;

    let begun = Instant::now();
    let (swept, refreshes) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let refreshing = tokio::spawn({
        let (fleet, swept, refreshes) = (fleet.clone(), swept.clone(), refreshes.clone());
        async move {
            crowd(live, live, |_| {
                let (fleet, ada, swept, refreshes) = (fleet.clone(), ada.clone(), swept.clone(), refreshes.clone());
                async move {
                    let mut device = ada.at(fleet.turn(1)).signs_in().await;
                    let mut rounds = 0;
                    while rounds < 3 || !swept.load(Ordering::Relaxed) {
                        device.refreshes().await.is_granted();
                        device.is_signed_in().await;
                        rounds += 1;
                        refreshes.fetch_add(1, Ordering::Relaxed);
                        a_while(PAUSE).await;
                    }
                    device
                }
            })
            .await
        }
    });
    while refreshes.load(Ordering::Relaxed) == 0 && !refreshing.is_finished() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let sweep = Sweep::new(fleet.instances()[0].ports.clone(), Retention { sessions: RETENTION, history: RETENTION });
    let mut removed = 0;
    loop {
        let batch = sweep.batch().await.unwrap();
        removed += batch.removed;
        if batch.done {
            break;
        }
    }
    let took = begun.elapsed();
    swept.store(true, Ordering::Relaxed);
    assert_eq!(removed, over as u64);
    for mut device in refreshing.await.unwrap() {
        device.refreshes().await.is_granted();
    }
    for instance in fleet.instances() {
        for new in &expired[..expired.len().min(200)] {
            assert_eq!(instance.ports.sessions.find(&by_lookup(new)).await.unwrap(), None);
        }
        let left = instance.ports.sessions.list(user).await.unwrap();
        assert_eq!(left.len(), live, "the live ones, and no other");
    }
    let refreshes = refreshes.load(Ordering::Relaxed);
    tell(store, begun, &format!("{over} sessions swept in {took:.1?} beside {refreshes} refreshes of {live} others"));
}
