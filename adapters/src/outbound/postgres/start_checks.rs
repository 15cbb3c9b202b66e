//! What a server must be set to, so that an acknowledged write is a lasting one. Everything that is wrong is told at
//! once, with what to do about it.

use std::fmt;
use std::str::FromStr;

use sqlx::{PgConnection, Row as _};

use super::StartError;

/// Something that the start-up checks refuse, unless it is allowed by name (`store.allow`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Risk {
    /// `fsync = off`
    FsyncOff,
    /// `full_page_writes = off`
    FullPageWritesOff,
    /// `synchronous_commit = off`
    SynchronousCommitOff,
    /// A server in recovery, or a role or database that is read-only by default.
    ReadOnly,
    /// Tables that are `UNLOGGED`.
    UnloggedTables,
    /// A database in another encoding than UTF-8.
    NotUtf8,
}

impl Risk {
    /// Every one, for lists that must be complete.
    pub const ALL: [Self; 6] = [
        Self::FsyncOff,
        Self::FullPageWritesOff,
        Self::SynchronousCommitOff,
        Self::ReadOnly,
        Self::UnloggedTables,
        Self::NotUtf8,
    ];

    /// The name in `store.allow`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FsyncOff => "fsync_off",
            Self::FullPageWritesOff => "full_page_writes_off",
            Self::SynchronousCommitOff => "synchronous_commit_off",
            Self::ReadOnly => "read_only",
            Self::UnloggedTables => "unlogged_tables",
            Self::NotUtf8 => "not_utf8",
        }
    }

    /// What it would do.
    const fn harm(self) -> &'static str {
        match self {
            Self::FsyncOff => "a power cut can destroy the whole database",
            Self::FullPageWritesOff => "a power cut can leave pages half written",
            Self::SynchronousCommitOff => {
                "a crash takes back the last writes: ended sessions live again, and refreshed ones look stolen"
            }
            Self::ReadOnly => "nobody could sign in or refresh",
            Self::UnloggedTables => "a crash empties them, which signs everybody out",
            Self::NotUtf8 => "names of devices that it cannot write would make sign-ins fail",
        }
    }

    /// What to do.
    const fn cure(self) -> &'static str {
        match self {
            Self::FsyncOff => "ALTER SYSTEM SET fsync = on; SELECT pg_reload_conf();",
            Self::FullPageWritesOff => "ALTER SYSTEM SET full_page_writes = on; SELECT pg_reload_conf();",
            Self::SynchronousCommitOff => {
                "set it to on in postgresql.conf, or ALTER DATABASE … or ALTER ROLE … RESET synchronous_commit;"
            }
            Self::ReadOnly => "point the URL at the primary, and reset default_transaction_read_only",
            Self::UnloggedTables => "ALTER TABLE … SET LOGGED;",
            Self::NotUtf8 => "CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0;",
        }
    }
}

impl FromStr for Risk {
    type Err = UnknownRisk;

    fn from_str(name: &str) -> Result<Self, UnknownRisk> {
        Self::ALL.into_iter().find(|risk| risk.name() == name).ok_or(UnknownRisk)
    }
}

/// Not the name of a [`Risk`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected fsync_off, full_page_writes_off, synchronous_commit_off, read_only, unlogged_tables or not_utf8")]
pub struct UnknownRisk;

/// A risk that was found, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Which.
    pub risk: Risk,
    /// The setting as it was found, or the names of the tables.
    pub found: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { risk, found } = self;
        let (harm, cure, name) = (risk.harm(), risk.cure(), risk.name());
        write!(f, "{found}: {harm}. To mend it: {cure} To start all the same: store.allow = [\"{name}\"]")
    }
}

/// One line each.
pub(super) fn listed(faults: &[Fault]) -> String {
    faults.iter().flat_map(|fault| ["\n  - ".into(), fault.to_string()]).collect()
}

/// (`rate_limits` is unlogged on purpose.)
const SETTINGS: &str = "\
SELECT current_setting('fsync') AS fsync, current_setting('full_page_writes') AS full_page_writes,
       current_setting('synchronous_commit') AS synchronous_commit, pg_is_in_recovery() AS in_recovery,
       current_setting('transaction_read_only') AS read_only, current_setting('server_encoding') AS encoding,
       array(SELECT relname::text FROM pg_class
             WHERE oid IN (to_regclass('users'), to_regclass('sessions'), to_regclass('refresh_tokens'),
                           to_regclass('history'))
               AND relpersistence = 'u' ORDER BY relname) AS unlogged";

/// Refuses what is not in `allow`.
pub(super) async fn check(connection: &mut PgConnection, allow: &[Risk]) -> Result<(), StartError> {
    let mut faults = faults(connection).await.map_err(StartError::Unreachable)?;
    faults.retain(|fault| !allow.contains(&fault.risk));
    if faults.is_empty() { Ok(()) } else { Err(StartError::Unsafe(faults)) }
}

/// `synchronous_commit` is what this very connection has: from the server, the database, the role or the URL.
async fn faults(connection: &mut PgConnection) -> Result<Vec<Fault>, sqlx::Error> {
    let row = sqlx::query(SETTINGS).fetch_one(connection).await?;
    let mut faults = Vec::new();
    for (setting, risk) in [
        ("fsync", Risk::FsyncOff),
        ("full_page_writes", Risk::FullPageWritesOff),
        ("synchronous_commit", Risk::SynchronousCommitOff),
    ] {
        if row.try_get::<&str, _>(setting)? == "off" {
            faults.push(Fault { risk, found: format!("{setting} = off") });
        }
    }
    if row.try_get("in_recovery")? {
        faults.push(Fault { risk: Risk::ReadOnly, found: "the server is in recovery (a standby)".into() });
    } else if row.try_get::<&str, _>("read_only")? == "on" {
        faults.push(Fault { risk: Risk::ReadOnly, found: "default_transaction_read_only = on".into() });
    }
    let unlogged: Vec<String> = row.try_get("unlogged")?;
    if !unlogged.is_empty() {
        let found = format!("unlogged tables: {}", unlogged.join(", "));
        faults.push(Fault { risk: Risk::UnloggedTables, found });
    }
    let encoding: &str = row.try_get("encoding")?;
    if encoding != "UTF8" {
        faults.push(Fault { risk: Risk::NotUtf8, found: format!("server_encoding = {encoding}") });
    }
    Ok(faults)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_and_every_fault_tells_what_to_do() {
        for risk in Risk::ALL {
            assert_eq!(risk.name().parse(), Ok(risk));
            assert!(UnknownRisk.to_string().contains(risk.name()));
            let told = Fault { risk, found: "x = off".into() }.to_string();
            assert!(told.contains("x = off") && told.contains(risk.cure()) && told.contains(risk.name()), "{told}");
        }
        assert_eq!("nonsense".parse::<Risk>(), Err(UnknownRisk));
    }
}
