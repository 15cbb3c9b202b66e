//! What happened: for logs, metrics and history.

use crate::ids::{SessionId, UserId};
use crate::limit::Limit;
use crate::reason::{EndReason, Refusal};
use crate::refresh_token::Generation;

/// What happened. None carries a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A user registered.
    UserRegistered {
        /// Who.
        user: UserId,
    },
    /// A session was opened.
    SessionOpened {
        /// Whose.
        user: UserId,
        /// Which.
        session: SessionId,
    },
    /// A sign-in failed; `None`: nobody has that address.
    SignInFailed {
        /// Whose password it was not.
        user: Option<UserId>,
    },
    /// A refresh rotated the token.
    Rotated {
        /// Which session.
        session: SessionId,
        /// The new generation.
        generation: Generation,
    },
    /// A spent token was answered with the current one again.
    Replayed {
        /// Which session.
        session: SessionId,
        /// The current generation.
        generation: Generation,
    },
    /// A late predecessor was granted a further successor.
    Reissued {
        /// Which session.
        session: SessionId,
        /// The new generation.
        generation: Generation,
    },
    /// A client was ahead of the store, which had lost writes; its generation was adopted.
    Healed {
        /// Which session.
        session: SessionId,
        /// What the store had.
        stored: Generation,
        /// What the client had.
        presented: Generation,
    },
    /// An authentic refresh token was refused.
    Refused {
        /// Which session, where the token says so or it was found.
        session: Option<SessionId>,
        /// Why.
        why: Refusal,
    },
    /// A session ended.
    Ended {
        /// Which.
        session: SessionId,
        /// Why.
        reason: EndReason,
    },
    /// A password was changed.
    PasswordChanged {
        /// Whose.
        user: UserId,
    },
    /// An account was deleted.
    UserDeleted {
        /// Whose.
        user: UserId,
    },
    /// A request was refused because there were too many.
    Limited {
        /// By which limit.
        limit: Limit,
    },
    /// Something happened, and the history that it belongs to could not be written or completed.
    HistoryLost {
        /// Why, for the log.
        why: String,
    },
}
