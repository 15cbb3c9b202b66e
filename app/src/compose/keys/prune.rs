//! Removing key files that nothing needs any more.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use regrant_adapters::outbound::key_manifest::{Entry, Manifest};
use regrant_adapters::outbound::private_file;
use regrant_domain::key_stage::{Stage, standings};
use regrant_domain::time::Timestamp;

use super::folder::{accepted_for, manifest};
use super::rotate::{hold, put};
use super::{Kind, Settings};
use crate::failure::Failure;

/// A process whose clock is a little behind may still need a key that was retired just now.
const LATE: Duration = Duration::from_mins(1);

/// Removes the files of keys that are retired, and those that a rotation left behind which did not come to its end.
/// Answers what was removed.
///
/// The files go first: a manifest that lists a retired key whose file is gone is as good as before.
///
/// # Errors
/// [`Failure`]; what was not removed is still listed, and goes the next time.
pub fn prune(settings: &Settings, now: Timestamp) -> Result<Vec<PathBuf>, Failure> {
    if !settings.keys.dir.is_dir() {
        return Ok(Vec::new());
    }
    let _held = hold(settings)?;
    let mut manifest = manifest(settings)?.unwrap_or_default();
    let mut removed = Vec::new();
    for kind in [Kind::Signing, Kind::Token] {
        let entries = std::mem::take(kind.entries_mut(&mut manifest));
        let terms: Vec<_> = entries.iter().map(Entry::term).collect();
        let standings = standings(&terms, now.minus(LATE), accepted_for(kind, settings));
        for (entry, standing) in entries.into_iter().zip(standings) {
            let revoked = entry.revoked_at.is_some_and(|at| at > now.minus(LATE));
            if standing.stage == Stage::Retired && !revoked {
                removed.push(settings.keys.dir.join(&entry.file));
            } else {
                kind.entries_mut(&mut manifest).push(entry);
            }
        }
    }
    let retired = !removed.is_empty();
    removed.extend(left_behind(settings, &manifest)?);
    removed.retain(|path| path.exists() || retired);
    for path in &removed {
        private_file::remove(path).map_err(|error| {
            Failure::new(format!("{} cannot be removed", path.display())).because(&error).advise("remove it by hand")
        })?;
    }
    if retired {
        put(settings, &manifest)?;
    }
    Ok(removed)
}

/// Files with names as a rotation gives them, which the manifest does not list.
fn left_behind(settings: &Settings, manifest: &Manifest) -> Result<Vec<PathBuf>, Failure> {
    let dir = &settings.keys.dir;
    let listed: BTreeSet<&str> = manifest.entries().map(|entry| entry.file.as_str()).collect();
    let unread = |error: std::io::Error| Failure::new(format!("{} cannot be read", dir.display())).because(&error);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(unread)? {
        let path = entry.map_err(unread)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let named = [&settings.keys.signing_key, &settings.keys.token_key].iter().any(|file| file.path == path);
        if is_of_a_rotation(name) && !listed.contains(name) && !named {
            found.push(path);
        }
    }
    Ok(found)
}

/// `access-es256-Lz9IrtWBdI1X.pem`, `token-2.key`.
fn is_of_a_rotation(name: &str) -> bool {
    let Some((stem, "pem" | "key")) = name.rsplit_once('.') else { return false };
    if let Some(id) = stem.strip_prefix("token-") {
        return id.parse::<u8>().is_ok_and(|number| number.to_string() == id);
    }
    let id = stem.strip_prefix("access-").and_then(|rest| rest.split_once('-'));
    id.is_some_and(|(algorithm, id)| matches!(algorithm, "es256" | "eddsa" | "rs256" | "hs256") && id.len() == 12)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_a_rotation_gives_are_left_behind_by_one() {
        for name in ["access-es256-Lz9IrtWBdI1X.pem", "access-hs256-a-_-bcdefgh9.key", "token-2.key", "token-255.key"] {
            assert!(is_of_a_rotation(name), "{name}");
        }
        for name in [
            "access-es256.pem",
            "access-hs256.key",
            "token.key",
            "token-256.key",
            "token-02.key",
            "token-2.bak",
            "access-es512-Lz9IrtWBdI1X.pem",
            "access-es256-old.pem",
            "my-token-2.key",
            "keys.json",
            "regrant.db",
            "",
        ] {
            assert!(!is_of_a_rotation(name), "{name}");
        }
    }
}
