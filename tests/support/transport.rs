//! Requests and answers, whether they travel through a network or not.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use regrant_adapters::inbound::http::Peer;
use serde_json::Value;
use tower::ServiceExt;

use super::described;

/// How requests reach the service.
#[derive(Clone)]
pub(crate) enum Transport {
    /// A router in this process.
    InProcess(Router),
    /// A server somewhere.
    Network {
        /// Such as `http://127.0.0.1:8080`.
        base: String,
        /// With its connections.
        client: reqwest::Client,
    },
}

impl Transport {
    /// Sends a request and reads the whole answer.
    pub(crate) async fn send(&self, call: Call) -> Answer {
        let (method, path) = (call.method.clone(), call.path.clone());
        let answer = self.carry(call).await;
        described::check(&method, &path, &answer);
        answer
    }

    async fn carry(&self, call: Call) -> Answer {
        match self {
            Self::InProcess(router) => {
                let response = router.clone().oneshot(call.into_request()).await.unwrap();
                let (parts, body) = response.into_parts();
                let body = to_bytes(body, usize::MAX).await.unwrap().to_vec();
                Answer { status: parts.status, headers: parts.headers, body }
            }
            Self::Network { base, client } => {
                let url = format!("{base}{}", call.path);
                let request = client.request(call.method, url).headers(call.headers).body(call.body);
                let response = request.send().await.unwrap();
                let (status, headers) = (response.status(), response.headers().clone());
                Answer { status, headers, body: response.bytes().await.unwrap().to_vec() }
            }
        }
    }
}

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Call {
    pub(crate) fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), headers: HeaderMap::new(), body: Vec::new() }
    }

    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    pub(crate) fn post(path: impl Into<String>) -> Self {
        Self::new(Method::POST, path)
    }

    pub(crate) fn put(path: impl Into<String>) -> Self {
        Self::new(Method::PUT, path)
    }

    pub(crate) fn delete(path: impl Into<String>) -> Self {
        Self::new(Method::DELETE, path)
    }

    /// With a header more.
    pub(crate) fn header(mut self, name: &'static str, value: impl AsRef<[u8]>) -> Self {
        let value = HeaderValue::from_bytes(value.as_ref()).unwrap();
        self.headers.append(HeaderName::from_static(name), value);
        self
    }

    /// With a token.
    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    /// With a JSON body.
    #[expect(clippy::needless_pass_by_value, reason = "reads better where it is called")]
    pub(crate) fn json(self, body: impl ToString) -> Self {
        self.header("content-type", "application/json").body(body.to_string())
    }

    /// With a form as its body; values are encoded.
    pub(crate) fn form(self, pairs: &[(&str, &str)]) -> Self {
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        self.header("content-type", "application/x-www-form-urlencoded").body(pairs.join("&"))
    }

    /// With HTTP Basic.
    pub(crate) fn basic(self, (name, secret): (&str, &str)) -> Self {
        let credentials = STANDARD.encode(format!("{}:{}", encoded(name), encoded(secret)));
        self.header("authorization", format!("Basic {credentials}"))
    }

    /// With a body, and nothing said of it.
    pub(crate) fn body(self, body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..self }
    }

    /// As the router gets it from the server loop.
    pub(crate) fn into_request(self) -> Request<Body> {
        let mut request = Request::new(Body::from(self.body));
        *request.method_mut() = self.method;
        *request.uri_mut() = self.path.parse().unwrap();
        *request.headers_mut() = self.headers;
        request.extensions_mut().insert(Peer([192, 0, 2, 7].into()));
        request
    }
}

/// As a form has it.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    pub(crate) fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap()
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// A header that is there at most once.
    pub(crate) fn header(&self, name: impl header::AsHeaderName) -> Option<&str> {
        let mut all = self.headers.get_all(name).iter();
        let first = all.next().map(|value| value.to_str().unwrap());
        assert!(all.next().is_none(), "a header is there twice: {self:?}");
        first
    }

    /// Everything that a client can see of it.
    pub(crate) fn everything(&self) -> String {
        format!("{} {:?} {}", self.status, self.headers, String::from_utf8_lossy(&self.body))
    }

    /// Asserts the status.
    #[track_caller]
    pub(crate) fn is(&self, status: u16) -> &Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.everything());
        self
    }

    /// Asserts an error of OAuth (RFC 6749 §5.2), with the reason where the token was authentic.
    #[track_caller]
    pub(crate) fn is_oauth_error(&self, status: u16, error: &str, code: Option<&str>) -> &Self {
        self.is(status);
        let body = self.json();
        assert_eq!((body["error"].as_str(), body["code"].as_str()), (Some(error), code), "{}", self.everything());
        let said = body["error_description"].as_str().unwrap();
        assert!(!said.is_empty() && said.bytes().all(|b| matches!(b, b' '..=b'~') && !b"\"\\".contains(&b)), "{said}");
        assert_eq!(self.header("content-type"), Some("application/json"));
        assert_eq!((self.header("cache-control"), self.header("pragma")), (Some("no-store"), Some("no-cache")));
        assert_eq!(body["request_id"], self.header("x-request-id").unwrap());
        let challenge = (error == "invalid_client").then_some("Basic realm=\"regrant\"");
        assert_eq!(self.header("www-authenticate"), challenge, "{}", self.everything());
        self
    }

    /// Asserts a whole problem: status, code, and the form of RFC 9457.
    #[track_caller]
    pub(crate) fn is_problem(&self, status: u16, code: &str) -> &Self {
        self.is(status);
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.everything());
        let body = self.json();
        assert_eq!(body["code"], code, "{}", self.everything());
        assert_eq!(body["type"], format!("urn:regrant:problem:{code}"));
        assert_eq!(body["status"], status);
        assert_eq!(body["request_id"], self.header("x-request-id").unwrap());
        for member in ["title", "detail"] {
            assert!(body[member].as_str().is_some_and(|text| !text.is_empty()), "{}", self.everything());
        }
        self
    }
}
