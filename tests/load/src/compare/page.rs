//! The page of figures: what is between its marks is replaced by what was measured.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use regrant_adapters::outbound::system::system_now;

use super::Options;
use super::table::{Entry, markdown};
use crate::Failure;

const BEGIN: &str = "<!-- measured: begin -->";
const END: &str = "<!-- measured: end -->";

/// Writes the table into the page, and the plot beside it.
pub(super) fn write(file: &Path, options: &Options, entries: &[Entry], plot: &str) -> Result<(), Failure> {
    let svg = file.with_extension("svg");
    let name = svg.file_name().and_then(|name| name.to_str()).ok_or("the page has no name")?;
    let page = fs::read_to_string(file)?;
    let measured = measured(options, entries, name);
    let page = replaced(&page, &measured).ok_or_else(|| format!("{} lacks the line {BEGIN}", file.display()))?;
    fs::write(&svg, plot)?;
    Ok(fs::write(file, page)?)
}

fn measured(options: &Options, entries: &[Entry], plot: &str) -> String {
    let mut text = String::new();
    let Options { runs, seconds, warm_up, sessions, .. } = options;
    // Writing to a string cannot fail.
    let _ = writeln!(text, "Measured {} on {}.", system_now(), machine());
    let _ = writeln!(
        text,
        "{runs} runs of {seconds} s each by turns, after {warm_up} s that do not count, on {sessions} sessions; {}.\n",
        versions()
    );
    text.push_str(&markdown(entries));
    let _ = write!(text, "\n![Throughput over time and latency by percentile]({plot})\n");
    text
}

fn replaced(page: &str, measured: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{measured}{END}{after}"))
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
    let system = said_by("uname", "-sr").unwrap_or_else(|| std::env::consts::OS.to_owned());
    format!("{cores} cores ({model}){memory}, {system}")
}

fn versions() -> String {
    let all = [said_by("psql", "--version"), said_by("redis-server", "--version")];
    all.into_iter().flatten().map(|text| text.chars().take(60).collect::<String>()).collect::<Vec<_>>().join(", ")
}

fn said_by(program: &str, flag: &str) -> Option<String> {
    let output = Command::new(program).arg(flag).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).lines().next()?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_is_replaced() {
        let page = format!("before\n{BEGIN}\nold\n{END}\nafter\n");
        let once = replaced(&page, "new\n").unwrap();
        assert_eq!(once, format!("before\n{BEGIN}\nnew\n{END}\nafter\n"));
        assert_eq!(replaced(&once, "new\n").unwrap(), once);
        assert_eq!(replaced("no marks", "new"), None);
    }
}
