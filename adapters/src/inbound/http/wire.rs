//! What travels: request bodies to proven types, and domain values to JSON.
//!
//! Deliberately absent: types that hold a secret and can be serialised. A token is borrowed for the moment in which its
//! answer is written.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use regrant_domain::history::Entry;
use regrant_domain::reason::{EndReason, Refusal};
use regrant_domain::refresh_token::Lifetime;
use regrant_domain::session::{Device, Session, Snapshot, Status};
use regrant_domain::time::Timestamp;
use regrant_domain::usecases::authenticate::Caller;
use regrant_domain::usecases::refresh::Granted;
use regrant_domain::usecases::sessions::Listed;
use regrant_domain::user::{Email, Password, User};
use serde::Serialize;
use utoipa::ToSchema;

use super::body::{Fields, FromFields};
use super::problem::Problem;

/// Room for the usual answer, a pair of tokens, so that writing it does not grow anything.
const USUAL_ANSWER: usize = 1024;

/// A body in JSON.
pub(super) struct Answer<T>(pub(super) T);

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        let mut body = Vec::with_capacity(USUAL_ANSWER);
        if let Err(error) = serde_json::to_writer(&mut body, &self.0) {
            tracing::error!(%error, "an answer cannot be written");
            return Problem::internal().into_response();
        }
        let json = HeaderValue::from_static("application/json");
        ([(header::CONTENT_TYPE, json)], body).into_response()
    }
}

/// `{email, password}`
#[derive(ToSchema)]
pub(super) struct SignUp {
    /// At most 254 bytes; letters count alike in either case.
    #[schema(value_type = String, max_length = 254)]
    pub(super) email: Email,
    /// As long as the operator asks for (usually 8 characters), and at most 1,024 bytes.
    #[schema(value_type = String)]
    pub(super) password: Password,
}

impl FromFields for SignUp {
    const FIELDS: &'static [&'static str] = &["email", "password"];

    fn from_fields(fields: &mut Fields) -> Result<Self, Problem> {
        Ok(Self { email: email(fields)?, password: password(fields, "password")? })
    }
}

/// `{email, password, label?, remember_me?}`
#[derive(ToSchema)]
pub(super) struct SignIn {
    /// Of the account.
    #[schema(value_type = String)]
    pub(super) email: Email,
    /// Of the account.
    #[schema(value_type = String)]
    pub(super) password: Password,
    /// The user's name for the device: at most 100 bytes, no control characters.
    pub(super) label: Option<String>,
    /// Whether the session lives as long as those of people who are remembered.
    #[schema(rename = "remember_me", value_type = Option<bool>)]
    pub(super) lifetime: Lifetime,
}

impl FromFields for SignIn {
    const FIELDS: &'static [&'static str] = &["email", "password", "label", "remember_me"];

    fn from_fields(fields: &mut Fields) -> Result<Self, Problem> {
        Ok(Self {
            email: email(fields)?,
            password: password(fields, "password")?,
            label: label(fields)?,
            lifetime: if fields.flag("remember_me")? { Lifetime::Remembered } else { Lifetime::Usual },
        })
    }
}

/// `{current_password, new_password}`
#[derive(ToSchema)]
pub(super) struct NewPassword {
    /// The one until now.
    #[schema(rename = "current_password", value_type = String)]
    pub(super) current: Password,
    /// The one from now on.
    #[schema(rename = "new_password", value_type = String)]
    pub(super) new: Password,
}

impl FromFields for NewPassword {
    const FIELDS: &'static [&'static str] = &["current_password", NEW_PASSWORD];

    fn from_fields(fields: &mut Fields) -> Result<Self, Problem> {
        Ok(Self { current: password(fields, "current_password")?, new: password(fields, NEW_PASSWORD)? })
    }
}

/// The field that a refusal of a new password names.
pub(super) const NEW_PASSWORD: &str = "new_password";

