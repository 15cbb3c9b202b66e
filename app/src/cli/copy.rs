//! `regrant copy`: from one store to another.

use std::ffi::OsString;
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};

use super::{Copy, Global};
use crate::compose::copy;
use crate::failure::{Failure, Kind};
use crate::output;
use crate::settings::{self, Faults, File, Loaded, Sources};

pub(super) const EXAMPLES: &str = "\
Example: from SQLite to Postgres.
  regrant copy --from sqlite.toml --to postgres.toml     while Regrant serves: takes most of the time
  (stop Regrant)
  regrant copy --from sqlite.toml --to postgres.toml     again: what changed meanwhile
  regrant --config postgres.toml

Both are configuration files as for --config. Environment variables are not read under their usual names, since these
could not tell the two apart: what begins with REGRANT_FROM__ counts for --from and what begins with REGRANT_TO__ for
--to, such as REGRANT_TO__STORE__URL.";

/// Both configurations.
pub(super) struct Both {
    pub(super) from: Loaded,
    pub(super) to: Loaded,
}

/// Reads both; the faults of both are told at once.
pub(super) fn load(what: &Copy, global: &Global, variables: &[(OsString, OsString)]) -> Result<Both, Failure> {
    if global.config.is_some() || global.listen.is_some() || global.data.is_some() {
        let failure = Failure::new("copy takes --from and --to, and none of --config, --listen and --data");
        return Err(Failure { kind: Kind::Configuration, ..failure });
    }
    let one = |file: &Path, prefix| {
        let file = Some(File::Path(file.to_owned()));
        settings::load(&Sources { file, variables: variables.to_vec(), prefix: Some(prefix), ..Sources::default() })
    };
    match (one(&what.from, "REGRANT_FROM__"), one(&what.to, "REGRANT_TO__")) {
        (Ok(from), Ok(to)) => Ok(Both { from, to }),
        (from, to) => {
            let faults = [from.err(), to.err()].into_iter().flatten().flat_map(|Faults(faults)| faults);
            Err(Faults(faults.collect()).into())
        }
    }
}

pub(super) async fn run(what: &Copy, both: &Both) -> Result<(), Failure> {
    // On standard error, and only if that is a terminal.
    let progress = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos} of {len}, {per_sec}, {eta} left") {
        progress.set_style(style);
    }
    let copy = copy::Copy { from: &both.from.settings, to: &both.to.settings, other_keys: what.allow_other_keys };
    let begin = |all: regrant_domain::ports::Counted| progress.set_length(all.users + all.sessions);
    let copied = copy.run(begin, |so_far| progress.set_position(so_far.read.users + so_far.read.sessions)).await;
    progress.finish_and_clear();
    let copied = copied?;
    output::line(format_args!("Copied {} users and {} sessions.", copied.read.users, copied.read.sessions));
    let left_out = copied.left_out;
    if left_out.users > 0 {
        output::line(format_args!(
            "Of these, {} users were left out: their addresses belong to other users of the new store.",
            left_out.users
        ));
    }
    if left_out.sessions > 0 {
        output::line(format_args!(
            "Of these, {} sessions were left out: their users are not in the new store.",
            left_out.sessions
        ));
    }
    Ok(())
}
