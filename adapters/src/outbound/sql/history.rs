//! A row of `history`.

use regrant_domain::history::{Entry, Origin, What};
use regrant_domain::ids::{SessionId, UserId};
use uuid::Uuid;

use super::rows::{ImpossibleRow, instant};

/// A row of `history`, column by column. Instants are milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawEntry {
    /// `history.subject`
    pub subject: Uuid,
    /// `history.at`
    pub at: i64,
    /// `history.user_id`
    pub user: Uuid,
    /// `history.what`
    pub what: String,
    /// `history.reason`
    pub reason: Option<String>,
    /// `history.ip`
    pub ip: Option<String>,
    /// `history.user_agent`
    pub user_agent: Option<String>,
}

/// `history.subject` of an entry: its session; of an account, the user.
pub fn subject(entry: &Entry) -> Uuid {
    entry.session.map_or_else(|| entry.user.uuid(), SessionId::uuid)
}

impl TryFrom<RawEntry> for Entry {
    type Error = ImpossibleRow;

    fn try_from(row: RawEntry) -> Result<Self, ImpossibleRow> {
        let fault = |fault| ImpossibleRow { table: "history of", id: row.subject, fault };
        Ok(Self {
            user: UserId::from(row.user),
            session: (row.subject != row.user).then(|| row.subject.into()),
            at: instant(row.at).ok_or(fault("at is out of range"))?,
            what: What::from_codes(&row.what, row.reason.as_deref())
                .map_err(|_| fault("what and reason are not codes of this version"))?,
            from: Origin { user_agent: row.user_agent, ip: row.ip },
        })
    }
}

#[cfg(test)]
mod tests {
    use regrant_domain::reason::EndReason;

    use super::*;

    fn row() -> RawEntry {
        RawEntry {
            subject: Uuid::from_bytes([1; 16]),
            at: 5,
            user: Uuid::from_bytes([2; 16]),
            what: "ended".into(),
            reason: Some("signed_out".into()),
            ip: None,
            user_agent: Some("curl/8".into()),
        }
    }

    #[test]
    fn a_row_that_can_be_becomes_an_entry() {
        let entry = Entry::try_from(row()).unwrap();
        assert_eq!((entry.what, entry.session), (What::Ended(EndReason::SignedOut), Some(row().subject.into())));
        assert_eq!(subject(&entry), row().subject);
        let of_account = RawEntry { subject: row().user, what: "sign_in_failed".into(), reason: None, ..row() };
        let entry = Entry::try_from(of_account).unwrap();
        assert_eq!((entry.session, subject(&entry)), (None, row().user));
    }

    #[test]
    fn a_row_that_cannot_be_is_told() {
        for impossible in [
            RawEntry { at: -1, ..row() },
            RawEntry { reason: None, ..row() },
            RawEntry { what: "replayed".into(), ..row() },
            RawEntry { what: "bored".into(), reason: None, ..row() },
        ] {
            assert!(Entry::try_from(impossible.clone()).is_err(), "{impossible:?}");
        }
    }
}
