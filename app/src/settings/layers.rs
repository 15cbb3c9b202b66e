//! Where values come from: built-in, file, environment, flags; later ones win.
//!
//! Deliberately absent: what values mean. Here only their names are checked, so that a misspelt key is a fault and
//! never a silent default.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::ops::Range;
use std::path::{Path, PathBuf};

use config::builder::DefaultState;
use config::{ConfigBuilder, ConfigError, Map, Source, Value, ValueKind};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::{Fault, did_you_mean};

/// The built-in configuration, with a comment for every key.
pub const BUILT_IN: &str = include_str!("../../../config/default.toml");
/// How the origin of built-in values is told.
pub(super) const BUILT_IN_NAME: &str = "built-in";
/// What the names of environment variables begin with.
const PREFIX: &str = "REGRANT__";

/// What the configuration is made of, lowest layer first. The built-in one is always beneath.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// A configuration file.
    pub file: Option<File>,
    /// Environment variables; those whose names do not begin with `REGRANT__` are ignored.
    pub variables: Vec<(OsString, OsString)>,
    /// What the names of those that count begin with instead of `REGRANT__`.
    pub prefix: Option<&'static str>,
    /// Flags: the flag, the key, the value.
    pub flags: Vec<(&'static str, &'static str, OsString)>,
}

/// A configuration file, on disk or as text.
#[derive(Debug, Clone)]
pub enum File {
    /// To be read.
    Path(PathBuf),
    /// As it is.
    Text {
        /// How it is called in faults.
        name: String,
        /// Its content.
        text: String,
    },
}

/// One layer: values by their full key, each with its origin.
#[derive(Debug, Clone, Default)]
struct Layer(BTreeMap<String, Value>);

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.0.iter().map(|(key, value)| (key.clone(), value.clone())).collect())
    }
}

/// All values by their full key, after layering. Faulty names and unreadable layers are added to `faults`.
pub(super) fn merge(sources: &Sources, faults: &mut Vec<Fault>) -> BTreeMap<String, Value> {
    let built_in = toml_layer(BUILT_IN_NAME, BUILT_IN, None, faults);
    let known = built_in.0.clone();
    let file = sources.file.as_ref().map(|file| file_layer(file, &known, faults)).unwrap_or_default();
    let prefix = sources.prefix.unwrap_or(PREFIX);
    let environment = environment_layer(&sources.variables, prefix, &known, faults);
    let flags = flags_layer(&sources.flags, faults);
    let layers = [built_in, file, environment, flags];
    let builder = ConfigBuilder::<DefaultState>::default();
    match layers.into_iter().fold(builder, ConfigBuilder::<DefaultState>::add_source).build() {
        Ok(config) => flatten(config.cache),
        Err(error) => {
            faults.push(fault("", BUILT_IN_NAME, error.to_string(), ""));
            known
        }
    }
}

/// Two levels, `section.key`, to full keys. What lies deeper stays a table, and is a fault of type when it is read.
fn flatten(root: Value) -> BTreeMap<String, Value> {
    let ValueKind::Table(sections) = root.kind else { return BTreeMap::new() };
    let mut values = BTreeMap::new();
    for (section, value) in sections {
        if let ValueKind::Table(keys) = value.kind {
            values.extend(keys.into_iter().map(|(key, value)| (format!("{section}.{key}"), value)));
        }
    }
    values
}

fn fault(key: &str, origin: &str, wrong: impl Into<String>, accepted: impl Into<String>) -> Fault {
    Fault { key: key.to_owned(), origin: origin.to_owned(), wrong: wrong.into(), accepted: accepted.into() }
}

type Known = BTreeMap<String, Value>;

fn file_layer(file: &File, known: &Known, faults: &mut Vec<Fault>) -> Layer {
    match file {
        File::Text { name, text } => toml_layer(name, text, Some(known), faults),
        File::Path(path) => match read(path) {
            Ok(text) => toml_layer(&path.display().to_string(), &text, Some(known), faults),
            Err(error) => {
                let name = path.display().to_string();
                faults.push(fault("", &name, format!("the configuration file cannot be read: {error}"), ""));
                Layer::default()
            }
        },
    }
}

fn read(path: &Path) -> std::io::Result<String> {
    let bytes = std::fs::read(path)?;
    String::from_utf8(bytes).map_err(|_| std::io::Error::new(std::io::ErrorKind::InvalidData, "it is not UTF-8 text"))
}

/// Reads TOML. The built-in configuration defines which keys are known; every other file is held to them.
fn toml_layer(name: &str, text: &str, known: Option<&Known>, faults: &mut Vec<Fault>) -> Layer {
    let (root, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        // Only the parser's message: the line itself may hold a password.
        faults.extend(errors.iter().map(|error| {
            fault("", &place(name, text, error.span()), format!("not valid TOML: {}", error.message().trim()), "")
        }));
        return Layer::default();
    }
    let mut file = TomlFile { name, text, known, layer: Layer::default(), faults };
    for (section, value) in root.into_inner() {
        file.section(&section, value);
    }
    file.layer
}

struct TomlFile<'a> {
    name: &'a str,
    text: &'a str,
    known: Option<&'a Known>,
    layer: Layer,
    faults: &'a mut Vec<Fault>,
}