/// `{password}`
#[derive(ToSchema)]
pub(super) struct PasswordOnly {
    /// Of the account.
    #[schema(value_type = String)]
    pub(super) password: Password,
}

impl FromFields for PasswordOnly {
    const FIELDS: &'static [&'static str] = &["password"];

    fn from_fields(fields: &mut Fields) -> Result<Self, Problem> {
        Ok(Self { password: password(fields, "password")? })
    }
}

fn email(fields: &mut Fields) -> Result<Email, Problem> {
    Email::parse(&fields.required("email")?).map_err(|why| Problem::invalid_email("email", why))
}

fn password(fields: &mut Fields, name: &'static str) -> Result<Password, Problem> {
    Password::received(fields.required(name)?).map_err(|why| Problem::invalid_password(name, why))
}

/// An empty label is none.
fn label(fields: &mut Fields) -> Result<Option<String>, Problem> {
    let label = fields.optional("label")?.filter(|label| !label.is_empty());
    match &label {
        Some(text) if text.len() > Device::MAX_LABEL => Err(Problem::invalid_label("is longer than 100 bytes")),
        Some(text) if text.chars().any(char::is_control) => Err(Problem::invalid_label("has a control character")),
        Some(_) | None => Ok(label),
    }
}

/// An instant, as RFC 3339 text.
#[derive(ToSchema)]
#[schema(value_type = String, format = DateTime)]
struct Instant(Timestamp);

impl Serialize for Instant {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.0)
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = User)]
pub(super) struct UserBody<'a> {
    #[schema(format = "uuid")]
    id: String,
    created_at: Instant,
    updated_at: Instant,
    email: &'a str,
}

impl<'a> From<&'a User> for UserBody<'a> {
    fn from(user: &'a User) -> Self {
        let (created_at, updated_at) = (Instant(user.created_at), Instant(user.updated_at));
        Self { id: user.id.to_string(), created_at, updated_at, email: user.email.as_str() }
    }
}

/// A user.
pub(super) fn user(user: &User) -> impl IntoResponse + use<> {
    Answer(UserBody::from(user)).into_response()
}

#[derive(Serialize, ToSchema)]
#[schema(as = Tokens)]
pub(super) struct TokensBody<'a> {
    /// The access token.
    token: &'a str,
    refresh_token: &'a str,
    /// `Bearer`
    token_type: &'static str,
    /// Seconds until the access token expires.
    expires_in: u64,
}

/// Where the refresh token stays the same, there is nothing else to say.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = OneToken)]
pub(super) struct OneTokenBody<'a> {
    /// The access token.
    token: &'a str,
}

/// What a refresh answers.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = Refreshed)]
pub(super) enum RefreshedBody<'a> {
    /// Where refresh tokens are exchanged.
    Tokens(TokensBody<'a>),
    /// Where the refresh token stays the same.
    OneToken(OneTokenBody<'a>),
}

/// The tokens of a refresh.
pub(super) fn tokens(granted: &Granted) -> impl IntoResponse + use<> {
    let token = granted.access.text.expose();
    let expires_in = granted.expires_in.as_secs();
    let body = match &granted.refresh {
        Some(refresh) => {
            let refresh_token = refresh.expose();
            RefreshedBody::Tokens(TokensBody { token, refresh_token, token_type: "Bearer", expires_in })
        }
        None => RefreshedBody::OneToken(OneTokenBody { token }),
    };
    Answer(body).into_response()
}

#[derive(Serialize, ToSchema)]
#[schema(as = SignedIn)]
pub(super) struct SignedInBody<'a> {
    #[serde(flatten)]
    user: UserBody<'a>,
    #[serde(flatten)]
    tokens: TokensBody<'a>,
    #[schema(format = "uuid")]
    session_id: String,
}

