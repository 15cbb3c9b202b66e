//! What a history has, what it never has, and that it holds nothing up.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use regrant_adapters::outbound::memory::MemoryStore;
use regrant_adapters::outbound::no_history::NoHistory;
use regrant_domain::history::{Entry, Origin, What};
use regrant_domain::ids::SessionId;
use regrant_domain::policy::{AfterWindow, WhenFull};
use regrant_domain::ports::{
    Event, HistoryRepository, MockBackground, MockHistoryRepository, PortError, SessionRepository,
};
use regrant_domain::reason::EndReason;
use regrant_domain::refresh_token::{Lifetime, RetryKey};
use regrant_domain::session::Device;
use regrant_domain::usecases::account::Changed;
use regrant_domain::usecases::explain::{Explain, Explained};
use regrant_domain::usecases::refresh::{Granted, Refreshed};
use regrant_domain::usecases::sign_in::SignedIn;
use regrant_domain::usecases::sweep::{Retention, Sweep};
use regrant_domain::user::Email;

use super::refreshing::{restore, with_refresh};
use super::{DAY, WINDOW, World, nowhere, policies, pw, text};

const MINUTE: Duration = Duration::from_mins(1);

/// Somewhere in the world.
fn from(place: u8) -> Origin {
    Origin { user_agent: Some(format!("agent {place}")), ip: Some(format!("192.0.2.{place}")) }
}

async fn refresh_from(world: &World, token: &str, place: u8) -> Refreshed {
    world.use_cases.refresh.run(token, None, &from(place)).await.unwrap()
}

/// A session's history, as the user of `granted` sees it.
async fn history(world: &World, granted: &Granted, session: SessionId) -> Option<Vec<Entry>> {
    world.use_cases.history.run(&world.caller(granted).await, session).await.unwrap()
}

fn whats(entries: &[Entry]) -> Vec<What> {
    entries.iter().map(|entry| entry.what).collect()
}

/// What is kept of a session, whether or not its record would tell it.
async fn kept(world: &World, session: SessionId) -> Vec<What> {
    let mut entries = world.store.of_session(session).await.unwrap();
    Entry::sort(&mut entries);
    whats(&entries)
}

#[tokio::test]
async fn a_history_tells_a_theft_from_its_beginning_to_its_end() {
    let world = World::new();
    world.registers("ada@example.org", "correct horse").await;
    let email = Email::parse("ada@example.org").unwrap();
    let device = Device { label: Some("laptop".into()), user_agent: from(1).user_agent, ip: from(1).ip };
    let SignedIn::Granted { tokens: here, .. } =
        world.use_cases.sign_in.run(&email, pw("correct horse"), device, Lifetime::Usual).await.unwrap()
    else {
        panic!("not signed in")
    };
    let opened = world.ports.clock.now();
    let first = text(&here);
    for place in [1, 2] {
        world.clock.advance(Duration::from_secs(1));
        refresh_from(&world, &first, place).await;
    }
    let replayed = world.ports.clock.now();
    world.clock.advance(WINDOW * 2);
    assert!(matches!(refresh_from(&world, &first, 3).await, Refreshed::Refused(_)));
    let ended = world.ports.clock.now();

    let there = world.signs_in("ada@example.org", "correct horse").await;
    let found = history(&world, &there, here.session).await.unwrap();
    let told: Vec<_> = found.iter().map(|entry| (entry.at, entry.what, entry.from.clone())).collect();
    let end = What::Ended(EndReason::ReuseDetected);
    assert_eq!(
        told,
        [
            (opened, What::Opened, from(1)),
            (replayed, What::Replayed, from(2)),
            (ended, What::ReuseSeen, from(3)),
            (ended, end, from(3)),
        ]
    );
    assert_eq!(kept(&world, here.session).await, [What::Opened, What::Replayed, What::ReuseSeen, end], "all is kept");
}

