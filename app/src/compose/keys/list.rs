//! The keys of a folder, to be shown.

use std::path::PathBuf;

use regrant_domain::key_stage::Stage;
use regrant_domain::time::Timestamp;

use super::folder::{Folder, Listed};
use super::{Kind, Settings, Wanted, wanted};
use crate::failure::Failure;

/// A key, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// What it is for.
    pub kind: Kind,
    /// Its name in tokens.
    pub id: String,
    /// Where it stands.
    pub stage: Stage,
    /// What it signs with (RFC 7518 §3.1), where that differs from key to key.
    pub algorithm: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it is used; `None`: from the beginning.
    pub signs_from: Option<Timestamp>,
    /// Until when what it made is accepted; `None`: nothing takes over from it yet.
    pub accepted_until: Option<Timestamp>,
    /// Its file.
    pub file: PathBuf,
}

/// All keys as they stand at `now`: the signing keys, then the token keys, each in the order in which they are used.
///
/// # Errors
/// [`Failure`]: a file cannot be used.
pub fn list(settings: &Settings, now: Timestamp) -> Result<Vec<Shown>, Failure> {
    let folder = Folder::read(settings, now)?;
    let mut all = Vec::new();
    for wanted in wanted(settings) {
        for listed in folder.of(wanted.kind) {
            all.push(shown(listed, &wanted)?);
        }
    }
    Ok(all)
}

fn shown(listed: &Listed, wanted: &Wanted<'_>) -> Result<Shown, Failure> {
    let entry = &listed.entry;
    let id = match wanted.kind {
        _ if !listed.standing.stage.is_accepted() => entry.id.clone(),
        Kind::Signing => listed.signing_key(wanted)?.verifying_key().kid().to_owned(),
        Kind::Token => listed.token_keys(wanted)?.current().id().0.to_string(),
    };
    Ok(Shown {
        kind: wanted.kind,
        id,
        stage: listed.standing.stage,
        algorithm: entry.algorithm.clone(),
        created_at: entry.created_at,
        signs_from: Some(entry.signs_from).filter(|at| *at != Timestamp::default()),
        accepted_until: listed.standing.accepted_until,
        file: listed.path.clone(),
    })
}
