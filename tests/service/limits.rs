//! Limits as they are by default, and as several processes share them.

use serde_json::json;
use tempfile::TempDir;
use tokio::task::block_in_place;

use super::{PASSWORD, Service, Start};
use crate::contract::bench::random;
use crate::support::servers;

/// This machine is not exempt, and an account has three tries.
fn limited() -> Start {
    let start = Start::default().with("REGRANT__LIMITS__EXEMPT", "");
    start.with("REGRANT__LIMITS__PASSWORD_BY_ACCOUNT_AND_ADDRESS", "3/1h")
}

async fn tries(service: &Service, email: &str) -> u16 {
    service.post("/api/login", None, Some(json!({ "email": email, "password": "wrong" }))).await.0
}

async fn count_together(start: &Start) {
    let homes = [(); 2].map(|()| TempDir::new().unwrap());
    let services = block_in_place(|| homes.each_ref().map(|home| Service::start(home, start)));
    let mut statuses = Vec::new();
    for at in 0..6 {
        statuses.push(tries(&services[at % 2], "ada@example.org").await);
    }
    assert_eq!(statuses, [401, 401, 401, 429, 429, 429]);
    assert_eq!(tries(&services[1], "bob@example.org").await, 401);
    for service in &services {
        assert!(!service.log().contains("ada@example.org"), "{}", service.log());
        assert!(service.log().contains("password_by_account_and_address"), "{}", service.log());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_on_one_postgres_count_together() {
    if !servers::is_wanted("postgres") {
        return;
    }
    let start = limited().with("REGRANT__STORE__KIND", "postgres");
    count_together(&start.with("REGRANT__STORE__URL", &servers::postgres::fresh_database().await)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_on_one_redis_count_together() {
    for (name, url) in [("redis", servers::redis::single as fn() -> String), ("redis_cluster", servers::redis::cluster)]
    {
        if !servers::is_wanted(name) {
            continue;
        }
        let start = limited().with("REGRANT__STORE__KIND", "redis").with("REGRANT__STORE__URL", &block_in_place(url));
        let start = start.with("REGRANT__STORE__PREFIX", &format!("{}:", hex::encode(random::<4>())));
        count_together(&start.with("REGRANT__USERS__KIND", "sqlite")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_may_count_for_itself() {
    let home = TempDir::new().unwrap();
    let service = block_in_place(|| Service::start(&home, &limited().with("REGRANT__LIMITS__STATE", "memory")));
    for status in [401, 401, 401, 429] {
        assert_eq!(tries(&service, "ada@example.org").await, status);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_default_this_machine_is_exempt_and_an_account_is_protected_behind_a_proxy_that_is_trusted() {
    let home = TempDir::new().unwrap();
    let mut service = block_in_place(|| Service::start(&home, &Start::default()));
    for _ in 0..25 {
        assert_eq!(tries(&service, "ada@example.org").await, 401);
    }
    block_in_place(|| service.stops());
    let trusting = Start::default().with("REGRANT__SERVER__TRUSTED_PROXIES", "127.0.0.1");
    let service = block_in_place(|| Service::start(&home, &trusting));
    service.signs_up("ada@example.org").await;
    let try_from = async |address: &str, password: &str| {
        let body = json!({ "email": "ada@example.org", "password": password });
        let request = service.http.post(format!("{}/api/login", service.base)).json(&body);
        super::answer(request.header("x-forwarded-for", address)).await.0
    };
    assert_eq!(try_from("198.51.100.1", PASSWORD).await, 200);
    for at in 0..21 {
        assert_eq!(try_from("198.51.100.2", "wrong").await, if at < 20 { 401 } else { 429 });
    }
    assert_eq!(try_from("198.51.100.1", PASSWORD).await, 200);
}
