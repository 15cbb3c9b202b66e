//! What the operator chooses and runs: settings, the command line, files on a first run, starting and stopping.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail by panicking, as the tests do")]

mod commands;
mod copying;
mod deployments;
mod faults;
mod files;
mod first_run;
mod importing;
mod layers;
mod listening;
mod operating;
mod process;
mod rotating_keys;
mod serving;
mod stopping;

use regrant::settings::{Faults, File, Loaded, Sources, load};

/// A configuration file as text, above the built-in one.
fn file(text: &str) -> Sources {
    let file = File::Text { name: "regrant.toml".into(), text: text.into() };
    Sources { file: Some(file), ..Sources::default() }
}

fn variables(pairs: &[(&str, &str)]) -> Vec<(std::ffi::OsString, std::ffi::OsString)> {
    pairs.iter().map(|(name, value)| (name.into(), value.into())).collect()
}

fn loaded(text: &str) -> Loaded {
    load(&file(text)).unwrap_or_else(|faults| panic!("{faults}"))
}

fn faults(text: &str) -> Faults {
    load(&file(text)).map(|_| ()).expect_err(text)
}
