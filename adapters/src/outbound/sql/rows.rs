//! Rows become domain values here, or are told to be impossible.

use regrant_domain::access_token::KeptAccess;
use regrant_domain::reason::EndReason;
use regrant_domain::refresh_token::{Generation, Held, LookupKey, Recent, TokenState};
use regrant_domain::secret::SecretHash;
use regrant_domain::session::{Device, Session, Snapshot, Status};
use regrant_domain::time::Timestamp;
use regrant_domain::user::{Email, Epoch, PasswordHash, User};
use uuid::Uuid;

/// A row that no version of this program could have written: someone must look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{table} {id}: {fault}")]
pub struct ImpossibleRow {
    /// Where.
    pub table: &'static str,
    /// Which row.
    pub id: Uuid,
    /// What cannot be.
    pub fault: &'static str,
}

/// A session's row and its refresh token's row, column by column. Instants are milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawSession {
    /// `sessions.id`
    pub id: Uuid,
    /// `sessions.user_id`
    pub user: Uuid,
    /// `sessions.created_at`
    pub created_at: i64,
    /// `sessions.ends_at`
    pub ends_at: i64,
    /// `sessions.label`
    pub label: Option<String>,
    /// `sessions.user_agent`
    pub user_agent: Option<String>,
    /// `sessions.ip`
    pub ip: Option<String>,
    /// `sessions.ended_at`
    pub ended_at: Option<i64>,
    /// `sessions.end_reason`
    pub end_reason: Option<String>,
    /// `sessions.access_token`
    pub access_token: Option<Vec<u8>>,
    /// `sessions.access_token_expires_at`
    pub access_token_expires_at: Option<i64>,
    /// `refresh_tokens.token`
    pub lookup: String,
    /// `refresh_tokens.session_ends_at`
    pub session_ends_at: i64,
    /// `refresh_tokens.revoked_at`
    pub revoked_at: Option<i64>,
    /// `refresh_tokens.expires_at`
    pub expires_at: i64,
    /// `refresh_tokens.generation`
    pub generation: i64,
    /// `refresh_tokens.secret_hash`
    pub secret_hash: Vec<u8>,
    /// `refresh_tokens.recent`
    pub recent: Vec<u8>,
}

impl TryFrom<RawSession> for Snapshot {
    type Error = ImpossibleRow;

    fn try_from(row: RawSession) -> Result<Self, ImpossibleRow> {
        let fault = |fault| ImpossibleRow { table: "session", id: row.id, fault };
        if row.revoked_at != row.ended_at {
            return Err(fault("the session and its refresh token do not agree on when they ended"));
        }
        if row.session_ends_at != row.ends_at {
            return Err(fault("the session and its refresh token do not agree on the session's end"));
        }
        let status = match (row.ended_at, row.end_reason.as_deref()) {
            (None, None) => Status::Live,
            (Some(at), Some(code)) => Status::Ended {
                at: instant(at).ok_or(fault("ended_at is out of range"))?,
                reason: code.parse::<EndReason>().map_err(|_| fault("end_reason is not a code of this version"))?,
            },
            (Some(_), None) => return Err(fault("ended without a reason")),
            (None, Some(_)) => return Err(fault("a reason to have ended, without an end")),
        };
        let access = match (row.access_token.as_deref(), row.access_token_expires_at) {
            (None, None) => None,
            (Some(hash), Some(at)) => Some(KeptAccess {
                hash: hash_of(hash).ok_or(fault("access_token is not 32 bytes"))?,
                expires_at: instant(at).ok_or(fault("access_token_expires_at is out of range"))?,
            }),
            (Some(_), None) => return Err(fault("an access token that never expires")),
            (None, Some(_)) => return Err(fault("an expiry of no access token")),
        };
        let generation = u32::try_from(row.generation).map_err(|_| fault("generation is out of range"))?;
        let hash = hash_of(&row.secret_hash).ok_or(fault("secret_hash is not 32 bytes"))?;
        Ok(Self {
            session: Session {
                id: row.id.into(),
                user: row.user.into(),
                created_at: instant(row.created_at).ok_or(fault("created_at is out of range"))?,
                ends_at: instant(row.ends_at).ok_or(fault("ends_at is out of range"))?,
                device: Device { label: row.label, user_agent: row.user_agent, ip: row.ip },
                status,
            },
            lookup: LookupKey::stored(row.lookup),
            token: TokenState {
                held: Held { generation: Generation(generation), hash },
                expires_at: instant(row.expires_at).ok_or(fault("expires_at is out of range"))?,
                recent: Recent::from_bytes(&row.recent).map_err(|_| fault("recent is not whole entries"))?,
                access,
            },
        })
    }
}

fn hash_of(bytes: &[u8]) -> Option<SecretHash> {
    bytes.try_into().ok().map(SecretHash::from_bytes)
}

