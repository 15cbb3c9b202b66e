//! A small world: who is in it, what may go wrong there, and how large it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use regrant_domain::policy::{AfterWindow, OnRollback, RefreshPolicy};

use crate::rules::{Domain, How, Oracle, Question, RuleSet, TICK, Verdict};
use crate::state::{Fault, NEVER, Owner, State, Store, Tab, Why};
use crate::token::Token;

/// How a world is set up. All numbers are bounds; time and the number of refreshes have none.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a question of its own about a world")]
pub struct Setup {
    /// Tabs of the honest client: 1 or 2.
    pub tabs: u8,
    /// Each tab keeps its own copy of the token, instead of sharing one storage.
    pub own_storage: bool,
    /// The client sends retry keys.
    pub keys: bool,
    /// Ticks of the replay window.
    pub window: u8,
    /// Only the retry key proves that the same party asks again.
    pub strict: bool,
    /// What a late predecessor gets.
    pub after_window: AfterWindow,
    /// What a client ahead of the store gets.
    pub on_rollback: OnRollback,
    /// Ticks of idle lifetime; [`NEVER`] for no expiry.
    pub ttl: i8,
    /// Ticks of absolute lifetime; [`NEVER`] for no end.
    pub max_age: i8,
    /// Requests on their way at once.
    pub requests: usize,
    /// Answers on their way at once; without room, an answer arrives at once or never.
    pub answers: usize,
    /// The network may deliver a request any number of times.
    pub duplicates: bool,
    /// No outage, delay or pause lasts longer than the window after a token was spent.
    pub prompt: bool,
    /// Ticks that may pass between a server's look at the clock and its decision.
    pub lag: u8,
    /// A request, a held-up tab, a stolen token or a backup may lag at most so many generations behind the store.
    pub reach: u8,
    /// Somebody may end the session.
    pub sign_out: bool,
    /// How often the store may go back to an earlier committed state.
    pub rollbacks: u8,
    /// I4 is to hold even where the store lost the end (which no rule can bring about).
    pub ends_outlive_rollbacks: bool,
    /// Tokens that a thief can keep at once; 0: no thief.
    pub loot: usize,
    /// The thief can copy retry keys too.
    pub loot_keys: bool,
    /// The client keeps the contract in a world where that suffices: it must never be signed out.
    pub never_signed_out: bool,
}

impl Default for Setup {
    /// One tab that keeps the contract, the default policy, and a network at its worst.
    fn default() -> Self {
        Self {
            tabs: 1,
            own_storage: false,
            keys: true,
            window: 1,
            strict: false,
            after_window: AfterWindow::End,
            on_rollback: OnRollback::Heal,
            ttl: NEVER,
            max_age: NEVER,
            requests: 2,
            answers: 1,
            duplicates: true,
            prompt: false,
            lag: 0,
            reach: 4,
            sign_out: false,
            rollbacks: 0,
            ends_outlive_rollbacks: false,
            loot: 0,
            loot_keys: false,
            never_signed_out: true,
        }
    }
}

/// Servers that are wrong on purpose, apart from their rules.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Server {
    /// It commits, then answers, and reads authentic tokens only.
    #[default]
    Sound,
    /// It answers that the session ended, and the end is not committed.
    LosesEnds,
    /// It takes any text for a token.
    BelievesAnything,
}

/// What happened how often during a search: shows that a world is not empty.
#[derive(Debug, Default)]
pub struct Seen {
    counts: [AtomicU64; 7],
}

impl Seen {
    /// The names of what is counted, and the counts.
    pub fn counts(&self) -> Vec<(&'static str, u64)> {
        let names = ["rotated", "replayed", "reissued", "healed", "superseded", "refused", "ended"];
        names.into_iter().zip(self.counts.iter().map(|count| count.load(Ordering::Relaxed))).collect()
    }

