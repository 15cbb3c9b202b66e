//! A server that would lose acknowledged writes is refused, with everything that is wrong told at once.

use regrant_adapters::outbound::postgres::{Fault, PostgresOptions, PostgresStore, Risk, StartError};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use super::{connect, database, look, options};
use crate::support::servers::{self, postgres::Postgres};

async fn faults(options: &PostgresOptions) -> Vec<Fault> {
    match PostgresStore::connect(options).await {
        Err(StartError::Unsafe(faults)) => faults,
        other => panic!("{other:?}"),
    }
}

async fn risks(options: &PostgresOptions) -> Vec<Risk> {
    faults(options).await.into_iter().map(|fault| fault.risk).collect()
}

/// Runs it in another database, so that what it sets for this one counts at the next connection.
async fn set(url: &str, sql: &str) {
    let (server, database) = url.split('?').next().unwrap().rsplit_once('/').unwrap();
    let mut connection = PgConnection::connect(&format!("{server}/postgres?sslmode=disable")).await.unwrap();
    connection.execute(AssertSqlSafe(sql.replace("{}", database))).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asynchronous_commit_is_refused_wherever_it_was_set() {
    let Some(url) = database().await else { return };
    let url = format!("{url}{}", if url.contains('?') { "" } else { "?" });
    let by_url = format!("{url}&options[synchronous_commit]=off");
    let found = faults(&options(&by_url, 2)).await;
    assert_eq!(found, [Fault { risk: Risk::SynchronousCommitOff, found: "synchronous_commit = off".into() }]);
    let told = StartError::Unsafe(found).to_string();
    assert!(told.contains("synchronous_commit = off") && told.contains("store.allow = [\"synchronous_commit_off\"]"));

    set(&url, "ALTER DATABASE {} SET synchronous_commit = off").await;
    assert_eq!(risks(&options(&url, 2)).await, [Risk::SynchronousCommitOff]);
    set(&url, "ALTER DATABASE {} SET synchronous_commit = remote_apply").await;
    connect(&url, 2).await.close().await;
    connect(&format!("{url}&options[synchronous_commit]=local"), 2).await.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_allowed_by_name_is_put_up_with_and_nothing_else() {
    let Some(url) = database().await else { return };
    connect(&url, 2).await.close().await;
    set(&url, "ALTER DATABASE {} SET default_transaction_read_only = on").await;
    let mut connection = look(&url).await;
    connection.execute("SET default_transaction_read_only = off").await.unwrap();
    connection.execute("ALTER TABLE refresh_tokens SET UNLOGGED").await.unwrap();
    connection.close().await.unwrap();
    let mut options = options(&url, 2);
    assert_eq!(risks(&options).await, [Risk::ReadOnly, Risk::UnloggedTables]);
    options.allow = vec![Risk::ReadOnly, Risk::FsyncOff];
    assert_eq!(risks(&options).await, [Risk::UnloggedTables]);
    options.allow.push(Risk::UnloggedTables);
    PostgresStore::connect(&options).await.unwrap().close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_wait_for_the_disk_or_is_a_standby_is_refused() {
    if !servers::is_wanted("postgres") {
        return;
    }
    let server = Postgres::start();
    let url = server.url("postgres");
    let mut connection = look(&url).await;
    for sql in ["ALTER SYSTEM SET fsync = off", "ALTER SYSTEM SET full_page_writes = off", "SELECT pg_reload_conf()"] {
        connection.execute(sql).await.unwrap();
    }
    connection.close().await.unwrap();
    let mut options = options(&url, 2);
    let mut found = Vec::new();
    for _ in 0..50 {
        // A reload takes a moment to be heard.
        found = match PostgresStore::connect(&options).await {
            Err(StartError::Unsafe(faults)) => faults.into_iter().map(|fault| fault.risk).collect(),
            _ => Vec::new(),
        };
        if found.len() == 2 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(found, [Risk::FsyncOff, Risk::FullPageWritesOff]);
    options.allow = found;
    let store = PostgresStore::connect(&options).await.unwrap();
    assert!(store.is_empty().await.unwrap());
    store.close().await;

    server.stop();
    std::fs::write(server.data().join("standby.signal"), "").unwrap();
    server.resume_from_stop();
    let found = faults(&options).await;
    assert_eq!(found[0].risk, Risk::ReadOnly);
    assert!(found[0].found.contains("recovery"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_not_there_or_a_url_that_is_none_is_told_without_the_password() {
    let nowhere = PostgresOptions::new("postgres://ada:hunter22@127.0.0.1:1/regrant?sslmode=disable");
    let before = std::time::Instant::now();
    let error = PostgresStore::connect(&nowhere).await.unwrap_err();
    assert!(matches!(error, StartError::Unreachable(_)) && before.elapsed().as_secs() < 4);
    assert!(!format!("{error} {error:?} {nowhere:?}").contains("hunter22"));
    let error = PostgresStore::connect(&PostgresOptions::new("postgres//ada:hunter22@host")).await.unwrap_err();
    assert!(matches!(error, StartError::Url(_)));
    assert!(!format!("{error} {error:?}").contains("hunter22"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stores_clock_is_the_servers() {
    let Some(url) = database().await else { return };
    let store = connect(&url, 2).await;
    let mut connection = look(&url).await;
    let sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";
    let before: i64 = sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap();
    let now = store.store_now().await.unwrap().millis();
    let after: i64 = sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap();
    assert!(before - 1 <= now && now <= after + 1, "{before} {now} {after}");
}
