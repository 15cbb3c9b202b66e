//! Why a command failed, in words for the person at the terminal.

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

use crate::settings::Faults;

/// What failed, why, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What failed.
    pub what: String,
    /// Why: the nearest cause first.
    pub causes: Vec<String>,
    /// What to do about it.
    pub advice: Option<String>,
    /// Whose fault it is.
    pub kind: Kind,
}

/// Whose fault a [`Failure`] is; decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The command line or the configuration asks for something that cannot be: 2.
    Configuration,
    /// Anything else: 1.
    Other,
}

impl Failure {
    /// A failure without a known cause.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), causes: Vec::new(), advice: None, kind: Kind::Other }
    }

    /// Adds an error and what caused it.
    #[must_use]
    pub fn because(mut self, error: &(dyn Error + 'static)) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            let cause = error.to_string();
            // Some errors repeat their source in their own text.
            if self.causes.last().is_none_or(|last| !last.contains(&cause)) {
                self.causes.push(cause);
            }
            next = error.source();
        }
        self
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// An error that tells what failed, and its causes.
    pub fn of(error: &(dyn Error + 'static)) -> Self {
        let failure = Self::new(error.to_string());
        error.source().map_or(failure.clone(), |source| failure.because(source))
    }

    /// What failed and why, for a line of a log.
    pub fn one_line(&self) -> String {
        self.causes.iter().fold(self.what.clone(), |line, cause| format!("{line}: {cause}"))
    }

    /// What the process answers.
    pub fn exit_code(&self) -> ExitCode {
        match self.kind {
            Kind::Configuration => ExitCode::from(2),
            Kind::Other => ExitCode::FAILURE,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        self.causes.iter().try_for_each(|cause| write!(f, "\n  because: {cause}"))?;
        self.advice.iter().try_for_each(|advice| write!(f, "\n  what to do: {advice}"))
    }
}

impl Error for Failure {}

impl From<Faults> for Failure {
    fn from(faults: Faults) -> Self {
        Self { kind: Kind::Configuration, ..Self::new(faults.to_string()) }
    }
}
