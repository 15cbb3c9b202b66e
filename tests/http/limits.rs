//! Too many requests: who is refused, for how long, and who never is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use axum::http::Method;
use regrant_adapters::inbound::http::{Forwarding, Proxies};
use regrant_adapters::outbound::memory_limits::MemoryLimits;
use regrant_domain::limit::{Limit, LimitPolicy, Rate};
use regrant_domain::ports::{Event, MockRateLimiter, Passwords, PortError, RateLimiter, Verdict};
use regrant_domain::testing::AtOnce;
use regrant_domain::usecases::limits::Limits;
use regrant_domain::usecases::register::TakenEmail;
use regrant_domain::user::{Password, PasswordHash};
use serde_json::json;

use crate::support::actors::Person;
use crate::support::fakes::QuickPasswords;
use crate::support::transport::{Answer, Call};
use crate::support::world::{MINUTE, Plan, World};

/// Counts the passwords that are looked at.
#[derive(Default)]
struct CountedPasswords(AtomicUsize);

#[async_trait]
impl Passwords for CountedPasswords {
    async fn hash(&self, password: Password) -> Result<PasswordHash, PortError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        QuickPasswords.hash(password).await
    }

    async fn verify(&self, password: Password, stored: Option<PasswordHash>) -> Result<Verdict, PortError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        QuickPasswords.verify(password, stored).await
    }
}

fn rate(most: u32, within: Duration) -> Option<Rate> {
    Rate::new(most, within)
}

fn limit(plan: &mut Plan, limits: &[(Limit, u32)], limiter: Arc<dyn RateLimiter>) {
    let policy = LimitPolicy::default();
    let mut policy = limits.iter().fold(policy, |policy, (limit, most)| policy.with(*limit, rate(*most, 10 * MINUTE)));
    policy.exempt = vec!["203.0.113.0/24".parse().unwrap()];
    plan.ports.limits = Limits::new(policy, limiter.clone(), limiter);
    plan.ports.background = Arc::new(AtOnce);
    // Tests come from this address; what they say of another one is believed.
    plan.options.proxies = Proxies { trusted: vec!["192.0.2.7".parse().unwrap()], ..Proxies::default() };
}

/// A world with these limits, each in ten minutes.
fn limited(limits: &[(Limit, u32)]) -> World {
    World::with(|plan| limit(plan, limits, Arc::new(MemoryLimits::default())))
}

/// How many of these calls are answered before one is refused for this.
async fn answered(world: &World, most: usize, call: impl Fn(usize) -> Call) -> usize {
    for at in 0..most {
        let answer = world.send(call(at)).await;
        if answer.status == 429 {
            answer.is_problem(429, "too_many_requests");
            return at;
        }
    }
    most
}

fn login(email: &str, password: &str, from: &str) -> Call {
    Call::post("/api/login").json(json!({ "email": email, "password": password })).header("x-forwarded-for", from)
}

fn sign_up(email: &str, from: &str) -> Call {
    let body = json!({ "email": email, "password": "some other pass phrase" });
    Call::post("/api/users").json(body).header("x-forwarded-for", from)
}

fn right(ada: &Person, from: &str) -> Call {
    login(&ada.email, &ada.password, from)
}

async fn signs_up(world: &World, email: &str) -> Person {
    let password = "the pass phrase of somebody";
    let body = json!({ "email": email, "password": password });
    world.send(Call::post("/api/users").json(body).header("x-forwarded-for", "203.0.113.1")).await.is(201);
    Person::known(world, email, password)
}

