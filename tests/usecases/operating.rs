//! What the operator does with users and sessions.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use regrant_adapters::outbound::memory::MemoryStore;
use regrant_domain::ids::{SessionId, UserId};
use regrant_domain::ports::{AddUserOutcome, EndOutcome, Event, PasswordChange, PortError, UserRepository};
use regrant_domain::reason::{EndReason, Refusal};
use regrant_domain::session::Device;
use regrant_domain::time::Timestamp;
use regrant_domain::usecases::operate::{Act, Added, Operate, PasswordSet, Which, Who};
use regrant_domain::usecases::refresh::{Granted, Refreshed};
use regrant_domain::usecases::sign_in::SignedIn;
use regrant_domain::user::{Email, Epoch, InvalidPassword, PasswordHash, User};

use super::{World, pw, text};

fn operate(world: &World) -> Operate {
    Operate::new(world.ports.clone(), world.store.clone(), world.store.clone(), world.policies.password)
}

fn ada() -> Who {
    Who::parse("Ada@example.org").unwrap()
}

fn nobody() -> Who {
    Who::parse("0198c2f1-5d3a-7c11-9a51-2f6b1c0d9e10").unwrap()
}

async fn refusal(world: &World, granted: &Granted) -> Option<Refusal> {
    match world.refreshes(&text(granted), None).await {
        Refreshed::Refused(why) => Some(why),
        Refreshed::Granted(_) => None,
        Refreshed::NotAuthentic => panic!("it is a token of ours"),
        Refreshed::Limited(_) => panic!("nothing is limited"),
    }
}

/// Opens a session of Ada's from this device.
async fn from(world: &World, ip: Option<&str>, agent: Option<&str>) -> Granted {
    let device = Device { label: None, user_agent: agent.map(str::to_owned), ip: ip.map(str::to_owned) };
    let email = Email::parse("ada@example.org").unwrap();
    match world
        .use_cases
        .sign_in
        .run(&email, pw("correct horse"), device, regrant_domain::refresh_token::Lifetime::Usual)
        .await
        .unwrap()
    {
        SignedIn::Granted { tokens, .. } => tokens,
        other => panic!("{other:?}"),
    }
}

/// Looks at all sessions.
async fn all(operate: &Operate, which: &Which, act: Act) -> u64 {
    let (mut met, mut after) = (0, None);
    loop {
        let looked = operate.look(which, after, act).await.unwrap();
        met += looked.met;
        after = looked.next;
        if after.is_none() {
            return met;
        }
    }
}

#[test]
fn a_user_is_named_by_id_or_address() {
    let id: UserId = "0198c2f1-5d3a-7c11-9a51-2f6b1c0d9e10".parse().unwrap();
    assert_eq!(nobody(), Who::Id(id));
    assert_eq!(ada(), Who::Email(Email::parse("ada@example.org").unwrap()));
    assert!(Who::parse("0198c2f1").is_err());
}

#[tokio::test]
async fn an_added_user_can_sign_in_and_an_address_stays_its_owners() {
    let world = World::new();
    let operate = operate(&world);
    let email = || Email::parse("ada@example.org").unwrap();
    let short = operate.add_user(email(), pw("short")).await.unwrap();
    assert!(matches!(short, Added::PasswordRefused(InvalidPassword::TooShort { min: 8 })));
    let Added::Added(user) = operate.add_user(email(), pw("correct horse")).await.unwrap() else { panic!() };
    assert_eq!(world.events.take(), [Event::UserRegistered { user: user.id }]);
    assert!(matches!(operate.add_user(email(), pw("battery staple")).await.unwrap(), Added::EmailTaken));
    world.signs_in("ada@example.org", "correct horse").await;
    assert_eq!(operate.user(&ada()).await.unwrap(), Some(user.clone()));
    assert_eq!(operate.user(&Who::Id(user.id)).await.unwrap(), Some(user));
    assert_eq!(operate.user(&nobody()).await.unwrap(), None);
}

