//! Regrant and what it is made of, by turns, in one go, on one machine.
//!
//! An absolute figure says as much about the machine as about the program; a ratio of two figures that were measured
//! right after each other says more. Every floor does the very thing that Regrant has to do: the adapter's own
//! statement, its own script.

pub(crate) mod axum;
mod contests;
mod floors;
mod ground;
mod kept;
mod page;
mod pgbench;
mod redis_benchmark;
mod scale;
#[path = "../../../support/servers/mod.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
pub(crate) mod servers;
mod sizes;
mod sweep;
mod table;
mod taken;

use std::path::PathBuf;

use clap::Args;

use crate::{Failure, output, svg};
use contests::CONTESTS;
use ground::Ground;
use table::Entry;
use taken::Taken;

/// What to compare, and for how long.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// The program: `regrant`, built for release
    #[arg(long, value_name = "FILE")]
    program: PathBuf,
    /// For how long each measurement lasts, in seconds
    #[arg(long, default_value_t = 10)]
    seconds: u32,
    /// For how long to run before that, in seconds
    #[arg(long, default_value_t = 2)]
    warm_up: u32,
    /// How often each is measured, floor and Regrant by turns
    #[arg(long, default_value_t = 3)]
    runs: u32,
    /// How many sessions a store holds
    #[arg(long, default_value_t = 10_000)]
    sessions: u64,
    /// Only these, with commas between: names of --list, or what several of them begin with (refresh, scale, sweep)
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    only: Vec<String>,
    /// Say what can be compared
    #[arg(long)]
    list: bool,
    /// Also compare so many sessions with a hundredth of them (on Redis a fifth of both), and sweep a fifth of them;
    /// 10000000 takes 10 GB of disk, and a while
    #[arg(long, value_name = "SESSIONS")]
    scale: Option<u64>,
    /// Folder for figures as JSON and plots as SVG; rows of earlier runs there are kept
    #[arg(long, value_name = "DIR", default_value = "target/compare")]
    out: PathBuf,
    /// Write the table of all runs in that folder, and a plot, into this page as well, between its marks
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

/// Measures, prints the table, and writes the files.
///
/// # Errors
/// Something could not be measured; everything else was.
pub(crate) async fn run(options: &Options) -> Result<(), Failure> {
    if options.list {
        for contest in CONTESTS {
            output::line(format_args!("{:<18}{}", contest.name, contest.what));
        }
        return Ok(());
    }
    let known = |name: &&String| CONTESTS.iter().any(|contest| contest.is_meant_by(name));
    if let Some(name) = options.only.iter().find(|name| !known(name)) {
        return Err(format!("{name} cannot be compared; see --list").into());
    }
    std::fs::create_dir_all(&options.out)?;
    let ground = Ground::new(options.clone())?;
    let wanted = |contest: &&contests::Contest| match options.only.as_slice() {
        [] => !contest.is_of_scale() || options.scale.is_some(),
        only => only.iter().any(|name| contest.is_meant_by(name)),
    };
    let taken = Taken::now(&ground.options);
    let (mut entries, mut failed) = (Vec::new(), Vec::new());
    for contest in CONTESTS.iter().filter(wanted) {
        output::note(format_args!("{}: {}", contest.name, contest.what));
        match contests::hold(contest.name, &ground).await {
            Ok(found) => {
                let name = contest.name.to_owned();
                let found = found.into_iter();
                entries.extend(found.map(|row| Entry { contest: name.clone(), taken: taken.clone(), ..row }));
                // After each of them: what follows may take long, and fail.
                write(options, &entries)?;
            }
            Err(error) => {
                output::note(format_args!("{} could not be measured: {error}", contest.name));
                failed.push(contest.name);
            }
        }
    }
    drop(ground);
    output::line(table::plain(&entries).trim_end());
    if failed.is_empty() { Ok(()) } else { Err(format!("not measured: {}", failed.join(", ")).into()) }
}

/// These, and what earlier runs left.
fn write(options: &Options, new: &[Entry]) -> Result<(), Failure> {
    let file = options.out.join("compare.json");
    let entries = kept::merged(&file, new.to_vec());
    kept::write(&file, &entries)?;
    for (name, outcome) in new.iter().flat_map(Entry::outcomes) {
        std::fs::write(options.out.join(format!("{name}.svg")), svg::over_time(&name, outcome).svg())?;
    }
    let refreshes: Vec<_> = entries.iter().filter_map(Entry::refreshes).collect();
    let plot = (!refreshes.is_empty())
        .then(|| svg::side_by_side("Refreshes, 32 connections, each answer verified", &refreshes).svg());
    if let Some(plot) = &plot {
        std::fs::write(options.out.join("refreshes.svg"), plot)?;
    }
    match &options.write {
        Some(page) => page::write(page, &entries, plot.as_deref()),
        None => Ok(()),
    }
}
