//! Who is chosen: the only place that names concrete adapters.
//!
//! A new store is one more variant in `settings`, and one more arm in `store::open`.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use regrant_adapters::inbound::http::{
    Cors, CorsLists, Forwarding, HttpOptions, OAuthOptions, Peer, Proxies, admin_router, router,
};
use regrant_adapters::outbound::events::{EachOf, LogEvents};
use regrant_adapters::outbound::jwt::{JwtAccessTokens, JwtCodec, JwtOptions};
use regrant_adapters::outbound::memory_limits::MemoryLimits;
use regrant_adapters::outbound::opaque::{OpaqueAccessTokens, OpaqueCodec};
use regrant_adapters::outbound::passwords::{self, Argon2Passwords, KnownHashes};
use regrant_adapters::outbound::system::{OsIds, OsRandomness, SystemClock};
use regrant_adapters::outbound::tasks::Tasks;
use regrant_adapters::outbound::token_codec::{BareCodec, LabelledCodec};
use regrant_domain::client::Clients;
use regrant_domain::policy::{AccessPolicy, KeptAccessPolicy};
use regrant_domain::ports::{AccessTokens, Clock as _, Ids as _, TokenCodec};
use regrant_domain::time::Timestamp;
use regrant_domain::token_key::TokenKeyRing;
use regrant_domain::usecases::explain::Explain;
use regrant_domain::usecases::import::Import;
use regrant_domain::usecases::limits::Limits;
use regrant_domain::usecases::operate::Operate;
use regrant_domain::usecases::sweep::{Retention, Sweep};
use regrant_domain::usecases::{Policies, Ports, UseCases};
use serde_json::Value;

use keys::SigningKeys;

pub use clock::ClockFollower;
pub use keys::KeyFollower;
pub use regrant_adapters::inbound::http::{TraceParent, Traces};
pub use regrant_adapters::outbound::in_use::InUse;
pub use regrant_adapters::outbound::metrics::{STORE_SPANS, SweepRun};
pub use watch::Watch;

use crate::failure::Failure;
use crate::settings::{AccessFormat, AccessToken, Forwarded, LimitState, RefreshFormat, Settings, Store};

pub mod client;
mod clock;
pub mod copy;
pub mod keys;
pub mod migrate;
mod store;
mod watch;

/// What a composition is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To serve: on a first run, what is missing is made.
    Serve,
    /// To look at, or to tidy, what is there: nothing is made.
    Tend,
}

/// Everything that a command needs, on an open store.
pub struct App {
    /// What requests can do.
    pub use_cases: UseCases,
    /// Forgetting what is over.
    pub sweep: Sweep,
    /// Explaining a token.
    pub explain: Explain,
    /// What the operator does with users and sessions.
    pub operate: Operate,
    /// Taking users over from other software.
    pub import: Import,
    /// What was made because it was missing, in words.
    pub made: Vec<String>,
    formats: Arc<FormatsInUse>,
    published_max_age: Duration,
    watch: Watch,
    hashing: Arc<passwords::Load>,
    store: store::Open,
    follower: Option<ClockFollower>,
    key_follower: Option<Box<KeyFollower>>,
}

/// Opens the store, reads the keys, and puts everything together.
///
/// # Errors
/// [`Failure`] names the file or setting.
pub async fn open(settings: &Settings, purpose: Purpose) -> Result<App, Failure> {
    let mut made = Vec::new();
    let store = store::open(settings, purpose, &mut made).await?;
    let watch = Watch::new();
    let clock = Arc::new(SystemClock::new());
    let follow = |remote| ClockFollower::new(clock.clone(), remote, settings.clock, watch.clone());
    let mut follower = store.remote_clock().map(follow);
    if let Some(follower) = &mut follower {
        // Before anything is decided.
        follower.look().await;
    }
    let (users, sessions) = store.portable();
    let keys = keys::present(settings, purpose, &store, clock.now(), &mut made).await;
    let policies = policies(settings);
    watch.store(&store);
    watch.keys(settings);
    let composed = keys.and_then(|(folder, keys)| {
        let first = (folder, keys.standing.clone());
        let formats = Arc::new(FormatsInUse::new(settings, keys));
        let (ports, hashing) = ports(settings, &store, &formats, clock.clone(), &watch)?;
        let follower = Box::new(KeyFollower::new(settings, clock, formats.clone(), first));
        Ok((ports, hashing, formats, follower))
    });
    match composed {
        Ok((ports, hashing, formats, key_follower)) => Ok(App {
            use_cases: UseCases::new(&ports, &policies),
            sweep: Sweep::new(ports.clone(), retention(settings)),
            operate: Operate::new(ports.clone(), users.clone(), sessions, policies.password),
            import: Import::new(&ports, users, Arc::new(KnownHashes)),
            explain: Explain::new(ports, &policies),
            made,
            formats,
            published_max_age: settings.keys.published_max_age(),
            watch,
            hashing,
            store,
            follower,
            key_follower: Some(key_follower),
        }),
        Err(failure) => {
            store.close().await;
            Err(failure)
        }
    }
}

