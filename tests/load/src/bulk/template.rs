//! How a session's row looks, learnt from rows that the store's adapter has written.

use regrant_domain::ids::{SessionId, UserId};
use regrant_domain::refresh_token::LookupKey;
use regrant_domain::secret::SecretHash;

/// What tells one session's rows from another's.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) session: SessionId,
    pub(crate) user: UserId,
    pub(crate) lookup: LookupKey,
    pub(crate) hash: SecretHash,
}

/// One of them, as a row may spell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Session,
    SessionHex,
    SessionUpperHex,
    Lookup,
    User,
    UserHex,
    UserUpperHex,
    HashHex,
    HashUpperHex,
}

impl Mark {
    const ALL: [Self; 9] = [
        Self::Session,
        Self::SessionHex,
        Self::SessionUpperHex,
        Self::Lookup,
        Self::User,
        Self::UserHex,
        Self::UserUpperHex,
        Self::HashHex,
        Self::HashUpperHex,
    ];

    fn of(self, facts: &Facts) -> String {
        match self {
            Self::Session => facts.session.to_string(),
            Self::SessionHex => hex::encode(facts.session.as_bytes()),
            Self::SessionUpperHex => hex::encode_upper(facts.session.as_bytes()),
            Self::Lookup => facts.lookup.as_str().to_owned(),
            Self::User => facts.user.to_string(),
            Self::UserHex => hex::encode(facts.user.as_bytes()),
            Self::UserUpperHex => hex::encode_upper(facts.user.as_bytes()),
            Self::HashHex => hex::encode(facts.hash.as_bytes()),
            Self::HashUpperHex => hex::encode_upper(facts.hash.as_bytes()),
        }
    }

    fn tells_the_session(self) -> bool {
        matches!(self, Self::Session | Self::SessionHex | Self::SessionUpperHex | Self::Lookup)
    }
}

/// A row as text, without what is one session's own.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Template {
    /// What stands before each mark.
    marked: Vec<(String, Mark)>,
    rest: String,
}

impl Template {
    /// From these rows, some of which are of these two sessions. `None`: there is not just one row for a session, or what is
    /// different between the rows of the two is not what is known to tell them apart.
    pub(super) fn learnt(rows: &[String], one: &Facts, other: &Facts) -> Option<Self> {
        let mut found = rows.iter().map(|row| Self::of(row, one)).filter(Self::tells_the_session);
        let (Some(template), None) = (found.next(), found.next()) else { return None };
        let mut again = String::new();
        template.write(other, &mut again);
        rows.contains(&again).then_some(template)
    }

    fn of(row: &str, facts: &Facts) -> Self {
        let marks = Mark::ALL.map(|mark| (mark, mark.of(facts)));
        let (mut marked, mut rest) = (Vec::new(), row);
        let first = |text: &str| {
            let found = marks.iter().filter_map(|(mark, spelt)| Some((text.find(spelt.as_str())?, *mark, spelt.len())));
            found.min_by_key(|(at, ..)| *at)
        };
        while let Some((at, mark, len)) = first(rest) {
            marked.push((rest[..at].to_owned(), mark));
            rest = &rest[at + len..];
        }
        Self { marked, rest: rest.to_owned() }
    }

    fn tells_the_session(&self) -> bool {
        self.marked.iter().any(|(_, mark)| mark.tells_the_session())
    }

    /// The row of this session.
    pub(super) fn write(&self, facts: &Facts, out: &mut String) {
        for (before, mark) in &self.marked {
            out.push_str(before);
            out.push_str(&mark.of(facts));
        }
        out.push_str(&self.rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(byte: u8) -> Facts {
        let session = SessionId::from_bytes([byte; 16]);
        let (user, hash) = (UserId::from_bytes([byte + 100; 16]), SecretHash::from_bytes([byte + 50; 32]));
        Facts { session, user, lookup: LookupKey::of_session(session), hash }
    }

    fn row(byte: u8, other: &str) -> String {
        let Facts { session, user, lookup, hash } = facts(byte);
        let hash = hex::encode_upper(hash.as_bytes());
        format!("('{}','{session}','{user}',X'{hash}',{other},'{session}')", lookup.as_str())
    }

    #[test]
    fn a_row_of_another_session_follows_from_two_that_were_written() {
        let rows = [row(1, "7"), row(2, "7"), "('something','else')".to_owned()];
        let template = Template::learnt(&rows, &facts(1), &facts(2)).unwrap();
        let mut third = String::new();
        template.write(&facts(3), &mut third);
        assert_eq!(third, row(3, "7"));
    }

    #[test]
    fn what_is_different_in_an_unknown_way_is_not_guessed() {
        let learnt = |rows: &[String]| Template::learnt(rows, &facts(1), &facts(2));
        assert_eq!(learnt(&[row(1, "7"), row(2, "8")]), None);
        assert_eq!(learnt(&[row(1, "7")]), None);
        assert_eq!(learnt(&[row(2, "7")]), None);
        assert_eq!(learnt(&[row(1, "7"), row(1, "7"), row(2, "7")]), None);
        assert_eq!(learnt(&[]), None);
    }
}
