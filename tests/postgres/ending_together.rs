//! Ends that wait at the same time go to the server as one statement. Here is what only a batch can get wrong.

use regrant_domain::ports::{
    End, EndOutcome, NewSession, PortError, RotateOutcome, SessionKey, SessionRepository as _, UserRepository as _,
};
use regrant_domain::reason::EndReason;
use regrant_domain::refresh_token::{Held, LookupKey};
use regrant_domain::session::{Snapshot, Status};
use sqlx::Executor as _;

use super::{PostgresStore, all_at_once, connect, deadlocks_of, each_at_once, look};
use crate::contract::bench::{
    a_bare_session, a_hash, a_session, a_session_id, a_user, as_opened, by_id, by_lookup, minutes, rotated, rotation,
};
use crate::contract::ending::{an_end, ended};

const MANY: usize = 200;

/// A store with two connections, so that whatever comes at once has to wait, and sessions of both kinds of keys.
async fn scene() -> Option<(PostgresStore, Vec<NewSession>)> {
    let store = connect(&super::database().await?, 2).await;
    let sessions = sessions(&store).await;
    Some((store, sessions))
}

async fn sessions(store: &PostgresStore) -> Vec<NewSession> {
    let user = a_user();
    store.add(user.clone()).await.unwrap();
    let make = |place: usize| if place.is_multiple_of(2) { a_session(user.id) } else { a_bare_session(user.id) };
    let all: Vec<_> = (0..MANY).map(make).collect();
    each_at_once(store, &all, |store, new| async move { store.open(new).await.unwrap() }).await;
    all
}

async fn ended_at_once(store: &PostgresStore, ends: &[End]) -> Vec<Result<EndOutcome, PortError>> {
    each_at_once(store, ends, |store, end| async move { store.end(end).await }).await
}

async fn found(store: &PostgresStore, new: &NewSession) -> Snapshot {
    super::find(store, new.session.id).await.unwrap().unwrap()
}

