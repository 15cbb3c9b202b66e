//! The command line.

use std::cell::RefCell;
use std::ffi::OsString;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::Serialize;

use crate::answer::Checks;
use crate::chains::{Chains, Order};
use crate::deployment::{self, Place};
use crate::drive::{self, Outcome, Plan, Work};
use crate::pace::Pace;
use crate::people;
use crate::seed::Seed;
use crate::{Failure, compare, output, report, svg};

const EXAMPLES: &str = "\
Examples:
  regrant-load run http://127.0.0.1:8080                        sign 32 users in, refresh as fast as it goes
  regrant-load run http://127.0.0.1:8080 --rate 2000 --keys ./data --svg refresh.svg
  regrant-load seed --store postgres://regrant@db/regrant --keys ./data --sessions 10000000
  regrant-load run http://127.0.0.1:8080 --seed load --sessions 10000000 --keys ./data --order random
  tests/load/compare --seconds 10 --out target/compare          against what Regrant is made of";

/// How fast Regrant is.
#[derive(Debug, Parser)]
#[command(name = "regrant-load", after_help = EXAMPLES, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Put a running service under load, check every answer, and tell how fast it was
    Run(Run),
    /// Open many sessions directly in a store; can be repeated
    Seed(Fill),
    /// Measure Regrant and what it is made of by turns, on servers of its own (run it by tests/load/compare)
    Compare(compare::Options),
    /// Serve something that a comparison is measured against
    #[command(hide = true)]
    Floor(compare::axum::Options),
}

#[derive(Debug, Args)]
struct Run {
    /// Where the service is, such as <http://127.0.0.1:8080>
    url: String,
    /// What to ask
    #[arg(long, value_enum, default_value_t = What::Refresh)]
    what: What,
    /// How many users sign up and in first; ignored with --seed
    #[arg(long, default_value_t = 32)]
    users: u64,
    /// Use sessions that `seed` has opened, instead of signing users in
    #[arg(long, value_name = "TEXT", requires = "keys")]
    seed: Option<String>,
    /// How many sessions `seed` has opened
    #[arg(long, default_value_t = 100_000)]
    sessions: u64,
    /// File of the refresh tokens in use: read at the start if it is there, and written at the end
    #[arg(long, value_name = "FILE")]
    tokens: Option<PathBuf>,
    /// Folder of the service's keys: access tokens are then checked as well (one in 64)
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,
    /// How many connections
    #[arg(long, default_value_t = 32)]
    connections: u64,
    /// Requests a second, whether or not earlier ones are answered; without it, each connection asks again at once
    #[arg(long)]
    rate: Option<f64>,
    /// In which order sessions are refreshed
    #[arg(long, value_enum, default_value_t = Order::Each)]
    order: Order,
    /// Sign so many users in at once meanwhile, again and again
    #[arg(long, value_name = "USERS")]
    storm: Option<u64>,
    /// For how long to measure, in seconds
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// For how long to run before that, in seconds
    #[arg(long, default_value_t = 2.0)]
    warm_up: f64,
    /// Process of the service, to tell its processor time and memory
    #[arg(long)]
    pid: Option<u32>,
    /// Write the figures as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write a plot of throughput and latency over time
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// What a run asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
enum What {
    /// POST /api/refresh, each time with the successor of the last token
    Refresh,
    /// GET /api/me
    Me,
    /// GET /api/verify
    Verify,
    /// POST /api/login
    SignIn,
}

#[derive(Debug, Args)]
struct Fill {
    /// The store: sqlite:FILE, postgres://…, redis://…
    #[arg(long, value_name = "URL")]
    store: String,
    /// Where users are, if not in the store
    #[arg(long, value_name = "URL")]
    users: Option<String>,
    /// Folder of the service's keys
    #[arg(long, value_name = "DIR")]
    keys: PathBuf,
    /// What ids and first secrets are derived from
    #[arg(long, value_name = "TEXT", default_value = "load")]
    seed: String,
    /// How many sessions
    #[arg(long, default_value_t = 100_000)]
    sessions: u64,
    /// How many of them belong to one user
    #[arg(long, default_value_t = 10)]
    per_user: u64,
}

/// Runs the command, and says how it went.
pub fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(usage) => {
            // Also `--help`, which is no fault. Nobody reads it: nothing to do about it.
            let _ = usage.print();
            return ExitCode::from(u8::try_from(usage.exit_code()).unwrap_or(2));
        }
    };
    match run(&cli.command) {
        Ok(code) => code,
        Err(error) => {
            output::note(format_args!("regrant-load: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> Result<ExitCode, Failure> {
    if let Command::Floor(options) = command {
        return compare::axum::serve(options).map(|()| ExitCode::SUCCESS);
    }
    // One thread for everything: what this tool costs is taken from what it measures.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match command {
            Command::Run(options) => load(options).await,
            Command::Seed(options) => fill(options).await.map(|()| ExitCode::SUCCESS),
            Command::Compare(options) => compare::run(options).await.map(|()| ExitCode::SUCCESS),
            Command::Floor(_) => Ok(ExitCode::SUCCESS),
        }
    })
}