#[tokio::test]
async fn late_duplicates_reissues_and_healed_losses_are_told() {
    let world = World::with(with_refresh(|policy| policy.after_window = AfterWindow::Reissue));
    let granted = world.ada().await;
    let first = text(&granted);
    let lost = world.next(&first, None).await;
    world.clock.advance(DAY);
    world.next(&first, None).await;
    world.clock.advance(Duration::from_secs(1));
    world.refreshes(&lost, None).await;
    assert_eq!(kept(&world, granted.session).await, [What::Opened, What::Reissued, What::Superseded]);

    let world = World::new();
    let granted = world.ada().await;
    let first = text(&granted);
    let backup = world.snapshot(&first).await.unwrap();
    let second = world.next(&first, None).await;
    restore(&world, backup).await;
    world.next(&second, None).await;
    assert_eq!(kept(&world, granted.session).await, [What::Opened, What::Healed]);
}

#[tokio::test]
async fn every_end_is_told_with_its_reason_and_where_it_came_from() {
    use EndReason::{PasswordChanged, SessionLimit, SignedOut, SignedOutElsewhere};
    let mut limited = policies();
    limited.session.max_per_user = NonZeroU32::new(6);
    limited.session.when_full = WhenFull::EndOldest;
    let world = World::with(limited);
    let oldest = world.ada().await;
    let mut sessions = Vec::new();
    for _ in 0..6 {
        world.clock.advance(MINUTE);
        sessions.push(world.signs_in("ada@example.org", "correct horse").await);
    }
    let [revoked, elsewhere, own, all, other, here] = <[Granted; 6]>::try_from(sessions).unwrap();
    let (caller, use_cases) = (world.caller(&here).await, &world.use_cases);
    use_cases.sign_out.run(&text(&revoked), &from(1)).await.unwrap();
    use_cases.sessions.end_one(&caller, elsewhere.session, &from(2)).await.unwrap();
    use_cases.sessions.end_one(&world.caller(&own).await, own.session, &from(3)).await.unwrap();
    let changed =
        use_cases.account.change_password(&caller, pw("correct horse"), pw("battery staple"), &from(4)).await.unwrap();
    assert_eq!(changed, Changed::Done);
    let last = world.signs_in("ada@example.org", "battery staple").await;
    use_cases.sessions.end_all(&caller, false, &from(5)).await.unwrap();
    for (session, reason, origin) in [
        (oldest.session, SessionLimit, nowhere()),
        (revoked.session, SignedOut, from(1)),
        (elsewhere.session, SignedOutElsewhere, from(2)),
        (own.session, SignedOut, from(3)),
        (all.session, PasswordChanged, from(4)),
        (other.session, PasswordChanged, from(4)),
        (last.session, SignedOutElsewhere, from(5)),
    ] {
        let entries = world.store.of_session(session).await.unwrap();
        let end = entries.iter().find(|entry| entry.what == What::Ended(reason));
        assert_eq!(end.map(|entry| &entry.from), Some(&origin), "{reason}: {entries:?}");
        assert_eq!(entries.len(), 2, "{entries:?}");
        // Ending it again tells nothing more.
        use_cases.sessions.end_one(&caller, session, &from(9)).await.unwrap();
        assert_eq!(world.store.of_session(session).await.unwrap().len(), 2);
    }
}

#[tokio::test]
async fn what_happens_all_the_time_writes_no_history() {
    for rotate in [true, false] {
        let world = World::with(with_refresh(|policy| policy.rotate = rotate));
        let granted = world.ada().await;
        let world = world.with_ports(|ports| ports.history = Arc::new(MockHistoryRepository::new()));
        let mut token = text(&granted);
        for _ in 0..3 {
            let Refreshed::Granted(next) = refresh_from(&world, &token, 1).await else { panic!("refused") };
            token = next.refresh.map_or(token, |next| next.expose().to_owned());
            world.caller(&granted).await;
        }
        assert!(matches!(refresh_from(&world, "nonsense", 1).await, Refreshed::NotAuthentic));
    }
}

