//! What those who run the service see of it: metrics, and lines of the log.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::queries::promtool;
use super::reasons::{measured, measured_as, metrics};
use super::{PASSWORD, Service, Start, answer, member, root};
use crate::support::servers;

/// `/metrics`, read.
pub(super) struct Exposition {
    /// Each metric that is described, with its type.
    pub(super) types: BTreeMap<String, String>,
    /// The labels of each series, by its name as it is asked for.
    pub(super) samples: BTreeMap<String, Vec<BTreeMap<String, String>>>,
}

impl Exposition {
    fn read(text: &str) -> Self {
        let mut read = Self { types: BTreeMap::new(), samples: BTreeMap::new() };
        for line in text.lines() {
            if let Some(described) = line.strip_prefix("# TYPE ") {
                let (name, kind) = described.split_once(' ').unwrap();
                assert!(read.types.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} is described twice");
            } else if !line.starts_with('#') {
                let (series, value) = line.rsplit_once(' ').unwrap();
                assert!(value.parse::<f64>().is_ok(), "{line}");
                let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
                let labels = labels.trim_end_matches('}').split("\",").filter(|label| !label.is_empty()).map(|label| {
                    let (name, value) = label.split_once("=\"").unwrap();
                    (name.to_owned(), value.trim_end_matches('"').to_owned())
                });
                read.samples.entry(name.to_owned()).or_default().push(labels.collect());
            }
        }
        read
    }

    /// The labels of a metric, but for the bounds of a histogram.
    fn labels(&self, name: &str) -> BTreeSet<&str> {
        let name = if self.types[name] == "histogram" { format!("{name}_count") } else { name.to_owned() };
        self.samples[&name].iter().flat_map(BTreeMap::keys).map(String::as_str).collect()
    }
}

pub(super) async fn page_of(service: &Service, url: &str) -> Exposition {
    Exposition::read(&metrics(service, url).await)
}

fn on_postgres() -> bool {
    servers::is_wanted("postgres")
}

/// A service on the store that has the most to tell, after some of everything.
pub(super) async fn busy() -> (TempDir, Service, String) {
    let home = TempDir::new().unwrap();
    let mut start = Start::default();
    if on_postgres() {
        let url = servers::postgres::fresh_database().await;
        start = start.with("REGRANT__STORE__KIND", "postgres").with("REGRANT__STORE__URL", &url);
    }
    let (service, url) = measured_as(&home, &start);
    service.signs_up("ada@example.org").await;
    let login = service.signs_in("ada@example.org").await;
    let first = member(&login, "refresh_token");
    let (_, next) = service.refreshes(first).await;
    assert_eq!(service.refreshes(first).await.0, 200, "a replay");
    let (status, _) = service.refreshes(member(&next, "refresh_token")).await;
    assert_eq!(status, 200);
    let wrong = json!({ "email": "ada@example.org", "password": "another password" });
    assert_eq!(service.post("/api/login", None, Some(wrong)).await.0, 401);
    assert_eq!(service.get("/api/sessions", member(&next, "token")).await.0, 200);
    assert_eq!(service.post("/api/revoke", Some(member(&next, "refresh_token")), None).await.0, 204);
    assert_eq!(service.refreshes(member(&next, "refresh_token")).await.0, 401);
    assert_eq!(service.get("/nowhere", "x").await.0, 404);
    (home, service, url)
}

