//! How far a long command has come: a bar on standard error where that is a terminal, else a line now and then.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::output;

/// Between two lines without a terminal.
const EVERY: Duration = Duration::from_secs(5);

pub(super) struct Progress {
    bar: ProgressBar,
    told: Instant,
}

impl Progress {
    /// Of `length` bytes; without a length, only that it goes on.
    pub(super) fn new(length: Option<u64>) -> Self {
        let (bar, template) = match length {
            Some(length) => (ProgressBar::new(length), "{wide_bar} {percent} %, {msg}, {eta} left"),
            None => (ProgressBar::new_spinner(), "{spinner} {msg}, {elapsed}"),
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self { bar, told: Instant::now() }
    }

    /// It has come to `position`, and `message` says what was done.
    pub(super) fn at(&mut self, position: u64, message: String) {
        if self.bar.is_hidden() {
            if self.told.elapsed() >= EVERY {
                self.told = Instant::now();
                match self.bar.length() {
                    Some(length) if length > 0 => {
                        output::error(format_args!("{} %: {message}", position.min(length) * 100 / length));
                    }
                    _ => output::error(&message),
                }
            }
        } else {
            self.bar.set_position(position);
            self.bar.set_message(message);
            self.bar.tick();
        }
    }

    /// A line above the bar.
    pub(super) fn tell(&self, line: &str) {
        self.bar.suspend(|| output::error(line));
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
