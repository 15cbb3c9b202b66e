//! What was measured: latencies, and how they went over time.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::answer::Wrong;

/// Longest latency that is told from longer ones, in microseconds.
const LONGEST: u64 = 60_000_000;
/// How many stretches a measurement is cut into, for the plot.
const SLICES: u32 = 60;
const SHORTEST_SLICE: Duration = Duration::from_millis(100);
/// Of a measurement that may end before its time.
const LONGEST_SLICE: Duration = Duration::from_secs(2);
/// The percentiles of a report.
const PERCENTILES: [f64; 9] = [0.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 100.0];

/// Takes measurements as they come.
pub(crate) struct Record {
    /// What ended before is warm-up.
    from: Instant,
    slice: Duration,
    all: Histogram<u32>,
    slices: Vec<Histogram<u32>>,
    wrong: BTreeMap<Wrong, u64>,
}

/// Latencies in milliseconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Latency {
    pub(crate) mean: f64,
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
    /// Percentile and latency.
    pub(crate) percentiles: Vec<(f64, f64)>,
}

/// A stretch of a measurement.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Slice {
    /// Its middle, in seconds from the start.
    pub(crate) at: f64,
    pub(crate) per_second: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

/// What a measurement came to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) seconds: f64,
    /// Right answers.
    pub(crate) answers: u64,
    /// Wrong ones, and requests without an answer, by what was wrong.
    pub(crate) wrong: BTreeMap<String, u64>,
    pub(crate) per_second: f64,
    pub(crate) latency: Latency,
    pub(crate) slices: Vec<Slice>,
}

impl Record {
    /// Counts what is answered from `from` on, for about `length`.
    pub(crate) fn new(from: Instant, length: Duration) -> Self {
        let slice = (length / SLICES).clamp(SHORTEST_SLICE, LONGEST_SLICE);
        Self { from, slice, all: histogram(), slices: Vec::new(), wrong: BTreeMap::new() }
    }

    /// A right answer, to a request that counts from `since`.
    pub(crate) fn right(&mut self, since: Instant, now: Instant) {
        let Some(after) = now.checked_duration_since(self.from) else { return };
        let micros = u64::try_from((now - since).as_micros()).unwrap_or(LONGEST);
        let slice = (after.as_secs_f64() / self.slice.as_secs_f64()) as usize;
        while self.slices.len() <= slice {
            self.slices.push(histogram());
        }
        // Above the longest, the longest is recorded.
        self.all.saturating_record(micros);
        self.slices[slice].saturating_record(micros);
    }

    /// A wrong answer, or none; also in the warm-up.
    pub(crate) fn wrong(&mut self, wrong: Wrong) {
        *self.wrong.entry(wrong).or_default() += 1;
    }

    /// How many right answers so far.
    pub(crate) fn answers(&self) -> u64 {
        self.all.len()
    }

    pub(crate) fn finish(self, now: Instant) -> Measured {
        let seconds = now.saturating_duration_since(self.from).as_secs_f64().max(f64::EPSILON);
        let width = self.slice.as_secs_f64();
        let slice = |(at, histogram): (usize, &Histogram<u32>)| {
            let begin = at as f64 * width;
            let lasts = width.min(seconds - begin);
            // The last one may be a sliver, whose rate would say nothing.
            (lasts > width / 2.0).then(|| Slice {
                at: begin + lasts / 2.0,
                per_second: histogram.len() as f64 / lasts,
                p50: millis(histogram.value_at_quantile(0.5)),
                p99: millis(histogram.value_at_quantile(0.99)),
                max: millis(histogram.max()),
            })
        };
        Measured {
            seconds,
            answers: self.all.len(),
            wrong: self.wrong.into_iter().map(|(wrong, count)| (wrong.to_string(), count)).collect(),
            per_second: self.all.len() as f64 / seconds,
            latency: Latency::of(&self.all),
            slices: self.slices.iter().enumerate().filter_map(slice).collect(),
        }
    }
}

impl Latency {
    fn of(histogram: &Histogram<u32>) -> Self {
        let at = |percentile: f64| millis(histogram.value_at_percentile(percentile));
        Self {
            mean: histogram.mean() / 1000.0,
            p50: at(50.0),
            p90: at(90.0),
            p99: at(99.0),
            p999: at(99.9),
            max: at(100.0),
            percentiles: PERCENTILES.iter().map(|&percentile| (percentile, at(percentile))).collect(),
        }
    }
}

impl Measured {
    /// How many requests were not answered rightly.
    pub(crate) fn failures(&self) -> u64 {
        self.wrong.values().sum()
    }
}

/// Two digits are right: 1 % of the latency.
fn histogram() -> Histogram<u32> {
    // These bounds are fixed, and right ones.
    Histogram::new_with_bounds(1, LONGEST, 2).unwrap_or_else(|_| unreachable!("1 to a minute, with two digits"))
}

fn millis(micros: u64) -> f64 {
    micros as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[tokio::test]
    async fn percentiles_rates_and_slices_are_those_of_what_was_recorded() {
        let from = Instant::now();
        let mut record = Record::new(from, 6000 * MS);
        // A thousand answers over six seconds, of 1 to 1000 ms.
        for number in 1..=1000_u32 {
            let now = from + 6 * MS * number;
            record.right(now - MS * number, now);
        }
        let measured = record.finish(from + 6001 * MS);
        assert_eq!(measured.answers, 1000);
        assert!((measured.per_second - 166.6).abs() < 0.2, "{}", measured.per_second);
        for (is, should) in [
            (measured.latency.p50, 500.0),
            (measured.latency.p99, 990.0),
            (measured.latency.max, 1000.0),
            (measured.latency.mean, 500.5),
        ] {
            assert!((is / should - 1.0_f64).abs() < 0.01, "{is} {should}");
        }
        assert_eq!(measured.slices.len(), 60);
        assert!((measured.slices[0].per_second - 166.6).abs() < 10.0, "{:?}", measured.slices[0]);
        assert!(measured.slices[59].p50 > 950.0);
    }

    #[tokio::test]
    async fn the_warm_up_does_not_count_but_its_faults_do() {
        let begin = Instant::now();
        let mut record = Record::new(begin + 100 * MS, 1000 * MS);
        record.right(begin, begin + 50 * MS);
        record.right(begin, begin + 150 * MS);
        record.wrong(Wrong::Status(503));
        record.wrong(Wrong::Status(503));
        let measured = record.finish(begin + 1100 * MS);
        assert_eq!(measured.answers, 1);
        assert!((measured.latency.p50 / 150.0 - 1.0).abs() < 0.01);
        assert_eq!(measured.wrong, BTreeMap::from([("status 503".to_owned(), 2)]));
        assert_eq!(measured.failures(), 2);
    }

    #[tokio::test]
    async fn what_takes_longer_than_can_be_told_is_the_longest() {
        let from = Instant::now();
        let mut record = Record::new(from, 1000 * MS);
        record.right(from, from + 3_600_000 * MS);
        assert!(record.finish(from + 3_600_000 * MS).latency.max >= 60_000.0);
    }
}