/// The table of the page: each metric with its type and its labels.
fn documented() -> BTreeMap<String, (String, BTreeSet<String>)> {
    let page = std::fs::read_to_string(root().join("docs/observability.md")).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| `regrant_") || line.starts_with("| `process_"));
    let table = rows.map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, labels, tells] = cells.as_slice() else { panic!("{row}") };
        assert!(tells.len() > 5, "{row}");
        let labels = labels.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        (name.trim_matches('`').to_owned(), ((*kind).to_owned(), labels))
    });
    table.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_lists_what_is_told_and_what_is_told_is_on_the_page() {
    let (_home, service, url) = busy().await;
    let told = page_of(&service, &url).await;
    let mut page = documented();
    if !on_postgres() {
        page.remove("regrant_clock_skew_seconds").unwrap();
    }
    let names: BTreeSet<_> = page.keys().collect();
    assert_eq!(told.types.keys().collect::<BTreeSet<_>>(), names);
    for (name, (kind, labels)) in &page {
        assert_eq!(&told.types[name], kind, "{name}");
        assert_eq!(told.labels(name), labels.iter().map(String::as_str).collect(), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn promtool_accepts_what_is_told() {
    let (_home, service, url) = busy().await;
    let said = promtool(&["check", "metrics"], &metrics(&service, &url).await);
    assert_eq!(said, "");
    let request =
        service.http.get(&url).header("accept", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5");
    let answer = request.send().await.unwrap();
    assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("application/openmetrics-text"));
    assert!(answer.text().await.unwrap().ends_with("# EOF\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_paths_and_methods_add_no_series_beyond_a_few() {
    let home = TempDir::new().unwrap();
    let (service, url) = measured(&home);
    let odd = async |n: u32| {
        for (method, path) in
            [("GET", "nothing"), ("BREW", "nothing"), ("BREW", "api/me"), ("PATCH", "api/sessions/{id}")]
        {
            let path =
                format!("{}/{path}{}", service.base, if path == "nothing" { n.to_string() } else { String::new() });
            let method = if method == "BREW" { format!("BREW{n}") } else { method.to_owned() };
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let sent = service.http.request(method, path).header("user-agent", format!("agent {n}")).send().await;
            assert!([404, 405].contains(&sent.unwrap().status().as_u16()));
        }
    };
    odd(0).await;
    let before = metrics(&service, &url).await;
    let told = Exposition::read(&before);
    let labels = |route: &str, method: &str, status: &str| {
        let labels = [("route", route), ("method", method), ("status", status)];
        labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    };
    for (route, method, status) in
        [("unmatched", "GET", "404"), ("unmatched", "other", "404"), ("/api/me", "other", "405")]
    {
        let series = &told.samples["regrant_http_requests_total"];
        assert!(series.contains(&labels(route, method, status)), "{route} {method} {status}: {series:?}");
    }
    for n in 1..40 {
        odd(n).await;
    }
    assert_eq!(metrics(&service, &url).await.lines().count(), before.lines().count());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_one_line_with_everything_that_is_asked_of_it() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let home = TempDir::new().unwrap();
    let service = Service::start(&home, &Start::default().with("REGRANT__LOG__FORMAT", "json"));
    service.signs_up("ada@example.org").await;
    let login = service.signs_in("ada@example.org").await;
    let refreshed = service.http.post(format!("{}/api/refresh", service.base));
    assert_eq!(answer(refreshed.bearer_auth(member(&login, "refresh_token"))).await.0, 200);
    let request = service.http.get(format!("{}/api/me?odd=secret-in-the-query", service.base));
    let request =
        request.header("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-01")).header("x-request-id", "mine");
    let (status, _) = answer(request.bearer_auth(member(&login, "token"))).await;
    assert_eq!(answer(service.http.get(format!("{}/healthz", service.base))).await.0, 200);
    let log = service.log();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of: Vec<_> = lines.iter().filter(|line| line["span"]["request_id"] == "mine").collect();
    let line = of.iter().find(|line| line["message"] == "answered").unwrap_or_else(|| panic!("{log}"));
    assert_eq!(line["status"], status, "{line}");
    assert_eq!(line["client"], "127.0.0.1", "{line}");
    assert!(line["latency_ms"].is_u64() && line["level"] == "INFO", "{line}");
    for (name, value) in [("method", "GET"), ("path", "/api/me"), ("trace_id", TRACE)] {
        assert_eq!(line["span"][name], value, "{line}");
    }
    assert!(!log.contains("secret-in-the-query") && !log.contains(PASSWORD), "{log}");
    // Of others, there is no trace to tell; and what happens all the time, and goes well, is not worth a line.
    let others = lines.iter().filter(|line| line["message"] == "answered" && line["span"]["request_id"] != "mine");
    assert!(others.clone().all(|line| line["span"].get("trace_id").is_none() && line["span"]["path"] != "/healthz"));
    assert_eq!(others.count(), 2, "{log}");
    // What goes wrong is.
    assert_eq!(answer(service.http.post(format!("{}/api/refresh", service.base)).bearer_auth("nonsense")).await.0, 401);
    let log = service.log();
    assert!(log.lines().any(|line| line.contains("/api/refresh") && line.contains("\"status\":401")), "{log}");
}
