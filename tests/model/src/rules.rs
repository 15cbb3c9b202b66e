//! The rules under test, and what makes abstract states real for them: real tokens, hashes, retry keys and snapshots.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use regrant_domain::decide::{Advance, Asked, Decision, Rules, decide};
use regrant_domain::ids::{SessionId, UserId};
use regrant_domain::policy::{AccessPolicy, RefreshPolicy};
use regrant_domain::reason::{EndReason, Refusal};
use regrant_domain::refresh_token::{
    Generation, Lifetime, LookupKey, Presented, Recent, RefreshToken, RetryKey, RetryKeyHash, Spent, TokenState,
};
use regrant_domain::secret::Secret;
use regrant_domain::session::{Device, Session, Snapshot, Status};
use regrant_domain::time::Timestamp;
use regrant_domain::token_key::{TokenKey, TokenKeyId, TokenKeyRing};

use crate::state::{Entry, KeyId, NEVER, Owner, Store, Why};
use crate::token::Token;

/// Signed, so that nothing of it is kept.
const ACCESS: AccessPolicy = AccessPolicy { ttl: TICK, email_claim: false, kept: None };
/// A tick of the model's clock.
pub const TICK: Duration = Duration::from_secs(10);
/// "Now" in every call: states know ages only, so the instant itself never matters.
const NOW: Timestamp = Timestamp::from_millis(1_000_000_000_000);
/// Entries about generations that nobody holds a token of get distinct generations from here on.
const NOBODYS: u32 = 1_000_000;

/// A set of rules: the domain's own, or one that is wrong on purpose.
pub trait RuleSet: Send + Sync {
    /// What a presented token gets.
    fn decide(&self, snapshot: Option<&Snapshot>, asked: &Asked<'_>, rules: &Rules<'_>) -> Decision;
}

/// The domain's own rules: [`decide`](fn@decide).
#[derive(Debug, Clone, Copy)]
pub struct Domain;

impl RuleSet for Domain {
    fn decide(&self, snapshot: Option<&Snapshot>, asked: &Asked<'_>, rules: &Rules<'_>) -> Decision {
        decide(snapshot, asked, rules)
    }
}

/// How a success came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum How {
    /// Rule 4.
    Rotated,
    /// Rules 5 and 6.
    Replayed,
    /// Rule 7.
    Reissued,
    /// Rule 8.
    Healed,
}

/// What a request came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// A token was handed out, and the store holds this now.
    Success(How, Token, Store),
    /// No, and nothing changed.
    Refused(Why),
    /// No, and the session is to end.
    End(Why),
}

/// A question to the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Question<'a> {
    /// What the store holds.
    pub store: &'a Store,
    /// The presented token.
    pub token: Token,
    /// Whose retry key for it the request carries.
    pub key: Option<Owner>,
    /// How many ticks ago the server looked at the clock.
    pub lag: u8,
}

/// Asks a rule set about abstract states, and remembers the answers.
pub struct Oracle {
    rules: Box<dyn RuleSet>,
    policy: RefreshPolicy,
    rings: Vec<TokenKeyRing>,
    session: SessionId,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    secrets: HashMap<Token, Vec<u8>>,
    keys: HashMap<[u8; 16], KeyId>,
    /// By store, then by the rest of the question.
    verdicts: HashMap<Store, HashMap<Rest, Arc<Verdict>, Quick>, Quick>,
}

/// The token, the retry key's owner, and the lag.
type Rest = (Token, Option<Owner>, u8);

type Quick = BuildHasherDefault<QuickHasher>;

/// Multiplies and rotates: the memory is asked many times for each state, and nobody chooses its keys with bad intent.
#[derive(Default)]
struct QuickHasher(u64);

impl Hasher for QuickHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.write_u64(value.into());
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(5) ^ value).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }

    fn write_isize(&mut self, value: isize) {
        self.write_u64(value.cast_unsigned() as u64);
    }

    fn write_u128(&mut self, value: u128) {
        let bytes = value.to_ne_bytes();
        self.write_u64(u64::from_ne_bytes(std::array::from_fn(|at| bytes[at])));
        self.write_u64(u64::from_ne_bytes(std::array::from_fn(|at| bytes[at + 8])));
    }
}

