//! Following the key folder while serving: what was added is published, used when its time has come, and forgotten.

use std::sync::Arc;
use std::time::Duration;

use regrant_adapters::outbound::system::SystemClock;
use regrant_domain::key_stage::Stage;
use regrant_domain::ports::Clock as _;

use super::folder::{Folder, InStage, KeysInUse};
use super::{Kind, algorithm, warn_of_open_files};
use crate::compose::FormatsInUse;
use crate::failure::Failure;
use crate::settings::Settings;

/// Keeps the token formats of a composition with the key folder.
pub struct KeyFollower {
    settings: Arc<Settings>,
    clock: Arc<SystemClock>,
    formats: Arc<FormatsInUse>,
    /// What was last read well: time goes on for it when the folder is away.
    last: Folder,
    standing: Vec<InStage>,
    trouble: Option<Failure>,
}

impl KeyFollower {
    pub(in crate::compose) fn new(
        settings: &Settings,
        clock: Arc<SystemClock>,
        formats: Arc<FormatsInUse>,
        first: (Folder, Vec<InStage>),
    ) -> Self {
        let (last, standing) = first;
        let follower = Self { settings: Arc::new(settings.clone()), clock, formats, last, standing, trouble: None };
        follower.warn_of_another_algorithm();
        follower
    }

    /// How often to [look](Self::look).
    pub fn every(&self) -> Duration {
        self.settings.keys.check_every
    }

    /// Looks at the folder once, and uses what it says. A folder that cannot be used changes nothing; that is logged when
    /// it begins, not each time.
    pub async fn look(&mut self) {
        let now = self.clock.now();
        let (settings, rotated) = (self.settings.clone(), self.last.manifest.is_some());
        // Files on another machine may take their time.
        let read = tokio::task::spawn_blocking(move || {
            let folder = Folder::read(&settings, now)?;
            if rotated && folder.manifest.is_none() {
                // Not "never rotated": that would be back to the first key.
                return Err(Failure::new("the key manifest is gone").advise("put keys.json back"));
            }
            let keys = folder.in_use(&settings, now)?;
            Ok((folder, keys))
        });
        let read = read.await.unwrap_or_else(|error| Err(Failure::of(&error)));
        let keys = match read {
            Ok((folder, keys)) => {
                self.is_well();
                self.last = folder;
                Ok(keys)
            }
            Err(failure) => {
                self.is_troubled(failure);
                self.last.in_use(&self.settings, now)
            }
        };
        match keys {
            Ok(keys) => self.use_these(keys),
            // Time alone has made it so: a key that was retired when it was read is wanted again.
            Err(failure) => self.is_troubled(failure),
        }
    }

    fn use_these(&mut self, keys: KeysInUse) {
        if keys.standing == self.standing {
            return;
        }
        self.standing.clone_from(&keys.standing);
        self.formats.exchange(&self.settings, keys);
        for InStage { kind, id, stage, .. } in &self.standing {
            tracing::info!(kind = kind.name(), id, stage = stage.name(), "keys have changed");
        }
        warn_of_open_files(&self.last);
        self.warn_of_another_algorithm();
    }

    fn warn_of_another_algorithm(&self) {
        let signs = |listed: &&super::folder::Listed| {
            let id = &listed.entry.id;
            self.standing.iter().any(|one| one.kind == Kind::Signing && one.stage == Stage::Signing && one.id == *id)
        };
        let used = self.last.of(Kind::Signing).iter().find(signs).and_then(|listed| listed.entry.algorithm.as_deref());
        if let (Some(used), Some(chosen)) = (used, algorithm(&self.settings))
            && used != chosen.name()
        {
            tracing::warn!(
                used,
                chosen = chosen.name(),
                "access tokens are still signed with another algorithm than access_token.algorithm says; \
                 `regrant keys rotate` makes a key for it"
            );
        }
    }

    fn is_well(&mut self) {
        if self.trouble.take().is_some() {
            tracing::info!("the key folder can be used again");
        }
    }

    fn is_troubled(&mut self, failure: Failure) {
        if self.trouble.as_ref() != Some(&failure) {
            tracing::error!(failure = %failure.one_line(), "the key folder cannot be used; the keys that are in use stay");
            self.trouble = Some(failure);
        }
    }
}
