//! Promises about ending and forgetting sessions.

use regrant_domain::ids::SessionId;
use regrant_domain::ports::{End, EndAll, EndOutcome, NewSession, RotateOutcome, SessionKey};
use regrant_domain::reason::EndReason;
use regrant_domain::refresh_token::{Generation, Held, LookupKey};
use regrant_domain::session::{Session, Snapshot, Status};
use regrant_domain::time::Timestamp;

use super::bench::{
    Bench, a_bare_session, a_hash, a_session, a_session_id, a_user_id, as_opened, by_id, by_lookup, minutes, rotation,
};

pub(crate) fn an_end(session: SessionKey, reason: EndReason, at: Timestamp) -> End {
    End { session, reason, at, only_while: None }
}

pub(crate) fn ended(before: Snapshot, reason: EndReason, at: Timestamp) -> Snapshot {
    Snapshot { session: Session { status: Status::Ended { at, reason }, ..before.session }, ..before }
}

fn sorted(mut ids: Vec<SessionId>) -> Vec<SessionId> {
    ids.sort();
    ids
}

pub(crate) async fn every_reason_comes_back_and_only_the_status_changes(bench: &Bench) {
    let user = bench.user().await.id;
    for (i, reason) in (1..).zip(EndReason::ALL) {
        let new = bench.keep(a_session(user)).await;
        bench.sessions.rotate(rotation(&as_opened(&new), minutes(i))).await.unwrap();
        let before = bench.found(&new).await;
        let end = an_end(by_id(&new), reason, minutes(2 * i));
        assert_eq!(bench.sessions.end(end).await.unwrap(), EndOutcome::Ended);
        assert_eq!(bench.found(&new).await, ended(before, reason, minutes(2 * i)));
    }
}

pub(crate) async fn a_session_ends_by_either_key_of_either_kind_of_token(bench: &Bench) {
    let user = bench.user().await.id;
    let keys: [fn(&NewSession) -> SessionKey; 2] = [by_id, by_lookup];
    for (make, key) in [a_session, a_bare_session].into_iter().flat_map(|make| keys.map(|key| (make, key))) {
        let new = bench.keep(make(user)).await;
        let end = an_end(key(&new), EndReason::SignedOut, minutes(3));
        assert_eq!(bench.sessions.end(end).await.unwrap(), EndOutcome::Ended);
        assert_eq!(bench.found(&new).await, ended(as_opened(&new), EndReason::SignedOut, minutes(3)));
    }
}

pub(crate) async fn the_first_end_keeps_its_reason_and_instant(bench: &Bench) {
    let new = bench.session().await;
    let first = an_end(by_id(&new), EndReason::ReuseDetected, minutes(5));
    assert_eq!(bench.sessions.end(first).await.unwrap(), EndOutcome::Ended);
    for key in [by_id(&new), by_lookup(&new)] {
        for only_while in [None, Some(new.token.held), Some(Held { generation: Generation(8), hash: a_hash() })] {
            let second = End { only_while, ..an_end(key.clone(), EndReason::SignedOut, minutes(1)) };
            assert_eq!(bench.sessions.end(second).await.unwrap(), EndOutcome::AlreadyEnded);
        }
    }
    assert_eq!(bench.found(&new).await, ended(as_opened(&new), EndReason::ReuseDetected, minutes(5)));
}

pub(crate) async fn an_ended_session_does_not_rotate(bench: &Bench) {
    let new = bench.session().await;
    bench.sessions.end(an_end(by_id(&new), EndReason::SignedOut, minutes(5))).await.unwrap();
    // Whatever the caller's clock says: an end does not depend on it.
    for now in [minutes(0), minutes(4), minutes(5), minutes(6)] {
        let outcome = bench.sessions.rotate(rotation(&as_opened(&new), now)).await.unwrap();
        assert_eq!(outcome, RotateOutcome::NotCurrent);
    }
    assert_eq!(bench.found(&new).await, ended(as_opened(&new), EndReason::SignedOut, minutes(5)));
}

pub(crate) async fn an_end_that_was_decided_upon_a_token_applies_only_while_it_is_current(bench: &Bench) {
    for key in [by_id as fn(&NewSession) -> SessionKey, by_lookup] {
        let new = bench.session().await;
        bench.sessions.rotate(rotation(&as_opened(&new), minutes(1))).await.unwrap();
        let now = bench.found(&new).await;
        let Held { generation, hash } = now.token.held;
        for stale in [
            new.token.held,
            Held { generation, hash: a_hash() },
            Held { generation: Generation(0), hash },
            Held { generation: generation.next(), hash },
        ] {
            let end = End { only_while: Some(stale), ..an_end(key(&new), EndReason::ReuseDetected, minutes(2)) };
            assert_eq!(bench.sessions.end(end).await.unwrap(), EndOutcome::Moved);
            assert_eq!(bench.found(&new).await, now);
        }
        let current = Some(now.token.held);
        let end = End { only_while: current, ..an_end(key(&new), EndReason::ReuseDetected, minutes(2)) };
        assert_eq!(bench.sessions.end(end).await.unwrap(), EndOutcome::Ended);
        assert_eq!(bench.found(&new).await, ended(now, EndReason::ReuseDetected, minutes(2)));
    }
}

pub(crate) async fn what_is_not_there_is_not_ended(bench: &Bench) {
    let id = a_session_id();
    for session in [
        SessionKey::Id(id),
        SessionKey::Lookup(LookupKey::of_session(id)),
        SessionKey::Lookup(LookupKey::of_secret(&a_hash())),
    ] {
        for only_while in [None, Some(Held { generation: Generation(0), hash: a_hash() })] {
            let end = End { only_while, ..an_end(session.clone(), EndReason::SignedOut, minutes(1)) };
            assert_eq!(bench.sessions.end(end).await.unwrap(), EndOutcome::NotFound);
        }
        assert_eq!(bench.sessions.find(&session).await.unwrap(), None);
    }
}

