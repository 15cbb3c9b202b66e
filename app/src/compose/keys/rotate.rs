//! A new key, which takes over from the one in use.
//!
//! Three steps, and a crash between any two leaves a folder that is as good as before: the new key's file (nothing refers
//! to it yet), then the manifest in the place of the old one. The second is the one that counts.

use std::path::{Path, PathBuf};

use regrant_adapters::outbound::jwt::SigningKey;
use regrant_adapters::outbound::key_manifest::{Entry, Manifest};
use regrant_adapters::outbound::{private_file, token_keys};
use regrant_domain::key_stage::{Stage, standings};
use regrant_domain::time::Timestamp;
use regrant_domain::token_key::TokenKeyId;

use super::folder::{MANIFEST, accepted_for, manifest};
use super::{Kind, Make, Settings, Wanted, algorithm, exists, signing_key, token_key};
use crate::failure::Failure;

/// What is held while the folder changes.
const LOCK: &str = "keys.lock";

/// How to rotate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// The new key is published first, for as long as the settings say.
    Published,
    /// The new key is used as soon as the service can.
    Now {
        /// Whether nothing that other keys made is accepted any more.
        revoke_old: bool,
    },
}

/// What a rotation came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rotation {
    /// There is a new key.
    Begun {
        /// Its id.
        id: String,
        /// Its file.
        file: PathBuf,
        /// From when on it is used.
        signs_from: Timestamp,
        /// Until when the key is accepted that it takes over from; `None`: no longer.
        old_accepted_until: Option<Timestamp>,
    },
    /// There was one already that is to take over; nothing was changed.
    UnderWay {
        /// Its id.
        id: String,
        /// From when on it is used.
        signs_from: Timestamp,
    },
    /// Another rotation was made while this one waited for it; nothing more was changed.
    Overtaken,
}

/// Makes a key that takes over from the one in use.
///
/// # Errors
/// [`Failure`]; then the folder is as good as before.
pub fn rotate(settings: &Settings, kind: Kind, how: How, now: Timestamp) -> Result<Rotation, Failure> {
    let wanted = match kind {
        Kind::Signing => signing_key(settings).ok_or_else(|| {
            let failure = Failure::new("access tokens are not signed (access_token.format = \"opaque\")");
            failure.advise("rotate the token key: regrant keys rotate token")
        })?,
        Kind::Token => token_key(settings),
    };
    let before = manifest(settings)?;
    let _held = hold(settings)?;
    let manifest = manifest(settings)?;
    if manifest != before {
        return Ok(Rotation::Overtaken);
    }
    Rotating { settings, wanted, how, now }.run(manifest.unwrap_or_default())
}

/// Waits until no other command changes the folder.
pub(super) fn hold(settings: &Settings) -> Result<std::fs::File, Failure> {
    let path = settings.keys.dir.join(LOCK);
    private_file::hold(&path).map_err(|error| unwritable(&path, &error))
}

/// Puts the manifest in the place of the old one.
pub(super) fn put(settings: &Settings, manifest: &Manifest) -> Result<(), Failure> {
    let text = manifest.text().map_err(|error| Failure::of(&error))?;
    // What cannot be read again is not written.
    Manifest::parse(&text).map_err(|error| Failure::of(&error))?;
    let path = settings.keys.dir.join(MANIFEST);
    private_file::replace(&path, text.as_bytes()).map_err(|error| unwritable(&path, &error))
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    let failure = Failure::new(format!("{} cannot be written", path.display())).because(error);
    failure.advise("run it as a user who may write to keys.dir; where that is a mounted secret, see docs/keys.md")
}

struct Rotating<'s> {
    settings: &'s Settings,
    wanted: Wanted<'s>,
    how: How,
    now: Timestamp,
}

