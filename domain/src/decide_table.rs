//! Rules 0 to 10, as a table: one row is a presentation, and what it must come to.

use std::time::Duration;

use super::*;
use crate::ids::{SessionId, UserId};
use crate::refresh_token::{LookupKey, RetryKey};
use crate::secret::Secret;
use crate::session::{Device, Session, Status};
use crate::token_key::{TokenKey, TokenKeyId};

const WINDOW: u64 = 30_000;
/// When the last rotation took place.
const ROTATED_AT: i64 = 1_000_000;
const TTL: u64 = 3_600_000;
const ENDS_AT: i64 = 900_000_000;
const ACCESS: AccessPolicy = AccessPolicy { ttl: Duration::from_mins(5), email_claim: false, kept: None };

fn ring() -> TokenKeyRing {
    TokenKeyRing::new(TokenKey::new(TokenKeyId(1), &[9; 32]), vec![]).unwrap()
}

fn policy() -> RefreshPolicy {
    RefreshPolicy {
        rotate: true,
        ttl: Duration::from_millis(TTL),
        replay_window: Duration::from_millis(WINDOW),
        strict: false,
        after_window: AfterWindow::End,
        on_rollback: OnRollback::Heal,
        remembered_ttl: Duration::from_millis(TTL),
    }
}

fn session_id() -> SessionId {
    SessionId::from_bytes([5; 16])
}

/// Generation `n` of the chain that begins with a fixed secret.
fn token(n: u32) -> RefreshToken {
    let first = RefreshToken::first(session_id(), Secret::new(vec![3; 32]), Lifetime::Usual, &ring());
    (1..=n).fold(first, |spent, m| ring().successor(&spent, Generation(m)))
}

#[expect(clippy::unnecessary_wraps, reason = "as requests carry it")]
fn key(text: &str) -> Option<RetryKeyHash> {
    Some(RetryKey::parse(text).unwrap().hash_for(session_id()))
}

fn spent(generation: u32, at: i64, retry_key: Option<RetryKeyHash>) -> Spent {
    Spent { generation: Generation(generation), at: Timestamp::from_millis(at), retry_key }
}

/// A live session at generation 6, which 5 was spent for at `ROTATED_AT` with the retry key "k5"; 4 was spent an hour
/// before with "k4", 3 without a key, 2 with "k2"; 0 and 1 are no longer remembered.
fn snapshot() -> Snapshot {
    let hour = 3_600_000;
    let recent = [
        spent(2, ROTATED_AT - 3 * hour, key("k2")),
        spent(3, ROTATED_AT - 2 * hour, None),
        spent(4, ROTATED_AT - hour, key("k4")),
        spent(5, ROTATED_AT, key("k5")),
    ];
    Snapshot {
        session: Session {
            id: session_id(),
            user: UserId::from_bytes([6; 16]),
            created_at: Timestamp::from_millis(0),
            ends_at: Timestamp::from_millis(ENDS_AT),
            device: Device::default(),
            status: Status::Live,
        },
        lookup: LookupKey::of_session(session_id()),
        token: TokenState {
            held: token(6).held(),
            expires_at: Timestamp::from_millis(ROTATED_AT).plus(Duration::from_millis(TTL)),
            recent: recent.into_iter().fold(Recent::default(), Recent::with),
            access: None,
        },
    }
}

/// What a row expects, without the values that other tests look at.
#[derive(Debug, PartialEq)]
enum Comes {
    Rotate,
    Serve,
    Replay,
    Reissue,
    Heal,
    Refuse(Refusal),
    End(EndReason),
}

fn comes(decision: &Decision) -> Comes {
    match decision {
        Decision::Rotate(_) => Comes::Rotate,
        Decision::Serve => Comes::Serve,
        Decision::Replay(_) => Comes::Replay,
        Decision::Reissue(_) => Comes::Reissue,
        Decision::Heal(_) => Comes::Heal,
        Decision::Refuse(why) => Comes::Refuse(*why),
        Decision::End(reason) => Comes::End(*reason),
    }
}