/// The user and the first tokens of a session.
pub(super) fn signed_in(user: &User, granted: &Granted) -> impl IntoResponse + use<> {
    let tokens = TokensBody {
        token: granted.access.text.expose(),
        // A sign-in always hands one out.
        refresh_token: granted.refresh.as_ref().map_or("", |refresh| refresh.expose()),
        token_type: "Bearer",
        expires_in: granted.expires_in.as_secs(),
    };
    Answer(SignedInBody { user: user.into(), tokens, session_id: granted.session.to_string() }).into_response()
}

#[derive(Serialize, ToSchema)]
#[schema(as = Session)]
pub(super) struct SessionBody<'a> {
    #[schema(format = "uuid")]
    id: String,
    label: Option<&'a str>,
    user_agent: Option<&'a str>,
    ip: Option<&'a str>,
    created_at: Instant,
    last_refreshed_at: Option<Instant>,
    expires_at: Instant,
    /// Whether it is the caller's own.
    current: bool,
    /// When it ended or expired; null while it can be used.
    ended_at: Option<Instant>,
    end_reason: Option<&'static str>,
}

/// The user's sessions, with the caller's own marked.
pub(super) fn sessions(listed: &Listed, caller: &Caller, only_live: bool) -> impl IntoResponse + use<> {
    let shown = listed.sessions.iter().filter(|snapshot| !only_live || snapshot.is_live(listed.at));
    Answer(shown.map(|snapshot| session(snapshot, caller, listed.at)).collect::<Vec<_>>()).into_response()
}

fn session<'a>(snapshot: &'a Snapshot, caller: &Caller, now: Timestamp) -> SessionBody<'a> {
    let Session { id, device, created_at, .. } = &snapshot.session;
    let (ended_at, end_reason) = end(snapshot, now).unzip();
    SessionBody {
        id: id.to_string(),
        label: device.label.as_deref(),
        user_agent: device.user_agent.as_deref(),
        ip: device.ip.as_deref(),
        created_at: Instant(*created_at),
        last_refreshed_at: snapshot.last_refreshed_at().map(Instant),
        expires_at: Instant(expiry(snapshot)),
        current: *id == caller.session.id,
        ended_at: ended_at.map(Instant),
        end_reason,
    }
}

/// The earlier of the refresh token's expiry and the session's end.
fn expiry(snapshot: &Snapshot) -> Timestamp {
    snapshot.token.expires_at.min(snapshot.session.ends_at)
}

/// When a session ended or expired, and why; `None` while it lives.
fn end(snapshot: &Snapshot, now: Timestamp) -> Option<(Timestamp, &'static str)> {
    match snapshot.session.status {
        Status::Ended { at, reason } => Some((at, reason.code())),
        Status::Live if now.has_reached(snapshot.session.ends_at) => {
            Some((expiry(snapshot), Refusal::SessionExpired.code()))
        }
        Status::Live if now.has_reached(snapshot.token.expires_at) => Some((expiry(snapshot), Refusal::Expired.code())),
        Status::Live => None,
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = Entry)]
pub(super) struct EntryBody<'a> {
    at: Instant,
    /// `session`, or `account`: what happened to the account while the session lived.
    about: &'static str,
    what: &'static str,
    reason: Option<&'static str>,
    detail: &'static str,
    ip: Option<&'a str>,
    user_agent: Option<&'a str>,
}

impl<'a> From<&'a Entry> for EntryBody<'a> {
    fn from(entry: &'a Entry) -> Self {
        Self {
            at: Instant(entry.at),
            about: if entry.session.is_some() { "session" } else { "account" },
            what: entry.what.code(),
            reason: entry.what.reason().map(EndReason::code),
            detail: entry.what.sentence(),
            ip: entry.from.ip.as_deref(),
            user_agent: entry.from.user_agent.as_deref(),
        }
    }
}

/// A history, in its order.
pub(super) fn history(entries: &[Entry]) -> impl IntoResponse + use<> {
    Answer(entries.iter().map(EntryBody::from).collect::<Vec<_>>()).into_response()
}
