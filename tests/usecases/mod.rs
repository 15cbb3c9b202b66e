//! The use cases with the memory store, a clock that tests move, and mocks that fail at an exact point.

mod accounts;
mod copying;
mod failures;
mod history;
mod importing;
mod limits;
mod operating;
mod properties;
mod refreshing;
mod sessions;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use regrant_adapters::outbound::memory::MemoryStore;
use regrant_adapters::outbound::token_codec::{BareCodec, LabelledCodec};
use regrant_domain::access_token::{AccessClaims, AccessGrant, AccessRefusal, AccessToken, Proof};
use regrant_domain::history::Origin;
use regrant_domain::ids::AccessTokenId;
use regrant_domain::policy::{
    AccessPolicy, AfterWindow, HistoryPolicy, OnRollback, PasswordPolicy, RefreshPolicy, SessionPolicy, WhenFull,
};
use regrant_domain::ports::{
    AccessTokens, Passwords, PortError, SessionKey, SessionRepository, TokenCodec, UserRepository, Verdict,
};
use regrant_domain::refresh_token::{Lifetime, RetryKey};
use regrant_domain::secret::TokenText;
use regrant_domain::session::{Device, Snapshot};
use regrant_domain::testing::{AtOnce, Counting, ManualClock, RecordedEvents};
use regrant_domain::time::Timestamp;
use regrant_domain::token_key::{TokenKey, TokenKeyId, TokenKeyRing};
use regrant_domain::usecases::authenticate::{Authenticated, Caller};
use regrant_domain::usecases::limits::Limits;
use regrant_domain::usecases::refresh::{Granted, Refreshed};
use regrant_domain::usecases::register::{Registered, TakenEmail};
use regrant_domain::usecases::sign_in::SignedIn;
use regrant_domain::usecases::{Policies, Ports, UseCases};
use regrant_domain::user::{Email, Password, PasswordHash, User};

pub(crate) const WINDOW: Duration = Duration::from_secs(30);
pub(crate) const DAY: Duration = Duration::from_hours(24);

pub(crate) fn policies() -> Policies {
    Policies {
        refresh: RefreshPolicy {
            rotate: true,
            ttl: 60 * DAY,
            remembered_ttl: 90 * DAY,
            replay_window: WINDOW,
            strict: false,
            after_window: AfterWindow::End,
            on_rollback: OnRollback::Heal,
        },
        access: AccessPolicy { ttl: Duration::from_hours(1), email_claim: false, kept: None },
        session: SessionPolicy {
            max_age: 365 * DAY,
            remembered_max_age: 730 * DAY,
            max_per_user: None,
            when_full: WhenFull::EndOldest,
        },
        password: PasswordPolicy { min_length: 8 },
        taken_email: TakenEmail::Hide,
        history: HistoryPolicy { retention: 90 * DAY },
    }
}

pub(crate) fn ring() -> Arc<TokenKeyRing> {
    Arc::new(TokenKeyRing::new(TokenKey::new(TokenKeyId(1), &[7; 32]), vec![]).unwrap())
}

/// Access tokens in clear: user, session and expiry, behind a prefix.
pub(crate) struct ClearAccessTokens;

impl AccessTokens for ClearAccessTokens {
    fn issue(&self, grant: &AccessGrant) -> Result<AccessToken, PortError> {
        let text = format!("at {} {} {}", grant.user, grant.session, grant.expires_at.millis());
        Ok(AccessToken { text: TokenText::new(text), expires_at: grant.expires_at })
    }

    fn verify(&self, text: &str, now: Timestamp) -> Result<AccessClaims, AccessRefusal> {
        let parts: Vec<_> = text.split(' ').collect();
        let ["at", user, session, expires_at] = parts[..] else { return Err(AccessRefusal::NotAuthentic) };
        let expires_at = Timestamp::from_millis(expires_at.parse().map_err(|_| AccessRefusal::NotAuthentic)?);
        if now.has_reached(expires_at) {
            return Err(AccessRefusal::Expired);
        }
        let (user, session) = (user.parse().unwrap(), session.parse().unwrap());
        let proof = Proof::Signed { id: AccessTokenId::from_bytes([1; 16]), issued_at: now };
        Ok(AccessClaims { user, session, expires_at, proof })
    }
}

/// "Hashes" that are quick, and weak when they begin with `weak:`.
pub(crate) struct QuickPasswords;

#[async_trait]
impl Passwords for QuickPasswords {
    async fn hash(&self, password: Password) -> Result<PasswordHash, PortError> {
        Ok(PasswordHash::new(format!("hash:{}", password.expose())))
    }

