//! Who is chosen: the only place that names concrete adapters.
//!
//! A new store is one more variant in `settings`, and one more arm in `store::open`.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use regrant_adapters::inbound::http::{
    Cors, CorsLists, Forwarding, HttpOptions, Measured, Peer, Proxies, admin_router, router,
};
use regrant_adapters::outbound::events::{EachOf, LogEvents};
use regrant_adapters::outbound::jwt::{JwtAccessTokens, JwtCodec, JwtOptions, SigningKey};
use regrant_adapters::outbound::memory_limits::MemoryLimits;
use regrant_adapters::outbound::metrics::Metrics;
use regrant_adapters::outbound::opaque::{OpaqueAccessTokens, OpaqueCodec};
use regrant_adapters::outbound::passwords::{Argon2Passwords, KnownHashes};
use regrant_adapters::outbound::system::{OsIds, OsRandomness, SystemClock};
use regrant_adapters::outbound::tasks::Tasks;
use regrant_adapters::outbound::token_codec::{BareCodec, LabelledCodec};
use regrant_domain::policy::{AccessPolicy, KeptAccessPolicy};
use regrant_domain::ports::{AccessTokens, Ids as _, TokenCodec};
use regrant_domain::token_key::TokenKeyRing;
use regrant_domain::usecases::explain::Explain;
use regrant_domain::usecases::import::Import;
use regrant_domain::usecases::limits::Limits;
use regrant_domain::usecases::operate::Operate;
use regrant_domain::usecases::sweep::{Retention, Sweep};
use regrant_domain::usecases::{Policies, Ports, UseCases};
use serde_json::Value;

pub use clock::ClockFollower;

use crate::failure::Failure;
use crate::settings::{AccessFormat, AccessToken, Forwarded, LimitState, RefreshFormat, Settings, Store};

mod clock;
pub mod copy;
pub mod keys;
pub mod migrate;
mod store;

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
    published_keys: PublishedKeys,
    metrics: Arc<Metrics>,
    store: store::Open,
    follower: Option<ClockFollower>,
}

/// Opens the store, reads the keys, and puts everything together.
///
/// # Errors
/// [`Failure`] names the file or setting.
pub async fn open(settings: &Settings, purpose: Purpose) -> Result<App, Failure> {
    let mut made = Vec::new();
    let store = store::open(settings, purpose, &mut made).await?;
    let clock = Arc::new(SystemClock::new());
    let mut follower = store.remote_clock().map(|remote| ClockFollower::new(clock.clone(), remote, settings.clock));
    if let Some(follower) = &mut follower {
        // Before anything is decided.
        follower.look().await;
    }
    let (users, sessions) = store.portable();
    let keys = keys::present(settings, purpose, &store, &mut made).await;
    let policies = policies(settings);
    let metrics = Arc::new(Metrics::default());
    match keys.and_then(|keys| ports(settings, &store, keys, clock, metrics.clone())) {
        Ok((ports, published_keys)) => Ok(App {
            use_cases: UseCases::new(&ports, &policies),
            sweep: Sweep::new(ports.clone(), retention(settings)),
            operate: Operate::new(ports.clone(), users.clone(), sessions, policies.password),
            import: Import::new(&ports, users, Arc::new(KnownHashes)),
            explain: Explain::new(ports, &policies),
            made,
            published_keys,
            metrics,
            store,
            follower,
        }),
        Err(failure) => {
            store.close().await;
            Err(failure)
        }
    }
}

impl App {
    /// The HTTP service.
    pub fn router(&self, settings: &Settings) -> Router {
        let ids = OsIds::new();
        let mut options = HttpOptions::new(Arc::new(move || ids.access_token().to_string()));
        options.published_keys = self.published_keys.clone();
        http_options(settings, &mut options);
        router(self.use_cases.clone(), options)
    }

    /// For those who run the service.
    pub fn admin_router(&self) -> Router {
        let metrics = self.metrics.clone();
        admin_router(Measured { content_type: Metrics::CONTENT_TYPE, text: Arc::new(move || metrics.text()) })
    }

    /// What keeps the clock with the store's, where that is not this machine's; once.
    pub const fn take_clock_follower(&mut self) -> Option<ClockFollower> {
        self.follower.take()
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

fn retention(settings: &Settings) -> Retention {
    Retention { sessions: settings.sweep.retention, history: settings.history_retention() }
}

fn ports(
    settings: &Settings,
    store: &store::Open,
    keys: keys::KeysInUse,
    clock: Arc<SystemClock>,
    metrics: Arc<Metrics>,
) -> Result<(Ports, PublishedKeys), Failure> {
    let randomness = Arc::new(OsRandomness);
    let threads = settings.hashing.threads.and_then(NonZeroUsize::new);
    let threads = threads.or_else(|| std::thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN);
    let passwords = Argon2Passwords::new(threads, settings.hashing.queue, randomness.clone()).map_err(|error| {
        Failure::new("the threads that hash passwords cannot be started")
            .because(&error)
            .advise("set password.hash_threads to a smaller number")
    })?;
    let (users, sessions) = store.ports();
    let Formats { access_tokens, codec, published } = formats(settings, keys.signing, Arc::new(keys.ring));
    let ports = Ports {
        users,
        sessions,
        access_tokens,
        codec,
        passwords: Arc::new(passwords),
        clock,
        ids: Arc::new(OsIds::new()),
        randomness,
        events: Arc::new(EachOf(vec![Arc::new(LogEvents), metrics])),
        history: store.history(!settings.history_retention().is_zero()),
        background: Arc::new(Tasks::default()),
        limits: limits(settings, store),
    };
    Ok((ports, published))
}

/// How tokens are written.
pub struct Formats {
    /// Access tokens.
    pub access_tokens: Arc<dyn AccessTokens>,
    /// Refresh tokens.
    pub codec: Arc<dyn TokenCodec>,
    /// The keys that anybody may check access tokens with.
    pub published: PublishedKeys,
}

type PublishedKeys = Arc<dyn Fn() -> Vec<Value> + Send + Sync>;

/// The formats that were chosen, with these keys; the signing key is `None` where access tokens are not signed.
pub fn formats(settings: &Settings, signing: Option<SigningKey>, ring: Arc<TokenKeyRing>) -> Formats {
    let codec = codec(settings, ring.clone());
    match signing {
        Some(key) => {
            let tokens = Arc::new(JwtAccessTokens::new(jwt_options(settings), key, Vec::new()));
            let published = tokens.clone();
            Formats { access_tokens: tokens, codec, published: Arc::new(move || published.public_jwks()) }
        }
        None => {
            Formats { access_tokens: Arc::new(OpaqueAccessTokens::new(ring)), codec, published: Arc::new(Vec::new) }
        }
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

fn jwt_options(settings: &Settings) -> JwtOptions {
    let AccessToken { issuer, audience, .. } = &settings.access_token;
    JwtOptions { issuer: issuer.clone(), audience: audience.clone() }
}

/// One arm per refresh token format.
fn codec(settings: &Settings, ring: Arc<TokenKeyRing>) -> Arc<dyn TokenCodec> {
    match settings.refresh_format {
        RefreshFormat::Labelled => Arc::new(LabelledCodec::new(ring)),
        RefreshFormat::Bare => Arc::new(BareCodec::new(ring)),
        RefreshFormat::Opaque => Arc::new(OpaqueCodec::new(ring)),
        RefreshFormat::Jwt => Arc::new(JwtCodec::new(jwt_options(settings), ring)),
    }
}
