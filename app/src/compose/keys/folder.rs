//! What a key folder holds: the keys of the manifest, or the one file of each kind where there is none.
//!
//! Read as text first, all of it, and made into keys afterwards: so that keys can be made again of what was last read
//! well, when time has moved a key on and the folder is away.

use std::path::{Path, PathBuf};
use std::time::Duration;

use regrant_adapters::outbound::jwt::{Algorithm as JwtAlgorithm, SigningKey, VerifyingKey};
use regrant_adapters::outbound::key_manifest::{Entry, Manifest};
use regrant_adapters::outbound::{private_file, token_keys};
use regrant_domain::key_stage::{Stage, Standing, Term, standings};
use regrant_domain::time::Timestamp;
use regrant_domain::token_key::{TokenKey, TokenKeyRing};
use zeroize::Zeroizing;

use super::{Kind, Settings, Wanted, algorithm_of, exists, read_secret, wanted};
use crate::failure::Failure;
use crate::settings::Algorithm;

/// The name of the manifest.
pub(super) const MANIFEST: &str = "keys.json";

/// For so long after a key was last used, by the time that the processes agree on, another machine's clock may still
/// say that it is used.
const LEEWAY: Duration = Duration::from_mins(1);

/// Keys as they are used.
pub(in crate::compose) struct KeysInUse {
    /// `None` where nothing is signed with them.
    pub(in crate::compose) signing: Option<SigningKeys>,
    pub(in crate::compose) ring: TokenKeyRing,
    /// What they are, to see whether others are in use.
    pub(in crate::compose) standing: Vec<InStage>,
}

/// The key that signs access tokens, and the others that are published.
pub struct SigningKeys {
    /// What signs.
    pub signing: SigningKey,
    /// What signed before, or will.
    pub also: Vec<VerifyingKey>,
}

/// A key that is in use, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::compose) struct InStage {
    pub(in crate::compose) kind: Kind,
    pub(in crate::compose) id: String,
    pub(in crate::compose) stage: Stage,
    /// Tells keys apart that have the same id.
    proof: [u8; TokenKey::TAG_LEN],
}

/// One key of the folder.
pub(super) struct Listed {
    pub(super) entry: Entry,
    pub(super) path: PathBuf,
    pub(super) standing: Standing,
    /// `None` where nothing needs it any more.
    text: Option<Zeroizing<String>>,
}

/// All keys of the folder.
pub(in crate::compose) struct Folder {
    pub(super) signing: Vec<Listed>,
    pub(super) token: Vec<Listed>,
    /// Whether the keys of a kind are those of a manifest.
    pub(super) manifest: Option<Manifest>,
}

/// How long what a key of this kind made last is accepted.
///
/// Access tokens: their lifetime. Refresh tokens: the longest life of a session, and the time for which an ended one is
/// kept; for a spent token of a session that lives must still be known as spent, however old it is. Either way, a process
/// may have used the key until it looked.
pub(super) fn accepted_for(kind: Kind, settings: &Settings) -> Duration {
    let policies = &settings.policies;
    let late = LEEWAY + settings.keys.check_every * 2;
    match kind {
        Kind::Signing => policies.access.ttl + late,
        Kind::Token => {
            let longest = policies.session.max_age.max(policies.session.remembered_max_age);
            longest + settings.sweep.retention + late
        }
    }
}

/// The manifest, if there is one.
pub(super) fn manifest(settings: &Settings) -> Result<Option<Manifest>, Failure> {
    let path = settings.keys.dir.join(MANIFEST);
    if !exists(&path)? {
        return Ok(None);
    }
    let text = private_file::read(&path).map_err(|error| unread(&path, &error))?;
    let manifest = Manifest::parse(&text).map_err(|error| {
        Failure::new(format!("the key manifest {} cannot be used", path.display())).because(&error).advise(
            "put it back from a backup; the keys themselves are in the files beside it (docs/keys.md says how it is made)",
        )
    })?;
    Ok(Some(manifest))
}

fn unread(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("the key manifest {} cannot be read", path.display()))
        .because(error)
        .advise("check who may read it, and keys.dir")
}

impl Folder {
    /// Reads it, as it stands at `now`.
    pub(in crate::compose) fn read(settings: &Settings, now: Timestamp) -> Result<Self, Failure> {
        let manifest = manifest(settings)?;
        let mut folder = Self { signing: Vec::new(), token: Vec::new(), manifest };
        for wanted in wanted(settings) {
            let kind = wanted.kind;
            let entries = folder.entries_of(&wanted, settings)?;
            let listed = listed(entries, &wanted, settings, now)?;
            *folder.of_mut(kind) = listed;
        }
        Ok(folder)
    }

    pub(super) fn of(&self, kind: Kind) -> &[Listed] {
        match kind {
            Kind::Signing => &self.signing,
            Kind::Token => &self.token,
        }
    }