/// The time that the service decides by: the store's, where that has a clock of its own.
///
/// # Errors
/// [`Failure`]: the store cannot be opened, or does not tell.
pub async fn service_time(settings: &Settings) -> Result<Timestamp, Failure> {
    let clock = SystemClock::new();
    if !settings.store.has_a_clock() {
        return Ok(clock.now());
    }
    let store = store::open(settings, Purpose::Tend, &mut Vec::new()).await?;
    let now = match store.remote_clock() {
        Some(remote) => remote.now().await.map_err(|error| Failure::of(&error)),
        None => Ok(clock.now()),
    };
    store.close().await;
    now
}

impl App {
    /// The HTTP service; `here` is where programs on this machine reach it, where only those do. `traces`: see
    /// [`HttpOptions::traces`].
    pub fn router(&self, settings: &Settings, here: Option<String>, traces: Option<Traces>) -> Router {
        let ids = OsIds::new();
        let mut options = HttpOptions::new(Arc::new(move || ids.access_token().to_string()));
        http_options(settings, &mut options);
        let formats = self.formats.clone();
        options.published_keys = Arc::new(move || formats.published());
        options.published_max_age = self.published_max_age;
        options.answered = self.watch.answers(self.hashing.clone());
        options.traces = traces;
        options.oauth = oauth_options(settings, here);
        router(self.use_cases.clone(), options)
    }

    /// For those who run the service.
    pub fn admin_router(&self) -> Router {
        admin_router(self.watch.measured(), self.use_cases.ready.clone(), HttpOptions::READY_TIMEOUT)
    }

    /// Where it is told what is measured beside the requests.
    pub fn watch(&self) -> Watch {
        self.watch.clone()
    }

    /// What keeps the clock with the store's, where that is not this machine's; once.
    pub const fn take_clock_follower(&mut self) -> Option<ClockFollower> {
        self.follower.take()
    }

    /// What keeps the keys with the key folder; once.
    pub const fn take_key_follower(&mut self) -> Option<Box<KeyFollower>> {
        self.key_follower.take()
    }

    /// Closes the store: what was acknowledged is there at the next start.
    pub async fn close(self) {
        self.store.close().await;
    }
}

/// What the operator chose of the HTTP service.
pub fn http_options(settings: &Settings, options: &mut HttpOptions) {
    let Settings { server, cors, .. } = settings;
    let Forwarded { trusted, trusts_local, standard } = server.forwarded.clone();
    let header = if standard { Forwarding::Forwarded } else { Forwarding::XForwardedFor };
    options.body_limit = server.body_limit;
    options.body_memory = server.body_memory;
    options.docs = server.docs;
    options.request_timeout = server.request_timeout;
    options.proxies = Proxies { trusted, trusts_local, header };
    options.hsts = server.hsts;
    options.cors = Cors::new(&CorsLists {
        origins: cors.origins.clone(),
        methods: cors.methods.clone(),
        headers: cors.headers.clone(),
        exposed: cors.exposed.clone(),
        credentials: cors.credentials,
        max_age: cors.max_age,
    });
}

/// How many requests are too many, and where they are counted.
fn limits(settings: &Settings, store: &store::Open) -> Limits {
    let own = Arc::new(MemoryLimits::default());
    let shared = match settings.limits.state {
        LimitState::Memory => None,
        LimitState::Store => store.limiter(),
    };
    Limits::new(settings.limits.policy.clone(), shared.unwrap_or_else(|| own.clone()), own)
}

/// Notes on a request where it came from.
pub fn came_from(request: &mut Request, ip: IpAddr) {
    request.extensions_mut().insert(Peer(ip));
}

/// What OAuth needs to know.
pub fn oauth_options(settings: &Settings, here: Option<String>) -> OAuthOptions {
    let AccessToken { issuer, audience, .. } = &settings.access_token;
    OAuthOptions {
        issuer_url: settings.oauth.issuer_url.clone().or(here),
        token_issuer: issuer.clone(),
        audience: audience.clone(),
        clients: Clients::new(settings.oauth.clients.clone()),
    }
}

fn retention(settings: &Settings) -> Retention {
    Retention { sessions: settings.sweep.retention, history: settings.history_retention() }
}

