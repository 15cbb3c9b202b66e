//! What happened to a session and to its user's account, kept for a while: the answer to "what was that?".
//!
//! Deliberately absent: secrets, and whatever happens all the time. A rotation only moves the session's last refresh on; a
//! check of an access token leaves nothing behind.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

use crate::event::Event;
use crate::ids::{SessionId, UserId};
use crate::reason::{EndReason, Refusal, UnknownReason};
use crate::session::{Session, Status};
use crate::time::Timestamp;

/// Where a request came from: shown, logged, and counted where requests are limited.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// The `User-Agent` header, cut to [`Device::MAX_USER_AGENT`](crate::session::Device::MAX_USER_AGENT) bytes.
    pub user_agent: Option<String>,
    /// The address that the request came from, as far as proxies are believed that told it.
    pub ip: Option<String>,
}

/// One line of a history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Whose.
    pub user: UserId,
    /// Of which session; `None`: of the account.
    pub session: Option<SessionId>,
    /// When.
    pub at: Timestamp,
    /// What.
    pub what: What,
    /// Where the request came from.
    pub from: Origin,
}

/// What happened. Its [code](What::code) is the same in the store and in the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum What {
    /// The session was opened.
    Opened,
    /// A sign-in with the user's address failed. Of the account.
    SignInFailed,
    /// The user's password was changed. Of the account.
    PasswordChanged,
    /// A spent token was answered with the current one again.
    Replayed,
    /// A late duplicate was refused.
    Superseded,
    /// A late predecessor was granted a further successor.
    Reissued,
    /// The client was ahead of the store, and its generation was adopted.
    Healed,
    /// A spent token proved that two parties hold the chain.
    ReuseSeen,
    /// The session ended.
    Ended(EndReason),
}

impl What {
    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::SignInFailed => "sign_in_failed",
            Self::PasswordChanged => "password_changed",
            Self::Replayed => "replayed",
            Self::Superseded => "superseded",
            Self::Reissued => "reissued",
            Self::Healed => "healed",
            Self::ReuseSeen => "reuse_seen",
            Self::Ended(_) => "ended",
        }
    }

    /// Why, where it is an end.
    pub const fn reason(self) -> Option<EndReason> {
        match self {
            Self::Ended(reason) => Some(reason),
            _ => None,
        }
    }

    /// What to tell the person.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Opened => "The session was opened by a sign-in.",
            Self::SignInFailed => "Somebody tried to sign in with a wrong password.",
            Self::PasswordChanged => "The password was changed.",
            Self::Replayed => "A refresh was repeated, and got the same answer again.",
            Self::Superseded => "A late duplicate of an earlier refresh was refused; the session went on.",
            Self::Reissued => "A spent refresh token came back late; its unused successor was replaced.",
            Self::Healed => "The store had lost writes, and the client's newer refresh token was adopted.",
            Self::ReuseSeen => "A spent refresh token was presented again: two parties held it.",
            Self::Ended(reason) => reason.sentence(),
        }
    }

    /// From its code and, for an end, its reason's code, as stored.
    ///
    /// # Errors
    /// [`UnknownReason`]: no version up to this one has written that.
    pub fn from_codes(code: &str, reason: Option<&str>) -> Result<Self, UnknownReason> {
        match (code, reason) {
            ("ended", Some(reason)) => reason.parse().map(Self::Ended),
            (code, None) => code.parse(),
            _ => Err(UnknownReason),
        }
    }

    /// Every one that is not an end.
    const SIMPLE: [Self; 8] = [
        Self::Opened,
        Self::SignInFailed,
        Self::PasswordChanged,
        Self::Replayed,
        Self::Superseded,
        Self::Reissued,
        Self::Healed,
        Self::ReuseSeen,
    ];

    /// Every one, for lists that must be complete.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::SIMPLE.into_iter().chain(EndReason::ALL.into_iter().map(Self::Ended))
    }
}

impl FromStr for What {
    type Err = UnknownReason;

