//! Key files: made when there is nothing yet that they could fit, read at every start, and followed while serving.
//!
//! Deliberately absent: overwriting a key, and going on without one. A first token key fits no session that there is
//! already, so it is made only where nobody can be signed in, or when the operator says so; later ones take over from it
//! ([`rotate`]). A server only reads the folder.

use std::path::Path;

use regrant_adapters::outbound::jwt::{Algorithm as JwtAlgorithm, SigningKey};
use regrant_adapters::outbound::system::{OsRandomness, system_now};
use regrant_adapters::outbound::{private_file, token_keys};
use regrant_domain::time::Timestamp;
use regrant_domain::token_key::{TokenKeyId, TokenKeyRing};
use zeroize::Zeroizing;

use super::store::{self, exists, make_folder};
use super::{Purpose, Settings};
use crate::failure::Failure;
use crate::settings::{AccessFormat, Algorithm, KeyFile};

mod folder;
mod follow;
mod list;
mod prune;
mod rotate;

pub use folder::SigningKeys;
pub(super) use folder::{Folder, KeysInUse};
pub use follow::KeyFollower;
pub use list::{Shown, list};
pub use prune::prune;
pub use rotate::{How, Rotation, rotate};

/// The id of the token key that is made first.
const FIRST_KEY: TokenKeyId = TokenKeyId(1);

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Signs access tokens.
    Signing,
    /// Proves and derives refresh tokens.
    Token,
}

impl Kind {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Signing => "signing",
            Self::Token => "token",
        }
    }
}

/// Keys of one kind: those of the manifest, or the one in this file.
struct Wanted<'s> {
    kind: Kind,
    file: &'s KeyFile,
    setting: &'static str,
    what: &'static str,
    /// What people lose with it.
    loss: &'static str,
    make: Make,
}

#[derive(Clone, Copy)]
enum Make {
    Signing(JwtAlgorithm),
    Token(TokenKeyId),
}

fn wanted(settings: &Settings) -> impl Iterator<Item = Wanted<'_>> {
    signing_key(settings).into_iter().chain([token_key(settings)])
}

/// `None` where access tokens are not signed.
fn signing_key(settings: &Settings) -> Option<Wanted<'_>> {
    Some(Wanted {
        kind: Kind::Signing,
        file: &settings.keys.signing_key,
        setting: "keys.signing_key",
        what: "the signing key",
        loss: "access tokens that are out are no longer accepted, and clients have to refresh",
        make: Make::Signing(algorithm(settings)?),
    })
}

fn token_key(settings: &Settings) -> Wanted<'_> {
    Wanted {
        kind: Kind::Token,
        file: &settings.keys.token_key,
        setting: "keys.token_key",
        what: "the token key",
        loss: "everyone is signed out",
        make: Make::Token(FIRST_KEY),
    }
}

fn algorithm(settings: &Settings) -> Option<JwtAlgorithm> {
    algorithm_of(settings).map(library)
}

/// `None` where access tokens are not signed.
const fn algorithm_of(settings: &Settings) -> Option<Algorithm> {
    match settings.access_token.format {
        AccessFormat::Opaque => None,
        AccessFormat::Jwt(algorithm) => Some(algorithm),
    }
}

const fn library(algorithm: Algorithm) -> JwtAlgorithm {
    match algorithm {
        Algorithm::Es256 => JwtAlgorithm::Es256,
        Algorithm::EdDsa => JwtAlgorithm::EdDsa,
        Algorithm::Rs256 => JwtAlgorithm::Rs256,
        Algorithm::Hs256 => JwtAlgorithm::Hs256,
    }
}

/// Reads the keys. To serve an empty store, files that are missing and that nobody named are made first.
pub(super) async fn present(
    settings: &Settings,
    purpose: Purpose,
    store: &store::Open,
    now: Timestamp,
    made: &mut Vec<String>,
) -> Result<(Folder, KeysInUse), Failure> {
    let listed = folder::manifest(settings)?.unwrap_or_default();
    for wanted in wanted(settings).filter(|wanted| wanted.kind.entries(&listed).is_empty()) {
        if exists(&wanted.file.path)? {
            continue;
        }
        if purpose == Purpose::Serve && !wanted.file.named && store.is_empty().await? {
            make_folder(&settings.keys.dir, "keys.dir", made)?;
            made.extend(wanted.create()?.then(|| wanted.described()));
        } else {
            return Err(wanted.missing(store.is_empty().await?));
        }
    }
    let folder = Folder::read(settings, now)?;
    let keys = folder.in_use(settings, now)?;
    warn_of_open_files(&folder);
    Ok((folder, keys))
}

/// What [`init`] came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Initialised {
    /// What was made, in words.
    pub made: Vec<String>,
    /// What was there and was left alone, in words.
    pub kept: Vec<String>,
}

