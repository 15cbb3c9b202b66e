//! Signing up and in, changing passwords, deleting accounts.

use regrant_domain::ports::{Event, UserRepository};
use regrant_domain::reason::{EndReason, Refusal};
use regrant_domain::usecases::account::Changed;
use regrant_domain::usecases::refresh::Refreshed;
use regrant_domain::usecases::register::{Registered, TakenEmail};
use regrant_domain::usecases::sign_in::SignedIn;
use regrant_domain::user::{Email, Epoch, InvalidPassword, PasswordHash};

use super::{World, nowhere, policies, pw, text};

#[tokio::test]
async fn a_sign_up_can_be_repeated_by_its_owner_and_tells_a_stranger_nothing() {
    let world = World::new();
    let ada = world.registers("ada@example.org", "correct horse").await;
    assert_eq!(world.registers("Ada@Example.org", "correct horse").await, ada);
    let stranger = world.registers("ada@example.org", "a stranger's").await;
    assert_ne!(stranger.id, ada.id);
    assert_eq!(stranger.email, ada.email);
    assert!(UserRepository::find(&*world.store, stranger.id).await.unwrap().is_none(), "it does not exist");
    assert!(matches!(world.tries_to_sign_in("ada@example.org", "a stranger's").await, SignedIn::Refused));
    world.signs_in("ada@example.org", "correct horse").await;
}

#[tokio::test]
async fn a_stranger_is_told_that_an_address_is_taken_where_the_policy_says_so() {
    let mut policies = policies();
    policies.taken_email = TakenEmail::Tell;
    let world = World::with(policies);
    world.ada().await;
    let outcome = world
        .use_cases
        .register
        .run(Email::parse("ada@example.org").unwrap(), pw("a stranger's"), &nowhere())
        .await
        .unwrap();
    assert!(matches!(outcome, Registered::EmailTaken));
}

#[tokio::test]
async fn a_short_password_is_refused_for_new_accounts_and_changes() {
    let world = World::new();
    let short = InvalidPassword::TooShort { min: 8 };
    let outcome = world.use_cases.register.run(Email::parse("a@b").unwrap(), pw("7 chars"), &nowhere()).await.unwrap();
    assert!(matches!(outcome, Registered::PasswordRefused(why) if why == short));
    let caller = world.caller(&world.ada().await).await;
    let outcome =
        world.use_cases.account.change_password(&caller, pw("correct horse"), pw("short"), &nowhere()).await.unwrap();
    assert_eq!(outcome, Changed::PasswordRefused(short));
}

#[tokio::test]
async fn an_unknown_address_and_a_wrong_password_get_one_answer() {
    let world = World::new();
    world.ada().await;
    world.events.take();
    assert!(matches!(world.tries_to_sign_in("ada@example.org", "wrong horse").await, SignedIn::Refused));
    assert!(matches!(world.tries_to_sign_in("eve@example.org", "wrong horse").await, SignedIn::Refused));
    let ada = world.user("ada@example.org").await.unwrap().id;
    assert_eq!(world.events.take(), [Event::SignInFailed { user: Some(ada) }, Event::SignInFailed { user: None }]);
}

#[tokio::test]
async fn a_weak_hash_becomes_a_better_one_at_sign_in() {
    let world = World::new();
    let mut ada = world.registers("ada@example.org", "correct horse").await;
    world.store.delete(ada.id).await.unwrap();
    ada.password_hash = PasswordHash::new("weak:correct horse".into());
    world.store.add(ada.clone()).await.unwrap();
    world.signs_in("ada@example.org", "correct horse").await;
    let after = world.user("ada@example.org").await.unwrap();
    assert_eq!(after.password_hash.as_str(), "hash:correct horse");
    assert_eq!(after.epoch, ada.epoch, "no session ends for it");
}

#[tokio::test]
async fn a_changed_password_ends_the_other_sessions_and_keeps_this_one() {
    let world = World::new();
    let here = world.ada().await;
    let there = world.signs_in("ada@example.org", "correct horse").await;
    let caller = world.caller(&here).await;
    let from = nowhere();
    let change = |old: &'static str, new: &'static str| {
        world.use_cases.account.change_password(&caller, pw(old), pw(new), &from)
    };
    assert_eq!(change("wrong horse", "battery staple").await.unwrap(), Changed::WrongPassword);
    assert_eq!(change("correct horse", "battery staple").await.unwrap(), Changed::Done);
    let outcome = world.refreshes(&text(&there), None).await;
    assert!(matches!(outcome, Refreshed::Refused(Refusal::Ended(EndReason::PasswordChanged))), "{outcome:?}");
    world.next(&text(&here), None).await;
    assert!(matches!(world.tries_to_sign_in("ada@example.org", "correct horse").await, SignedIn::Refused));
    world.signs_in("ada@example.org", "battery staple").await;
    assert_eq!(world.user("ada@example.org").await.unwrap().epoch, Epoch(1));
}

#[tokio::test]
async fn a_deleted_account_is_gone_with_its_sessions_and_tokens() {
    let world = World::new();
    let granted = world.ada().await;
    let caller = world.caller(&granted).await;
    assert_eq!(
        world.use_cases.account.delete(&caller, pw("wrong horse"), &nowhere()).await.unwrap(),
        Changed::WrongPassword
    );
    assert_eq!(world.use_cases.account.delete(&caller, pw("correct horse"), &nowhere()).await.unwrap(), Changed::Done);
    assert!(world.user("ada@example.org").await.is_none());
    let outcome = world.refreshes(&text(&granted), None).await;
    assert!(matches!(outcome, Refreshed::Refused(Refusal::Unknown)), "{outcome:?}");
    assert_eq!(world.use_cases.account.read(caller.user).await.unwrap(), None);
    world.registers("ada@example.org", "correct horse").await;
}