fn ask(snapshot: Option<&Snapshot>, policy: &RefreshPolicy, n: u32, retry_key: Option<&str>, after: i64) -> Decision {
    let presented = Presented::Chained(token(n));
    let asked = Asked {
        presented: &presented,
        retry_key: retry_key.and_then(key),
        now: Timestamp::from_millis(ROTATED_AT + after),
    };
    decide(snapshot, &asked, &Rules { policy, access: &ACCESS, ring: &ring() })
}

#[test]
fn every_rule_has_its_rows() {
    let window = i64::try_from(WINDOW).unwrap();
    let ttl = i64::try_from(TTL).unwrap();
    let strict = RefreshPolicy { strict: true, ..policy() };
    let none = RefreshPolicy { replay_window: Duration::ZERO, ..policy() };
    let reissue = RefreshPolicy { after_window: AfterWindow::Reissue, ..policy() };
    let strict_reissue = RefreshPolicy { strict: true, ..reissue };
    let end_rolled_back = RefreshPolicy { on_rollback: OnRollback::End, ..policy() };
    let fixed = RefreshPolicy { rotate: false, ..policy() };
    let reuse = || Comes::End(EndReason::ReuseDetected);
    let superseded = || Comes::Refuse(Refusal::Superseded);
    // (rule, policy, presented generation, retry key, milliseconds after the last rotation, outcome)
    let rows = [
        (3, policy(), 6, None, ttl, Comes::Refuse(Refusal::Expired)),
        (3, policy(), 5, Some("k5"), ttl, Comes::Refuse(Refusal::Expired)),
        (3, policy(), 0, None, ttl, Comes::Refuse(Refusal::Expired)),
        (3, policy(), 9, None, ttl, Comes::Refuse(Refusal::Expired)),
        (4, policy(), 6, None, ttl - 1, Comes::Rotate),
        (4, policy(), 6, Some("k6"), 0, Comes::Rotate),
        (4, strict, 6, None, 0, Comes::Rotate),
        (4, fixed, 6, None, 0, Comes::Serve),
        (5, policy(), 5, Some("k5"), window + 1, Comes::Replay),
        (5, policy(), 5, Some("k5"), ttl - 1, Comes::Replay),
        (5, strict, 5, Some("k5"), 0, Comes::Replay),
        (5, strict, 5, Some("k5"), ttl - 1, Comes::Replay),
        (5, none, 5, Some("k5"), 0, Comes::Replay),
        (6, policy(), 5, None, 0, Comes::Replay),
        (6, policy(), 5, None, window, Comes::Replay),
        (6, policy(), 5, Some("other"), window, Comes::Replay),
        (6, policy(), 5, None, -5_000, Comes::Replay),
        (6, reissue, 5, None, window, Comes::Replay),
        (7, reissue, 5, None, window + 1, Comes::Reissue),
        (7, reissue, 5, Some("other"), window + 1, Comes::Reissue),
        (7, reissue, 5, Some("k5"), window + 1, Comes::Replay),
        (7, RefreshPolicy { replay_window: Duration::ZERO, ..reissue }, 5, None, 0, Comes::Reissue),
        (8, policy(), 7, None, 0, Comes::Heal),
        (8, policy(), 11, None, ttl - 1, Comes::Heal),
        (8, end_rolled_back, 7, None, 0, Comes::End(EndReason::RolledBack)),
        (9, policy(), 4, Some("k4"), 0, superseded()),
        (9, policy(), 2, Some("k2"), ttl - 1, superseded()),
        (9, strict, 4, Some("k4"), window + 1, superseded()),
        (9, none, 4, Some("k4"), 0, superseded()),
        (10, policy(), 5, None, window + 1, reuse()),
        (10, policy(), 5, Some("other"), window + 1, reuse()),
        (10, strict, 5, None, 0, reuse()),
        (10, strict, 5, Some("other"), 0, reuse()),
        (10, strict_reissue, 5, None, 0, reuse()),
        (10, none, 5, None, 0, reuse()),
        (10, policy(), 4, None, 0, reuse()),
        (10, policy(), 4, Some("k5"), 0, reuse()),
        (10, policy(), 3, None, 0, reuse()),
        (10, policy(), 1, Some("k1"), 0, reuse()),
        (10, policy(), 0, None, 0, reuse()),
        (10, reissue, 4, None, window + 1, reuse()),
    ];
    for (rule, policy, n, key, after, expected) in rows {
        let got = ask(Some(&snapshot()), &policy, n, key, after);
        assert_eq!(comes(&got), expected, "rule {rule}: generation {n}, key {key:?}, {after} ms after, {policy:?}");
    }
}