#[tokio::test]
async fn each_door_counts_by_network_and_opens_again_in_time() {
    for (limit, call) in [
        (Limit::SignInByAddress, login("ada@example.org", "wrong", "198.51.100.1")),
        (Limit::SignUpByAddress, sign_up("ada@example.org", "198.51.100.1")),
        (
            Limit::RefreshByAddress,
            Call::post("/api/refresh").bearer("nonsense").header("x-forwarded-for", "198.51.100.1"),
        ),
    ] {
        let world = limited(&[(limit, 4)]);
        assert_eq!(answered(&world, 9, |_| call.clone()).await, 4, "{limit:?}");
        let refused = world.send(call.clone()).await;
        // Ten minutes for four: 2 min 30 s each.
        assert_eq!(refused.is_problem(429, "too_many_requests").header("retry-after"), Some("150"));
        world.clock.advance(Duration::from_millis(149_001));
        assert_eq!(world.send(call.clone()).await.is(429).header("retry-after"), Some("1"), "rounded up");
        world.clock.advance(Duration::from_millis(999));
        assert_ne!(world.send(call.clone()).await.status, 429);
        world.send(call.clone()).await.is(429);
        let mut elsewhere = call.clone();
        elsewhere.headers.insert("x-forwarded-for", "198.51.100.2".parse().unwrap());
        assert_ne!(world.send(elsewhere).await.status, 429);
        assert!(world.events.take().contains(&Event::Limited { limit }));
    }
}

#[tokio::test]
async fn a_network_is_64_bits_of_ipv6_and_a_mapped_address_is_the_one_it_maps() {
    let world = limited(&[(Limit::SignInByAddress, 3)]);
    let in_one = ["2001:db8::1", "2001:db8::2", "[2001:db8::3]:4711", "2001:db8:0:0:ffff::4"];
    assert_eq!(answered(&world, 4, |at| login("ada@example.org", "wrong", in_one[at])).await, 3);
    assert_ne!(world.send(login("ada@example.org", "wrong", "2001:db8:0:1::1")).await.status, 429);
    let mapped = ["198.51.100.1", "::ffff:198.51.100.1", "198.51.100.1:80", "198.51.100.1"];
    assert_eq!(answered(&world, 4, |at| login("ada@example.org", "wrong", mapped[at])).await, 3);
}

#[tokio::test]
async fn another_method_of_the_same_path_does_not_count_and_neither_does_another_route() {
    let world = limited(&[(Limit::SignInByAddress, 1), (Limit::SignUpByAddress, 1), (Limit::RefreshByAddress, 1)]);
    for _ in 0..5 {
        world.send(Call::new(Method::PATCH, "/api/login")).await.is(405);
        world.send(Call::get("/healthz")).await.is(200);
        world.send(Call::post("/api/revoke").bearer("nonsense")).await.is(401);
    }
    world.send(Call::post("/api/login").json(json!({ "email": "a@b", "password": "x" }))).await.is(401);
    world.send(Call::post("/api/login").json(json!({ "email": "a@b", "password": "x" }))).await.is(429);
}

#[tokio::test]
async fn a_strangers_header_counts_for_nobody_else() {
    let world = World::with(|plan| {
        limit(plan, &[(Limit::SignInByAddress, 3)], Arc::new(MemoryLimits::default()));
        plan.options.proxies = Proxies::default();
    });
    let claimed = |at| login("ada@example.org", "wrong", &format!("198.51.100.{at}"));
    assert_eq!(answered(&world, 9, claimed).await, 3, "the header makes no new network");
    world.send(login("ada@example.org", "wrong", "203.0.113.1")).await.is(429);
}

#[tokio::test]
async fn sessions_and_histories_record_the_address_that_was_found() {
    for (header, name, value) in [
        (Forwarding::XForwardedFor, "x-forwarded-for", "127.0.0.1, 198.51.100.1"),
        (Forwarding::Forwarded, "forwarded", "for=127.0.0.1, for=\"198.51.100.1:4711\";proto=https"),
    ] {
        let world = World::with(|plan| {
            limit(plan, &[], Arc::new(MemoryLimits::default()));
            plan.options.proxies.header = header;
        });
        let ada = signs_up(&world, "ada@example.org").await;
        let body = json!({ "email": ada.email, "password": ada.password });
        let phone = ada.device(&world.send(Call::post("/api/login").json(body).header(name, value)).await);
        assert_eq!(phone.lists_sessions().await[0]["ip"], "198.51.100.1");
        let history = phone.asks(Call::get(format!("/api/sessions/{}/history", phone.session))).await.is(200).json();
        assert_eq!(history[0]["ip"], "198.51.100.1");
    }
}

