//! One session, as it would be if requests came one after another; and a known checker
//! ([`LinearizabilityTester`]) that finds out whether what was heard can be explained by it.
//!
//! A request of which nothing was heard stays open for ever: it may take effect at any later moment, or never.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use stateright::semantics::{ConsistencyTester as _, LinearizabilityTester, SequentialSpec};

use super::history::{Heard, History, Op, Record, Why};

/// The checker tries every order before it says no, so a session that cannot be explained within this time is told.
const PATIENCE: Duration = Duration::from_mins(1);
/// Requests without an answer have the threads from here on.
const OPEN: usize = 1_000;
/// How many spent generations are remembered.
const RECENT: u32 = 4;

/// The sequential session.
#[derive(Debug, Clone, Default)]
struct Session {
    current: u32,
    /// The retry keys that spent the latest generations.
    keys: BTreeMap<u32, Option<u64>>,
    ended: Option<Why>,
}

/// What it answers: as [`Heard`], without what a sequential session cannot know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Granted(u32),
    Done,
    Good,
    Refused(Why),
    /// The store, which keeps its writes, would have had to lose one.
    Impossible,
}

impl Session {
    fn refresh(&mut self, generation: u32, key: Option<u64>) -> Answer {
        if let Some(why) = self.ended {
            return Answer::Refused(why);
        }
        if generation == self.current {
            self.keys.insert(generation, key);
            self.keys.retain(|spent, _| spent + RECENT > generation);
            self.current += 1;
            return Answer::Granted(self.current);
        }
        if generation > self.current {
            return Answer::Impossible;
        }
        let same_party = key.is_some() && self.keys.get(&generation) == Some(&key);
        match (same_party, generation + 1 == self.current) {
            (true, true) => Answer::Granted(self.current),
            (true, false) => Answer::Refused(Why::Superseded),
            (false, _) => {
                // The clients of the harness present without a key only what is too old for the replay window to count.
                self.ended = Some(Why::ReuseDetected);
                Answer::Refused(Why::ReuseDetected)
            }
        }
    }

    fn end(&mut self, why: Why) -> Answer {
        self.ended.get_or_insert(why);
        Answer::Done
    }
}

impl SequentialSpec for Session {
    type Op = Op;
    type Ret = Answer;

    fn invoke(&mut self, op: &Op) -> Answer {
        match *op {
            Op::Refresh { generation, key } => self.refresh(generation, key),
            Op::Revoke => self.end(Why::SignedOut),
            Op::EndAll => self.end(Why::SignedOutElsewhere),
            Op::Verify => self.ended.map_or(Answer::Good, Answer::Refused),
        }
    }

    fn is_valid_step(&mut self, op: &Op, answer: &Answer) -> bool {
        match answer {
            // Whether it was time to expire is checked elsewhere; a session that has ended says that instead.
            Answer::Refused(Why::SessionExpired) => self.ended.is_none(),
            Answer::Refused(Why::AccessTokenExpired) => *op == Op::Verify,
            _ => self.invoke(op) == *answer,
        }
    }
}

fn answer(heard: &Heard) -> Option<Answer> {
    match heard {
        Heard::Granted { generation, .. } => Some(Answer::Granted(*generation)),
        Heard::Done => Some(Answer::Done),
        Heard::Good => Some(Answer::Good),
        Heard::Refused(why) => Some(Answer::Refused(*why)),
        Heard::Unknown | Heard::Odd(_) => None,
    }
}

/// Every session of the history whose requests no order explains, with what was asked of it.
pub(super) fn unexplained(history: &History) -> Vec<String> {
    let (sender, receiver) = channel();
    let sessions = by_session(history);
    let names: Vec<usize> = sessions.keys().copied().collect();
    std::thread::spawn(move || {
        for (number, records) in sessions {
            let found = (!is_explained(&records)).then(|| told(number, &records));
            if sender.send(found).is_err() {
                return;
            }
        }
    });
    let mut found = Vec::new();
    for number in names {
        match receiver.recv_timeout(PATIENCE) {
            Ok(said) => found.extend(said),
            Err(RecvTimeoutError::Timeout) => {
                found.push(format!("session {number}: no order was found that explains it"));
                break;
            }
            Err(RecvTimeoutError::Disconnected) => panic!("the checker failed"),
        }
    }
    found
}

