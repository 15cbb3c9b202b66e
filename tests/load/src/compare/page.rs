//! The page of figures: what is between its marks is replaced by what was measured.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::table::{Entry, letter, markdown};
use super::taken::Taken;
use crate::Failure;

const BEGIN: &str = "<!-- measured: begin -->";
const END: &str = "<!-- measured: end -->";

/// Writes the table into the page, and the plot, if there is one, beside it.
pub(super) fn write(file: &Path, entries: &[Entry], plot: Option<&str>) -> Result<(), Failure> {
    let svg = file.with_extension("svg");
    let name = svg.file_name().and_then(|name| name.to_str()).ok_or("the page has no name")?;
    let page = fs::read_to_string(file)?;
    let measured = measured(entries, plot.map(|_| name));
    let page = replaced(&page, &measured).ok_or_else(|| format!("{} lacks the line {BEGIN}", file.display()))?;
    if let Some(plot) = plot {
        fs::write(&svg, plot)?;
    }
    Ok(fs::write(file, page)?)
}

fn measured(entries: &[Entry], plot: Option<&str>) -> String {
    let mut runs: Vec<&Taken> = Vec::new();
    for entry in entries {
        if !runs.contains(&&entry.taken) {
            runs.push(&entry.taken);
        }
    }
    // The earliest is a.
    runs.sort_by(|one, other| one.at.cmp(&other.at));
    let mut text = markdown(entries, &runs);
    text.push('\n');
    let on = |run: &Taken| format!("{}; {}", run.machine, run.versions);
    let alike = runs.windows(2).all(|pair| on(pair[0]) == on(pair[1]));
    // Writing to a string cannot fail.
    if let Some(run) = runs.first().filter(|_| alike) {
        let _ = writeln!(text, "Measured on {}.\n", on(run));
    }
    for (place, run) in runs.iter().enumerate() {
        let where_else = if alike { String::new() } else { format!(", on {}", on(run)) };
        let _ = writeln!(text, "- {}: {}, `{}`{where_else}", letter(place), run.at, run.command);
    }
    if let Some(plot) = plot {
        let _ = write!(text, "\n![Throughput over time and latency by percentile]({plot})\n");
    }
    text
}

fn replaced(page: &str, measured: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{measured}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::super::table::Goal;
    use super::*;

    #[test]
    fn each_row_says_by_which_command_and_on_what_machine_it_was_measured() {
        let taken = |at: &str, machine: &str| Taken {
            at: at.to_owned(),
            command: format!("compare {at}"),
            machine: machine.to_owned(),
            versions: "v".to_owned(),
        };
        let row = |taken| Entry { taken, ..Entry::new("x", "x", Goal::None, "/s", Vec::new()) };
        let alike = measured(&[row(taken("2", "m")), row(taken("1", "m")), row(taken("2", "m"))], Some("plot.svg"));
        assert!(alike.contains("Measured on m; v.\n\n- a: 1, `compare 1`\n- b: 2, `compare 2`\n\n!["), "{alike}");
        let cells: Vec<_> = alike.lines().skip(2).take(3).map(|line| line.rsplit(' ').nth(1)).collect();
        assert_eq!(cells, [Some("b"), Some("a"), Some("b")]);
        let different = measured(&[row(taken("1", "m")), row(taken("2", "n"))], None);
        assert!(
            !different.contains("![")
                && different.contains("- a: 1, `compare 1`, on m; v\n- b: 2, `compare 2`, on n; v\n"),
            "{different}"
        );
        assert!(!different.contains("Measured on"), "{different}");
    }

    #[test]
    fn only_what_is_between_the_marks_is_replaced() {
        let page = format!("before\n{BEGIN}\nold\n{END}\nafter\n");
        let once = replaced(&page, "new\n").unwrap();
        assert_eq!(once, format!("before\n{BEGIN}\nnew\n{END}\nafter\n"));
        assert_eq!(replaced(&once, "new\n").unwrap(), once);
        assert_eq!(replaced("no marks", "new"), None);
    }
}
