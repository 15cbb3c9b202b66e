//! Ratios, and how they are shown.

use std::fmt::{self, Write as _};

use serde::{Deserialize, Deserializer, Serialize};

use super::taken::Taken;
use crate::drive::Outcome;

/// What a ratio should be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Goal {
    AtLeast(f64),
    AtMost(f64),
    /// Told for what it is.
    None,
}

/// One of the runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Run {
    /// What was measured to compare with; none where the figure stands for itself.
    pub(super) floor: Option<f64>,
    #[serde(deserialize_with = "or_nothing")]
    pub(super) ours: f64,
    /// All about ours, where it was a load.
    pub(super) outcome: Option<Outcome>,
}

/// One row of the table.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) name: String,
    /// What it is a row of.
    pub(super) contest: String,
    pub(super) what: String,
    pub(super) goal: Goal,
    /// Of the two figures.
    pub(super) unit: String,
    pub(super) runs: Vec<Run>,
    pub(super) taken: Taken,
}

/// JSON has no word for what is not a number, and gets `null`.
fn or_nothing<'de, D: Deserializer<'de>>(value: D) -> Result<f64, D::Error> {
    Option::<f64>::deserialize(value).map(|number| number.unwrap_or(f64::NAN))
}

/// Whether a goal was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Always,
    Sometimes,
    Never,
    NotAsked,
}

impl Goal {
    fn is_met_by(self, value: f64) -> bool {
        match self {
            Self::AtLeast(goal) => value >= goal,
            Self::AtMost(goal) => value <= goal,
            Self::None => true,
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(goal) => write!(f, "≥ {goal}"),
            Self::AtMost(goal) => write!(f, "≤ {goal}"),
            Self::None => f.write_str("–"),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Always => "yes",
            Self::Sometimes => "not always",
            Self::Never => "no",
            Self::NotAsked => "–",
        })
    }
}

impl Run {
    /// Ours to the floor, or ours.
    fn value(&self) -> f64 {
        self.floor.map_or(self.ours, |floor| self.ours / floor)
    }
}

impl Entry {
    /// A row; by whom it is taken is said later.
    pub(super) fn new(
        name: impl Into<String>,
        what: impl Into<String>,
        goal: Goal,
        unit: &str,
        runs: Vec<Run>,
    ) -> Self {
        let (contest, taken) = (String::new(), Taken::default());
        Self { name: name.into(), contest, what: what.into(), goal, unit: unit.to_owned(), runs, taken }
    }

    /// The value of each run, the lowest first.
    fn values(&self) -> Vec<f64> {
        let mut values: Vec<_> = self.runs.iter().map(Run::value).collect();
        values.sort_by(f64::total_cmp);
        values
    }

    fn verdict(&self) -> Verdict {
        let met = self.runs.iter().filter(|run| self.goal.is_met_by(run.value())).count();
        match met {
            _ if self.goal == Goal::None => Verdict::NotAsked,
            0 => Verdict::Never,
            met if met == self.runs.len() => Verdict::Always,
            _ => Verdict::Sometimes,
        }
    }

    /// Its cells: what, goal, median, lowest, highest, floor, ours, reached.
    fn cells(&self) -> [String; 8] {
        let values = self.values();
        let (ours, floors) = (self.runs.iter().map(|run| run.ours), self.runs.iter().filter_map(|run| run.floor));
        let floor = median(floors.collect());
        [
            self.what.clone(),
            self.goal.to_string(),
            median(values.clone()).map_or(String::new(), figure),
            values.first().map_or(String::new(), |value| figure(*value)),
            values.last().map_or(String::new(), |value| figure(*value)),
            floor.map_or("–".to_owned(), |floor| format!("{} {}", figure(floor), self.unit)),
            median(ours.collect()).map_or(String::new(), |ours| format!("{} {}", figure(ours), self.unit)),
            self.verdict().to_string(),
        ]
    }

    /// Each load, by the name of its plot.
    pub(super) fn outcomes(&self) -> impl Iterator<Item = (String, &Outcome)> {
        let all = self.runs.iter().zip(1..).filter_map(|(run, number)| Some((number, run.outcome.as_ref()?)));
        all.map(|(number, outcome)| (format!("{}-{number}", self.name), outcome))
    }

    /// The last run, for the plot of refreshes on each store.
    pub(super) fn refreshes(&self) -> Option<(String, &Outcome)> {
        let store = self.name.strip_prefix("refresh-")?;
        Some((store.to_owned(), self.runs.last()?.outcome.as_ref()?))
    }
}

