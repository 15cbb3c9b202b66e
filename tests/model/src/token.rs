//! Tokens as the model sees them: by the path on which they were derived.
//!
//! Two tokens are the same exactly if their paths are, because successors are derived: the path names the token that
//! was spent, and the generation that was made of it. Only paths relative to the oldest token that somebody still holds
//! matter to the rules, so a state forgets the common beginning of its paths, and the chain may grow for ever in finitely
//! many states.

use std::fmt;

/// Most steps of a path: one byte each, the last byte counts them. Worlds stay well below: see
/// [`Setup::reach`](crate::world::Setup::reach).
const LONGEST: u32 = 15;

/// A refresh token, by its path from the oldest token that a state remembers (which has generation 0 here).
///
/// A step is how many generations it goes on, and from which source of successors. Source 0 is the token key; the
/// others exist for rule sets that are wrong on purpose, and for forgeries.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Token(u128);

/// One step of a path.
#[derive(Clone, Copy)]
struct Step(u8);

impl Step {
    const fn generations(self) -> u8 {
        self.0 & 0x0f
    }

    const fn source(self) -> u8 {
        self.0 >> 4
    }
}

impl Token {
    /// The oldest token that is remembered.
    pub const ROOT: Self = Self(0);
    /// The source of forgeries.
    pub const FORGED: u8 = 7;
    /// Sources of successors, without [`Token::FORGED`].
    pub const SOURCES: u8 = 4;

    /// Its generation, counted from the root.
    pub fn generation(self) -> u8 {
        self.steps().map(Step::generations).sum()
    }

    /// The token that is derived from this one, so many generations on.
    ///
    /// # Panics
    /// Where the path gets too long, which a world's bounds exclude.
    #[must_use]
    pub fn child(self, generations: u8, source: u8) -> Self {
        assert!((1..=15).contains(&generations), "a successor is 1 to 15 generations on");
        assert!(self.len() < LONGEST, "a path has at most {LONGEST} steps");
        Self((self.0 | u128::from(generations | source << 4) << shift(self.len())) + 1)
    }

    /// The token that it was derived from, and the source; `None` for the root.
    pub fn parent(self) -> Option<(Self, u8)> {
        let last = self.len().checked_sub(1)?;
        let source = self.steps().last()?.source();
        Some((self.beginning(last), source))
    }

    /// The youngest token that both descend from.
    #[must_use]
    pub fn common_with(self, other: Self) -> Self {
        let alike = (self.0 ^ other.0).leading_zeros() / 8;
        self.beginning(alike.min(self.len()).min(other.len()))
    }

    /// Whether one of the two descends from the other.
    pub fn is_in_line_with(self, other: Self) -> bool {
        let common = self.common_with(other);
        common == self || common == other
    }

    /// The same token, seen from `root`, an ancestor of it.
    #[must_use]
    pub fn seen_from(self, root: Self) -> Self {
        let steps = self.0 - u128::from(self.len());
        Self(steps << (8 * root.len()) | u128::from(self.len() - root.len()))
    }

    const fn len(self) -> u32 {
        (self.0 & 0xff) as u32
    }

    /// The token after the first steps of the path.
    fn beginning(self, steps: u32) -> Self {
        if steps == 0 { Self::ROOT } else { Self(self.0 >> shift(steps - 1) << shift(steps - 1) | u128::from(steps)) }
    }

    fn steps(self) -> impl Iterator<Item = Step> {
        let bytes = self.0.to_be_bytes();
        (0..self.len()).map(move |at| Step(bytes[at as usize]))
    }
}

/// Where a step is kept.
const fn shift(step: u32) -> u32 {
    120 - 8 * step
}

impl fmt::Debug for Token {
    /// The generations on the path: `0.1.3`, with the source where it is not 0: `0.1'1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("0")?;
        let mut generation = 0;
        for step in self.steps() {
            generation += step.generations();
            write!(f, ".{generation}")?;
            if step.source() > 0 {
                write!(f, "'{}", step.source())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_forgotten_up_to_a_common_ancestor() {
        let spent = Token::ROOT.child(1, 0).child(1, 0);
        let (a, b) = (spent.child(1, 0).child(1, 0), spent.child(2, 0));
        assert_eq!(a.common_with(b), spent);
        assert_eq!(format!("{a:?} {b:?}"), "0.1.2.3.4 0.1.2.4");
        assert_eq!(format!("{:?} {:?}", a.seen_from(spent), b.seen_from(spent)), "0.1.2 0.2");
        assert!(spent.is_in_line_with(a) && b.is_in_line_with(spent) && !a.is_in_line_with(b));
        assert_eq!(b.parent(), Some((spent, 0)));
        assert_eq!(Token::ROOT.parent(), None);
    }
}