const ACCOUNT: [(Limit, u32); 2] = [(Limit::PasswordByAccountAndAddress, 5), (Limit::PasswordByAccount, 20)];

/// Wrong passwords from ever new networks; says how many were looked at.
async fn hammer(world: &World, email: &str) -> usize {
    let mut looked_at = 0;
    for at in 0..60 {
        let answer = world.send(login(email, "wrong", &format!("2001:db8:{at}::1"))).await;
        looked_at += usize::from(answer.status == 401);
    }
    looked_at
}

#[tokio::test]
async fn however_many_strangers_hammer_an_account_its_owner_gets_in_at_home() {
    let world = limited(&ACCOUNT);
    let ada = signs_up(&world, "ada@example.org").await;
    world.send(right(&ada, "198.51.100.1")).await.is(200);
    let other = world.send(right(&ada, "2001:db8:ada::1")).await;
    ada.device(&other.is(200).clone()).revokes().await.is(204);
    assert_eq!(hammer(&world, &ada.email).await, 20);
    for _ in 0..30 {
        world.send(right(&ada, "198.51.100.1")).await.is(200);
        // Another address of the same network; and the session that was opened there is over.
        world.send(right(&ada, "2001:db8:ada::ffff")).await.is(200);
        world.send(login(&ada.email, "wrong", "2001:db8:bad::1")).await.is(429);
    }
    // At a new place, the owner is a stranger too, until a try is free; then that place is a home.
    let away = world.send(right(&ada, "198.51.100.9")).await;
    let wait: u64 = away.is_problem(429, "too_many_requests").header("retry-after").unwrap().parse().unwrap();
    assert!((1..=30).contains(&wait), "{wait}");
    world.clock.advance(Duration::from_secs(wait));
    world.send(right(&ada, "198.51.100.9")).await.is(200);
    hammer(&world, &ada.email).await;
    world.send(right(&ada, "198.51.100.9")).await.is(200);
}

#[tokio::test]
async fn at_home_too_a_network_has_so_many_wrong_tries() {
    let world = limited(&ACCOUNT);
    let ada = signs_up(&world, "ada@example.org").await;
    world.send(right(&ada, "198.51.100.1")).await.is(200);
    assert_eq!(answered(&world, 9, |_| login(&ada.email, "wrong", "198.51.100.1")).await, 5);
    world.send(right(&ada, "198.51.100.1")).await.is_problem(429, "too_many_requests");
    world.send(right(&ada, "198.51.100.2")).await.is(200);
    world.clock.advance(2 * MINUTE);
    world.send(right(&ada, "198.51.100.1")).await.is(200);
}

#[tokio::test]
async fn sign_ins_that_succeed_do_not_count() {
    let world = limited(&ACCOUNT);
    let ada = signs_up(&world, "ada@example.org").await;
    for at in 0..50 {
        world.send(right(&ada, &format!("198.51.100.{}", at % 2))).await.is(200);
    }
    assert_eq!(hammer(&world, &ada.email).await, 20, "the bucket is full");
}

#[tokio::test]
async fn an_address_that_nobody_has_is_limited_like_any_other() {
    let world = limited(&ACCOUNT);
    let ada = signs_up(&world, "ada@example.org").await;
    let seen = |answer: Answer| (answer.status, answer.header("retry-after").map(str::to_owned));
    for at in 0..60 {
        let from = format!("2001:db8:{}::1", at / 4);
        let known = seen(world.send(login(&ada.email, "wrong", &from)).await);
        let unknown = seen(world.send(login("eve@example.org", "wrong", &from)).await);
        assert_eq!(known, unknown, "try {at}");
    }
}

#[tokio::test]
async fn a_sign_up_with_a_taken_address_is_a_try_of_its_password_and_tells_nothing() {
    for taken in [TakenEmail::Hide, TakenEmail::Tell] {
        let world = World::with(|plan| {
            plan.policies.taken_email = taken;
            limit(plan, &ACCOUNT, Arc::new(MemoryLimits::default()));
        });
        let ada = signs_up(&world, "ada@example.org").await;
        for email in [ada.email.as_str(), "eve@example.org"] {
            assert_eq!(answered(&world, 9, |_| sign_up(email, "198.51.100.1")).await, 5, "{email}");
            world.send(login(email, "wrong", "198.51.100.1")).await.is(429);
        }
    }
}