#[test]
fn rule_0_nothing_is_known_of_the_session() {
    assert_eq!(comes(&ask(None, &policy(), 6, None, 0)), Comes::Refuse(Refusal::Unknown));
}

#[test]
fn rule_1_an_ended_session_refuses_every_generation_with_its_reason() {
    for reason in EndReason::ALL {
        let at = Timestamp::from_millis(ROTATED_AT);
        let mut ended = snapshot();
        ended.session.status = Status::Ended { at, reason };
        for n in [0, 4, 5, 6, 7] {
            assert_eq!(comes(&ask(Some(&ended), &policy(), n, Some("k5"), 0)), Comes::Refuse(Refusal::Ended(reason)));
        }
    }
}

#[test]
fn rule_2_the_absolute_end_comes_before_the_idle_expiry_and_is_exact() {
    let mut ending = snapshot();
    ending.session.ends_at = Timestamp::from_millis(ROTATED_AT + 10);
    ending.token.expires_at = Timestamp::from_millis(ROTATED_AT + 10);
    for n in [4, 5, 6, 7] {
        assert_eq!(comes(&ask(Some(&ending), &policy(), n, None, 10)), Comes::Refuse(Refusal::SessionExpired));
    }
    assert_eq!(comes(&ask(Some(&ending), &policy(), 6, None, 9)), Comes::Rotate);
}

#[test]
fn rule_9_a_late_duplicate_within_the_window_of_its_own_spending_is_superseded() {
    let mut fast = snapshot();
    fast.token.recent = fast.token.recent.with(spent(4, ROTATED_AT - 10, None)).with(spent(5, ROTATED_AT, None));
    let window = i64::try_from(WINDOW).unwrap();
    assert_eq!(comes(&ask(Some(&fast), &policy(), 4, None, window - 10)), Comes::Refuse(Refusal::Superseded));
    assert_eq!(comes(&ask(Some(&fast), &policy(), 4, None, window - 9)), Comes::End(EndReason::ReuseDetected));
}

#[test]
fn a_token_of_the_right_generation_but_another_branch_is_reuse() {
    let presented = Presented::Chained(RefreshToken { secret: Secret::new(vec![8; 32]), ..token(6) });
    let asked = Asked { presented: &presented, retry_key: None, now: Timestamp::from_millis(ROTATED_AT) };
    let got = decide(Some(&snapshot()), &asked, &Rules { policy: &policy(), access: &ACCESS, ring: &ring() });
    assert_eq!(comes(&got), Comes::End(EndReason::ReuseDetected));
}

#[test]
fn a_replay_hands_out_the_current_token_itself() {
    let Decision::Replay(successor) = ask(Some(&snapshot()), &policy(), 5, None, 0) else { panic!("a replay") };
    assert_eq!(successor.held(), snapshot().token.held);
}

#[test]
fn a_rotation_moves_the_chain_on_by_one_and_remembers_what_was_spent() {
    let Decision::Rotate(step) = ask(Some(&snapshot()), &policy(), 6, Some("k6"), 500) else { panic!("a rotation") };
    assert_eq!(step.from, token(6).held());
    assert_eq!(step.token.held(), token(7).held());
    assert_eq!(step.state.held, token(7).held());
    assert_eq!(step.state.expires_at, Timestamp::from_millis(ROTATED_AT + 500).plus(policy().ttl));
    assert_eq!(step.state.recent.entries().last(), Some(&spent(6, ROTATED_AT + 500, key("k6"))));
    assert_eq!(step.state.recent.entries().len(), Recent::MAX);
}