    /// The files that were read.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        let read = self.signing.iter().chain(&self.token).filter(|listed| listed.text.is_some());
        read.map(|listed| listed.path.as_path())
    }

    const fn of_mut(&mut self, kind: Kind) -> &mut Vec<Listed> {
        match kind {
            Kind::Signing => &mut self.signing,
            Kind::Token => &mut self.token,
        }
    }

    fn entries_of(&self, wanted: &Wanted<'_>, settings: &Settings) -> Result<Vec<Entry>, Failure> {
        let entries = self.manifest.as_ref().map(|manifest| wanted.kind.entries(manifest).to_vec()).unwrap_or_default();
        if entries.is_empty() {
            return wanted.only_entry(settings).map(|entry| vec![entry]);
        }
        let dir = &settings.keys.dir;
        let named = wanted.file.named && !entries.iter().any(|entry| dir.join(&entry.file) == wanted.file.path);
        if named && exists(&wanted.file.path)? {
            let manifest = dir.join(MANIFEST);
            return Err(Failure::new(format!("{} is named, but {} does not list it", wanted.described(), manifest.display()))
                .advise(format!("leave {} empty to use the keys of the manifest; or, to use this key alone, move the manifest away: then {}", wanted.setting, wanted.loss)));
        }
        Ok(entries)
    }

    /// The keys, as they are used at `now`.
    pub(in crate::compose) fn in_use(&self, settings: &Settings, now: Timestamp) -> Result<KeysInUse, Failure> {
        let mut standing = Vec::new();
        let mut signing = None;
        let mut ring = None;
        for wanted in wanted(settings) {
            let keys = self.standing_at(&wanted, settings, now);
            match wanted.kind {
                Kind::Signing => signing = Some(signing_keys(&wanted, &keys, &mut standing)?),
                Kind::Token => ring = Some(token_ring(&wanted, &keys, &mut standing)?),
            }
        }
        let ring = ring.ok_or_else(|| Failure::new("there is no token key"))?;
        Ok(KeysInUse { signing, ring, standing })
    }

    /// The token keys alone.
    pub(super) fn ring(&self, settings: &Settings, now: Timestamp) -> Result<TokenKeyRing, Failure> {
        let wanted = super::token_key(settings);
        token_ring(&wanted, &self.standing_at(&wanted, settings, now), &mut Vec::new())
    }

    /// What is accepted at `now`, the signing key first.
    fn standing_at<'f>(&'f self, wanted: &Wanted<'_>, settings: &Settings, now: Timestamp) -> Vec<(Stage, &'f Listed)> {
        let all = self.of(wanted.kind);
        let standings = standings(&terms(all.iter().map(|one| &one.entry)), now, accepted_for(wanted.kind, settings));
        let mut keys: Vec<_> = standings.into_iter().map(|one| one.stage).zip(all).collect();
        keys.retain(|(stage, _)| stage.is_accepted());
        keys.sort_by_key(|(stage, _)| *stage != Stage::Signing);
        keys
    }
}

fn terms<'e>(entries: impl Iterator<Item = &'e Entry>) -> Vec<Term> {
    entries.map(Entry::term).collect()
}

fn listed(
    entries: Vec<Entry>,
    wanted: &Wanted<'_>,
    settings: &Settings,
    now: Timestamp,
) -> Result<Vec<Listed>, Failure> {
    let standings = standings(&terms(entries.iter()), now, accepted_for(wanted.kind, settings));
    let one = |(entry, standing): (Entry, Standing)| {
        let path = settings.keys.dir.join(&entry.file);
        let needed = standing.stage.is_accepted();
        let text = needed.then(|| read_secret(&path, wanted)).transpose()?;
        Ok(Listed { entry, path, standing, text })
    };
    entries.into_iter().zip(standings).map(one).collect()
}

impl Listed {
    fn text(&self, wanted: &Wanted<'_>) -> Result<&str, Failure> {
        let lost =
            || Failure::new(format!("{} {} was retired when it was last read", wanted.what, self.path.display()));
        self.text.as_ref().map(|text| text.as_str()).ok_or_else(lost)
    }

    /// The key, which is the one that the manifest means.
    pub(super) fn signing_key(&self, wanted: &Wanted<'_>) -> Result<SigningKey, Failure> {
        let algorithm = self.entry.algorithm.as_deref().unwrap_or_default().parse::<JwtAlgorithm>();
        let algorithm = algorithm.map_err(|error| wanted.wrong_at(&self.path, &error))?;
        let key = SigningKey::from_file_contents(algorithm, self.text(wanted)?);
        let key = key.map_err(|error| wanted.wrong_at(&self.path, &error))?;
        self.is_the_one(key.verifying_key().kid(), wanted)?;
        Ok(key)
    }

    pub(super) fn token_keys(&self, wanted: &Wanted<'_>) -> Result<TokenKeyRing, Failure> {
        let ring = token_keys::parse(self.text(wanted)?).map_err(|error| wanted.wrong_at(&self.path, &error))?;
        self.is_the_one(&ring.current().id().0.to_string(), wanted)?;
        Ok(ring)
    }

