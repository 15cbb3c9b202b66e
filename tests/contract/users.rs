//! Promises about users.

use regrant_domain::ports::{AddUserOutcome, PasswordChange};
use regrant_domain::session::Status;
use regrant_domain::time::Timestamp;
use regrant_domain::user::{Email, Epoch, PasswordHash, User};

use super::bench::{
    Bench, a_bare_session, a_session, a_user, a_user_id, an_email, as_opened, by_id, minutes, rotation,
};
use super::ending::{an_end, stays_gone};

fn hash(text: &str) -> PasswordHash {
    PasswordHash::new(text.into())
}

async fn found(bench: &Bench, user: &User) -> Option<User> {
    let by_id = bench.users.find(user.id).await.unwrap();
    let by_email = bench.users.find_by_email(&user.email).await.unwrap();
    assert_eq!(by_id, by_email, "both find the same");
    by_id
}

pub(crate) async fn an_added_user_is_found_by_id_and_by_address_with_every_field_equal(bench: &Bench) {
    for i in [0, 1, 999, 1_795_249_800_007, Timestamp::MAX.millis()] {
        let user = User {
            email: Email::parse(&format!("Zoë.o'hara+{}", an_email().as_str())).unwrap(),
            password_hash: hash("$2b$12$äöü'\\; --"),
            epoch: Epoch(i),
            created_at: Timestamp::from_millis(i),
            updated_at: Timestamp::from_millis(i + 1),
            ..a_user()
        };
        assert_eq!(bench.users.add(user.clone()).await.unwrap(), AddUserOutcome::Added);
        assert_eq!(found(bench, &user).await, Some(user));
    }
}

pub(crate) async fn a_user_who_is_not_there_is_not_found(bench: &Bench) {
    assert_eq!(found(bench, &a_user()).await, None);
}

pub(crate) async fn an_address_that_is_taken_stays_with_its_user(bench: &Bench) {
    let first = bench.user().await;
    let second = User { email: first.email.clone(), password_hash: hash("other"), ..a_user() };
    assert_eq!(bench.users.add(second.clone()).await.unwrap(), AddUserOutcome::EmailTaken);
    assert_eq!(found(bench, &first).await, Some(first));
    assert_eq!(bench.users.find(second.id).await.unwrap(), None);
}

pub(crate) async fn an_id_that_is_taken_stays_with_its_user(bench: &Bench) {
    let first = bench.user().await;
    let second = User { id: first.id, ..a_user() };
    assert!(bench.users.add(second.clone()).await.is_err());
    assert_eq!(found(bench, &first).await, Some(first));
    assert_eq!(bench.users.find_by_email(&second.email).await.unwrap(), None);
}

pub(crate) async fn of_many_additions_of_one_address_exactly_one_is_added(bench: &Bench) {
    for _ in 0..8 {
        let email = an_email();
        let barrier = std::sync::Arc::new(tokio::sync::Barrier::new(16));
        let tasks: Vec<_> = (0..16)
            .map(|_| {
                let user = User { email: email.clone(), ..a_user() };
                let (users, barrier) = (bench.users.clone(), barrier.clone());
                tokio::spawn(async move {
                    barrier.wait().await;
                    (users.add(user.clone()).await.unwrap(), user)
                })
            })
            .collect();
        let mut added = Vec::new();
        for task in tasks {
            let (outcome, user) = task.await.unwrap();
            match outcome {
                AddUserOutcome::Added => added.push(user),
                AddUserOutcome::EmailTaken => assert_eq!(bench.users.find(user.id).await.unwrap(), None),
            }
        }
        assert_eq!(added.len(), 1);
        assert_eq!(found(bench, &added[0]).await.as_ref(), Some(&added[0]));
    }
}

pub(crate) async fn a_password_is_replaced_only_while_it_is_the_one_that_was_checked(bench: &Bench) {
    let user = bench.user().await;
    let other = bench.user().await;
    let change = |from: &PasswordHash, to, minute, advance_epoch| {
        let (from, to) = (from.clone(), hash(to));
        PasswordChange { user: user.id, from, to, now: minutes(minute), advance_epoch }
    };
    assert!(!bench.users.set_password(change(&hash("wrong"), "new", 1, true)).await.unwrap());
    assert_eq!(found(bench, &user).await.as_ref(), Some(&user));

    assert!(bench.users.set_password(change(&user.password_hash, "better", 2, false)).await.unwrap());
    let better = User { password_hash: hash("better"), updated_at: minutes(2), ..user.clone() };
    assert_eq!(found(bench, &user).await.as_ref(), Some(&better));
    assert!(!bench.users.set_password(change(&user.password_hash, "late", 3, true)).await.unwrap());

    assert!(bench.users.set_password(change(&hash("better"), "new", 4, true)).await.unwrap());
    let new = User { password_hash: hash("new"), updated_at: minutes(4), epoch: Epoch(1), ..user.clone() };
    assert_eq!(found(bench, &user).await, Some(new));

    let nobody = PasswordChange { user: a_user_id(), ..change(&hash("new"), "x", 5, true) };
    assert!(!bench.users.set_password(nobody).await.unwrap());
    assert_eq!(found(bench, &other).await.as_ref(), Some(&other));
}

