//! A service in this process, with a clock that tests move and stores that tests disturb.

use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use regrant::compose;
use regrant::settings::{AccessFormat, File, Settings, Sources, load};
use regrant_adapters::inbound::http::{HttpOptions, OAuthOptions, router};
use regrant_adapters::outbound::jwt::{Algorithm, JwtAccessTokens, JwtOptions, SigningKey};
use regrant_adapters::outbound::tasks::Tasks;
use regrant_adapters::outbound::token_codec::{BareCodec, LabelledCodec};
use regrant_domain::client::{Client, ClientSecret, Clients};
use regrant_domain::policy::{
    AccessPolicy, AfterWindow, HistoryPolicy, OnRollback, PasswordPolicy, RefreshPolicy, SessionPolicy, WhenFull,
};
use regrant_domain::ports::{HistoryRepository, SessionRepository, UserRepository};
use regrant_domain::testing::{Counting, ManualClock, RecordedEvents};
use regrant_domain::token_key::{TokenKey, TokenKeyId, TokenKeyRing};
use regrant_domain::usecases::limits::Limits;
use regrant_domain::usecases::register::TakenEmail;
use regrant_domain::usecases::{Policies, Ports, UseCases};

use super::fakes::QuickPasswords;
use super::stores;
use super::transport::Transport;
use super::unsteady::Unsteady;

pub(crate) const MINUTE: Duration = Duration::from_mins(1);
pub(crate) const HOUR: Duration = Duration::from_hours(1);
pub(crate) const DAY: Duration = Duration::from_hours(24);

/// A service, and what it stands on. Acts like its transport.
pub(crate) struct World {
    transport: Transport,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) events: Arc<RecordedEvents>,
    pub(crate) sessions: Arc<Unsteady<dyn SessionRepository>>,
    pub(crate) users: Arc<Unsteady<dyn UserRepository>>,
    pub(crate) history: Arc<Unsteady<dyn HistoryRepository>>,
}

impl Deref for World {
    type Target = Transport;

    fn deref(&self) -> &Transport {
        &self.transport
    }
}

/// What a world is made of; a test changes what it is about.
pub(crate) struct Plan {
    pub(crate) policies: Policies,
    pub(crate) ports: Ports,
    pub(crate) options: HttpOptions,
}

impl Plan {
    /// Refresh tokens that do not rotate.
    pub(crate) fn becomes_static(&mut self) {
        self.policies.refresh.rotate = false;
        self.ports.codec = Arc::new(BareCodec::new(self.ports.codec.ring()));
    }
}

impl World {
    /// As it comes.
    pub(crate) fn new() -> Self {
        Self::with(|_| ())
    }

    /// With changes.
    pub(crate) fn with(change: impl FnOnce(&mut Plan)) -> Self {
        let (sessions, users, history) = stores::of_a_world();
        let (sessions, users) = (Arc::new(Unsteady::new(sessions)), Arc::new(Unsteady::new(users)));
        let history = Arc::new(Unsteady::new(history));
        let (clock, events) = (Arc::new(ManualClock::default()), Arc::new(RecordedEvents::default()));
        let counting = Arc::new(Counting::default());
        let ports = Ports {
            users: users.clone(),
            sessions: sessions.clone(),
            access_tokens: Arc::new(access_tokens()),
            codec: Arc::new(LabelledCodec::new(ring())),
            passwords: Arc::new(QuickPasswords),
            clock: clock.clone(),
            ids: counting.clone(),
            randomness: counting,
            events: events.clone(),
            history: history.clone(),
            background: Arc::new(Tasks::default()),
            limits: Limits::none(),
        };
        let mut plan = Plan { policies: policies(), ports, options: options() };
        change(&mut plan);
        let router = router(UseCases::new(&plan.ports, &plan.policies), plan.options);
        Self { transport: Transport::InProcess(router), clock, events, sessions, users, history }
    }

    /// The token system of a configuration file, as the program would compose it, with the clock of tests.
    pub(crate) fn of_config(name: &str) -> Self {
        Self::of_config_with(name, |_| ())
    }

