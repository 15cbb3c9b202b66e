//! What a case works with: a store to be held to its promises, and the values that it is fed.
//!
//! Cases may run side by side against one server, so each makes its own users and sessions under random ids, and never
//! assumes that a store is empty.

use std::any::Any;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use regrant_adapters::outbound::memory_limits::MemoryLimits;
use regrant_domain::access_token::KeptAccess;
use regrant_domain::ids::{SessionId, UserId};
use regrant_domain::ports::{
    AddUserOutcome, HistoryRepository, NewSession, OpenOutcome, Portable, RateLimiter, Rotation, SessionKey,
    SessionRepository, Spends, UserRepository,
};
use regrant_domain::refresh_token::{Generation, Held, LookupKey, Recent, RetryKey, RetryKeyHash, Spent, TokenState};
use regrant_domain::secret::SecretHash;
use regrant_domain::session::{Device, Session, Snapshot, Status};
use regrant_domain::time::Timestamp;
use regrant_domain::user::{Email, Epoch, PasswordHash, User};

/// A store that is held to its promises.
pub(crate) struct Bench {
    /// Where sessions are kept.
    pub(crate) sessions: Arc<dyn SessionRepository>,
    /// Where their users are kept.
    pub(crate) users: Arc<dyn UserRepository>,
    /// Whether both are the same store, so that a session cannot be without its user.
    pub(crate) shares_users: bool,
    /// A second handle to the same sessions, as another process would have it; where there is none, the first again.
    pub(crate) other: Arc<dyn SessionRepository>,
    /// Where histories are kept: with the sessions.
    pub(crate) history: Arc<dyn HistoryRepository>,
    /// A second handle to them.
    pub(crate) other_history: Arc<dyn HistoryRepository>,
    /// Whether old history goes by itself, after a while, and is not swept.
    pub(crate) forgets_history_by_itself: bool,
    /// The store of the sessions, as an operator carries it elsewhere.
    pub(crate) sessions_out: Arc<dyn Portable>,
    /// The store of the users, as an operator carries it elsewhere.
    pub(crate) users_out: Arc<dyn Portable>,
    /// Where buckets are kept: in memory, if the store is not one that processes share.
    pub(crate) limits: Arc<dyn RateLimiter>,
    /// A second handle to them.
    pub(crate) other_limits: Arc<dyn RateLimiter>,
    /// What must live as long as the store: a folder, a server.
    keep: Box<dyn Any + Send + Sync>,
}

impl Bench {
    /// One store that keeps sessions and users.
    pub(crate) fn of<S: SessionRepository + UserRepository + HistoryRepository + Portable + 'static>(
        store: Arc<S>,
    ) -> Self {
        let mut bench = Self::of_two(store.clone(), store);
        bench.shares_users = true;
        bench
    }

    /// Sessions in one store, users in another.
    pub(crate) fn of_two<S, U>(sessions: Arc<S>, users: Arc<U>) -> Self
    where
        S: SessionRepository + HistoryRepository + Portable + 'static,
        U: UserRepository + Portable + 'static,
    {
        let limits = Arc::new(MemoryLimits::default());
        Self {
            limits: limits.clone(),
            other_limits: limits,
            other: sessions.clone(),
            sessions: sessions.clone(),
            users: users.clone(),
            shares_users: false,
            history: sessions.clone(),
            other_history: sessions.clone(),
            forgets_history_by_itself: false,
            sessions_out: sessions,
            users_out: users,
            keep: Box::new(()),
        }
    }

    /// With a second handle to the same sessions.
    pub(crate) fn with_other<S: SessionRepository + HistoryRepository + 'static>(mut self, other: Arc<S>) -> Self {
        self.other = other.clone();
        self.other_history = other;
        self
    }

    /// With buckets in the store itself, by two handles.
    pub(crate) fn limiting<S: RateLimiter + 'static>(mut self, limits: Arc<S>, other: Arc<S>) -> Self {
        (self.limits, self.other_limits) = (limits, other);
        self
    }

    /// Of a store that forgets old history by itself.
    pub(crate) fn forgetting_history_by_itself(mut self) -> Self {
        self.forgets_history_by_itself = true;
        self
    }

    /// With something that must live as long as the store.
    pub(crate) fn keeping(mut self, keep: impl Any + Send + Sync) -> Self {
        self.keep = Box::new(keep);
        self
    }

    /// Adds a user of its own.
    pub(crate) async fn user(&self) -> User {
        let user = a_user();
        assert_eq!(self.users.add(user.clone()).await.unwrap(), AddUserOutcome::Added);
        user
    }

    /// Opens a session of a user of its own.
    pub(crate) async fn session(&self) -> NewSession {
        self.keep(a_session(self.user().await.id)).await
    }

    /// Opens this session.
    pub(crate) async fn keep(&self, new: NewSession) -> NewSession {
        assert_eq!(self.sessions.open(new.clone()).await.unwrap(), OpenOutcome::Opened);
        new
    }

    /// What is kept of a session; the same by both keys.
    pub(crate) async fn find(&self, new: &NewSession) -> Option<Snapshot> {
        let by_lookup = self.sessions.find(&by_lookup(new)).await.unwrap();
        let by_id = self.sessions.find(&by_id(new)).await.unwrap();
        assert_eq!(by_lookup, by_id, "both keys find the same");
        by_lookup
    }

    /// What is kept of a session that must be there.
    pub(crate) async fn found(&self, new: &NewSession) -> Snapshot {
        self.find(new).await.expect("the session is there")
    }
}

