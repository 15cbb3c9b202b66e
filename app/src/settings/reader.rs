//! Reads one value at a time, and remembers what is wrong instead of stopping at it.
//!
//! A faulty value is replaced by some value of its type, so that reading goes on; then the faults are the answer, and
//! what was read is thrown away.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use config::{Value, ValueKind};

use super::duration;
use super::fault::Fault;
use super::layers::BUILT_IN_NAME;

/// Keys whose values may hold a password: never part of a message.
pub(super) const SECRET_KEYS: [&str; 4] = ["store.url", "users.url", "telemetry.otlp_endpoint", "oauth.clients"];

/// See the module.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    values: &'a BTreeMap<String, Value>,
    asked: BTreeSet<&'static str>,
    faulty: BTreeSet<&'static str>,
    faults: Vec<Fault>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(values: &'a BTreeMap<String, Value>, faults: Vec<Fault>) -> Self {
        Self { values, asked: BTreeSet::new(), faulty: BTreeSet::new(), faults }
    }

    /// The keys that were asked for, and all faults.
    pub(super) fn finish(self) -> (BTreeSet<&'static str>, Vec<Fault>) {
        (self.asked, self.faults)
    }

    /// Adds a fault of a key.
    pub(super) fn fault(&mut self, key: &'static str, wrong: impl Into<String>, accepted: impl Into<String>) {
        self.faulty.insert(key);
        let origin = self.values.get(key).and_then(Value::origin).unwrap_or(BUILT_IN_NAME).to_owned();
        self.faults.push(Fault { key: key.to_owned(), origin, wrong: wrong.into(), accepted: accepted.into() });
    }

    /// Whether none of these keys has a fault: only then can they contradict each other.
    pub(super) fn sound(&self, keys: &[&'static str]) -> bool {
        keys.iter().all(|key| !self.faulty.contains(key))
    }

    /// The text of a key that is read elsewhere, for a comparison; empty if it is none.
    pub(super) fn word(&self, key: &str) -> &'a str {
        match self.values.get(key).map(|value| &value.kind) {
            Some(ValueKind::String(text)) => text,
            _ => "",
        }
    }

    pub(super) fn text(&mut self, key: &'static str) -> String {
        match self.kind(key) {
            Some(ValueKind::String(text)) if text.contains('\0') => {
                self.fault(key, "it contains a NUL character", "expected text");
                String::new()
            }
            Some(ValueKind::String(text)) => text.clone(),
            other => self.type_fault(key, other, "text in quotation marks"),
        }
    }

    /// A list of texts.
    pub(super) fn list(&mut self, key: &'static str) -> Vec<String> {
        let accepted = "a list of texts, such as [\"one\", \"two\"], or []";
        let found = match self.kind(key) {
            Some(ValueKind::Array(values)) => values,
            other => return self.type_fault(key, other, accepted),
        };
        let texts = found.iter().map(|value| match &value.kind {
            ValueKind::String(text) => Some(text.clone()),
            _ => None,
        });
        texts.collect::<Option<_>>().unwrap_or_else(|| {
            self.fault(key, "found a list of something else", format!("expected {accepted}"));
            Vec::new()
        })
    }

    pub(super) fn flag(&mut self, key: &'static str) -> bool {
        match self.kind(key) {
            Some(ValueKind::Boolean(flag)) => *flag,
            other => self.type_fault(key, other, "true or false"),
        }
    }

    pub(super) fn number(&mut self, key: &'static str, range: RangeInclusive<u32>) -> u32 {
        let accepted = format!("a whole number from {} to {}", range.start(), range.end());
        let number = match self.kind(key) {
            Some(ValueKind::I64(number)) => *number,
            other => return self.type_fault(key, other, &accepted),
        };
        let fitting = u32::try_from(number).ok().filter(|number| range.contains(number));
        fitting.unwrap_or_else(|| {
            self.fault(key, format!("{number} is out of range"), format!("expected {accepted}"));
            *range.start()
        })
    }

    /// A share: from 0 to 1.
    pub(super) fn ratio(&mut self, key: &'static str) -> f64 {
        let accepted = "a number from 0 to 1, such as 0.05";
        let ratio = match self.kind(key) {
            Some(ValueKind::Float(number)) => *number,
            // Only these two are in range.
            Some(ValueKind::I64(number @ (0 | 1))) => return if *number == 0 { 0.0 } else { 1.0 },
            Some(ValueKind::I64(_)) => f64::NAN,
            other => return self.type_fault(key, other, accepted),
        };
        if (0.0..=1.0).contains(&ratio) {
            return ratio;
        }
        self.fault(key, "it is out of range", format!("expected {accepted}"));
        0.0
    }

    pub(super) fn duration(&mut self, key: &'static str, range: RangeInclusive<Duration>) -> Duration {
        let (least, most) = (duration::write(*range.start()), duration::write(*range.end()));
        let accepted = format!("a duration such as \"90s\", \"15m\", \"1h\" or \"60d\", from {least} to {most}");
        let text = match self.kind(key) {
            Some(ValueKind::String(text)) => text.clone(),
            other => return self.type_fault(key, other, &accepted),
        };
        let wrong = match duration::parse(&text) {
            Ok(duration) if range.contains(&duration) => return duration,
            Ok(duration) if duration < *range.start() => format!("{text:?} is too short"),
            Ok(_) => format!("{text:?} is too long"),
            Err(why) => format!("{text:?} is not a duration: {why}"),
        };
        self.fault(key, wrong, format!("expected {accepted}"));
        *range.start()
    }

    /// A duration; empty: `otherwise`.
    pub(super) fn duration_or(
        &mut self,
        key: &'static str,
        range: RangeInclusive<Duration>,
        otherwise: Duration,
    ) -> Duration {
        match self.kind(key) {
            Some(ValueKind::String(text)) if text.is_empty() => otherwise,
            _ => self.duration(key, range),
        }
    }

    /// One of some words.
    pub(super) fn choice<T: Copy>(&mut self, key: &'static str, words: &[(&str, T)], otherwise: T) -> T {
        let accepted = one_of(&words.iter().map(|(word, _)| format!("{word:?}")).collect::<Vec<_>>());
        let text = match self.kind(key) {
            Some(ValueKind::String(text)) => text.clone(),
            other => {
                self.type_fault::<String>(key, other, &accepted);
                return otherwise;
            }
        };
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return *value;
        }
        self.fault(key, format!("{text:?} is not known"), format!("expected {accepted}"));
        otherwise
    }

    /// Text that something else reads.
    pub(super) fn parsed<T, E: Display>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, E>,
        accepted: &str,
    ) -> Option<T> {
        let before = self.faults.len();
        let text = self.text(key);
        if self.faults.len() > before {
            return None;
        }
        parse(&text)
            .map_err(|why| {
                let given = if SECRET_KEYS.contains(&key) { "the value".to_owned() } else { format!("{text:?}") };
                self.fault(key, format!("{given} cannot be used: {why}"), format!("expected {accepted}"));
            })
            .ok()
    }

    fn kind(&mut self, key: &'static str) -> Option<&'a ValueKind> {
        self.asked.insert(key);
        self.values.get(key).map(|value| &value.kind)
    }

    fn type_fault<T: Default>(&mut self, key: &'static str, found: Option<&ValueKind>, accepted: &str) -> T {
        let found = match found {
            Some(ValueKind::String(_)) if SECRET_KEYS.contains(&key) => "text".to_owned(),
            Some(ValueKind::String(text)) => format!("the text {text:?}"),
            Some(ValueKind::Boolean(flag)) => format!("{flag}"),
            Some(ValueKind::I64(number)) => format!("the number {number}"),
            Some(ValueKind::Float(number)) if number.is_nan() => "a number that is too large".to_owned(),
            Some(ValueKind::Float(number)) => format!("the number {number}"),
            Some(ValueKind::Array(_)) => "a list".to_owned(),
            Some(_) => "a date or time".to_owned(),
            None => "nothing".to_owned(),
        };
        self.fault(key, format!("found {found}"), format!("expected {accepted}"));
        T::default()
    }
}

fn one_of(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}
