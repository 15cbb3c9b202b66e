//! Promises about histories.

use std::time::Duration;

use regrant_domain::history::{Entry, Origin, What};
use regrant_domain::ids::{SessionId, UserId};
use regrant_domain::reason::EndReason;
use regrant_domain::time::Timestamp;

use super::bench::{Bench, OPENED, a_session_id, a_user_id, minutes};

const MAX: u64 = Entry::MAX_OF_A_KIND as u64;

fn an_entry(user: UserId, session: Option<SessionId>, at: Timestamp, what: What) -> Entry {
    let user_agent = Some("Mozilla/5.0 ('; DROP TABLE history; --) \"ä\"".into());
    Entry { user, session, at, what, from: Origin { user_agent, ip: Some("2001:db8::1".into()) } }
}

async fn append(bench: &Bench, entries: Vec<Entry>) {
    bench.history.append(entries).await.unwrap();
}

/// The same through both handles.
async fn of_session(bench: &Bench, session: SessionId) -> Vec<Entry> {
    let mut found = bench.history.of_session(session).await.unwrap();
    let mut other = bench.other_history.of_session(session).await.unwrap();
    Entry::sort(&mut found);
    Entry::sort(&mut other);
    assert_eq!(found, other);
    found
}

async fn of_account(bench: &Bench, user: UserId) -> Vec<Entry> {
    let mut found = bench.history.of_account(user).await.unwrap();
    Entry::sort(&mut found);
    found
}

pub(crate) async fn an_entry_comes_back_equal_and_appended_again_is_one(bench: &Bench) {
    let (user, session) = (bench.user().await.id, a_session_id());
    let mut all = Vec::new();
    for (minute, what) in What::all().enumerate() {
        all.push(an_entry(user, Some(session), minutes(minute as u64), what));
    }
    // The same at another time, from elsewhere, and from nobody knows where.
    let first = all[0].clone();
    all.push(Entry { at: first.at.plus(Duration::from_millis(1)), ..first.clone() });
    all.push(Entry { from: Origin { ip: Some("192.0.2.1".into()), ..first.from.clone() }, ..first.clone() });
    all.push(Entry { from: Origin::default(), ..first });
    Entry::sort(&mut all);
    append(bench, all.clone()).await;
    assert_eq!(of_session(bench, session).await, all);
    append(bench, all.clone()).await;
    for entry in &all {
        append(bench, vec![entry.clone(), entry.clone()]).await;
    }
    assert_eq!(of_session(bench, session).await, all);
    append(bench, Vec::new()).await;
}

pub(crate) async fn a_session_and_an_account_have_histories_of_their_own(bench: &Bench) {
    let (ada, eve) = (bench.user().await.id, bench.user().await.id);
    let (phone, laptop, stranger) = (a_session_id(), a_session_id(), a_session_id());
    let on_phone = an_entry(ada, Some(phone), OPENED, What::Opened);
    let on_laptop = an_entry(ada, Some(laptop), OPENED, What::Opened);
    let on_account = an_entry(ada, None, OPENED, What::PasswordChanged);
    append(bench, vec![on_phone.clone(), on_account.clone(), on_laptop.clone()]).await;
    append(bench, vec![an_entry(eve, Some(stranger), OPENED, What::Opened)]).await;
    assert_eq!(of_session(bench, phone).await, [on_phone]);
    assert_eq!(of_session(bench, laptop).await, [on_laptop]);
    assert_eq!(of_account(bench, ada).await, [on_account]);
    assert_eq!(of_account(bench, eve).await, []);
    assert_eq!(of_session(bench, a_session_id()).await, []);
    assert_eq!(of_account(bench, a_user_id()).await, []);
}

pub(crate) async fn of_each_kind_the_latest_are_kept_and_none_pushes_another_out(bench: &Bench) {
    let (user, session) = (bench.user().await.id, a_session_id());
    let opened = an_entry(user, Some(session), OPENED, What::Opened);
    let changed = an_entry(user, None, OPENED, What::PasswordChanged);
    append(bench, vec![opened.clone(), changed.clone()]).await;
    let replays: Vec<_> =
        (1..MAX + 8).map(|minute| an_entry(user, Some(session), minutes(minute), What::Replayed)).collect();
    let failures: Vec<_> =
        (1..MAX + 8).map(|minute| an_entry(user, None, minutes(minute), What::SignInFailed)).collect();
    for batch in replays.chunks(3).chain(failures.chunks(1)) {
        append(bench, batch.to_vec()).await;
    }
    let latest = |first: Entry, all: &[Entry]| [&[first], &all[7..]].concat();
    assert_eq!(of_session(bench, session).await, latest(opened, &replays));
    assert_eq!(of_account(bench, user).await, latest(changed, &failures));
}