#[tokio::test]
async fn a_password_that_is_set_ends_every_session() {
    let world = World::new();
    let sessions = [world.ada().await, world.signs_in("ada@example.org", "correct horse").await];
    let operate = operate(&world);
    let set = |who, password| {
        let operate = operate.clone();
        async move { operate.set_password(&who, pw(password)).await.unwrap() }
    };
    assert_eq!(set(nobody(), "battery staple").await, PasswordSet::NotFound);
    assert_eq!(set(ada(), "short").await, PasswordSet::PasswordRefused(InvalidPassword::TooShort { min: 8 }));
    assert_eq!(refusal(&world, &sessions[1]).await, None);
    assert_eq!(set(ada(), "battery staple").await, PasswordSet::Done { ended: 2 });
    for session in &sessions {
        assert_eq!(refusal(&world, session).await, Some(Refusal::Ended(EndReason::PasswordChanged)));
    }
    assert_eq!(world.user("ada@example.org").await.unwrap().epoch, Epoch(1));
    assert!(matches!(world.tries_to_sign_in("ada@example.org", "correct horse").await, SignedIn::Refused));
    world.signs_in("ada@example.org", "battery staple").await;
}

/// Users whose password somebody else changes whenever it is about to be set, so many times.
struct Contested {
    store: Arc<MemoryStore>,
    times: std::sync::atomic::AtomicU32,
}

#[async_trait]
impl UserRepository for Contested {
    async fn add(&self, user: User) -> Result<AddUserOutcome, PortError> {
        self.store.add(user).await
    }
    async fn find(&self, id: UserId) -> Result<Option<User>, PortError> {
        UserRepository::find(&*self.store, id).await
    }
    async fn find_by_email(&self, email: &Email) -> Result<Option<User>, PortError> {
        self.store.find_by_email(email).await
    }
    async fn set_password(&self, change: PasswordChange) -> Result<bool, PortError> {
        use std::sync::atomic::Ordering::SeqCst;
        if self.times.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok() {
            let to = PasswordHash::new(format!("{}+", change.from.as_str()));
            assert!(self.store.set_password(PasswordChange { to, ..change.clone() }).await?);
        }
        self.store.set_password(change).await
    }
    async fn advance_epoch(&self, id: UserId, now: Timestamp) -> Result<bool, PortError> {
        self.store.advance_epoch(id, now).await
    }
    async fn delete(&self, id: UserId) -> Result<bool, PortError> {
        self.store.delete(id).await
    }
}

#[tokio::test]
async fn a_password_is_set_although_it_is_changed_meanwhile_but_not_for_ever() {
    for (times, expected) in [(3, PasswordSet::Done { ended: 0 }), (u32::MAX, PasswordSet::Overtaken)] {
        let world = World::new();
        world.registers("ada@example.org", "correct horse").await;
        let store = world.store.clone();
        let world = world.with_ports(|ports| ports.users = Arc::new(Contested { store, times: times.into() }));
        assert_eq!(operate(&world).set_password(&ada(), pw("battery staple")).await.unwrap(), expected);
        let now = world.user("ada@example.org").await.unwrap().password_hash;
        assert_eq!(now.as_str() == "hash:battery staple", times == 3);
    }
}

#[tokio::test]
async fn a_deleted_user_is_gone_with_every_session() {
    let world = World::new();
    let granted = world.ada().await;
    let operate = operate(&world);
    assert_eq!(operate.delete_user(&nobody()).await.unwrap(), None);
    world.events.take();
    assert_eq!(operate.delete_user(&ada()).await.unwrap(), Some(1));
    let told = world.events.take();
    assert_eq!(told[0], Event::Ended { session: granted.session, reason: EndReason::UserDeleted });
    assert_eq!(refusal(&world, &granted).await, Some(Refusal::Unknown));
    assert_eq!(operate.delete_user(&ada()).await.unwrap(), None);
}

#[tokio::test]
async fn one_session_ends_by_its_id_and_the_first_reason_stays() {
    let world = World::new();
    let (one, other) = (world.ada().await, world.signs_in("ada@example.org", "correct horse").await);
    let operate = operate(&world);
    assert_eq!(operate.end_session(one.session).await.unwrap(), EndOutcome::Ended);
    assert_eq!(operate.end_session(one.session).await.unwrap(), EndOutcome::AlreadyEnded);
    assert_eq!(operate.end_session(SessionId::from_bytes([9; 16])).await.unwrap(), EndOutcome::NotFound);
    assert_eq!(refusal(&world, &one).await, Some(Refusal::Ended(EndReason::EndedByOperator)));
    assert_eq!(refusal(&world, &other).await, None);
    let (shown, at) = operate.session(one.session).await.unwrap().unwrap();
    assert!(!shown.is_live(at));
    assert_eq!(operate.sessions_of(&ada()).await.unwrap().unwrap().sessions.len(), 2);
    assert_eq!(operate.sessions_of(&nobody()).await.unwrap(), None);
}