impl fmt::Debug for Oracle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Oracle").field("policy", &self.policy).finish_non_exhaustive()
    }
}

/// The ring that makes successors, or another one: see [`Token::SOURCES`].
///
/// # Panics
/// Never: a ring of one key has no two keys of one id.
pub fn ring(source: u8) -> TokenKeyRing {
    let Ok(ring) = TokenKeyRing::new(token_key(source), vec![]) else { unreachable!("one key") };
    ring
}

/// The token key of a source.
pub fn token_key(source: u8) -> TokenKey {
    TokenKey::new(TokenKeyId(source), &[source + 9; TokenKey::LEN])
}

impl Oracle {
    /// Of these rules under this policy.
    pub fn new(rules: Box<dyn RuleSet>, policy: RefreshPolicy) -> Self {
        let rings = (0..=Token::FORGED).map(ring).collect();
        Self { rules, policy, rings, session: SessionId::from_bytes([5; 16]), memory: Mutex::default() }
    }

    /// What this token gets.
    pub fn ask(&self, question: Question<'_>) -> Arc<Verdict> {
        let Question { store, token, key, lag } = question;
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(verdict) = memory.verdicts.get(store).and_then(|of_store| of_store.get(&(token, key, lag))) {
            return Arc::clone(verdict);
        }
        let verdict = Arc::new(self.decide(&mut memory, question));
        memory.verdicts.entry(store.clone()).or_default().insert((token, key, lag), Arc::clone(&verdict));
        verdict
    }

    fn decide(&self, memory: &mut Memory, question: Question<'_>) -> Verdict {
        let Question { store, token, key, lag } = question;
        let snapshot = self.snapshot(memory, store);
        let presented = Presented::Chained(self.token(memory, token));
        let retry_key = key.map(|owner| self.key(memory, KeyId { owner, token }));
        let asked = Asked { presented: &presented, retry_key, now: NOW.minus(TICK * u32::from(lag)) };
        let rules = Rules { policy: &self.policy, access: &ACCESS, ring: &self.rings[0] };
        let (how, advance) = match self.rules.decide(Some(&snapshot), &asked, &rules) {
            Decision::Rotate(advance) => (How::Rotated, advance),
            Decision::Reissue(advance) => (How::Reissued, advance),
            Decision::Heal(advance) => (How::Healed, advance),
            Decision::Replay(successor) => {
                let given = self.path(memory, token, &successor);
                return Verdict::Success(How::Replayed, given, store.clone());
            }
            Decision::Serve => return Verdict::Success(How::Replayed, token, store.clone()),
            Decision::Refuse(why) => return Verdict::Refused(why.into()),
            Decision::End(reason) => return Verdict::End(reason.into()),
        };
        assert_eq!(advance.from, snapshot.token.held, "what was decided upon is what the store holds");
        let (given, store) = self.abstracted(memory, token, &advance, store);
        Verdict::Success(how, given, store)
    }

    fn snapshot(&self, memory: &mut Memory, store: &Store) -> Snapshot {
        let status = match store.ended {
            Some(why) => Status::Ended { at: NOW.minus(TICK), reason: why.reason() },
            None => Status::Live,
        };
        let entries = store.recent.iter().zip(NOBODYS..).map(|(entry, nobodys)| Spent {
            generation: Generation(if entry.generation == Entry::NOBODYS { nobodys } else { entry.generation.into() }),
            at: NOW.minus(TICK * u32::from(entry.age)),
            retry_key: entry.key.map(|key| self.key(memory, key)),
        });
        let recent = entries.fold(Recent::default(), Recent::with);
        Snapshot {
            session: Session {
                id: self.session,
                user: UserId::from_bytes([6; 16]),
                created_at: Timestamp::from_millis(0),
                ends_at: in_ticks(store.ends_in),
                device: Device::default(),
                status,
            },
            lookup: LookupKey::of_session(self.session),
            token: TokenState {
                held: self.token(memory, store.current).held(),
                expires_at: in_ticks(store.expires_in),
                recent,
                access: None,
            },
        }
    }