pub(crate) async fn entries_that_are_appended_at_once_are_all_kept(bench: &Bench) {
    let (user, session) = (bench.user().await.id, a_session_id());
    let all: Vec<_> = (0..16).map(|minute| an_entry(user, Some(session), minutes(minute), What::Replayed)).collect();
    let appending: Vec<_> = all
        .iter()
        .zip([&bench.history, &bench.other_history].into_iter().cycle())
        .map(|(entry, history)| {
            let (entry, history) = (entry.clone(), history.clone());
            tokio::spawn(async move { history.append(vec![entry]).await })
        })
        .collect();
    for appended in appending {
        appended.await.unwrap().unwrap();
    }
    assert_eq!(of_session(bench, session).await, all);
}

pub(crate) async fn a_history_outlives_its_session(bench: &Bench) {
    let new = bench.session().await;
    let (user, session) = (new.session.user, new.session.id);
    let ended = an_entry(user, Some(session), OPENED, What::Ended(EndReason::ReuseDetected));
    append(bench, vec![ended.clone()]).await;
    bench.sessions.forget_all(user).await.unwrap();
    assert_eq!(of_session(bench, session).await, [ended]);
}

pub(crate) async fn forgetting_a_users_history_leaves_no_trace_of_it_and_others_alone(bench: &Bench) {
    let (ada, eve) = (bench.user().await.id, bench.user().await.id);
    let sessions = [a_session_id(), a_session_id(), a_session_id()];
    let others = an_entry(eve, Some(a_session_id()), OPENED, What::Opened);
    let of_eve = an_entry(eve, None, OPENED, What::SignInFailed);
    for session in sessions {
        append(bench, vec![an_entry(ada, Some(session), OPENED, What::Opened)]).await;
    }
    append(bench, vec![an_entry(ada, None, OPENED, What::SignInFailed)]).await;
    append(bench, vec![others.clone(), of_eve.clone()]).await;
    for _ in 0..2 {
        bench.history.forget_all(ada).await.unwrap();
        for session in sessions {
            assert_eq!(of_session(bench, session).await, []);
        }
        assert_eq!(of_account(bench, ada).await, []);
    }
    assert_eq!(of_session(bench, others.session.unwrap()).await, [others]);
    assert_eq!(of_account(bench, eve).await, [of_eve]);
}

pub(crate) async fn a_deleted_user_takes_the_history_along_where_the_store_keeps_both(bench: &Bench) {
    if !bench.shares_users {
        return;
    }
    let (user, session) = (bench.user().await.id, a_session_id());
    let entries =
        vec![an_entry(user, Some(session), OPENED, What::Opened), an_entry(user, None, OPENED, What::SignInFailed)];
    append(bench, entries.clone()).await;
    assert!(bench.users.delete(user).await.unwrap());
    for _ in 0..2 {
        assert_eq!((of_session(bench, session).await, of_account(bench, user).await), (vec![], vec![]));
        // Too late: nobody is there any more.
        append(bench, entries.clone()).await;
    }
}

/// Other cases may use the same server, so what is swept is of 1970.
pub(crate) async fn old_history_is_swept_in_batches_and_the_rest_is_kept(bench: &Bench) {
    const CUTOFF: Timestamp = Timestamp::from_millis(31_536_000_000); // 1971-01-01
    if bench.forgets_history_by_itself {
        return;
    }
    let (user, session) = (bench.user().await.id, a_session_id());
    let at = |millis: u64| CUTOFF.minus(Duration::from_millis(millis));
    let kept = an_entry(user, Some(session), CUTOFF.plus(Duration::from_millis(1)), What::Opened);
    for old in 0..13 {
        append(bench, vec![an_entry(user, (old % 2 == 0).then_some(session), at(old), What::Replayed)]).await;
    }
    append(bench, vec![kept.clone()]).await;
    let mut batches = 0;
    loop {
        let swept = bench.history.sweep(CUTOFF, 3).await.unwrap();
        assert!(swept.removed <= 3);
        batches += 1;
        if swept.done {
            break;
        }
    }
    assert!((5..1000).contains(&batches), "{batches} batches");
    assert_eq!(of_session(bench, session).await, [kept]);
    assert_eq!(of_account(bench, user).await, []);
}
