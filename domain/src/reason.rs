//! Why a session ended, and why a token was refused: the stable codes that answer "why was I signed out?".

use std::fmt;
use std::str::FromStr;

/// Why a session ended. Its [code](EndReason::code) is the same in the store, the answer, the event and the metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EndReason {
    /// A spent refresh token came back and proved that two parties hold the chain.
    ReuseDetected,
    /// The user signed this session out.
    SignedOut,
    /// The user ended this session from another one.
    SignedOutElsewhere,
    /// The user's password was changed in another session.
    PasswordChanged,
    /// The user had more sessions than the policy allows.
    SessionLimit,
    /// The account was deleted.
    UserDeleted,
    /// The store had lost a write, and the policy `on_rollback = "end"` ends such sessions.
    RolledBack,
    /// An operator ended it.
    EndedByOperator,
}

impl EndReason {
    /// Every reason, for lists that must be complete.
    pub const ALL: [Self; 8] = [
        Self::ReuseDetected,
        Self::SignedOut,
        Self::SignedOutElsewhere,
        Self::PasswordChanged,
        Self::SessionLimit,
        Self::UserDeleted,
        Self::RolledBack,
        Self::EndedByOperator,
    ];

    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::ReuseDetected => "reuse_detected",
            Self::SignedOut => "signed_out",
            Self::SignedOutElsewhere => "signed_out_elsewhere",
            Self::PasswordChanged => "password_changed",
            Self::SessionLimit => "session_limit",
            Self::UserDeleted => "user_deleted",
            Self::RolledBack => "rolled_back",
            Self::EndedByOperator => "ended_by_operator",
        }
    }

    /// What to tell the person.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::ReuseDetected => "A spent refresh token was presented again, so the session was ended for safety.",
            Self::SignedOut => "The session was signed out.",
            Self::SignedOutElsewhere => "The session was ended from another of the user's sessions.",
            Self::PasswordChanged => "The password was changed, which ended the user's other sessions.",
            Self::SessionLimit => "The user signed in on more devices than allowed, which ended this session.",
            Self::UserDeleted => "The account was deleted.",
            Self::RolledBack => "The store had lost a write of this session, so the session was ended for safety.",
            Self::EndedByOperator => "An operator ended the session.",
        }
    }
}

impl FromStr for EndReason {
    type Err = UnknownReason;

    fn from_str(code: &str) -> Result<Self, UnknownReason> {
        Self::ALL.into_iter().find(|reason| reason.code() == code).ok_or(UnknownReason)
    }
}

/// A stored reason code that this version does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown reason code")]
pub struct UnknownReason;

/// Why an *authentic* token was refused. (Text that is not authentic gets no reason.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The session is not in the store: swept long ago, or deleted with its user.
    Unknown,
    /// The session ended, for this reason.
    Ended(EndReason),
    /// The session reached its absolute end.
    SessionExpired,
    /// The token was not refreshed for longer than its idle lifetime.
    Expired,
    /// A late duplicate of a token that was spent properly; the session lives on with its newer token.
    Superseded,
}

impl Refusal {
    /// Every refusal, for lists that must be complete.
    pub fn all() -> impl Iterator<Item = Self> {
        [Self::Unknown, Self::SessionExpired, Self::Expired, Self::Superseded]
            .into_iter()
            .chain(EndReason::ALL.into_iter().map(Self::Ended))
    }

    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Unknown => "unknown_session",
            Self::Ended(reason) => reason.code(),
            Self::SessionExpired => "session_expired",
            Self::Expired => "expired",
            Self::Superseded => "superseded",
        }
    }

    /// What to tell the person.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Unknown => "The session is not known (any more).",
            Self::Ended(reason) => reason.sentence(),
            Self::SessionExpired => "The session reached the longest age that is allowed.",
            Self::Expired => "The token was not used for longer than its lifetime.",
            Self::Superseded => "This token was already exchanged for a newer one; use the newer one.",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn codes_are_distinct_and_come_back() {
        let codes: HashSet<_> = Refusal::all().map(Refusal::code).collect();
        assert_eq!(codes.len(), Refusal::all().count());
        for reason in EndReason::ALL {
            assert_eq!(reason.code().parse(), Ok(reason));
        }
        assert_eq!("nonsense".parse::<EndReason>(), Err(UnknownReason));
    }
}
