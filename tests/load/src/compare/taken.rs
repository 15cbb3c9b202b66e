//! By which run, and on what, a row was measured.

use std::fs;
use std::process::Command;

use regrant_adapters::outbound::system::system_now;
use serde::{Deserialize, Serialize};

use super::Options;

/// One run of `compare`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Taken {
    /// When it began.
    pub(super) at: String,
    /// How to have it again.
    pub(super) command: String,
    pub(super) machine: String,
    pub(super) versions: String,
}

impl Taken {
    /// A run with these options that begins now.
    pub(super) fn now(options: &Options) -> Self {
        let Options { program, .. } = options;
        let versions = [
            said_by(&program.to_string_lossy(), "--version"),
            said_by("psql", "--version").map(|text| text.replace("psql (PostgreSQL)", "Postgres")),
            said_by("redis-server", "--version").map(|text| redis_version(&text)),
            said_by("rustc", "--version"),
        ];
        Self {
            at: system_now().to_string(),
            command: command(options),
            machine: machine(),
            versions: versions.into_iter().flatten().collect::<Vec<_>>().join(", "),
        }
    }
}

/// What decides about figures; where they go does not.
fn command(options: &Options) -> String {
    let Options { only, scale, runs, seconds, warm_up, sessions, .. } = options;
    let only = if only.is_empty() { String::new() } else { format!(" --only {}", only.join(",")) };
    let scale = scale.map_or(String::new(), |scale| format!(" --scale {scale}"));
    format!(
        "tests/load/compare{only}{scale} --runs {runs} --seconds {seconds} --warm-up {warm_up} --sessions {sessions}"
    )
}

fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let field = |file: &str, name: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(name))?.split_once(':')?.1.trim().to_owned();
        Some(line)
    };
    let model = field("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let kib = field("/proc/meminfo", "MemTotal").and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
    let memory = kib.map_or(String::new(), |kib| format!(", {:.0} GiB of memory", kib / 1024.0 / 1024.0));
    let system = said_by("uname", "-s").unwrap_or_else(|| std::env::consts::OS.to_owned());
    format!("{cores} cores ({model}){memory}, {system}")
}

/// Of `Redis server v=7.0.15 sha=… …`.
fn redis_version(said: &str) -> String {
    let number = said.split_once("v=").and_then(|(_, rest)| rest.split(' ').next());
    format!("Redis {}", number.unwrap_or("of an unknown version"))
}

fn said_by(program: &str, flag: &str) -> Option<String> {
    let output = Command::new(program).arg(flag).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).lines().next()?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_has_what_decides_about_figures() {
        let options = Options {
            program: "regrant".into(),
            seconds: 10,
            warm_up: 2,
            runs: 3,
            sessions: 10_000,
            only: vec!["scale".into(), "sweep".into()],
            list: false,
            scale: Some(1000),
            out: "x".into(),
            write: Some("y".into()),
        };
        let common = "--runs 3 --seconds 10 --warm-up 2 --sessions 10000";
        assert_eq!(command(&options), format!("tests/load/compare --only scale,sweep --scale 1000 {common}"));
        let usual = Options { only: Vec::new(), scale: None, ..options };
        assert_eq!(command(&usual), format!("tests/load/compare {common}"));
        assert_eq!(redis_version("Redis server v=7.0.15 sha=0 bits=64"), "Redis 7.0.15");
    }
}
