//! Promises about rotations that do not race.

use std::time::Duration;

use regrant_domain::decide::{Asked, Decision, Rules, decide};
use regrant_domain::policy::{AccessPolicy, AfterWindow, OnRollback, RefreshPolicy};
use regrant_domain::ports::{NewSession, RotateOutcome, Rotated, Spends};
use regrant_domain::refresh_token::{
    Generation, Held, Lifetime, LookupKey, Presented, Recent, RefreshToken, RetryKeyHash, Spent,
};
use regrant_domain::secret::Secret;
use regrant_domain::session::Snapshot;
use regrant_domain::time::Timestamp;
use regrant_domain::token_key::{TokenKey, TokenKeyId, TokenKeyRing};
use regrant_domain::usecases::refresh::optimistic_rotation;

use super::bench::{
    ABSOLUTE, Bench, IDLE, OPENED, a_bare_session, a_hash, a_retry_key, a_session, a_session_id, after, as_opened,
    minutes, random, rotated, rotation,
};

const POLICY: RefreshPolicy = RefreshPolicy {
    rotate: true,
    ttl: IDLE,
    remembered_ttl: IDLE,
    replay_window: Duration::from_secs(30),
    strict: false,
    after_window: AfterWindow::End,
    on_rollback: OnRollback::Heal,
};

const ACCESS: AccessPolicy = AccessPolicy { ttl: IDLE, email_claim: false, kept: None };

/// Opens a session whose first token is known in clear.
async fn chain(bench: &Bench) -> (NewSession, RefreshToken, TokenKeyRing) {
    let ring = TokenKeyRing::new(TokenKey::new(TokenKeyId(1), &[7; 32]), vec![]).unwrap();
    let mut new = a_session(bench.user().await.id);
    let token = RefreshToken::first(new.session.id, Secret::new(random::<32>().to_vec()), Lifetime::Usual, &ring);
    new.token.held = token.held();
    (bench.keep(new).await, token, ring)
}

fn facts(after: &Snapshot) -> RotateOutcome {
    let (user, ends_at) = (after.session.user, after.session.ends_at);
    RotateOutcome::Rotated(Rotated { user, expires_at: after.token.expires_at, ends_at })
}

async fn does_not_apply(bench: &Bench, new: &NewSession, attempt: regrant_domain::ports::Rotation, why: &str) {
    let before = bench.found(new).await;
    assert_eq!(bench.sessions.rotate(attempt).await.unwrap(), RotateOutcome::NotCurrent, "{why}");
    assert_eq!(bench.found(new).await, before, "{why}: it leaves no trace");
}

pub(crate) async fn rotations_come_to_the_state_that_the_domain_computes(bench: &Bench) {
    let (new, mut token, ring) = chain(bench).await;
    let rules = Rules { policy: &POLICY, access: &ACCESS, ring: &ring };
    for step in 0..9 {
        let now = minutes(1 + 7 * step);
        let retry_key: Option<RetryKeyHash> = (step % 3 == 0).then(|| a_retry_key(new.session.id));
        let (rotation, successor) = optimistic_rotation(&token, retry_key, now, &rules);
        let before = bench.found(&new).await;
        let presented = Presented::Chained(token);
        let asked = Asked { presented: &presented, retry_key, now };
        let Decision::Rotate(advance) = decide(Some(&before), &asked, &rules) else { panic!("it is current") };
        let expected = Snapshot { token: advance.state, ..before };
        assert_eq!(bench.sessions.rotate(rotation).await.unwrap(), facts(&expected));
        assert_eq!(bench.found(&new).await, expected, "rotation {step}");
        token = successor;
    }
    assert_eq!(bench.found(&new).await.token.recent.entries().len(), Recent::MAX);
}

pub(crate) async fn what_replaces_recent_is_stored_as_it_is(bench: &Bench) {
    let new = bench.session().await;
    for entries in [4_u32, 0, 3, 1] {
        let before = bench.found(&new).await;
        let recent = (0..entries).fold(Recent::default(), |recent, i| {
            let retry_key = (i % 2 == 1).then(|| a_retry_key(new.session.id));
            recent.with(Spent { generation: Generation(90 - i), at: minutes(u64::from(i)), retry_key })
        });
        let mut step = rotation(&before, minutes(u64::from(10 - entries)));
        // A step may leave generations out: a reissue, or a client that is ahead of the store.
        step.to.generation = Generation(before.token.held.generation.0 + 40);
        step.spends = Spends::Replace(recent);
        let expected = rotated(&before, &step);
        assert_eq!(bench.sessions.rotate(step).await.unwrap(), facts(&expected));
        assert_eq!(bench.found(&new).await, expected);
    }
}

pub(crate) async fn the_largest_generation_is_kept(bench: &Bench) {
    let new = bench.session().await;
    let mut step = rotation(&bench.found(&new).await, minutes(1));
    step.to.generation = Generation(u32::MAX);
    bench.sessions.rotate(step).await.unwrap();
    let before = bench.found(&new).await;
    assert_eq!(before.token.held.generation, Generation(u32::MAX));
    let step = rotation(&before, minutes(2));
    let expected = rotated(&before, &step);
    assert_eq!(bench.sessions.rotate(step).await.unwrap(), facts(&expected));
    assert_eq!(bench.found(&new).await, expected);
}

