//! Properties: the fast path and `decide` are equal; derivation is deterministic; whatever happens, nobody honest ends.

use std::time::Duration;

use proptest::prelude::*;
use regrant_domain::decide::{Asked, Decision, Rules, decide};
use regrant_domain::ids::{SessionId, UserId};
use regrant_domain::policy::{AccessPolicy, AfterWindow, KeptAccessPolicy, OnRollback, RefreshPolicy};
use regrant_domain::ports::{NewSession, RotateOutcome, SessionKey, SessionRepository};
use regrant_domain::reason::EndReason;
use regrant_domain::refresh_token::{
    Generation, Lifetime, LookupKey, Presented, Recent, RefreshToken, RetryKey, RetryKeyHash, Spent, TokenState,
};
use regrant_domain::secret::Secret;
use regrant_domain::session::{Device, Session, Snapshot, Status};
use regrant_domain::time::Timestamp;
use regrant_domain::token_key::{TokenKey, TokenKeyId, TokenKeyRing};
use regrant_domain::usecases::refresh::{Refreshed, optimistic_rotation};

use super::{World, ring, text};

const NOW: i64 = 1_000_000;

fn session_id() -> SessionId {
    SessionId::from_bytes([5; 16])
}

fn chain(seed: u8, n: u32) -> RefreshToken {
    let first = RefreshToken::first(session_id(), Secret::new(vec![seed; 32]), Lifetime::Usual, &ring());
    (1..=n).fold(first, |spent, m| ring().successor(&spent, Generation(m)))
}

fn key(n: Option<u8>) -> Option<RetryKeyHash> {
    n.map(|n| RetryKey::parse(&format!("k{n}")).unwrap().hash_for(session_id()))
}

prop_compose! {
    /// A stored session somewhere around every edge.
    fn stored()(
        generation in 0_u32..4,
        seed in 1_u8..3,
        // Around NOW, so that every expiry is met exactly, before and after.
        idle in -2_i64..3, absolute in -2_i64..3,
        ended in prop::option::weighted(0.2, Just(EndReason::SignedOut)),
        entries in prop::collection::vec((0_u32..4, -40_i64..1, prop::option::of(0_u8..3)), 0..5),
    ) -> Snapshot {
        let at = |offset: i64| Timestamp::from_millis(NOW + offset);
        let ends_at = at(absolute * 3);
        let recent = entries.into_iter().filter(|(g, _, _)| *g < generation).fold(Recent::default(), |recent, (g, ago, k)| {
            recent.with(Spent { generation: Generation(g), at: at(ago), retry_key: key(k) })
        });
        Snapshot {
            session: Session {
                id: session_id(),
                user: UserId::from_bytes([6; 16]),
                created_at: at(-1_000),
                ends_at,
                device: Device::default(),
                status: ended.map_or(Status::Live, |reason| Status::Ended { at: at(-1), reason }),
            },
            lookup: LookupKey::of_session(session_id()),
            token: TokenState { held: chain(seed, generation).held(), expires_at: at(idle).min(ends_at), recent, access: None },
        }
    }
}

prop_compose! {
    fn any_policy()(
        strict: bool, reissue: bool, heal: bool, window in 0_u64..40, ttl in 1_u64..10,
    ) -> RefreshPolicy {
        RefreshPolicy {
            rotate: true,
            ttl: Duration::from_millis(ttl),
            remembered_ttl: Duration::from_millis(2 * ttl),
            replay_window: Duration::from_millis(window),
            strict,
            after_window: if reissue { AfterWindow::Reissue } else { AfterWindow::End },
            on_rollback: if heal { OnRollback::Heal } else { OnRollback::End },
        }
    }
}

