//! A clock that tests move, ids and secrets that tests can foresee, and events that tests can read. The mocks of all
//! ports are beside the ports.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use crate::history::Origin;
use crate::ids::{AccessTokenId, SessionId, UserId};
use crate::ports::{Background, Clock, Event, Events, Ids, PortError, Randomness, Work};
use crate::secret::Secret;
use crate::time::Timestamp;

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl Default for ManualClock {
    /// 2026-01-01T00:00:00Z
    fn default() -> Self {
        Self(AtomicI64::new(1_767_225_600_000))
    }
}

impl ManualClock {
    /// Moves it on.
    pub fn advance(&self, span: Duration) {
        self.0.fetch_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX), Ordering::SeqCst);
    }

    /// Sets it.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.millis(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// Ids and secrets that count up from a start.
#[derive(Debug, Default)]
pub struct Counting(AtomicU64);

impl Counting {
    /// Starts elsewhere, so that two of them do not meet.
    pub fn from(start: u64) -> Self {
        Self(AtomicU64::new(start))
    }

    fn next(&self) -> [u8; 16] {
        u128::from(self.0.fetch_add(1, Ordering::SeqCst) + 1).to_be_bytes()
    }
}

impl Ids for Counting {
    fn user(&self) -> UserId {
        UserId::from_bytes(self.next())
    }
    fn session(&self) -> SessionId {
        SessionId::from_bytes(self.next())
    }
    fn access_token(&self) -> AccessTokenId {
        AccessTokenId::from_bytes(self.next())
    }
}

impl Randomness for Counting {
    fn secret(&self, len: usize) -> Result<Secret, PortError> {
        Ok(Secret::new(self.next().into_iter().cycle().take(len).collect()))
    }
}

/// Keeps what it is told.
#[derive(Debug, Default)]
pub struct RecordedEvents(Mutex<Vec<(Event, Origin)>>);

impl RecordedEvents {
    /// Everything told since the last call.
    pub fn take(&self) -> Vec<Event> {
        self.take_with_origins().into_iter().map(|(event, _)| event).collect()
    }

    /// The same, and which requests it was.
    pub fn take_with_origins(&self) -> Vec<(Event, Origin)> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

impl Events for RecordedEvents {
    fn record(&self, event: Event, from: &Origin) {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((event, from.clone()));
    }
}

/// Completes work at once, where it waits for nothing, as with a store in memory; leaves out any other.
#[derive(Debug, Default)]
pub struct AtOnce;

impl Background for AtOnce {
    fn begin(&self, mut work: Work) -> bool {
        work.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }
}