pub(crate) async fn a_session_of_a_bare_token_can_be_rotated_under_its_key(bench: &Bench) {
    let new = bench.keep(a_bare_session(bench.user().await.id)).await;
    let step = rotation(&as_opened(&new), minutes(1));
    let expected = rotated(&as_opened(&new), &step);
    assert_eq!(bench.sessions.rotate(step).await.unwrap(), facts(&expected));
    assert_eq!(bench.found(&new).await, expected);
}

pub(crate) async fn idle_expiry_is_cut_at_the_sessions_end(bench: &Bench) {
    let mut new = a_session(bench.user().await.id);
    new.session.ends_at = new.token.expires_at.plus(Duration::from_millis(1));
    let new = bench.keep(new).await;
    let step = rotation(&as_opened(&new), minutes(1));
    let expected = rotated(&as_opened(&new), &step);
    assert_eq!(expected.token.expires_at, new.session.ends_at);
    assert_eq!(bench.sessions.rotate(step).await.unwrap(), facts(&expected));
    assert_eq!(bench.found(&new).await, expected);
}

pub(crate) async fn a_rotation_of_another_token_does_not_apply(bench: &Bench) {
    let new = bench.session().await;
    bench.sessions.rotate(rotation(&as_opened(&new), minutes(1))).await.unwrap();
    let current = bench.found(&new).await;
    let hash = current.token.held.hash;
    for (from, why) in [
        (new.token.held, "the spent token"),
        (Held { generation: Generation(1), hash: a_hash() }, "another hash"),
        (Held { generation: Generation(0), hash }, "an earlier generation"),
        (Held { generation: Generation(2), hash }, "a later generation"),
    ] {
        let attempt = regrant_domain::ports::Rotation { from, ..rotation(&current, minutes(2)) };
        does_not_apply(bench, &new, attempt, why).await;
    }
}

pub(crate) async fn the_same_rotation_twice_applies_once(bench: &Bench) {
    let new = bench.session().await;
    let step = rotation(&as_opened(&new), minutes(1));
    assert!(matches!(bench.sessions.rotate(step.clone()).await.unwrap(), RotateOutcome::Rotated(_)));
    assert_eq!(bench.found(&new).await, rotated(&as_opened(&new), &step));
    does_not_apply(bench, &new, step, "the second time").await;
}

pub(crate) async fn an_unknown_session_is_not_rotated(bench: &Bench) {
    let (id, new) = (a_session_id(), bench.session().await);
    let mut step = rotation(&as_opened(&new), minutes(1));
    step.lookup = LookupKey::of_session(id);
    does_not_apply(bench, &new, step, "no such session").await;
    assert_eq!(bench.sessions.find(&regrant_domain::ports::SessionKey::Id(id)).await.unwrap(), None);
}

async fn expires(bench: &Bench, new: &NewSession, at: Timestamp) {
    let before = bench.found(new).await;
    does_not_apply(bench, new, rotation(&before, at), "at the instant itself").await;
    does_not_apply(bench, new, rotation(&before, at.plus(Duration::from_millis(1))), "after it").await;
    does_not_apply(bench, new, rotation(&before, Timestamp::MAX), "long after it").await;
    let last = rotation(&before, at.minus(Duration::from_millis(1)));
    let expected = rotated(&before, &last);
    assert_eq!(bench.sessions.rotate(last).await.unwrap(), facts(&expected), "a millisecond before");
    assert_eq!(bench.found(new).await, expected);
}

pub(crate) async fn idle_expiry_is_the_first_millisecond_at_which_nothing_rotates(bench: &Bench) {
    let new = bench.session().await;
    expires(bench, &new, after(IDLE)).await;
    // And so it is for an expiry that a rotation has set.
    let next = bench.found(&new).await.token.expires_at;
    assert_ne!(next, after(IDLE));
    expires(bench, &new, next).await;
}

pub(crate) async fn the_sessions_end_is_the_first_millisecond_at_which_nothing_rotates(bench: &Bench) {
    let mut new = a_session(bench.user().await.id);
    // As a store would never have it by itself, to see that the session's end counts too.
    new.token.expires_at = after(ABSOLUTE + ABSOLUTE);
    let new = bench.keep(new).await;
    expires(bench, &new, after(ABSOLUTE)).await;
}

pub(crate) async fn nothing_but_the_token_changes_when_it_rotates(bench: &Bench) {
    let new = bench.session().await;
    let neighbour = bench.keep(a_session(new.session.user)).await;
    bench.sessions.rotate(rotation(&as_opened(&new), OPENED)).await.unwrap();
    assert_eq!(bench.found(&new).await.session, new.session);
    assert_eq!(bench.found(&neighbour).await, as_opened(&neighbour));
}
