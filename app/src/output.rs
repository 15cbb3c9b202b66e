//! What a person or a script reads: standard output for answers, standard error for failures.
//!
//! Deliberately absent: panics. `println!` panics when the reader has gone away (`regrant … | head -1`); here, what
//! nobody reads is not written.

use std::fmt::Display;
use std::io::Write as _;

/// Writes a line to standard output.
pub fn line(text: impl Display) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// Writes a line to standard error.
pub fn error(text: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
