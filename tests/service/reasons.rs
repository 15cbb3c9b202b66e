//! "Why was I signed out?" has one answer everywhere: the same code in the body of the 401, in the session's record, in the
//! event of the log, in the history, in the metric, and in the tables that people read.

use std::collections::BTreeSet;

use regrant_domain::reason::{EndReason, Refusal};
use serde_json::json;
use tempfile::TempDir;

use super::{Service, Start, answer, member, root};

/// The codes in the first column of the table below this line of a document.
fn table(document: &str, heading: &str) -> BTreeSet<String> {
    let rest = document.split_once(heading).unwrap_or_else(|| panic!("{heading} is missing")).1;
    let rows = rest.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|')).skip(2);
    rows.map(|row| row.split('`').nth(1).unwrap_or_else(|| panic!("no code in {row}")).to_owned()).collect()
}

#[test]
fn the_readme_says_of_every_code_what_happened_and_what_a_client_does() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let codes: BTreeSet<String> = Refusal::all().map(|why| why.code().to_owned()).collect();
    assert_eq!(table(&readme, "A refused token that *is* ours says why."), codes);
    for why in Refusal::all() {
        let row = readme.lines().find(|line| line.starts_with(&format!("| `{}` |", why.code()))).unwrap();
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert!(cells.len() == 3 && cells.iter().all(|cell| cell.len() > 3), "{row}");
    }
}

/// A service with metrics, and where they are.
pub(super) fn measured(home: &TempDir) -> (Service, String) {
    measured_as(home, &Start::default())
}

/// The same, started like this.
pub(super) fn measured_as(home: &TempDir, start: &Start) -> (Service, String) {
    let service = Service::start(home, &start.clone().with("REGRANT__SERVER__ADMIN_LISTEN", "127.0.0.1:0"));
    let log = service.log();
    let at = log.find("serving metrics").expect("it says where");
    let addr = log[at..].split("at=http://").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    let addr: String = addr.chars().filter(|c| c.is_ascii_digit() || ".:".contains(*c)).collect();
    (service, format!("http://{addr}/metrics"))
}

pub(super) async fn metrics(service: &Service, url: &str) -> String {
    service.http.get(url).send().await.unwrap().error_for_status().unwrap().text().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_code_is_a_series_of_the_metrics() {
    let home = TempDir::new().unwrap();
    let (service, url) = measured(&home);
    let text = metrics(&service, &url).await;
    for why in Refusal::all() {
        let series = format!("regrant_refresh_refusals_total{{reason=\"{}\"}} 0", why.code());
        assert!(text.contains(&series), "{series}:\n{text}");
    }
    for reason in EndReason::ALL {
        let series = format!("regrant_sessions_ended_total{{reason=\"{}\"}} 0", reason.code());
        assert!(text.contains(&series), "{series}:\n{text}");
    }
    // The public listener does not show them.
    let (status, _) = answer(service.http.get(format!("{}/metrics", service.base))).await;
    assert_eq!(status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_sign_out_has_one_code_wherever_it_is_told() {
    let home = TempDir::new().unwrap();
    let (service, url) = measured(&home);
    service.signs_up("ada@example.org").await;
    let login = service.signs_in("ada@example.org").await;
    let (session, refresh) = (member(&login, "session_id"), member(&login, "refresh_token"));
    assert_eq!(service.post("/api/revoke", Some(refresh), None).await.0, 204);
    let code = EndReason::SignedOut.code();

    let (status, body) = service.refreshes(refresh).await;
    assert_eq!((status, &body["code"]), (401, &json!(code)));
    let (status, body) = service.get("/api/me", member(&login, "token")).await;
    assert_eq!((status, &body["code"]), (401, &json!(code)));

    let again = service.signs_in("ada@example.org").await;
    let (_, list) = service.get("/api/sessions", member(&again, "token")).await;
    let record = list.as_array().unwrap().iter().find(|item| item["id"] == session).unwrap();
    assert_eq!(record["end_reason"], code);
    let (_, history) = service.get(&format!("/api/sessions/{session}/history"), member(&again, "token")).await;
    let ended = history.as_array().unwrap().iter().find(|entry| entry["what"] == "ended").unwrap();
    assert_eq!(ended["reason"], code);

    let log = service.log();
    assert!(log.lines().any(|line| line.contains("ended") && line.contains(session) && line.contains(code)), "{log}");
    let text = metrics(&service, &url).await;
    for series in ["sessions_ended", "refresh_refusals"] {
        let line = format!("regrant_{series}_total{{reason=\"{code}\"}} 1");
        assert!(text.contains(&line), "{line}:\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_authentic_gets_no_reason() {
    let home = TempDir::new().unwrap();
    let (service, url) = measured(&home);
    let before = metrics(&service, &url).await;
    let (status, body) = service.refreshes(&"A".repeat(115)).await;
    assert_eq!((status, &body["code"]), (401, &json!("invalid_token")));
    let after = metrics(&service, &url).await;
    let of_tokens = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| line.contains("refresh") && !line.contains("route="));
        lines.map(str::to_owned).collect()
    };
    assert!(of_tokens(&after).len() > 10, "{after}");
    assert_eq!(of_tokens(&after), of_tokens(&before), "and it is counted as no refresh");
}
