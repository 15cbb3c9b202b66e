//! Rows of CSV (RFC 4180), except that a value has no line breaks.

use regrant_domain::usecases::import::Row;

const NAMES: [&str; 5] = ["email", "password_hash", "id", "created_at", "updated_at"];
const NEEDED: usize = 2;

/// What each column holds: an index into [`NAMES`].
pub(super) struct Columns(Vec<usize>);

impl Columns {
    /// Reads the header.
    pub(super) fn of(header: &str) -> Result<Self, String> {
        let mut columns = Vec::new();
        for name in fields(header)? {
            let name = name.trim();
            let Some(known) = NAMES.iter().position(|known| *known == name) else {
                return Err(format!("column \"{name}\" is not known; it has {}", NAMES.join(", ")));
            };
            if columns.contains(&known) {
                return Err(format!("column \"{name}\" is there twice"));
            }
            columns.push(known);
        }
        match (0..NEEDED).find(|needed| !columns.contains(needed)) {
            Some(needed) => Err(format!("column \"{}\" is missing", NAMES[needed])),
            None => Ok(Self(columns)),
        }
    }

    /// Reads a row.
    pub(super) fn row(&self, line: &str) -> Result<Row, String> {
        let fields = fields(line)?;
        if fields.len() != self.0.len() {
            return Err(format!(
                "it has {} values where the header has {}; a value with a comma must be in double quotes",
                fields.len(),
                self.0.len()
            ));
        }
        let mut row = Row::default();
        for (value, column) in fields.into_iter().zip(&self.0) {
            let some = (!value.is_empty()).then(|| value.clone());
            match NAMES[*column] {
                "email" => row.email = value,
                "password_hash" => row.password_hash = value,
                "id" => row.id = some,
                "created_at" => row.created_at = some,
                _ => row.updated_at = some,
            }
        }
        Ok(row)
    }
}

fn fields(line: &str) -> Result<Vec<String>, String> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let (field, after) =
            if let Some(quoted) = rest.strip_prefix('"') { quoted_field(quoted)? } else { plain_field(rest)? };
        fields.push(field);
        match after.strip_prefix(',') {
            Some(after) => rest = after,
            None if after.is_empty() => return Ok(fields),
            None => return Err("after a closing double quote, expected a comma".to_owned()),
        }
    }
}

/// A field without quotes, and what comes after it.
fn plain_field(text: &str) -> Result<(String, &str), String> {
    let (field, after) = text.split_at(text.find(',').unwrap_or(text.len()));
    if field.contains('"') {
        return Err("a value with a double quote must be in double quotes".to_owned());
    }
    Ok((field.to_owned(), after))
}

/// A field after its opening quote, and what comes after its closing one.
fn quoted_field(text: &str) -> Result<(String, &str), String> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let (part, after) = rest.split_once('"').ok_or("a double quote is not closed on its line")?;
        field.push_str(part);
        match after.strip_prefix('"') {
            Some(after) => {
                field.push('"');
                rest = after;
            }
            None => return Ok((field, after)),
        }
    }
}