/// Makes the key files that are missing.
///
/// # Errors
/// [`Failure`], also when both are there: nothing is ever overwritten.
pub fn init(settings: &Settings) -> Result<Initialised, Failure> {
    let mut done = Initialised::default();
    let listed = folder::manifest(settings)?.unwrap_or_default();
    for wanted in wanted(settings) {
        if !wanted.kind.entries(&listed).is_empty() {
            let manifest = settings.keys.dir.join(folder::MANIFEST);
            done.kept.push(format!("{} (several, as {} lists them)", wanted.what, manifest.display()));
            continue;
        }
        if exists(&wanted.file.path)? {
            done.kept.push(wanted.described());
            continue;
        }
        let folder = wanted.file.path.parent().unwrap_or(Path::new("."));
        make_folder(folder, "keys.dir", &mut done.made)?;
        let list = if wanted.create()? { &mut done.made } else { &mut done.kept };
        list.push(wanted.described());
    }
    if done.made.is_empty() {
        let are = if done.kept.len() == 1 { "is" } else { "are" };
        let failure = Failure::new(format!("there is nothing to make: {} {are} there", done.kept.join(" and ")));
        return Err(failure.advise("keys are never overwritten; to replace one, move its file away first"));
    }
    Ok(done)
}

/// Why the keys of `to` refuse refresh tokens that those of `from` made; `None`: they accept them all.
pub(super) fn same_tokens(from: &Settings, to: &Settings) -> Result<Option<String>, Failure> {
    const PROBE: &[&[u8]] = &[b"the same key?"];
    let wanted = token_key(to);
    let listed = folder::manifest(to)?.unwrap_or_default();
    let old = token_key(from).file.path.display().to_string();
    if Kind::Token.entries(&listed).is_empty() && !exists(&wanted.file.path)? {
        return Ok(Some(format!("{} is missing (copy {old} there)", wanted.described())));
    }
    let ring = |settings: &Settings| -> Result<TokenKeyRing, Failure> {
        let now = system_now();
        Folder::read(settings, now)?.ring(settings, now)
    };
    let (from, to) = (ring(from)?, ring(to)?);
    let goes_on = |id| match (from.get(TokenKeyId(id)), to.get(TokenKeyId(id))) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(old), Some(new)) => new.tag_matches(PROBE, &old.tag(PROBE)),
    };
    let why = || format!("{} lacks a key of {old}", wanted.file.path.display());
    Ok((!(0..=u8::MAX).all(goes_on)).then(why))
}

/// A key file as text.
fn read_secret(path: &Path, wanted: &Wanted<'_>) -> Result<Zeroizing<String>, Failure> {
    private_file::read(path).map_err(|error| {
        Failure::new(format!("{} {} cannot be read", wanted.what, path.display()))
            .because(&error)
            .advise(format!("check who may read it, and {} and keys.dir", wanted.setting))
    })
}

fn warn_of_open_files(folder: &Folder) {
    for path in folder.paths().filter(|path| private_file::is_open_to_others(path).unwrap_or(false)) {
        tracing::warn!(file = %path.display(), "other users can read or write this key file; chmod it to 600");
    }
}

impl Wanted<'_> {
    fn described(&self) -> String {
        format!("{} {}", self.what, self.file.path.display())
    }

    /// Says whether it was made; `false`: another process was first.
    fn create(&self) -> Result<bool, Failure> {
        let text = self.make.text()?;
        match private_file::create_new(&self.file.path, text.as_bytes()) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(Failure::new(format!("{} cannot be written", self.described()))
                .because(&error)
                .advise("let this user write to its folder, or name another one with keys.dir")),
        }
    }

    fn missing(&self, store_is_empty: bool) -> Failure {
        let failure = Failure::new(format!("{} is missing", self.described()));
        let init = "run `regrant keys init` to make a new one";
        if store_is_empty {
            return failure.advise(format!("check {} and keys.dir, or {init}", self.setting));
        }
        let restore = format!("put it back (from a backup, say; it is named by {} and keys.dir)", self.setting);
        failure.advise(format!("{restore}; if it is lost, {init}: then {}", self.loss))
    }

    fn wrong_at(&self, path: &Path, error: &(dyn std::error::Error + 'static)) -> Failure {
        Failure::new(format!("{} {} cannot be used", self.what, path.display())).because(error).advise(format!(
            "put the right file there, or name another one with {}; with `regrant keys init` a new one is made once this \
             file is moved away: then {}",
            self.setting, self.loss
        ))
    }
}

impl Make {
    fn text(self) -> Result<Zeroizing<String>, Failure> {
        match self {
            Self::Signing(algorithm) => {
                SigningKey::generate(algorithm, &OsRandomness).map_err(|error| Failure::of(&error))
            }
            Self::Token(id) => token_keys::generate(id, &OsRandomness).map_err(|error| Failure::of(&error)),
        }
    }
}
