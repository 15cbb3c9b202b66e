//! The life of a key: published before it is used, honoured after it, and then forgotten.
//!
//! Deliberately absent: what the keys are for, and where they are kept. The keys of one kind take over from one another at
//! instants that are written down beside them; where each of them stands follows from that and the time, so that
//! processes which know the same keys and the same time agree without asking each other.

use std::fmt;
use std::time::Duration;

use crate::time::Timestamp;

/// Where a key stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Published and accepted, and not yet used.
    Next,
    /// What is made now is made with it.
    Signing,
    /// No longer used; what was made with it is accepted.
    Verifying,
    /// Neither published nor accepted.
    Retired,
}

impl Stage {
    /// Whether others are to know the key, and what was made with it is accepted.
    pub const fn is_accepted(self) -> bool {
        !matches!(self, Self::Retired)
    }

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::Signing => "signing",
            Self::Verifying => "verifying",
            Self::Retired => "retired",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What is written down of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Term {
    /// From when on it is used.
    pub signs_from: Timestamp,
    /// When the operator said that nothing made with it is to be accepted any more.
    pub revoked_at: Option<Timestamp>,
}

/// What follows for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Where it stands.
    pub stage: Stage,
    /// Until when what was made with it is accepted; `None`: nothing has taken over from it yet.
    pub accepted_until: Option<Timestamp>,
}

/// Where each of the keys of one kind stands at `now`. They are in the order in which they take over from one another;
/// what the last use of a key made is accepted for `accepted_for` after it.
///
/// Of keys that are not all revoked, exactly one is [`Stage::Signing`]: the last one whose instant has come, or, before
/// all of them (a clock was set back), the first.
pub fn standings(terms: &[Term], now: Timestamp, accepted_for: Duration) -> Vec<Standing> {
    let signing = signing(terms, now);
    let one = |(at, term): (usize, &Term)| {
        if let Some(revoked_at) = term.revoked_at {
            return Standing { stage: Stage::Retired, accepted_until: Some(revoked_at) };
        }
        let until = terms.get(at + 1).map(|next| next.signs_from.plus(accepted_for));
        let stage = match signing {
            Some(signing) if at == signing => Stage::Signing,
            Some(signing) if at < signing && until.is_none_or(|until| now.has_reached(until)) => Stage::Retired,
            Some(signing) if at < signing => Stage::Verifying,
            _ => Stage::Next,
        };
        Standing { stage, accepted_until: until }
    };
    terms.iter().enumerate().map(one).collect()
}

fn signing(terms: &[Term], now: Timestamp) -> Option<usize> {
    let usable = |term: &&Term| term.revoked_at.is_none();
    let due = |term: &Term| term.revoked_at.is_none() && now.has_reached(term.signs_from);
    terms.iter().rposition(due).or_else(|| terms.iter().position(|term| usable(&term)))
}

#[cfg(test)]
mod tests {
    use super::Stage::{Next, Retired, Signing, Verifying};
    use super::*;

    const LIFE: Duration = Duration::from_secs(10);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_millis(second * 1000)
    }

    fn term(signs_from: i64) -> Term {
        Term { signs_from: at(signs_from), revoked_at: None }
    }

    fn stages(terms: &[Term], now: Timestamp) -> Vec<Stage> {
        standings(terms, now, LIFE).into_iter().map(|one| one.stage).collect()
    }

    #[test]
    fn a_key_is_next_then_signing_then_verifying_then_retired_and_each_instant_belongs_to_what_it_begins() {
        let terms = [term(0), term(100), term(200)];
        for (millis, expected) in [
            (0, [Signing, Next, Next]),
            (99_999, [Signing, Next, Next]),
            (100_000, [Verifying, Signing, Next]),
            (109_999, [Verifying, Signing, Next]),
            (110_000, [Retired, Signing, Next]),
            (199_999, [Retired, Signing, Next]),
            (200_000, [Retired, Verifying, Signing]),
            (210_000, [Retired, Retired, Signing]),
            (i64::MAX, [Retired, Retired, Signing]),
        ] {
            assert_eq!(stages(&terms, Timestamp::from_millis(millis)), expected, "at {millis} ms");
        }
    }

    #[test]
    fn one_key_signs_for_ever() {
        for second in [0, 5, 1_000_000_000] {
            let standing = standings(&[term(5)], at(second), LIFE);
            assert_eq!(standing, [Standing { stage: Signing, accepted_until: None }], "at {second}");
        }
    }

    #[test]
    fn it_is_said_until_when_a_key_is_accepted_also_before_that_begins_to_count() {
        let until = |now| standings(&[term(0), term(100)], at(now), LIFE).into_iter().map(|one| one.accepted_until);
        for now in [0, 100, 500] {
            assert_eq!(until(now).collect::<Vec<_>>(), [Some(at(110)), None], "at {now}");
        }
    }

    #[test]
    fn before_all_of_them_the_first_signs() {
        assert_eq!(stages(&[term(50), term(100)], at(1)), [Signing, Next]);
    }

    #[test]
    fn a_revoked_key_is_retired_whatever_the_time_and_never_signs() {
        let revoked = |signs_from, when| Term { revoked_at: Some(at(when)), ..term(signs_from) };
        assert_eq!(stages(&[revoked(0, 100), term(100)], at(1)), [Retired, Signing]);
        assert_eq!(stages(&[revoked(0, 100), term(100)], at(101)), [Retired, Signing]);
        assert_eq!(stages(&[term(0), revoked(100, 150)], at(500)), [Signing, Retired]);
        assert_eq!(stages(&[revoked(0, 9), revoked(5, 9)], at(500)), [Retired, Retired]);
        let standing = standings(&[revoked(0, 100), term(100)], at(101), LIFE);
        assert_eq!(standing[0].accepted_until, Some(at(100)));
    }

    #[test]
    fn whatever_the_instants_exactly_one_key_signs_and_what_it_signed_is_accepted_for_its_whole_life() {
        // Takeovers in quick succession, shorter than what is signed lives; two at the same instant.
        let terms = [term(0), term(3), term(3), term(7), term(30)];
        for made in 0..40 {
            let signers: Vec<usize> =
                stages(&terms, at(made)).iter().enumerate().filter(|(_, s)| **s == Signing).map(|(i, _)| i).collect();
            let [signer] = signers[..] else { panic!("at {made}: {signers:?}") };
            for later in made..made + 10 {
                assert!(stages(&terms, at(later))[signer].is_accepted(), "made at {made}, checked at {later}");
            }
        }
    }

    #[test]
    fn a_key_is_accepted_before_it_signs() {
        let terms = [term(0), term(100)];
        assert!((0..100).all(|now| stages(&terms, at(now))[1] == Next && Next.is_accepted()));
    }
}
