//! How the harness speaks to the service: requests that may not arrive, and answers that may not come.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::site::Site;

/// Longer than an answer of a service that runs takes; shorter than one waits for a process that is stopped.
const PATIENCE: Duration = Duration::from_millis(2_500);

/// What came of a request.
#[derive(Debug)]
pub(super) enum Reply {
    /// There was nobody to send it to.
    NotSent,
    /// It was sent, and no whole answer came.
    Lost,
    /// An answer.
    Came(Came),
}

/// An answer.
#[derive(Debug)]
pub(super) struct Came {
    pub(super) status: u16,
    pub(super) body: Value,
    retry_after: bool,
}

impl Came {
    /// The reason code of a problem.
    pub(super) fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    /// Whether it says "could not find out", in the way in which that is to be said.
    pub(super) fn is_unavailable(&self) -> bool {
        self.status == 503 && self.retry_after && ["unavailable", "timeout", "try_again"].contains(&self.code())
    }

    /// A member of the body.
    pub(super) fn text(&self, name: &str) -> String {
        self.body[name].as_str().unwrap_or_default().to_owned()
    }

    /// All of it, for a report; without tokens.
    pub(super) fn told(&self) -> String {
        format!("{} {} {}", self.status, self.code(), self.body["detail"].as_str().unwrap_or_default())
    }
}

/// A request.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    method: Method,
    path: &'static str,
    bearer: Option<String>,
    key: Option<String>,
    body: Option<Value>,
}

impl Ask {
    pub(super) fn new(method: Method, path: &'static str) -> Self {
        Self { method, path, bearer: None, key: None, body: None }
    }

    pub(super) fn refresh(token: &str, key: Option<u64>) -> Self {
        let key = key.map(key_text);
        Self { bearer: Some(token.to_owned()), key, ..Self::new(Method::POST, "/api/refresh") }
    }

    pub(super) fn bearer(self, token: &str) -> Self {
        Self { bearer: Some(token.to_owned()), ..self }
    }

    pub(super) fn json(self, body: Value) -> Self {
        Self { body: Some(body), ..self }
    }
}

/// The way to the service.
#[derive(Clone)]
pub(super) struct Line {
    site: Arc<Site>,
    http: reqwest::Client,
}

impl Line {
    pub(super) fn new(site: Arc<Site>) -> Self {
        let http = reqwest::Client::builder().no_proxy().connect_timeout(PATIENCE).timeout(PATIENCE).build().unwrap();
        Self { site, http }
    }

    /// How many processes there are.
    pub(super) fn services(&self) -> u64 {
        self.site.services.len() as u64
    }

    /// Sends a request to the process of this number.
    pub(super) async fn send(&self, ask: &Ask, at: usize) -> Reply {
        let url = format!("{}{}", self.site.services[at].base(), ask.path);
        let mut request = self.http.request(ask.method.clone(), url);
        if let Some(token) = &ask.bearer {
            request = request.bearer_auth(token);
        }
        if let Some(key) = &ask.key {
            request = request.header("idempotency-key", key);
        }
        if let Some(body) = &ask.body {
            request = request.json(body);
        }
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) if error.is_connect() => return Reply::NotSent,
            Err(_) => return Reply::Lost,
        };
        let (status, retry_after) = (answer.status().as_u16(), answer.headers().contains_key("retry-after"));
        let Ok(bytes) = answer.bytes().await else { return Reply::Lost };
        Reply::Came(Came { status, body: serde_json::from_slice(&bytes).unwrap_or_default(), retry_after })
    }
}

/// A retry key as it is sent.
pub(super) fn key_text(key: u64) -> String {
    format!("{key:016x}")
}

/// The session and the generation that a refresh token of the default format names.
pub(super) fn named_by(token: &str) -> Option<([u8; 16], u32)> {
    let label = URL_SAFE_NO_PAD.decode(token.split_once('.')?.1).ok()?;
    let session = label.get(1..17)?.try_into().ok()?;
    Some((session, u32::from_be_bytes(label.get(17..21)?.try_into().ok()?)))
}

/// What a token is known by in the history, which holds no token.
pub(super) fn digest(token: &str) -> u64 {
    let hash = Sha256::digest(token);
    u64::from_be_bytes(std::array::from_fn(|at| hash[at]))
}
