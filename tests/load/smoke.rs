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
        let program = program();
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

fn program() -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_regrant-load")).with_file_name("regrant");
    assert!(program.is_file(), "{} is missing: run tests/run, or `cargo build --workspace` first", program.display());
    program
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

#[test]
fn comparisons_make_one_page_of_several_runs() {
    let home = TempDir::new().unwrap();
    let path = |name: &str| home.path().join(name);
    let page = "before\n<!-- measured: begin -->\n<!-- measured: end -->\nafter\n";
    fs::write(path("page.md"), page).unwrap();
    let compare = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_regrant-load"));
        command.arg("compare").arg("--program").arg(program()).current_dir(home.path()).stdin(Stdio::null());
        command.args(["--seconds", "1", "--warm-up", "0", "--runs", "1", "--sessions", "64"]);
        let output = command.args(["--out", "out", "--write", "page.md"]).args(more).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        said
    };
    let first = compare(&["--only", "scale-sqlite,sweep-sqlite", "--scale", "3200"]);
    for row in ["3,200 sessions ÷ with 32", "bytes per session of 3,200 on SQLite", "a sweep of 640 sessions"] {
        assert!(first.contains(row), "{first}");
    }
    let second = compare(&["--only", "verify"]);
    assert!(second.contains("GET /api/verify") && !second.contains("3,200"), "{second}");
    let page = fs::read_to_string(path("page.md")).unwrap();
    let of_run = |letter: &str| page.lines().filter(|line| line.ends_with(&format!("| {letter} |"))).count();
    assert_eq!((of_run("a"), of_run("b")), (4, 1), "{page}");
    assert!(page.contains("`tests/load/compare --only verify --runs 1 --seconds 1"), "{page}");
    let figures: Value = serde_json::from_str(&fs::read_to_string(path("out/compare.json")).unwrap()).unwrap();
    assert_eq!(figures.as_array().unwrap().len(), 5);
    for plot in ["out/verify-1.svg", "out/scale-sqlite-1.svg", "out/sweep-sqlite-1.svg"] {
        assert!(fs::read_to_string(path(plot)).unwrap().starts_with("<svg"), "{plot}");
    }
}
