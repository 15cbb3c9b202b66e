//! What the domain needs of the world. Each port is a list of numbered promises, and each promise is a test of the
//! contract suite that every adapter runs.

use async_trait::async_trait;

pub use self::{background::*, history::HistoryRepository, limits::*};
pub use crate::event::Event;

use crate::access_token::{AccessClaims, AccessGrant, AccessRefusal, AccessToken, KeptAccess};
use crate::history::Origin;
use crate::ids::{AccessTokenId, SessionId, UserId};
use crate::reason::EndReason;
use crate::refresh_token::{Held, LookupKey, Presented, Recent, RefreshToken, Spent, TokenState};
use crate::secret::{Secret, TokenText};
use crate::session::{Session, Snapshot};
use crate::time::Timestamp;
use crate::token_key::TokenKeyRing;
use crate::user::{Email, Password, PasswordHash, User};

mod background;
mod history;
mod limits;
#[cfg(any(test, feature = "testing"))]
pub use self::{background::MockBackground, history::MockHistoryRepository, limits::MockRateLimiter};

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A port could not find out, or could not do, what it was asked. Never a refusal.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// Away or overloaded: ask again later. Whether a write took place is not known.
    #[error("{what} is not available at the moment; try again")]
    Unavailable {
        /// Which part.
        what: &'static str,
        /// For the log.
        #[source]
        cause: Cause,
    },
    /// It holds something that cannot be: someone must look.
    #[error("{what} holds data that cannot be read")]
    Corrupt {
        /// Which part.
        what: &'static str,
        /// For the log.
        #[source]
        cause: Cause,
    },
}

impl PortError {
    /// Ask again later.
    pub fn unavailable(what: &'static str, cause: impl Into<Cause>) -> Self {
        Self::Unavailable { what, cause: cause.into() }
    }

    /// Someone must look.
    pub fn corrupt(what: &'static str, cause: impl Into<Cause>) -> Self {
        Self::Corrupt { what, cause: cause.into() }
    }
}

/// Where sessions and the state of their refresh tokens are kept.
///
/// 1. **First writer wins.** Of any number of simultaneous rotations of one generation, exactly one is
///    [`Rotated`](RotateOutcome::Rotated); the others are `NotCurrent` and leave no trace.
/// 2. **All or nothing**, across a kill at any point and a caller that goes away.
/// 3. **No clock.** Instants arrive as values and come back equal to the millisecond. Expired and ended rows are still
///    found until they are swept.
/// 4. **No secret.** A store sees hashes only.
/// 5. **No resurrection.** Nothing brings an ended or swept session back; the first reason stays.
/// 6. **Acknowledged is visible**: a write that was answered is seen by every later call, from any process.
#[cfg_attr(any(test, feature = "testing"), mockall::automock)]
#[async_trait]
pub trait SessionRepository: Send + Sync {
    /// Keeps a new session. Never overwrites one.
    async fn open(&self, new: NewSession) -> Result<OpenOutcome, PortError>;

    /// The session as it is, whether live, expired or ended; `None` if it is not there.
    async fn find(&self, key: &SessionKey) -> Result<Option<Snapshot>, PortError>;

    /// Replaces the current token, in one compare-and-set that applies only while all of this holds: the stored token
    /// is `rotation.from`, the session is live, and neither its end nor the token's idle expiry has been reached at
    /// `rotation.now`.
    async fn rotate(&self, rotation: Rotation) -> Result<RotateOutcome, PortError>;

    /// Ends one session, if it is live (and, where `only_while` is given, still holds that token).
    async fn end(&self, end: End) -> Result<EndOutcome, PortError>;

    /// Ends all live sessions of a user but one, and says which; a session that is opened meanwhile may be missed
    /// (see [`UserRepository::advance_epoch`]).
    async fn end_all(&self, end: EndAll) -> Result<Vec<SessionId>, PortError>;

    /// All sessions of a user that are still kept, live or not, in no particular order.
    async fn list(&self, user: UserId) -> Result<Vec<Snapshot>, PortError>;

