//! Refreshes, as honest clients, thieves and accidents make them.

use std::sync::Arc;
use std::time::Duration;

use regrant_domain::policy::{AfterWindow, OnRollback, RefreshPolicy};
use regrant_domain::ports::{Event, NewSession, SessionRepository};
use regrant_domain::reason::{EndReason, Refusal};
use regrant_domain::refresh_token::Generation;
use regrant_domain::session::Status;
use regrant_domain::usecases::Policies;
use regrant_domain::usecases::authenticate::Authenticated;
use regrant_domain::usecases::refresh::Refreshed;
use regrant_domain::usecases::sign_out::SignedOut;

use super::{DAY, WINDOW, World, nowhere, policies, text};

const REUSE: Refusal = Refusal::Ended(EndReason::ReuseDetected);

fn refused(outcome: &Refreshed) -> Refusal {
    match outcome {
        Refreshed::Refused(why) => *why,
        other => panic!("{other:?}"),
    }
}

pub(super) fn with_refresh(change: impl FnOnce(&mut RefreshPolicy)) -> Policies {
    let mut policies = policies();
    change(&mut policies.refresh);
    policies
}

#[tokio::test]
async fn a_refresh_hands_out_the_next_token_and_an_access_token_for_an_hour() {
    let world = World::new();
    let first = text(&world.ada().await);
    let Refreshed::Granted(granted) = world.refreshes(&first, None).await else { panic!("granted") };
    assert_eq!(granted.expires_in, Duration::from_hours(1));
    assert_ne!(text(&granted), first);
    assert_eq!(world.caller(&granted).await.session.id, granted.session);
    let snapshot = world.snapshot(&first).await.unwrap();
    assert_eq!(snapshot.token.held.generation, Generation(1));
    assert_eq!(snapshot.token.expires_at, world.ports.clock.now().plus(60 * DAY));
}

#[tokio::test]
async fn a_lost_answer_is_answered_with_the_same_successor_within_the_window() {
    let world = World::new();
    let first = text(&world.ada().await);
    let second = world.next(&first, None).await;
    world.clock.advance(WINDOW);
    assert_eq!(world.next(&first, None).await, second);
    assert_eq!(world.next(&second, None).await, world.next(&second, None).await);
}

#[tokio::test]
async fn with_the_retry_key_a_lost_answer_survives_any_outage() {
    let world = World::new();
    let first = text(&world.ada().await);
    let second = world.next(&first, Some("k1")).await;
    world.clock.advance(59 * DAY);
    assert_eq!(world.next(&first, Some("k1")).await, second);
    assert!(matches!(world.refreshes(&second, Some("k2")).await, Refreshed::Granted(_)));
}

#[tokio::test]
async fn a_spent_token_after_the_window_ends_the_session_with_a_reason_everywhere() {
    let world = World::new();
    let granted = world.ada().await;
    let first = text(&granted);
    let second = world.next(&first, None).await;
    let third = world.next(&second, None).await;
    world.clock.advance(WINDOW + Duration::from_millis(1));
    world.events.take();
    assert_eq!(refused(&world.refreshes(&first, None).await), REUSE);
    assert_eq!(refused(&world.refreshes(&third, None).await), REUSE, "the end is committed");
    let ended = Event::Ended { session: granted.session, reason: EndReason::ReuseDetected };
    assert_eq!(world.events.take()[0], ended);
    let status = world.snapshot(&third).await.unwrap().session.status;
    assert_eq!(status, Status::Ended { at: world.ports.clock.now(), reason: EndReason::ReuseDetected });
    let access = world.use_cases.authenticate.run(granted.access.text.expose()).await.unwrap();
    assert!(matches!(access, Authenticated::Refused(REUSE)), "{access:?}");
}

#[tokio::test]
async fn strict_mode_sees_a_thief_at_the_first_meeting_and_knows_the_client_by_its_key() {
    let world = World::with(with_refresh(|policy| policy.strict = true));
    let first = text(&world.ada().await);
    let second = world.next(&first, Some("k1")).await;
    assert_eq!(world.next(&first, Some("k1")).await, second);
    assert_eq!(refused(&world.refreshes(&first, None).await), REUSE);
}