#[test]
fn no_rotation_prolongs_a_session_beyond_its_end() {
    let mut ending = snapshot();
    ending.session.ends_at = Timestamp::from_millis(ROTATED_AT + 1_000);
    let Decision::Rotate(step) = ask(Some(&ending), &policy(), 6, None, 0) else { panic!("a rotation") };
    assert_eq!(step.state.expires_at, ending.session.ends_at);
}

#[test]
fn a_reissue_derives_the_generation_after_the_dead_successor_and_renews_the_entry() {
    let reissue = RefreshPolicy { after_window: AfterWindow::Reissue, ..policy() };
    let late = i64::try_from(WINDOW).unwrap() + 1;
    let Decision::Reissue(step) = ask(Some(&snapshot()), &reissue, 5, Some("new"), late) else { panic!("a reissue") };
    assert_eq!(step.from, token(6).held());
    assert_eq!(step.token.held(), ring().successor(&token(5), Generation(7)).held());
    let at = ROTATED_AT + late;
    assert_eq!(step.state.recent.entries()[2..], [spent(6, at, None), spent(5, at, key("new"))]);

    // From now on the predecessor gets the new successor, and the dead one is a late duplicate, then reuse.
    let mut after = snapshot();
    after.token = step.state;
    assert_eq!(comes(&ask(Some(&after), &reissue, 5, None, late + 1)), Comes::Replay);
    assert_eq!(comes(&ask(Some(&after), &reissue, 6, None, late + 1)), Comes::Refuse(Refusal::Superseded));
    assert_eq!(comes(&ask(Some(&after), &reissue, 6, None, 2 * late + 1)), Comes::End(EndReason::ReuseDetected));
}

#[test]
fn a_heal_adopts_the_clients_generation_and_spends_what_the_store_missed() {
    let Decision::Heal(step) = ask(Some(&snapshot()), &policy(), 8, Some("k8"), 700) else { panic!("a heal") };
    assert_eq!(step.from, token(6).held());
    assert_eq!(step.token.held(), token(9).held());
    let at = ROTATED_AT + 700;
    let missed = [spent(5, ROTATED_AT, key("k5")), spent(6, at, None), spent(7, at, None), spent(8, at, key("k8"))];
    assert_eq!(step.state.recent.entries(), missed);

    let Decision::Heal(step) = ask(Some(&snapshot()), &policy(), 4_000, None, 0) else { panic!("a heal") };
    let generations: Vec<_> = step.state.recent.entries().iter().map(|spent| spent.generation.0).collect();
    assert_eq!(generations, [3_997, 3_998, 3_999, 4_000]);
}

#[test]
fn a_bare_token_is_served_while_it_lives_and_never_rotates() {
    let secret = || Secret::new(vec![4; 32]);
    let mut bare = snapshot();
    bare.lookup = LookupKey::of_secret(&secret().hash());
    bare.token = TokenState {
        held: Held { generation: Generation::FIRST, hash: secret().hash() },
        recent: Recent::default(),
        ..bare.token
    };
    let ask = |policy: RefreshPolicy, after| {
        let presented = Presented::Bare(secret());
        let asked = Asked { presented: &presented, retry_key: None, now: Timestamp::from_millis(ROTATED_AT + after) };
        comes(&decide(Some(&bare), &asked, &Rules { policy: &policy, access: &ACCESS, ring: &ring() }))
    };
    let fixed = RefreshPolicy { rotate: false, ..policy() };
    assert_eq!(ask(fixed, 0), Comes::Serve);
    assert_eq!(ask(fixed, i64::try_from(TTL).unwrap()), Comes::Refuse(Refusal::Expired));
}
