//! Rotations that wait at the same time go to the server as one statement. What each of many is
//! promised is in the contract; here is what only a batch in Postgres can get wrong.

use regrant_domain::ports::{PortError, RotateOutcome, Rotation, SessionRepository as _, UserRepository as _};
use regrant_domain::refresh_token::LookupKey;
use regrant_domain::session::Snapshot;

use super::{PostgresStore, connect, each_at_once};
use crate::contract::bench::{a_session, a_user, as_opened, minutes, rotation};

const MANY: usize = 200;

type Outcome = Result<RotateOutcome, PortError>;

/// So many sessions, and a store with two connections, so that whatever comes at once has to wait.
async fn scene() -> Option<(PostgresStore, Vec<Snapshot>)> {
    let url = super::database().await?;
    let store = connect(&url, 2).await;
    let sessions = sessions(&store).await;
    Some((store, sessions))
}

async fn sessions(store: &PostgresStore) -> Vec<Snapshot> {
    let user = a_user();
    store.add(user.clone()).await.unwrap();
    let mut sessions = Vec::new();
    for _ in 0..MANY {
        let new = a_session(user.id);
        store.open(new.clone()).await.unwrap();
        sessions.push(as_opened(&new));
    }
    sessions
}

/// All of these at once.
async fn at_once(store: &PostgresStore, rotations: &[Rotation]) -> Vec<Outcome> {
    each_at_once(store, rotations, |store, rotation| async move { store.rotate(rotation).await }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poisoned_rotation_fails_alone() {
    let Some((store, sessions)) = scene().await else { return };
    let mut rotations: Vec<_> = sessions.iter().map(|session| rotation(session, minutes(1))).collect();
    for poisoned in (0..MANY).step_by(10) {
        // No text of Postgres has this character, so the server refuses the whole statement.
        rotations[poisoned].lookup = LookupKey::stored("a\0b".into());
    }
    for (place, outcome) in at_once(&store, &rotations).await.into_iter().enumerate() {
        assert_eq!(outcome.is_ok_and(|o| matches!(o, RotateOutcome::Rotated(_))), place % 10 != 0, "{place}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_that_rotate_the_same_sessions_do_not_wait_in_a_circle() {
    let Some(url) = super::database().await else { return };
    let (one, other) = (connect(&url, 2).await, connect(&url, 2).await);
    let sessions = sessions(&one).await;
    let forwards: Vec<_> = sessions.iter().map(|session| rotation(session, minutes(1))).collect();
    let backwards: Vec<_> = sessions.iter().rev().map(|session| rotation(session, minutes(1))).collect();
    let (one, other) = tokio::join!(at_once(&one, &forwards), at_once(&other, &backwards));
    let all = || one.iter().chain(&other);
    assert!(all().all(Result::is_ok), "no deadlock is told");
    assert_eq!(all().filter(|o| matches!(o, Ok(RotateOutcome::Rotated(_)))).count(), MANY, "one of each two");
    assert_eq!(super::deadlocks_of(&url).await, 0);
}
