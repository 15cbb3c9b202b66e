//! Take users over from other software, with the hashes of their passwords.
//!
//! Batch by batch, so that any number of rows needs the memory of one batch. A row that cannot be taken is a result and
//! stops nothing. Whoever is there stays as they are, so an import can be repeated.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::Ports;
use crate::ids::{NotAnId, UserId};
use crate::ports::{Clock, ForeignHashes, Ids, PortError, Portable, UnusableHash, UserRepository};
use crate::time::{NotAnInstant, Timestamp};
use crate::user::{Email, Epoch, InvalidEmail, User};

/// The use case.
#[derive(Clone)]
pub struct Import {
    users: Arc<dyn UserRepository>,
    keep: Arc<dyn Portable>,
    hashes: Arc<dyn ForeignHashes>,
    ids: Arc<dyn Ids>,
    clock: Arc<dyn Clock>,
}

/// One line of what is to be imported.
pub struct Line {
    /// Its number, from 1.
    pub number: u64,
    /// What it says; `Err`: it is not a row, and why.
    pub row: Result<Row, String>,
}

/// A row as it was written; nothing in it is believed yet.
#[derive(Default)]
pub struct Row {
    /// E-mail address.
    pub email: String,
    /// Password hash of the other software.
    pub password_hash: String,
    /// Identifier; a new one if it is missing.
    pub id: Option<String>,
    /// Registered at; now, if it is missing.
    pub created_at: Option<String>,
    /// Last changed at; as registered, if it is missing.
    pub updated_at: Option<String>,
}

/// Whether the users are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// They are.
    Keep,
    /// Nothing is changed: each row is checked by itself and against the users who are there.
    Check,
}

/// What a batch came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// How many users were added (or would be).
    pub added: u64,
    /// The rows that were refused, in the order of their lines.
    pub refused: Vec<Refused>,
}

/// A row that was refused.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused {
    /// Number of its line.
    pub line: u64,
    /// The address as it was written, if the line is a row.
    pub email: Option<String>,
    /// Why.
    pub why: Why,
}

/// Why a row was refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// It is not a row.
    #[error("{0}")]
    NotARow(String),
    /// Its address is none.
    #[error(transparent)]
    Email(#[from] InvalidEmail),
    /// Its hash cannot be used.
    #[error(transparent)]
    Hash(#[from] UnusableHash),
    /// Its id is none.
    #[error("id: {0}")]
    Id(#[from] NotAnId),
    /// One of its instants is none.
    #[error("{0}: {1}")]
    Instant(&'static str, NotAnInstant),
    /// A user has its address: one who was there, or of an earlier row.
    #[error("a user with this e-mail address is there already")]
    EmailTaken,
    /// A user has its id: one who was there, or of an earlier row.
    #[error("a user with this id is there already")]
    IdTaken,
}

impl Why {
    /// A stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotARow(_) => "not_a_row",
            Self::Email(_) => "invalid_email",
            Self::Hash(_) => "unusable_hash",
            Self::Id(_) => "invalid_id",
            Self::Instant(..) => "invalid_instant",
            Self::EmailTaken => "email_taken",
            Self::IdTaken => "id_taken",
        }
    }
}

/// A row that can be taken, and where it stood.
struct Candidate {
    line: u64,
    written: String,
    user: User,
}

impl Candidate {
    fn refused(self, why: Why) -> Refused {
        Refused { line: self.line, email: Some(self.written), why }
    }
}

impl Import {
    /// Lines per batch.
    pub const BATCH: usize = 500;

    /// With these ports.
    pub fn new(ports: &Ports, keep: Arc<dyn Portable>, hashes: Arc<dyn ForeignHashes>) -> Self {
        Self { users: ports.users.clone(), keep, hashes, ids: ports.ids.clone(), clock: ports.clock.clone() }
    }

    /// Runs one batch of at most [`Import::BATCH`] lines.
    ///
    /// # Errors
    /// [`PortError`]: users of this batch may have been added. Import the same again: those who are there are refused, and
    /// not harmed.
    pub async fn batch(&self, lines: Vec<Line>, mode: Mode) -> Result<Imported, PortError> {
        let mut imported = Imported::default();
        let candidates = self.candidates(lines, &mut imported.refused);
        match mode {
            Mode::Keep => self.keep(candidates, &mut imported).await?,
            Mode::Check => self.check(candidates, &mut imported).await?,
        }
        imported.refused.sort_by_key(|refused| refused.line);
        Ok(imported)
    }

    /// The rows that can be taken as far as they themselves tell; no two with one id or address.
    fn candidates(&self, lines: Vec<Line>, refused: &mut Vec<Refused>) -> Vec<Candidate> {
        let now = self.clock.now();
        let (mut emails, mut ids) = (HashSet::new(), HashSet::new());
        let mut candidates = Vec::with_capacity(lines.len());
        for Line { number: line, row } in lines {
            let row = match row {
                Ok(row) => row,
                Err(why) => {
                    refused.push(Refused { line, email: None, why: Why::NotARow(why) });
                    continue;
                }
            };
            let user = self.user(&row, now).and_then(|user| {
                if ids.contains(&user.id) {
                    return Err(Why::IdTaken);
                }
                if !emails.insert(user.email.clone()) {
                    return Err(Why::EmailTaken);
                }
                ids.insert(user.id);
                Ok(user)
            });
            match user {
                Ok(user) => candidates.push(Candidate { line, written: row.email, user }),
                Err(why) => refused.push(Refused { line, email: Some(row.email), why }),
            }
        }
        candidates
    }

    fn user(&self, row: &Row, now: Timestamp) -> Result<User, Why> {
        let email = Email::parse(&row.email)?;
        let password_hash = self.hashes.accept(&row.password_hash)?;
        let id = row.id.as_deref().map(str::parse).transpose()?.unwrap_or_else(|| self.ids.user());
        let created_at = instant("created_at", row.created_at.as_deref())?.unwrap_or(now);
        let updated_at = instant("updated_at", row.updated_at.as_deref())?.unwrap_or(created_at);
        Ok(User { id, email, password_hash, epoch: Epoch::default(), created_at, updated_at })
    }

    async fn keep(&self, candidates: Vec<Candidate>, imported: &mut Imported) -> Result<(), PortError> {
        let mut waiting: BTreeMap<UserId, Candidate> = candidates.into_iter().map(|c| (c.user.id, c)).collect();
        let added = self.keep.add_users(waiting.values().map(|candidate| candidate.user.clone()).collect()).await?;
        imported.added += added.len() as u64;
        for id in added {
            waiting.remove(&id);
        }
        for candidate in waiting.into_values() {
            // The store has decided; this only finds the words.
            let why = if self.has(&candidate.user.email).await? { Why::EmailTaken } else { Why::IdTaken };
            imported.refused.push(candidate.refused(why));
        }
        Ok(())
    }

    async fn check(&self, candidates: Vec<Candidate>, imported: &mut Imported) -> Result<(), PortError> {
        for candidate in candidates {
            if self.has(&candidate.user.email).await? {
                imported.refused.push(candidate.refused(Why::EmailTaken));
            } else if self.users.find(candidate.user.id).await?.is_some() {
                imported.refused.push(candidate.refused(Why::IdTaken));
            } else {
                imported.added += 1;
            }
        }
        Ok(())
    }

    async fn has(&self, email: &Email) -> Result<bool, PortError> {
        Ok(self.users.find_by_email(email).await?.is_some())
    }
}

fn instant(name: &'static str, text: Option<&str>) -> Result<Option<Timestamp>, Why> {
    text.map(|text| text.parse().map_err(|why| Why::Instant(name, why))).transpose()
}