impl Rotating<'_> {
    fn run(&self, mut manifest: Manifest) -> Result<Rotation, Failure> {
        let kind = self.wanted.kind;
        let mut entries = std::mem::take(kind.entries_mut(&mut manifest));
        if entries.is_empty() {
            entries = self.wanted.first_entries(self.settings, self.now)?;
        }
        if let Some(next) = self.under_way(&entries) {
            return Ok(Rotation::UnderWay { id: next.id.clone(), signs_from: next.signs_from });
        }
        // What was to take over and has not is not needed: nothing was made with it.
        entries.retain(|entry| entry.signs_from <= self.now || entry.revoked_at.is_some());
        let new = self.new_entry(&entries)?;
        let revokes = matches!(self.how, How::Now { revoke_old: true });
        for old in entries.iter_mut().filter(|_| revokes) {
            old.revoked_at.get_or_insert(self.now);
        }
        let begun = Rotation::Begun {
            id: new.id.clone(),
            file: self.settings.keys.dir.join(&new.file),
            signs_from: new.signs_from,
            old_accepted_until: (!revokes).then(|| new.signs_from.plus(accepted_for(kind, self.settings))),
        };
        entries.push(new);
        *kind.entries_mut(&mut manifest) = entries;
        put(self.settings, &manifest)?;
        Ok(begun)
    }

    /// The key that is to take over, if it does so soon enough.
    fn under_way<'e>(&self, entries: &'e [Entry]) -> Option<&'e Entry> {
        let terms: Vec<_> = entries.iter().map(Entry::term).collect();
        let standings = standings(&terms, self.now, accepted_for(self.wanted.kind, self.settings));
        let next = entries.iter().zip(standings).find(|(_, one)| one.stage == Stage::Next).map(|(entry, _)| entry);
        next.filter(|next| match self.how {
            How::Published => true,
            How::Now { revoke_old: false } => next.signs_from <= self.signs_from(),
            // It may have been stolen together with the others.
            How::Now { revoke_old: true } => false,
        })
    }

    fn signs_from(&self) -> Timestamp {
        let keys = &self.settings.keys;
        match (self.how, self.wanted.kind) {
            (How::Published, _) => self.now.plus(keys.publish_before),
            // A refresh token that a process does not know signs its owner out: all of them look first. An access token
            // that is not known only makes its owner refresh.
            (How::Now { revoke_old: false }, Kind::Token) => self.now.plus(keys.check_every * 2),
            (How::Now { .. }, _) => self.now,
        }
    }

    fn new_entry(&self, entries: &[Entry]) -> Result<Entry, Failure> {
        let latest = entries.iter().map(|entry| entry.signs_from).max().unwrap_or_default();
        let (id, file, algorithm) = match self.wanted.kind {
            Kind::Signing => self.new_signing_key()?,
            Kind::Token => self.new_token_key(entries)?,
        };
        let signs_from = self.signs_from().max(latest);
        Ok(Entry { file, id, algorithm, created_at: self.now, signs_from, revoked_at: None })
    }

    fn new_signing_key(&self) -> Result<(String, String, Option<String>), Failure> {
        let algorithm = algorithm(self.settings).ok_or_else(|| Failure::new("access tokens are not signed"))?;
        let text = self.wanted.make.text()?;
        let key = SigningKey::from_file_contents(algorithm, &text).map_err(|error| Failure::of(&error))?;
        let id = key.verifying_key().kid().to_owned();
        let name = algorithm.name().to_ascii_lowercase();
        let ending = if self.wanted.file.path.extension().is_some_and(|e| e == "key") { "key" } else { "pem" };
        let file = format!("access-{name}-{}.{ending}", id.get(..12).unwrap_or(&id));
        self.create(&file, &text)?;
        Ok((id, file, Some(algorithm.name().to_owned())))
    }

    /// The next id that is free, beginning after that of the last key.
    fn new_token_key(&self, entries: &[Entry]) -> Result<(String, String, Option<String>), Failure> {
        let mut taken = Vec::new();
        for entry in entries.iter().filter(|entry| entry.revoked_at.is_none()) {
            let path = self.settings.keys.dir.join(&entry.file);
            // A file may hold more than the key that it is listed for. One that is gone holds none.
            let Ok(text) = private_file::read(&path) else { continue };
            let ring = token_keys::parse(&text).map_err(|error| self.wanted.wrong_at(&path, &error))?;
            taken.extend(ring.keys().map(|key| key.id().0));
        }
        let last = entries.last().and_then(|entry| entry.id.parse::<u8>().ok()).unwrap_or(0);
        for id in (1..=u8::MAX).map(|step| last.wrapping_add(step)) {
            let file = format!("token-{id}.key");
            if taken.contains(&id) || exists(&self.settings.keys.dir.join(&file))? {
                continue;
            }
            self.create(&file, &Make::Token(TokenKeyId(id)).text()?)?;
            return Ok((id.to_string(), file, None));
        }
        Err(Failure::new("there are 256 token keys, and no id is free").advise("run `regrant keys prune`"))
    }

    fn create(&self, file: &str, text: &str) -> Result<(), Failure> {
        let path = self.settings.keys.dir.join(file);
        private_file::create_new(&path, text.as_bytes()).map_err(|error| unwritable(&path, &error))
    }
}
