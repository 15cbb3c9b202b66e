//! A short run of the built tool against the built service.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking, as the tests do")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// The service, on SQLite, until this is dropped.
struct Service {
    child: Child,
    url: String,
    home: TempDir,
}

impl Service {
    fn start() -> Self {
        let tool = Path::new(env!("CARGO_BIN_EXE_regrant-load"));
        let program = tool.with_file_name("regrant");
        assert!(
            program.is_file(),
            "{} is missing: run tests/run, or `cargo build --workspace` first",
            program.display()
        );
        let home = TempDir::new().unwrap();
        let out = home.path().join("out");
        let mut command = Command::new(program);
        command.args(["--listen", "127.0.0.1:0", "--data"]).arg(home.path().join("data"));
        let log = File::create(home.path().join("log")).unwrap();
        let child = command.stdin(Stdio::null()).stdout(File::create(&out).unwrap()).stderr(log).spawn().unwrap();
        let mut service = Self { child, url: String::new(), home };
        let deadline = Instant::now() + Duration::from_mins(1);
        while service.url.is_empty() {
            assert!(service.child.try_wait().unwrap().is_none() && Instant::now() < deadline, "it does not start");
            let said = fs::read_to_string(&out).unwrap();
            if let Some((line, _)) = said.split_once("ready on ").and_then(|(_, rest)| rest.split_once('\n')) {
                line.trim_end_matches(['/', '.']).clone_into(&mut service.url);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        service
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn tool(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_regrant-load"));
        command.args(args).current_dir(self.home.path()).stdin(Stdio::null());
        command.output().unwrap()
    }

    /// A run for a second, and its figures.
    fn run(&self, more: &[&str]) -> Value {
        let usual = ["run", &self.url, "--seconds", "1", "--warm-up", "0.2", "--keys", "data", "--json", "figures"];
        let output = self.tool(&[&usual[..], more].concat());
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_str(&fs::read_to_string(self.path("figures")).unwrap()).unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn answers(figures: &Value) -> u64 {
    assert_eq!(figures["wrong"], serde_json::json!({}), "{figures}");
    figures["answers"].as_u64().unwrap()
}

#[test]
fn users_are_signed_in_and_their_sessions_refreshed_and_every_answer_is_right() {
    let service = Service::start();
    let pid = service.child.id().to_string();
    let figures = service.run(&["--users", "4", "--connections", "4", "--svg", "plot.svg", "--pid", &pid]);
    assert!(answers(&figures) > 0, "{figures}");
    assert!(figures["latency"]["p50"].as_f64().unwrap() > 0.0);
    assert!(figures["service_peak_mib"].as_f64().unwrap() > 1.0);
    assert!(fs::read_to_string(service.path("plot.svg")).unwrap().contains("<polyline"));
}

#[test]
fn seeded_sessions_go_on_from_run_to_run_at_the_rate_that_was_asked_for() {
    let service = Service::start();
    let seeded = service.tool(&["seed", "--store", "sqlite:data/regrant.db", "--keys", "data", "--sessions", "200"]);
    assert!(seeded.status.success(), "{}", String::from_utf8_lossy(&seeded.stderr));
    let usual = ["--seed", "load", "--sessions", "200", "--order", "random", "--tokens", "tokens", "--rate", "50"];
    // The second run presents the tokens that the first one got; a spent one would be answered wrongly.
    for _ in 0..2 {
        let figures = service.run(&usual);
        // As many as are due in the warm-up and the second after it.
        assert!((1..=60).contains(&answers(&figures)), "{figures}");
        assert_eq!(figures["asked_per_second"].as_f64(), Some(50.0));
    }
}

#[test]
fn a_wrong_answer_is_counted_and_told_by_the_exit_code() {
    let service = Service::start();
    // Nobody has put these sessions into the store.
    let args = ["run", &service.url, "--seed", "nobody", "--keys", "data", "--seconds", "0.2", "--warm-up", "0"];
    let output = service.tool(&args);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("times: status 401"), "{output:?}");
}
