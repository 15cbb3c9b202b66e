//! What the clients of a run did and heard, and when: one record for each request.

use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

use serde_json::{Value, json};

/// Microseconds since the run began.
pub(super) type Moment = u64;

/// What was asked of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    /// Present the refresh token of a generation, with a retry key or without.
    Refresh { generation: u32, key: Option<u64> },
    /// End it, by its refresh token.
    Revoke,
    /// End all sessions of its user.
    EndAll,
    /// Is the access token good?
    Verify,
}

/// Why a token was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    SignedOut,
    SignedOutElsewhere,
    ReuseDetected,
    Superseded,
    SessionExpired,
    /// The access token has expired, which none does before its session here.
    AccessTokenExpired,
}

impl Why {
    /// The reason of a code that this harness knows how to expect.
    pub(super) fn parse(code: &str) -> Option<Self> {
        match code {
            "signed_out" => Some(Self::SignedOut),
            "signed_out_elsewhere" => Some(Self::SignedOutElsewhere),
            "reuse_detected" => Some(Self::ReuseDetected),
            "superseded" => Some(Self::Superseded),
            "session_expired" => Some(Self::SessionExpired),
            "access_token_expired" => Some(Self::AccessTokenExpired),
            _ => None,
        }
    }

    /// Whether it is a matter of time alone.
    pub(super) fn is_of_time(self) -> bool {
        matches!(self, Self::SessionExpired | Self::AccessTokenExpired)
    }
}

/// What was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Heard {
    /// New tokens: the generation of the refresh token, and a digest of its text.
    Granted { generation: u32, token: u64 },
    /// It is done.
    Done,
    /// The access token is good.
    Good,
    /// No, and why.
    Refused(Why),
    /// Nothing that tells whether it was done: no answer, or 503. It may still be done, at any later time.
    Unknown,
    /// Something that should never be said.
    Odd(String),
}

impl Heard {
    /// Whether the session was used.
    pub(super) fn is_success(&self) -> bool {
        matches!(self, Self::Granted { .. } | Self::Good)
    }
}

/// One request.
#[derive(Debug, Clone)]
pub(super) struct Record {
    /// The number of the session (or, for [`Op::EndAll`], of the user).
    pub(super) whose: usize,
    pub(super) op: Op,
    pub(super) asked: Moment,
    pub(super) answered: Moment,
    pub(super) heard: Heard,
}

/// A session, as its sign-in was acknowledged.
#[derive(Debug, Clone)]
pub(super) struct Opened {
    pub(super) user: usize,
    pub(super) asked: Moment,
    pub(super) answered: Moment,
}

/// Everything of a run.
#[derive(Debug, Default, Clone)]
pub(super) struct History {
    pub(super) sessions: Vec<Opened>,
    /// Requests about one session.
    pub(super) records: Vec<Record>,
    /// Requests to end all sessions of a user.
    pub(super) end_alls: Vec<Record>,
    /// Faults, and anything odd that was heard outside of a session.
    pub(super) notes: Vec<(Moment, String)>,
}

/// Takes a run down.
pub(super) struct Recorder {
    begun: Instant,
    history: Mutex<History>,
}

impl Recorder {
    pub(super) fn new() -> Self {
        Self { begun: Instant::now(), history: Mutex::default() }
    }

    /// Now.
    pub(super) fn now(&self) -> Moment {
        u64::try_from(self.begun.elapsed().as_micros()).unwrap()
    }

    /// A sign-in was acknowledged; answers the number of the session.
    pub(super) fn opened(&self, opened: Opened) -> usize {
        let mut history = self.history.lock().unwrap();
        history.sessions.push(opened);
        history.sessions.len() - 1
    }

    /// A request is over.
    pub(super) fn heard(&self, record: Record) {
        let mut history = self.history.lock().unwrap();
        let list = if record.op == Op::EndAll { &mut history.end_alls } else { &mut history.records };
        list.push(record);
    }

    /// Something happened.
    pub(super) fn note(&self, what: String) {
        let now = self.now();
        self.history.lock().unwrap().notes.push((now, what));
    }

    /// How many sessions there were so far.
    pub(super) fn sessions(&self) -> usize {
        self.history.lock().unwrap().sessions.len()
    }

    /// All of it.
    pub(super) fn history(&self) -> History {
        self.history.lock().unwrap().clone()
    }
}

impl History {
    /// Writes it as JSON lines: sessions, then notes and requests in the order in which they were asked.
    pub(super) fn write(&self, path: &Path) -> std::io::Result<()> {
        let mut file = BufWriter::new(std::fs::File::create(path)?);
        for (number, opened) in self.sessions.iter().enumerate() {
            let Opened { user, asked, answered } = opened;
            writeln!(
                file,
                "{}",
                json!({ "session": number, "user": user, "opened": { "asked": asked, "answered": answered } })
            )?;
        }
        let notes = self.notes.iter().map(|(at, what)| (*at, json!({ "at": at, "note": what })));
        let requests = self.records.iter().chain(&self.end_alls).map(|record| (record.asked, record.line()));
        let mut lines: Vec<_> = notes.chain(requests).collect();
        lines.sort_by_key(|(at, _)| *at);
        lines.iter().try_for_each(|(_, line)| writeln!(file, "{line}"))?;
        file.flush()
    }
}

impl Record {
    fn line(&self) -> Value {
        let (op, generation, key) = match self.op {
            Op::Refresh { generation, key } => ("refresh", Some(generation), key),
            Op::Revoke => ("revoke", None, None),
            Op::EndAll => ("end_all", None, None),
            Op::Verify => ("verify", None, None),
        };
        let of = if self.op == Op::EndAll { "user" } else { "session" };
        let heard = match &self.heard {
            Heard::Granted { generation, token } => json!({ "granted": generation, "token": format!("{token:016x}") }),
            Heard::Odd(what) => json!({ "odd": what }),
            Heard::Refused(why) => json!({ "refused": format!("{why:?}") }),
            other => json!(format!("{other:?}").to_lowercase()),
        };
        json!({ of: self.whose, "op": op, "generation": generation, "key": key,
                "asked": self.asked, "answered": self.answered, "heard": heard })
    }
}
