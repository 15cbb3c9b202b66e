//! Files of users to be imported: JSON lines, or CSV with a header.
//!
//! A row is a line, in CSV too: so a quote that is never closed costs one row, and a row needs bounded memory.

mod csv;
mod lines;

#[cfg(test)]
mod tests;

use std::io::{self, BufRead};

use regrant_domain::usecases::import::{Line, Row};
use serde::Deserialize;

use csv::Columns;
use lines::Lines;

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line, with the members of [`Row`].
    JsonLines,
    /// RFC 4180, with a header that names columns as the members of [`Row`] are named.
    Csv,
}

/// A file that is being read.
pub struct UsersFile<R> {
    lines: Lines<R>,
    /// `None`: JSON lines.
    columns: Option<Columns>,
}

/// The file cannot be read as such. (What is wrong with one row is told of that row.)
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// What the system says.
    #[error("it cannot be read")]
    Read(#[from] io::Error),
    /// Bytes that are no UTF-8.
    #[error("line {line} is not UTF-8")]
    NotUtf8 {
        /// Its number, from 1.
        line: u64,
    },
    /// CSV without a first line, or with one that is no header.
    #[error("its first line is no header: {0}; expected a line such as email,password_hash,created_at")]
    Header(String),
}

impl<R: BufRead> UsersFile<R> {
    /// Begins to read; of CSV, the header.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn open(from: R, format: Format) -> Result<Self, Broken> {
        let mut lines = Lines::new(from);
        let columns = match format {
            Format::JsonLines => None,
            Format::Csv => Some(match lines.next()? {
                Some((_, Ok(header))) => Columns::of(&header).map_err(Broken::Header)?,
                Some((_, Err(why))) => return Err(Broken::Header(why)),
                None => return Err(Broken::Header("it is empty".to_owned())),
            }),
        };
        Ok(Self { lines, columns })
    }

    /// The next lines, at most `most`; none at the end.
    ///
    /// # Errors
    /// [`Broken`]: nothing more can be read.
    pub fn read(&mut self, most: usize) -> Result<Vec<Line>, Broken> {
        let mut read = Vec::with_capacity(most);
        while read.len() < most {
            let Some((number, line)) = self.lines.next()? else { break };
            let row = line.and_then(|line| match &self.columns {
                Some(columns) => columns.row(&line),
                None => json(&line),
            });
            read.push(Line { number, row });
        }
        Ok(read)
    }

    /// How many bytes were read so far.
    pub const fn bytes_read(&self) -> u64 {
        self.lines.bytes_read()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonRow {
    email: String,
    password_hash: String,
    id: Option<String>,
    created_at: Option<String>,
    updated_at: Option<String>,
}

fn json(line: &str) -> Result<Row, String> {
    let row: JsonRow = serde_json::from_str(line).map_err(|error| {
        let column = error.column();
        // The library counts lines too, and there is only one.
        let what = error.to_string();
        let what = what.split(" at line ").next().unwrap_or_default();
        format!("not a JSON object of a user: {what} (column {column})")
    })?;
    let JsonRow { email, password_hash, id, created_at, updated_at } = row;
    Ok(Row { email, password_hash, id, created_at, updated_at })
}