    /// Removes every trace of a user's sessions.
    async fn forget_all(&self, user: UserId) -> Result<(), PortError>;

    /// Removes at most `limit` sessions that ended or expired (idle or absolute) at or before `cutoff`. `done` is true
    /// when none is left; until then, call again.
    async fn sweep(&self, cutoff: Timestamp, limit: u32) -> Result<Swept, PortError>;
}

/// How a session is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionKey {
    /// By the key of its refresh token.
    Lookup(LookupKey),
    /// By its public id.
    Id(SessionId),
}

/// A session to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSession {
    /// The session; its status is live.
    pub session: Session,
    /// Under which key its refresh token is kept.
    pub lookup: LookupKey,
    /// Its first token.
    pub token: TokenState,
}

/// Answer of [`SessionRepository::open`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenOutcome {
    /// Kept.
    Opened,
    /// The user does not exist (any more). Only stores that keep users too can tell.
    NoSuchUser,
}

/// A compare-and-set of a session's refresh token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    /// Which.
    pub lookup: LookupKey,
    /// What must be stored for it to apply.
    pub from: Held,
    /// What is stored instead.
    pub to: Held,
    /// What becomes of `recent`.
    pub spends: Spends,
    /// The instant of the request; becomes `updated_at`.
    pub now: Timestamp,
    /// The new idle expiry; the store keeps the earlier of it and the session's end.
    pub idle_expires_at: Timestamp,
    /// The new access token, where stores keep its hash; of its expiry too, the store keeps the earlier.
    pub access: Option<KeptAccess>,
}

/// What a [`Rotation`] does to the stored [`Recent`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spends {
    /// Append this entry and keep the last four: nothing needs to be read first.
    Append(Spent),
    /// Replace it.
    Replace(Recent),
}

/// Answer of [`SessionRepository::rotate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RotateOutcome {
    /// Applied, by this call.
    Rotated(Rotated),
    /// Did not apply, and left no trace: the token is not the current one, the session is not live, it has expired,
    /// or it is not there. Read and decide.
    NotCurrent,
}

/// What an answer needs to know after a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotated {
    /// Whose session.
    pub user: UserId,
    /// The new token's idle expiry as stored.
    pub expires_at: Timestamp,
    /// The session's absolute end.
    pub ends_at: Timestamp,
}

/// An end of one session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// Which.
    pub session: SessionKey,
    /// Why.
    pub reason: EndReason,
    /// When.
    pub at: Timestamp,
    /// Apply only while this token is current; `None`: in any case.
    pub only_while: Option<Held>,
}

/// Answer of [`SessionRepository::end`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndOutcome {
    /// Ended, by this call.
    Ended,
    /// Had ended before; its reason and instant stay.
    AlreadyEnded,
    /// Holds another token than the one decided upon; nothing changed.
    Moved,
    /// Not there.
    NotFound,
}

/// An end of a user's sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndAll {
    /// Whose.
    pub user: UserId,
    /// The one that lives on.
    pub but: Option<SessionId>,
    /// Why.
    pub reason: EndReason,
    /// When.
    pub at: Timestamp,
}

/// Answer of [`SessionRepository::sweep`] and [`HistoryRepository::sweep`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Swept {
    /// How many were removed.
    pub removed: u64,
    /// Whether nothing is left to remove.
    pub done: bool,
}

/// Where users are kept.
///
/// 1. **An address belongs to one user.** Of simultaneous additions of one address, one is `Added`.
/// 2. **All or nothing**, and instants come back equal to the millisecond.
/// 3. **An epoch only grows.**
/// 4. **Acknowledged is visible**, as for sessions.
#[cfg_attr(any(test, feature = "testing"), mockall::automock)]
#[async_trait]
pub trait UserRepository: Send + Sync {
    /// Keeps a new user.
    async fn add(&self, user: User) -> Result<AddUserOutcome, PortError>;

    /// The user with this id, if there is one.
    async fn find(&self, id: UserId) -> Result<Option<User>, PortError>;

