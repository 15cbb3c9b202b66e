use regrant_domain::history::Origin;
use regrant_domain::ids::SessionId;
use regrant_domain::ports::{Event, Events as _, MockSessionRepository, PortError, SessionKey};
use regrant_domain::reason::{EndReason, Refusal};
use regrant_domain::time::Timestamp;
use std::time::Duration;

use super::*;

const NOWHERE: Origin = Origin { ip: None, user_agent: None };

fn value(metrics: &Metrics, series: &str) -> Option<u64> {
    let text = metrics.classic();
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

#[test]
fn every_reason_is_a_series_of_its_own_and_is_there_from_the_start() {
    let metrics = Metrics::new("1.2.3");
    for why in Refusal::all() {
        let series = format!("regrant_refresh_refusals_total{{reason=\"{}\"}}", why.code());
        assert_eq!(value(&metrics, &series), Some(0), "{series}");
        metrics.events().record(Event::Refused { session: None, why }, &NOWHERE);
        assert_eq!(value(&metrics, &series), Some(1), "{series}");
    }
    for reason in EndReason::ALL {
        let series = format!("regrant_sessions_ended_total{{reason=\"{}\"}}", reason.code());
        assert_eq!(value(&metrics, &series), Some(0), "{series}");
        metrics.events().record(Event::Ended { session: SessionId::from_bytes([1; 16]), reason }, &NOWHERE);
        assert_eq!(value(&metrics, &series), Some(1), "{series}");
    }
    let refused = u64::try_from(Refusal::all().count()).expect("few");
    assert_eq!(value(&metrics, "regrant_refreshes_total{outcome=\"refused\"}"), Some(refused));
}

#[test]
fn nothing_that_grows_is_a_label() {
    let metrics = Metrics::new("1.2.3");
    drop(metrics.connection("public"));
    let before = metrics.classic().lines().count();
    for n in 0..100 {
        let session = SessionId::from_bytes([n; 16]);
        let from = Origin { ip: Some(format!("192.0.2.{n}")), user_agent: Some(format!("agent {n}")) };
        metrics.events().record(Event::Ended { session, reason: EndReason::SignedOut }, &from);
    }
    assert_eq!(metrics.classic().lines().count(), before);
}

#[test]
fn a_connection_is_open_until_it_is_dropped() {
    let metrics = Metrics::new("1.2.3");
    let series = "regrant_open_connections{listener=\"public\"}";
    let first = metrics.connection("public");
    let second = metrics.connection("public");
    assert_eq!(value(&metrics, series), Some(2));
    drop(first);
    assert_eq!(value(&metrics, series), Some(1));
    drop(second);
    assert_eq!(value(&metrics, series), Some(0));
    assert_eq!(value(&metrics, "regrant_open_connections{listener=\"admin\"}"), Some(0));
}

#[test]
fn a_sweep_that_fails_leaves_the_time_of_the_last_that_did_not() {
    let metrics = Metrics::new("1.2.3");
    let run = SweepRun { removed: 3, took: Duration::from_secs(2), failed: false };
    metrics.swept(run, Timestamp::from_millis(5_000));
    metrics.swept(SweepRun { removed: 1, failed: true, ..run }, Timestamp::from_millis(9_000));
    let text = metrics.classic();
    for line in [
        "regrant_sweep_last_success_timestamp_seconds 5.0",
        "regrant_sweep_last_duration_seconds 2.0",
        "regrant_sweep_failures_total 1",
        "regrant_sweep_sessions_forgotten_total 4",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}

#[tokio::test]
async fn an_operation_is_timed_by_its_outcome_and_its_failure_is_counted() {
    let metrics = Metrics::new("1.2.3");
    let mut answers = vec![Err(PortError::corrupt("x", "y")), Err(PortError::unavailable("x", "y")), Ok(None)];
    let mut port = MockSessionRepository::new();
    port.expect_find().times(3).returning(move |_| answers.pop().expect("three"));
    let watched = metrics.watched_sessions(Arc::new(port));
    let key = SessionKey::Id(SessionId::from_bytes([1; 16]));
    assert!(watched.find(&key).await.is_ok());
    assert!(matches!(watched.find(&key).await, Err(PortError::Unavailable { .. })));
    assert!(matches!(watched.find(&key).await, Err(PortError::Corrupt { .. })));
    for outcome in ["ok", "unavailable", "corrupt"] {
        let labels = format!("{{store=\"sessions\",operation=\"find\",outcome=\"{outcome}\"}}");
        assert_eq!(value(&metrics, &format!("regrant_store_operation_duration_seconds_count{labels}")), Some(1));
    }
    for kind in ["unavailable", "corrupt"] {
        let series = format!("regrant_store_failures_total{{store=\"sessions\",kind=\"{kind}\"}}");
        assert_eq!(value(&metrics, &series), Some(1), "{series}");
    }
}

#[test]
fn a_reading_is_there_while_it_is_known() {
    let metrics = Metrics::new("1.2.3");
    let known = Arc::new(RwLock::new(None));
    let read = known.clone();
    let reading = Reading::new(Kind::Counter, "regrant_things", "Things");
    metrics.add([reading.with(&[("of", "mine")], move || *read.read().expect("not poisoned"))]);
    assert!(!metrics.classic().contains("regrant_things"));
    *known.write().expect("not poisoned") = Some(7.0);
    assert!(metrics.classic().contains("# TYPE regrant_things_total counter\nregrant_things_total{of=\"mine\"} 7.0\n"));
    assert!(metrics.open().contains("# TYPE regrant_things counter\nregrant_things_total{of=\"mine\"} 7.0\n"));
}

#[cfg(target_os = "linux")]
#[test]
fn the_process_is_measured() {
    let text = Metrics::new("1.2.3").classic();
    for name in ["resident_memory_bytes", "virtual_memory_bytes", "open_fds", "max_fds", "threads", "cpu_seconds_total"]
    {
        let series = format!("process_{name} ");
        let value = text.lines().find_map(|line| line.strip_prefix(&series)?.parse::<f64>().ok());
        assert!(value.is_some_and(|value| value >= 0.0), "{series}\n{text}");
    }
}
