//! A measurement as a table.

use std::fmt::Write as _;

use crate::drive::Outcome;

/// One row for each figure.
pub(crate) fn table(outcome: &Outcome) -> String {
    let mut text = String::new();
    let mut row = |name: &str, value: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:<28}{value:>14}");
    };
    let measured = &outcome.measured;
    row("connections", outcome.connections.to_string());
    if let Some(rate) = outcome.asked_per_second {
        row("asked a second", format!("{rate:.0}"));
    }
    row("answers a second", format!("{:.0}", measured.per_second));
    row("right answers", measured.answers.to_string());
    row("wrong or none", measured.failures().to_string());
    for (name, value) in [
        ("latency, mean", measured.latency.mean),
        ("latency, p50", measured.latency.p50),
        ("latency, p90", measured.latency.p90),
        ("latency, p99", measured.latency.p99),
        ("latency, p99.9", measured.latency.p999),
        ("latency, longest", measured.latency.max),
    ] {
        row(name, format!("{value:.2} ms"));
    }
    row("this tool", format!("{:.2} cores", outcome.tool_cores));
    if outcome.asked_per_second.is_some() {
        row("its timer late by at most", format!("{:.2} ms", outcome.tool_late_ms));
    }
    if let Some(cores) = outcome.service_cores {
        row("the service", format!("{cores:.2} cores"));
    }
    if let Some(mib) = outcome.service_peak_mib {
        row("its memory at most", format!("{mib:.1} MiB"));
    }
    if let Some(sign_ins) = outcome.storm_sign_ins {
        row("sign-ins meanwhile", sign_ins.to_string());
    }
    for (wrong, count) in &measured.wrong {
        let _ = writeln!(text, "  {count} times: {wrong}");
    }
    text
}
