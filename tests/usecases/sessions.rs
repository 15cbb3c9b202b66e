//! Listing and ending sessions, limits, and the sweep.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use regrant_adapters::outbound::memory::MemoryStore;
use regrant_domain::ids::{SessionId, UserId};
use regrant_domain::policy::WhenFull;
use regrant_domain::ports::{
    End, EndAll, EndOutcome, NewSession, OpenOutcome, PortError, RotateOutcome, Rotation, SessionKey,
    SessionRepository, Swept, UserRepository,
};
use regrant_domain::reason::{EndReason, Refusal};
use regrant_domain::session::Snapshot;
use regrant_domain::time::Timestamp;
use regrant_domain::usecases::Policies;
use regrant_domain::usecases::authenticate::Authenticated;
use regrant_domain::usecases::refresh::Refreshed;
use regrant_domain::usecases::sessions::EndedOne;
use regrant_domain::usecases::sign_in::SignedIn;
use regrant_domain::usecases::sweep::{Retention, Sweep};

use super::{DAY, World, nowhere, policies, text};

#[tokio::test]
async fn a_user_lists_and_ends_sessions_but_never_a_strangers() {
    let world = World::new();
    let phone = world.ada().await;
    world.clock.advance(Duration::from_secs(1));
    let laptop = world.signs_in("ada@example.org", "correct horse").await;
    world.registers("eve@example.org", "correct horse").await;
    let eve = world.signs_in("eve@example.org", "correct horse").await;
    let caller = world.caller(&laptop).await;
    let ids = async || {
        let all = world.use_cases.sessions.list(caller.user).await.unwrap();
        all.sessions.into_iter().map(|snapshot| snapshot.session.id).collect::<Vec<_>>()
    };
    assert_eq!(ids().await, [laptop.session, phone.session]);

    let from = nowhere();
    let end = |id| world.use_cases.sessions.end_one(&caller, id, &from);
    assert_eq!(end(eve.session).await.unwrap(), EndedOne::NotFound);
    assert_eq!(end(phone.session).await.unwrap(), EndedOne::Over);
    assert_eq!(end(phone.session).await.unwrap(), EndedOne::Over);
    let outcome = world.refreshes(&text(&phone), None).await;
    assert!(matches!(outcome, Refreshed::Refused(Refusal::Ended(EndReason::SignedOutElsewhere))));
    world.next(&text(&eve), None).await;

    assert_eq!(end(laptop.session).await.unwrap(), EndedOne::Over);
    let access = world.use_cases.authenticate.run(laptop.access.text.expose()).await.unwrap();
    assert!(matches!(access, Authenticated::Refused(Refusal::Ended(EndReason::SignedOut))));
}

#[tokio::test]
async fn ending_all_keeps_this_session_unless_it_is_included() {
    let world = World::new();
    let here = world.ada().await;
    let there = world.signs_in("ada@example.org", "correct horse").await;
    let caller = world.caller(&here).await;
    world.use_cases.sessions.end_all(&caller, false, &nowhere()).await.unwrap();
    assert!(matches!(world.refreshes(&text(&there), None).await, Refreshed::Refused(_)));
    let next = world.next(&text(&here), None).await;
    world.use_cases.sessions.end_all(&caller, true, &nowhere()).await.unwrap();
    assert!(matches!(world.refreshes(&next, None).await, Refreshed::Refused(_)));
}

/// A store in which "end all" happens at the worst moment: right before or after a session is opened.
struct EndsAllAround {
    inner: Arc<MemoryStore>,
    before: bool,
}

impl EndsAllAround {
    async fn end_all_of(&self, user: UserId, at: Timestamp) {
        self.inner.advance_epoch(user, at).await.unwrap();
        let end = EndAll { user, but: None, reason: EndReason::SignedOutElsewhere, at };
        self.inner.end_all(end).await.unwrap();
    }
}

#[async_trait]
impl SessionRepository for EndsAllAround {
    async fn open(&self, new: NewSession) -> Result<OpenOutcome, PortError> {
        let (user, at) = (new.session.user, new.session.created_at);
        if self.before {
            self.end_all_of(user, at).await;
            return self.inner.open(new).await;
        }
        let outcome = self.inner.open(new).await;
        self.end_all_of(user, at).await;
        outcome
    }
    async fn find(&self, key: &SessionKey) -> Result<Option<Snapshot>, PortError> {
        SessionRepository::find(&*self.inner, key).await
    }
    async fn rotate(&self, rotation: Rotation) -> Result<RotateOutcome, PortError> {
        self.inner.rotate(rotation).await
    }
    async fn end(&self, end: End) -> Result<EndOutcome, PortError> {
        self.inner.end(end).await
    }
    async fn end_all(&self, end: EndAll) -> Result<Vec<SessionId>, PortError> {
        self.inner.end_all(end).await
    }
    async fn list(&self, user: UserId) -> Result<Vec<Snapshot>, PortError> {
        self.inner.list(user).await
    }
    async fn forget_all(&self, user: UserId) -> Result<(), PortError> {
        self.inner.forget_all(user).await
    }
    async fn sweep(&self, cutoff: Timestamp, limit: u32) -> Result<Swept, PortError> {
        self.inner.sweep(cutoff, limit).await
    }
}

