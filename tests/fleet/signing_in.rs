//! Sign-ins beside "end all".
//!
//! What is checked, once the end is acknowledged and every sign-in has its answer:
//!
//! 1. A session whose sign-in was answered before the end was asked for is dead.
//! 2. A session that is live was opened by a sign-in which read its user after the epoch had risen. (The store is
//!    watched for this: from outside, a sign-in that overlaps the end may have read its user before or after.)
//! 3. A session whose sign-in began after the end was acknowledged is live: nobody is signed out by an end of the past.
//! 4. A sign-in is answered 200 or, if it was overtaken, 503 with `Retry-After`; who asks again is let in.

use std::sync::Arc;
use std::time::{Duration, Instant};

use regrant_domain::ids::SessionId;
use regrant_domain::user::Epoch;

use super::witness::{Seen, Witness};
use super::{Fleet, Store, a_while, below, crowd, scaled, tell};
use crate::support::actors::{Device, Person};
use crate::support::transport::{Answer, Call};

const SIGN_INS: usize = 50;
/// Within which time the sign-ins of one user begin.
const SPREAD: Duration = Duration::from_millis(60);

/// A sign-in that was granted, and when.
struct SignIn {
    begun: Instant,
    answered: Instant,
    device: Device,
}

#[derive(Default)]
struct Tally {
    died: usize,
    lived: usize,
    overtaken: usize,
}

pub(super) async fn ending_all_covers_sign_ins_that_are_under_way(store: Store) {
    let users = scaled(500);
    let seen = Arc::new(Seen::default());
    let fleet = Fleet::with(store.deploy().await, |_, plan| {
        plan.ports.sessions = Arc::new(Witness { inner: plan.ports.sessions.clone(), seen: seen.clone() });
        plan.ports.users = Arc::new(Witness { inner: plan.ports.users.clone(), seen: seen.clone() });
    })
    .await;
    let begun = Instant::now();
    let all = crowd(users, 3, |at| {
        let (fleet, seen) = (fleet.clone(), seen.clone());
        async move { one_user(&fleet, &seen, at).await }
    })
    .await;
    let mut sum = Tally::default();
    for tally in all {
        sum.died += tally.died;
        sum.lived += tally.lived;
        sum.overtaken += tally.overtaken;
    }
    let Tally { died, lived, overtaken } = sum;
    assert!(died > users && lived > users, "they met: {died} died, {lived} live");
    let upon = seen.opened_upon(Epoch(0));
    let figures = format!(
        "{users} ends of all beside {} sign-ins: {died} died, {overtaken} were overtaken, {lived} live \
         ({upon} sessions were opened upon the old epoch)",
        users * SIGN_INS
    );
    tell(store, begun, &figures);
}

async fn one_user(fleet: &Fleet, seen: &Seen, at: usize) -> Tally {
    let ada = fleet.somebody().await;
    let first = ada.at(fleet.turn(at)).signs_in().await;
    let end = tokio::spawn(async move {
        a_while(SPREAD).await;
        let asked = Instant::now();
        first.asks(Call::delete("/api/sessions?include_current=true")).await.is(204);
        (asked, Instant::now())
    });
    let mut tally = Tally::default();
    let mut granted = Vec::new();
    for sign_in in crowd(SIGN_INS, SIGN_INS, |at| signs_in(ada.at(fleet.turn(at)))).await {
        match sign_in {
            Some(sign_in) => granted.push(sign_in),
            None => tally.overtaken += 1,
        }
    }
    let (asked, acknowledged) = end.await.unwrap();
    let elsewhere = fleet.turn(at + 1);
    for SignIn { begun, answered, device } in granted {
        let answer = device.at(elsewhere).presents(&device.refresh).await;
        let upon = seen.epoch_of(device.session.parse::<SessionId>().unwrap());
        if answer.0.status == 200 {
            answer.is_granted();
            tally.lived += 1;
            assert!(answered >= asked, "signed in before the end was asked for, and lives");
            assert_eq!(upon, Epoch(1), "signed in upon the user as it was before the end, and lives");
        } else {
            answer.is_refused("signed_out_elsewhere");
            tally.died += 1;
            assert!(begun <= acknowledged, "signed in after the end was acknowledged, and dead");
        }
    }
    live_sessions_are_new(fleet, seen, &ada).await;
    tally
}

/// Whether an answer told of it or not: in the store, too, no session is live that was opened upon the old epoch.
async fn live_sessions_are_new(fleet: &Fleet, seen: &Seen, ada: &Person) {
    for instance in fleet.instances() {
        let now = instance.ports.clock.now();
        for kept in instance.ports.sessions.list(ada.id.parse().unwrap()).await.unwrap() {
            assert!(!kept.is_live(now) || seen.epoch_of(kept.session.id) == Epoch(1));
        }
    }
    ada.at(fleet.turn(usize::from(below(2) == 1))).signs_in().await.is_signed_in().await;
}

/// `None`: it was overtaken.
async fn signs_in(ada: Person) -> Option<SignIn> {
    a_while(SPREAD).await;
    let begun = Instant::now();
    let answer: Answer = ada.tries(&ada.password).await;
    let answered = Instant::now();
    if answer.status == 503 {
        assert!(answer.is_problem(503, "try_again").header("retry-after").is_some());
        return None;
    }
    Some(SignIn { begun, answered, device: ada.device(&answer) })
}