/// Tokens that live for 5 ms, which is before, at or after the session's end.
fn access(kept: bool) -> AccessPolicy {
    let kept = kept.then_some(KeptAccessPolicy { secret_len: 131, grace: Duration::ZERO });
    AccessPolicy { ttl: Duration::from_millis(5), email_claim: false, kept }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// A store that holds just this session, ended if it is.
async fn store_with(snapshot: &Snapshot) -> regrant_adapters::outbound::memory::MemoryStore {
    let store = regrant_adapters::outbound::memory::MemoryStore::sessions_only();
    let Snapshot { session, lookup, token } = snapshot.clone();
    let status = session.status;
    let live = Session { status: Status::Live, ..session };
    store.open(NewSession { session: live, lookup, token }).await.unwrap();
    if let Status::Ended { at, reason } = status {
        let end = regrant_domain::ports::End { session: SessionKey::Id(session_id()), reason, at, only_while: None };
        store.end(end).await.unwrap();
    }
    store
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn the_fast_path_applies_exactly_where_decide_rotates_and_comes_to_the_same_state(
        snapshot in stored(), policy in any_policy(), seed in 1_u8..3, generation in 0_u32..5, k in prop::option::of(0_u8..3),
        kept: bool, remembered: bool,
    ) {
        let access = access(kept);
        let lifetime = if remembered { Lifetime::Remembered } else { Lifetime::Usual };
        let token = RefreshToken { lifetime, ..chain(seed, generation) };
        let rules = Rules { policy: &policy, access: &access, ring: &ring() };
        let now = Timestamp::from_millis(NOW);
        let (rotation, successor) = optimistic_rotation(&token, key(k), now, &rules);
        let presented = Presented::Chained(token);
        let decision = decide(Some(&snapshot), &Asked { presented: &presented, retry_key: key(k), now }, &rules);
        block_on(async {
            let store = store_with(&snapshot).await;
            let outcome = store.rotate(rotation).await.unwrap();
            let after = SessionRepository::find(&store, &SessionKey::Id(session_id())).await.unwrap().unwrap();
            match decision {
                Decision::Rotate(step) => {
                    assert!(matches!(outcome, RotateOutcome::Rotated(_)), "decide rotates, the store did not");
                    assert_eq!(after.token, step.state);
                    assert_eq!(successor.held(), step.token.held());
                }
                other => {
                    assert_eq!(outcome, RotateOutcome::NotCurrent, "decide says {other:?}");
                    assert_eq!(after, snapshot);
                }
            }
        });
    }

    #[test]
    fn a_successor_is_the_same_each_time_and_differs_from_every_other(
        secret in prop::collection::vec(any::<u8>(), 32..200), material: [u8; 32], a in 0_u32..9, b in 0_u32..9,
    ) {
        let ring = TokenKeyRing::new(TokenKey::new(TokenKeyId(3), &material), vec![]).unwrap();
        let token = || RefreshToken::first(session_id(), Secret::new(secret.clone()), Lifetime::Usual, &ring);
        let (x, y) = (ring.successor(&token(), Generation(a)), ring.successor(&token(), Generation(b)));
        prop_assert_eq!(x.secret.expose() == y.secret.expose(), a == b);
        prop_assert_eq!(x.secret.expose().len(), secret.len());
        prop_assert!(ring.successor_with_hash(&token(), Generation(a), &x.secret.hash()).is_some());
    }

    #[test]
    fn a_decision_never_lowers_a_generation_and_never_prolongs_beyond_the_end(
        snapshot in stored(), policy in any_policy(), seed in 1_u8..3, generation in 0_u32..9, k in prop::option::of(0_u8..3),
    ) {
        let access = access(false);
        let presented = Presented::Chained(chain(seed, generation));
        let asked = Asked { presented: &presented, retry_key: key(k), now: Timestamp::from_millis(NOW) };
        let decision = decide(Some(&snapshot), &asked, &Rules { policy: &policy, access: &access, ring: &ring() });
        if let Decision::Rotate(step) | Decision::Reissue(step) | Decision::Heal(step) = &decision {
            prop_assert!(step.state.held.generation > snapshot.token.held.generation);
            prop_assert!(step.state.expires_at <= snapshot.session.ends_at);
            prop_assert_eq!(step.from, snapshot.token.held);
            prop_assert_eq!(step.state.held, step.token.held());
        }
        if !snapshot.is_live(asked.now) {
            prop_assert!(matches!(decision, Decision::Refuse(_)));
        }
    }
}

/// What happens to an honest client that keeps one request under way at a time.
#[derive(Debug, Clone, Copy)]
enum Luck {
    /// All goes well.
    Fine,
    /// The answer is lost, and so are this many repetitions, each so many seconds later.
    AnswersLost(u8, u32),
    /// So many seconds pass.
    Waits(u32),
}

fn luck() -> impl Strategy<Value = Luck> {
    prop_oneof![
        Just(Luck::Fine),
        (1_u8..4, 0_u32..100_000).prop_map(|(n, s)| Luck::AnswersLost(n, s)),
        (0_u32..100_000).prop_map(Luck::Waits),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_client_that_keeps_the_contract_is_never_signed_out(story in prop::collection::vec(luck(), 1..30), strict: bool) {
        block_on(async {
            let mut policies = super::policies();
            policies.refresh.strict = strict;
            let world = World::with(policies);
            let mut token = text(&world.ada().await);
            for (turn, luck) in story.into_iter().enumerate() {
                let key = format!("key of turn {turn}").replace(' ', "-");
                match luck {
                    Luck::Fine => {}
                    Luck::AnswersLost(times, pause) => {
                        for _ in 0..times {
                            let lost = world.refreshes(&token, Some(&key)).await;
                            assert!(matches!(lost, Refreshed::Granted(_)), "{lost:?}");
                            world.clock.advance(Duration::from_secs(u64::from(pause)));
                        }
                    }
                    Luck::Waits(pause) => world.clock.advance(Duration::from_secs(u64::from(pause))),
                }
                token = world.next(&token, Some(&key)).await;
            }
        });
    }
}
