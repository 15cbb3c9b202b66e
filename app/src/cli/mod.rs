//! The command line: what was asked, and the exit code.
//!
//! Exit codes: 0 done, 1 failed, 2 the command line or the configuration is at fault.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::compose::Traces;
use crate::failure::Failure;
use crate::settings::{self, File, Loaded, Sources};
use crate::{output, telemetry};

mod ask;
mod client;
mod commands;
mod copy;
mod explain;
mod health;
mod import;
mod keys;
mod progress;
mod session;
mod shown;
mod user;

const EXAMPLES: &str = "\
Examples:
  regrant                                         serve on 127.0.0.1:8080 with SQLite under ./data
  regrant --listen 0.0.0.0:80 --data /var/lib/regrant
  regrant --config /etc/regrant.toml config check
  regrant config show                             every key, with its meaning: a file to begin with
  REGRANT__ACCESS_TOKEN__TTL=15m regrant          one key from the environment
  regrant copy --from sqlite.toml --to postgres.toml
  printf %s \"$TOKEN\" | regrant explain            why is this refresh token refused?
  regrant user import users.csv --dry-run         users of other software, with their password hashes
  regrant session end --user ada@example.org
  regrant client new gateway                      a secret for a program that may introspect

Configuration: built-in values, then the file (--config), then environment variables
REGRANT__SECTION__KEY, then flags; later ones win.

Exit codes: 0 done; 1 failed; 2 the command line or the configuration is at fault.";

/// Signs people in and keeps them signed in: a self-hosted session service.
#[derive(Debug, Parser)]
#[command(name = "regrant", version, after_help = EXAMPLES, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    global: Global,
}

#[derive(Debug, Args)]
struct Global {
    /// Configuration file (TOML); needs only the keys that differ from the built-in ones
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where to listen: 0.0.0.0:8080 (port 0 takes a free one), `unix:PATH`, or `systemd` [key: server.listen]
    #[arg(long, global = true, value_name = "ADDR")]
    listen: Option<OsString>,
    /// Folder of the embedded database and of generated keys [key: data.dir]
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<OsString>,
    /// When serving, do not print the curl lines
    #[arg(long, global = true)]
    quiet: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve (also without any command)
    Serve,
    /// Change or show the schema of the database
    #[command(subcommand)]
    Migrate(Migrate),
    /// Check or show the configuration
    #[command(subcommand)]
    Config(Config),
    /// Copy users, sessions and tokens from one store to another; can be repeated, and signs nobody out
    ///
    /// A user or session that the new store has already is replaced only by a later one. Whoever refreshes at the old
    /// place after the copy can go on at the new one.
    #[command(after_help = copy::EXAMPLES)]
    Copy(Copy),
    /// Make keys, let new ones take over, list them, remove those that are retired
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Make secrets for programs that may ask about tokens
    #[command(subcommand)]
    Client(client::Client),
    /// Ask the service that runs with this configuration whether it is alive: exit code 0, or 1
    Health(health::Health),
    /// Forget sessions that have been over for longer than sweep.retention, and history older than history.retention
    ///
    /// A server does so by itself every sweep.every; this is for sweep.every = "0s", or for now.
    Sweep,
    /// Look at users, add one, change or delete one, import many
    #[command(subcommand)]
    User(user::User),
    /// Look at sessions, and end them
    #[command(subcommand)]
    Session(session::Session),
    /// Explain a refresh token, read from standard input; changes nothing
    ///
    /// Prints its session, generation, state and times, what happened to it, and what a refresh would answer.
    Explain(Explain),
}

#[derive(Debug, Subcommand)]
enum Migrate {
    /// Apply what is missing
    Up,
    /// Take the last migrations back, AND THEIR DATA WITH THEM
    Down {
        /// How many
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
        steps: u32,
    },
    /// Show which are applied
    Status,
}

#[derive(Debug, Subcommand)]
enum Config {
    /// Say whether the configuration can be used; name every fault if not
    Check,
    /// Print the merged configuration as TOML, passwords hidden; a file for --config
    Show,
}

#[derive(Debug, Args)]
struct Copy {
    /// Configuration file of the old place
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// Configuration file of the new place; where that has no tables yet, they are made
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// Copy although the token keys differ: users are kept, but everyone is signed out
    #[arg(long)]
    allow_other_keys: bool,
}

#[derive(Debug, Args)]
struct Explain {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// File with the retry key (header Idempotency-Key) that the request would carry
    #[arg(long, value_name = "FILE")]
    retry_key_file: Option<PathBuf>,
}

/// Runs the command, and says how it went.
pub fn main(args: impl Iterator<Item = OsString>, variables: impl Iterator<Item = (OsString, OsString)>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(usage) => {
            // Also `--help` and `--version`, which are no faults. Nobody reads it: nothing to do about it.
            let _ = usage.print();
            return ExitCode::from(u8::try_from(usage.exit_code()).unwrap_or(2));
        }
    };
    match run(&cli, variables.collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::error(format_args!("regrant: {failure}"));
            failure.exit_code()
        }
    }
}

fn run(cli: &Cli, variables: Vec<(OsString, OsString)>) -> Result<(), Failure> {
    if let Some(Command::Copy(what)) = &cli.command {
        let both = copy::load(what, &cli.global, &variables)?;
        return in_runtime(both.to.settings.log, None, |_| copy::run(what, &both));
    }
    let loaded = load(&cli.global, variables)?;
    let mut log = loaded.settings.log;
    if matches!(cli.command, Some(Command::User(_) | Command::Session(_))) {
        // They say themselves what they did; a line for each session that ends would only hide it.
        log.level = log.level.min(tracing::Level::WARN);
    }
    let serves = matches!(cli.command, None | Some(Command::Serve));
    let otlp = loaded.settings.otlp.as_ref().filter(|_| serves);
    in_runtime(log, otlp, |traces| commands::run(cli, &loaded, traces))
}

fn in_runtime<F>(
    log: settings::Log,
    otlp: Option<&settings::Otlp>,
    command: impl FnOnce(Option<Traces>) -> F,
) -> Result<(), Failure>
where
    F: Future<Output = Result<(), Failure>>,
{
    let exporting = telemetry::start(log, otlp)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new("the threads of the service cannot be started").because(&error))?;
    let outcome = runtime.block_on(command(exporting.as_ref().map(telemetry::Exporting::traces)));
    // Work that was cut off does not keep the process.
    runtime.shutdown_background();
    if let Some(exporting) = exporting {
        exporting.finish();
    }
    outcome
}

fn load(global: &Global, variables: Vec<(OsString, OsString)>) -> Result<Loaded, Failure> {
    let flag = |flag, key, value: &Option<OsString>| value.clone().map(|value| (flag, key, value));
    let flags = [flag("--listen", "server.listen", &global.listen), flag("--data", "data.dir", &global.data)];
    let file = global.config.clone().map(File::Path);
    Ok(settings::load(&Sources { file, variables, flags: flags.into_iter().flatten().collect(), prefix: None })?)
}
