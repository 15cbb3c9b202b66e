//! When requests are sent: as soon as a connection is free (closed loop), or at a rate, whether or not earlier ones have
//! been answered (open loop).
//!
//! In an open loop a request that had to wait for a free connection counts from when it was *due*: else a server that
//! stands still for a second would cost one slow request, instead of all that should have been sent meanwhile
//! ("coordinated omission"). One that only the timer of this tool sent late counts from when it was sent; by how much it
//! was late is told by itself.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::Instant;

/// How requests follow each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Pace {
    /// The next one as soon as the last one is answered, on every connection.
    Closed,
    /// So many a second, evenly.
    Open(f64),
}

/// Hands out turns to all connections until time is up.
pub(crate) struct Turns {
    pace: Pace,
    start: Instant,
    end: Cell<Instant>,
    taken: Cell<u64>,
    latest: Cell<Duration>,
}

impl Turns {
    pub(crate) fn new(pace: Pace, start: Instant, length: Duration) -> Self {
        Self { pace, start, end: Cell::new(start + length), taken: Cell::new(0), latest: Cell::new(Duration::ZERO) }
    }

    /// Waits until it is time for the next request, and says from when it counts; `None`: time is up.
    pub(crate) async fn next(&self) -> Option<Instant> {
        match self.turn(Instant::now()) {
            Turn::Send { counts_from } => Some(counts_from),
            Turn::Wait { due } => {
                tokio::time::sleep_until(due).await;
                let sent = Instant::now();
                self.latest.set(self.latest.get().max(sent - due));
                Some(sent)
            }
            Turn::Over => None,
        }
    }

    /// Takes the next turn.
    fn turn(&self, now: Instant) -> Turn {
        let due = match self.pace {
            Pace::Closed => now,
            Pace::Open(rate) => self.start + due_after(self.taken.replace(self.taken.get() + 1), rate),
        };
        match due {
            due if due >= self.end.get() => Turn::Over,
            due if due <= now => Turn::Send { counts_from: due },
            due => Turn::Wait { due },
        }
    }

    /// Time is up at this moment, if it would not be before.
    pub(crate) fn end_at(&self, moment: Instant) {
        self.end.set(self.end.get().min(moment));
    }

    /// By how much the timer of this tool was late at worst.
    pub(crate) fn latest(&self) -> Duration {
        self.latest.get()
    }
}

/// What a connection that is free is to do.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Turn {
    /// Send at once.
    Send {
        /// When it was due: now, or before, where no connection was free then.
        counts_from: Instant,
    },
    /// Send when it is due.
    Wait {
        /// When that is.
        due: Instant,
    },
    /// Time is up.
    Over,
}

/// Each from the start, not from the one before: errors do not add up.
fn due_after(number: u64, rate: f64) -> Duration {
    Duration::from_secs_f64(number as f64 / rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_schedule_does_not_drift() {
        assert_eq!(due_after(0, 7000.0), Duration::ZERO);
        assert_eq!(due_after(7000 * 3600, 7000.0), SECOND * 3600);
        assert_eq!(due_after(1, 4.0), Duration::from_millis(250));
    }

    #[test]
    fn an_open_loop_sends_as_many_as_asked_for_and_then_stops() {
        let start = Instant::now();
        let turns = Turns::new(Pace::Open(100.0), start, SECOND);
        assert_eq!(turns.turn(start), Turn::Send { counts_from: start });
        for hundredths in 1..100 {
            assert_eq!(turns.turn(start), Turn::Wait { due: start + SECOND / 100 * hundredths });
        }
        assert_eq!(turns.turn(start), Turn::Over);
    }

    #[test]
    fn what_waited_for_a_connection_counts_from_when_it_was_due() {
        let start = Instant::now();
        let tenths = |number: u32| start + SECOND / 10 * number;
        let turns = Turns::new(Pace::Open(10.0), start, SECOND);
        assert_eq!(turns.turn(start), Turn::Send { counts_from: start });
        // One connection, and an answer that takes 450 ms: four turns have become due meanwhile.
        let now = start + Duration::from_millis(450);
        for number in 1..=4 {
            assert_eq!(turns.turn(now), Turn::Send { counts_from: tenths(number) });
        }
        assert_eq!(turns.turn(now), Turn::Wait { due: tenths(5) });
    }

    #[test]
    fn a_closed_loop_never_waits() {
        let start = Instant::now();
        let turns = Turns::new(Pace::Closed, start, SECOND);
        for now in [start, start, start + SECOND / 2] {
            assert_eq!(turns.turn(now), Turn::Send { counts_from: now });
        }
        assert_eq!(turns.turn(start + SECOND), Turn::Over);
    }

    #[test]
    fn an_end_can_come_sooner_and_not_later() {
        let start = Instant::now();
        let turns = Turns::new(Pace::Closed, start, SECOND);
        turns.end_at(start + 2 * SECOND);
        assert_eq!(turns.turn(start + SECOND), Turn::Over);
        turns.end_at(start + SECOND / 2);
        assert_eq!(turns.turn(start + SECOND / 2), Turn::Over);
        assert_eq!(turns.turn(start), Turn::Send { counts_from: start });
    }

    #[tokio::test]
    async fn what_the_timer_sends_late_counts_from_when_it_was_sent_and_is_told() {
        let turns = Turns::new(Pace::Open(100.0), Instant::now() + SECOND / 100, SECOND);
        let counts_from = turns.next().await.unwrap();
        assert!(counts_from >= turns.start && turns.latest() == counts_from - turns.start);
    }
}
