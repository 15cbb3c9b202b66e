//! The rows of earlier runs, so that a page can be made of several: those that take seconds, and those that take hours.

use std::fs;
use std::path::Path;

use super::contests::CONTESTS;
use super::table::Entry;
use crate::{Failure, output};

/// The rows in this file, with these in place of those that the same contests left, in the order of the contests.
pub(super) fn merged(file: &Path, new: Vec<Entry>) -> Vec<Entry> {
    let mut all = earlier(file);
    all.retain(|old| new.iter().all(|new| new.contest != old.contest));
    all.extend(new);
    let place = |entry: &Entry| CONTESTS.iter().position(|contest| contest.name == entry.contest);
    all.retain(|entry| place(entry).is_some());
    // Stable: the rows of one contest stay in their order.
    all.sort_by_key(place);
    all
}

pub(super) fn write(file: &Path, entries: &[Entry]) -> Result<(), Failure> {
    // Beside it first: hours of measuring are not to be lost by half a file.
    let beside = file.with_extension("json.new");
    fs::write(&beside, serde_json::to_string_pretty(entries)?)?;
    Ok(fs::rename(beside, file)?)
}

fn earlier(file: &Path) -> Vec<Entry> {
    let Ok(text) = fs::read_to_string(file) else { return Vec::new() };
    serde_json::from_str(&text).unwrap_or_else(|error| {
        output::note(format_args!("{} is not of this version and begins anew: {error}", file.display()));
        Vec::new()
    })
}

#[cfg(test)]
mod tests {
    use super::super::table::{Goal, Run};
    use super::*;

    fn entry(contest: &str, name: &str, ours: f64) -> Entry {
        let run = Run { floor: Some(2.0), ours, outcome: None };
        Entry { contest: contest.to_owned(), ..Entry::new(name, "what", Goal::AtLeast(1.0), "/s", vec![run]) }
    }

    #[test]
    fn a_run_replaces_its_own_rows_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("compare.json");
        let names = |all: &[Entry]| all.iter().map(|e| (e.name.clone(), e.runs[0].ours as i64)).collect::<Vec<_>>();
        let first = vec![entry("storm", "storm", 1.0), entry("storm", "memory", 2.0), entry("gone", "gone", 1.0)];
        write(&file, &merged(&file, first)).unwrap();
        let second = vec![entry("verify", "verify", 3.0)];
        write(&file, &merged(&file, second)).unwrap();
        let third = merged(&file, vec![entry("storm", "storm", 4.0), entry("storm", "memory", f64::NAN)]);
        assert_eq!(names(&third), [("verify".into(), 3), ("storm".into(), 4), ("memory".into(), 0)]);

        // What could not be measured is kept as such.
        write(&file, &third).unwrap();
        assert!(merged(&file, Vec::new())[2].runs[0].ours.is_nan());
        fs::write(&file, "[{}]").unwrap();
        assert_eq!(names(&merged(&file, vec![entry("lone", "lone", 1.0)])), [("lone".into(), 1)]);
    }
}
