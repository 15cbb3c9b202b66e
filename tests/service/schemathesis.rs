//! Software of other people reads `/openapi.json` and asks whatever it allows, and much that it does not.

use std::process::Command;

use tempfile::TempDir;

use super::systems::client;
use super::{Service, Start, root};

/// How many examples of each operation are tried.
fn examples() -> Option<&'static str> {
    std::env::var("REGRANT_TEST_SCALE").is_ok_and(|scale| scale == "full").then_some("200")
}

#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_no_answer_that_is_not_described() {
    finds_nothing_with("default.toml", examples().unwrap_or("10")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_none_where_access_tokens_are_opaque() {
    if let Some(examples) = examples() {
        finds_nothing_with("opaque.toml", examples).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_none_where_refresh_tokens_are_jwts() {
    if let Some(examples) = examples() {
        finds_nothing_with("jwt.toml", examples).await;
    }
}

async fn finds_nothing_with(config: &'static str, examples: &str) {
    let home = TempDir::new().unwrap();
    let start = Start { config: Some(config), ..Start::default() };
    let service = Service::start(&home, &start);
    let mut schemathesis = Command::new("python3");
    schemathesis.args(["-m", "schemathesis.cli", "run", "--phases=examples,coverage,fuzzing,stateful", "--no-color"]);
    // A slow machine is no fault of the document.
    schemathesis.arg("--suppress-health-check=all");
    schemathesis.args(["--max-examples", examples, "--generation-deterministic", "--workers=1"]);
    // Not asked: whether each request that the document allows is done (passwords and addresses have rules of their own);
    // whether what was ended is gone (the history of a session tells why it ended); and whether other methods are
    // refused, because /api/verify takes any.
    schemathesis.args([
        "--exclude-checks=unsupported_method,use_after_free,positive_data_acceptance,negative_data_rejection,missing_required_header",
    ]);
    schemathesis.arg(format!("{}/openapi.json", service.base)).current_dir(home.path());
    schemathesis.env("PYTHONPATH", client("python")).env("no_proxy", "*").env("REGRANT_BASE", &service.base);
    schemathesis.env("SCHEMATHESIS_HOOKS", root().join("tests/clients/schemathesis_hooks.py"));
    let told = tokio::task::spawn_blocking(move || schemathesis.output()).await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&told.stdout);
    assert!(told.status.success(), "{text}{}", String::from_utf8_lossy(&told.stderr));
    assert!(text.contains("Stateful"), "{text}");
}