    /// Those that are not an end: that has a reason beside its code.
    fn from_str(code: &str) -> Result<Self, UnknownReason> {
        Self::SIMPLE.into_iter().find(|what| what.code() == code).ok_or(UnknownReason)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Entry {
    /// How many of one kind are kept of one session, and of one account: the latest. Whoever repeats one thing all day fills
    /// no disk with it, and pushes nothing else out.
    pub const MAX_OF_A_KIND: u16 = 50;

    /// What goes into the history for an event of this user. Empty: what happens all the time, what happens to nobody, and
    /// the end of an account, with which its history goes.
    pub fn of(event: &Event, user: UserId, at: Timestamp, from: &Origin) -> Vec<Self> {
        let entry = |session, what| Self { user, session, at, what, from: from.clone() };
        let of_session = |session, what| vec![entry(Some(session), what)];
        match *event {
            Event::SessionOpened { session, .. } => of_session(session, What::Opened),
            Event::SignInFailed { .. } => vec![entry(None, What::SignInFailed)],
            Event::PasswordChanged { .. } => vec![entry(None, What::PasswordChanged)],
            Event::Replayed { session, .. } => of_session(session, What::Replayed),
            Event::Reissued { session, .. } => of_session(session, What::Reissued),
            Event::Healed { session, .. } => of_session(session, What::Healed),
            Event::Refused { session: Some(session), why: Refusal::Superseded } => {
                of_session(session, What::Superseded)
            }
            Event::Ended { session, reason: reason @ EndReason::ReuseDetected } => {
                vec![entry(Some(session), What::ReuseSeen), entry(Some(session), What::Ended(reason))]
            }
            Event::Ended { session, reason } if reason != EndReason::UserDeleted => {
                of_session(session, What::Ended(reason))
            }
            Event::UserRegistered { .. }
            | Event::Rotated { .. }
            | Event::Refused { .. }
            | Event::Ended { .. }
            | Event::UserDeleted { .. }
            | Event::Limited { .. }
            | Event::HistoryLost { .. } => Vec::new(),
        }
    }

    /// What a session's own record tells: that it was opened and, if so, that it ended.
    pub fn of_record(session: &Session) -> Vec<Self> {
        let Session { id, user, created_at, device, status, .. } = session;
        let entry = |at, what, from| Self { user: *user, session: Some(*id), at, what, from };
        let mut entries = vec![entry(*created_at, What::Opened, device.origin())];
        if let Status::Ended { at, reason } = *status {
            entries.push(entry(at, What::Ended(reason), Origin::default()));
        }
        entries
    }

    /// Of all that it says: so the same entry, kept twice, is one.
    pub fn id(&self) -> [u8; 16] {
        let mut hash = Sha256::new();
        let mut put = |part: Option<&[u8]>| {
            hash.update(part.map_or(u64::MAX, |part| part.len() as u64).to_be_bytes());
            hash.update(part.unwrap_or_default());
        };
        put(Some(self.user.as_bytes()));
        put(self.session.as_ref().map(|session| &session.as_bytes()[..]));
        put(Some(&self.at.millis().to_be_bytes()));
        put(Some(self.what.code().as_bytes()));
        put(self.what.reason().map(|reason| reason.code().as_bytes()));
        put(self.from.ip.as_deref().map(str::as_bytes));
        put(self.from.user_agent.as_deref().map(str::as_bytes));
        let mut id = [0; 16];
        id.copy_from_slice(&hash.finalize()[..16]);
        id
    }

    /// As the story goes: of what happened in one millisecond, an end comes last.
    pub fn sort(entries: &mut [Self]) {
        entries.sort_by_key(|entry| (entry.at, order(entry.what), entry.id()));
    }
}

const fn order(what: What) -> u8 {
    match what {
        What::Opened => 0,
        What::Ended(_) => 3,
        What::ReuseSeen => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn entry() -> Entry {
        Entry {
            user: UserId::from_bytes([1; 16]),
            session: Some(SessionId::from_bytes([2; 16])),
            at: Timestamp::from_millis(3),
            what: What::Ended(EndReason::SignedOut),
            from: Origin { user_agent: Some("curl/8".into()), ip: None },
        }
    }

    #[test]
    fn codes_are_distinct_and_come_back() {
        let codes: HashSet<_> = What::all().map(|what| (what.code(), what.reason())).collect();
        assert_eq!(codes.len(), What::all().count());
        assert_eq!(codes.len(), What::SIMPLE.len() + EndReason::ALL.len());
        for what in What::all() {
            assert_eq!(What::from_codes(what.code(), what.reason().map(EndReason::code)), Ok(what));
        }
        for (code, reason) in
            [("ended", None), ("ended", Some("bored")), ("replayed", Some("signed_out")), ("", None), ("Opened", None)]
        {
            assert_eq!(What::from_codes(code, reason), Err(UnknownReason), "{code} {reason:?}");
        }
    }

    #[test]
    fn an_id_is_of_all_that_an_entry_says() {
        let other = |change: fn(&mut Entry)| {
            let mut entry = entry();
            change(&mut entry);
            entry.id()
        };
        let ids = [
            entry().id(),
            other(|e| e.user = UserId::from_bytes([9; 16])),
            other(|e| e.session = None),
            other(|e| e.at = Timestamp::from_millis(4)),
            other(|e| e.what = What::Replayed),
            other(|e| e.what = What::Ended(EndReason::SessionLimit)),
            other(|e| e.from.user_agent = None),
            other(|e| e.from.user_agent = Some(String::new())),
            other(|e| e.from = Origin { user_agent: None, ip: Some("curl/8".into()) }),
        ];
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len());
        assert_eq!(entry().id(), entry().clone().id());
    }

    #[test]
    fn reuse_is_seen_before_it_ends_the_session() {
        let event = Event::Ended { session: SessionId::from_bytes([2; 16]), reason: EndReason::ReuseDetected };
        let mut entries = Entry::of(&event, entry().user, entry().at, &Origin::default());
        entries.reverse();
        Entry::sort(&mut entries);
        let whats: Vec<_> = entries.iter().map(|entry| entry.what).collect();
        assert_eq!(whats, [What::ReuseSeen, What::Ended(EndReason::ReuseDetected)]);
    }
}
