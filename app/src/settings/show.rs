//! The merged configuration as a file that can be read again.

use std::collections::BTreeMap;
use std::ops::Range;

use config::{Value, ValueKind};
use toml::de::{DeTable, DeValue};

use super::layers::{BUILT_IN, BUILT_IN_NAME};
use super::reader::SECRET_KEYS;

/// Stands where a password was. Reading it again is a fault, so that nobody signs in with it by mistake.
pub(super) const HIDDEN: &str = ":********@";

/// The built-in configuration with its comments, and these values instead of its own.
pub(super) fn render(merged: &BTreeMap<String, Value>) -> String {
    let mut text = BUILT_IN.to_owned();
    let mut places = places();
    // From the end, so that earlier places stay where they are.
    places.sort_unstable_by_key(|(_, span)| std::cmp::Reverse(span.start));
    for (key, span) in places {
        let Some(value) = merged.get(&key) else { continue };
        let origin = value.origin().filter(|origin| *origin != BUILT_IN_NAME);
        let origin = origin.map(|origin| format!("  # {}", one_line(origin))).unwrap_or_default();
        text.replace_range(span, &format!("{}{origin}", literal(&key, value)));
    }
    text
}

/// Each key of the built-in configuration, and where in its text the value is.
fn places() -> Vec<(String, Range<usize>)> {
    let Ok(root) = DeTable::parse(BUILT_IN) else { return Vec::new() };
    let mut places = Vec::new();
    for (section, value) in root.into_inner() {
        if let DeValue::Table(keys) = value.into_inner() {
            places.extend(keys.into_iter().map(|(key, value)| {
                (format!("{section}.{key}", section = section.as_ref(), key = key.as_ref()), value.span())
            }));
        }
    }
    places
}

/// A file name may hold anything, but a comment ends at the end of the line.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

fn literal(key: &str, value: &Value) -> String {
    match &value.kind {
        ValueKind::String(text) if SECRET_KEYS.contains(&key) => toml::Value::String(hidden(text)).to_string(),
        ValueKind::String(text) => toml::Value::String(text.clone()).to_string(),
        ValueKind::Array(values) => {
            let values = values.iter().map(|value| toml::Value::String(value.to_string()));
            toml::Value::Array(values.collect()).to_string()
        }
        ValueKind::Float(number) => toml::Value::Float(*number).to_string(),
        other => other.to_string(),
    }
}

/// A URL without its password: what is between the first colon and the last `@` of the authority. What does not look
/// like a URL but has an `@` is taken to hold one as well.
pub(super) fn hidden(url: &str) -> String {
    if url.starts_with("sqlite:") {
        // A path: it may have any of these characters, and holds no password.
        return url.to_owned();
    }
    let start = url.find("://").map_or(0, |at| at + 3);
    let (scheme, rest) = url.split_at(start);
    // What follows a question mark may be a password as well (`?password=…`), or the rest of one that has the mark.
    let (place, more) = rest.split_once('?').map_or((rest, None), |(place, more)| (place, Some(more)));
    let place = match place.rsplit_once('@') {
        Some((userinfo, place)) => {
            let user = userinfo.split_once(':').map_or(userinfo, |(user, _)| user);
            let hidden = if userinfo.contains(':') { HIDDEN } else { "@" };
            format!("{user}{hidden}{place}")
        }
        None if more.is_some_and(|more| more.contains('@')) => {
            let user = place.split_once(':').map_or(place, |(user, _)| user);
            format!("{user}{HIDDEN}")
        }
        None => place.to_owned(),
    };
    let more = if more.is_some() { "?…" } else { "" };
    format!("{scheme}{place}{more}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_a_url_is_hidden() {
        for (url, shown) in [
            ("", ""),
            ("sqlite:/var/lib/regrant.db", "sqlite:/var/lib/regrant.db"),
            ("sqlite:/home/me@work:1/x?.db", "sqlite:/home/me@work:1/x?.db"),
            ("./me@work.db", "./me@work.db"),
            ("postgres://db/regrant", "postgres://db/regrant"),
            ("postgres://me@db/regrant", "postgres://me@db/regrant"),
            ("postgres://me:hunter2@db/regrant", "postgres://me:********@db/regrant"),
            ("postgres://me:hun@ter:2@db/regrant", "postgres://me:********@db/regrant"),
            ("redis://:hunter2@a", "redis://:********@a"),
            ("postgres://db/regrant?password=hunter2", "postgres://db/regrant?…"),
            ("postgres://me:hunter2@db/x?password=hun@ter2", "postgres://me:********@db/x?…"),
            ("postgres://me:hun?ter2@db/x", "postgres://me:********@?…"),
            ("redis+sentinel://:hunter2@a,b/main?sentinel_password=hunter2", "redis+sentinel://:********@a,b/main?…"),
            ("me:hunter2@db", "me:********@db"),
        ] {
            assert_eq!(hidden(url), shown, "{url}");
        }
    }
}