pub(crate) async fn of_many_changes_of_one_password_exactly_one_applies(bench: &Bench) {
    let user = bench.user().await;
    let barrier = std::sync::Arc::new(tokio::sync::Barrier::new(8));
    let tasks: Vec<_> = (0..8)
        .map(|i| {
            let (users, barrier, from) = (bench.users.clone(), barrier.clone(), user.password_hash.clone());
            let to = hash(&format!("new {i}"));
            let change = PasswordChange { user: user.id, from, to, now: minutes(1), advance_epoch: true };
            tokio::spawn(async move {
                barrier.wait().await;
                users.set_password(change).await.unwrap()
            })
        })
        .collect();
    let mut applied = 0;
    for task in tasks {
        applied += u32::from(task.await.unwrap());
    }
    assert_eq!(applied, 1);
    assert_eq!(found(bench, &user).await.map(|user| user.epoch), Some(Epoch(1)));
}

pub(crate) async fn an_epoch_only_grows(bench: &Bench) {
    let user = bench.user().await;
    for minute in 1..=3 {
        assert!(bench.users.advance_epoch(user.id, minutes(minute)).await.unwrap());
        let epoch = Epoch(i64::try_from(minute).unwrap());
        let now = User { epoch, updated_at: minutes(minute), ..user.clone() };
        assert_eq!(found(bench, &user).await, Some(now));
    }
    assert!(!bench.users.advance_epoch(a_user_id(), minutes(9)).await.unwrap());
}

pub(crate) async fn epochs_that_are_advanced_at_once_all_count(bench: &Bench) {
    let user = bench.user().await;
    let tasks: Vec<_> = (0..16)
        .map(|_| {
            let (users, id) = (bench.users.clone(), user.id);
            tokio::spawn(async move { users.advance_epoch(id, minutes(1)).await.unwrap() })
        })
        .collect();
    for task in tasks {
        assert!(task.await.unwrap());
    }
    assert_eq!(found(bench, &user).await.map(|user| user.epoch), Some(Epoch(16)));
}

pub(crate) async fn a_deleted_user_is_gone_and_the_address_is_free(bench: &Bench) {
    let (user, other) = (bench.user().await, bench.user().await);
    assert!(bench.users.delete(user.id).await.unwrap());
    assert!(!bench.users.delete(user.id).await.unwrap());
    assert!(!bench.users.delete(a_user_id()).await.unwrap());
    assert_eq!(found(bench, &user).await, None);
    assert!(!bench.users.advance_epoch(user.id, minutes(1)).await.unwrap());
    let again = User { email: user.email.clone(), ..a_user() };
    assert_eq!(bench.users.add(again.clone()).await.unwrap(), AddUserOutcome::Added);
    assert_eq!(found(bench, &again).await, Some(again));
    assert_eq!(found(bench, &other).await.as_ref(), Some(&other));
}

pub(crate) async fn a_deleted_user_takes_every_session_along_where_the_store_keeps_both(bench: &Bench) {
    if !bench.shares_users {
        return;
    }
    let (ada, bob) = (bench.user().await, bench.user().await);
    let live = bench.keep(a_session(ada.id)).await;
    bench.sessions.rotate(rotation(&as_opened(&live), minutes(1))).await.unwrap();
    let bare = bench.keep(a_bare_session(ada.id)).await;
    let over = bench.keep(a_session(ada.id)).await;
    bench.sessions.end(an_end(by_id(&over), regrant_domain::reason::EndReason::SignedOut, minutes(1))).await.unwrap();
    let bobs = bench.keep(a_session(bob.id)).await;
    assert!(bench.users.delete(ada.id).await.unwrap());
    for gone in [&live, &bare, &over] {
        stays_gone(bench, gone).await;
    }
    assert_eq!(bench.found(&bobs).await.session.status, Status::Live);
}
