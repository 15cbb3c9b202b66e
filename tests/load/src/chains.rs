//! The refresh tokens of all sessions that take part: each is presented once, and its successor takes its place.

use std::collections::HashMap;
use std::sync::Arc;

use regrant_adapters::outbound::token_codec::LabelledCodec;
use regrant_domain::ids::{SessionId, UserId};
use regrant_domain::ports::{PortError, TokenCodec as _, TokenFacts};
use regrant_domain::time::Timestamp;
use regrant_domain::token_key::TokenKeyRing;

use crate::answer::Label;
use crate::seed::Seed;

/// In which order a connection takes its sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Order {
    /// One after the other, so that each goes on.
    Each,
    /// At random, as it is with millions of sessions.
    Random,
}

/// Current refresh tokens, by the number of the session.
pub(crate) struct Chains {
    len: u64,
    /// Those that were signed in or refreshed.
    current: HashMap<u64, Box<str>>,
    seeded: Option<Seeded>,
    rounds: u64,
}

struct Seeded {
    seed: Seed,
    codec: LabelledCodec,
    ring: Arc<TokenKeyRing>,
}

impl Chains {
    /// Of sessions that were signed in.
    pub(crate) fn signed_in(tokens: Vec<Box<str>>) -> Self {
        let current: HashMap<u64, Box<str>> = (0..).zip(tokens).collect();
        Self { len: current.len() as u64, current, seeded: None, rounds: 0 }
    }

    /// Of sessions that were put into the store, none of which was refreshed since.
    pub(crate) fn seeded(seed: Seed, ring: Arc<TokenKeyRing>) -> Self {
        let codec = LabelledCodec::new(ring.clone());
        let len = seed.sessions;
        Self { len, current: HashMap::new(), seeded: Some(Seeded { seed, codec, ring }), rounds: 0 }
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// How often they were used before: so that the next measurement does not take the same sessions again, which the store
    /// has at hand by then.
    pub(crate) fn begin_round(&mut self) -> u64 {
        self.rounds += 1;
        self.rounds - 1
    }

    /// The session with this number.
    pub(crate) fn session(&self, number: u64) -> Option<SessionId> {
        match (self.current.get(&number), &self.seeded) {
            (Some(token), _) => Label::of(token).map(|label| label.session),
            (None, Some(seeded)) => Some(seeded.seed.session(number)),
            (None, None) => None,
        }
    }

    /// The token to present; it is to be put back, or its successor in its place.
    pub(crate) fn take(&mut self, number: u64) -> Result<Box<str>, PortError> {
        if let Some(token) = self.current.remove(&number) {
            return Ok(token);
        }
        let Some(Seeded { seed, codec, ring }) = &self.seeded else {
            return Err(PortError::corrupt("the load tool", "a session is used twice at once"));
        };
        // This format writes neither of them.
        let facts = TokenFacts { user: UserId::from_bytes([0; 16]), expires_at: Timestamp::MAX };
        codec.encode(&seed.token(number, ring), &facts).map(|text| text.expose().into())
    }

    pub(crate) fn put(&mut self, number: u64, token: Box<str>) {
        self.current.insert(number, token);
    }

    /// The tokens of sessions that were refreshed, as lines; for [`Chains::remember`].
    pub(crate) fn remembered(&self) -> String {
        let lines: Vec<_> = self.current.iter().map(|(number, token)| format!("{number} {token}")).collect();
        lines.join("\n")
    }

    /// Goes on from where an earlier run left off.
    pub(crate) fn remember(&mut self, lines: &str) -> Result<(), String> {
        for line in lines.lines() {
            let entry = line.split_once(' ').and_then(|(number, token)| Some((number.parse().ok()?, token)));
            let (number, token): (u64, _) = entry.ok_or("a line of the file of tokens is not a number and a token")?;
            self.current.insert(number, token.into());
            if self.seeded.is_none() {
                self.len = self.len.max(number + 1);
            }
        }
        Ok(())
    }
}

/// The sessions of one connection: no other one uses them, so none is presented twice at once.
pub(crate) struct Share {
    first: u64,
    step: u64,
    len: u64,
    order: Order,
    state: u64,
}

impl Share {
    /// The `which`th of `of` shares of `all` sessions. Each round of a random order is another one.
    pub(crate) fn new(which: u64, of: u64, all: u64, order: Order, round: u64) -> Self {
        let state = match order {
            Order::Each => which + 1,
            Order::Random => scattered(round * of + which),
        };
        Self { first: which, step: of, len: all.saturating_sub(which).div_ceil(of), order, state }
    }

