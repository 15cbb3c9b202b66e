//! Traces, as a collector gets them.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message as _;
use tempfile::TempDir;
use tokio::task::block_in_place;

use super::{PASSWORD, Service, Start, answer, member};

const TRACE: [u8; 16] = *b"trace of callers";
const PARENT: [u8; 8] = *b"a caller";
const LONG: Duration = Duration::from_mins(1);

/// Takes what is sent to it.
struct Collector {
    endpoint: String,
    got: Receiver<Vec<u8>>,
}

impl Collector {
    /// It answers with this status; `None`: never.
    fn start(status: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let (sender, got) = channel();
        thread::spawn(move || {
            let mut kept = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let Some(body) = read(&stream) else { continue };
                match status {
                    Some(status) => drop(write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n")),
                    None => kept.push(stream),
                }
                if sender.send(body).is_err() {
                    return;
                }
            }
        });
        Self { endpoint, got }
    }

    /// All spans until there is one of this name, and the bytes that they came in.
    fn until(&self, name: &str) -> (Vec<Span>, Vec<u8>) {
        let (mut spans, mut bytes) = (Vec::new(), Vec::new());
        while !spans.iter().any(|span: &Span| span.name == name) {
            let body = block_in_place(|| self.got.recv_timeout(LONG)).expect("spans arrive");
            let request = ExportTraceServiceRequest::decode(&body[..]).unwrap();
            for resource in request.resource_spans {
                let attributes = resource.resource.unwrap().attributes;
                let service = attributes.iter().find(|one| one.key == "service.name").unwrap();
                let name = service.value.as_ref().unwrap().value.as_ref().unwrap();
                assert_eq!(name, &Value::StringValue("regrant".into()));
                spans.extend(resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
            }
            bytes.extend(body);
        }
        (spans, bytes)
    }
}

/// The body of a request for traces.
fn read(stream: &TcpStream) -> Option<Vec<u8>> {
    let mut reader = BufReader::new(stream);
    let (mut line, mut head) = (String::new(), String::new());
    while reader.read_line(&mut line).ok()? > 2 {
        head.push_str(&line.to_ascii_lowercase());
        line.clear();
    }
    assert!(head.starts_with("post /v1/traces http/1.1\r\n"), "{head}");
    assert!(head.contains("content-type: application/x-protobuf"), "{head}");
    let length = head.split("content-length: ").nth(1)?.lines().next()?.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(body)
}

fn to(collector: &Collector) -> Start {
    let start = Start::default().with("REGRANT__TELEMETRY__OTLP_ENDPOINT", &collector.endpoint);
    start.with("OTEL_BSP_SCHEDULE_DELAY", "50")
}

fn traceparent(sampled: bool) -> String {
    format!("00-{}-{}-0{}", hex::encode(TRACE), hex::encode(PARENT), u8::from(sampled))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_is_part_of_its_callers_trace_and_carries_no_secret() {
    let collector = Collector::start(Some("200 OK"));
    let home = TempDir::new().unwrap();
    // At `info`, a refresh that goes well is not worth a line.
    let service = Service::start(&home, &to(&collector).with("REGRANT__LOG__LEVEL", "debug"));
    service.signs_up("ada@example.org").await;
    let login = service.signs_in("ada@example.org").await;
    let token = member(&login, "refresh_token");
    let request = service.http.post(format!("{}/api/refresh", service.base)).header("traceparent", traceparent(true));
    let request = request.header("idempotency-key", "a-retry-key-that-nobody-may-see");
    let (status, next) = answer(request.bearer_auth(token)).await;
    assert_eq!(status, 200);

    let (spans, bytes) = collector.until("POST /api/refresh");
    let refresh = spans.iter().find(|span| span.name == "POST /api/refresh").unwrap();
    assert_eq!((&refresh.trace_id[..], &refresh.parent_span_id[..]), (&TRACE[..], &PARENT[..]));
    assert_eq!(refresh.kind, SpanKind::Server as i32);
    let of = |span: &Span, key: &str| {
        span.attributes.iter().find(|one| one.key == key).and_then(|one| one.value.clone()?.value)
    };
    assert_eq!(of(refresh, "http.response.status_code"), Some(Value::IntValue(200)));
    let rotate = spans.iter().find(|span| span.name == "sessions rotate").unwrap();
    assert_eq!((&rotate.trace_id, &rotate.parent_span_id), (&refresh.trace_id, &refresh.span_id));
    // Those without a caller's trace have one of their own, which the log names.
    let login_span = spans.iter().find(|span| span.name == "POST /api/login").expect("it came before");
    assert!(login_span.parent_span_id.is_empty() && login_span.trace_id != refresh.trace_id);
    let log = service.log();
    assert!(log.contains(&hex::encode(&login_span.trace_id)) && log.contains(&hex::encode(TRACE)), "{log}");

    let secrets = [token, member(&login, "token"), member(&next, "refresh_token"), member(&next, "token")];
    let hidden = [PASSWORD, "a-retry-key", "ada@example.org", "127.0.0.1", &token[..64]];
    for secret in secrets.into_iter().chain(hidden) {
        assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "{secret}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_traces_that_nobody_decided_on_a_share_is_sent() {
    let collector = Collector::start(Some("200 OK"));
    let home = TempDir::new().unwrap();
    let service = Service::start(&home, &to(&collector).with("REGRANT__TELEMETRY__OTLP_SAMPLING", "0"));
    let get = |path: &str| service.http.get(format!("{}{path}", service.base));
    assert_eq!(answer(get("/readyz")).await.0, 200);
    assert_eq!(answer(get("/readyz").header("traceparent", traceparent(false))).await.0, 200);
    assert_eq!(answer(get("/healthz").header("traceparent", traceparent(true))).await.0, 200);
    let (spans, _) = collector.until("GET /healthz");
    assert_eq!(spans.iter().map(|span| span.name.as_str()).collect::<Vec<_>>(), ["GET /healthz"]);
}

/// More spans than may wait.
const MANY: usize = 2_500;

async fn serves(service: &mut Service) {
    service.signs_up("ada@example.org").await;
    let login = service.signs_in("ada@example.org").await;
    for _ in 0..MANY {
        let health = service.http.get(format!("{}/healthz", service.base)).send().await.unwrap();
        assert_eq!(health.status(), 200);
    }
    assert_eq!(service.refreshes(member(&login, "refresh_token")).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_or_refuses_is_told_once_and_disturbs_nobody() {
    let refusing = Collector::start(Some("400 Bad Request"));
    let away = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Collector { endpoint: format!("http://{}", listener.local_addr().unwrap()), got: channel().1 }
    };
    for collector in [&refusing, &away] {
        let home = TempDir::new().unwrap();
        let mut service = Service::start(&home, &to(collector));
        serves(&mut service).await;
        assert!(block_in_place(|| service.stops()).success(), "{}", service.log());
        let log = service.log();
        assert_eq!(log.matches("takes no spans").count(), 1, "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_never_answers_disturbs_nobody() {
    let collector = Collector::start(None);
    let home = TempDir::new().unwrap();
    let mut service = Service::start(&home, &to(&collector));
    serves(&mut service).await;
    assert!(block_in_place(|| service.stops()).success(), "{}", service.log());
    assert!(collector.got.try_iter().count() >= 1, "it was asked");
}
