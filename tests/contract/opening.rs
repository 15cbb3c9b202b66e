//! Promises about opening and finding sessions.

use regrant_domain::ports::{OpenOutcome, SessionKey};
use regrant_domain::refresh_token::LookupKey;
use regrant_domain::session::Device;
use regrant_domain::time::Timestamp;

use super::bench::{
    Bench, a_bare_session, a_hash, a_session, a_session_id, a_user_id, as_opened, by_id, by_lookup, minutes, rotation,
};

pub(crate) async fn an_opened_session_is_found_by_both_keys_with_every_field_equal(bench: &Bench) {
    let new = bench.session().await;
    assert_eq!(bench.found(&new).await, as_opened(&new));
}

pub(crate) async fn a_session_of_a_bare_token_is_found_by_both_keys(bench: &Bench) {
    let new = bench.keep(a_bare_session(bench.user().await.id)).await;
    assert_eq!(bench.found(&new).await, as_opened(&new));
}

pub(crate) async fn a_device_of_which_nothing_is_known_comes_back_so(bench: &Bench) {
    let user = bench.user().await.id;
    for device in [
        Device::default(),
        Device { label: Some(String::new()), ..Device::default() },
        Device { user_agent: Some("☃".repeat(85)), ..Device::default() },
        Device { ip: Some("192.0.2.7".into()), ..Device::default() },
    ] {
        let mut new = a_session(user);
        new.session.device = device;
        let new = bench.keep(new).await;
        assert_eq!(bench.found(&new).await, as_opened(&new));
    }
}

pub(crate) async fn instants_come_back_equal_to_the_millisecond(bench: &Bench) {
    let user = bench.user().await.id;
    for millis in [0, 1, 999, 1_001, 1_795_249_800_001, Timestamp::MAX.millis() - 1, Timestamp::MAX.millis()] {
        let mut new = a_session(user);
        new.session.created_at = Timestamp::from_millis(millis);
        new.session.ends_at = Timestamp::MAX;
        new.token.expires_at = Timestamp::from_millis(4_000_000_000_000 + millis).min(Timestamp::MAX);
        let new = bench.keep(new).await;
        assert_eq!(bench.found(&new).await, as_opened(&new));
    }
}

pub(crate) async fn a_session_that_is_not_there_is_not_found(bench: &Bench) {
    let id = a_session_id();
    for key in [
        SessionKey::Id(id),
        SessionKey::Lookup(LookupKey::of_session(id)),
        SessionKey::Lookup(LookupKey::of_secret(&a_hash())),
        SessionKey::Lookup(LookupKey::stored(String::new())),
        SessionKey::Lookup(LookupKey::stored("*{}'\"\\ ü".into())),
    ] {
        assert_eq!(bench.sessions.find(&key).await.unwrap(), None, "{key:?}");
    }
}

pub(crate) async fn an_expired_session_is_still_found(bench: &Bench) {
    let mut new = a_session(bench.user().await.id);
    new.session.created_at = Timestamp::from_millis(1_262_304_000_000); // 2010
    new.token.expires_at = Timestamp::from_millis(1_267_401_600_000);
    new.session.ends_at = Timestamp::from_millis(1_293_840_000_000);
    let new = bench.keep(new).await;
    assert_eq!(bench.found(&new).await, as_opened(&new));
}

pub(crate) async fn opening_never_overwrites_a_session(bench: &Bench) {
    let user = bench.user().await.id;
    let first = bench.keep(a_session(user)).await;
    let moved = rotation(&as_opened(&first), minutes(1));
    bench.sessions.rotate(moved).await.unwrap();
    let before = bench.found(&first).await;

    let mut same_keys = a_session(user);
    (same_keys.session.id, same_keys.lookup) = (first.session.id, first.lookup.clone());
    let mut same_id = a_session(user);
    same_id.session.id = first.session.id;
    let mut same_lookup = a_session(user);
    same_lookup.lookup = first.lookup.clone();
    for other in [same_keys, same_id.clone(), same_lookup.clone()] {
        assert!(bench.sessions.open(other).await.is_err(), "it cannot say that it kept the second one");
        assert_eq!(bench.found(&first).await, before);
    }
    // And nothing of the refused ones is left behind.
    assert_eq!(bench.sessions.find(&by_lookup(&same_id)).await.unwrap(), None);
    assert_eq!(bench.sessions.find(&by_id(&same_lookup)).await.unwrap(), None);
    assert_eq!(bench.sessions.list(user).await.unwrap(), [before]);
}

pub(crate) async fn the_same_opening_twice_changes_nothing(bench: &Bench) {
    let new = bench.session().await;
    // Whether the second says `Opened` or that it could not is left to the store: a driver may repeat a command.
    let _ = bench.sessions.open(new.clone()).await;
    assert_eq!(bench.found(&new).await, as_opened(&new));
    assert_eq!(bench.sessions.list(new.session.user).await.unwrap(), [as_opened(&new)]);
}

pub(crate) async fn a_session_of_a_user_who_does_not_exist_is_not_opened_where_that_can_be_told(bench: &Bench) {
    if !bench.shares_users {
        return;
    }
    let new = a_session(a_user_id());
    assert_eq!(bench.sessions.open(new.clone()).await.unwrap(), OpenOutcome::NoSuchUser);
    assert_eq!(bench.find(&new).await, None);
}

pub(crate) async fn a_list_has_all_of_a_users_sessions_and_nobody_elses(bench: &Bench) {
    let (ada, bob) = (bench.user().await.id, bench.user().await.id);
    let mut expected = Vec::new();
    for _ in 0..3 {
        expected.push(as_opened(&bench.keep(a_session(ada)).await));
    }
    expected.push(as_opened(&bench.keep(a_bare_session(ada)).await));
    bench.keep(a_session(bob)).await;
    let mut listed = bench.sessions.list(ada).await.unwrap();
    listed.sort_by_key(|s| s.session.id);
    expected.sort_by_key(|s| s.session.id);
    assert_eq!(listed, expected);
    assert_eq!(bench.sessions.list(a_user_id()).await.unwrap(), []);
}

pub(crate) async fn an_acknowledged_write_is_seen_through_another_handle(bench: &Bench) {
    let user = bench.user().await.id;
    for round in 0..20 {
        let new = bench.keep(a_session(user)).await;
        assert_eq!(bench.other.find(&by_id(&new)).await.unwrap(), Some(as_opened(&new)));
        let step = rotation(&as_opened(&new), minutes(round));
        bench.sessions.rotate(step.clone()).await.unwrap();
        let seen = bench.other.find(&by_lookup(&new)).await.unwrap().expect("the session is there");
        assert_eq!(seen.token.held, step.to);
        bench.other.rotate(rotation(&seen, minutes(round + 1))).await.unwrap();
        assert_ne!(bench.found(&new).await, seen);
    }
}
