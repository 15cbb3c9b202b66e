//! A whole service over HTTP in this process, with one account and one session, the same each time.

use std::cell::LazyCell;
use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode, header};
use regrant::compose;
use regrant::settings::{Settings, Sources, load};
use regrant_adapters::inbound::http::{Forwarding, HttpOptions, Proxies, router};
use regrant_adapters::outbound::jwt::{Algorithm, JwtAccessTokens, JwtOptions, SigningKey};
use regrant_adapters::outbound::memory::MemoryStore;
use regrant_adapters::outbound::token_codec::LabelledCodec;
use regrant_domain::ports::{Passwords, PortError, Verdict};
use regrant_domain::testing::{AtOnce, Counting, ManualClock, RecordedEvents};
use regrant_domain::usecases::limits::Limits;
use regrant_domain::usecases::{Ports, UseCases};
use regrant_domain::user::{Password, PasswordHash};
use serde_json::Value;
use tokio::runtime::Runtime;
use tower::ServiceExt as _;

use crate::keys;

pub(crate) const EMAIL: &str = "ada@example.org";
pub(crate) const PASSWORD: &str = "correct horse";

static SETTINGS: LazyLock<Settings> = LazyLock::new(|| load(&Sources::default()).expect("the built-in one").settings);

thread_local! {
    static RUNTIME: LazyCell<Runtime> = LazyCell::new(|| {
        tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime")
    });
}

/// Waits for it.
pub(crate) fn wait<T>(work: impl Future<Output = T>) -> T {
    RUNTIME.with(|runtime| runtime.block_on(work))
}

/// The service, after a sign-up and a sign-in.
pub(crate) struct World {
    router: Router,
    pub(crate) access_token: String,
    pub(crate) refresh_token: String,
}

/// What it answered.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl World {
    pub(crate) async fn new() -> Self {
        let mut options = HttpOptions::new(Arc::new(|| "made-here".to_owned()));
        // Every hop is believed, so that what proxies say is read to its end.
        let trusted = ["0.0.0.0/0", "::/0"].map(|range| range.parse().expect("a range")).to_vec();
        options.proxies = Proxies { trusted, trusts_local: true, header: Forwarding::Forwarded };
        let router =
            router(UseCases::new(&ports_on(&Arc::new(MemoryStore::default())), &compose::policies(&SETTINGS)), options);
        let mut world = Self { router, access_token: String::new(), refresh_token: String::new() };
        let who = format!(r#"{{"email":"{EMAIL}","password":"{PASSWORD}"}}"#);
        for path in ["/api/users", "/api/login"] {
            let request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
            let answer = world.answer(request.body(who.clone().into()).expect("a request")).await;
            assert!(answer.status.is_success(), "{path}: {}", answer.status);
            let told: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            let text = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
            (world.access_token, world.refresh_token) = (text("token"), text("refresh_token"));
        }
        world
    }

    pub(crate) async fn answer(&self, request: Request<Body>) -> Answer {
        let Ok(response) = self.router.clone().oneshot(request).await;
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.expect("a whole answer").to_vec();
        Answer { status: parts.status, headers: parts.headers, body }
    }
}

impl Answer {
    /// It is about the request, and a refusal says what it is in one of the forms that refusals have.
    pub(crate) fn is_in_order(&self, has_body: bool) {
        let Self { status, headers, body } = self;
        assert!(!status.is_server_error() && !status.is_informational(), "{status}: {}", String::from_utf8_lossy(body));
        assert!(headers.contains_key("x-request-id") && headers.contains_key(header::CACHE_CONTROL));
        if !status.is_client_error() {
            return;
        }
        if headers[header::CONTENT_TYPE] == "application/json" {
            let error: Value = serde_json::from_slice(body).unwrap_or_default();
            return assert!(!has_body || error["error"].is_string(), "neither a problem nor an error of OAuth");
        }
        assert_eq!(headers[header::CONTENT_TYPE], "application/problem+json");
        assert!(*status != StatusCode::UNAUTHORIZED || headers.contains_key(header::WWW_AUTHENTICATE));
        if has_body {
            let problem: Value = serde_json::from_slice(body).expect("a problem is JSON");
            assert_eq!(problem["status"], status.as_u16());
            assert!(problem["code"].is_string() && problem["detail"].is_string());
        }
    }
}

/// Everything else that a service needs, on this store.
pub(crate) fn ports_on(store: &Arc<MemoryStore>) -> Ports {
    let counting = Arc::new(Counting::default());
    Ports {
        users: store.clone(),
        sessions: store.clone(),
        access_tokens: Arc::new(access_tokens()),
        codec: Arc::new(LabelledCodec::new(keys::ours())),
        passwords: Arc::new(Clear),
        clock: Arc::new(ManualClock::default()),
        ids: counting.clone(),
        randomness: counting,
        events: Arc::new(RecordedEvents::default()),
        history: store.clone(),
        background: Arc::new(AtOnce),
        limits: Limits::none(),
    }
}

fn access_tokens() -> JwtAccessTokens {
    let options = JwtOptions { issuer: "https://issuer.test".into(), audience: "test".into() };
    let key = SigningKey::from_file_contents(Algorithm::Hs256, &"6b".repeat(32)).expect("32 bytes in hex");
    JwtAccessTokens::new(options, key, vec![])
}

/// Passwords as they are: hashing has a target of its own.
struct Clear;

#[async_trait]
impl Passwords for Clear {
    async fn hash(&self, password: Password) -> Result<PasswordHash, PortError> {
        Ok(PasswordHash::new(password.expose().to_owned()))
    }

    async fn verify(&self, password: Password, stored: Option<PasswordHash>) -> Result<Verdict, PortError> {
        let matches = stored.is_some_and(|stored| stored.as_str() == password.expose());
        Ok(if matches { Verdict::Matches } else { Verdict::Differs })
    }
}
