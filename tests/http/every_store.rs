//! The tests of this folder, as they are, on every store: each in a process of its own, which runs this test binary with
//! another store below its worlds.

use std::process::{Command, Stdio};

use crate::support::servers::is_wanted;
use crate::support::stores::VARIABLE;

fn passes_on(store: &str) {
    // The processes that this starts must not start more.
    if std::env::var_os(VARIABLE).is_some() || !is_wanted(store) {
        return;
    }
    let tests = Command::new(std::env::current_exe().unwrap())
        .args(["http::", "--skip", "http::every_store", "--test-threads", "4"])
        .env(VARIABLE, store)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&tests.stdout);
    let passed =
        told.lines().find_map(|line| line.strip_prefix("test result: ok. ")?.split(' ').next()?.parse::<u32>().ok());
    assert!(tests.status.success() && passed.is_some_and(|passed| passed > 50), "{told}");
}

#[test]
fn the_tests_pass_on_sqlite() {
    passes_on("sqlite");
}

#[test]
fn the_tests_pass_on_postgres() {
    passes_on("postgres");
}

#[test]
fn the_tests_pass_on_redis() {
    passes_on("redis");
}

#[test]
fn the_tests_pass_on_a_redis_cluster() {
    passes_on("redis_cluster");
}

#[test]
fn the_tests_pass_on_redis_by_sentinels() {
    passes_on("redis_sentinel");
}
