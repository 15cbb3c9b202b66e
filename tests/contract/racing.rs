//! Promises that only races can break.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use regrant_domain::ports::{
    End, EndAll, EndOutcome, NewSession, OpenOutcome, PortError, RotateOutcome, SessionRepository,
};
use regrant_domain::reason::EndReason;
use regrant_domain::session::Status;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::bench::{Bench, a_session, as_opened, by_id, by_lookup, minutes, rotated, rotation};
use super::ending::{an_end, ended};

/// Runs all of these from the same moment on.
async fn at_once<T, F>(futures: Vec<F>) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T, PortError>> + Send + 'static,
{
    let barrier = Arc::new(Barrier::new(futures.len()));
    let tasks: Vec<_> = futures
        .into_iter()
        .map(|future| {
            let barrier = barrier.clone();
            tokio::spawn(async move {
                barrier.wait().await;
                future.await
            })
        })
        .collect();
    let mut outcomes = Vec::new();
    for task in tasks {
        outcomes.push(task.await.unwrap().unwrap());
    }
    outcomes
}

/// Either handle in turn, as if two processes were at work.
fn handle(bench: &Bench, i: usize) -> Arc<dyn SessionRepository> {
    if i.is_multiple_of(2) { bench.sessions.clone() } else { bench.other.clone() }
}

pub(crate) async fn of_many_rotations_of_one_generation_exactly_one_applies(bench: &Bench) {
    for round in 1..=8 {
        let new = bench.session().await;
        let steps: Vec<_> = (0..32).map(|_| rotation(&as_opened(&new), minutes(round))).collect();
        let tasks = steps.iter().cloned().enumerate().map(|(i, step)| {
            let sessions = handle(bench, i);
            async move { sessions.rotate(step).await }
        });
        let outcomes = at_once(tasks.collect()).await;
        let winners: Vec<_> =
            outcomes.iter().zip(&steps).filter(|(outcome, _)| **outcome != RotateOutcome::NotCurrent).collect();
        let [(_, winner)] = winners[..] else { panic!("{} rotations applied", winners.len()) };
        assert_eq!(bench.found(&new).await, rotated(&as_opened(&new), winner), "the losers leave no trace");
    }
}

pub(crate) async fn of_many_equal_rotations_exactly_one_applies(bench: &Bench) {
    // What 32 tabs do that present one token: every server derives the same successor.
    for round in 1..=8 {
        let new = bench.session().await;
        let step = rotation(&as_opened(&new), minutes(round));
        let tasks = (0..32).map(|i| {
            let (sessions, step) = (handle(bench, i), step.clone());
            async move { sessions.rotate(step).await }
        });
        let outcomes = at_once(tasks.collect()).await;
        assert_eq!(outcomes.iter().filter(|o| **o != RotateOutcome::NotCurrent).count(), 1);
        assert_eq!(bench.found(&new).await, rotated(&as_opened(&new), &step));
    }
}

pub(crate) async fn a_session_that_ends_while_it_rotates_has_ended(bench: &Bench) {
    let user = bench.user().await.id;
    for round in 1..=40 {
        let new = bench.keep(a_session(user)).await;
        let step = rotation(&as_opened(&new), minutes(round));
        let next = rotation(&rotated(&as_opened(&new), &step), minutes(round + 1));
        let (a, b) = (bench.sessions.clone(), bench.other.clone());
        let end = an_end(by_id(&new), EndReason::SignedOut, minutes(round));
        let barrier = Arc::new(Barrier::new(2));
        let at_the_gate = barrier.clone();
        let refresher = tokio::spawn(async move {
            at_the_gate.wait().await;
            a.rotate(step).await.unwrap();
            a.rotate(next).await.unwrap();
        });
        barrier.wait().await;
        assert_eq!(b.end(end).await.unwrap(), EndOutcome::Ended);
        // From the acknowledgement on, nothing rotates, whatever is current.
        let now = bench.found(&new).await;
        let expected = Status::Ended { at: minutes(round), reason: EndReason::SignedOut };
        assert_eq!(now.session.status, expected);
        assert_eq!(b.rotate(rotation(&now, minutes(round))).await.unwrap(), RotateOutcome::NotCurrent);
        refresher.await.unwrap();
        assert_eq!(bench.found(&new).await, now, "nothing moves after the end");
    }
}

