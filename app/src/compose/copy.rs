//! Carrying users, sessions and tokens from the store of one configuration to that of another.

use std::path::Path;

use regrant_domain::ports::{Counted, PortError};
use regrant_domain::usecases::copy::{self, Copied};

use super::store::{self, Open};
use super::{Purpose, Settings, keys};
use crate::failure::{Failure, Kind};
use crate::settings::{Database, Store};

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Copy<'s> {
    /// The old place.
    pub from: &'s Settings,
    /// The new place; where it has no tables yet, they are made.
    pub to: &'s Settings,
    /// Copies although the new place would refuse the tokens that are out.
    pub other_keys: bool,
}

impl Copy<'_> {
    /// Runs it. `begin` is told how much there is, `progress` how much was read after each batch.
    ///
    /// # Errors
    /// [`Failure`]; some may have been copied then. It can be run again.
    pub async fn run(&self, begin: impl FnOnce(Counted), progress: impl FnMut(&Copied)) -> Result<Copied, Failure> {
        if is_same(&self.from.store, &self.to.store) {
            let failure = Failure::new("--from and --to name the same store");
            return Err(Failure { kind: Kind::Configuration, ..failure });
        }
        if *self.to.store.users() == Database::Memory {
            return Err(store::in_memory());
        }
        if !self.other_keys {
            self.tokens_go_on()?;
        }
        let from = store::open(self.from, Purpose::Tend, &mut Vec::new()).await?;
        let to = match store::open(self.to, Purpose::Serve, &mut Vec::new()).await {
            Ok(to) => to,
            Err(failure) => {
                from.close().await;
                return Err(failure);
            }
        };
        let copied = carry(&from, &to, begin, progress).await;
        from.close().await;
        to.close().await;
        copied.map_err(|error| Failure::of(&error).advise("run it again: what is there already is not harmed"))
    }

    fn tokens_go_on(&self) -> Result<(), Failure> {
        let why = if self.from.refresh_format == self.to.refresh_format {
            keys::same_tokens(self.from, self.to)?
        } else {
            Some("refresh_token.format differs".to_owned())
        };
        let Some(why) = why else { return Ok(()) };
        let failure = Failure::new(format!("the new place would refuse every refresh token that is out: {why}"));
        Err(failure.advise(
            "give both configurations the same token key file and refresh_token.format; or, to sign everyone out, \
             --allow-other-keys",
        ))
    }
}

async fn carry(
    from: &Open,
    to: &Open,
    begin: impl FnOnce(Counted),
    progress: impl FnMut(&Copied),
) -> Result<Copied, PortError> {
    let place = from.place();
    begin(Counted { users: place.users.count().await?.users, sessions: place.sessions.count().await?.sessions });
    copy::copy(place, to.place(), progress).await
}

/// Whether both are one place, as far as their settings tell. A copy of a store to itself would do no harm.
fn is_same(one: &Store, other: &Store) -> bool {
    is_same_database(one.users(), other.users())
        && match (one, other) {
            (Store::Database(_), Store::Database(_)) => true,
            (Store::Redis { sessions: one, .. }, Store::Redis { sessions: other, .. }) => {
                one.url.expose() == other.url.expose() && one.prefix == other.prefix
            }
            // Users stay where they are, and sessions move.
            _ => false,
        }
}

fn is_same_database(one: &Database, other: &Database) -> bool {
    let real = |file: &Path| file.canonicalize().unwrap_or_else(|_| file.to_owned());
    match (one, other) {
        (Database::Sqlite { file: one }, Database::Sqlite { file: other }) => real(one) == real(other),
        (Database::Postgres(one), Database::Postgres(other)) => one.url.expose() == other.url.expose(),
        (one, other) => one == other,
    }
}
