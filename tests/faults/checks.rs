//! The invariants of the design, looked for directly in what was heard. What they find is told by the invariant's number.

use std::collections::BTreeMap;
use std::time::Duration;

use super::history::{Heard, History, Moment, Op, Record, Why};

/// What the checks have to know of the service.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// How long a session may last.
    pub(super) max_age: Duration,
    /// By how much the clocks of service and test may differ.
    pub(super) margin: Duration,
}

/// Every violation, in words.
pub(super) fn violations(history: &History, terms: Terms) -> Vec<String> {
    let mut records: BTreeMap<usize, Vec<&Record>> = BTreeMap::new();
    for record in &history.records {
        records.entry(record.whose).or_default().push(record);
    }
    let mut found = Vec::new();
    for (number, mut records) in records {
        records.sort_by_key(|record| record.asked);
        let session = Session { number, history, records, terms };
        let said = [
            session.one_successor(),
            session.never_back(),
            session.ended_for_ever(),
            session.refused_for_a_cause(),
            session.over_in_time(),
            session.strangers_are_seen(),
            session.nothing_odd(),
        ];
        found.extend(said.into_iter().flatten());
    }
    let odd = history.end_alls.iter().filter_map(|end| match &end.heard {
        Heard::Odd(what) => Some(format!("I7: an end of all sessions was answered {what}")),
        _ => None,
    });
    found.extend(odd);
    found
}

struct Session<'a> {
    number: usize,
    history: &'a History,
    records: Vec<&'a Record>,
    terms: Terms,
}