    fn is_the_one(&self, id: &str, wanted: &Wanted<'_>) -> Result<(), Failure> {
        if self.entry.id.is_empty() || self.entry.id == id {
            return Ok(());
        }
        let told = format!("{} {} is {id}, not {}", wanted.what, self.path.display(), self.entry.id);
        Err(Failure::new(told).advise(format!("put the file that {MANIFEST} means back (from a backup, say)")))
    }
}

fn signing_keys(
    wanted: &Wanted<'_>,
    keys: &[(Stage, &Listed)],
    standing: &mut Vec<InStage>,
) -> Result<SigningKeys, Failure> {
    let mut all = keys.iter().map(|(stage, key)| {
        let key = key.signing_key(wanted)?;
        let id = key.verifying_key().kid().to_owned();
        // The id says it all: it is a hash of the key.
        standing.push(InStage { kind: Kind::Signing, id, stage: *stage, proof: [0; TokenKey::TAG_LEN] });
        Ok(key)
    });
    let signing = all.next().ok_or_else(|| Failure::new("there is no signing key"))??;
    let also = all.map(|key| key.map(|key| key.verifying_key().clone())).collect::<Result<_, Failure>>()?;
    Ok(SigningKeys { signing, also })
}

fn token_ring(
    wanted: &Wanted<'_>,
    keys: &[(Stage, &Listed)],
    standing: &mut Vec<InStage>,
) -> Result<TokenKeyRing, Failure> {
    let mut all = Vec::new();
    for (stage, listed) in keys {
        let ring = listed.token_keys(wanted)?;
        for key in ring.into_keys() {
            let proof = key.tag(&[b"the same key?"]);
            standing.push(InStage { kind: Kind::Token, id: key.id().0.to_string(), stage: *stage, proof });
            all.push(key);
        }
    }
    let mut all = all.into_iter();
    let current = all.next().ok_or_else(|| Failure::new("there is no token key"))?;
    TokenKeyRing::new(current, all.collect()).map_err(|error| Failure::of(&error))
}

impl Kind {
    pub(super) fn entries(self, manifest: &Manifest) -> &[Entry] {
        match self {
            Self::Signing => &manifest.signing,
            Self::Token => &manifest.token,
        }
    }

    pub(super) const fn entries_mut(self, manifest: &mut Manifest) -> &mut Vec<Entry> {
        match self {
            Self::Signing => &mut manifest.signing,
            Self::Token => &mut manifest.token,
        }
    }
}

impl Wanted<'_> {
    /// What a manifest would say of the one file that is used without one. Its id is whatever it holds.
    fn only_entry(&self, settings: &Settings) -> Result<Entry, Failure> {
        let entry = self.entry_of(settings, &self.file.path, algorithm_of(settings))?;
        Ok(Entry { signs_from: Timestamp::default(), ..entry })
    }

    /// What is to be said of a key file that no manifest lists; `signs_from` is when it was made.
    fn entry_of(&self, settings: &Settings, path: &Path, algorithm: Option<Algorithm>) -> Result<Entry, Failure> {
        let created_at = private_file::written_at(path).map(Timestamp::from_millis).unwrap_or_default();
        let file = path.strip_prefix(&settings.keys.dir).unwrap_or(path).to_str().ok_or_else(|| {
            Failure::new(format!("{} has a name that is not text", self.described())).advise("give it another name")
        })?;
        Ok(Entry {
            file: file.to_owned(),
            id: String::new(),
            algorithm: algorithm
                .filter(|_| self.kind == Kind::Signing)
                .map(|one| super::library(one).name().to_owned()),
            created_at,
            signs_from: created_at,
            revoked_at: None,
        })
    }

    /// The keys to begin a manifest with: the one file that is used without one. Where the operator has chosen another
    /// algorithm and there is no file for it yet, it is the file of the algorithm that was used before.
    pub(super) fn first_entries(&self, settings: &Settings, now: Timestamp) -> Result<Vec<Entry>, Failure> {
        let chosen = (self.file.path.clone(), algorithm_of(settings));
        let before = Algorithm::ALL.map(|one| (settings.keys.dir.join(one.usual_file()), Some(one)));
        let others = before.into_iter().filter(|_| self.kind == Kind::Signing && !self.file.named);
        for (path, algorithm) in std::iter::once(chosen).chain(others) {
            if !exists(&path)? {
                continue;
            }
            let mut entry = self.entry_of(settings, &path, algorithm)?;
            (entry.created_at, entry.signs_from) = (entry.created_at.min(now), entry.signs_from.min(now));
            let text = Some(read_secret(&path, self)?);
            let listed = Listed { path, text, standing: standings(&[entry.term()], now, Duration::ZERO)[0], entry };
            let id = match self.kind {
                Kind::Signing => listed.signing_key(self)?.verifying_key().kid().to_owned(),
                Kind::Token => listed.token_keys(self)?.current().id().0.to_string(),
            };
            return Ok(vec![Entry { id, ..listed.entry }]);
        }
        Err(self.missing(false))
    }
}
