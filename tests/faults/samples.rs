//! Histories made by hand, to see that each check can fail.

use std::ops::Range;

use super::history::{Heard, History, Op, Opened, Record, Why};

/// The history of one session, opened at the very beginning.
pub(super) fn history(records: Vec<Record>) -> History {
    let sessions = vec![Opened { user: 0, asked: 0, answered: 0 }];
    History { sessions, records, ..History::default() }
}

fn record(op: Op, when: Range<u64>, heard: Heard) -> Record {
    Record { whose: 0, op, asked: when.start, answered: when.end, heard }
}

/// A refresh with the retry key of its generation.
pub(super) fn refresh(generation: u32, when: Range<u64>, heard: Heard) -> Record {
    record(Op::Refresh { generation, key: Some(u64::from(generation)) }, when, heard)
}

pub(super) fn revoke(when: Range<u64>, heard: Heard) -> Record {
    record(Op::Revoke, when, heard)
}

pub(super) fn verify(when: Range<u64>, heard: Heard) -> Record {
    record(Op::Verify, when, heard)
}

pub(super) fn granted(generation: u32) -> Heard {
    Heard::Granted { generation, token: u64::from(generation) }
}

pub(super) fn refused(why: Why) -> Heard {
    Heard::Refused(why)
}

pub(super) fn open() -> Heard {
    Heard::Unknown
}
