//! Opening sessions directly in a store, by the millions: signing in that often would cost an Argon2 hash each.
//!
//! Users, ids and first secrets follow from a text, so nothing needs to be remembered of a session until it is first
//! refreshed.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use indicatif::ProgressBar;
use regrant_adapters::outbound::passwords::Argon2Passwords;
use regrant_adapters::outbound::system::{OsRandomness, system_now};
use regrant_domain::ids::{SessionId, UserId};
use regrant_domain::ports::Passwords as _;
use regrant_domain::refresh_token::{Generation, Lifetime, LookupKey, Recent, RefreshToken, Spent, TokenState};
use regrant_domain::secret::Secret;
use regrant_domain::session::{Device, Session, Snapshot, Status};
use regrant_domain::time::Timestamp;
use regrant_domain::token_key::TokenKeyRing;
use regrant_domain::user::{Email, Epoch, Password, User};
use sha2::Sha256;
use tokio::task::JoinSet;

use crate::bulk::{self, Facts, Loading};
use crate::deployment::Place;
use crate::{Failure, output};

/// The password of every user that this tool makes.
pub(crate) const PASSWORD: &str = "a password for measuring";
/// How many are handed to the store at once, and how often side by side.
const BATCHES: Batches = Batches { len: 500, at_once: 8 };
/// Redis takes one session after the other of a batch.
const REDIS_BATCHES: Batches = Batches { len: 20, at_once: 100 };
/// From so many on it is worth to have them loaded.
const MANY: u64 = 20_000;
const DAY: Duration = Duration::from_hours(24);
/// As the service does by default.
const IDLE: Duration = Duration::from_hours(60 * 24);
const ABSOLUTE: Duration = Duration::from_hours(365 * 24);

/// What is to be there.
#[derive(Debug, Clone)]
pub(crate) struct Seed {
    /// What everything follows from.
    pub(crate) text: String,
    pub(crate) sessions: u64,
    pub(crate) per_user: u64,
    /// Refreshed so often before: from the fourth time on, a session does not grow.
    pub(crate) generation: u32,
    /// Since when nobody has refreshed them.
    pub(crate) idle: Duration,
}

/// How sessions come into a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// Some may be there.
    Carefully,
    /// None is there; the adapter writes each.
    ByTheAdapter,
    /// None is there; they are loaded, where they can be.
    Loaded,
}

/// Work in parts.
#[derive(Debug, Clone, Copy)]
struct Batches {
    len: u64,
    at_once: usize,
}

impl Seed {
    pub(crate) fn new(text: &str, sessions: u64) -> Self {
        Self { text: text.to_owned(), sessions, per_user: 10, generation: 4, idle: Duration::ZERO }
    }

    /// The session with this number.
    pub(crate) fn token(&self, number: u64, ring: &TokenKeyRing) -> RefreshToken {
        let secret = Secret::new(self.bytes("secret", number).to_vec());
        let first = RefreshToken::first(self.session(number), secret, Lifetime::Usual, ring);
        RefreshToken { generation: Generation(self.generation), ..first }
    }

    /// Ids grow with their number, as those of the service do with time: it matters to an index.
    pub(crate) fn session(&self, number: u64) -> SessionId {
        SessionId::from_bytes(self.id("session", number))
    }

    fn user(&self, number: u64) -> UserId {
        UserId::from_bytes(self.id("user", number))
    }

    /// A UUID of version 7 (RFC 9562 §5.7), of a time that grows with the number.
    fn id(&self, what: &str, number: u64) -> [u8; 16] {
        let mut id: [u8; 16] = std::array::from_fn({
            let bytes = self.bytes(what, number);
            move |i| bytes[i]
        });
        let millis = 1_700_000_000_000 + number;
        id[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
        id[6] = 0x70 | (id[6] & 0x0f);
        id[8] = 0x80 | (id[8] & 0x3f);
        id
    }

    fn bytes(&self, what: &str, number: u64) -> [u8; 32] {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.text.as_bytes()) else {
            unreachable!("HMAC takes keys of any length")
        };
        mac.update(what.as_bytes());
        mac.update(&number.to_be_bytes());
        mac.finalize().into_bytes().into()
    }

    fn users(&self) -> u64 {
        self.sessions.div_ceil(self.per_user)
    }