const HEADS: [&str; 8] = ["what", "goal", "median", "min", "max", "compared with", "Regrant", "reached"];

/// For a terminal.
pub(super) fn plain(entries: &[Entry]) -> String {
    let rows: Vec<_> = std::iter::once(HEADS.map(str::to_owned)).chain(entries.iter().map(Entry::cells)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 8] = std::array::from_fn(width);
    let mut text = String::new();
    for row in &rows {
        for (cell, width) in row.iter().zip(widths) {
            // Writing to a string cannot fail.
            let _ = write!(text, "{cell:<width$}  ");
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

/// For a page; the last cell of each row says which of the runs it is from, by its letter.
pub(super) fn markdown(entries: &[Entry], runs: &[&Taken]) -> String {
    let line = |cells: &[String], last: &str| format!("| {} | {last} |\n", cells.join(" | "));
    let mut text = line(&HEADS.map(str::to_owned), "run");
    text.push_str("|---|---|---|---|---|---|---|---|---|\n");
    for entry in entries {
        let run = runs.iter().position(|run| **run == entry.taken).map_or(String::new(), letter);
        text.push_str(&line(&entry.cells(), &run));
    }
    text
}

/// Of the run at this place: a, b, …, z, aa, ….
pub(super) fn letter(place: usize) -> String {
    let last = char::from(b'a' + (place % 26) as u8);
    if place < 26 { last.to_string() } else { format!("{}{last}", letter(place / 26 - 1)) }
}

/// A number with commas.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let parts: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    parts.join(",")
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.get(values.len().checked_sub(1)? / 2)?, values.get(values.len() / 2)?);
    Some(f64::midpoint(*low, *high))
}

fn figure(value: f64) -> String {
    match value.abs() {
        big if big >= 100.0 => format!("{value:.0}"),
        middling if middling >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(goal: Goal, runs: &[(Option<f64>, f64)]) -> Entry {
        let run = |&(floor, ours)| Run { floor, ours, outcome: None };
        Entry::new("refresh-x", "refresh ÷ floor", goal, "/s", runs.iter().map(run).collect())
    }

    #[test]
    fn a_row_tells_ratios_and_not_their_parts_ratio() {
        let entry = entry(Goal::AtLeast(1.2), &[(Some(100.0), 150.0), (Some(200.0), 200.0), (Some(50.0), 65.0)]);
        let expected =
            ["refresh ÷ floor", "≥ 1.2", "1.30", "1.00", "1.50", "100 /s", "150 /s", "not always"].map(str::to_owned);
        assert_eq!(entry.cells(), expected);
    }

    #[test]
    fn a_goal_is_reached_when_every_run_reaches_it() {
        for (goal, value, verdict) in [
            (Goal::AtLeast(2.0), 2.0, Verdict::Always),
            (Goal::AtLeast(2.0), 1.9, Verdict::Never),
            (Goal::AtMost(2.0), 2.0, Verdict::Always),
            (Goal::AtMost(2.0), 2.1, Verdict::Never),
            (Goal::None, 2.1, Verdict::NotAsked),
        ] {
            assert_eq!(entry(goal, &[(None, value)]).verdict(), verdict, "{goal} {value}");
        }
    }

    #[test]
    fn the_table_for_a_page_has_as_many_cells_in_each_row() {
        let (first, second) = (Taken::default(), Taken { at: "later".to_owned(), ..Taken::default() });
        let full = entry(Goal::None, &[(None, 1.0), (None, 2.0)]);
        let text = markdown(&[full, Entry { taken: second.clone(), ..entry(Goal::None, &[]) }], &[&first, &second]);
        assert!(text.lines().all(|line| line.matches('|').count() == 10), "{text}");
        assert!(text.contains("| 1.50 | 1.00 | 2.00 |"), "{text}");
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[2].ends_with("| a |") && lines[3].ends_with("| b |"), "{text}");
    }

    #[test]
    fn numbers_and_letters_are_for_people() {
        assert_eq!([7, 1000, 100_000, 12_345_678].map(grouped), ["7", "1,000", "100,000", "12,345,678"]);
        assert_eq!([0, 25, 26, 27].map(letter), ["a", "z", "aa", "ab"]);
    }

    #[test]
    fn the_median_of_an_even_number_is_between_the_middle_ones() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0]), Some(3.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(vec![9.0, 1.0, 2.0]), Some(2.0));
    }
}
