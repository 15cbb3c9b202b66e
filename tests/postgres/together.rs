//! Rotations that wait at the same time go to the server as one statement. The contract holds for them as for any; here is
//! what only a batch can get wrong.

use regrant_domain::access_token::KeptAccess;
use regrant_domain::ids::SessionId;
use regrant_domain::ports::{
    PortError, RotateOutcome, Rotation, SessionKey, SessionRepository as _, Spends, UserRepository as _,
};
use regrant_domain::reason::EndReason;
use regrant_domain::refresh_token::{Held, LookupKey, RetryKey, Spent};
use regrant_domain::session::Snapshot;
use regrant_domain::time::Timestamp;
use tokio::task::JoinSet;

use super::{PostgresStore, connect};
use crate::contract::bench::{a_hash, a_session, a_user, as_opened, minutes, rotated, rotation};
use crate::contract::ending::an_end;

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
async fn at_once(store: &PostgresStore, rotations: Vec<Rotation>) -> Vec<(usize, Outcome)> {
    let mut asked = JoinSet::new();
    for (place, rotation) in rotations.into_iter().enumerate() {
        let store = store.clone();
        asked.spawn(async move { (place, store.rotate(rotation).await) });
    }
    let mut answers = asked.join_all().await;
    answers.sort_by_key(|(place, _)| *place);
    answers
}

async fn found(store: &PostgresStore, session: &Snapshot) -> Snapshot {
    super::find(store, session.session.id).await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_gets_its_own_answer_and_its_own_state() {
    let Some((store, mut sessions)) = scene().await else { return };
    // More often than what is remembered of the spent ones, so that it has to be cut.
    for step in 1..7 {
        let rotations: Vec<_> = sessions.iter().map(|session| rotation(session, minutes(step))).collect();
        for (place, outcome) in at_once(&store, rotations.clone()).await {
            let after = rotated(&sessions[place], &rotations[place]);
            let RotateOutcome::Rotated(facts) = outcome.unwrap() else { panic!("it was current") };
            assert_eq!((facts.user, facts.expires_at), (after.session.user, after.token.expires_at));
            assert_eq!(found(&store, &sessions[place]).await, after);
            sessions[place] = after;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_spend_one_token_the_one_that_is_told_so_has_applied() {
    let Some((store, sessions)) = scene().await else { return };
    // Two retry keys for each: whoever is told that it rotated must be the one whose key is remembered.
    let with_key = |session: &Snapshot, key: &str| {
        let retry_key = Some(RetryKey::parse(key).unwrap().hash_for(session.session.id));
        let spent = Spent { generation: session.token.held.generation, at: minutes(1), retry_key };
        Rotation { spends: Spends::Append(spent), ..rotation(session, minutes(1)) }
    };
    let rotations: Vec<_> = sessions.iter().flat_map(|s| [with_key(s, "a"), with_key(s, "b")]).collect();
    let answers = at_once(&store, rotations.clone()).await;
    for (pair, session) in answers.chunks(2).zip(&sessions) {
        let applied: Vec<_> = pair
            .iter()
            .filter(|(_, outcome)| matches!(outcome, Ok(RotateOutcome::Rotated(_))))
            .map(|(place, _)| *place)
            .collect();
        let [winner] = applied.as_slice() else { panic!("{} applied", applied.len()) };
        assert_eq!(found(&store, session).await, rotated(session, &rotations[*winner]));
    }
}

/// Rotations that must not apply, one for each guard, and what is to be done to the session before.
async fn hopeless(store: &PostgresStore, session: &Snapshot, guard: usize) -> Rotation {
    let now = minutes(1);
    let step = rotation(session, now);
    let held = session.token.held;
    match guard {
        0 => Rotation { from: Held { generation: held.generation.next(), ..held }, ..step },
        1 => Rotation { from: Held { hash: a_hash(), ..held }, ..step },
        2 => {
            let key = SessionKey::Id(session.session.id);
            store.end(an_end(key, EndReason::SignedOut, now)).await.unwrap();
            step
        }
        3 => rotation(session, session.token.expires_at),
        4 => rotation(session, session.session.ends_at),
        // Under a key that is nobody's, and comes before all others.
        _ => Rotation { lookup: LookupKey::of_session(SessionId::from_bytes([0; 16])), ..step },
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_guard_holds_for_each_of_a_batch() {
    let Some(url) = super::database().await else { return };
    let store = connect(&url, 2).await;
    let user = a_user();
    store.add(user.clone()).await.unwrap();
    for with_pairs in [false, true] {
        let (mut before, mut rotations) = (Vec::new(), Vec::new());
        for place in 0..MANY {
            let mut new = a_session(user.id);
            if place % 7 == 4 {
                // As it would never be by itself, to see that the session's end counts too.
                new.token.expires_at = Timestamp::MAX;
            }
            store.open(new.clone()).await.unwrap();
            let session = as_opened(&new);
            let step = if place % 7 < 6 {
                hopeless(&store, &session, place % 7).await
            } else {
                rotation(&session, minutes(1))
            };
            let access = (with_pairs && place % 4 < 2).then(|| KeptAccess { hash: a_hash(), expires_at: minutes(9) });
            rotations.push(Rotation { access, ..step });
            before.push(found(&store, &session).await);
        }
        for (place, outcome) in at_once(&store, rotations.clone()).await {
            let applied = matches!(outcome.unwrap(), RotateOutcome::Rotated(_));
            assert_eq!(applied, place % 7 == 6, "guard {}", place % 7);
            let expected = if applied { rotated(&before[place], &rotations[place]) } else { before[place].clone() };
            assert_eq!(found(&store, &before[place]).await, expected, "guard {}", place % 7);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poisoned_rotation_fails_alone() {
    let Some((store, sessions)) = scene().await else { return };
    let mut rotations: Vec<_> = sessions.iter().map(|session| rotation(session, minutes(1))).collect();
    for poisoned in (0..MANY).step_by(10) {
        // No text of Postgres has this character, so the server refuses the whole statement.
        rotations[poisoned].lookup = LookupKey::stored("a\0b".into());
    }
    for (place, outcome) in at_once(&store, rotations).await {
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
    let (one, other) = tokio::join!(at_once(&one, forwards), at_once(&other, backwards));
    let all = || one.iter().chain(&other);
    assert!(all().all(|(_, outcome)| outcome.is_ok()), "no deadlock is told");
    assert_eq!(all().filter(|(_, o)| matches!(o, Ok(RotateOutcome::Rotated(_)))).count(), MANY, "one of each two");
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    let mut look = super::look(&url).await;
    assert_eq!(sqlx::query_scalar::<_, i64>(deadlocks).fetch_one(&mut look).await.unwrap(), 0);
}