    /// The user with this address, if there is one.
    async fn find_by_email(&self, email: &Email) -> Result<Option<User>, PortError>;

    /// Replaces the password hash while it is still `change.from`. Says whether it did.
    async fn set_password(&self, change: PasswordChange) -> Result<bool, PortError>;

    /// Adds one to the user's epoch: a sign-in that read the epoch before notices that it was overtaken. Says whether
    /// the user exists.
    async fn advance_epoch(&self, id: UserId, now: Timestamp) -> Result<bool, PortError>;

    /// Removes the user (and, where the same store keeps sessions, every session). Says whether there was one.
    async fn delete(&self, id: UserId) -> Result<bool, PortError>;
}

/// Answer of [`UserRepository::add`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddUserOutcome {
    /// Kept.
    Added,
    /// Another user has this address.
    EmailTaken,
}

/// A change of a stored password hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordChange {
    /// Whose.
    pub user: UserId,
    /// What must be stored for it to apply.
    pub from: PasswordHash,
    /// What is stored instead.
    pub to: PasswordHash,
    /// When; becomes `updated_at`.
    pub now: Timestamp,
    /// Whether the epoch goes up with it: true for a new password, false for a better hash of the same one.
    pub advance_epoch: bool,
}

/// A store whose content can be carried to another, by the operator, in batches ordered by id.
///
/// 1. **Nothing is lowered.** Keeping a session again never takes a generation back and never brings an ended session to
///    life, so a copy can be repeated.
/// 2. **Nothing is lost**: what is read here and kept there comes back equal.
#[cfg_attr(any(test, feature = "testing"), mockall::automock)]
#[async_trait]
pub trait Portable: Send + Sync {
    /// How many users and sessions there are, for a progress bar.
    async fn count(&self) -> Result<Counted, PortError>;

    /// At most `limit` users with ids after `after`, in the order of their ids; empty at the end.
    async fn users_after(&self, after: Option<UserId>, limit: u32) -> Result<Vec<User>, PortError>;

    /// At most `limit` sessions with ids after `after`, in the order of their ids; empty at the end.
    async fn sessions_after(&self, after: Option<SessionId>, limit: u32) -> Result<Vec<Snapshot>, PortError>;

    /// Keeps users; one that is there already is replaced if it was changed later than the one that is there. Says how
    /// many were refused because another user has their address.
    async fn keep_users(&self, users: Vec<User>) -> Result<u64, PortError>;

    /// Adds those users whose id and address are both free, and leaves every user who is there as it is. No two of
    /// `users` have the same id or address. Says who was added; nobody, where the store keeps no users.
    async fn add_users(&self, users: Vec<User>) -> Result<Vec<UserId>, PortError>;

    /// Keeps sessions; one that is there already is replaced only by a later generation, or by an end. Sessions of
    /// users that are not there are left out; says how many.
    async fn keep_sessions(&self, sessions: Vec<Snapshot>) -> Result<u64, PortError>;
}

/// Answer of [`Portable::count`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counted {
    /// Users; 0 where the store keeps none.
    pub users: u64,
    /// Sessions, live or not; 0 where the store keeps none.
    pub sessions: u64,
}

/// Makes and checks access tokens.
///
/// 1. Only what it made itself, of its own issuer, audience and type, and before its expiry, is accepted.
/// 2. The token's own header never chooses the algorithm or the key's source.
#[cfg_attr(any(test, feature = "testing"), mockall::automock)]
pub trait AccessTokens: Send + Sync {
    /// Makes one.
    fn issue(&self, grant: &AccessGrant) -> Result<AccessToken, PortError>;

    /// Checks one against `now`.
    fn verify(&self, text: &str, now: Timestamp) -> Result<AccessClaims, AccessRefusal>;
}

/// Refresh tokens to text and back.
///
/// 1. What it encodes, it decodes to the same token.
/// 2. Any other text, if only one byte differs, is [`NotAuthentic`] (in formats that carry proof), before any store is
///    asked.
/// 3. The same token is encoded to the same text.
#[cfg_attr(any(test, feature = "testing"), mockall::automock)]
pub trait TokenCodec: Send + Sync {
    /// Length in bytes of the secrets of this format.
    fn secret_len(&self) -> usize;

