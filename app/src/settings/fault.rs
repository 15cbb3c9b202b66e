//! What is wrong with a configuration: every fault at once, each with its key and where the value comes from.

use std::fmt;

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The key, such as `access_token.ttl`; empty where the fault is not about one.
    pub key: String,
    /// Where the value comes from: the built-in configuration, a file and line, an environment variable, or a flag.
    pub origin: String,
    /// What is wrong.
    pub wrong: String,
    /// What is accepted, or what to do.
    pub accepted: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.key.is_empty() {
            write!(f, "{} ", self.key)?;
        }
        write!(f, "({}): {}", self.origin, self.wrong)?;
        if !self.accepted.is_empty() {
            write!(f, "; {}", self.accepted)?;
        }
        Ok(())
    }
}

/// All faults of a configuration; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => f.write_str("the configuration has a fault:")?,
            n => write!(f, "the configuration has {n} faults:")?,
        }
        self.0.iter().try_for_each(|fault| write!(f, "\n  - {fault}"))
    }
}

impl std::error::Error for Faults {}

/// The known name that `given` was probably meant to be.
pub(super) fn did_you_mean<'k>(given: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    let given_last = last(given);
    known
        .map(|key| {
            let whole = strsim::damerau_levenshtein(given, key);
            // The right word in a wrong section is nearly as good.
            let word = strsim::damerau_levenshtein(&given_last, &last(key)) + 1;
            (whole.min(word), whole, key)
        })
        .filter(|(distance, ..)| *distance <= (given_last.chars().count() / 3).max(2))
        .min()
        .map(|(.., key)| key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_miss_is_recognised_and_nonsense_is_not() {
        let known = ["server.listen", "access_token.ttl", "refresh_token.ttl", "refresh_token.replay_window"];
        let mean = |given| did_you_mean(given, known.into_iter());
        assert_eq!(mean("server.lisen"), Some("server.listen"));
        assert_eq!(mean("listen"), Some("server.listen"));
        assert_eq!(mean("refresh_token.tll"), Some("refresh_token.ttl"));
        assert_eq!(mean("acess_token.ttl"), Some("access_token.ttl"));
        assert_eq!(mean("session.replay_window"), Some("refresh_token.replay_window"));
        assert_eq!(mean("refresh_token.replay-window"), Some("refresh_token.replay_window"));
        assert_eq!(mean("tuna.fish_sandwich"), None);
    }
}