#[tokio::test]
async fn ending_all_covers_a_sign_in_at_the_same_moment() {
    for before in [true, false] {
        let world = World::new();
        let inner = world.store.clone();
        let world = world.with_ports(|ports| ports.sessions = Arc::new(EndsAllAround { inner, before }));
        let ada = world.registers("ada@example.org", "correct horse").await;
        assert!(matches!(world.tries_to_sign_in("ada@example.org", "correct horse").await, SignedIn::Overtaken));
        let now = world.ports.clock.now();
        let left = world.store.list(ada.id).await.unwrap();
        assert!(left.iter().all(|snapshot| !snapshot.is_live(now)), "before: {before}");
    }
}

fn at_most(max: u32, when_full: WhenFull) -> Policies {
    let mut policies = policies();
    policies.session.max_per_user = NonZeroU32::new(max);
    policies.session.when_full = when_full;
    policies
}

#[tokio::test]
async fn a_full_user_is_refused_or_makes_room() {
    for when_full in [WhenFull::Deny, WhenFull::EndOldest, WhenFull::EndLeastRecent] {
        let world = World::with(at_most(2, when_full));
        let first = world.ada().await;
        world.clock.advance(DAY);
        let second = world.signs_in("ada@example.org", "correct horse").await;
        world.clock.advance(DAY);
        let first_next = world.next(&text(&first), None).await;
        world.clock.advance(DAY);
        let third = world.tries_to_sign_in("ada@example.org", "correct horse").await;
        let ended = match when_full {
            WhenFull::Deny => {
                assert!(matches!(third, SignedIn::TooManySessions));
                continue;
            }
            WhenFull::EndOldest => &first_next,
            WhenFull::EndLeastRecent => &text(&second),
        };
        assert!(matches!(third, SignedIn::Granted { .. }));
        let outcome = world.refreshes(ended, None).await;
        assert!(matches!(outcome, Refreshed::Refused(Refusal::Ended(EndReason::SessionLimit))), "{when_full:?}");
    }
}

#[tokio::test]
async fn an_expired_session_takes_no_place() {
    let world = World::with(at_most(1, WhenFull::Deny));
    world.ada().await;
    assert!(matches!(world.tries_to_sign_in("ada@example.org", "correct horse").await, SignedIn::TooManySessions));
    world.clock.advance(60 * DAY);
    world.signs_in("ada@example.org", "correct horse").await;
}

#[tokio::test]
async fn the_sweep_forgets_what_is_over_for_longer_than_the_retention_and_nothing_else() {
    let world = World::new();
    let ended = text(&world.ada().await);
    let live = text(&world.signs_in("ada@example.org", "correct horse").await);
    world.use_cases.sign_out.run(&ended, &nowhere()).await.unwrap();
    let sweep = Sweep::new(world.ports.clone(), Retention { sessions: 30 * DAY, history: 90 * DAY });
    world.clock.advance(30 * DAY - Duration::from_millis(1));
    assert_eq!(sweep.batch().await.unwrap(), Swept { removed: 0, done: true });
    world.clock.advance(Duration::from_millis(1));
    assert_eq!(sweep.batch().await.unwrap().removed, 1);
    assert!(world.snapshot(&ended).await.is_none());
    world.next(&live, None).await;
}

#[tokio::test]
async fn an_access_token_is_accepted_until_its_expiry_and_not_at_it() {
    let world = World::new();
    let granted = world.ada().await;
    let verify = || world.use_cases.authenticate.run(granted.access.text.expose());
    world.clock.advance(Duration::from_hours(1) - Duration::from_millis(1));
    assert!(matches!(verify().await.unwrap(), Authenticated::Caller(_)));
    world.clock.advance(Duration::from_millis(1));
    assert!(matches!(verify().await.unwrap(), Authenticated::Expired));
    assert!(matches!(world.use_cases.authenticate.run("nonsense").await.unwrap(), Authenticated::NotAuthentic));
}
