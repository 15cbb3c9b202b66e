//! The dashboard's queries and the alerts, held against what a running service tells.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::observing::{Exposition, busy, page_of};
use super::root;

/// Labels that Prometheus adds itself.
const ADDED: [&str; 2] = ["instance", "job"];
/// What stands between metrics, and is none.
const WORDS: [&str; 13] =
    ["and", "or", "unless", "bool", "offset", "sum", "min", "max", "avg", "count", "topk", "group_left", "group_right"];
const GROUPING: [&str; 4] = ["by", "without", "on", "ignoring"];

/// A query, and the labels that are shown beside what it finds.
struct Query {
    whose: String,
    text: String,
    shown: BTreeSet<String>,
}

/// Label, operator, value.
type Condition = (String, String, String);

/// What a query asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked {
    /// Names, each with its conditions.
    metrics: Vec<(String, Vec<Condition>)>,
    /// Labels that are grouped by.
    grouped: BTreeSet<String>,
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

/// As much of the language as is used here.
fn read(query: &str) -> Asked {
    let mut asked = Asked::default();
    let mut rest = query.trim_start();
    while let Some(first) = rest.chars().next() {
        if first == '"' {
            rest = rest[1..].split_once('"').expect("a text ends").1;
        } else if first == '[' {
            rest = rest.split_once(']').expect("a range ends").1;
        } else if first.is_ascii_digit() {
            rest = rest.trim_start_matches(|c: char| is_name(c) || c == '.');
        } else if is_name(first) {
            let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
            let (name, behind) = rest.split_at(end);
            rest = named(name, behind.trim_start(), &mut asked);
        } else {
            rest = &rest[first.len_utf8()..];
        }
    }
    asked
}

/// What a name means by what stands behind it; gives back what is not read yet.
fn named<'q>(name: &str, behind: &'q str, asked: &mut Asked) -> &'q str {
    if GROUPING.contains(&name) {
        let (labels, rest) = behind.strip_prefix('(').and_then(|rest| rest.split_once(')')).expect("a list of labels");
        asked.grouped.extend(labels.split(',').map(|label| label.trim().to_owned()));
        return rest;
    }
    if behind.starts_with('(') || WORDS.contains(&name) {
        return behind;
    }
    let (conditions, rest) = match behind.strip_prefix('{') {
        Some(inner) => inner.split_once('}').expect("conditions end"),
        None => ("", behind),
    };
    asked
        .metrics
        .push((name.to_owned(), conditions.split(", ").filter(|one| !one.is_empty()).map(condition).collect()));
    rest
}

fn condition(text: &str) -> Condition {
    let label = text.trim().find(|c| !is_name(c)).map(|at| text.trim().split_at(at));
    let (label, rest) = label.expect("a label");
    let (operator, value) = rest.split_once('"').expect("a value");
    (label.to_owned(), operator.to_owned(), value.trim_end_matches('"').to_owned())
}

#[test]
fn a_query_is_read_as_what_it_asks_for() {
    let asked =
        read("sum by (a, le) (rate(m_total{x=\"1\", y!~\"a|b\"}[5m])) / 2.5 > on (a) n unless abs(o{}) > 6 * 3600");
    let x = ("x".to_owned(), "=".to_owned(), "1".to_owned());
    let y = ("y".to_owned(), "!~".to_owned(), "a|b".to_owned());
    assert_eq!(asked.metrics, [("m_total".into(), vec![x, y]), ("n".into(), vec![]), ("o".into(), vec![])]);
    assert_eq!(asked.grouped, ["a", "le"].map(String::from).into());
}

fn dashboard() -> Vec<Query> {
    let text = std::fs::read_to_string(root().join("config/deploy/grafana/regrant.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row");
    let mut queries = Vec::new();
    for panel in panels {
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty() && panel["description"].is_string(), "{panel}");
        queries.extend(targets.iter().map(|target| Query {
            whose: panel["title"].as_str().unwrap().to_owned(),
            text: target["expr"].as_str().unwrap().replace("$__rate_interval", "5m").replace("$instance", ".*"),
            shown: within(target["legendFormat"].as_str().unwrap(), "{{", "}}"),
        }));
    }
    queries
}

/// What stands between two marks, each time.
fn within(text: &str, open: &str, close: &str) -> BTreeSet<String> {
    let parts = text.split(open).skip(1).filter_map(|part| part.split_once(close));
    parts.map(|(inner, _)| inner.trim().to_owned()).collect()
}