pub(crate) async fn of_a_rotation_and_an_end_decided_upon_one_token_one_applies(bench: &Bench) {
    let user = bench.user().await.id;
    for round in 1..=40 {
        let new = bench.keep(a_session(user)).await;
        let step = rotation(&as_opened(&new), minutes(round));
        let end = End {
            only_while: Some(new.token.held),
            ..an_end(by_lookup(&new), EndReason::ReuseDetected, minutes(round))
        };
        let (a, b) = (handle(bench, 0), handle(bench, 1));
        let (step_too, barrier) = (step.clone(), Arc::new(Barrier::new(2)));
        let at_the_gate = barrier.clone();
        let rotating = tokio::spawn(async move {
            at_the_gate.wait().await;
            a.rotate(step_too).await.unwrap()
        });
        barrier.wait().await;
        let ending = b.end(end).await.unwrap();
        let rotating = rotating.await.unwrap();
        let now = bench.found(&new).await;
        match ending {
            EndOutcome::Moved => assert_eq!(now, rotated(&as_opened(&new), &step)),
            EndOutcome::Ended => {
                assert_eq!(rotating, RotateOutcome::NotCurrent);
                assert_eq!(now, ended(as_opened(&new), EndReason::ReuseDetected, minutes(round)));
            }
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) async fn of_many_ends_one_is_the_first(bench: &Bench) {
    for round in 1..=8 {
        let new = bench.session().await;
        let reasons = EndReason::ALL.into_iter().cycle().take(16);
        let tasks = reasons.clone().enumerate().map(|(i, reason)| {
            let end = an_end(if i % 3 == 0 { by_id(&new) } else { by_lookup(&new) }, reason, minutes(round));
            let sessions = handle(bench, i);
            async move { sessions.end(end).await }
        });
        let outcomes = at_once(tasks.collect()).await;
        let firsts: Vec<_> = outcomes.iter().zip(reasons).filter(|(o, _)| **o == EndOutcome::Ended).collect();
        let [(_, first)] = firsts[..] else { panic!("{} ends applied", firsts.len()) };
        assert!(outcomes.iter().all(|o| matches!(o, EndOutcome::Ended | EndOutcome::AlreadyEnded)));
        assert_eq!(bench.found(&new).await, ended(as_opened(&new), first, minutes(round)));
    }
}

pub(crate) async fn ending_all_beside_rotations_leaves_no_session_alive(bench: &Bench) {
    for round in 1..=6 {
        let user = bench.user().await.id;
        let mut sessions = Vec::new();
        for _ in 0..6 {
            sessions.push(bench.keep(a_session(user)).await);
        }
        let mut refreshers = JoinSet::new();
        for (i, new) in sessions.iter().cloned().enumerate() {
            let store = handle(bench, i);
            refreshers.spawn(async move {
                let mut current = as_opened(&new);
                for minute in 1..=20 {
                    let step = rotation(&current, minutes(minute));
                    if store.rotate(step.clone()).await.unwrap() == RotateOutcome::NotCurrent {
                        return;
                    }
                    current = rotated(&current, &step);
                }
            });
        }
        let end = EndAll { user, but: None, reason: EndReason::PasswordChanged, at: minutes(round) };
        let mut said = bench.sessions.end_all(end).await.unwrap();
        for new in &sessions {
            let status = bench.found(new).await.session.status;
            assert_eq!(status, Status::Ended { at: minutes(round), reason: EndReason::PasswordChanged });
        }
        while let Some(refresher) = refreshers.join_next().await {
            refresher.unwrap();
        }
        let mut all: Vec<_> = sessions.iter().map(|s| s.session.id).collect();
        said.sort();
        all.sort();
        assert_eq!(said, all);
    }
}

/// Starts this in a task of its own and gives it up after a while that differs with `round`.
async fn give_up<T: Send + 'static>(round: u64, future: impl Future<Output = T> + Send + 'static) {
    let task = tokio::spawn(future);
    for _ in 0..round % 8 {
        tokio::task::yield_now().await;
    }
    if round.is_multiple_of(3) {
        tokio::time::sleep(Duration::from_micros(37 * round)).await;
    }
    task.abort();
    let _ = task.await;
}

pub(crate) async fn a_caller_that_goes_away_leaves_the_old_state_or_the_new_one(bench: &Bench) {
    let user = bench.user().await.id;
    for round in 1..=32 {
        let new = bench.keep(a_session(user)).await;
        let old = as_opened(&new);
        let step = rotation(&old, minutes(round));
        let next = rotated(&old, &step);
        let (sessions, step_too) = (bench.sessions.clone(), step.clone());
        give_up(round, async move { sessions.rotate(step_too).await }).await;
        // By one key only: the write may still be under way, and land between two reads.
        let now = bench.sessions.find(&by_lookup(&new)).await.unwrap().expect("the session is there");
        assert!(now == old || now == next, "never half");
        // Asking again settles it: it applies now, or had applied.
        bench.sessions.rotate(step).await.unwrap();
        assert_eq!(bench.found(&new).await, next);

        let sessions = bench.sessions.clone();
        let end = an_end(by_id(&new), EndReason::SignedOut, minutes(round));
        let end_too = end.clone();
        give_up(round, async move { sessions.end(end_too).await }).await;
        let now = bench.sessions.find(&by_lookup(&new)).await.unwrap().expect("the session is there");
        assert!(now == next || now == ended(next.clone(), EndReason::SignedOut, minutes(round)), "never half");
        assert!(matches!(bench.sessions.end(end).await.unwrap(), EndOutcome::Ended | EndOutcome::AlreadyEnded));
        assert_eq!(bench.found(&new).await, ended(next, EndReason::SignedOut, minutes(round)));
    }
}

pub(crate) async fn a_sign_in_that_goes_away_leaves_a_whole_session_or_none(bench: &Bench) {
    let user = bench.user().await.id;
    for round in 1..=32 {
        let new = a_session(user);
        let (sessions, new_too) = (bench.sessions.clone(), new.clone());
        give_up(round, async move { sessions.open(new_too).await }).await;
        // The opening may still be under way: read by one key only, then settle it by asking again.
        let now = bench.sessions.find(&by_lookup(&new)).await.unwrap();
        assert!(now.is_none_or(|now| now == as_opened(&new)), "never half");
        let _ = bench.sessions.open(new.clone()).await;
        assert_eq!(bench.found(&new).await, as_opened(&new));
    }
    assert_eq!(bench.sessions.list(user).await.unwrap().len(), 32);
}

pub(crate) async fn readers_that_go_away_do_not_make_later_reads_stale(bench: &Bench) {
    let new = bench.session().await;
    let mut current = as_opened(&new);
    for round in 1..=40 {
        for _ in 0..4 {
            let (sessions, key) = (bench.sessions.clone(), by_lookup(&new));
            give_up(round, async move { sessions.find(&key).await }).await;
        }
        let step = rotation(&current, minutes(round));
        bench.sessions.rotate(step.clone()).await.unwrap();
        current = rotated(&current, &step);
        for _ in 0..4 {
            assert_eq!(bench.found(&new).await, current);
        }
    }
}

pub(crate) async fn a_user_who_is_deleted_while_signing_in_leaves_no_session(bench: &Bench) {
    if !bench.shares_users {
        return;
    }
    for _ in 0..20 {
        let user = bench.user().await.id;
        let new: Vec<NewSession> = (0..4).map(|_| a_session(user)).collect();
        let tasks = new.iter().cloned().enumerate().map(|(i, new)| {
            let sessions = handle(bench, i);
            async move { sessions.open(new).await }
        });
        let opening = tokio::spawn(at_once(tasks.collect()));
        tokio::task::yield_now().await;
        assert!(bench.users.delete(user).await.unwrap());
        let outcomes = opening.await.unwrap();
        assert!(outcomes.iter().all(|o| matches!(o, OpenOutcome::Opened | OpenOutcome::NoSuchUser)));
        for new in &new {
            assert_eq!(bench.find(new).await, None);
        }
        assert_eq!(bench.sessions.list(user).await.unwrap(), []);
    }
}
