//! `kill -9` during a stream of refreshes and revokes: what was acknowledged is there, and nobody is signed out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use super::{Service, Start, database, member, query};

/// A client that keeps the contract: it knows the last acknowledged token, and whether a revoke was acknowledged, or
/// sent without an answer.
struct Client {
    token: String,
    refreshes: u32,
    revoked: Option<bool>,
}

async fn run(mut client: Client, revokes: bool, base: String, http: reqwest::Client, stop: Arc<AtomicBool>) -> Client {
    while !stop.load(Ordering::SeqCst) {
        let path = if revokes && client.refreshes >= 3 { "revoke" } else { "refresh" };
        let request = http.post(format!("{base}/api/{path}")).bearer_auth(&client.token).send();
        let answer = match request.await {
            Ok(answer) => answer,
            Err(_) if path == "revoke" => {
                client.revoked = Some(false);
                return client;
            }
            Err(_) => return client,
        };
        match (path, answer.status().as_u16()) {
            ("revoke", 204) => {
                client.revoked = Some(true);
                return client;
            }
            ("refresh", 200) => {
                let Ok(body) = answer.text().await else { return client };
                let body: serde_json::Value = serde_json::from_str(&body).unwrap();
                member(&body, "refresh_token").clone_into(&mut client.token);
                client.refreshes += 1;
            }
            (path, status) => panic!("{path}: {status}"),
        }
    }
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_write_is_there_after_a_kill() {
    let home = TempDir::new().unwrap();
    let start = Start::default();
    let mut service = Service::start(&home, &start);
    let mut acknowledged = 0;
    service.signs_up("ada@example.org").await;
    for round in 0..4 {
        let stop = Arc::new(AtomicBool::new(false));
        let mut running = Vec::new();
        for i in 0..24 {
            let token = member(&service.signs_in("ada@example.org").await, "refresh_token").to_owned();
            let client = Client { token, refreshes: 0, revoked: None };
            let task = run(client, i % 3 == 0, service.base.clone(), service.http.clone(), stop.clone());
            running.push(tokio::spawn(task));
        }
        tokio::time::sleep(Duration::from_millis(200 + 130 * round)).await;
        service.dies();
        stop.store(true, Ordering::SeqCst);
        let integrity = query(&database(home.path()), "PRAGMA integrity_check").await;
        assert_eq!(integrity, [[json!("ok")]]);
        service = Service::start(&home, &start);
        for task in running {
            let client = task.await.unwrap();
            acknowledged += client.refreshes + u32::from(client.revoked == Some(true));
            let (status, body) = service.refreshes(&client.token).await;
            match client.revoked {
                None => assert_eq!(status, 200, "{body}"),
                Some(true) => assert_eq!((status, &body["code"]), (401, &json!("signed_out"))),
                Some(false) => assert!(status == 200 || body["code"] == json!("signed_out"), "{status} {body}"),
            }
        }
    }
    assert!(acknowledged > 200, "only {acknowledged} writes: nothing was tested");
}