/// By hand: no other test needs a reader of YAML.
fn alerts() -> Vec<Query> {
    let text = std::fs::read_to_string(root().join("config/deploy/prometheus/alerts.yml")).unwrap();
    let alerts = text.split("- alert: ").skip(1).map(|alert| {
        let name = alert.lines().next().unwrap().to_owned();
        let expr = alert.split_once("expr: ").unwrap().1;
        let is_next = |line: &str| line.trim_start().starts_with("for:") || line.trim_start().starts_with("labels:");
        let expr: Vec<&str> =
            expr.lines().take_while(|line| !is_next(line)).map(|line| line.trim_matches([' ', '|'])).collect();
        let labels = within(alert, "{{ $labels.", "}}");
        assert!(
            alert.contains("severity: ") && alert.contains("summary: ") && alert.contains("description: "),
            "{alert}"
        );
        Query { whose: name, text: expr.join(" ").trim().to_owned(), shown: labels }
    });
    alerts.collect()
}

/// What is wrong with a query, if anything.
fn faults(query: &Query, told: &Exposition) -> Vec<String> {
    let asked = read(&query.text);
    let mut faults = Vec::new();
    let mut known: BTreeSet<&str> = ADDED.into();
    for (name, conditions) in asked.metrics.iter().filter(|(name, _)| name != "up") {
        let Some(series) = told.samples.get(name) else {
            faults.push(format!("{}: there is no {name}", query.whose));
            continue;
        };
        known.extend(series.iter().flat_map(BTreeMap::keys).map(String::as_str));
        for (label, operator, value) in conditions {
            let holds = |series: &BTreeMap<String, String>| match operator.as_str() {
                "=" => series.get(label) == Some(value),
                _ => series.contains_key(label),
            };
            if !ADDED.contains(&label.as_str()) && !series.iter().any(holds) {
                faults.push(format!("{}: {name} has no {label}{operator}{value:?}", query.whose));
            }
        }
    }
    let odd = asked.grouped.iter().chain(&query.shown).filter(|label| !known.contains(label.as_str()));
    faults.extend(odd.map(|label| format!("{}: nothing has a label {label}", query.whose)));
    faults
}

#[tokio::test(flavor = "multi_thread")]
async fn every_query_and_alert_asks_for_what_is_told() {
    let (_home, service, url) = busy().await;
    let told = page_of(&service, &url).await;
    let queries = [dashboard(), alerts()];
    assert!(queries[0].len() >= 25 && queries[1].len() >= 10);
    let faults: Vec<_> = queries.iter().flatten().flat_map(|query| faults(query, &told)).collect();
    assert!(faults.is_empty(), "{faults:#?}");

    let wrong = |text: &str, shown: &[&str]| {
        let shown = shown.iter().map(|label| (*label).to_owned()).collect();
        self::faults(&Query { whose: "x".into(), text: text.into(), shown }, &told).len()
    };
    assert_eq!(wrong("sum(regrant_refreshes_total{outcome=\"rotated\"})", &["outcome"]), 0);
    assert_eq!(wrong("sum(regrant_refreshes_total{outcome=\"rotten\"})", &[]), 1);
    assert_eq!(wrong("sum(regrant_refreshes_total{kind=~\".*\"})", &[]), 1);
    assert_eq!(wrong("sum by (kind) (regrant_refreshes_total)", &[]), 1);
    assert_eq!(wrong("sum(regrant_refreshes)", &[]), 1);
    assert_eq!(wrong("sum(regrant_refreshes_total)", &["kind"]), 1);
}

#[test]
fn promtool_reads_every_query_every_alert_and_the_sample_of_a_configuration() {
    let folder = root().join("config/deploy/prometheus");
    let checked = promtool(&["check", "config", folder.join("prometheus.yml").to_str().unwrap()], "");
    assert!(checked.contains(&format!("{} rules found", alerts().len())), "{checked}");

    // A query is read where it is the expression of a rule.
    let home = TempDir::new().unwrap();
    let rules: Vec<_> = dashboard()
        .iter()
        .enumerate()
        .map(|(at, query)| serde_json::json!({ "record": format!("panel:{at}"), "expr": query.text }))
        .collect();
    let file = home.path().join("panels.json");
    // What is JSON is YAML.
    let text = serde_json::json!({ "groups": [{ "name": "panels", "rules": rules }] }).to_string();
    std::fs::write(&file, text).unwrap();
    let checked = promtool(&["check", "rules", file.to_str().unwrap()], "");
    assert!(checked.contains(&format!("{} rules found", dashboard().len())), "{checked}");
}

/// What `promtool` says; it must be content.
pub(super) fn promtool(args: &[&str], stdin: &str) -> String {
    let beside = std::env::current_exe().unwrap().ancestors().nth(3).unwrap().join("tools/promtool");
    let program = if beside.is_file() { beside } else { PathBuf::from("promtool") };
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("tests/install-servers promtool");
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    assert!(output.status.success(), "promtool {args:?}: {said}");
    said
}
