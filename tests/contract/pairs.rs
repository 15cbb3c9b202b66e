//! Access tokens whose hashes are kept: they move together with the refresh token, or not at all.

use regrant_domain::access_token::KeptAccess;
use regrant_domain::ports::{End, NewSession, RotateOutcome, Rotation, SessionKey, Spends};
use regrant_domain::reason::EndReason;
use regrant_domain::time::Timestamp;

use super::bench::{ABSOLUTE, Bench, a_hash, a_session, after, minutes, rotated, rotation};

fn an_access(expires_at: Timestamp) -> KeptAccess {
    KeptAccess { hash: a_hash(), expires_at }
}

async fn opened(bench: &Bench) -> NewSession {
    let mut new = a_session(bench.user().await.id);
    new.token.access = Some(an_access(minutes(5)));
    bench.keep(new).await
}

pub(crate) async fn a_kept_access_token_comes_back_equal(bench: &Bench) {
    let new = opened(bench).await;
    assert_eq!(bench.found(&new).await.token, new.token);
    let found = bench.sessions.find(&SessionKey::Id(new.session.id)).await.unwrap().unwrap();
    assert_eq!(found.token.access, new.token.access);
    assert_eq!(bench.sessions.list(new.session.user).await.unwrap()[0].token.access, new.token.access);
}

pub(crate) async fn a_rotation_replaces_both_tokens_whichever_way_it_spends(bench: &Bench) {
    let new = opened(bench).await;
    for step in 1..6 {
        let before = bench.found(&new).await;
        let mut rotation = Rotation { access: Some(an_access(minutes(5 + step))), ..rotation(&before, minutes(step)) };
        if step % 2 == 0 {
            rotation.spends = Spends::Replace(before.token.recent.clone());
        }
        let after = rotated(&before, &rotation);
        assert!(matches!(bench.sessions.rotate(rotation).await.unwrap(), RotateOutcome::Rotated(_)));
        assert_eq!(bench.found(&new).await, after);
        assert_eq!(after.token.access.unwrap().expires_at, minutes(5 + step));
    }
}

pub(crate) async fn an_access_tokens_expiry_is_cut_at_the_sessions_end(bench: &Bench) {
    let new = opened(bench).await;
    let late = an_access(after(ABSOLUTE * 2));
    let rotation = Rotation { access: Some(late), ..rotation(&bench.found(&new).await, minutes(1)) };
    bench.sessions.rotate(rotation).await.unwrap();
    let kept = bench.found(&new).await.token.access.unwrap();
    assert_eq!(kept, KeptAccess { expires_at: new.session.ends_at, ..late });
}

pub(crate) async fn a_rotation_that_does_not_apply_leaves_the_access_token_alone(bench: &Bench) {
    let new = opened(bench).await;
    let before = bench.found(&new).await;
    let mut other = Rotation { access: Some(an_access(minutes(9))), ..rotation(&before, minutes(1)) };
    other.from.hash = a_hash();
    assert_eq!(bench.sessions.rotate(other).await.unwrap(), RotateOutcome::NotCurrent);
    assert_eq!(bench.found(&new).await, before);
    let end =
        End { session: SessionKey::Id(new.session.id), reason: EndReason::SignedOut, at: minutes(2), only_while: None };
    bench.sessions.end(end).await.unwrap();
    let late = Rotation { access: Some(an_access(minutes(9))), ..rotation(&before, minutes(3)) };
    assert_eq!(bench.sessions.rotate(late).await.unwrap(), RotateOutcome::NotCurrent);
    assert_eq!(bench.found(&new).await.token, before.token);
}

pub(crate) async fn a_session_without_one_gets_one_with_a_rotation_and_one_without_leaves_it(bench: &Bench) {
    let new = bench.keep(a_session(bench.user().await.id)).await;
    assert_eq!(bench.found(&new).await.token.access, None);
    let first = rotation(&bench.found(&new).await, minutes(1));
    let access = Some(an_access(minutes(6)));
    bench.sessions.rotate(Rotation { access, ..first }).await.unwrap();
    assert_eq!(bench.found(&new).await.token.access, access);
    bench.sessions.rotate(rotation(&bench.found(&new).await, minutes(2))).await.unwrap();
    assert_eq!(bench.found(&new).await.token.access, access);
}

pub(crate) async fn of_many_rotations_at_once_the_pair_is_that_of_the_one_that_applied(bench: &Bench) {
    let new = opened(bench).await;
    for round in 1..6 {
        let before = bench.found(&new).await;
        let attempts: Vec<_> = (0..16)
            .map(|_| Rotation { access: Some(an_access(minutes(round + 5))), ..rotation(&before, minutes(round)) })
            .collect();
        let mut racing = tokio::task::JoinSet::new();
        for attempt in attempts {
            let sessions = bench.sessions.clone();
            racing.spawn(async move { (sessions.rotate(attempt.clone()).await.unwrap(), attempt) });
        }
        let applied: Vec<_> = racing
            .join_all()
            .await
            .into_iter()
            .filter_map(|(outcome, attempt)| matches!(outcome, RotateOutcome::Rotated(_)).then_some(attempt))
            .collect();
        let [winner] = applied.as_slice() else { panic!("{} applied", applied.len()) };
        assert_eq!(bench.found(&new).await, rotated(&before, winner));
    }
}

pub(crate) async fn a_kept_access_token_is_carried_along(bench: &Bench) {
    let new = opened(bench).await;
    let before = bench.found(&new).await;
    let mut later = before.clone();
    later.token.held.generation = later.token.held.generation.next();
    later.token.access = Some(an_access(minutes(50)));
    bench.sessions_out.keep_sessions(vec![later.clone()]).await.unwrap();
    assert_eq!(bench.found(&new).await, later);
    bench.sessions_out.keep_sessions(vec![before]).await.unwrap();
    assert_eq!(bench.found(&new).await, later, "an earlier one changes nothing");
}
