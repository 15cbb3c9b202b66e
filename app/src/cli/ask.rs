//! What only a person can answer: a new password, and whether it is meant.

use std::io::{IsTerminal as _, Read as _};

use console::Term;
use regrant_domain::user::Password;
use zeroize::Zeroizing;

use crate::failure::{Failure, Kind};

/// More than a password can have, so that one that is too long is told so.
const MAX_INPUT: u64 = 4 * 1024;

/// A new password: asked for twice at a terminal, without showing it; else one line of standard input.
pub(super) fn new_password() -> Result<Password, Failure> {
    let text = if std::io::stdin().is_terminal() { typed()? } else { piped()? };
    Password::received(text).map_err(|error| Failure::of(&error))
}

fn typed() -> Result<String, Failure> {
    let terminal = Term::stderr();
    let ask = |prompt: &str| {
        terminal.write_str(prompt).and_then(|()| terminal.read_secure_line()).map_err(|error| unread(&error))
    };
    let first = ask("New password: ")?;
    let second = Zeroizing::new(ask("Once more: ")?);
    if first == *second { Ok(first) } else { Err(Failure::new("the two passwords differ")) }
}

fn piped() -> Result<String, Failure> {
    let mut text = Zeroizing::new(String::with_capacity(1024));
    std::io::stdin().lock().take(MAX_INPUT).read_to_string(&mut text).map_err(|error| unread(&error))?;
    // One line end belongs to the pipe; everything else is the password.
    let line = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    if line.is_empty() || line.contains('\n') {
        let what = if line.is_empty() { "empty" } else { "more than one line" };
        return Err(unread(&std::io::Error::new(std::io::ErrorKind::InvalidData, format!("it is {what}"))));
    }
    Ok(line.to_owned())
}

fn unread(error: &std::io::Error) -> Failure {
    Failure::new("the password cannot be read from standard input")
        .because(error)
        .advise("type it at a terminal, or pipe one line in: regrant user add ada@example.org < password-file")
}

/// Whether it is meant; where nobody can be asked, `--yes` has to say so.
pub(super) fn is_meant(question: &str) -> Result<bool, Failure> {
    answerable()?;
    let terminal = Term::stderr();
    let answer = terminal.write_str(&format!("{question} [y/N] ")).and_then(|()| terminal.read_line());
    let answer = answer.map_err(|error| Failure::new("the answer cannot be read").because(&error))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// A failure if nobody can be asked.
pub(super) fn answerable() -> Result<(), Failure> {
    if std::io::stdin().is_terminal() {
        return Ok(());
    }
    let failure = Failure::new("this cannot be taken back, and there is no terminal to ask at");
    Err(Failure { kind: Kind::Configuration, ..failure.advise("say --yes if it is meant") })
}