pub(crate) async fn an_expired_session_can_still_end(bench: &Bench) {
    let new = bench.session().await;
    let late = new.session.ends_at;
    let end = an_end(by_lookup(&new), EndReason::SignedOut, late);
    assert_eq!(bench.sessions.end(end).await.unwrap(), EndOutcome::Ended);
    assert_eq!(bench.found(&new).await, ended(as_opened(&new), EndReason::SignedOut, late));
}

pub(crate) async fn ending_all_but_one_ends_and_names_exactly_the_others(bench: &Bench) {
    let (ada, bob) = (bench.user().await.id, bench.user().await.id);
    let kept = bench.keep(a_session(ada)).await;
    let gone = bench.keep(a_session(ada)).await;
    bench.sessions.end(an_end(by_id(&gone), EndReason::SignedOut, minutes(1))).await.unwrap();
    let mut others = vec![bench.keep(a_bare_session(ada)).await];
    for _ in 0..4 {
        others.push(bench.keep(a_session(ada)).await);
    }
    let bobs = bench.keep(a_session(bob)).await;

    let end = EndAll { user: ada, but: Some(kept.session.id), reason: EndReason::PasswordChanged, at: minutes(2) };
    let said = bench.sessions.end_all(end.clone()).await.unwrap();
    assert_eq!(sorted(said), sorted(others.iter().map(|s| s.session.id).collect()));
    for other in &others {
        assert_eq!(bench.found(other).await, ended(as_opened(other), EndReason::PasswordChanged, minutes(2)));
        let outcome = bench.sessions.rotate(rotation(&as_opened(other), minutes(3))).await.unwrap();
        assert_eq!(outcome, RotateOutcome::NotCurrent);
    }
    assert_eq!(bench.found(&gone).await, ended(as_opened(&gone), EndReason::SignedOut, minutes(1)));
    assert_eq!(bench.found(&kept).await, as_opened(&kept));
    assert_eq!(bench.found(&bobs).await, as_opened(&bobs));
    assert_eq!(bench.sessions.end_all(end).await.unwrap(), [], "the second time there is nothing to end");
}

pub(crate) async fn ending_all_spares_nobody_without_an_exception(bench: &Bench) {
    let ada = bench.user().await.id;
    let bob = bench.session().await;
    let mine = [bench.keep(a_session(ada)).await, bench.keep(a_session(ada)).await];
    let end = |but| EndAll { user: ada, but, reason: EndReason::SignedOutElsewhere, at: minutes(2) };
    // A session of somebody else as the exception excepts nothing.
    let said = bench.sessions.end_all(end(Some(bob.session.id))).await.unwrap();
    assert_eq!(sorted(said), sorted(mine.iter().map(|s| s.session.id).collect()));
    let last = bench.keep(a_session(ada)).await;
    assert_eq!(bench.sessions.end_all(end(None)).await.unwrap(), [last.session.id]);
    let nobody = EndAll { user: a_user_id(), ..end(None) };
    assert_eq!(bench.sessions.end_all(nobody).await.unwrap(), []);
    assert_eq!(bench.found(&bob).await, as_opened(&bob));
}

pub(crate) async fn ended_sessions_stay_in_the_list(bench: &Bench) {
    let new = bench.session().await;
    bench.sessions.end(an_end(by_id(&new), EndReason::SignedOut, minutes(1))).await.unwrap();
    let listed = bench.sessions.list(new.session.user).await.unwrap();
    assert_eq!(listed, [ended(as_opened(&new), EndReason::SignedOut, minutes(1))]);
}

pub(crate) async fn forgetting_a_users_sessions_leaves_no_trace_of_them_and_others_alone(bench: &Bench) {
    let (ada, bob) = (bench.user().await.id, bench.user().await.id);
    let mine = [bench.keep(a_session(ada)).await, bench.keep(a_bare_session(ada)).await];
    let over = bench.keep(a_session(ada)).await;
    bench.sessions.end(an_end(by_id(&over), EndReason::SignedOut, minutes(1))).await.unwrap();
    let bobs = bench.keep(a_session(bob)).await;

    bench.sessions.forget_all(ada).await.unwrap();
    bench.sessions.forget_all(ada).await.unwrap();
    bench.sessions.forget_all(a_user_id()).await.unwrap();
    for gone in mine.iter().chain([&over]) {
        stays_gone(bench, gone).await;
    }
    assert_eq!(bench.sessions.list(ada).await.unwrap(), []);
    assert_eq!(bench.sessions.list(bob).await.unwrap(), [as_opened(&bobs)]);
    assert_eq!(bench.found(&bobs).await, as_opened(&bobs));
}

/// Nothing brings a session back that was removed.
pub(crate) async fn stays_gone(bench: &Bench, gone: &NewSession) {
    assert_eq!(bench.find(gone).await, None);
    let outcome = bench.sessions.rotate(rotation(&as_opened(gone), gone.session.created_at)).await.unwrap();
    assert_eq!(outcome, RotateOutcome::NotCurrent);
    for key in [by_id(gone), by_lookup(gone)] {
        let end = an_end(key, EndReason::SignedOut, minutes(1));
        assert_eq!(bench.sessions.end(end).await.unwrap(), EndOutcome::NotFound);
    }
    assert_eq!(bench.find(gone).await, None);
    let listed = bench.sessions.list(gone.session.user).await.unwrap();
    assert!(!listed.iter().any(|s| s.session.id == gone.session.id));
}