    async fn verify(&self, password: Password, stored: Option<PasswordHash>) -> Result<Verdict, PortError> {
        let text = password.expose().to_owned();
        Ok(match stored.as_ref().map(PasswordHash::as_str) {
            Some(stored) if stored == format!("hash:{text}") => Verdict::Matches,
            Some(stored) if stored == format!("weak:{text}") => Verdict::MatchesWeakly(self.hash(password).await?),
            _ => Verdict::Differs,
        })
    }
}

/// A whole Regrant without HTTP.
pub(crate) struct World {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) events: Arc<RecordedEvents>,
    pub(crate) ports: Ports,
    pub(crate) policies: Policies,
    pub(crate) use_cases: UseCases,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(policies())
    }

    pub(crate) fn with(policies: Policies) -> Self {
        let clock = Arc::new(ManualClock::default());
        let store = Arc::new(MemoryStore::default());
        let events = Arc::new(RecordedEvents::default());
        let counting = Arc::new(Counting::default());
        let codec: Arc<dyn TokenCodec> = if policies.refresh.rotate {
            Arc::new(LabelledCodec::new(ring()))
        } else {
            Arc::new(BareCodec::new(ring()))
        };
        let ports = Ports {
            users: store.clone(),
            sessions: store.clone(),
            access_tokens: Arc::new(ClearAccessTokens),
            codec,
            passwords: Arc::new(QuickPasswords),
            clock: clock.clone(),
            ids: counting.clone(),
            randomness: counting,
            events: events.clone(),
            history: store.clone(),
            background: Arc::new(AtOnce),
            limits: Limits::none(),
        };
        let use_cases = UseCases::new(&ports, &policies);
        Self { clock, store, events, ports, policies, use_cases }
    }

    /// The same world with other ports; for mocks.
    pub(crate) fn with_ports(mut self, change: impl FnOnce(&mut Ports)) -> Self {
        change(&mut self.ports);
        self.use_cases = UseCases::new(&self.ports, &self.policies);
        self
    }

    pub(crate) async fn registers(&self, email: &str, password: &str) -> User {
        match self.use_cases.register.run(Email::parse(email).unwrap(), pw(password), &nowhere()).await.unwrap() {
            Registered::Account(user) => user,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn tries_to_sign_in(&self, email: &str, password: &str) -> SignedIn {
        let email = Email::parse(email).unwrap();
        self.use_cases.sign_in.run(&email, pw(password), Device::default(), Lifetime::Usual).await.unwrap()
    }

    pub(crate) async fn signs_in(&self, email: &str, password: &str) -> Granted {
        match self.tries_to_sign_in(email, password).await {
            SignedIn::Granted { tokens, .. } => tokens,
            other => panic!("{other:?}"),
        }
    }

    /// Ada, registered and signed in.
    pub(crate) async fn ada(&self) -> Granted {
        self.registers("ada@example.org", "correct horse").await;
        self.signs_in("ada@example.org", "correct horse").await
    }

    pub(crate) async fn refreshes(&self, token: &str, key: Option<&str>) -> Refreshed {
        let key = key.map(|key| RetryKey::parse(key).unwrap());
        self.use_cases.refresh.run(token, key, &nowhere()).await.unwrap()
    }

    /// A refresh that is granted: the next refresh token.
    pub(crate) async fn next(&self, token: &str, key: Option<&str>) -> String {
        match self.refreshes(token, key).await {
            Refreshed::Granted(granted) => granted.refresh.expect("a refresh token").expose().to_owned(),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn caller(&self, granted: &Granted) -> Caller {
        match self.use_cases.authenticate.run(granted.access.text.expose()).await.unwrap() {
            Authenticated::Caller(caller) => *caller,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn snapshot(&self, token: &str) -> Option<Snapshot> {
        let lookup = self.ports.codec.decode(token).unwrap().lookup();
        SessionRepository::find(&*self.store, &SessionKey::Lookup(lookup)).await.unwrap()
    }

    pub(crate) async fn user(&self, email: &str) -> Option<User> {
        self.store.find_by_email(&Email::parse(email).unwrap()).await.unwrap()
    }
}

/// Nothing is known of where a request came from.
pub(crate) fn nowhere() -> Origin {
    Origin::default()
}

pub(crate) fn pw(text: &str) -> Password {
    Password::received(text.into()).unwrap()
}

pub(crate) fn text(granted: &Granted) -> String {
    granted.refresh.as_ref().expect("a refresh token").expose().to_owned()
}
