//! Sessions that are opened at the same time go to the server as one statement. Here is what only a batch can get wrong.

use regrant_domain::access_token::KeptAccess;
use regrant_domain::ids::UserId;
use regrant_domain::ports::{NewSession, OpenOutcome, PortError, SessionKey, SessionRepository as _, UserRepository};
use regrant_domain::refresh_token::LookupKey;
use regrant_domain::session::Device;

use super::{PostgresStore, all_at_once, connect, deadlocks_of, each_at_once, find, look};
use crate::contract::bench::{a_bare_session, a_hash, a_session, a_user, a_user_id, as_opened, minutes};

const MANY: usize = 200;

/// A store with two connections, so that whatever comes at once has to wait, and some users.
async fn scene() -> Option<(PostgresStore, Vec<UserId>)> {
    let store = connect(&super::database().await?, 2).await;
    let users = users(&store, 7).await;
    Some((store, users))
}

async fn users(store: &PostgresStore, many: usize) -> Vec<UserId> {
    let mut users = Vec::new();
    for _ in 0..many {
        let user = a_user();
        store.add(user.clone()).await.unwrap();
        users.push(user.id);
    }
    users
}

async fn opened_at_once(store: &PostgresStore, all: &[NewSession]) -> Vec<Result<OpenOutcome, PortError>> {
    each_at_once(store, all, |store, new| async move { store.open(new).await }).await
}

/// All sorts: of either kind of key, with and without an access token that is kept, with more and less of a device.
fn a_session_of_a_sort(place: usize, user: UserId) -> NewSession {
    let mut new = if place.is_multiple_of(3) { a_bare_session(user) } else { a_session(user) };
    new.session.device = match place % 5 {
        0 => Device::default(),
        1 => Device { user_agent: Some(format!("agent {place}")), ..Device::default() },
        2 => Device { ip: Some(format!("192.0.2.{place}")), ..Device::default() },
        _ => new.session.device,
    };
    new.session.created_at = minutes(place as u64);
    new.token.expires_at = if place.is_multiple_of(2) { new.token.expires_at } else { new.session.ends_at };
    let access = KeptAccess { hash: a_hash(), expires_at: minutes(900) };
    new.token.access = (place % 4 == 1).then_some(access);
    new
}

