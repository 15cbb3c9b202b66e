//! One state of a small world: what the store holds, what clients, network and thief hold, and what the properties need
//! to remember of the past. All times are ages in ticks, and all generations count from the oldest token that somebody
//! holds, so there are finitely many states although neither time nor the chain ends.

use crate::token::Token;

/// A span that never passes.
pub const NEVER: i8 = i8::MAX;

/// Who made a retry key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// The honest party with this storage.
    Storage(u8),
    /// The thief.
    Thief,
}

impl Owner {
    /// One bit each, for sets of parties.
    pub const fn bit(self) -> u8 {
        match self {
            Self::Storage(slot) => 1 << slot,
            Self::Thief => 1 << 7,
        }
    }
}

/// A retry key: one per token and owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId {
    /// Who made it.
    pub owner: Owner,
    /// For this token.
    pub token: Token,
}

/// Why a request was refused, or a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Why {
    /// A late duplicate; nothing ended.
    Superseded,
    /// Idle or absolute expiry.
    Expired,
    /// The session ended as reuse.
    Reuse,
    /// The session ended because the store had lost a write.
    RolledBack,
    /// Somebody ended the session.
    SignedOut,
}

/// One entry of `recent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry {
    /// The generation that was spent.
    pub generation: u8,
    /// How long ago; no longer counted where the window has passed.
    pub age: u8,
    /// With which retry key.
    pub key: Option<KeyId>,
}

impl Entry {
    /// A generation that nobody holds a token of any more: it only takes up room.
    pub const NOBODYS: u8 = u8::MAX;
}

/// What the store holds of the session.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Store {
    /// The current token.
    pub current: Token,
    /// Spent generations, the latest last.
    pub recent: Vec<Entry>,
    /// Ticks until idle expiry; below zero, since then.
    pub expires_in: i8,
    /// Ticks until the absolute end; below zero, since then.
    pub ends_in: i8,
    /// Whether it ended.
    pub ended: Option<Why>,
}

impl Store {
    /// Whether no refresh can succeed any more.
    pub const fn is_over(&self) -> bool {
        self.ended.is_some() || self.expires_in <= 0 || self.ends_in <= 0
    }
}

/// A tab of the client: something that sends requests by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tab {
    /// Nothing under way.
    Idle,
    /// Has asked with this token, and with its retry key or without.
    Waiting(Token, bool),
    /// Was refused as superseded, and found nothing newer in the storage; so many ticks ago.
    Stuck(Token, u8),
    /// Was told that the session is over.
    Out,
}

/// A request on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Request {
    /// Of this tab.
    pub tab: u8,
    /// The token.
    pub token: Token,
    /// Whether it carries the retry key.
    pub keyed: bool,
    /// Whether it was sent after an end had been acknowledged.
    pub after_end: bool,
}

/// What an answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reply {
    /// The next token.
    Token(Token),
    /// No.
    No(Why),
}

/// An answer on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Answer {
    /// To this tab.
    pub tab: u8,
    /// To what it asked with this token.
    pub asked: Token,
    /// What it says.
    pub reply: Reply,
}

/// What the thief has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Loot {
    /// A token.
    pub token: Token,
    /// The retry key that an honest party made for it.
    pub key: Option<Owner>,
}

/// What the properties remember of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Past {
    /// The token.
    pub token: Token,
    /// What it was answered with when it was last presented with success.
    pub successor: Option<Token>,
    /// How it was spent, as far as the store has not lost that.
    pub spent: Option<Spending>,
    /// Something that does not descend from it, nor it from that, was handed out later.
    pub dead: bool,
}

/// How a token was spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Spending {
    /// By whom, at first.
    pub by: Owner,
    /// How long ago; no longer counted where the window has passed.
    pub age: u8,
    /// With whose retry key.
    pub key: Option<Owner>,
    /// The parties who presented it with success: a set of [`Owner::bit`]s.
    pub users: u8,
}

/// A promise that was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the numbers are those of the documented invariants")]
pub enum Fault {
    I1,
    I2,
    I3,
    I4,
    I5,
    I6,
    I9,
    I11,
    I12,
}

impl Fault {
    /// Every promise.
    pub const ALL: [Self; 9] =
        [Self::I1, Self::I2, Self::I3, Self::I4, Self::I5, Self::I6, Self::I9, Self::I11, Self::I12];
}

/// A state.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct State {
    /// What the store holds.
    pub store: Store,
    /// What a backup of the store holds.
    pub backup: Option<Store>,
    /// How often the store may still be put back.
    pub rollbacks: u8,
    /// The token in each storage: one that all tabs share, or one for each tab.
    pub storage: Vec<Token>,
    /// The tabs.
    pub tabs: Vec<Tab>,
    /// A set of requests on their way.
    pub requests: Vec<Request>,
    /// A set of answers on their way.
    pub answers: Vec<Answer>,
    /// A set of what the thief has.
    pub loot: Vec<Loot>,
    /// Somebody was told that the session has ended.
    pub end_acknowledged: bool,
    /// Ticks since the last refresh that was not a replay; counted apart from the store.
    pub idle: i8,
    /// Ticks since sign-in; counted apart from the store.
    pub age: i8,
    /// What is remembered of each token that somebody holds.
    pub past: Vec<Past>,
    /// The promise that was broken on the way here.
    pub fault: Option<Fault>,
}

impl State {
    /// What is remembered of a token.
    pub fn past(&self, token: Token) -> Option<&Past> {
        self.past.iter().find(|past| past.token == token)
    }

    /// The same, to be written.
    pub fn past_mut(&mut self, token: Token) -> &mut Past {
        let at = self.past.iter().position(|past| past.token == token).unwrap_or_else(|| {
            self.past.push(Past { token, successor: None, spent: None, dead: false });
            self.past.len() - 1
        });
        &mut self.past[at]
    }

    /// Every token that somebody could present.
    pub fn held(&self) -> impl Iterator<Item = Token> {
        let of_tab = |tab: &Tab| match tab {
            Tab::Waiting(token, _) | Tab::Stuck(token, _) => Some(*token),
            Tab::Idle | Tab::Out => None,
        };
        let of_answer = |answer: &Answer| match answer.reply {
            Reply::Token(token) => Some(token),
            Reply::No(_) => None,
        };
        let storage = self.storage.iter().copied();
        storage
            .chain(self.tabs.iter().filter_map(of_tab))
            .chain(self.requests.iter().map(|request| request.token))
            .chain(self.answers.iter().filter_map(of_answer))
            .chain(self.loot.iter().map(|loot| loot.token))
    }
}