/// What was asked of it, in order.
fn told(number: usize, records: &[Record]) -> String {
    let mut records = records.to_vec();
    records.sort_by_key(|record| record.asked);
    let lines: Vec<_> = records.iter().map(|record| format!("{record:?}")).collect();
    format!("session {number}: no order explains\n{}", lines.join("\n"))
}

/// What was asked of each session. An end of all of a user's sessions is asked of each that had been opened before; a
/// sign-in that was under way may be covered by it, or not, so there it is an open request.
fn by_session(history: &History) -> BTreeMap<usize, Vec<Record>> {
    let mut all: BTreeMap<usize, Vec<Record>> = BTreeMap::new();
    for record in &history.records {
        all.entry(record.whose).or_default().push(record.clone());
    }
    for (number, opened) in history.sessions.iter().enumerate() {
        for end in history.end_alls.iter().filter(|end| end.whose == opened.user) {
            let mut end = Record { whose: number, ..end.clone() };
            if end.heard == Heard::Done && end.answered < opened.asked {
                continue;
            }
            if end.asked < opened.answered {
                end.heard = Heard::Unknown;
            }
            all.entry(number).or_default().push(end);
        }
    }
    all
}

fn is_explained(records: &[Record]) -> bool {
    let mut tester = LinearizabilityTester::new(Session::default());
    let (open, known): (Vec<_>, Vec<_>) = records.iter().partition(|record| answer(&record.heard).is_none());
    // Asked twice is as good as asked once, from the first time on: a request that is done again changes nothing.
    let mut once: Vec<&Record> = Vec::new();
    for record in open.into_iter().filter(|record| record.op != Op::Verify) {
        match once.iter_mut().find(|other| other.op == record.op) {
            Some(other) if other.asked > record.asked => *other = record,
            Some(_) => {}
            None => once.push(record),
        }
    }
    // The checker tries threads in order: first those that were answered, then ends, then refreshes.
    once.sort_by_key(|record| matches!(record.op, Op::Refresh { .. }));
    let mut events: Vec<(u64, bool, usize, &Record)> = Vec::new();
    for (at, record) in once.iter().enumerate() {
        events.push((record.asked, true, OPEN + at, record));
    }
    for (record, thread) in known.iter().zip(threads(&known)) {
        events.push((record.asked, true, thread, record));
        events.push((record.answered, false, thread, record));
    }
    // At one moment, what is asked counts as asked before what is answered: they are under way together.
    events.sort_by_key(|(at, asks, thread, _)| (*at, !asks, *thread));
    for (_, asks, thread, record) in events {
        let taken = match answer(&record.heard).filter(|_| !asks) {
            None => tester.on_invoke(thread, record.op).map(|_| ()),
            Some(answer) => tester.on_return(thread, answer).map(|_| ()),
        };
        taken.expect("each thread asks one thing at a time");
    }
    tester.is_consistent()
}

/// A thread for each request, so that no thread asks two things at a time.
fn threads(known: &[&Record]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..known.len()).collect();
    order.sort_by_key(|at| known[*at].asked);
    let (mut free, mut busy, mut threads) =
        (BTreeSet::<usize>::new(), Vec::<(u64, usize)>::new(), vec![0; known.len()]);
    for at in order {
        busy.retain(|(until, thread)| {
            let over = *until < known[at].asked;
            if over {
                free.insert(*thread);
            }
            !over
        });
        let thread = free.pop_first().unwrap_or(busy.len());
        threads[at] = thread;
        busy.push((known[at].answered, thread));
    }
    threads
}

#[cfg(test)]
mod tests {
    use super::super::history::Opened;
    use super::super::samples::{granted, history, open, refresh, refused, revoke, verify};
    use super::*;

    fn explains(records: Vec<Record>) -> bool {
        unexplained(&history(records)).is_empty()
    }