#[tokio::test]
async fn ending_all_of_a_users_sessions_covers_a_sign_in_that_is_under_way() {
    let world = World::new();
    let granted = world.ada().await;
    world.registers("eve@example.org", "correct horse").await;
    let eve = world.signs_in("eve@example.org", "correct horse").await;
    let operate = operate(&world);
    assert_eq!(operate.end_sessions_of(&nobody()).await.unwrap(), None);
    assert_eq!(operate.end_sessions_of(&ada()).await.unwrap(), Some(1));
    assert_eq!(refusal(&world, &granted).await, Some(Refusal::Ended(EndReason::EndedByOperator)));
    assert_eq!(refusal(&world, &eve).await, None);
    // A sign-in that read the epoch before is overtaken (see the sign-in's own tests).
    assert_eq!(world.user("ada@example.org").await.unwrap().epoch, Epoch(1));
}

#[tokio::test]
async fn sessions_end_that_meet_every_condition_and_no_others() {
    let part = |agent: &str| Some(agent.to_owned());
    let range = |range: &str| Some(range.parse().unwrap());
    let world = World::new();
    world.registers("ada@example.org", "correct horse").await;
    let old = from(&world, Some("192.0.2.1"), Some("OldApp/1.2")).await;
    world.clock.advance(Duration::from_hours(1));
    let middle = operate(&world).ago(Duration::ZERO);
    let same_agent = from(&world, Some("2001:db8::1"), Some("OldApp/1.3")).await;
    let mapped = from(&world, Some("::ffff:192.0.2.2"), Some("oldapp/1.2")).await;
    let unknown = from(&world, None, None).await;
    let everybody = [&old, &same_agent, &mapped, &unknown];
    let operate = operate(&world);
    for (which, met) in [
        (Which { created_before: Some(middle), ..Which::default() }, vec![&old]),
        (Which { address: range("192.0.2.0/24"), ..Which::default() }, vec![&old, &mapped]),
        (Which { address: range("2001:db8::1"), ..Which::default() }, vec![&same_agent]),
        (Which { user_agent: part("OldApp/1."), ..Which::default() }, vec![&old, &same_agent]),
        (Which { user_agent: part("OldApp"), address: range("0.0.0.0/0"), ..Which::default() }, vec![&old]),
        (Which { user_agent: part("OldApp"), created_before: Some(middle), address: range("::/0") }, vec![]),
    ] {
        assert!(!which.is_everything());
        assert_eq!(all(&operate, &which, Act::Count).await, met.len() as u64, "{which:?}");
        for granted in everybody {
            let (shown, _) = operate.session(granted.session).await.unwrap().unwrap();
            let expected = met.iter().any(|met| met.session == granted.session);
            assert_eq!(which.met_by(&shown.session), expected, "{which:?}");
        }
    }
    assert!(Which::default().is_everything());
    assert_eq!(world.user("ada@example.org").await.unwrap().epoch, Epoch(0));
    let which = Which { user_agent: part("OldApp/"), ..Which::default() };
    assert_eq!(all(&operate, &which, Act::End).await, 2);
    assert_eq!(all(&operate, &which, Act::Count).await, 0, "what has ended is not counted");
    assert_eq!(all(&operate, &which, Act::End).await, 0);
    for (granted, ended) in [(&old, true), (&same_agent, true), (&mapped, false), (&unknown, false)] {
        let expected = ended.then_some(Refusal::Ended(EndReason::EndedByOperator));
        assert_eq!(refusal(&world, granted).await, expected);
    }
}

#[tokio::test]
async fn any_number_of_sessions_is_looked_at_and_expired_ones_are_left_alone() {
    let world = World::new();
    world.registers("ada@example.org", "correct horse").await;
    from(&world, None, Some("old")).await;
    world.clock.advance(61 * super::DAY);
    for _ in 0..1_001 {
        from(&world, None, Some("old")).await;
    }
    let operate = operate(&world);
    let which = Which { user_agent: Some("old".to_owned()), ..Which::default() };
    let first = operate.look(&which, None, Act::Count).await.unwrap();
    assert_eq!((first.looked_at, first.met), (500, 499));
    assert_eq!(all(&operate, &which, Act::Count).await, 1_001);
    assert_eq!(all(&operate, &which, Act::End).await, 1_001);
}