impl Session<'_> {
    fn say(&self, invariant: &str, what: &str, record: &Record) -> String {
        format!("{invariant}: session {}: {what}: {record:?}", self.number)
    }

    fn all(&self, invariant: &str, what: &str, is_wrong: impl Fn(&Record) -> bool) -> Vec<String> {
        let wrong = self.records.iter().filter(|record| is_wrong(record));
        wrong.map(|record| self.say(invariant, what, record)).collect()
    }

    /// I1, I2: one successor for each generation, and one text for each successor.
    fn one_successor(&self) -> Vec<String> {
        let mut texts = BTreeMap::new();
        let mut found = Vec::new();
        for record in &self.records {
            let (Op::Refresh { generation, .. }, Heard::Granted { generation: next, token }) =
                (record.op, &record.heard)
            else {
                continue;
            };
            if *next != generation + 1 {
                found.push(self.say("I1", "not the successor of what was presented", record));
            }
            if texts.entry(*next).or_insert(*token) != token {
                found.push(self.say("I2", "a second successor", record));
            }
        }
        found
    }

    /// I3: whoever asks after a generation was handed out gets no earlier one.
    fn never_back(&self) -> Vec<String> {
        self.all("I3", "a generation went back", |record| {
            let Heard::Granted { generation, .. } = record.heard else { return false };
            self.records.iter().any(|earlier| {
                let later = matches!(earlier.heard, Heard::Granted { generation: other, .. } if other > generation);
                later && earlier.answered < record.asked
            })
        })
    }

    /// When an end was first acknowledged: by whoever asked for it, or by a refusal that names it.
    fn acknowledged_end(&self) -> Option<Moment> {
        let told = |record: &&&Record| match record.heard {
            Heard::Done => record.op == Op::Revoke,
            Heard::Refused(why) => matches!(why, Why::SignedOut | Why::SignedOutElsewhere | Why::ReuseDetected),
            _ => false,
        };
        let own = self.records.iter().filter(told).map(|record| record.answered);
        let opened = &self.history.sessions[self.number];
        let all = self
            .history
            .end_alls
            .iter()
            .filter(|end| end.whose == opened.user && end.heard == Heard::Done && end.asked >= opened.answered);
        own.chain(all.map(|end| end.answered)).min()
    }

    /// I4, I5: nothing succeeds that was asked after an end was acknowledged.
    fn ended_for_ever(&self) -> Vec<String> {
        let Some(ended) = self.acknowledged_end() else { return Vec::new() };
        self.all("I4", "a success after an acknowledged end", |record| {
            record.heard.is_success() && record.asked > ended
        })
    }

    /// I6: nobody is signed out but by somebody who asked for it.
    fn refused_for_a_cause(&self) -> Vec<String> {
        self.all("I6", "refused without a cause", |record| {
            let Heard::Refused(why) = record.heard else { return false };
            !self.is_caused(why, record)
        })
    }

    fn is_caused(&self, why: Why, refused: &Record) -> bool {
        let asked = |is: &dyn Fn(&Op) -> bool| {
            self.records.iter().any(|record| is(&record.op) && record.asked < refused.answered)
        };
        match why {
            Why::SignedOut => asked(&|op| *op == Op::Revoke),
            Why::ReuseDetected => asked(&|op| matches!(op, Op::Refresh { key: None, .. })),
            Why::SignedOutElsewhere => {
                let user = self.history.sessions[self.number].user;
                self.history.end_alls.iter().any(|end| end.whose == user && end.asked < refused.answered)
            }
            Why::Superseded => match refused.op {
                Op::Refresh { generation, .. } => {
                    asked(&|op| matches!(op, Op::Refresh { generation: later, .. } if *later > generation))
                }
                _ => false,
            },
            Why::SessionExpired | Why::AccessTokenExpired => true, // `over_in_time` looks at it
        }
    }

    /// I9: nothing succeeds after the absolute end, and nothing is refused for it before.
    fn over_in_time(&self) -> Vec<String> {
        let opened = &self.history.sessions[self.number];
        let micros = |span: Duration| u64::try_from(span.as_micros()).unwrap();
        let latest = opened.answered + micros(self.terms.max_age + self.terms.margin);
        let soonest = opened.asked + micros(self.terms.max_age.saturating_sub(self.terms.margin));
        self.all("I9", "not in time", |record| {
            (record.heard.is_success() && record.asked > latest)
                || (matches!(record.heard, Heard::Refused(why) if why.is_of_time()) && record.answered < soonest)
        })
    }

    /// I12: an ancestor that comes without its retry key is never served.
    fn strangers_are_seen(&self) -> Vec<String> {
        self.all("I12", "a stranger was served", |record| {
            matches!((record.op, &record.heard), (Op::Refresh { key: None, .. }, Heard::Granted { .. }))
        })
    }

    /// I7: whatever happens to the store, the answers are those that are known.
    fn nothing_odd(&self) -> Vec<String> {
        self.all("I7", "an answer that is never to be given", |record| matches!(record.heard, Heard::Odd(_)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{granted, history, open, refresh, refused, revoke, verify};
    use super::*;

    const TERMS: Terms = Terms { max_age: Duration::from_millis(1), margin: Duration::from_micros(100) };

    /// What is found in the life of one session.
    fn found(records: Vec<Record>) -> Vec<String> {
        violations(&history(records), TERMS)
    }

    #[track_caller]
    fn breaks(invariant: &str, records: Vec<Record>) {
        let found = found(records);
        assert!(found.iter().any(|said| said.starts_with(&format!("{invariant}:"))), "{found:?}");
    }

    #[test]
    fn a_good_life_breaks_nothing() {
        let life = vec![
            refresh(0, 1..2, open()),
            refresh(0, 3..4, granted(1)),
            refresh(1, 5..9, granted(2)),
            refresh(1, 6..8, granted(2)),
            verify(10..11, Heard::Good),
            revoke(20..30, Heard::Done),
            verify(25..26, Heard::Good),
            refresh(2, 31..32, refused(Why::SignedOut)),
        ];
        assert_eq!(found(life), Vec::<String>::new());
    }

    #[test]
    fn two_successors_of_one_generation() {
        let other = Heard::Granted { generation: 1, token: 99 };
        breaks("I2", vec![refresh(0, 1..2, granted(1)), refresh(0, 3..4, other)]);
        breaks("I1", vec![refresh(0, 1..2, granted(2))]);
    }

    #[test]
    fn a_generation_that_goes_back() {
        breaks("I3", vec![refresh(0, 1..2, granted(1)), refresh(1, 3..4, granted(2)), refresh(0, 5..6, granted(1))]);
    }

    #[test]
    fn a_success_after_an_acknowledged_end() {
        breaks("I4", vec![revoke(1..2, Heard::Done), refresh(0, 3..4, granted(1))]);
        let mut all = history(vec![verify(50..51, Heard::Good)]);
        all.end_alls.push(Record { op: Op::EndAll, ..revoke(30..40, Heard::Done) });
        assert!(violations(&all, TERMS)[0].starts_with("I4:"));
    }

    #[test]
    fn a_success_after_reuse_was_told() {
        let thief =
            Record { op: Op::Refresh { generation: 0, key: None }, ..refresh(0, 1..2, refused(Why::ReuseDetected)) };
        breaks("I4", vec![thief, verify(3..4, Heard::Good)]);
    }

    #[test]
    fn a_sign_out_that_nobody_asked_for() {
        breaks("I6", vec![refresh(0, 1..2, refused(Why::ReuseDetected))]);
        breaks("I6", vec![refresh(0, 1..2, refused(Why::SignedOut))]);
        breaks("I6", vec![verify(1..2, refused(Why::SignedOutElsewhere))]);
        breaks("I6", vec![refresh(0, 1..2, refused(Why::Superseded))]);
    }

    #[test]
    fn a_401_without_a_reason_or_a_500_during_an_outage() {
        breaks("I7", vec![refresh(0, 1..2, Heard::Odd("401 invalid_token".into()))]);
        breaks("I7", vec![revoke(1..2, Heard::Odd("500 internal".into()))]);
    }

    #[test]
    fn a_life_that_is_too_long_or_too_short() {
        breaks("I9", vec![verify(1_200..1_201, Heard::Good)]);
        breaks("I9", vec![verify(800..801, refused(Why::SessionExpired))]);
        assert!(
            found(vec![verify(1_050..1_051, Heard::Good), verify(1_060..1_061, refused(Why::SessionExpired))])
                .is_empty()
        );
    }

    #[test]
    fn a_stranger_who_is_served() {
        breaks("I12", vec![Record { op: Op::Refresh { generation: 0, key: None }, ..refresh(0, 1..2, granted(1)) }]);
    }
}
