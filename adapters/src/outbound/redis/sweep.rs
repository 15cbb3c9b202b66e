//! Forgetting. In the ordinary course of things the server does it by itself: a key expires when the session has been
//! over for the retention. What is left for the sweep:
//!
//! 1. sessions that were over long before they were written (imports, clocks that were wrong): their keys live longer,
//!    so they are noted in a set, which the sweep goes through;
//! 2. a cutoff later than the retention allows for: then it looks at every session.

use std::sync::PoisonError;

use redis::Value;
use regrant_domain::ports::{PortError, Swept};
use regrant_domain::refresh_token::LookupKey;
use regrant_domain::time::Timestamp;

use super::connection::{Master, To};
use super::helpers::corrupt;
use super::row::{BadRow, instant, parse_instant};
use super::scripts::SCRIPTS;
use super::store::{Inner, parse};

/// How many keys are asked for at once.
const STEP: u32 = 500;
/// How often that is done in one batch, at most.
const STEPS: u32 = 400;
/// By how much a cutoff may be later than the server's clock allows for, in milliseconds: clocks differ a little, and
/// what is missed is forgotten by the server a moment later.
const SKEW: i64 = 60_000;

/// Where the look at every session goes on.
pub(super) struct Scan {
    /// It is only good for cutoffs that are not much later than that of its beginning.
    cutoff: Timestamp,
    masters: Vec<Master>,
    master: usize,
    cursor: u64,
}

/// One batch.
struct Batch {
    cutoff: Timestamp,
    limit: u64,
    removed: u64,
    /// One more was seen than may be removed.
    more: bool,
}

impl Inner {
    pub(super) async fn sweep(&self, cutoff: Timestamp, limit: u32) -> Result<Swept, PortError> {
        let mut batch = Batch { cutoff, limit: u64::from(limit), removed: 0, more: false };
        let retention = i64::try_from(self.retention).unwrap_or(i64::MAX);
        let forgotten_by_itself = self.now().await?.millis() - retention + SKEW;
        let done = if cutoff.millis() <= forgotten_by_itself {
            self.sweep_late(&mut batch).await?
        } else {
            self.sweep_all(&mut batch).await?
        };
        Ok(Swept { removed: batch.removed, done })
    }

    /// The server's clock.
    pub(super) async fn now(&self) -> Result<Timestamp, PortError> {
        let key = self.keys.late();
        let (seconds, micros): (i64, i64) = self.read(&redis::cmd("TIME"), To::Key(&key)).await?;
        Ok(Timestamp::from_millis(seconds * 1_000 + micros / 1_000))
    }

    async fn sweep_late(&self, batch: &mut Batch) -> Result<bool, PortError> {
        let key = self.keys.late();
        for _ in 0..STEPS {
            let mut range = redis::cmd("ZRANGEBYSCORE");
            range.arg(&key).arg("-inf").arg(batch.cutoff.millis()).arg("LIMIT").arg(0).arg(STEP);
            let late: Vec<String> = self.read(&range, To::Key(&key)).await?;
            if late.is_empty() {
                return Ok(true);
            }
            for text in late {
                let lookup = LookupKey::stored(text);
                match self.consider(&lookup, batch).await? {
                    Seen::TooMany => return Ok(false),
                    Seen::Kept(over) if over > batch.cutoff => self.note_late(&lookup, over).await,
                    Seen::Kept(_) | Seen::Removed | Seen::Gone => {
                        let mut forget = redis::cmd("ZREM");
                        self.read::<Value>(forget.arg(&key).arg(lookup.as_str()), To::Key(&key)).await?;
                    }
                }
            }
        }
        Ok(false)
    }

    async fn sweep_all(&self, batch: &mut Batch) -> Result<bool, PortError> {
        let saved = self.scan.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut scan = match saved.filter(|scan| scan.may_go_on(batch.cutoff)) {
            Some(scan) => scan,
            None => Scan { cutoff: batch.cutoff, masters: self.masters().await?, master: 0, cursor: 0 },
        };
        let mut done = false;
        for _ in 0..STEPS {
            let Some(master) = scan.masters.get(scan.master) else {
                done = true;
                break;
            };
            let (next, keys) = self.scan_step(master, scan.cursor).await?;
            for key in keys {
                if let Some(lookup) = self.keys.lookup(&key) {
                    self.consider(&lookup, batch).await?;
                }
            }
            if batch.more {
                break;
            }
            scan.cursor = next;
            scan.master += usize::from(next == 0);
        }
        if !done {
            *self.scan.lock().unwrap_or_else(PoisonError::into_inner) = Some(scan);
        }
        Ok(done)
    }

    pub(super) async fn scan_step(&self, master: &Master, cursor: u64) -> Result<(u64, Vec<Vec<u8>>), PortError> {
        let mut step = redis::cmd("SCAN");
        step.arg(cursor).arg("MATCH").arg(self.keys.all_sessions()).arg("COUNT").arg(STEP);
        self.read(&step, To::Master(master)).await
    }

    /// Whether no session is kept at all.
    pub(super) async fn is_empty(&self) -> Result<bool, PortError> {
        for master in self.masters().await? {
            let mut cursor = 0;
            loop {
                let (next, keys) = self.scan_step(&master, cursor).await?;
                if !keys.is_empty() {
                    return Ok(false);
                }
                if next == 0 {
                    break;
                }
                cursor = next;
            }
        }
        Ok(true)
    }

    /// Removes a session if it is due and the batch is not full.
    async fn consider(&self, lookup: &LookupKey, batch: &mut Batch) -> Result<Seen, PortError> {
        let remove = batch.removed < batch.limit;
        match self.forget(lookup, Some(batch.cutoff), remove).await? {
            None => Ok(Seen::Gone),
            Some(Some(over)) => Ok(Seen::Kept(over)),
            Some(None) if remove => {
                batch.removed += 1;
                Ok(Seen::Removed)
            }
            Some(None) => {
                batch.more = true;
                Ok(Seen::TooMany)
            }
        }
    }

    /// Removes a session and its traces, if it was over by then; or only tells whether it would. `None`: it is not
    /// there. `Some(Some(over))`: it is kept.
    pub(super) async fn forget(
        &self,
        lookup: &LookupKey,
        over_by: Option<Timestamp>,
        remove: bool,
    ) -> Result<Option<Option<Timestamp>>, PortError> {
        let over_by = over_by.map_or(Vec::new(), instant);
        let run = SCRIPTS.forget.on(self.keys.session(lookup)).arg(over_by).arg(i32::from(remove));
        let answer: Vec<Value> = self.write(&run).await?;
        match answer.as_slice() {
            [Value::Int(0)] => Ok(None),
            [Value::Int(2), over] => {
                let over = parse_instant(&parse::<Vec<u8>>(over.clone())?).map_err(corrupt)?;
                Ok(Some(Some(over)))
            }
            [Value::Int(1), user, id] => {
                if remove {
                    let (user, id): (Vec<u8>, Vec<u8>) = (parse(user.clone())?, parse(id.clone())?);
                    self.drop_traces(lookup, &user, &id).await;
                }
                Ok(Some(None))
            }
            _ => Err(corrupt(BadRow("it was forgotten in an unknown way"))),
        }
    }
}

/// What became of a session that was considered.
enum Seen {
    Removed,
    Kept(Timestamp),
    Gone,
    /// It is due, but the batch is full.
    TooMany,
}

impl Scan {
    fn may_go_on(&self, cutoff: Timestamp) -> bool {
        cutoff >= self.cutoff && cutoff.since(self.cutoff).as_secs() < 3_600
    }
}
