//! Promises about sweeping.
//!
//! Other cases may use the same server, so all sweeps have one cutoff, in 1971: what a case wants swept is over by
//! then, and what it wants kept is not.

use std::time::Duration;

use regrant_domain::ids::UserId;
use regrant_domain::ports::{NewSession, RotateOutcome};
use regrant_domain::reason::EndReason;
use regrant_domain::time::Timestamp;

use super::bench::{Bench, a_bare_session, a_session, as_opened, by_id, rotation};
use super::ending::{an_end, ended, stays_gone};

const CUTOFF: Timestamp = Timestamp::from_millis(31_536_000_000); // 1971-01-01
const DAY: Duration = Duration::from_hours(24);

fn before(days: u32) -> Timestamp {
    CUTOFF.minus(DAY * days)
}

fn later(days: u32) -> Timestamp {
    CUTOFF.plus(DAY * days)
}

/// A session of 1970.
fn old(user: UserId, expires_at: Timestamp, ends_at: Timestamp) -> NewSession {
    let mut new = a_session(user);
    new.session.created_at = before(300);
    new.token.expires_at = expires_at;
    new.session.ends_at = ends_at;
    new
}

async fn sweep(bench: &Bench, limit: u32) -> u64 {
    let mut removed = 0;
    for _ in 0..100_000 {
        let swept = bench.sessions.sweep(CUTOFF, limit).await.unwrap();
        assert!(swept.removed <= u64::from(limit), "a batch keeps its limit");
        removed += swept.removed;
        if swept.done {
            return removed;
        }
    }
    panic!("it never says that it is done");
}

pub(crate) async fn what_is_over_at_the_cutoff_is_swept_and_stays_gone(bench: &Bench) {
    let user = bench.user().await.id;
    let mut over = vec![
        bench.keep(old(user, before(1), later(900))).await,
        bench.keep(old(user, CUTOFF, later(900))).await,
        bench.keep(old(user, before(10), before(10))).await,
        bench.keep(old(user, CUTOFF, CUTOFF)).await,
    ];
    let mut bare = a_bare_session(user);
    bare.token.expires_at = before(2);
    over.push(bench.keep(bare).await);
    for at in [before(5), CUTOFF] {
        let new = bench.keep(old(user, later(400), later(900))).await;
        bench.sessions.end(an_end(by_id(&new), EndReason::SignedOut, at)).await.unwrap();
        over.push(new);
    }
    sweep(bench, 1_000).await;
    for gone in &over {
        stays_gone(bench, gone).await;
    }
}

pub(crate) async fn what_is_live_or_over_later_is_kept(bench: &Bench) {
    let user = bench.user().await.id;
    let kept = [
        bench.keep(a_session(user)).await,
        bench.keep(old(user, CUTOFF.plus(Duration::from_millis(1)), later(900))).await,
        bench.keep(old(user, later(400), later(400))).await,
    ];
    let over_later = bench.keep(old(user, later(400), later(900))).await;
    let at = CUTOFF.plus(Duration::from_millis(1));
    bench.sessions.end(an_end(by_id(&over_later), EndReason::SignedOut, at)).await.unwrap();
    for _ in 0..3 {
        sweep(bench, 1_000).await;
    }
    for new in &kept {
        assert_eq!(bench.found(new).await, as_opened(new));
    }
    assert_eq!(bench.found(&over_later).await, ended(as_opened(&over_later), EndReason::SignedOut, at));
    assert_eq!(bench.sessions.list(user).await.unwrap().len(), 4);
}

pub(crate) async fn a_session_that_a_rotation_prolonged_is_kept(bench: &Bench) {
    let user = bench.user().await.id;
    // A sweep of another case may come between the opening and the rotation, rightly.
    for _ in 0..50 {
        let new = bench.keep(old(user, before(50), later(900))).await;
        let mut step = rotation(&as_opened(&new), before(100));
        step.idle_expires_at = later(30);
        if bench.sessions.rotate(step).await.unwrap() == RotateOutcome::NotCurrent {
            continue;
        }
        let now = bench.found(&new).await;
        for _ in 0..3 {
            sweep(bench, 7).await;
            assert_eq!(bench.found(&new).await, now);
        }
        // It lives: it rotates, and once it has ended it is swept like any other.
        let mut step = rotation(&now, later(1));
        step.idle_expires_at = later(31);
        assert!(matches!(bench.sessions.rotate(step).await.unwrap(), RotateOutcome::Rotated(_)));
        bench.sessions.end(an_end(by_id(&new), EndReason::SignedOut, before(1))).await.unwrap();
        sweep(bench, 7).await;
        stays_gone(bench, &new).await;
        return;
    }
    panic!("it was swept fifty times between opening and rotation");
}

pub(crate) async fn small_batches_come_to_an_end_and_sweep_everything(bench: &Bench) {
    let user = bench.user().await.id;
    let mut over = Vec::new();
    for i in 0..13 {
        over.push(bench.keep(old(user, before(i), later(900))).await);
    }
    let kept = bench.keep(old(user, later(1), later(900))).await;
    sweep(bench, 3).await;
    for gone in &over {
        assert_eq!(bench.find(gone).await, None);
    }
    assert_eq!(bench.sessions.list(user).await.unwrap(), [as_opened(&kept)]);
    sweep(bench, 3).await;
    assert_eq!(bench.found(&kept).await, as_opened(&kept));
}

pub(crate) async fn two_sweepers_at_once_do_not_disturb_each_other(bench: &Bench) {
    let user = bench.user().await.id;
    for _ in 0..24 {
        bench.keep(old(user, before(3), later(900))).await;
    }
    let kept = bench.keep(old(user, later(1), later(900))).await;
    let sweep_by = |sessions: std::sync::Arc<dyn regrant_domain::ports::SessionRepository>| {
        tokio::spawn(async move {
            while !sessions.sweep(CUTOFF, 2).await.unwrap().done {
                tokio::task::yield_now().await;
            }
        })
    };
    let sweepers: Vec<_> =
        (0..4).map(|i| sweep_by(if i % 2 == 0 { bench.sessions.clone() } else { bench.other.clone() })).collect();
    for sweeper in sweepers {
        sweeper.await.unwrap();
    }
    assert_eq!(bench.sessions.list(user).await.unwrap(), [as_opened(&kept)]);
}
