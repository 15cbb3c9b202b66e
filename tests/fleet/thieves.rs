//! Somebody has copied a refresh token, and both go on with it. The clock is the test's: what happens "later" happens
//! more than a replay window later, for all sessions at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use regrant_domain::ports::Event;
use regrant_domain::testing::ManualClock;
use sha2::{Digest as _, Sha256};

use super::{Fleet, Store, crowd, scaled, tell};
use crate::support::actors::Device;
use crate::support::world::policies;

const AT_ONCE: usize = 16;
/// How often owner and thief meet, where they meet in every generation.
const MEETINGS: usize = 5;

/// Who comes first.
#[derive(Debug, Clone, Copy)]
enum First {
    Owner,
    Thief,
}

/// A device whose token somebody has copied: each party has the token that it got last.
#[derive(Clone)]
struct Copied {
    owner: Device,
    thief: Device,
}

/// Sessions with a thief each, and the clock of all.
struct Thefts {
    fleet: Fleet,
    clock: Arc<ManualClock>,
    sessions: Vec<Copied>,
}

impl Thefts {
    async fn new(store: Store, strict: bool) -> Self {
        let clock = Arc::new(ManualClock::default());
        let fleet = Fleet::with(store.deploy().await, |_, plan| {
            plan.ports.clock = clock.clone();
            plan.policies.refresh.strict = strict;
        })
        .await;
        let ada = fleet.somebody().await;
        let sessions = crowd(scaled(1_000), AT_ONCE, |at| {
            let (owner, thief) = (ada.at(fleet.turn(at)), fleet.turn(at / 2).clone());
            async move {
                let owner = owner.signs_in().await;
                Copied { thief: owner.at(&thief), owner }
            }
        })
        .await;
        Self { fleet, clock, sessions }
    }

    /// More than a replay window passes.
    fn later(&self) {
        self.clock.advance(policies().refresh.replay_window + Duration::from_millis(1));
    }

    /// Does this to every session.
    async fn each<F: Future<Output = Copied> + Send + 'static>(&mut self, does: impl Fn(usize, Copied) -> F) {
        let sessions = std::mem::take(&mut self.sessions);
        self.sessions = crowd(sessions.len(), AT_ONCE, |at| does(at, sessions[at].clone())).await;
    }

    /// One of the two refreshes, and is served. The owner sends a retry key, as the contract asks; a thief has none.
    async fn refreshes(&mut self, who: First) {
        self.each(move |_, mut copied| async move {
            copied.presents(who).await;
            copied
        })
        .await;
    }

    /// One of the two refreshes, and is refused: from now on, both are.
    async fn ends_with(&mut self, who: First) -> usize {
        self.each(move |_, mut copied| async move {
            copied.ends_with(who).await;
            copied
        })
        .await;
        self.sessions.len()
    }
}

impl Copied {
    async fn presents(&mut self, who: First) {
        let party = match who {
            First::Owner => &mut self.owner,
            First::Thief => &mut self.thief,
        };
        let answer = match who {
            First::Owner => party.presents_with_key(&party.refresh, &key(party)).await,
            First::Thief => party.presents(&party.refresh).await,
        };
        party.takes(&answer.0);
    }

    async fn ends_with(&mut self, who: First) {
        let (owner, thief) = (&self.owner, &self.thief);
        let answer = match who {
            First::Owner => owner.presents_with_key(&owner.refresh, &key(owner)).await,
            First::Thief => thief.presents(&thief.refresh).await,
        };
        answer.is_refused("reuse_detected");
        owner.presents_with_key(&owner.refresh, &key(owner)).await.is_refused("reuse_detected");
        thief.presents(&thief.refresh).await.is_refused("reuse_detected");
        owner.is_signed_out("reuse_detected").await;
    }
}

/// The owner's retry key: one for each token.
fn key(owner: &Device) -> String {
    hex::encode(Sha256::digest(&owner.refresh))
}

/// I12, more than a window apart, in either order.
pub(super) async fn parties_that_meet_late_are_seen_at_the_second_presentation(store: Store) {
    for (first, second) in [(First::Owner, First::Thief), (First::Thief, First::Owner)] {
        let begun = Instant::now();
        let mut thefts = Thefts::new(store, false).await;
        thefts.refreshes(first).await;
        thefts.later();
        let seen = thefts.ends_with(second).await;
        tell(store, begun, &format!("{first:?} first: {seen} of {seen} ended at the second presentation"));
    }
}

/// I12, once within the window, and then apart: the first meeting is a replay for both, the second ends the session.
pub(super) async fn parties_that_met_in_time_are_seen_when_they_meet_late(store: Store) {
    for (first, second) in [(First::Owner, First::Thief), (First::Thief, First::Owner)] {
        let begun = Instant::now();
        let mut thefts = Thefts::new(store, false).await;
        thefts.refreshes(first).await;
        thefts.refreshes(second).await;
        assert!(thefts.sessions.iter().all(|copied| copied.owner.refresh == copied.thief.refresh));
        thefts.later();
        thefts.refreshes(second).await;
        thefts.later();
        let seen = thefts.ends_with(first).await;
        tell(store, begun, &format!("{second:?} first, after a meeting: {seen} of {seen} ended at the second one"));
    }
}

/// What is not seen without the strict mode, and said so: both go on, and each meeting is reported as a replay.
pub(super) async fn parties_that_meet_in_every_generation_are_reported_as_replays(store: Store) {
    let begun = Instant::now();
    let mut thefts = Thefts::new(store, false).await;
    let sessions = thefts.sessions.len();
    thefts.fleet.events();
    for _ in 0..MEETINGS {
        thefts.refreshes(First::Owner).await;
        thefts.refreshes(First::Thief).await;
        thefts.later();
    }
    let (mut replayed, mut ended) = (0, 0);
    for event in thefts.fleet.events() {
        replayed += usize::from(matches!(event, Event::Replayed { .. }));
        ended += usize::from(matches!(event, Event::Ended { .. }));
    }
    assert_eq!((replayed, ended), (MEETINGS * sessions, 0));
    tell(store, begun, &format!("{sessions} sessions, {MEETINGS} meetings each: {replayed} replays reported"));
}

/// With the strict mode, the first meeting is the last one, in either order.
pub(super) async fn strict_mode_sees_the_first_meeting(store: Store) {
    for (first, second) in [(First::Owner, First::Thief), (First::Thief, First::Owner)] {
        let begun = Instant::now();
        let mut thefts = Thefts::new(store, true).await;
        thefts.refreshes(first).await;
        let seen = thefts.ends_with(second).await;
        tell(store, begun, &format!("strict, {first:?} first: {seen} of {seen} ended at once"));
    }
}