    /// What is its own in the rows of the session with this number.
    pub(crate) fn facts(&self, number: u64, ring: &TokenKeyRing) -> Facts {
        let token = self.token(number, ring);
        let lookup = LookupKey::of_session(token.session);
        Facts { session: token.session, user: self.user(number / self.per_user), lookup, hash: token.held().hash }
    }

    fn snapshot(&self, number: u64, ring: &TokenKeyRing, now: Timestamp) -> Snapshot {
        let token = self.token(number, ring);
        let now = now.minus(self.idle);
        let opened = now.minus(DAY * self.generation);
        let spent = |generation: u32| Spent {
            generation: Generation(generation),
            at: opened.plus(DAY * (generation + 1)),
            retry_key: None,
        };
        let recent = (0..self.generation).map(spent).fold(Recent::default(), Recent::with);
        let user_agent =
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0 Safari/537.36";
        let session = Session {
            id: token.session,
            user: self.user(number / self.per_user),
            created_at: opened,
            ends_at: opened.plus(ABSOLUTE),
            device: Device { label: None, user_agent: Some(user_agent.to_owned()), ip: Some("192.0.2.17".to_owned()) },
            status: Status::Live,
        };
        let state = TokenState { held: token.held(), expires_at: now.plus(IDLE), recent, access: None };
        Snapshot { session, lookup: LookupKey::of_session(token.session), token: state }
    }

    /// Puts everything there; it can be repeated, and harms nothing that has gone on since. Where nothing of this seed is
    /// there (`fresh`), it is faster.
    pub(crate) async fn fill(&self, place: &Place, ring: &Arc<TokenKeyRing>, fresh: bool) -> Result<(), Failure> {
        let how = if !fresh {
            How::Carefully
        } else if self.sessions < MANY {
            How::ByTheAdapter
        } else {
            How::Loaded
        };
        self.fill_at(place, ring, how, system_now()).await
    }

    /// The same, as if at this moment.
    pub(crate) async fn fill_at(
        &self,
        place: &Place,
        ring: &Arc<TokenKeyRing>,
        how: How,
        now: Timestamp,
    ) -> Result<(), Failure> {
        self.fill_users(place, how, now).await?;
        let bar = output::progress("{wide_bar} {pos} of {len} sessions, {per_sec}, {eta} left {msg}", self.sessions);
        let mut written = 0;
        if how == How::Loaded {
            written = self.sessions.min(2 * self.per_user);
            self.keep_sessions(place, ring, now, 0..written, &bar).await?;
            let loading = Loading { seed: self.clone(), ring: ring.clone(), written };
            if bulk::load(loading, &place.url, &bar).await? {
                written = self.sessions;
            }
        }
        self.keep_sessions(place, ring, now, written..self.sessions, &bar).await?;
        bar.finish_and_clear();
        Ok(())
    }

    async fn fill_users(&self, place: &Place, how: How, now: Timestamp) -> Result<(), Failure> {
        let hash = password_hash().await?;
        let bar = output::progress("{wide_bar} {pos} of {len} users, {eta} left", self.users());
        in_batches(0..self.users(), BATCHES, &bar, |numbers| {
            let (seed, users, hash) = (self.clone(), place.users.clone(), hash.clone());
            async move {
                let count = numbers.end - numbers.start;
                let user = |number| User {
                    id: seed.user(number),
                    email: email(&seed.text, number),
                    password_hash: hash.clone(),
                    epoch: Epoch::default(),
                    created_at: now,
                    updated_at: now,
                };
                let all = numbers.map(user).collect();
                left_none_out(match how {
                    How::Carefully => users.keep_users(all).await,
                    How::ByTheAdapter | How::Loaded => {
                        users.add_users(all).await.map(|added| count - added.len() as u64)
                    }
                })
            }
        })
        .await?;
        bar.finish_and_clear();
        Ok(())
    }

    /// By the adapter, one by one.
    async fn keep_sessions(
        &self,
        place: &Place,
        ring: &Arc<TokenKeyRing>,
        now: Timestamp,
        numbers: Range<u64>,
        bar: &ProgressBar,
    ) -> Result<(), Failure> {
        let batches = if place.url.starts_with("redis") { REDIS_BATCHES } else { BATCHES };
        in_batches(numbers, batches, bar, |numbers| {
            let (seed, sessions, ring) = (self.clone(), place.sessions.clone(), ring.clone());
            async move {
                let all = numbers.map(|number| seed.snapshot(number, &ring, now)).collect();
                left_none_out(sessions.keep_sessions(all).await)
            }
        })
        .await
    }
}

