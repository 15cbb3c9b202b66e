//! The classic text format (0.0.4), made of `OpenMetrics` text.
//!
//! They differ in three things here: the description of a counter bears the name of its series, `_total` included (of an
//! info metric: `_info`); an info metric is a gauge; there is no end mark.

/// Written line by line; what is not a description stays as it is.
pub(super) fn from_open(open: &str) -> String {
    let mut classic = String::with_capacity(open.len());
    let mut help = "";
    for line in open.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("HELP"), Some(_), Some(text)) => help = text,
            (Some("#"), Some("TYPE"), Some(name), Some(kind)) => {
                let (suffix, kind) = match kind {
                    "counter" => ("_total", "counter"),
                    "info" => ("_info", "gauge"),
                    other => ("", other),
                };
                for description in
                    [["# HELP ", name, suffix, " ", help, "\n"], ["# TYPE ", name, suffix, " ", kind, "\n"]]
                {
                    classic.extend(description);
                }
            }
            (Some("#"), ..) => {}
            _ => classic.extend([line, "\n"]),
        }
    }
    classic
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_bear_the_names_of_their_series() {
        let open = "# HELP a Things.\n# TYPE a counter\na_total{b=\"# TYPE\"} 1\n# HELP c Now.\n# TYPE c gauge\n\
                    # UNIT c seconds\nc 2\n# HELP d What.\n# TYPE d info\nd_info{v=\"1\"} 1\n# EOF\n";
        let classic = "# HELP a_total Things.\n# TYPE a_total counter\na_total{b=\"# TYPE\"} 1\n# HELP c Now.\n\
                       # TYPE c gauge\nc 2\n# HELP d_info What.\n# TYPE d_info gauge\nd_info{v=\"1\"} 1\n";
        assert_eq!(from_open(open), classic);
    }
}