/// A user's row, column by column. Instants are milliseconds since 1970.
#[derive(Clone, PartialEq, Eq)]
pub struct RawUser {
    /// `users.id`
    pub id: Uuid,
    /// `users.email`
    pub email: String,
    /// `users.password_hash`
    pub password_hash: String,
    /// `users.session_epoch`
    pub epoch: i64,
    /// `users.created_at`
    pub created_at: i64,
    /// `users.updated_at`
    pub updated_at: i64,
}

impl TryFrom<RawUser> for User {
    type Error = ImpossibleRow;

    fn try_from(row: RawUser) -> Result<Self, ImpossibleRow> {
        let fault = |fault| ImpossibleRow { table: "user", id: row.id, fault };
        let email = Email::parse(&row.email).map_err(|_| fault("email is not an address"))?;
        if email.as_str() != row.email {
            return Err(fault("email is not in lower case"));
        }
        Ok(Self {
            id: row.id.into(),
            email,
            password_hash: PasswordHash::new(row.password_hash),
            epoch: Epoch(row.epoch),
            created_at: instant(row.created_at).ok_or(fault("created_at is out of range"))?,
            updated_at: instant(row.updated_at).ok_or(fault("updated_at is out of range"))?,
        })
    }
}

/// [`Timestamp::from_millis`] would move an instant that is out of range to the nearest end of it.
pub(super) fn instant(millis: i64) -> Option<Timestamp> {
    Some(Timestamp::from_millis(millis)).filter(|at| at.millis() == millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> RawSession {
        RawSession {
            id: Uuid::from_bytes([1; 16]),
            user: Uuid::from_bytes([2; 16]),
            created_at: 1,
            ends_at: 9,
            label: None,
            user_agent: None,
            ip: None,
            ended_at: None,
            end_reason: None,
            access_token: None,
            access_token_expires_at: None,
            lookup: "key".into(),
            session_ends_at: 9,
            revoked_at: None,
            expires_at: 8,
            generation: i64::from(u32::MAX),
            secret_hash: vec![3; 32],
            recent: vec![0; 28],
        }
    }

    #[test]
    fn a_row_that_can_be_becomes_a_session() {
        assert!(Snapshot::try_from(row()).is_ok());
        let ended =
            RawSession { ended_at: Some(5), revoked_at: Some(5), end_reason: Some("signed_out".into()), ..row() };
        let status = Snapshot::try_from(ended).map(|snapshot| snapshot.session.status);
        assert_eq!(status, Ok(Status::Ended { at: Timestamp::from_millis(5), reason: EndReason::SignedOut }));
    }

    #[test]
    fn a_row_that_cannot_be_is_told() {
        let reason = || Some("signed_out".to_owned());
        let late = Timestamp::MAX.millis() + 1;
        for impossible in [
            RawSession { ended_at: Some(5), revoked_at: Some(5), ..row() },
            RawSession { end_reason: reason(), ..row() },
            RawSession { ended_at: Some(5), revoked_at: Some(5), end_reason: Some("bored".into()), ..row() },
            RawSession { ended_at: Some(5), end_reason: reason(), ..row() },
            RawSession { revoked_at: Some(5), ..row() },
            RawSession { ended_at: Some(5), revoked_at: Some(6), end_reason: reason(), ..row() },
            RawSession { session_ends_at: 10, ..row() },
            RawSession { generation: -1, ..row() },
            RawSession { generation: i64::from(u32::MAX) + 1, ..row() },
            RawSession { secret_hash: vec![3; 31], ..row() },
            RawSession { recent: vec![0; 27], ..row() },
            RawSession { recent: vec![0; 140], ..row() },
            RawSession { access_token: Some(vec![3; 32]), ..row() },
            RawSession { access_token_expires_at: Some(5), ..row() },
            RawSession { access_token: Some(vec![3; 31]), access_token_expires_at: Some(5), ..row() },
            RawSession { access_token: Some(vec![3; 32]), access_token_expires_at: Some(late), ..row() },
            RawSession { created_at: -1, ..row() },
            RawSession { expires_at: late, ..row() },
            RawSession { ends_at: late, session_ends_at: late, ..row() },
        ] {
            assert!(Snapshot::try_from(impossible.clone()).is_err(), "{impossible:?}");
        }
    }

    #[test]
    fn a_user_whose_address_could_never_be_found_is_told() {
        let row = |email: &str| RawUser {
            id: Uuid::nil(),
            email: email.into(),
            password_hash: String::new(),
            epoch: 0,
            created_at: 0,
            updated_at: 0,
        };
        assert!(User::try_from(row("ada@example.org")).is_ok());
        for email in ["", "Ada@example.org", "ada"] {
            assert!(User::try_from(row(email)).is_err(), "{email}");
        }
        assert!(User::try_from(RawUser { updated_at: -1, ..row("ada@example.org") }).is_err());
    }
}
