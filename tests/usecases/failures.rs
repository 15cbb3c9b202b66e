//! A port that fails at an exact point: never a refusal, never a success that did not happen.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use regrant_domain::ports::{
    EndOutcome, MockPasswords, MockSessionRepository, MockUserRepository, OpenOutcome, PortError, RotateOutcome,
};
use regrant_domain::refresh_token::{Lifetime, RetryKey};
use regrant_domain::session::Device;
use regrant_domain::user::Email;

use super::{WINDOW, World, nowhere, pw, text};

fn away<T>() -> Result<T, PortError> {
    Err(PortError::unavailable("the store", "cut"))
}

#[tokio::test]
async fn a_refresh_whose_store_is_away_is_neither_granted_nor_refused() {
    let world = World::new();
    let first = text(&world.ada().await);

    let mut sessions = MockSessionRepository::new();
    sessions.expect_rotate().times(1).returning(|_| away());
    let world = world.with_ports(|ports| ports.sessions = Arc::new(sessions));
    assert!(world.use_cases.refresh.run(&first, None, &nowhere()).await.is_err(), "cut at the rotation");

    let mut sessions = MockSessionRepository::new();
    sessions.expect_rotate().times(1).returning(|_| Ok(RotateOutcome::NotCurrent));
    sessions.expect_find().times(1).returning(|_| away());
    let world = world.with_ports(|ports| ports.sessions = Arc::new(sessions));
    assert!(world.use_cases.refresh.run(&first, None, &nowhere()).await.is_err(), "cut at the read");
}

#[tokio::test]
async fn reuse_is_not_reported_before_its_end_is_committed() {
    let world = World::new();
    let first = text(&world.ada().await);
    world.next(&first, None).await;
    world.clock.advance(WINDOW * 2);
    let snapshot = world.snapshot(&first).await;
    let mut sessions = MockSessionRepository::new();
    sessions.expect_rotate().returning(|_| Ok(RotateOutcome::NotCurrent));
    sessions.expect_find().returning(move |_| Ok(snapshot.clone()));
    sessions.expect_end().times(1).returning(|_| away());
    let world = world.with_ports(|ports| ports.sessions = Arc::new(sessions));
    assert!(world.use_cases.refresh.run(&first, None, &nowhere()).await.is_err());
}

#[tokio::test]
async fn an_end_that_lost_its_race_is_decided_anew_and_a_race_without_end_is_given_up() {
    let world = World::new();
    let first = text(&world.ada().await);
    world.next(&first, None).await;
    world.clock.advance(WINDOW * 2);
    let snapshot = world.snapshot(&first).await;
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    let mut sessions = MockSessionRepository::new();
    sessions.expect_rotate().returning(|_| Ok(RotateOutcome::NotCurrent));
    sessions.expect_find().returning(move |_| Ok(snapshot.clone()));
    sessions.expect_end().returning(move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
        Ok(EndOutcome::Moved)
    });
    let world = world.with_ports(|ports| ports.sessions = Arc::new(sessions));
    assert!(world.use_cases.refresh.run(&first, None, &nowhere()).await.is_err());
    assert_eq!(asked.load(Ordering::SeqCst), 16);
}

#[tokio::test]
async fn a_revoke_whose_store_is_away_is_not_acknowledged() {
    let world = World::new();
    let first = text(&world.ada().await);
    let mut sessions = MockSessionRepository::new();
    sessions.expect_end().times(1).returning(|_| away());
    let world = world.with_ports(|ports| ports.sessions = Arc::new(sessions));
    assert!(world.use_cases.sign_out.run(&first, &nowhere()).await.is_err());
}

#[tokio::test]
async fn an_access_token_is_not_refused_because_the_store_is_away() {
    let world = World::new();
    let granted = world.ada().await;
    let mut sessions = MockSessionRepository::new();
    sessions.expect_find().times(1).returning(|_| away());
    let world = world.with_ports(|ports| ports.sessions = Arc::new(sessions));
    assert!(world.use_cases.authenticate.run(granted.access.text.expose()).await.is_err());
}

#[tokio::test]
async fn a_sign_in_hands_out_nothing_when_the_store_fails_at_any_step() {
    let world = World::new();
    let ada = world.registers("ada@example.org", "correct horse").await;
    for step in 0..3 {
        let mut users = MockUserRepository::new();
        let found = ada.clone();
        users.expect_find_by_email().returning(move |_| if step == 0 { away() } else { Ok(Some(found.clone())) });
        users.expect_find().returning(|_| away());
        let mut sessions = MockSessionRepository::new();
        sessions.expect_open().returning(move |_| if step == 1 { away() } else { Ok(OpenOutcome::Opened) });
        let world = World::new().with_ports(|ports| {
            ports.users = Arc::new(users);
            ports.sessions = Arc::new(sessions);
        });
        let email = Email::parse("ada@example.org").unwrap();
        let outcome =
            world.use_cases.sign_in.run(&email, pw("correct horse"), Device::default(), Lifetime::Usual).await;
        assert!(outcome.is_err(), "step {step}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_full_hash_queue_is_not_a_wrong_password() {
    let mut passwords = MockPasswords::new();
    passwords.expect_verify().returning(|_, _| Err(PortError::unavailable("password hashing", "queue full")));
    let world = World::new();
    world.registers("ada@example.org", "correct horse").await;
    let world = world.with_ports(|ports| ports.passwords = Arc::new(passwords));
    let email = Email::parse("ada@example.org").unwrap();
    assert!(
        world.use_cases.sign_in.run(&email, pw("correct horse"), Device::default(), Lifetime::Usual).await.is_err()
    );
}

#[tokio::test]
async fn after_a_failure_that_was_a_success_the_same_request_gets_the_successor() {
    let world = World::new();
    let first = text(&world.ada().await);
    // The rotation took place, and its answer was lost: all that the client knows is that it failed.
    let second = world.next(&first, Some("k1")).await;
    let again = world.use_cases.refresh.run(&first, RetryKey::parse("k1").ok(), &nowhere()).await;
    assert_eq!(
        again.map(|outcome| matches!(outcome, regrant_domain::usecases::refresh::Refreshed::Granted(_))).ok(),
        Some(true)
    );
    assert_eq!(world.next(&first, Some("k1")).await, second);
}