#[tokio::test]
async fn what_happens_to_the_account_is_told_where_the_session_lived() {
    let world = World::new();
    let before = world.ada().await;
    world.use_cases.sign_out.run(&text(&before), &nowhere()).await.unwrap();
    world.clock.advance(MINUTE);
    assert!(matches!(world.tries_to_sign_in("ada@example.org", "too early").await, SignedIn::Refused));
    world.clock.advance(MINUTE);
    let here = world.signs_in("ada@example.org", "correct horse").await;
    world.clock.advance(MINUTE);
    assert!(matches!(world.tries_to_sign_in("ada@example.org", "a guess").await, SignedIn::Refused));
    assert!(matches!(world.tries_to_sign_in("eve@example.org", "a guess").await, SignedIn::Refused));
    world.clock.advance(MINUTE);
    let caller = world.caller(&here).await;
    let (old, new) = (pw("correct horse"), pw("battery staple"));
    world.use_cases.account.change_password(&caller, old, new, &from(7)).await.unwrap();

    let entries = history(&world, &here, here.session).await.unwrap();
    assert_eq!(whats(&entries), [What::Opened, What::SignInFailed, What::PasswordChanged]);
    let about: Vec<_> = entries.iter().map(|entry| entry.session.is_some()).collect();
    assert_eq!(about, [true, false, false], "it is marked");
    assert_eq!(entries[2].from, from(7));
    let entries = history(&world, &here, before.session).await.unwrap();
    assert_eq!(whats(&entries), [What::Opened, What::Ended(EndReason::SignedOut)]);
}

#[tokio::test]
async fn nobody_sees_the_history_of_somebody_elses_session() {
    let world = World::new();
    let ada = world.ada().await;
    world.registers("eve@example.org", "correct horse").await;
    let eve = world.signs_in("eve@example.org", "correct horse").await;
    assert_eq!(history(&world, &eve, ada.session).await, None);
    assert_eq!(history(&world, &eve, SessionId::from_bytes([9; 16])).await, None);
    world.use_cases.sign_out.run(&text(&ada), &nowhere()).await.unwrap();
    SessionRepository::forget_all(&*world.store, world.user("ada@example.org").await.unwrap().id).await.unwrap();
    assert_eq!(history(&world, &eve, ada.session).await, None, "nor when only the history is left");
    let again = world.signs_in("ada@example.org", "correct horse").await;
    let left = history(&world, &again, ada.session).await.unwrap();
    assert_eq!(whats(&left), [What::Opened, What::Ended(EndReason::SignedOut)], "which its owner does");
}

#[tokio::test]
async fn opening_and_end_are_told_even_where_no_entry_is_kept_and_the_rest_for_the_retention() {
    let world = World::new();
    let world = world.with_ports(|ports| ports.history = Arc::new(NoHistory::new(Arc::new(MemoryStore::default()))));
    let (gone, here) = (world.ada().await, world.signs_in("ada@example.org", "correct horse").await);
    world.use_cases.sign_out.run(&text(&gone), &from(1)).await.unwrap();
    let entries = history(&world, &here, gone.session).await.unwrap();
    assert_eq!(whats(&entries), [What::Opened, What::Ended(EndReason::SignedOut)]);

    let world = World::with(with_refresh(|policy| policy.ttl = 365 * DAY));
    let here = world.ada().await;
    let first = text(&here);
    let next = world.next(&first, None).await;
    world.next(&first, None).await;
    world.clock.advance(90 * DAY - Duration::from_millis(1));
    let Refreshed::Granted(later) = world.refreshes(&next, None).await else { panic!("refused") };
    assert_eq!(whats(&history(&world, &later, here.session).await.unwrap()), [What::Opened, What::Replayed]);
    world.clock.advance(Duration::from_millis(1));
    assert_eq!(whats(&history(&world, &later, here.session).await.unwrap()), [What::Opened]);
    assert_eq!(kept(&world, here.session).await.len(), 2);
    let sweep = Sweep::new(world.ports.clone(), Retention { sessions: 30 * DAY, history: 90 * DAY });
    assert!(sweep.batch().await.unwrap().done);
    assert_eq!(kept(&world, here.session).await, []);
}

