//! Promises for rotations that come at the same time, of many sessions: a store may do them together, and nobody is to
//! notice.

use regrant_domain::access_token::KeptAccess;
use regrant_domain::ids::SessionId;
use regrant_domain::ports::{NewSession, PortError, RotateOutcome, Rotation, Spends};
use regrant_domain::reason::EndReason;
use regrant_domain::refresh_token::{Held, LookupKey, RetryKey, Spent};
use regrant_domain::session::Snapshot;
use regrant_domain::time::Timestamp;
use tokio::task::JoinSet;

use super::bench::{Bench, a_hash, a_session, as_opened, by_id, minutes, rotated, rotation};
use super::ending::an_end;

const MANY: usize = 100;

/// So many sessions of one user.
async fn sessions(bench: &Bench) -> Vec<NewSession> {
    let user = bench.user().await;
    let mut sessions = Vec::new();
    for _ in 0..MANY {
        sessions.push(bench.keep(a_session(user.id)).await);
    }
    sessions
}

/// All of these at once, by one handle.
async fn at_once(bench: &Bench, rotations: &[Rotation]) -> Vec<Result<RotateOutcome, PortError>> {
    let mut asked = JoinSet::new();
    for (place, rotation) in rotations.iter().cloned().enumerate() {
        let store = bench.sessions.clone();
        asked.spawn(async move { (place, store.rotate(rotation).await) });
    }
    let mut answers = asked.join_all().await;
    answers.sort_by_key(|(place, _)| *place);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

pub(crate) async fn each_of_many_rotations_gets_its_own_answer_and_its_own_state(bench: &Bench) {
    let opened = sessions(bench).await;
    let mut states: Vec<_> = opened.iter().map(as_opened).collect();
    // More often than what is remembered of the spent ones, so that it has to be cut.
    for step in 1..7 {
        let rotations: Vec<_> = states.iter().map(|state| rotation(state, minutes(step))).collect();
        for (place, outcome) in at_once(bench, &rotations).await.into_iter().enumerate() {
            let after = rotated(&states[place], &rotations[place]);
            let RotateOutcome::Rotated(facts) = outcome.unwrap() else { panic!("it was current") };
            assert_eq!((facts.user, facts.expires_at), (after.session.user, after.token.expires_at));
            assert_eq!(bench.found(&opened[place]).await, after);
            states[place] = after;
        }
    }
}

pub(crate) async fn of_two_that_spend_one_token_the_one_that_is_told_so_has_applied(bench: &Bench) {
    let opened = sessions(bench).await;
    // Two retry keys for each: whoever is told that it rotated must be the one whose key is remembered.
    let with_key = |new: &NewSession, key: &str| {
        let state = as_opened(new);
        let retry_key = Some(RetryKey::parse(&key.repeat(16)).unwrap().hash_for(new.session.id));
        let spent = Spent { generation: state.token.held.generation, at: minutes(1), retry_key };
        Rotation { spends: Spends::Append(spent), ..rotation(&state, minutes(1)) }
    };
    let rotations: Vec<_> = opened.iter().flat_map(|new| [with_key(new, "a"), with_key(new, "b")]).collect();
    let answers = at_once(bench, &rotations).await;
    for (place, new) in opened.iter().enumerate() {
        let pair = [2 * place, 2 * place + 1];
        let applied: Vec<_> =
            pair.into_iter().filter(|one| matches!(answers[*one], Ok(RotateOutcome::Rotated(_)))).collect();
        let [winner] = applied.as_slice() else { panic!("{} applied", applied.len()) };
        assert_eq!(bench.found(new).await, rotated(&as_opened(new), &rotations[*winner]));
    }
}

/// A rotation that must not apply, one for each guard, and what is to be done to the session before.
async fn hopeless(bench: &Bench, state: &Snapshot, guard: usize, new: &NewSession) -> Rotation {
    let now = minutes(1);
    let step = rotation(state, now);
    let held = state.token.held;
    match guard {
        0 => Rotation { from: Held { generation: held.generation.next(), ..held }, ..step },
        1 => Rotation { from: Held { hash: a_hash(), ..held }, ..step },
        2 => {
            bench.sessions.end(an_end(by_id(new), EndReason::SignedOut, now)).await.unwrap();
            step
        }
        3 => rotation(state, state.token.expires_at),
        4 => rotation(state, state.session.ends_at),
        // Under a key that is nobody's, and comes before all others.
        _ => Rotation { lookup: LookupKey::of_session(SessionId::from_bytes([0; 16])), ..step },
    }
}

pub(crate) async fn each_guard_holds_for_each_of_many(bench: &Bench) {
    let user = bench.user().await;
    for with_pairs in [false, true] {
        let (mut opened, mut before, mut rotations) = (Vec::new(), Vec::new(), Vec::new());
        for place in 0..MANY {
            let mut new = a_session(user.id);
            if place % 7 == 4 {
                // As it would never be by itself, to see that the session's end counts too.
                new.token.expires_at = Timestamp::MAX;
            }
            let new = bench.keep(new).await;
            let state = as_opened(&new);
            let step = if place % 7 < 6 {
                hopeless(bench, &state, place % 7, &new).await
            } else {
                rotation(&state, minutes(1))
            };
            let access = (with_pairs && place % 4 < 2).then(|| KeptAccess { hash: a_hash(), expires_at: minutes(9) });
            rotations.push(Rotation { access, ..step });
            before.push(bench.found(&new).await);
            opened.push(new);
        }
        for (place, outcome) in at_once(bench, &rotations).await.into_iter().enumerate() {
            let applied = matches!(outcome.unwrap(), RotateOutcome::Rotated(_));
            assert_eq!(applied, place % 7 == 6, "guard {}", place % 7);
            let expected = if applied { rotated(&before[place], &rotations[place]) } else { before[place].clone() };
            assert_eq!(bench.found(&opened[place]).await, expected, "guard {}", place % 7);
        }
    }
}