    /// The number of the next session.
    pub(crate) fn next(&mut self) -> u64 {
        let at = match self.order {
            Order::Each => self.state,
            Order::Random => xorshift(self.state),
        };
        self.state = match self.order {
            Order::Each => self.state + 1,
            Order::Random => at,
        };
        self.first + self.step * (at % self.len.max(1))
    }
}

/// The finalizer of `splitmix64` (Steele, Lea, Flood 2014): numbers that follow each other become states that have nothing in
/// common, and never 0, at which xorshift would stay.
pub(crate) fn scattered(number: u64) -> u64 {
    let mut x = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (x ^ (x >> 31)).max(1)
}

/// Marsaglia's xorshift64: good enough to pick a session.
fn xorshift(mut x: u64) -> u64 {
    x ^= x << 13;
    x ^= x >> 7;
    x ^ (x << 17)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use regrant_domain::token_key::{TokenKey, TokenKeyId};

    use super::*;

    fn numbers(which: u64, order: Order) -> HashSet<u64> {
        let mut share = Share::new(which, 3, 100, order, 0);
        (0..2000).map(|_| share.next()).collect()
    }

    #[test]
    fn shares_have_no_session_in_common_and_leave_none_out() {
        for order in [Order::Each, Order::Random] {
            let shares: Vec<_> = (0..3).map(|which| numbers(which, order)).collect();
            assert_eq!(shares.iter().map(HashSet::len).sum::<usize>(), 100, "{order:?}");
            assert_eq!(shares.iter().flatten().collect::<HashSet<_>>().len(), 100, "{order:?}");
            assert!(shares.iter().flatten().all(|&number| number < 100));
        }
    }

    #[test]
    fn a_random_order_is_over_all_of_them_and_another_one_in_each_round() {
        let half = 5_000_000 / 2;
        let drawn = |round| {
            let mut share = Share::new(7, 32, 32 * 5_000_000, Order::Random, round);
            (0..1000).map(|_| (share.next() - 7) / 32).collect::<Vec<_>>()
        };
        let (first, second) = (drawn(0), drawn(1));
        for round in [&first, &second] {
            // Of five million, a few are drawn twice.
            assert!(round.iter().collect::<HashSet<_>>().len() > 990);
            let low = round.iter().filter(|&&at| at < half).count();
            assert!((400..600).contains(&low), "{low} of 1000 in the lower half");
            assert!(round.iter().any(|&at| at < 50_000) && round.iter().any(|&at| at > 4_950_000));
        }
        assert!(first.iter().filter(|at| second.contains(at)).count() < 10);
    }

    #[test]
    fn a_seeded_chain_begins_with_its_seed_and_goes_on_with_what_was_put() {
        let ring = Arc::new(TokenKeyRing::new(TokenKey::new(TokenKeyId(1), &[1; 32]), vec![]).unwrap());
        let mut chains = Chains::seeded(Seed::new("a", 10), ring.clone());
        let first = chains.take(3).unwrap();
        assert_eq!(Label::of(&first).map(|label| label.generation), Some(4));
        assert_eq!(Label::of(&first).map(|label| label.session), chains.session(3));
        assert_eq!(chains.take(3).unwrap(), first);
        chains.put(3, "next".into());
        assert_eq!(&*chains.take(3).unwrap(), "next");

        chains.put(5, "later".into());
        let mut again = Chains::seeded(Seed::new("a", 10), ring);
        again.remember(&chains.remembered()).unwrap();
        assert_eq!(&*again.take(5).unwrap(), "later");
        assert!(again.remember("x y").is_err());
    }

    #[test]
    fn a_signed_in_chain_is_not_presented_twice_at_once() {
        let mut chains = Chains::signed_in(vec!["a".into(), "b".into()]);
        assert_eq!(chains.len(), 2);
        assert_eq!(&*chains.take(1).unwrap(), "b");
        assert!(chains.take(1).is_err());
        chains.put(1, "c".into());
        assert_eq!(&*chains.take(1).unwrap(), "c");
    }
}