#[tokio::test]
async fn a_late_duplicate_two_generations_old_is_superseded_and_ends_nothing() {
    let world = World::new();
    let first = text(&world.ada().await);
    let second = world.next(&first, Some("k1")).await;
    let third = world.next(&second, Some("k2")).await;
    assert_eq!(refused(&world.refreshes(&first, None).await), Refusal::Superseded);
    world.clock.advance(DAY);
    assert_eq!(refused(&world.refreshes(&first, Some("k1")).await), Refusal::Superseded);
    world.next(&third, None).await;
}

#[tokio::test]
async fn sixty_four_presentations_at_once_get_one_successor() {
    let world = Arc::new(World::new());
    let first = text(&world.ada().await);
    let tasks: Vec<_> = (0..64)
        .map(|_| {
            let (world, first) = (world.clone(), first.clone());
            tokio::spawn(async move { world.next(&first, None).await })
        })
        .collect();
    let mut successors = std::collections::HashSet::new();
    for task in tasks {
        successors.insert(task.await.unwrap());
    }
    assert_eq!(successors.len(), 1);
    assert_eq!(world.snapshot(&first).await.unwrap().token.held.generation, Generation(1));
}

#[tokio::test]
async fn idle_and_absolute_expiry_are_exact_and_no_replay_extends_them() {
    let world = World::new();
    let first = text(&world.ada().await);
    world.clock.advance(60 * DAY - Duration::from_millis(1));
    let second = world.next(&first, Some("k")).await;
    world.clock.advance(60 * DAY - Duration::from_millis(1));
    assert_eq!(world.next(&first, Some("k")).await, second);
    world.clock.advance(Duration::from_millis(1));
    assert_eq!(refused(&world.refreshes(&first, Some("k")).await), Refusal::Expired);
    assert_eq!(refused(&world.refreshes(&second, None).await), Refusal::Expired);

    let world = World::new();
    let mut token = text(&world.ada().await);
    for _ in 0..364 {
        world.clock.advance(DAY);
        token = world.next(&token, None).await;
    }
    world.clock.advance(DAY - Duration::from_millis(1));
    let Refreshed::Granted(last) = world.refreshes(&token, None).await else { panic!("granted") };
    let ends_at = world.snapshot(&token).await.unwrap().session.ends_at;
    assert_eq!(last.access.expires_at, ends_at, "no access token outlives its session");
    world.clock.advance(Duration::from_millis(1));
    assert_eq!(refused(&world.refreshes(&text(&last), None).await), Refusal::SessionExpired);
}

#[tokio::test]
async fn a_reissue_kills_the_unused_successor() {
    let world = World::with(with_refresh(|policy| policy.after_window = AfterWindow::Reissue));
    let first = text(&world.ada().await);
    let lost = world.next(&first, None).await;
    world.clock.advance(DAY);
    let second = world.next(&first, None).await;
    assert_ne!(second, lost);
    assert_eq!(refused(&world.refreshes(&lost, None).await), Refusal::Superseded);
    world.clock.advance(DAY);
    assert_eq!(refused(&world.refreshes(&lost, None).await), REUSE);
}

#[tokio::test]
async fn a_store_that_lost_writes_is_healed_by_the_client() {
    let world = World::new();
    let first = text(&world.ada().await);
    let backup = world.snapshot(&first).await.unwrap();
    let second = world.next(&first, Some("k1")).await;
    let third = world.next(&second, Some("k2")).await;
    restore(&world, backup).await;
    world.events.take();
    let fourth = world.next(&third, Some("k3")).await;
    let healed = Event::Healed {
        session: world.snapshot(&first).await.unwrap().session.id,
        stored: Generation(0),
        presented: Generation(2),
    };
    assert_eq!(world.events.take(), [healed]);
    assert_eq!(world.next(&third, Some("k3")).await, fourth);
    assert_eq!(refused(&world.refreshes(&second, None).await), Refusal::Superseded);
    world.clock.advance(DAY);
    assert_eq!(refused(&world.refreshes(&second, None).await), REUSE);
}