    #[test]
    fn an_ordinary_life_is_explained() {
        assert!(explains(vec![
            refresh(0, 1..2, granted(1)),
            verify(3..4, Heard::Good),
            refresh(1, 5..6, granted(2)),
            revoke(7..8, Heard::Done),
            refresh(2, 9..10, refused(Why::SignedOut)),
        ]));
    }

    #[test]
    fn a_lost_answer_may_have_been_done_before_it_was_asked_again_or_not() {
        assert!(explains(vec![refresh(0, 1..2, open()), refresh(0, 3..4, granted(1)), refresh(1, 5..6, granted(2))]));
        assert!(explains(vec![
            revoke(1..2, open()),
            refresh(0, 3..4, granted(1)),
            refresh(1, 5..6, refused(Why::SignedOut))
        ]));
    }

    #[test]
    fn two_answers_to_one_token_are_explained_where_they_agree() {
        assert!(explains(vec![refresh(0, 1..5, granted(1)), refresh(0, 2..4, granted(1))]));
        assert!(!explains(vec![refresh(0, 1..5, granted(1)), refresh(0, 2..4, granted(2))]));
    }

    #[test]
    fn a_success_after_an_end_is_not_explained() {
        assert!(!explains(vec![revoke(1..2, Heard::Done), refresh(0, 3..4, granted(1))]));
        assert!(!explains(vec![revoke(1..2, Heard::Done), verify(3..4, Heard::Good)]));
        assert!(explains(vec![revoke(1..4, Heard::Done), verify(2..5, Heard::Good)]), "they were under way together");
    }

    #[test]
    fn an_end_without_a_cause_is_not_explained() {
        assert!(!explains(vec![verify(3..4, refused(Why::SignedOut))]));
        assert!(!explains(vec![refresh(0, 1..2, refused(Why::ReuseDetected))]));
        assert!(!explains(vec![revoke(1..2, Heard::Done), verify(3..4, refused(Why::SignedOutElsewhere))]));
    }

    #[test]
    fn a_generation_that_goes_back_is_not_explained() {
        assert!(!explains(vec![
            refresh(0, 1..2, granted(1)),
            refresh(1, 3..4, granted(2)),
            refresh(0, 5..6, granted(1)),
        ]));
    }

    #[test]
    fn a_store_that_forgot_a_rotation_is_not_explained() {
        assert!(!explains(vec![refresh(3, 1..2, granted(4))]));
    }

    #[test]
    fn a_late_duplicate_is_refused_softly_and_an_ancestor_ends_the_session() {
        let three =
            || (0..3).map(|g| refresh(g, u64::from(g) * 10..u64::from(g) * 10 + 1, granted(g + 1))).collect::<Vec<_>>();
        let and = |more: Vec<Record>| [three(), more].concat();
        assert!(explains(and(vec![refresh(0, 40..41, refused(Why::Superseded)), verify(42..43, Heard::Good)])));
        let thief = |heard| Record { op: Op::Refresh { generation: 0, key: None }, ..refresh(0, 40..41, heard) };
        assert!(explains(and(vec![thief(refused(Why::ReuseDetected)), verify(42..43, refused(Why::ReuseDetected))])));
        assert!(!explains(and(vec![thief(refused(Why::ReuseDetected)), verify(42..43, Heard::Good)])));
        assert!(!explains(and(vec![thief(granted(1))])));
    }

    #[test]
    fn an_end_of_all_covers_what_was_open_and_may_cover_what_was_being_opened() {
        let explains = |end_all: std::ops::Range<u64>, heard: Heard| {
            let mut history = history(vec![verify(60..61, heard)]);
            history.sessions[0] = Opened { user: 0, asked: 10, answered: 20 };
            history.end_alls.push(Record { op: Op::EndAll, ..revoke(end_all, Heard::Done) });
            unexplained(&history).is_empty()
        };
        let over = || refused(Why::SignedOutElsewhere);
        assert!(explains(1..5, Heard::Good) && !explains(1..5, over()), "before");
        assert!(explains(5..25, Heard::Good) && explains(5..25, over()), "beside");
        assert!(!explains(30..40, Heard::Good) && explains(30..40, over()), "after");
    }
}