    /// The same, with changes.
    pub(crate) fn of_config_with(name: &str, change: impl FnOnce(&mut Plan)) -> Self {
        let settings = settings_of(name);
        Self::with(|plan| {
            let taken_email = plan.policies.taken_email;
            plan.policies = Policies { taken_email, ..compose::policies(&settings) };
            let signing = (settings.access_token.format != AccessFormat::Opaque)
                .then(|| compose::keys::SigningKeys { signing: signing_key(), also: Vec::new() });
            let formats = compose::formats(&settings, signing, ring());
            (plan.ports.access_tokens, plan.ports.codec) = (formats.access_tokens, formats.codec);
            plan.options.published_keys = Arc::new(move || formats.published.clone());
            let clients = plan.options.oauth.clients.clone();
            plan.options.oauth = OAuthOptions { clients, ..compose::oauth_options(&settings, Some(ISSUER.to_owned())) };
            change(plan);
        })
    }

    /// What a configuration file chooses.
    pub(crate) fn policies_of_config(name: &str) -> Policies {
        compose::policies(&settings_of(name))
    }

    /// The router itself, for tests that look at a response before it is complete.
    pub(crate) fn router(&self) -> axum::Router {
        match &self.transport {
            Transport::InProcess(router) => router.clone(),
            Transport::Network { .. } => unreachable!("a world is in this process"),
        }
    }
}

fn settings_of(config: &str) -> Settings {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../config/{config}.toml"));
    load(&Sources { file: Some(File::Path(path)), ..Sources::default() }).unwrap().settings
}

/// Who issues tokens, and where.
pub(crate) const ISSUER: &str = "https://issuer.test";
/// For whom.
pub(crate) const AUDIENCE: &str = "test";
/// A client that may introspect, and its secret.
pub(crate) const GATEWAY: (&str, &str) = ("gateway", "the secret of the gateway of tests");

pub(crate) fn access_tokens() -> JwtAccessTokens {
    let options = JwtOptions { issuer: ISSUER.into(), audience: AUDIENCE.into() };
    JwtAccessTokens::new(options, signing_key(), vec![])
}

pub(crate) fn signing_key() -> SigningKey {
    let key = SigningKey::generate(Algorithm::Hs256, &Counting::default()).unwrap();
    SigningKey::from_file_contents(Algorithm::Hs256, &key).unwrap()
}

pub(crate) fn ring() -> Arc<TokenKeyRing> {
    Arc::new(TokenKeyRing::new(TokenKey::new(TokenKeyId(1), &[7; 32]), vec![]).unwrap())
}

pub(crate) fn policies() -> Policies {
    Policies {
        refresh: RefreshPolicy {
            rotate: true,
            ttl: 60 * DAY,
            remembered_ttl: 90 * DAY,
            replay_window: Duration::from_secs(30),
            strict: false,
            after_window: AfterWindow::End,
            on_rollback: OnRollback::Heal,
        },
        access: AccessPolicy { ttl: HOUR, email_claim: false, kept: None },
        session: SessionPolicy {
            max_age: 365 * DAY,
            remembered_max_age: 730 * DAY,
            max_per_user: None,
            when_full: WhenFull::EndOldest,
        },
        password: PasswordPolicy { min_length: 8 },
        taken_email: TakenEmail::Tell,
        history: HistoryPolicy { retention: 90 * DAY },
    }
}

pub(crate) fn options() -> HttpOptions {
    let next = AtomicU64::new(0);
    let options = HttpOptions::new(Arc::new(move || format!("made-{}", next.fetch_add(1, Ordering::Relaxed))));
    let gateway = Client::new(GATEWAY.0, &ClientSecret::received(GATEWAY.1.to_owned())).unwrap();
    let oauth = OAuthOptions {
        issuer_url: Some(ISSUER.into()),
        token_issuer: ISSUER.into(),
        audience: AUDIENCE.into(),
        clients: Clients::new(vec![gateway]),
    };
    HttpOptions { oauth, ..options }
}
