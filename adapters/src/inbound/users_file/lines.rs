//! Lines of text of bounded length.

use std::io::{self, BufRead, Read as _};

use super::Broken;

/// Longest line in bytes; a row needs a few hundred.
pub(super) const MAX_LINE: usize = 16 * 1024;

/// A line and its number; `Err`: it is too long.
type Numbered = (u64, Result<String, String>);

pub(super) struct Lines<R> {
    from: R,
    number: u64,
    bytes: u64,
}

impl<R: BufRead> Lines<R> {
    pub(super) const fn new(from: R) -> Self {
        Self { from, number: 0, bytes: 0 }
    }

    pub(super) const fn bytes_read(&self) -> u64 {
        self.bytes
    }

    /// The next line that is not blank, without its end.
    pub(super) fn next(&mut self) -> Result<Option<Numbered>, Broken> {
        loop {
            let mut line = Vec::new();
            let read = self.from.by_ref().take(MAX_LINE as u64 + 1).read_until(b'\n', &mut line)?;
            if read == 0 {
                return Ok(None);
            }
            self.bytes += read as u64;
            self.number += 1;
            if line.pop_if(|end| *end == b'\n').is_none() && line.len() > MAX_LINE {
                self.skip()?;
                return Ok(Some((self.number, Err(format!("the line is longer than {MAX_LINE} bytes")))));
            }
            line.pop_if(|end| *end == b'\r');
            let text = String::from_utf8(line).map_err(|_| Broken::NotUtf8 { line: self.number })?;
            // Some programs begin a file with a byte order mark.
            let text = if self.number == 1 { text.trim_start_matches('\u{feff}') } else { &text };
            if !text.trim().is_empty() {
                return Ok(Some((self.number, Ok(text.to_owned()))));
            }
        }
    }

    /// The rest of a line.
    fn skip(&mut self) -> io::Result<()> {
        loop {
            let buffer = self.from.fill_buf()?;
            let (length, ended) = match buffer.iter().position(|byte| *byte == b'\n') {
                Some(end) => (end + 1, true),
                None => (buffer.len(), buffer.is_empty()),
            };
            self.from.consume(length);
            self.bytes += length as u64;
            if ended {
                return Ok(());
            }
        }
    }
}