impl TomlFile<'_> {
    fn section(&mut self, name: &Spanned<std::borrow::Cow<'_, str>>, value: Spanned<DeValue<'_>>) {
        let place = self.place(name.span());
        let section: &str = name.as_ref();
        let Some(known) = self.known else { return self.keys(section, value) };
        let is_section = known.keys().any(|key| key.split('.').next() == Some(section));
        match (is_section, value.as_ref().is_table()) {
            (true, true) => self.keys(section, value),
            (true, false) => self.faults.push(fault(section, &place, "this is a section", section_form(section))),
            (false, true) => {
                let mean = did_you_mean(section, known.keys().filter_map(|key| key.split('.').next()));
                self.faults.push(fault(section, &place, "there is no such section", suggest(mean)));
            }
            (false, false) => {
                let mean = did_you_mean(section, known.keys().map(String::as_str));
                self.faults.push(fault(section, &place, "there is no such key outside of a section", suggest(mean)));
            }
        }
    }

    fn keys(&mut self, section: &str, value: Spanned<DeValue<'_>>) {
        let DeValue::Table(table) = value.into_inner() else { return };
        for (key, value) in table {
            let place = self.place(key.span());
            let full = format!("{section}.{}", key.as_ref());
            if let Some(known) = self.known
                && !known.contains_key(&full)
            {
                let mean = did_you_mean(&full, known.keys().map(String::as_str));
                self.faults.push(fault(&full, &place, "there is no such key", suggest(mean)));
                continue;
            }
            if value.as_ref().is_table() {
                // The layering would look into it, and lose where it comes from.
                self.faults.push(fault(&full, &place, "found a table", "expected a single value"));
                continue;
            }
            self.layer.0.insert(full, Value::new(Some(&place), kind(value.into_inner())));
        }
    }

    fn place(&self, span: Range<usize>) -> String {
        if self.known.is_none() { self.name.to_owned() } else { place(self.name, self.text, Some(span)) }
    }
}

fn section_form(section: &str) -> String {
    format!("write [{section}] on a line of its own and its keys below")
}

fn suggest(mean: Option<&str>) -> String {
    mean.map_or_else(
        || "`regrant config show` prints all that there are".to_owned(),
        |mean| format!("did you mean {mean}?"),
    )
}

fn place(name: &str, text: &str, span: Option<Range<usize>>) -> String {
    let Some(span) = span else { return name.to_owned() };
    let line = text.bytes().take(span.start).filter(|byte| *byte == b'\n').count() + 1;
    format!("{name}, line {line}")
}

/// A TOML value as the layering keeps it. No key takes a fraction, a date or a table: of those only the type is kept, for
/// the fault that is told.
fn kind(value: DeValue<'_>) -> ValueKind {
    match value {
        DeValue::String(text) => ValueKind::String(text.into_owned()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => ValueKind::I64(number),
            Err(_) => ValueKind::Float(f64::NAN),
        },
        DeValue::Float(number) => ValueKind::Float(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(flag) => ValueKind::Boolean(flag),
        DeValue::Datetime(_) | DeValue::Table(_) => ValueKind::Nil,
        DeValue::Array(values) => {
            ValueKind::Array(values.into_iter().map(|value| Value::new(None, kind(value.into_inner()))).collect())
        }
    }
}

fn environment_layer(
    variables: &[(OsString, OsString)],
    prefix: &str,
    known: &Known,
    faults: &mut Vec<Fault>,
) -> Layer {
    let variable = |key: &str| variable_of(prefix, key);
    let mut layer = Layer::default();
    for (name, value) in variables {
        let name = name.to_string_lossy();
        if !name.to_uppercase().starts_with(prefix) {
            continue;
        }
        let origin = format!("environment variable {name}");
        let key = name[prefix.len()..].replace("__", ".").to_lowercase();
        match (known.get(&key), variable(&key) == name) {
            (Some(like), true) => match value.to_str() {
                Some(text) => {
                    layer.0.insert(key, Value::new(Some(&origin), text_as(&like.kind, text)));
                }
                None => faults.push(fault(&key, &origin, "its value is not UTF-8 text", "")),
            },
            (Some(_), false) => {
                faults.push(fault(&key, &origin, "names are in capital letters", suggest(Some(&variable(&key)))));
            }
            (None, _) => {
                let mean = did_you_mean(&key, known.keys().map(String::as_str)).map(variable);
                faults.push(fault(&key, &origin, "there is no such key", suggest(mean.as_deref())));
            }
        }
    }
    layer
}

/// The environment variable of a key.
pub(super) fn variable(key: &str) -> String {
    variable_of(PREFIX, key)
}

fn variable_of(prefix: &str, key: &str) -> String {
    format!("{prefix}{}", key.replace('.', "__").to_uppercase())
}

fn flags_layer(flags: &[(&'static str, &'static str, OsString)], faults: &mut Vec<Fault>) -> Layer {
    let mut layer = Layer::default();
    for (flag, key, value) in flags {
        let origin = format!("flag {flag}");
        match OsStr::to_str(value) {
            Some(text) => {
                layer.0.insert((*key).to_owned(), Value::new(Some(&origin), text));
            }
            None => faults.push(fault(key, &origin, "its value is not UTF-8 text", "")),
        }
    }
    layer
}

/// Text as a value of the same type as `like`, if it can be read as one; otherwise the text, a fault of type.
fn text_as(like: &ValueKind, text: &str) -> ValueKind {
    match like {
        ValueKind::Boolean(_) => text.parse().map(ValueKind::Boolean).ok(),
        ValueKind::I64(_) => text.parse().map(ValueKind::I64).ok(),
        ValueKind::Float(_) => text.parse().map(ValueKind::Float).ok(),
        // With commas between, as lists are written in variables.
        ValueKind::Array(_) => {
            let texts = text.split(',').map(str::trim).filter(|text| !text.is_empty());
            Some(ValueKind::Array(texts.map(|text| Value::new(None, text)).collect()))
        }
        _ => None,
    }
    .unwrap_or_else(|| ValueKind::String(text.to_owned()))
}