/// The address of a user of this tool's.
pub(crate) fn email(seed: &str, number: u64) -> Email {
    Email::parse(&format!("{seed}-{number}@example.org")).unwrap_or_else(|_| unreachable!("a name, an @ and a domain"))
}

/// A hash of the password, as the service makes them.
pub(crate) async fn password_hash() -> Result<regrant_domain::user::PasswordHash, Failure> {
    let passwords = Argon2Passwords::new(std::num::NonZeroUsize::MIN, 1, Arc::new(OsRandomness))?;
    let password = Password::received(PASSWORD.to_owned()).map_err(|error| error.to_string())?;
    Ok(passwords.hash(password).await?)
}

fn left_none_out(answer: Result<u64, regrant_domain::ports::PortError>) -> Result<(), String> {
    match answer {
        Ok(0) => Ok(()),
        Ok(_) => Err("some were left out: other users have these addresses; use another --seed".to_owned()),
        Err(error) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            Err(format!("{error} ({cause})"))
        }
    }
}

async fn in_batches<F>(
    numbers: Range<u64>,
    batches: Batches,
    bar: &ProgressBar,
    work: impl Fn(Range<u64>) -> F,
) -> Result<(), Failure>
where
    F: Future<Output = Result<(), String>> + Send + 'static,
{
    let mut under_way = JoinSet::new();
    for from in numbers.clone().step_by(batches.len as usize) {
        if under_way.len() >= batches.at_once {
            finish_one(&mut under_way, bar).await?;
        }
        let numbers = from..numbers.end.min(from + batches.len);
        let (count, work) = (numbers.end - numbers.start, work(numbers));
        under_way.spawn(async move { work.await.map(|()| count) });
    }
    while !under_way.is_empty() {
        finish_one(&mut under_way, bar).await?;
    }
    Ok(())
}

async fn finish_one(under_way: &mut JoinSet<Result<u64, String>>, bar: &ProgressBar) -> Result<(), Failure> {
    if let Some(done) = under_way.join_next().await {
        bar.inc(done??);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use regrant_domain::token_key::{TokenKey, TokenKeyId};

    use super::*;

    fn ring() -> TokenKeyRing {
        TokenKeyRing::new(TokenKey::new(TokenKeyId(1), &[1; 32]), vec![]).unwrap()
    }

    #[test]
    fn everything_follows_from_the_seed_and_differs_by_number() {
        let (seed, ring) = (Seed::new("a", 100), ring());
        let held = |seed: &Seed, number| seed.token(number, &ring).held().hash.as_bytes().to_owned();
        assert_eq!(held(&seed, 7), held(&seed.clone(), 7));
        assert_ne!(held(&seed, 7), held(&Seed::new("b", 100), 7));
        let all: HashSet<_> = (0..100).map(|number| (seed.session(number), held(&seed, number))).collect();
        assert_eq!(all.len(), 100);
        assert!((1..100).all(|number| seed.session(number - 1) < seed.session(number)));
    }

    #[test]
    fn a_seeded_session_looks_as_if_it_had_been_refreshed_before() {
        let now = Timestamp::from_millis(1_800_000_000_000);
        let snapshot = Seed::new("a", 100).snapshot(42, &ring(), now);
        assert_eq!(snapshot.token.held.generation, Generation(4));
        assert_eq!(snapshot.token.recent.entries().len(), 4);
        assert_eq!(snapshot.last_refreshed_at(), Some(now));
        assert!(snapshot.is_live(now));
        let fresh = Seed { generation: 0, ..Seed::new("a", 100) }.snapshot(42, &ring(), now);
        assert_eq!(fresh.token.recent.entries().len(), 0);
        assert_eq!(fresh.session.created_at, now);
        let idle = Seed { idle: DAY * 100, ..Seed::new("a", 100) }.snapshot(42, &ring(), now);
        assert_eq!(idle.token.expires_at, now.minus(DAY * 40));
    }
}
