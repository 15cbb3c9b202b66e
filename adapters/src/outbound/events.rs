//! What happened, for the log.
//!
//! Deliberately absent: secrets, e-mail addresses and passwords; an [`Event`] carries none. Which lines are written, and how, is
//! chosen where the log is set up: all of these have the target [`TARGET`].

use std::sync::Arc;

use regrant_domain::history::Origin;
use regrant_domain::ports::{Event, Events};
use regrant_domain::reason::EndReason;
use tracing::{debug, info, warn};

/// The target of every line.
pub const TARGET: &str = "regrant::events";

/// Tells several, one after the other.
pub struct EachOf(pub Vec<Arc<dyn Events>>);

impl Events for EachOf {
    fn record(&self, event: Event, from: &Origin) {
        for each in &self.0 {
            each.record(event.clone(), from);
        }
    }
}

/// Tells the log. What needs someone's eye is a warning; what happens all the time is for debugging.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogEvents;

impl Events for LogEvents {
    fn record(&self, event: Event, from: &Origin) {
        let (ip, user_agent) = (from.ip.as_deref(), from.user_agent.as_deref());
        match event {
            Event::UserRegistered { user } => {
                info!(target: TARGET, event = "user_registered", ip, user_agent, %user, "a user registered");
            }
            Event::SessionOpened { user, session } => {
                info!(target: TARGET, event = "session_opened", ip, user_agent, %user, %session, "a session was opened");
            }
            Event::SignInFailed { user: Some(user) } => {
                info!(target: TARGET, event = "sign_in_failed", ip, user_agent, %user, "a sign-in failed: wrong password");
            }
            Event::SignInFailed { user: None } => {
                info!(target: TARGET, event = "sign_in_failed", ip, user_agent, "a sign-in failed: nobody has that address");
            }
            Event::Rotated { session, generation } => {
                debug!(target: TARGET, event = "rotated", ip, user_agent, %session, generation = generation.0, "a token was rotated");
            }
            Event::Replayed { session, generation } => {
                info!(
                    target: TARGET, event = "replayed", ip, user_agent, %session, generation = generation.0,
                    "a spent token was answered with the current one again"
                );
            }
            Event::Reissued { session, generation } => {
                info!(
                    target: TARGET, event = "reissued", ip, user_agent, %session, generation = generation.0,
                    "a late predecessor was granted a further successor"
                );
            }
            Event::Healed { session, stored, presented } => {
                warn!(
                    target: TARGET, event = "healed", ip, user_agent, %session, stored = stored.0, presented = presented.0,
                    "the store had lost writes; the client's newer token was adopted"
                );
            }
            Event::Refused { session: Some(session), why } => {
                info!(target: TARGET, event = "refused", ip, user_agent, %session, reason = why.code(), "a refresh token was refused");
            }
            Event::Refused { session: None, why } => {
                info!(target: TARGET, event = "refused", ip, user_agent, reason = why.code(), "a refresh token was refused");
            }
            Event::Ended { session, reason: reason @ (EndReason::ReuseDetected | EndReason::RolledBack) } => {
                warn!(target: TARGET, event = "ended", ip, user_agent, %session, reason = reason.code(), "{}", reason.sentence());
            }
            Event::Ended { session, reason } => {
                info!(target: TARGET, event = "ended", ip, user_agent, %session, reason = reason.code(), "{}", reason.sentence());
            }
            Event::PasswordChanged { user } => {
                info!(target: TARGET, event = "password_changed", ip, user_agent, %user, "a password was changed");
            }
            Event::Limited { limit } => {
                info!(target: TARGET, event = "limited", ip, user_agent, limit = limit.code(), "there were too many requests");
            }
            Event::HistoryLost { why } => {
                warn!(target: TARGET, event = "history_lost", ip, user_agent, why, "a history lacks what has just happened");
            }
            Event::UserDeleted { user } => {
                info!(target: TARGET, event = "user_deleted", ip, user_agent, %user, "an account was deleted");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use regrant_domain::ids::{SessionId, UserId};
    use regrant_domain::limit::Limit;
    use regrant_domain::reason::Refusal;
    use regrant_domain::refresh_token::Generation;
    use serde_json::{Value, json};
    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("not poisoned").extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Written {
        type Writer = Self;
        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    fn line_of(event: Event, from: &Origin) -> Value {
        let written = Written::default();
        let log = tracing_subscriber::fmt().json().with_max_level(tracing::Level::TRACE).with_writer(written.clone());
        tracing::subscriber::with_default(log.finish(), || LogEvents.record(event, from));
        let line = written.0.lock().expect("not poisoned").clone();
        serde_json::from_slice(&line).expect("one line of JSON")
    }

    const USER: UserId = UserId::from_bytes([1; 16]);
    const SESSION: SessionId = SessionId::from_bytes([2; 16]);

    #[test]
    fn each_event_is_one_line_with_its_facts() {
        let (user, session) = (USER, SESSION);
        let (u, s) = (USER.to_string(), SESSION.to_string());
        let why = Refusal::Superseded;
        for (event, level, facts) in [
            (Event::UserRegistered { user }, "INFO", json!({ "event": "user_registered", "user": u })),
            (
                Event::SessionOpened { user, session },
                "INFO",
                json!({ "event": "session_opened", "user": u, "session": s }),
            ),
            (Event::SignInFailed { user: Some(user) }, "INFO", json!({ "event": "sign_in_failed", "user": u })),
            (Event::SignInFailed { user: None }, "INFO", json!({ "event": "sign_in_failed" })),
            (
                Event::Rotated { session, generation: Generation(7) },
                "DEBUG",
                json!({ "event": "rotated", "session": s, "generation": 7 }),
            ),
            (
                Event::Replayed { session, generation: Generation(7) },
                "INFO",
                json!({ "event": "replayed", "session": s, "generation": 7 }),
            ),
            (
                Event::Reissued { session, generation: Generation(7) },
                "INFO",
                json!({ "event": "reissued", "session": s, "generation": 7 }),
            ),
            (
                Event::Healed { session, stored: Generation(7), presented: Generation(9) },
                "WARN",
                json!({ "event": "healed", "session": s, "stored": 7, "presented": 9 }),
            ),
            (
                Event::Refused { session: Some(session), why },
                "INFO",
                json!({ "event": "refused", "session": s, "reason": "superseded" }),
            ),
            (Event::Refused { session: None, why }, "INFO", json!({ "event": "refused", "reason": "superseded" })),
            (
                Event::Ended { session, reason: EndReason::ReuseDetected },
                "WARN",
                json!({ "event": "ended", "session": s, "reason": "reuse_detected" }),
            ),
            (
                Event::Ended { session, reason: EndReason::SignedOut },
                "INFO",
                json!({ "event": "ended", "session": s, "reason": "signed_out" }),
            ),
            (Event::PasswordChanged { user }, "INFO", json!({ "event": "password_changed", "user": u })),
            (Event::UserDeleted { user }, "INFO", json!({ "event": "user_deleted", "user": u })),
            (
                Event::Limited { limit: Limit::PasswordByAccount },
                "INFO",
                json!({ "event": "limited", "limit": "password_by_account" }),
            ),
            (Event::HistoryLost { why: "away".into() }, "WARN", json!({ "event": "history_lost", "why": "away" })),
        ] {
            let known = Origin { user_agent: Some("curl/8".into()), ip: Some("192.0.2.7".into()) };
            let mut with_origin = facts.clone();
            with_origin["ip"] = "192.0.2.7".into();
            with_origin["user_agent"] = "curl/8".into();
            for (from, facts) in [(Origin::default(), facts), (known, with_origin)] {
                let mut line = line_of(event.clone(), &from);
                assert_eq!(line["level"], level, "{line}");
                assert_eq!(line["target"], TARGET);
                let fields = line["fields"].as_object_mut().expect("fields");
                assert!(fields.remove("message").is_some());
                assert_eq!(Value::Object(fields.clone()), facts);
            }
        }
    }
}
