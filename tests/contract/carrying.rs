//! Content that is carried from one store to another.

use std::collections::HashSet;
use std::time::Duration;

use regrant_domain::ids::{SessionId, UserId};
use regrant_domain::reason::EndReason;
use regrant_domain::refresh_token::{Generation, Held};
use regrant_domain::session::{Snapshot, Status};
use regrant_domain::user::{Epoch, PasswordHash, User};

use super::bench::{Bench, a_session, a_user, as_opened, random};

/// The sessions of this bench's case among all that are carried out.
async fn sessions_out(bench: &Bench, among: &[SessionId]) -> Vec<Snapshot> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let batch = bench.sessions_out.sessions_after(after, 7).await.unwrap();
        assert!(batch.len() <= 7 && batch.is_sorted_by_key(|s| s.session.id));
        let Some(last) = batch.last() else { return found };
        assert!(Some(last.session.id) > after, "it comes to an end");
        after = Some(last.session.id);
        found.extend(batch.into_iter().filter(|snapshot| among.contains(&snapshot.session.id)));
    }
}

pub(crate) async fn what_is_carried_out_is_what_is_there_in_the_order_of_ids(bench: &Bench) {
    let mut all = Vec::new();
    for _ in 0..9 {
        all.push(as_opened(&bench.session().await));
    }
    all.sort_by_key(|snapshot| snapshot.session.id);
    let ids: Vec<_> = all.iter().map(|snapshot| snapshot.session.id).collect();
    assert_eq!(sessions_out(bench, &ids).await, all);
    // Other cases come and go beside this one.
    assert!(bench.sessions_out.count().await.unwrap().sessions >= 9);

    let users: Vec<UserId> = all.iter().map(|snapshot| snapshot.session.user).collect();
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let batch = bench.users_out.users_after(after, 7).await.unwrap();
        let Some(last) = batch.last() else { break };
        assert!(Some(last.id) > after && batch.len() <= 7 && batch.is_sorted_by_key(|user| user.id));
        after = Some(last.id);
        found.extend(batch.into_iter().filter(|user| users.contains(&user.id)));
    }
    assert_eq!(found.len(), 9);
    for user in found {
        assert_eq!(bench.users.find(user.id).await.unwrap(), Some(user));
    }
}

pub(crate) async fn what_is_carried_in_comes_back_equal_and_again_changes_nothing(bench: &Bench) {
    let user = bench.user().await.id;
    let live = as_opened(&a_session(user));
    let mut ended = as_opened(&a_session(user));
    let at = ended.session.created_at.plus(Duration::from_millis(77));
    ended.session.status = Status::Ended { at, reason: EndReason::PasswordChanged };
    for _ in 0..2 {
        assert_eq!(bench.sessions_out.keep_sessions(vec![live.clone(), ended.clone()]).await.unwrap(), 0);
        let mut found = bench.sessions.list(user).await.unwrap();
        found.sort_by_key(|snapshot| snapshot.session.id != live.session.id);
        assert_eq!(found, [live.clone(), ended.clone()]);
    }
}

pub(crate) async fn carrying_in_never_takes_a_generation_back_or_brings_a_session_to_life(bench: &Bench) {
    let user = bench.user().await.id;
    let old = as_opened(&a_session(user));
    let hash = regrant_domain::secret::SecretHash::from_bytes(random());
    let mut new = old.clone();
    new.token.held = Held { generation: Generation(old.token.held.generation.0 + 3), hash };
    let carry = async |snapshot: &Snapshot| {
        assert_eq!(bench.sessions_out.keep_sessions(vec![snapshot.clone()]).await.unwrap(), 0);
        bench.sessions.list(user).await.unwrap()
    };
    assert_eq!(carry(&old).await, std::slice::from_ref(&old));
    assert_eq!(carry(&new).await, std::slice::from_ref(&new), "a later generation is taken");
    assert_eq!(carry(&old).await, std::slice::from_ref(&new), "an earlier one is not");
    let mut ended = old.clone();
    ended.session.status = Status::Ended { at: old.session.created_at, reason: EndReason::SignedOut };
    assert_eq!(carry(&ended).await, std::slice::from_ref(&ended), "an end is taken from any generation");
    assert_eq!(carry(&new).await, [ended], "and stays");
}