#[tokio::test]
async fn a_store_that_lost_writes_ends_the_session_where_the_policy_says_so() {
    let world = World::with(with_refresh(|policy| policy.on_rollback = OnRollback::End));
    let first = text(&world.ada().await);
    let backup = world.snapshot(&first).await.unwrap();
    let second = world.next(&first, None).await;
    restore(&world, backup).await;
    assert_eq!(refused(&world.refreshes(&second, None).await), Refusal::Ended(EndReason::RolledBack));
}

/// Puts a session back as it was.
pub(super) async fn restore(world: &World, backup: regrant_domain::session::Snapshot) {
    world.store.forget_all(backup.session.user).await.unwrap();
    let regrant_domain::session::Snapshot { session, lookup, token } = backup;
    world.store.open(NewSession { session, lookup, token }).await.unwrap();
}

#[tokio::test]
async fn an_authentic_token_of_a_forgotten_session_is_unknown() {
    let world = World::new();
    let granted = world.ada().await;
    world.store.forget_all(world.user("ada@example.org").await.unwrap().id).await.unwrap();
    assert_eq!(refused(&world.refreshes(&text(&granted), None).await), Refusal::Unknown);
}

#[tokio::test]
async fn text_that_is_not_authentic_gets_no_reason_and_touches_no_store() {
    let world = World::new().with_ports(|ports| {
        // A mock without expectations panics when it is called.
        ports.sessions = Arc::new(regrant_domain::ports::MockSessionRepository::new());
    });
    for bad in ["", "x", &"0".repeat(115), &"é".repeat(60)] {
        assert!(matches!(world.refreshes(bad, None).await, Refreshed::NotAuthentic), "{bad}");
        assert_eq!(world.use_cases.sign_out.run(bad, &nowhere()).await.unwrap(), SignedOut::NotAuthentic);
    }
}

#[tokio::test]
async fn a_bare_token_stays_as_it_is_for_any_number_of_refreshes() {
    let world = World::with(with_refresh(|policy| policy.rotate = false));
    let token = text(&world.ada().await);
    assert_eq!(token.len(), 64);
    let before = world.snapshot(&token).await;
    for _ in 0..10 {
        world.clock.advance(5 * DAY);
        let Refreshed::Granted(granted) = world.refreshes(&token, None).await else { panic!("granted") };
        assert!(granted.refresh.is_none());
    }
    assert_eq!(world.snapshot(&token).await, before, "nothing is written");
    world.clock.advance(10 * DAY);
    assert_eq!(refused(&world.refreshes(&token, None).await), Refusal::Expired);
    assert!(matches!(world.refreshes(&"0".repeat(64), None).await, Refreshed::NotAuthentic));
}

#[tokio::test]
async fn revoking_with_any_generation_ends_the_session_and_may_be_repeated() {
    let world = World::new();
    let first = text(&world.ada().await);
    let second = world.next(&first, None).await;
    for token in [&first, &second, &first] {
        assert_eq!(world.use_cases.sign_out.run(token, &nowhere()).await.unwrap(), SignedOut::Over);
    }
    assert_eq!(refused(&world.refreshes(&second, None).await), Refusal::Ended(EndReason::SignedOut));

    let world = World::with(with_refresh(|policy| policy.rotate = false));
    let token = text(&world.ada().await);
    assert_eq!(world.use_cases.sign_out.run(&token, &nowhere()).await.unwrap(), SignedOut::Over);
    assert_eq!(refused(&world.refreshes(&token, None).await), Refusal::Ended(EndReason::SignedOut));
    assert_eq!(world.use_cases.sign_out.run(&"0".repeat(64), &nowhere()).await.unwrap(), SignedOut::NotAuthentic);
}