/// A session's key by its public id.
pub(crate) fn by_id(new: &NewSession) -> SessionKey {
    SessionKey::Id(new.session.id)
}

/// A session's key by its refresh token.
pub(crate) fn by_lookup(new: &NewSession) -> SessionKey {
    SessionKey::Lookup(new.lookup.clone())
}

/// The snapshot that a session has when it has just been opened.
pub(crate) fn as_opened(new: &NewSession) -> Snapshot {
    Snapshot { session: new.session.clone(), lookup: new.lookup.clone(), token: new.token.clone() }
}

/// Bytes that no other case has, in this process or another: a keyed hash of a counter. (The standard library keys it
/// from the operating system's generator. Good enough for tests, and for nothing else.)
pub(crate) fn random<const N: usize>() -> [u8; N] {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let keys = RandomState::new();
    let mut bytes = [0; N];
    for chunk in bytes.chunks_mut(8) {
        let word = keys.hash_one(COUNT.fetch_add(1, Ordering::Relaxed)).to_be_bytes();
        chunk.copy_from_slice(&word[..chunk.len()]);
    }
    bytes
}

/// A session id of its own.
pub(crate) fn a_session_id() -> SessionId {
    SessionId::from_bytes(random())
}

/// A user id of its own.
pub(crate) fn a_user_id() -> UserId {
    UserId::from_bytes(random())
}

/// A hash of its own.
pub(crate) fn a_hash() -> SecretHash {
    SecretHash::from_bytes(random())
}

/// An e-mail address of its own.
pub(crate) fn an_email() -> Email {
    Email::parse(&format!("{}@example.org", a_user_id())).unwrap()
}

/// The moment at which sessions of the cases are opened, if nothing else is said.
pub(crate) const OPENED: Timestamp = Timestamp::from_millis(1_795_249_800_007);

/// Some time after [`OPENED`].
pub(crate) fn after(span: Duration) -> Timestamp {
    OPENED.plus(span)
}

/// Some minutes after [`OPENED`].
pub(crate) fn minutes(count: u64) -> Timestamp {
    after(Duration::from_mins(count))
}

/// The idle lifetime of the cases' tokens.
pub(crate) const IDLE: Duration = Duration::from_hours(24 * 60);
/// The absolute lifetime of the cases' sessions; not a multiple of anything, to the millisecond.
pub(crate) const ABSOLUTE: Duration = Duration::from_millis(365 * 86_400_000 + 123);

/// A user that is not kept yet.
pub(crate) fn a_user() -> User {
    User {
        id: a_user_id(),
        email: an_email(),
        password_hash: PasswordHash::new("$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaA".into()),
        epoch: Epoch(0),
        created_at: OPENED,
        updated_at: OPENED,
    }
}

/// A session that is not kept yet, found by its id.
pub(crate) fn a_session(user: UserId) -> NewSession {
    let id = a_session_id();
    NewSession {
        session: Session {
            id,
            user,
            created_at: OPENED,
            ends_at: after(ABSOLUTE),
            device: Device {
                label: Some("Ada’s Büro-Rechner 🖥".into()),
                user_agent: Some("Mozilla/5.0 ('; DROP TABLE sessions; --)".into()),
                ip: Some("2001:db8::1".into()),
            },
            status: Status::Live,
        },
        lookup: LookupKey::of_session(id),
        token: TokenState {
            held: Held { generation: Generation::FIRST, hash: a_hash() },
            expires_at: after(IDLE),
            recent: Recent::default(),
            access: None,
        },
    }
}

/// A session that is not kept yet, found by the hash of its bare token.
pub(crate) fn a_bare_session(user: UserId) -> NewSession {
    let new = a_session(user);
    NewSession { lookup: LookupKey::of_secret(&new.token.held.hash), ..new }
}

/// Hash of a retry key of this session.
pub(crate) fn a_retry_key(session: SessionId) -> RetryKeyHash {
    RetryKey::parse(&a_user_id().to_string()).unwrap().hash_for(session)
}

/// The rotation of this session's current token at `now`, to a token of its own.
pub(crate) fn rotation(snapshot: &Snapshot, now: Timestamp) -> Rotation {
    let from = snapshot.token.held;
    Rotation {
        lookup: snapshot.lookup.clone(),
        from,
        to: Held { generation: from.generation.next(), hash: a_hash() },
        spends: Spends::Append(Spent { generation: from.generation, at: now, retry_key: None }),
        now,
        idle_expires_at: now.plus(IDLE),
        access: None,
    }
}

/// What this rotation makes of this snapshot.
pub(crate) fn rotated(before: &Snapshot, rotation: &Rotation) -> Snapshot {
    let recent = match &rotation.spends {
        Spends::Append(spent) => before.token.recent.clone().with(*spent),
        Spends::Replace(recent) => recent.clone(),
    };
    let expires_at = rotation.idle_expires_at.min(before.session.ends_at);
    let access = rotation.access.map(|a| KeptAccess { expires_at: a.expires_at.min(before.session.ends_at), ..a });
    let access = access.or(before.token.access);
    Snapshot { token: TokenState { held: rotation.to, expires_at, recent, access }, ..before.clone() }
}
