//! What the operator chose: read once, checked whole, and turned into types.
//!
//! Deliberately absent: defaults in code (they are in `config/default.toml`, which is built in), and adapters: which
//! store a [`Store`] stands for is known to `compose` only.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use regrant_domain::address::AddressRange;
use regrant_domain::client::Client;
use regrant_domain::limit::LimitPolicy;
use regrant_domain::usecases::Policies;

pub(crate) mod duration;
mod fault;
mod layers;
mod listen;
mod read;
mod read_http;
mod read_oauth;
mod read_store;
mod reader;
mod show;
mod store;

pub use fault::{Fault, Faults};
pub use layers::{BUILT_IN, File, Sources};
pub use listen::Listen;
pub use store::{Ack, ClockCheck, Database, POSTGRES_RISKS, Postgres, REDIS_RISKS, Redis, Store, Url};

/// Everything that can be chosen, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The HTTP server.
    pub server: Server,
    /// How many requests are too many.
    pub limits: Limits,
    /// Which pages of other origins may call.
    pub cors: Cors,
    /// Folder of the embedded database and of generated keys.
    pub data_dir: PathBuf,
    /// Where users and sessions are kept.
    pub store: Store,
    /// How the store's clock is followed.
    pub clock: ClockCheck,
    /// How access tokens are made.
    pub access_token: AccessToken,
    /// For clients that speak OAuth 2.0.
    pub oauth: OAuth,
    /// How refresh tokens are written.
    pub refresh_format: RefreshFormat,
    /// What the domain decides by.
    pub policies: Policies,
    /// How passwords are hashed.
    pub hashing: Hashing,
    /// Where keys are.
    pub keys: Keys,
    /// When and what to forget.
    pub sweep: Sweep,
    /// What is logged, and how.
    pub log: Log,
    /// Where traces go; `None`: nowhere.
    pub otlp: Option<Otlp>,
}

/// `[server]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Where to listen.
    pub listen: Listen,
    /// Where to listen for those who run the service; `None`: nowhere.
    pub admin_listen: Option<Listen>,
    /// The mode of Unix sockets that are made.
    pub unix_mode: u32,
    /// The certificate with which TLS is spoken at `listen`; `None`: it is not.
    pub tls: Option<Tls>,
    /// Whether the service describes itself.
    pub docs: bool,
    /// Time for a request.
    pub request_timeout: Duration,
    /// Time for the head of a request.
    pub header_timeout: Duration,
    /// Longest body in bytes.
    pub body_limit: usize,
    /// How many bytes of bodies may be on their way at once.
    pub body_memory: usize,
    /// Time for requests under way at a stop.
    pub shutdown_grace: Duration,
    /// Most connections at once.
    pub max_connections: usize,
    /// Whose word is taken for where a request comes from.
    pub forwarded: Forwarded,
    /// For how long browsers are to come by TLS only; zero: nothing is said.
    pub hsts: Duration,
}

/// Of `[server]`: what proxies say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forwarded {
    /// Proxies that are believed.
    pub trusted: Vec<AddressRange>,
    /// Whether a proxy that connects by a Unix socket is.
    pub trusts_local: bool,
    /// Whether they say it in `Forwarded` (RFC 7239); else in `X-Forwarded-For`.
    pub standard: bool,
}

/// `[limits]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// How much, and who is exempt.
    pub policy: LimitPolicy,
    /// Where it is counted.
    pub state: LimitState,
}

/// See [`Limits::state`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitState {
    /// By each process.
    Memory,
    /// In the store of the sessions, for all processes.
    Store,
}

/// `[cors]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cors {
    /// Origins as browsers send them, or `*` alone; none: the protocol is not spoken.
    pub origins: Vec<String>,
    /// Methods that pages may use.
    pub methods: Vec<String>,
    /// Headers that they may send.
    pub headers: Vec<String>,
    /// Headers of answers that they may read.
    pub exposed: Vec<String>,
    /// Whether cookies are sent along.
    pub credentials: bool,
    /// For how long browsers remember what is allowed.
    pub max_age: Duration,
}

/// `server.tls_…`: PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The certificate, and those up to a root after it.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// How refresh tokens are written: one variant per format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshFormat {
    /// Hex secret, dot, signed label.
    Labelled,
    /// Hex secret only.
    Bare,
    /// 256 characters.
    Opaque,
    /// A signed JWT.
    Jwt,
}

