//! Users and sessions as lines of a table, as rows of one thing, and as JSON.

use std::fmt::Write as _;

use clap::ValueEnum;
use regrant_domain::session::{Snapshot, Status};
use regrant_domain::time::Timestamp;
use regrant_domain::user::User;
use serde_json::{Value, json};

/// How an answer is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people
    Table,
    /// For programs; of lists, one object a line
    Json,
}

/// Longest user agent in a table, in characters.
const AGENT: usize = 40;

pub(super) fn users_head() -> String {
    format!("{:<36}  {:<24}  {:<24}  E-MAIL", "ID", "REGISTERED", "CHANGED")
}

pub(super) fn user_line(user: &User) -> String {
    let User { id, email, created_at, updated_at, .. } = user;
    format!("{id}  {created_at}  {updated_at}  {}", plain(email.as_str()))
}

pub(super) fn user_json(user: &User) -> Value {
    json!({
        "id": user.id.to_string(),
        "email": user.email.as_str(),
        "created_at": user.created_at.to_string(),
        "updated_at": user.updated_at.to_string(),
    })
}

pub(super) fn user_rows(user: &User, sessions: &[Snapshot], at: Timestamp) -> String {
    let live = sessions.iter().filter(|session| session.is_live(at)).count();
    rows(&[
        ("id", user.id.to_string()),
        ("e-mail", plain(user.email.as_str())),
        ("registered", user.created_at.to_string()),
        ("changed", user.updated_at.to_string()),
        ("sessions", format!("{live} live, {} over", sessions.len() - live)),
    ])
}

pub(super) fn sessions_head() -> String {
    format!(
        "{:<36}  {:<24}  {:<24}  {:<21}  {:<15}  USER AGENT",
        "ID", "SIGNED IN", "LAST REFRESHED", "STATE", "ADDRESS"
    )
}

pub(super) fn session_line(snapshot: &Snapshot, at: Timestamp) -> String {
    let session = &snapshot.session;
    let refreshed = snapshot.last_refreshed_at().map(|at| at.to_string()).unwrap_or_default();
    let agent: String = text(session.device.user_agent.as_deref()).chars().take(AGENT).collect();
    let line = format!(
        "{}  {}  {refreshed:<24}  {:<21}  {:<15}  {agent}",
        session.id,
        session.created_at,
        state(snapshot, at),
        text(session.device.ip.as_deref()),
    );
    line.trim_end().to_owned()
}

pub(super) fn session_rows(snapshot: &Snapshot, at: Timestamp) -> String {
    let session = &snapshot.session;
    let state = match session.status {
        Status::Ended { at, reason } => format!("ended at {at}: {reason}"),
        Status::Live => state(snapshot, at).to_owned(),
    };
    rows(&[
        ("id", session.id.to_string()),
        ("user", session.user.to_string()),
        ("state", state),
        ("signed in", session.created_at.to_string()),
        ("refreshed", snapshot.last_refreshed_at().map_or("never".to_owned(), |at| at.to_string())),
        ("expires", snapshot.token.expires_at.to_string()),
        ("ends", session.ends_at.to_string()),
        ("address", text(session.device.ip.as_deref())),
        ("user agent", text(session.device.user_agent.as_deref())),
        ("label", text(session.device.label.as_deref())),
    ])
}

pub(super) fn session_json(snapshot: &Snapshot, at: Timestamp) -> Value {
    let session = &snapshot.session;
    let (ended_at, end_reason) = match session.status {
        Status::Live => (None, None),
        Status::Ended { at, reason } => (Some(at.to_string()), Some(reason.code())),
    };
    json!({
        "id": session.id.to_string(),
        "user_id": session.user.to_string(),
        "live": snapshot.is_live(at),
        "created_at": session.created_at.to_string(),
        "last_refreshed_at": snapshot.last_refreshed_at().map(|at| at.to_string()),
        "expires_at": snapshot.token.expires_at.to_string(),
        "ends_at": session.ends_at.to_string(),
        "ended_at": ended_at,
        "end_reason": end_reason,
        "ip": session.device.ip,
        "user_agent": session.device.user_agent,
        "label": session.device.label,
    })
}

/// One word: live, expired, or the reason of the end.
fn state(snapshot: &Snapshot, at: Timestamp) -> &'static str {
    match snapshot.session.status {
        Status::Ended { reason, .. } => reason.code(),
        Status::Live if snapshot.is_live(at) => "live",
        Status::Live => "expired",
    }
}

fn rows(rows: &[(&str, String)]) -> String {
    let mut all = String::new();
    for (name, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
        // Writing to a string cannot fail.
        let _ = writeln!(all, "{name:<14} {value}");
    }
    all.trim_end().to_owned()
}

fn text(text: Option<&str>) -> String {
    text.map(plain).unwrap_or_default()
}

/// Text that somebody else chose: nothing of it may steer the terminal.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}
