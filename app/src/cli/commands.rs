//! What each command does.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::{Cli, Command, Config, Keys, Migrate, explain, session, user};
use crate::compose::{self, App, Purpose, keys, migrate as schema};
use crate::failure::Failure;
use crate::settings::{Loaded, Settings};
use crate::{output, serve};

pub(super) async fn run(cli: &Cli, loaded: &Loaded) -> Result<(), Failure> {
    let settings = &loaded.settings;
    match &cli.command {
        None | Some(Command::Serve) => Box::pin(serve::run(settings, cli.global.quiet)).await,
        Some(Command::Migrate(what)) => migrate(settings, what).await,
        Some(Command::Config(Config::Check)) => {
            output::line("The configuration is fine.");
            Ok(())
        }
        Some(Command::Config(Config::Show)) => {
            output::line(loaded.show().trim_end());
            Ok(())
        }
        Some(Command::Keys(Keys::Init)) => init(settings),
        // It has two configurations, and was run with them.
        Some(Command::Copy(_)) => Ok(()),
        Some(Command::Sweep) => sweep(settings).await,
        Some(Command::User(what)) => user::run(settings, what).await,
        Some(Command::Session(what)) => session::run(settings, what).await,
        Some(Command::Explain(what)) => explain::run(settings, what).await,
    }
}

async fn migrate(settings: &Settings, what: &Migrate) -> Result<(), Failure> {
    let what = match *what {
        Migrate::Up => schema::Migrate::Up,
        Migrate::Down { steps } => schema::Migrate::Down { steps },
        Migrate::Status => schema::Migrate::Status,
    };
    for one in schema::run(settings, what).await? {
        let state = if one.applied { "applied" } else { "not applied" };
        output::line(format_args!("{:04} {:<20} {state}", one.version, one.name));
    }
    Ok(())
}

fn init(settings: &Settings) -> Result<(), Failure> {
    let done = keys::init(settings)?;
    for kept in done.kept {
        output::line(format_args!("Left {kept} alone: it was there."));
    }
    for made in done.made {
        output::line(format_args!("Made {made}."));
    }
    Ok(())
}

async fn sweep(settings: &Settings) -> Result<(), Failure> {
    let app = compose::open(settings, Purpose::Tend).await?;
    let removed = batches(&app).await;
    app.close().await;
    output::line(format_args!("Forgot {} sessions.", removed?));
    Ok(())
}

async fn batches(app: &App) -> Result<u64, Failure> {
    // On standard error, and only if that is a terminal.
    let progress = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {pos} sessions forgotten, {per_sec}") {
        progress.set_style(style);
    }
    progress.enable_steady_tick(Duration::from_millis(100));
    loop {
        let swept = app.sweep.batch().await.map_err(|error| {
            let failure = Failure::of(&error).advise("run it again: it goes on where it stopped");
            Failure { what: format!("after {} sessions: {}", progress.position(), failure.what), ..failure }
        })?;
        progress.inc(swept.removed);
        if swept.done {
            progress.finish_and_clear();
            return Ok(progress.position());
        }
    }
}