async fn load(options: &Run) -> Result<ExitCode, Failure> {
    let server = address(&options.url)?;
    let access = options.keys.as_deref().map(deployment::access_tokens).transpose()?;
    let checks = Rc::new(RefCell::new(Checks::new(access)));
    let mut chains = chains(options, server, &checks).await?;
    if let Some(lines) = options.tokens.as_ref().filter(|file| file.exists()).map(std::fs::read_to_string) {
        chains.remember(&lines?)?;
    }
    if let Some(users) = options.storm {
        people::sign_up(server, people::STORM, users).await?;
    }
    let chains = Rc::new(RefCell::new(chains));
    let outcome = drive::drive(&options.plan(server)?, &chains, &checks).await?;
    if let Some(file) = &options.tokens {
        std::fs::write(file, chains.borrow().remembered())?;
    }
    options.report(&outcome)?;
    Ok(if outcome.measured.failures() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn chains(options: &Run, server: SocketAddr, checks: &Rc<RefCell<Checks>>) -> Result<Chains, Failure> {
    if let (Some(seed), Some(keys)) = (&options.seed, &options.keys) {
        return Ok(Chains::seeded(Seed::new(seed, options.sessions), deployment::token_keys(keys)?));
    }
    if options.tokens.as_ref().is_some_and(|file| file.exists()) {
        return Ok(Chains::signed_in(Vec::new()));
    }
    people::sign_up(server, people::USERS, options.users).await?;
    if options.what == What::SignIn {
        return Ok(Chains::signed_in(Vec::new()));
    }
    Ok(Chains::signed_in(people::sign_in(server, people::USERS, options.users, checks).await?))
}

impl Run {
    fn plan(&self, server: SocketAddr) -> Result<Plan, Failure> {
        let seconds = |seconds: f64| Duration::try_from_secs_f64(seconds).map_err(|_| "that is no number of seconds");
        let pace = match self.rate {
            Some(rate) if rate > 0.0 && rate.is_finite() => Pace::Open(rate),
            Some(_) => return Err("--rate must be more than nothing".into()),
            None => Pace::Closed,
        };
        Ok(Plan {
            server,
            work: match self.what {
                What::Refresh => Work::Refresh,
                What::Me => Work::Me,
                What::Verify => Work::Verify,
                What::SignIn => Work::SignIn { name: people::USERS.to_owned(), users: self.users },
            },
            connections: self.connections.max(1),
            pace,
            order: self.order,
            warm_up: seconds(self.warm_up)?,
            length: seconds(self.seconds)?,
            storm: self.storm.map(|users| (people::STORM.to_owned(), users)),
            pid: self.pid,
            until: None,
        })
    }

    fn report(&self, outcome: &Outcome) -> Result<(), Failure> {
        output::line(report::table(outcome).trim_end());
        if let Some(file) = &self.json {
            std::fs::write(file, serde_json::to_string_pretty(outcome)?)?;
        }
        if let Some(file) = &self.svg {
            let title = format!("{} on {} connections", path(self.what), self.connections);
            std::fs::write(file, svg::over_time(&title, outcome).svg())?;
        }
        Ok(())
    }
}

fn path(what: What) -> &'static str {
    match what {
        What::Refresh => drive::REFRESH,
        What::Me => drive::ME,
        What::Verify => drive::VERIFY,
        What::SignIn => drive::SIGN_IN,
    }
}

fn address(url: &str) -> Result<SocketAddr, Failure> {
    let rest = url.strip_prefix("http://").ok_or("the URL must begin with http://")?;
    let host = rest.trim_end_matches('/');
    let host = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
    let mut found = host.to_socket_addrs().map_err(|error| format!("{host}: {error}"))?;
    found.next().ok_or_else(|| format!("{host} has no address").into())
}

async fn fill(options: &Fill) -> Result<(), Failure> {
    let ring = deployment::token_keys(&options.keys)?;
    let place = Place::open(&options.store, options.users.as_deref()).await?;
    let seed = Seed { per_user: options.per_user.max(1), ..Seed::new(&options.seed, options.sessions) };
    // Rows can be loaded without looking for earlier ones where there are none.
    let empty = place.is_empty().await?;
    seed.fill(&place, &ring, empty).await?;
    output::line(format_args!("{} sessions of seed {} are there.", options.sessions, options.seed));
    Ok(())
}