fn ports(
    settings: &Settings,
    store: &store::Open,
    formats: &FormatsInUse,
    clock: Arc<SystemClock>,
    watch: &Watch,
) -> Result<(Ports, Arc<passwords::Load>), Failure> {
    let randomness = Arc::new(OsRandomness);
    let threads = settings.hashing.threads.and_then(NonZeroUsize::new);
    let threads = threads.or_else(|| std::thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN);
    let passwords = Argon2Passwords::new(threads, settings.hashing.queue, randomness.clone()).map_err(|error| {
        Failure::new("the threads that hash passwords cannot be started")
            .because(&error)
            .advise("set password.hash_threads to a smaller number")
    })?;
    let hashing = passwords.load();
    watch.passwords(&hashing);
    let metrics = watch.metrics();
    let (users, sessions) = store.ports();
    let history = store.history(!settings.history_retention().is_zero());
    let ports = Ports {
        users: metrics.watched_users(users),
        sessions: metrics.watched_sessions(sessions),
        access_tokens: formats.access_tokens.clone(),
        codec: formats.codec.clone(),
        passwords: Arc::new(passwords),
        clock,
        ids: Arc::new(OsIds::new()),
        randomness,
        events: Arc::new(EachOf(vec![Arc::new(LogEvents), Arc::new(metrics.events())])),
        history: metrics.watched_history(history),
        background: Arc::new(Tasks::default()),
        limits: limits(settings, store),
    };
    Ok((ports, hashing))
}

/// How tokens are written.
pub struct Formats {
    /// Access tokens.
    pub access_tokens: Arc<dyn AccessTokens>,
    /// Refresh tokens.
    pub codec: Arc<dyn TokenCodec>,
    /// The keys that anybody may check access tokens with (RFC 7517 §4).
    pub published: Vec<Value>,
}

/// The formats that were chosen, with these keys; there are none to sign with where access tokens are not signed.
pub fn formats(settings: &Settings, signing: Option<SigningKeys>, ring: Arc<TokenKeyRing>) -> Formats {
    let codec = codec(settings, ring.clone());
    match signing {
        Some(SigningKeys { signing, also }) => {
            let AccessToken { issuer, audience, .. } = settings.access_token.clone();
            let tokens = JwtAccessTokens::new(JwtOptions { issuer, audience }, signing, also);
            Formats { published: tokens.public_jwks(), access_tokens: Arc::new(tokens), codec }
        }
        None => Formats { access_tokens: Arc::new(OpaqueAccessTokens::new(ring)), codec, published: Vec::new() },
    }
}

/// The formats that are in use now, which change when keys do.
struct FormatsInUse {
    access_tokens: Arc<InUse<dyn AccessTokens>>,
    codec: Arc<InUse<dyn TokenCodec>>,
    published: InUse<Vec<Value>>,
}

impl FormatsInUse {
    fn new(settings: &Settings, keys: keys::KeysInUse) -> Self {
        let Formats { access_tokens, codec, published } = formats(settings, keys.signing, Arc::new(keys.ring));
        Self {
            access_tokens: Arc::new(InUse::new(access_tokens)),
            codec: Arc::new(InUse::new(codec)),
            published: InUse::new(Arc::new(published)),
        }
    }

    /// Published first, and used then.
    fn exchange(&self, settings: &Settings, keys: keys::KeysInUse) {
        let Formats { access_tokens, codec, published } = formats(settings, keys.signing, Arc::new(keys.ring));
        self.published.set(Arc::new(published));
        self.access_tokens.set(access_tokens);
        self.codec.set(codec);
    }

    fn published(&self) -> Vec<Value> {
        self.published.get().to_vec()
    }
}

/// What the operator chose, and what follows from the format of access tokens.
pub fn policies(settings: &Settings) -> Policies {
    let AccessToken { format, grace, .. } = settings.access_token;
    let kept = match format {
        AccessFormat::Jwt(_) => None,
        AccessFormat::Opaque => Some(KeptAccessPolicy { secret_len: OpaqueAccessTokens::SECRET_LEN, grace }),
    };
    let chosen = settings.policies;
    Policies { access: AccessPolicy { kept, ..chosen.access }, ..chosen }
}

/// One arm per refresh token format.
fn codec(settings: &Settings, ring: Arc<TokenKeyRing>) -> Arc<dyn TokenCodec> {
    match settings.refresh_format {
        RefreshFormat::Labelled => Arc::new(LabelledCodec::new(ring)),
        RefreshFormat::Bare => Arc::new(BareCodec::new(ring)),
        RefreshFormat::Opaque => Arc::new(OpaqueCodec::new(ring)),
        RefreshFormat::Jwt => {
            let AccessToken { refresh_issuer: issuer, audience, .. } = settings.access_token.clone();
            Arc::new(JwtCodec::new(JwtOptions { issuer, audience }, ring))
        }
    }
}
