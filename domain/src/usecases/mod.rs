//! What people do with Regrant, one module each. A refusal is a result; [`PortError`] means "could not find out".
//!
//! Deliberately absent: HTTP, text formats, concrete stores. Time is read once per request and handed inwards.

use std::sync::Arc;
use std::time::Duration;

use crate::access_token::{AccessGrant, AccessToken};
use crate::ids::{SessionId, UserId};
use crate::policy::{AccessPolicy, HistoryPolicy, PasswordPolicy, RefreshPolicy, SessionPolicy};
use crate::ports::{
    AccessTokens, Background, Clock, Events, HistoryRepository, Ids, Passwords, PortError, Randomness,
    SessionRepository, TokenCodec, UserRepository,
};
use crate::refresh_token::RefreshToken;
use crate::time::Timestamp;
use crate::user::Email;

pub mod account;
pub mod authenticate;
pub mod copy;
pub mod explain;
pub mod history;
pub mod import;
pub mod introspect;
pub mod limits;
pub mod operate;
pub mod ready;
pub mod refresh;
pub mod register;
pub mod revoke;
pub mod sessions;
pub mod sign_in;
pub mod sign_out;
pub mod sweep;
mod tell;

/// Every use case that a request can reach.
#[derive(Clone)]
pub struct UseCases {
    /// Sign up.
    pub register: register::Register,
    /// Sign in.
    pub sign_in: sign_in::SignIn,
    /// Refresh.
    pub refresh: refresh::Refresh,
    /// Who is calling?
    pub authenticate: authenticate::Authenticate,
    /// Revoke a refresh token.
    pub sign_out: sign_out::SignOut,
    /// Revoke a token of any kind.
    pub revoke: revoke::Revoke,
    /// What is a token worth?
    pub introspect: introspect::Introspect,
    /// The user's own account.
    pub account: account::Account,
    /// The user's own sessions.
    pub sessions: sessions::Sessions,
    /// What happened to them.
    pub history: history::History,
    /// Able to serve?
    pub ready: ready::Ready,
    /// Too many requests?
    pub admit: limits::Admit,
}

/// Everything that the operator may choose.
#[derive(Debug, Clone, Copy)]
pub struct Policies {
    /// Refresh tokens.
    pub refresh: RefreshPolicy,
    /// Access tokens.
    pub access: AccessPolicy,
    /// Sessions.
    pub session: SessionPolicy,
    /// Passwords.
    pub password: PasswordPolicy,
    /// Sign-ups with an address that is taken.
    pub taken_email: register::TakenEmail,
    /// Histories.
    pub history: HistoryPolicy,
}

impl UseCases {
    /// With these ports and policies.
    pub fn new(ports: &Ports, policies: &Policies) -> Self {
        let Policies { refresh, access, session, password, taken_email, history } = *policies;
        let sign_in = sign_in::SignInPolicy { refresh, access, session };
        Self {
            register: register::Register::new(ports.clone(), password, taken_email),
            sign_in: sign_in::SignIn::new(ports.clone(), sign_in),
            refresh: refresh::Refresh::new(ports.clone(), refresh, access),
            authenticate: authenticate::Authenticate::new(ports.clone(), access),
            sign_out: sign_out::SignOut::new(ports.clone()),
            revoke: revoke::Revoke::new(ports.clone(), access),
            introspect: introspect::Introspect::new(ports.clone(), policies),
            account: account::Account::new(ports.clone(), password),
            sessions: sessions::Sessions::new(ports.clone()),
            history: history::History::new(ports.clone(), history),
            ready: ready::Ready::new(ports.clone()),
            admit: limits::Admit::new(ports.clone()),
        }
    }
}

/// Everything that the use cases need of the world. Chosen once, at start.
#[derive(Clone)]
pub struct Ports {
    /// Users.
    pub users: Arc<dyn UserRepository>,
    /// Sessions and refresh tokens.
    pub sessions: Arc<dyn SessionRepository>,
    /// Access tokens.
    pub access_tokens: Arc<dyn AccessTokens>,
    /// Refresh tokens as text.
    pub codec: Arc<dyn TokenCodec>,
    /// Password hashing.
    pub passwords: Arc<dyn Passwords>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Identifiers.
    pub ids: Arc<dyn Ids>,
    /// Secrets.
    pub randomness: Arc<dyn Randomness>,
    /// Where events are told.
    pub events: Arc<dyn Events>,
    /// Histories of sessions and accounts.
    pub history: Arc<dyn HistoryRepository>,
    /// Work that no answer waits for.
    pub background: Arc<dyn Background>,
    /// How many requests are too many.
    pub limits: limits::Limits,
}

impl Ports {
    /// Makes an access token for a session, and says how long it lasts, in whole seconds: from `now` where it is kept;
    /// from the second of `now` where it is signed, as `exp` is counted from `iat`.
    fn grant_access(
        &self,
        policy: AccessPolicy,
        to: Grantee<'_>,
        now: Timestamp,
    ) -> Result<(AccessToken, Duration), PortError> {
        let kept = policy.kept.zip(to.of).map(|(kept, of)| self.codec.ring().access_secret(of, kept.secret_len));
        let from = if kept.is_some() { now } else { Timestamp::from_millis(now.seconds() * 1000) };
        let before = to.access_expires_at.filter(|_| kept.is_some());
        let access = self.access_tokens.issue(&AccessGrant {
            id: self.ids.access_token(),
            user: to.user,
            session: to.session,
            issued_at: now,
            expires_at: before.unwrap_or_else(|| now.plus(policy.ttl).min(to.ends_at)),
            email: to.email.filter(|_| policy.email_claim),
            kept,
        })?;
        let lasts = access.expires_at.since(from);
        Ok((access, Duration::from_secs(lasts.as_secs())))
    }
}

/// Who gets an access token.
struct Grantee<'a> {
    user: UserId,
    session: SessionId,
    ends_at: Timestamp,
    email: Option<Email>,
    /// The refresh token that it belongs to; `None` where that is bare, which goes with signed ones only.
    of: Option<&'a RefreshToken>,
    /// When it expires, where it was handed out before and its hash is kept.
    access_expires_at: Option<Timestamp>,
}