    /// The token as the client gets it.
    fn encode(&self, token: &RefreshToken, facts: &TokenFacts) -> Result<TokenText, PortError>;

    /// Reads a text and proves that this deployment issued it.
    fn decode(&self, text: &str) -> Result<Presented, NotAuthentic>;

    /// The name that it writes into this token beside its secret (`jti`), in formats that have one.
    fn id_of(&self, token: &RefreshToken) -> Option<uuid::Uuid> {
        let _ = token;
        None
    }

    /// Under which key a store keeps a token of this format.
    fn lookup(&self, token: &RefreshToken) -> LookupKey;

    /// The keys that tokens are made with.
    fn ring(&self) -> std::sync::Arc<TokenKeyRing>;
}

/// What some formats write into a token beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenFacts {
    /// Whose.
    pub user: UserId,
    /// Idle expiry of this token.
    pub expires_at: Timestamp,
}

/// The text was not issued by this deployment. It gets no reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a token of this service")]
pub struct NotAuthentic;

/// Hashes and checks passwords, at a bounded number at once.
///
/// 1. A check against nothing costs as much as one against a hash, so that no answer tells whether an account exists.
/// 2. A stored hash that cannot be read is a password that differs, never a panic.
#[cfg_attr(any(test, feature = "testing"), mockall::automock)]
#[async_trait]
pub trait Passwords: Send + Sync {
    /// Hashes a new password. [`PortError::Unavailable`] when too many are waiting.
    async fn hash(&self, password: Password) -> Result<PasswordHash, PortError>;

    /// Checks a password against a stored hash, or against none. Hands the password back for a better hash of it.
    async fn verify(&self, password: Password, stored: Option<PasswordHash>) -> Result<Verdict, PortError>;
}

/// Answer of [`Passwords::verify`].
#[derive(Debug)]
pub enum Verdict {
    /// The right password, and its hash is as it should be.
    Matches,
    /// The right password, but its hash is weaker than today's: here is a better one.
    MatchesWeakly(PasswordHash),
    /// The wrong password, or there is nothing to compare with.
    Differs,
}

/// Reads password hashes that other software made, before they are kept.
///
/// 1. What it accepts can be checked by [`Passwords::verify`], at a bounded cost; what it refuses would be a password
///    that differs at every sign-in.
#[cfg_attr(any(test, feature = "testing"), mockall::automock)]
pub trait ForeignHashes: Send + Sync {
    /// Reads one, without a password.
    fn accept(&self, text: &str) -> Result<PasswordHash, UnusableHash>;
}

/// Why a hash of other software cannot be used: the end of a sentence, in which nothing of the hash is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the password hash cannot be used: {0}")]
pub struct UnusableHash(pub &'static str);

/// The one source of the time. It follows the store's clock, so that servers whose clocks disagree decide alike.
#[cfg_attr(any(test, feature = "testing"), mockall::automock)]
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// The one source of identifiers.
#[cfg_attr(any(test, feature = "testing"), mockall::automock)]
pub trait Ids: Send + Sync {
    /// For a new user.
    fn user(&self) -> UserId;
    /// For a new session.
    fn session(&self) -> SessionId;
    /// For a new access token.
    fn access_token(&self) -> AccessTokenId;
}

/// The one source of secrets: the operating system's generator.
#[cfg_attr(any(test, feature = "testing"), mockall::automock)]
pub trait Randomness: Send + Sync {
    /// `len` random bytes.
    fn secret(&self, len: usize) -> Result<Secret, PortError>;
}

/// Where it is told what happened: logs, metrics. Telling never fails and never holds a request up.
#[cfg_attr(any(test, feature = "testing"), mockall::automock)]
pub trait Events: Send + Sync {
    /// Tells one, and which request it was.
    fn record(&self, event: Event, from: &Origin);
}
