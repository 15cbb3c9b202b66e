//! The manifest of a key folder: which keys there are, and from when on each is used. JSON, made by `regrant keys rotate`;
//! a folder without one holds one key of each kind.
//!
//! Deliberately absent: the disk (the text comes and goes as a value), and key material. The keys are files of their own,
//! which are made once and never written again: only what is said about them changes.

use std::collections::BTreeSet;

use regrant_domain::key_stage::Term;
use regrant_domain::time::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What this program writes and reads.
const VERSION: u32 = 1;

/// See the module. In each list, keys stand in the order in which they take over from one another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    version: u32,
    /// Keys that sign access tokens; none: not rotated yet.
    pub signing: Vec<Entry>,
    /// Keys that prove and derive refresh tokens; none: not rotated yet.
    pub token: Vec<Entry>,
}

/// One key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its file, relative to the folder of the manifest.
    pub file: String,
    /// Its name in tokens: a file that holds another key is not the one that is meant.
    pub id: String,
    /// What it signs with (RFC 7518 §3.1), where that differs from key to key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<String>,
    /// When it was made.
    #[serde(serialize_with = "write", deserialize_with = "read")]
    pub created_at: Timestamp,
    /// From when on it is used.
    #[serde(serialize_with = "write", deserialize_with = "read")]
    pub signs_from: Timestamp,
    /// When the operator said that nothing made with it is to be accepted any more.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "write_some",
        deserialize_with = "read_some"
    )]
    pub revoked_at: Option<Timestamp>,
}

impl Entry {
    /// What the stages follow from.
    pub const fn term(&self) -> Term {
        Term { signs_from: self.signs_from, revoked_at: self.revoked_at }
    }
}

impl Default for Manifest {
    fn default() -> Self {
        Self { version: VERSION, signing: Vec::new(), token: Vec::new() }
    }
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// [`InvalidManifest`] says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, InvalidManifest> {
        let manifest: Self = serde_json::from_str(text).map_err(InvalidManifest::Json)?;
        if manifest.version != VERSION {
            return Err(InvalidManifest::Version(manifest.version));
        }
        for (kind, entries) in [("signing", &manifest.signing), ("token", &manifest.token)] {
            if !entries.is_sorted_by_key(|entry| entry.signs_from) {
                return Err(InvalidManifest::Order(kind));
            }
            if !entries.is_empty() && entries.iter().all(|entry| entry.revoked_at.is_some()) {
                return Err(InvalidManifest::AllRevoked(kind));
            }
        }
        let mut files = BTreeSet::new();
        let twice = manifest.entries().find(|entry| !files.insert(entry.file.as_str()));
        match twice {
            Some(entry) => Err(InvalidManifest::FileTwice(entry.file.clone())),
            None => Ok(manifest),
        }
    }

    /// Its text.
    ///
    /// # Errors
    /// [`serde_json::Error`] in theory.
    pub fn text(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self).map(|text| text + "\n")
    }

    /// Every key.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.signing.iter().chain(&self.token)
    }
}

/// Why a text is not a manifest.
#[derive(Debug, thiserror::Error)]
pub enum InvalidManifest {
    /// Not JSON of this shape.
    #[error("it is not a manifest: {0}")]
    Json(serde_json::Error),
    /// Another program wrote it.
    #[error("it has the version {0}; this program knows version {VERSION}")]
    Version(u32),
    /// A key takes over before the one that it takes over from.
    #[error("the keys of {0:?} are not in the order of signs_from")]
    Order(&'static str),
    /// There would be nothing to sign with.
    #[error("all keys of {0:?} are revoked")]
    AllRevoked(&'static str),
    /// Two keys in one file.
    #[error("{0:?} is listed twice")]
    FileTwice(String),
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn write<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(at)
}

#[expect(clippy::ref_option, reason = "serde hands over a reference")]
fn write_some<S: Serializer>(at: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => to.collect_str(at),
        None => to.serialize_none(),
    }
}

fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
    String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
}

fn read_some<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
    read(from).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(file: &str, signs_from: i64) -> Entry {
        Entry {
            file: file.to_owned(),
            id: "k".to_owned(),
            algorithm: Some("ES256".to_owned()),
            created_at: Timestamp::from_millis(1_795_249_800_007),
            signs_from: Timestamp::from_millis(signs_from),
            revoked_at: None,
        }
    }

    fn manifest() -> Manifest {
        let revoked = Entry { revoked_at: Some(Timestamp::from_millis(7)), algorithm: None, ..entry("t1", 1) };
        Manifest {
            signing: vec![entry("a", 5), entry("b", 5), entry("c", 9)],
            token: vec![revoked, entry("t2", 2)],
            ..Manifest::default()
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for manifest in [Manifest::default(), manifest()] {
            let text = manifest.text().expect("JSON");
            assert_eq!(Manifest::parse(&text).expect("well formed"), manifest, "{text}");
        }
    }

    #[test]
    fn instants_are_written_for_people() {
        let text = manifest().text().expect("JSON");
        assert!(text.contains(r#""created_at": "2026-11-21T08:30:00.007Z""#), "{text}");
    }

    #[test]
    fn every_part_of_a_manifest_is_refused() {
        // A file that somebody is still writing, or that a full disk cut off.
        let text = manifest().text().expect("JSON");
        let whole = text.trim_end().len();
        for cut in 0..whole {
            assert!(Manifest::parse(&text[..cut]).is_err(), "{}", &text[..cut]);
        }
    }

    #[test]
    fn what_contradicts_itself_is_told() {
        let told = |change: fn(&mut Manifest)| {
            let mut wrong = manifest();
            change(&mut wrong);
            Manifest::parse(&wrong.text().expect("JSON")).expect_err("wrong").to_string()
        };
        assert!(told(|m| m.version = 2).contains("version 2"));
        assert!(told(|m| m.signing.reverse()).contains("order"));
        assert!(told(|m| m.token[1].file = "a".into()).contains("listed twice"));
        assert!(told(|m| m.token.truncate(1)).contains("all keys of \"token\" are revoked"));
        let unknown = manifest().text().expect("JSON").replacen("\"id\"", "\"key\"", 1);
        assert!(Manifest::parse(&unknown).expect_err("wrong").to_string().contains("unknown field"));
    }
}
