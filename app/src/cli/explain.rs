//! `regrant explain`: what a refresh token is, and what a refresh would answer.

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::Path;

use regrant_domain::history::Entry;
use regrant_domain::reason::EndReason;
use regrant_domain::refresh_token::RetryKey;
use regrant_domain::session::{Snapshot, Status};
use regrant_domain::usecases::explain::{Explained, Explanation, Would};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::Explain;
use crate::compose::{self, Purpose};
use crate::failure::Failure;
use crate::output;
use crate::settings::Settings;

/// Longest input in bytes; tokens are far shorter.
const MAX_INPUT: u64 = 16 * 1024;

pub(super) async fn run(settings: &Settings, what: &Explain) -> Result<(), Failure> {
    let text = token()?;
    let retry_key = what.retry_key_file.as_deref().map(retry_key).transpose()?;
    let app = compose::open(settings, Purpose::Tend).await?;
    let explained = app.explain.run(text.trim(), retry_key).await;
    app.close().await;
    match explained.map_err(|error| Failure::of(&error))? {
        Explained::NotAuthentic => Err(Failure::new("this is not a refresh token of this deployment")
            .advise("check that it is complete, and that it is the refresh token and not the access token")),
        Explained::Token(explanation) if what.json => {
            output::line(as_json(&explanation));
            Ok(())
        }
        Explained::Token(explanation) => {
            output::line(as_text(&explanation).trim_end());
            Ok(())
        }
    }
}

fn token() -> Result<Zeroizing<String>, Failure> {
    read(std::io::stdin().lock()).map_err(|error| {
        Failure::new("the refresh token cannot be read from standard input")
            .because(&error)
            .advise("pipe it in: printf %s \"$TOKEN\" | regrant explain")
    })
}

fn read(from: impl std::io::Read) -> std::io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::with_capacity(1024));
    from.take(MAX_INPUT).read_to_string(&mut text)?;
    if text.trim().is_empty() {
        return Err(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "it is empty"));
    }
    Ok(text)
}

fn retry_key(path: &Path) -> Result<RetryKey, Failure> {
    let what = || Failure::new(format!("the retry key cannot be read from {}", path.display()));
    let text = std::fs::File::open(path).and_then(read).map_err(|error| what().because(&error))?;
    RetryKey::parse(text.trim()).map_err(|error| what().because(&error))
}

/// What a refresh would come to: a stable word, and a sentence.
fn outcome(would: Would) -> (&'static str, &'static str, &'static str) {
    match would {
        Would::Rotate => ("rotate", "", "A refresh would answer with a new refresh token."),
        Would::Serve => ("serve", "", "A refresh would answer with a new access token; the refresh token stays."),
        Would::Replay => ("replay", "", "A refresh would answer with the current refresh token again."),
        Would::Reissue => ("reissue", "", "A refresh would answer with a further successor; the unused one dies."),
        Would::Heal => ("heal", "", "The store has lost writes: a refresh would adopt this token, then rotate it."),
        Would::Refuse(why) => ("refuse", why.code(), why.sentence()),
        Would::End(reason) => ("end", reason.code(), reason.sentence()),
    }
}

fn as_text(explanation: &Explanation) -> String {
    let mut text = String::new();
    let mut row = |name: &str, value: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:<14} {value}");
    };
    if let Some(generation) = explanation.generation {
        row("generation", generation.0.to_string());
    }
    match &explanation.snapshot {
        Some(snapshot) => rows(snapshot, &mut row),
        None => row("session", "not in the store (any more)".to_owned()),
    }
    for entry in &explanation.history {
        row("history", line(entry));
    }
    row("as of", explanation.at.to_string());
    let (word, code, sentence) = outcome(explanation.would);
    row("a refresh", [word, code].join(" ").trim_end().to_owned());
    row("", sentence.to_owned());
    text
}

fn rows(snapshot: &Snapshot, row: &mut impl FnMut(&str, String)) {
    let (session, token) = (&snapshot.session, &snapshot.token);
    row("session", session.id.to_string());
    row("user", session.user.to_string());
    if let Some(label) = &session.device.label {
        row("label", harmless(label));
    }
    row("signed in", session.created_at.to_string());
    row("ends", session.ends_at.to_string());
    match session.status {
        Status::Live => row("state", "not ended".to_owned()),
        Status::Ended { at, reason } => row("state", format!("ended at {at}: {reason}")),
    }
    row("current", format!("generation {}, expires at {}", token.held.generation.0, token.expires_at));
    for spent in token.recent.entries() {
        let with = if spent.retry_key.is_some() { "with" } else { "without" };
        row("spent", format!("generation {} at {}, {with} a retry key", spent.generation.0, spent.at));
    }
}

/// A client chose it: nothing of it may steer the terminal.
fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

fn line(entry: &Entry) -> String {
    let mut line = format!("{} {}", entry.at, entry.what);
    let about = if entry.session.is_none() { Some("(account)") } else { None };
    let reason = entry.what.reason().map(EndReason::code);
    for part in reason.into_iter().chain(about) {
        line = format!("{line} {part}");
    }
    if let Some(ip) = &entry.from.ip {
        line = format!("{line}, from {}", harmless(ip));
    }
    if let Some(user_agent) = &entry.from.user_agent {
        line = format!("{line}, by {}", harmless(user_agent));
    }
    line
}

fn entry_json(entry: &Entry) -> Value {
    json!({
        "at": entry.at.to_string(),
        "about": if entry.session.is_some() { "session" } else { "account" },
        "what": entry.what.code(),
        "reason": entry.what.reason().map(EndReason::code),
        "detail": entry.what.sentence(),
        "ip": entry.from.ip,
        "user_agent": entry.from.user_agent,
    })
}

fn as_json(explanation: &Explanation) -> Value {
    let (word, code, sentence) = outcome(explanation.would);
    json!({
        "generation": explanation.generation.map(|generation| generation.0),
        "session": explanation.snapshot.as_ref().map(snapshot_json),
        "history": explanation.history.iter().map(entry_json).collect::<Vec<_>>(),
        "at": explanation.at.to_string(),
        "would": { "outcome": word, "code": (!code.is_empty()).then_some(code), "detail": sentence },
    })
}

fn snapshot_json(snapshot: &Snapshot) -> Value {
    let (session, token) = (&snapshot.session, &snapshot.token);
    let (ended_at, end_reason) = match session.status {
        Status::Live => (None, None),
        Status::Ended { at, reason } => (Some(at.to_string()), Some(reason.code())),
    };
    let recent = token.recent.entries().iter().map(|spent| {
        json!({
            "generation": spent.generation.0, "spent_at": spent.at.to_string(), "retry_key": spent.retry_key.is_some(),
        })
    });
    json!({
        "id": session.id.to_string(),
        "user_id": session.user.to_string(),
        "label": session.device.label,
        "created_at": session.created_at.to_string(),
        "ends_at": session.ends_at.to_string(),
        "ended_at": ended_at,
        "end_reason": end_reason,
        "current_generation": token.held.generation.0,
        "expires_at": token.expires_at.to_string(),
        "recent": recent.collect::<Vec<_>>(),
    })
}