    fn count(&self, verdict: &Verdict) {
        let at = match verdict {
            Verdict::Success(How::Rotated, ..) => 0,
            Verdict::Success(How::Replayed, ..) => 1,
            Verdict::Success(How::Reissued, ..) => 2,
            Verdict::Success(How::Healed, ..) => 3,
            Verdict::Refused(Why::Superseded) => 4,
            Verdict::Refused(_) => 5,
            Verdict::End(_) => 6,
        };
        self.counts[at].fetch_add(1, Ordering::Relaxed);
    }
}

/// A world to be searched.
#[derive(Debug, Clone)]
pub struct World {
    /// Its name, for reports.
    pub name: &'static str,
    /// How it is set up.
    pub setup: Setup,
    /// Its server.
    pub server: Server,
    /// The promises that it is held to.
    pub promises: Vec<Fault>,
    /// What happened in it.
    pub seen: Arc<Seen>,
    oracle: Arc<Oracle>,
}

impl World {
    /// A world with the domain's rules.
    pub fn new(name: &'static str, setup: Setup) -> Self {
        Self::with(name, setup, Box::new(Domain), Server::Sound)
    }

    /// A world with other rules, or another server.
    pub fn with(name: &'static str, setup: Setup, rules: Box<dyn RuleSet>, server: Server) -> Self {
        let never = Duration::from_hours(1_000_000);
        let ttl = if setup.ttl == NEVER { never } else { TICK * u32::from(setup.ttl.unsigned_abs()) };
        let policy = RefreshPolicy {
            rotate: true,
            ttl,
            remembered_ttl: ttl,
            replay_window: TICK * u32::from(setup.window),
            strict: setup.strict,
            after_window: setup.after_window,
            on_rollback: setup.on_rollback,
        };
        let oracle = Arc::new(Oracle::new(rules, policy));
        Self { name, setup, server, promises: Fault::ALL.to_vec(), seen: Arc::default(), oracle }
    }

    /// The same world, held to these promises only.
    #[must_use]
    pub fn held_to(mut self, promises: &[Fault]) -> Self {
        self.promises = promises.to_vec();
        self
    }

    /// Somebody has just signed in.
    pub fn first(&self) -> State {
        let Setup { tabs, ttl, max_age, .. } = self.setup;
        let slots = if self.setup.own_storage { tabs } else { 1 };
        let expires_in = ttl.min(max_age);
        State {
            store: Store { current: Token::ROOT, recent: vec![], expires_in, ends_in: max_age, ended: None },
            backup: None,
            rollbacks: self.setup.rollbacks,
            storage: vec![Token::ROOT; slots.into()],
            tabs: vec![Tab::Idle; tabs.into()],
            requests: vec![],
            answers: vec![],
            loot: vec![],
            end_acknowledged: false,
            idle: 0,
            age: 0,
            past: vec![],
            fault: None,
        }
    }

    /// Where this tab keeps its token.
    pub fn slot_of(&self, tab: u8) -> u8 {
        if self.setup.own_storage { tab } else { 0 }
    }

    /// What the rules say, without anything happening.
    pub fn ask(&self, store: &Store, token: Token, key: Option<Owner>, lag: u8) -> Arc<Verdict> {
        self.oracle.ask(Question { store, token, key, lag })
    }

    /// What the rules say to somebody who is really there.
    pub(crate) fn ask_seen(&self, store: &Store, token: Token, key: Option<Owner>, lag: u8) -> Arc<Verdict> {
        let verdict = self.ask(store, token, key, lag);
        self.seen.count(&verdict);
        verdict
    }

    /// Beyond this age the window has passed, whenever the server looked at the clock.
    pub const fn oldest(&self) -> u8 {
        self.setup.window + self.setup.lag + 1
    }

    /// Whether `token` lags further behind the store than this world lets anything lag.
    pub fn is_beyond_reach(&self, store: &Store, token: Token) -> bool {
        store.current.generation().saturating_sub(token.generation()) > self.setup.reach
    }
}
