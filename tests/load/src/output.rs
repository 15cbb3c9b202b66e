//! What the tool says: results on standard output, everything else on standard error.

use std::fmt::Display;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

#[expect(clippy::print_stdout, reason = "the results of a command line tool")]
pub(crate) fn line(text: impl Display) {
    println!("{text}");
}

#[expect(clippy::print_stderr, reason = "what a command line tool says beside its results")]
pub(crate) fn note(text: impl Display) {
    eprintln!("{text}");
}

/// On standard error, and only if that is a terminal.
pub(crate) fn progress(template: &str, len: u64) -> ProgressBar {
    let bar = ProgressBar::new(len);
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}