#[tokio::test(flavor = "multi_thread")]
async fn each_is_opened_as_it_is_and_for_its_own_user() {
    let Some(url) = super::database().await else { return };
    let store = connect(&url, 2).await;
    let users = users(&store, 7).await;
    let all: Vec<_> = (0..MANY).map(|place| a_session_of_a_sort(place, users[place % users.len()])).collect();
    for outcome in opened_at_once(&store, &all).await {
        assert_eq!(outcome.unwrap(), OpenOutcome::Opened);
    }
    for new in &all {
        for key in [SessionKey::Id(new.session.id), SessionKey::Lookup(new.lookup.clone())] {
            let found = regrant_domain::ports::SessionRepository::find(&store, &key).await.unwrap();
            assert_eq!(found, Some(as_opened(new)));
        }
    }
    // What no caller sees: when the sweep is to look at it, and the expiry that the session's row repeats beside a pair.
    let wrong = "SELECT count(*) FROM refresh_tokens t JOIN sessions s ON s.id = t.session_id \
                 WHERE t.check_at <> LEAST(t.expires_at, t.session_ends_at) OR s.refresh_token_expires_at \
                 IS DISTINCT FROM CASE WHEN s.access_token IS NOT NULL THEN t.expires_at END";
    assert_eq!(sqlx::query_scalar::<_, i64>(wrong).fetch_one(&mut look(&url).await).await.unwrap(), 0);
    for user in users {
        let own = all.iter().filter(|new| new.session.user == user).count();
        assert_eq!(store.list(user).await.unwrap().len(), own);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_some_have_no_user_only_they_are_told_so() {
    let Some((store, users)) = scene().await else { return };
    let user = |place: usize| if place.is_multiple_of(3) { a_user_id() } else { users[place % users.len()] };
    let all: Vec<_> = (0..MANY).map(|place| a_session(user(place))).collect();
    for (place, outcome) in opened_at_once(&store, &all).await.into_iter().enumerate() {
        let nobody = place.is_multiple_of(3);
        assert_eq!(outcome.unwrap(), if nobody { OpenOutcome::NoSuchUser } else { OpenOutcome::Opened }, "{place}");
        let expected = (!nobody).then(|| as_opened(&all[place]));
        assert_eq!(find(&store, all[place].session.id).await.unwrap(), expected, "{place}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_the_server_refuses_fails_alone() {
    let Some((store, users)) = scene().await else { return };
    let mut all: Vec<_> = (0..MANY).map(|place| a_session(users[place % users.len()])).collect();
    for place in (0..MANY).step_by(20) {
        // No text of Postgres has this character.
        all[place].lookup = LookupKey::stored("a\0b".into());
        // And one that is opened already.
        all[place + 1] = all[place + 2].clone();
    }
    let outcomes = opened_at_once(&store, &all).await;
    let opened = |place: usize| matches!(outcomes[place], Ok(OpenOutcome::Opened));
    for place in 0..MANY {
        match place % 20 {
            0 => assert!(!opened(place), "{place}"),
            1 => assert_ne!(opened(place), opened(place + 1), "one of two that are the same: {place}"),
            2 => {}
            _ => assert!(opened(place), "{place}: {:?}", outcomes[place]),
        }
        let expected = (place % 20 != 0).then(|| as_opened(&all[place]));
        assert_eq!(find(&store, all[place].session.id).await.unwrap(), expected, "{place}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_hangs_up_takes_nobody_along() {
    let Some((store, users)) = scene().await else { return };
    let all: Vec<_> = (0..MANY).map(|place| a_session(users[place % users.len()])).collect();
    let mut asked = Vec::new();
    for new in all.clone() {
        let store = store.clone();
        asked.push(tokio::spawn(async move { store.open(new).await }));
    }
    for hung_up in asked.iter().step_by(2) {
        hung_up.abort();
    }
    for (place, asked) in asked.into_iter().enumerate().skip(1).step_by(2) {
        assert_eq!(asked.await.unwrap().unwrap(), OpenOutcome::Opened, "{place}");
        assert_eq!(find(&store, all[place].session.id).await.unwrap(), Some(as_opened(&all[place])));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_that_open_for_the_same_users_while_some_are_deleted_do_not_wait_in_a_circle() {
    let Some(url) = super::database().await else { return };
    let (one, other) = (connect(&url, 2).await, connect(&url, 2).await);
    let users = users(&one, 20).await;
    let of = |users: Vec<UserId>| (0..MANY).map(|n| a_session(users[n % users.len()])).collect::<Vec<_>>();
    let (forwards, backwards) = (of(users.clone()), of(users.iter().rev().copied().collect()));
    let leaving = users.iter().copied().step_by(4).map(|user| {
        let store = one.clone();
        async move { store.delete(user).await.unwrap() }
    });
    let (ours, theirs, left) =
        tokio::join!(opened_at_once(&one, &forwards), opened_at_once(&other, &backwards), all_at_once(leaving));
    assert!(left.into_iter().all(|was_there| was_there));
    let (mut opened, mut kept) = (0, 0);
    for (new, outcome) in forwards.iter().zip(ours).chain(backwards.iter().zip(theirs)) {
        let left = users.iter().step_by(4).any(|user| *user == new.session.user);
        let outcome = outcome.unwrap();
        opened += usize::from(outcome == OpenOutcome::Opened && !left);
        kept += usize::from(find(&one, new.session.id).await.unwrap().is_some());
    }
    assert_eq!((opened, kept), (2 * MANY * 3 / 4, 2 * MANY * 3 / 4), "those of whoever stays, and no others");
    assert_eq!(deadlocks_of(&url).await, 0);
}
