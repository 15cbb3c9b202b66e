//! What the operator may choose. Plain values: reading and checking them is the settings' work.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::refresh_token::Lifetime;

/// How refresh tokens behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefreshPolicy {
    /// Whether a refresh replaces the refresh token. `false`: the same token stays valid until it expires.
    pub rotate: bool,
    /// Idle lifetime: a token that is not refreshed for so long is expired.
    pub ttl: Duration,
    /// The same, where the person asked to be remembered.
    pub remembered_ttl: Duration,
    /// For how long after a rotation the spent token is answered with its successor again.
    pub replay_window: Duration,
    /// Only the retry key proves that the same party asks again; the window does not.
    pub strict: bool,
    /// What the predecessor of an unused token gets when it comes back after the window.
    pub after_window: AfterWindow,
    /// What happens when a client proves that the store has lost a write.
    pub on_rollback: OnRollback,
}

impl RefreshPolicy {
    /// The longest replay window that settings accept.
    pub const MAX_REPLAY_WINDOW: Duration = Duration::from_mins(5);

    /// The idle lifetime of such a session.
    pub const fn idle(&self, lifetime: Lifetime) -> Duration {
        match lifetime {
            Lifetime::Usual => self.ttl,
            Lifetime::Remembered => self.remembered_ttl,
        }
    }
}

/// See [`RefreshPolicy::after_window`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterWindow {
    /// The session ends as reuse.
    End,
    /// The unused successor dies and a further one is derived.
    Reissue,
}

/// See [`RefreshPolicy::on_rollback`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnRollback {
    /// The client's newer generation is adopted.
    Heal,
    /// The session ends.
    End,
}

/// How sessions are limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionPolicy {
    /// Absolute lifetime: no refresh prolongs a session beyond it.
    pub max_age: Duration,
    /// The same, where the person asked to be remembered.
    pub remembered_max_age: Duration,
    /// Most sessions a user may have at once; `None` is no limit.
    pub max_per_user: Option<NonZeroU32>,
    /// What a sign-in beyond the limit does.
    pub when_full: WhenFull,
}

impl SessionPolicy {
    /// The absolute lifetime of such a session.
    pub const fn age(&self, lifetime: Lifetime) -> Duration {
        match lifetime {
            Lifetime::Usual => self.max_age,
            Lifetime::Remembered => self.remembered_max_age,
        }
    }
}

/// See [`SessionPolicy::when_full`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    /// The sign-in is refused.
    Deny,
    /// The session that was opened first ends.
    EndOldest,
    /// The session that was refreshed least recently ends.
    EndLeastRecent,
}

/// How access tokens are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccessPolicy {
    /// Lifetime of an access token.
    pub ttl: Duration,
    /// Whether access tokens carry the user's e-mail address.
    pub email_claim: bool,
    /// How they are kept, where the store keeps their hashes; `None`: they are signed, and nothing is kept.
    pub kept: Option<KeptAccessPolicy>,
}

/// How access tokens are kept by the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeptAccessPolicy {
    /// Length in bytes of their secrets.
    pub secret_len: usize,
    /// For how long the access token that a refresh has replaced is still accepted; zero: not at all.
    pub grace: Duration,
}

/// What is told of a session's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryPolicy {
    /// For how long an entry is told, and kept.
    pub retention: Duration,
}

/// What passwords are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PasswordPolicy {
    /// Fewest characters (Unicode scalar values) of a new password.
    pub min_length: usize,
}