/// By its id or by its key, with a reason and an instant of its own.
fn an_end_of(new: &NewSession, place: usize) -> End {
    let key = if place % 4 < 2 { by_id(new) } else { by_lookup(new) };
    an_end(key, EndReason::ALL[place % EndReason::ALL.len()], minutes(10 + place as u64))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_is_ended_for_its_own_reason_only_where_its_own_guard_holds() {
    let Some((store, sessions)) = scene().await else { return };
    let (mut ends, mut expected) = (Vec::new(), Vec::new());
    for (place, new) in sessions.iter().enumerate() {
        let (held, before) = (new.token.held, as_opened(new));
        let end = an_end_of(new, place);
        let done = ended(before.clone(), end.reason, end.at);
        let (end, outcome, after) = match place / 4 % 6 {
            0 => (end, EndOutcome::Ended, done),
            1 => (End { only_while: Some(held), ..end }, EndOutcome::Ended, done),
            2 => (End { only_while: Some(Held { hash: a_hash(), ..held }), ..end }, EndOutcome::Moved, before),
            3 => {
                let other = Held { generation: held.generation.next(), ..held };
                (End { only_while: Some(other), ..end }, EndOutcome::Moved, before)
            }
            4 => {
                let first = an_end(by_id(new), EndReason::SessionLimit, minutes(1));
                store.end(first).await.unwrap();
                (end, EndOutcome::AlreadyEnded, ended(before, EndReason::SessionLimit, minutes(1)))
            }
            _ => {
                let nobody = a_session_id();
                let by_key = SessionKey::Lookup(LookupKey::of_session(nobody));
                let key = if place % 4 < 2 { SessionKey::Id(nobody) } else { by_key };
                (End { session: key, ..end }, EndOutcome::NotFound, before)
            }
        };
        ends.push(end);
        expected.push((outcome, after));
    }
    for (place, outcome) in ended_at_once(&store, &ends).await.into_iter().enumerate() {
        assert_eq!(outcome.unwrap(), expected[place].0, "{place}");
        assert_eq!(found(&store, &sessions[place]).await, expected[place].1, "{place}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_ends_of_one_session_one_applies_and_the_others_are_told_so() {
    let Some((store, sessions)) = scene().await else { return };
    // The first of each four is not to apply at all; of the others, which are of both kinds of keys, one.
    let ends: Vec<_> = sessions
        .iter()
        .flat_map(|new| {
            let stale = Some(Held { hash: a_hash(), ..new.token.held });
            (0..4).map(move |n| End {
                only_while: if n == 0 { stale } else { (n == 3).then_some(new.token.held) },
                ..an_end_of(new, n)
            })
        })
        .collect();
    let outcomes: Vec<_> = ended_at_once(&store, &ends).await.into_iter().map(Result::unwrap).collect();
    for (place, new) in sessions.iter().enumerate() {
        let (ends, outcomes) = (&ends[place * 4..][..4], &outcomes[place * 4..][..4]);
        assert!(matches!(outcomes[0], EndOutcome::Moved | EndOutcome::AlreadyEnded), "{outcomes:?}");
        let applied: Vec<_> = (1..4).filter(|n| outcomes[*n] == EndOutcome::Ended).collect();
        let [winner] = applied.as_slice() else { panic!("{outcomes:?}") };
        assert_eq!(outcomes.iter().filter(|o| **o == EndOutcome::AlreadyEnded).count() + 1, {
            if outcomes[0] == EndOutcome::Moved { 3 } else { 4 }
        });
        let end = &ends[*winner];
        assert_eq!(found(&store, new).await, ended(as_opened(new), end.reason, end.at));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_the_server_refuses_or_that_cannot_be_fails_alone() {
    let Some(url) = super::database().await else { return };
    let store = connect(&url, 2).await;
    let sessions = sessions(&store).await;
    let mut ends: Vec<_> = sessions.iter().enumerate().map(|(place, new)| an_end_of(new, place)).collect();
    // Somebody has removed a session, and left its token.
    let lost = ends.iter_mut().zip(&sessions).skip(1).step_by(20).map(|(end, new)| {
        end.session = by_lookup(new);
        format!("'{}'", new.session.id)
    });
    let lost = format!("DELETE FROM sessions WHERE id IN ({})", lost.collect::<Vec<_>>().join(","));
    look(&url).await.execute(sqlx::AssertSqlSafe(lost)).await.unwrap();
    for (place, outcome) in ended_at_once(&store, &ends[..MANY / 2]).await.into_iter().enumerate() {
        match place % 20 {
            1 => assert!(matches!(outcome, Err(PortError::Corrupt { .. })), "{place}: {outcome:?}"),
            _ => assert_eq!(outcome.unwrap(), EndOutcome::Ended, "{place}"),
        }
    }
    for poisoned in ends.iter_mut().step_by(20) {
        // No text of Postgres has this character, so the server refuses the whole statement.
        poisoned.session = SessionKey::Lookup(LookupKey::stored("a\0b".into()));
    }
    for (place, outcome) in ended_at_once(&store, &ends[MANY / 2..]).await.into_iter().enumerate() {
        match place % 20 {
            0 | 1 => assert!(outcome.is_err(), "{place}: {outcome:?}"),
            _ => assert_eq!(outcome.unwrap(), EndOutcome::Ended, "{place}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_caller_asks_for_one_after_the_other_is_done_in_that_order() {
    let Some((store, sessions)) = scene().await else { return };
    let each = sessions.iter().enumerate().map(|(place, new)| {
        let (store, new) = (store.clone(), new.clone());
        async move {
            let step = rotation(&as_opened(&new), minutes(1));
            assert!(matches!(store.rotate(step.clone()).await.unwrap(), RotateOutcome::Rotated(_)));
            let now = rotated(&as_opened(&new), &step);
            let end = End { only_while: Some(step.to), ..an_end_of(&new, place) };
            assert_eq!(store.end(end.clone()).await.unwrap(), EndOutcome::Ended);
            assert_eq!(store.rotate(rotation(&now, minutes(2))).await.unwrap(), RotateOutcome::NotCurrent);
            assert_eq!(store.end(end).await.unwrap(), EndOutcome::AlreadyEnded);
        }
    });
    all_at_once(each).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_hangs_up_takes_nobody_along() {
    let Some((store, sessions)) = scene().await else { return };
    let mut asked = Vec::new();
    for (place, new) in sessions.iter().enumerate() {
        let (store, end) = (store.clone(), an_end_of(new, place));
        asked.push(tokio::spawn(async move { store.end(end).await }));
    }
    for hung_up in asked.iter().step_by(2) {
        hung_up.abort();
    }
    for (place, asked) in asked.into_iter().enumerate().skip(1).step_by(2) {
        assert_eq!(asked.await.unwrap().unwrap(), EndOutcome::Ended, "{place}");
        assert!(matches!(found(&store, &sessions[place]).await.session.status, Status::Ended { .. }));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_that_end_and_rotate_the_same_sessions_do_not_wait_in_a_circle() {
    let Some(url) = super::database().await else { return };
    let (one, other) = (connect(&url, 4).await, connect(&url, 4).await);
    let sessions = sessions(&one).await;
    let forwards: Vec<_> = sessions.iter().enumerate().map(|(place, new)| an_end_of(new, place)).collect();
    let backwards: Vec<_> = sessions.iter().enumerate().rev().map(|(place, new)| an_end_of(new, place + 2)).collect();
    let rotations = sessions.iter().rev().map(|new| {
        let (store, step) = (one.clone(), rotation(&as_opened(new), minutes(1)));
        async move { store.rotate(step).await.unwrap() }
    });
    let (ours, theirs, _) =
        tokio::join!(ended_at_once(&one, &forwards), ended_at_once(&other, &backwards), all_at_once(rotations));
    for (ours, theirs) in ours.into_iter().zip(theirs.into_iter().rev()) {
        let both = [ours.unwrap(), theirs.unwrap()];
        assert!(both.contains(&EndOutcome::Ended) && both.contains(&EndOutcome::AlreadyEnded), "{both:?}");
    }
    assert_eq!(deadlocks_of(&url).await, 0);
}