pub(crate) async fn a_session_without_its_user_is_left_out_where_the_store_keeps_both(bench: &Bench) {
    if !bench.shares_users {
        return;
    }
    let there = as_opened(&a_session(bench.user().await.id));
    let lost = as_opened(&a_session(UserId::from_bytes(random())));
    assert_eq!(bench.sessions_out.keep_sessions(vec![lost.clone(), there.clone()]).await.unwrap(), 1);
    assert_eq!(bench.sessions.list(there.session.user).await.unwrap(), [there]);
    assert_eq!(bench.sessions.list(lost.session.user).await.unwrap(), []);
}

pub(crate) async fn users_are_carried_in_and_an_address_stays_its_owners(bench: &Bench) {
    let ada = a_user();
    let mut later = ada.clone();
    later.password_hash = PasswordHash::new("later".into());
    later.epoch = Epoch(7);
    later.updated_at = ada.updated_at.plus(Duration::from_millis(1));
    let mut thief = a_user();
    thief.email = ada.email.clone();
    for (coming, left_out, stays) in
        [(&ada, 0, &ada), (&later, 0, &later), (&ada, 0, &later), (&thief, 1, &later), (&later, 0, &later)]
    {
        assert_eq!(bench.users_out.keep_users(vec![coming.clone()]).await.unwrap(), left_out);
        assert_eq!(bench.users.find_by_email(&ada.email).await.unwrap().as_ref(), Some(stays));
    }
    assert_eq!(bench.users.find(thief.id).await.unwrap(), None);
}

pub(crate) async fn users_are_added_where_id_and_address_are_free_and_nobody_is_changed(bench: &Bench) {
    let (ada, mut same_id, mut same_address) = (bench.user().await, a_user(), a_user());
    let later = |user: &mut User| user.updated_at = user.updated_at.plus(Duration::from_hours(1));
    same_id.id = ada.id;
    same_address.email = ada.email.clone();
    later(&mut same_id);
    later(&mut same_address);
    let (mut new, other) = (a_user(), a_user());
    new.epoch = Epoch(3);
    new.password_hash = PasswordHash::new("pbkdf2_sha256$1000$sÄlt'$aGFzaA==".into());
    let add = async |users: &[&User]| {
        let users = users.iter().copied().cloned().collect();
        bench.users_out.add_users(users).await.unwrap().into_iter().collect::<HashSet<_>>()
    };
    assert_eq!(add(&[&same_id, &new, &same_address, &other]).await, HashSet::from([new.id, other.id]));
    let mut again = new.clone();
    later(&mut again);
    assert_eq!(add(&[&again, &other]).await, HashSet::new());
    assert_eq!(add(&[]).await, HashSet::new());
    for user in [&ada, &new, &other] {
        assert_eq!(bench.users.find(user.id).await.unwrap().as_ref(), Some(user));
        assert_eq!(bench.users.find_by_email(&user.email).await.unwrap().as_ref(), Some(user));
    }
    assert_eq!(bench.users.find_by_email(&same_id.email).await.unwrap(), None);
    assert_eq!(bench.users.find(same_address.id).await.unwrap(), None);
}

pub(crate) async fn of_two_additions_of_the_same_users_at_once_each_user_is_added_by_one(bench: &Bench) {
    let users: Vec<_> = (0..200).map(|_| a_user()).collect();
    let add = |mut users: Vec<User>, backwards: bool| {
        if backwards {
            users.reverse();
        }
        let store = bench.users_out.clone();
        tokio::spawn(async move { store.add_users(users).await.unwrap() })
    };
    let (one, other) = (add(users.clone(), false), add(users.clone(), true));
    let mut added = [one.await.unwrap(), other.await.unwrap()].concat();
    added.sort_unstable();
    let mut expected: Vec<_> = users.iter().map(|user| user.id).collect();
    expected.sort_unstable();
    assert_eq!(added, expected);
}