    /// The abstract form of what the store holds after an advance.
    fn abstracted(&self, memory: &mut Memory, spent: Token, advance: &Advance, before: &Store) -> (Token, Store) {
        let given = self.path(memory, spent, &advance.token);
        let entry = |spent: &Spent| Entry {
            generation: u8::try_from(spent.generation.0).unwrap_or(Entry::NOBODYS),
            age: ticks(NOW.since(spent.at)),
            key: spent.retry_key.and_then(|key| memory.keys.get(key.as_bytes()).copied()),
        };
        let recent = advance.state.recent.entries().iter().map(entry).collect();
        let expires_in = ticks_until(advance.state.expires_at);
        (given, Store { current: given, recent, expires_in, ..before.clone() })
    }

    /// The real token at the end of a path.
    fn token(&self, memory: &mut Memory, token: Token) -> RefreshToken {
        let generation = Generation(token.generation().into());
        let (session, lifetime, key) = (self.session, Lifetime::Usual, TokenKeyId(0));
        let made = |secret| RefreshToken { session, generation, secret, lifetime, key, expires_at: None };
        if let Some(secret) = memory.secrets.get(&token) {
            return made(Secret::new(secret.clone()));
        }
        let secret = match token.parent() {
            None => Secret::new(vec![3; Secret::LEN]),
            Some((parent, source)) => {
                let parent = self.token(memory, parent);
                self.rings[usize::from(source)].successor(&parent, generation).secret
            }
        };
        memory.secrets.insert(token, secret.expose().to_vec());
        made(secret)
    }

    /// The path of a token that was handed out for `spent`.
    fn path(&self, memory: &mut Memory, spent: Token, given: &RefreshToken) -> Token {
        let generations = given.generation.0.saturating_sub(spent.generation().into());
        let generations = u8::try_from(generations).unwrap_or(u8::MAX);
        let mut paths = (0..Token::SOURCES).map(|source| spent.child(generations, source));
        let found = paths.find(|path| self.token(memory, *path).held() == given.held());
        let Some(found) = found else { unreachable!("what is handed out descends from what was presented") };
        found
    }

    fn key(&self, memory: &mut Memory, key: KeyId) -> RetryKeyHash {
        let text = format!("{:?}/{:?}", key.owner, key.token);
        let Ok(retry_key) = RetryKey::parse(&text) else { unreachable!("visible ASCII") };
        let hash = retry_key.hash_for(self.session);
        memory.keys.insert(*hash.as_bytes(), key);
        hash
    }
}

fn in_ticks(left: i8) -> Timestamp {
    match left {
        NEVER => Timestamp::MAX,
        0.. => NOW.plus(TICK * u32::from(left.unsigned_abs())),
        _ => NOW.minus(TICK * u32::from(left.unsigned_abs())),
    }
}

fn ticks(span: Duration) -> u8 {
    u8::try_from(span.as_millis() / TICK.as_millis()).unwrap_or(u8::MAX)
}

fn ticks_until(at: Timestamp) -> i8 {
    let (left, gone) = (ticks(at.since(NOW)), ticks(NOW.since(at)));
    i8::try_from(left).map_or(NEVER, |left| left - i8::try_from(gone).unwrap_or(0))
}

impl From<EndReason> for Why {
    fn from(reason: EndReason) -> Self {
        match reason {
            EndReason::ReuseDetected => Self::Reuse,
            EndReason::RolledBack => Self::RolledBack,
            _ => Self::SignedOut,
        }
    }
}

impl From<Refusal> for Why {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Ended(reason) => reason.into(),
            Refusal::Superseded => Self::Superseded,
            Refusal::Expired | Refusal::SessionExpired | Refusal::Unknown => Self::Expired,
        }
    }
}

impl Why {
    const fn reason(self) -> EndReason {
        match self {
            Self::Reuse => EndReason::ReuseDetected,
            Self::RolledBack => EndReason::RolledBack,
            Self::SignedOut | Self::Superseded | Self::Expired => EndReason::SignedOut,
        }
    }
}