#[tokio::test]
async fn a_refused_try_is_never_looked_at() {
    let passwords = Arc::new(CountedPasswords::default());
    let world = World::with(|plan| {
        limit(plan, &ACCOUNT, Arc::new(MemoryLimits::default()));
        plan.ports.passwords = passwords.clone();
    });
    let ada = signs_up(&world, "ada@example.org").await;
    assert_eq!(hammer(&world, &ada.email).await, 20);
    let before = passwords.0.load(Ordering::SeqCst);
    assert_eq!(before, 1 + 20);
    hammer(&world, &ada.email).await;
    answered(&world, 9, |_| sign_up(&ada.email, "2001:db8:1::1")).await;
    assert_eq!(passwords.0.load(Ordering::SeqCst), before);
}

#[tokio::test]
async fn refreshes_count_by_session_and_no_token_is_spent_by_a_refusal() {
    let world = limited(&[(Limit::RefreshBySession, 5)]);
    let ada = world.signs_up("ada@example.org").await;
    let (mut phone, mut laptop) = (ada.signs_in().await, ada.signs_in().await);
    for _ in 0..5 {
        phone.refreshes().await.is_granted();
    }
    let refused = phone.refreshes().await;
    assert_eq!(refused.0.is_problem(429, "too_many_requests").header("retry-after"), Some("120"));
    assert_eq!(refused.0.header("www-authenticate"), None);
    laptop.refreshes().await.is_granted();
    world.clock.advance(2 * MINUTE);
    phone.refreshes().await.is_granted();
    phone.is_signed_in().await;
}

#[tokio::test]
async fn bare_tokens_count_by_session_too() {
    let world = World::with(|plan| {
        limit(plan, &[(Limit::RefreshBySession, 5)], Arc::new(MemoryLimits::default()));
        plan.becomes_static();
    });
    let phone = world.signs_up("ada@example.org").await.signs_in().await;
    for _ in 0..5 {
        phone.presents(&phone.refresh).await.0.is(200);
    }
    phone.presents(&phone.refresh).await.0.is_problem(429, "too_many_requests");
}

#[tokio::test]
async fn who_is_exempt_is_not_limited_at_all() {
    let all = Limit::ALL.map(|limit| (limit, 1));
    let world = limited(&all);
    for _ in 0..20 {
        world.send(login("ada@example.org", "wrong", "203.0.113.9")).await.is(401);
    }
    assert_eq!(answered(&world, 9, |_| login("ada@example.org", "wrong", "198.51.100.1")).await, 1);
}

#[tokio::test]
async fn while_the_buckets_are_away_nobody_may_guess() {
    let passwords = Arc::new(CountedPasswords::default());
    let world = World::with(|plan| {
        let mut away = MockRateLimiter::new();
        away.expect_take().returning(|_| Err(PortError::unavailable("the buckets", "cut")));
        limit(plan, &ACCOUNT, Arc::new(away));
        plan.ports.passwords = passwords.clone();
    });
    let call = login("ada@example.org", "some pass phrase", "198.51.100.1");
    world.send(call).await.is_problem(503, "unavailable");
    world.send(sign_up("ada@example.org", "198.51.100.1")).await.is_problem(503, "unavailable");
    assert_eq!(passwords.0.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_try_that_cannot_be_given_back_changes_no_answer() {
    let world = World::with(|plan| {
        let mut forgetful = MockRateLimiter::new();
        forgetful.expect_take().returning(|_| Ok(regrant_domain::ports::Taken::Allowed));
        forgetful.expect_give_back().times(2).returning(|_| Err(PortError::unavailable("the buckets", "cut")));
        limit(plan, &ACCOUNT, Arc::new(forgetful));
    });
    let ada = signs_up(&world, "ada@example.org").await;
    world.send(right(&ada, "198.51.100.1")).await.is(200);
}
