//! How many hash at once: as many as there are threads, unless the service has much else to do; then some rest, and
//! leave a core free.
//!
//! Why, and where the numbers come from: docs/decisions/0015.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// The service has much else to do when it has answered so many other requests while one password was hashed (some 25
/// milliseconds): several hundred a second.
pub(super) const MUCH: u64 = 8;

/// Who asks for a turn waits until few enough are at it.
///
/// No clock is needed: whether there is much else to do is seen at the end of each turn.
#[derive(Debug)]
pub(super) struct Turns {
    all: usize,
    /// Requests that were answered without a hash, ever.
    elsewhere: AtomicU64,
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Debug)]
struct State {
    running: usize,
    at_most: usize,
}

/// Ends when it is dropped.
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    elsewhere_before: u64,
}

impl Turns {
    pub(super) const fn new(threads: NonZeroUsize) -> Self {
        let all = threads.get();
        Self {
            all,
            elsewhere: AtomicU64::new(0),
            state: Mutex::new(State { running: 0, at_most: all }),
            ended: Condvar::new(),
        }
    }

    /// A quarter of the threads rests beside other work, and one at least; but one is always at work.
    fn beside_others(&self) -> usize {
        (self.all - (self.all / 4).max(1)).max(1)
    }

    /// Something was answered that took no hash.
    pub(super) fn answered_elsewhere(&self) {
        self.elsewhere.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits for a turn.
    pub(super) fn take(&self) -> Turn<'_> {
        let is_full = |state: &mut State| state.running >= state.at_most;
        let mut state = self.ended.wait_while(self.state(), is_full).unwrap_or_else(PoisonError::into_inner);
        state.running += 1;
        Turn { turns: self, elsewhere_before: self.elsewhere.load(Ordering::Relaxed) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let turns = self.turns;
        let meanwhile = turns.elsewhere.load(Ordering::Relaxed).wrapping_sub(self.elsewhere_before);
        let mut state = turns.state();
        state.running -= 1;
        state.at_most = if meanwhile >= MUCH { turns.beside_others() } else { turns.all };
        drop(state);
        turns.ended.notify_all();
    }
}
