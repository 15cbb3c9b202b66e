//! `regrant keys`: make keys, let new ones take over, see where they stand, remove what is not needed.

use clap::{Args, Subcommand, ValueEnum};
use regrant_domain::time::Timestamp;
use serde_json::{Value, json};

use super::ask;
use super::shown::Format;
use crate::compose::keys::{self, How, Kind, Rotation, Shown};
use crate::compose::service_time;
use crate::failure::Failure;
use crate::output;
use crate::settings::{Settings, duration};

const EXAMPLES: &str = "\
Examples:
  regrant keys rotate                             a new key for access tokens; nobody notices
  regrant keys rotate token                       a new key for refresh tokens; nobody notices
  regrant keys list
  regrant keys rotate --now --revoke-old          the key was stolen

Running services look at the folder every keys.check_every, and at once on SIGHUP.";

#[derive(Debug, Subcommand)]
pub(super) enum Keys {
    /// Make the signing key and the token key, where they are missing; never overwrites one
    Init,
    /// Make a key that takes over from the one in use: published first, used when all know it [key: `keys.publish_before`]
    ///
    /// While one is to take over, another is not made. What the old key made is accepted until it has expired.
    #[command(after_help = EXAMPLES)]
    Rotate(Rotate),
    /// List the keys, and where each stands: next, signing, verifying, retired
    List {
        /// How to print
        #[arg(long, value_enum, default_value = "table")]
        format: Format,
    },
    /// Remove the files of keys that are retired
    Prune,
}

#[derive(Debug, Args)]
pub(super) struct Rotate {
    /// Which key
    #[arg(value_enum, default_value = "signing")]
    which: Which,
    /// Use the new key at once: whoever keeps published keys without asking again refuses its tokens for a while
    #[arg(long)]
    now: bool,
    /// Accept nothing any more that other keys made
    #[arg(long, requires = "now")]
    revoke_old: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Which {
    /// The key that signs access tokens
    Signing,
    /// The key that proves and derives refresh tokens
    Token,
}

impl Which {
    const fn kind(self) -> Kind {
        match self {
            Self::Signing => Kind::Signing,
            Self::Token => Kind::Token,
        }
    }
}

pub(super) async fn run(settings: &Settings, what: &Keys) -> Result<(), Failure> {
    match what {
        Keys::Init => init(settings),
        Keys::Rotate(what) => rotate(settings, what).await,
        Keys::List { format } => list(settings, *format).await,
        Keys::Prune => prune(settings).await,
    }
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

async fn rotate(settings: &Settings, what: &Rotate) -> Result<(), Failure> {
    let kind = what.which.kind();
    let how = if what.now { How::Now { revoke_old: what.revoke_old } } else { How::Published };
    if what.revoke_old && !what.yes {
        ask::answerable()?;
        output::line(what_revoking_does(kind));
        if !ask::is_meant("Revoke the old keys?")? {
            output::line("Nothing was changed.");
            return Ok(());
        }
    }
    let now = service_time(settings).await?;
    match keys::rotate(settings, kind, how, now)? {
        Rotation::Begun { id, file, signs_from, old_accepted_until } => {
            output::line(format_args!("Made the {} key {id}, {}.", kind.name(), file.display()));
            output::line(taking_over(signs_from, now));
            match old_accepted_until {
                Some(until) => output::line(format_args!("What the old key made is accepted until {until}.")),
                None if what.yes => output::line(what_revoking_does(kind)),
                None => {}
            }
            let every = duration::write(settings.keys.check_every);
            output::line(format_args!("Running services see it within {every}, and at once on SIGHUP."));
        }
        Rotation::UnderWay { id, signs_from } => {
            output::line(format_args!(
                "Nothing was changed: the {} key {id} is there already, and is used from {signs_from} on.",
                kind.name()
            ));
        }
        Rotation::Overtaken => {
            output::line("Nothing was changed: another rotation came first. `regrant keys list` shows it.");
        }
    }
    Ok(())
}

fn taking_over(signs_from: Timestamp, now: Timestamp) -> String {
    if now.has_reached(signs_from) {
        return "It is used from now on.".to_owned();
    }
    format!("It is published now, and used from {signs_from} on.")
}

const fn what_revoking_does(kind: Kind) -> &'static str {
    match kind {
        Kind::Signing => {
            "Access tokens that other keys signed are refused: at Regrant as soon as it sees the change, elsewhere as \
             soon as the published keys are fetched again. Clients refresh, and go on; nobody is signed out."
        }
        Kind::Token => {
            "Refresh tokens that other keys made are refused: everyone is signed out, and signs in again. Their sessions \
             stay listed until they expire."
        }
    }
}

async fn list(settings: &Settings, format: Format) -> Result<(), Failure> {
    let keys = keys::list(settings, service_time(settings).await?)?;
    if format == Format::Table {
        output::line(format_args!(
            "{:<7}  {:<9}  {:<9}  {:<24}  {:<24}  {:<24}  {:<43}  FILE",
            "KEY", "STAGE", "ALGORITHM", "MADE", "USED FROM", "ACCEPTED UNTIL", "ID"
        ));
    }
    for key in &keys {
        match format {
            Format::Table => output::line(line(key)),
            Format::Json => output::line(object(key)),
        }
    }
    Ok(())
}

fn line(key: &Shown) -> String {
    let at = |at: Option<Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
    format!(
        "{:<7}  {:<9}  {:<9}  {:<24}  {:<24}  {:<24}  {:<43}  {}",
        key.kind.name(),
        key.stage,
        key.algorithm.as_deref().unwrap_or_default(),
        key.created_at,
        at(key.signs_from),
        at(key.accepted_until),
        key.id,
        key.file.display()
    )
}

fn object(key: &Shown) -> Value {
    json!({
        "key": key.kind.name(),
        "id": key.id,
        "stage": key.stage.name(),
        "algorithm": key.algorithm,
        "created_at": key.created_at.to_string(),
        "signs_from": key.signs_from.map(|at| at.to_string()),
        "accepted_until": key.accepted_until.map(|at| at.to_string()),
        "file": key.file.display().to_string(),
    })
}

async fn prune(settings: &Settings) -> Result<(), Failure> {
    let removed = keys::prune(settings, service_time(settings).await?)?;
    for path in &removed {
        output::line(format_args!("Removed {}.", path.display()));
    }
    if removed.is_empty() {
        output::line("There is nothing to remove.");
    }
    Ok(())
}