/// `[access_token]`, as far as it is not policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessToken {
    /// How they are written.
    pub format: AccessFormat,
    /// `iss` of access tokens.
    pub issuer: String,
    /// `iss` of refresh tokens that are JWTs.
    pub refresh_issuer: String,
    /// `aud` of JWTs, refresh tokens included.
    pub audience: String,
    /// For how long an opaque one outlives its replacement.
    pub grace: Duration,
}

/// `[oauth]`
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OAuth {
    /// Where clients reach the service, without a slash at the end; `None`: only known where it listens on this machine alone.
    pub issuer_url: Option<String>,
    /// Who may introspect.
    pub clients: Vec<Client>,
}

/// How access tokens are written: one variant per format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessFormat {
    /// A JWT, signed like this.
    Jwt(Algorithm),
    /// 256 characters, whose hash is kept.
    Opaque,
}

/// How JWTs are signed (RFC 7518 §3.1, RFC 8037 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the standards")]
pub enum Algorithm {
    Es256,
    EdDsa,
    Rs256,
    Hs256,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Es256, Self::EdDsa, Self::Rs256, Self::Hs256];

    /// The name of its key file where the operator named none.
    pub const fn usual_file(self) -> &'static str {
        match self {
            Self::Es256 => "access-es256.pem",
            Self::EdDsa => "access-eddsa.pem",
            Self::Rs256 => "access-rs256.pem",
            Self::Hs256 => "access-hs256.key",
        }
    }
}

/// `[password]`, as far as it is not policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hashing {
    /// How many passwords are hashed at once; `None`: as many as there are cores.
    pub threads: Option<usize>,
    /// How many may wait.
    pub queue: usize,
}

/// `[keys]`: which files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// The folder of generated keys.
    pub dir: PathBuf,
    /// The key that signs access tokens.
    pub signing_key: KeyFile,
    /// The keys that prove and derive refresh tokens.
    pub token_key: KeyFile,
    /// For how long a key is published before it is used.
    pub publish_before: Duration,
    /// How often the folder is looked at.
    pub check_every: Duration,
}

impl Keys {
    /// For how long whoever checks access tokens may keep the published keys without asking again: short enough that all
    /// of them know a key before it signs, even if a process has seen it only at its next look.
    pub fn published_max_age(&self) -> Duration {
        const LONGEST: Duration = Duration::from_mins(5);
        (self.publish_before / 5).min(LONGEST)
    }
}

/// One key file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFile {
    /// Where it is.
    pub path: PathBuf,
    /// Whether the operator named it. Only a file that nobody named is made on a first run: one that was named and is
    /// not there is a mistake, such as a mount that is missing.
    pub named: bool,
}

/// `[sweep]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sweep {
    /// How often; `None`: only when asked.
    pub every: Option<Duration>,
    /// How long sessions that are over are kept.
    pub retention: Duration,
}

impl Settings {
    /// How long what happened to sessions and accounts is kept; zero: it is not.
    pub const fn history_retention(&self) -> Duration {
        self.policies.history.retention
    }
}

/// `[log]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Log {
    /// How much.
    pub level: tracing::Level,
    /// How it is written.
    pub format: LogFormat,
}

/// See [`Log::format`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines of text.
    Human,
    /// One JSON object a line.
    Json,
}

/// `[telemetry]`
#[derive(Debug, Clone, PartialEq)]
pub struct Otlp {
    /// The collector's address for traces.
    pub traces_url: String,
    /// The share of traces that are sent, of those that no caller decided on; from 0 to 1.
    pub sampling: f64,
}

/// A configuration that was read and checked.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What it comes to.
    pub settings: Settings,
    merged: BTreeMap<String, config::Value>,
}

impl Loaded {
    /// The merged configuration as TOML, with the comments of the built-in one; passwords are hidden. Where a value is
    /// not the built-in one, a comment says where it comes from.
    pub fn show(&self) -> String {
        show::render(&self.merged)
    }
}

/// Reads and checks a configuration.
///
/// # Errors
/// [`Faults`]: every one of them.
pub fn load(sources: &Sources) -> Result<Loaded, Faults> {
    let mut faults = Vec::new();
    let merged = layers::merge(sources, &mut faults);
    let mut reader = reader::Reader::new(&merged, faults);
    let settings = read::settings(&mut reader);
    let (_, faults) = reader.finish();
    match settings {
        Some(settings) if faults.is_empty() => Ok(Loaded { settings, merged }),
        _ => Err(Faults(faults)),
    }
}

#[cfg(test)]
mod tests;