#[tokio::test]
async fn a_history_that_cannot_be_written_changes_no_answer_and_is_told() {
    let away = || {
        let mut history = MockHistoryRepository::new();
        history.expect_append().times(1..).returning(|_| Err(PortError::unavailable("the store", "cut")));
        Arc::new(history)
    };
    let world = World::new();
    world.registers("ada@example.org", "correct horse").await;
    let world = world.with_ports(|ports| ports.history = away());
    let lost = |world: &World| {
        let lost = world.events.take().into_iter().filter(|event| matches!(event, Event::HistoryLost { .. })).count();
        assert_eq!(lost, 1);
    };
    world.events.take();
    let here = world.signs_in("ada@example.org", "correct horse").await;
    lost(&world);
    assert!(matches!(world.tries_to_sign_in("ada@example.org", "a guess").await, SignedIn::Refused));
    lost(&world);
    let first = text(&here);
    let second = world.next(&first, None).await;
    assert_eq!(world.next(&first, None).await, second);
    lost(&world);
    let caller = world.caller(&here).await;
    let (old, new) = (pw("correct horse"), pw("battery staple"));
    assert_eq!(world.use_cases.account.change_password(&caller, old, new, &nowhere()).await.unwrap(), Changed::Done);
    lost(&world);
    world.use_cases.sign_out.run(&second, &nowhere()).await.unwrap();
    assert!(
        world
            .events
            .take()
            .contains(&Event::HistoryLost { why: "the store is not available at the moment; try again: cut".into() })
    );
    assert!(matches!(world.refreshes(&second, None).await, Refreshed::Refused(_)), "and it has ended");
}

#[tokio::test]
async fn a_failed_sign_in_does_not_wait_for_the_history() {
    let mut history = MockHistoryRepository::new();
    history.expect_append().never();
    let mut background = MockBackground::new();
    background.expect_begin().times(1).returning(|_unfinished| true);
    let world = World::new();
    world.registers("ada@example.org", "correct horse").await;
    let world = world.with_ports(|ports| {
        ports.history = Arc::new(history);
        ports.background = Arc::new(background);
    });
    world.events.take();
    let ada = world.user("ada@example.org").await.unwrap().id;
    for email in ["ada@example.org", "eve@example.org"] {
        assert!(matches!(world.tries_to_sign_in(email, "a guess").await, SignedIn::Refused));
    }
    assert_eq!(world.events.take(), [Event::SignInFailed { user: Some(ada) }, Event::SignInFailed { user: None }]);
}

#[tokio::test]
async fn with_the_account_goes_its_history() {
    let world = World::new();
    let here = world.ada().await;
    world.tries_to_sign_in("ada@example.org", "a guess").await;
    let caller = world.caller(&here).await;
    let deleted = world.use_cases.account.delete(&caller, pw("correct horse"), &nowhere()).await.unwrap();
    assert_eq!(deleted, Changed::Done);
    assert_eq!(kept(&world, here.session).await, []);
    assert_eq!(world.store.of_account(caller.user).await.unwrap(), []);
}

#[tokio::test]
async fn events_name_the_request() {
    let world = World::new();
    let token = text(&world.ada().await);
    world.events.take();
    let key = RetryKey::parse("k1").ok();
    world.use_cases.refresh.run(&token, key, &from(1)).await.unwrap();
    world.use_cases.sign_out.run(&token, &from(2)).await.unwrap();
    let origins: Vec<_> = world.events.take_with_origins().into_iter().map(|(_, origin)| origin).collect();
    assert_eq!(origins, [from(1), from(2)]);
}

#[tokio::test]
async fn an_explanation_has_the_history_even_of_a_session_that_was_swept() {
    let world = World::new();
    let here = world.ada().await;
    let token = text(&here);
    world.use_cases.sign_out.run(&token, &from(1)).await.unwrap();
    let explain = Explain::new(world.ports.clone(), &world.policies);
    for swept in [false, true] {
        let Explained::Token(explained) = explain.run(&token, None).await.unwrap() else { panic!("not authentic") };
        assert_eq!(explained.snapshot.is_none(), swept);
        assert_eq!(whats(&explained.history), [What::Opened, What::Ended(EndReason::SignedOut)]);
        let user = world.user("ada@example.org").await.unwrap().id;
        SessionRepository::forget_all(&*world.store, user).await.unwrap();
    }
}
