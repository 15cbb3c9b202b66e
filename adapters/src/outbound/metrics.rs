//! What happened, counted, in the text format of Prometheus (`OpenMetrics`).
//!
//! Deliberately absent: labels without a bound. A reason is one of a fixed list; users, sessions and addresses are never
//! labels. Every series is there from the start, at zero, so that a rate over it is right from the first event.

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use regrant_domain::history::Origin;
use regrant_domain::limit::Limit;
use regrant_domain::ports::{Event, Events};
use regrant_domain::reason::{EndReason, Refusal};

type Label = [(&'static str, &'static str); 1];
type Counters = Family<Label, Counter>;

/// What a refresh of an authentic token can come to, but for a refusal.
const OUTCOMES: [&str; 5] = ["rotated", "replayed", "reissued", "healed", "refused"];

/// Counts what it is told.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    users_registered: Counter,
    users_deleted: Counter,
    passwords_changed: Counter,
    sign_ins: Counters,
    refreshes: Counters,
    refused: Counters,
    ended: Counters,
    history_lost: Counter,
    limited: Counters,
}

impl Default for Metrics {
    /// All at zero.
    fn default() -> Self {
        let mut registry = Registry::with_prefix("regrant");
        let mut one = |name, help: &str| {
            let counter = Counter::default();
            registry.register(name, help, counter.clone());
            counter
        };
        let users_registered = one("users_registered", "Users who signed up");
        let users_deleted = one("users_deleted", "Accounts that were deleted");
        let passwords_changed = one("passwords_changed", "Passwords that were changed");
        let history_lost = one("history_lost", "Entries of a history that could not be written");
        let mut by = |name, help: &str, label, values: &mut dyn Iterator<Item = &'static str>| {
            let counters = Counters::default();
            for value in values {
                drop(counters.get_or_create(&[(label, value)]));
            }
            registry.register(name, help, counters.clone());
            counters
        };
        Self {
            users_registered,
            users_deleted,
            passwords_changed,
            history_lost,
            sign_ins: by("sign_ins", "Sign-ins by outcome", "outcome", &mut ["opened", "failed"].into_iter()),
            refreshes: by(
                "refreshes",
                "Refreshes of authentic tokens by outcome",
                "outcome",
                &mut OUTCOMES.into_iter(),
            ),
            refused: by(
                "refresh_refusals",
                "Refused refreshes of authentic tokens by reason",
                "reason",
                &mut Refusal::all().map(Refusal::code),
            ),
            ended: by(
                "sessions_ended",
                "Sessions that ended by reason",
                "reason",
                &mut EndReason::ALL.into_iter().map(EndReason::code),
            ),
            limited: by(
                "limited_requests",
                "Requests that were refused because there were too many, by limit",
                "limit",
                &mut Limit::ALL.into_iter().map(Limit::code),
            ),
            registry,
        }
    }
}

impl Metrics {
    /// The content type of [`Metrics::text`].
    pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    /// Everything, as it is now.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    fn refresh(&self, outcome: &'static str) {
        self.refreshes.get_or_create(&[("outcome", outcome)]).inc();
    }
}

impl Events for Metrics {
    fn record(&self, event: Event, _: &Origin) {
        match event {
            Event::UserRegistered { .. } => drop(self.users_registered.inc()),
            Event::SessionOpened { .. } => drop(self.sign_ins.get_or_create(&[("outcome", "opened")]).inc()),
            Event::SignInFailed { .. } => drop(self.sign_ins.get_or_create(&[("outcome", "failed")]).inc()),
            Event::Rotated { .. } => self.refresh("rotated"),
            Event::Replayed { .. } => self.refresh("replayed"),
            Event::Reissued { .. } => self.refresh("reissued"),
            Event::Healed { .. } => self.refresh("healed"),
            Event::Refused { why, .. } => {
                self.refresh("refused");
                self.refused.get_or_create(&[("reason", why.code())]).inc();
            }
            Event::Ended { reason, .. } => drop(self.ended.get_or_create(&[("reason", reason.code())]).inc()),
            Event::PasswordChanged { .. } => drop(self.passwords_changed.inc()),
            Event::UserDeleted { .. } => drop(self.users_deleted.inc()),
            Event::HistoryLost { .. } => drop(self.history_lost.inc()),
            Event::Limited { limit } => drop(self.limited.get_or_create(&[("limit", limit.code())]).inc()),
        }
    }
}

#[cfg(test)]
mod tests {
    use regrant_domain::ids::SessionId;

    use super::*;

    const NOWHERE: Origin = Origin { ip: None, user_agent: None };

    fn value(metrics: &Metrics, series: &str) -> Option<u64> {
        let text = metrics.text();
        text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
    }

    #[test]
    fn every_reason_is_a_series_of_its_own_and_is_there_from_the_start() {
        let metrics = Metrics::default();
        for why in Refusal::all() {
            let series = format!("regrant_refresh_refusals_total{{reason=\"{}\"}}", why.code());
            assert_eq!(value(&metrics, &series), Some(0), "{series}");
            metrics.record(Event::Refused { session: None, why }, &NOWHERE);
            assert_eq!(value(&metrics, &series), Some(1), "{series}");
        }
        for reason in EndReason::ALL {
            let series = format!("regrant_sessions_ended_total{{reason=\"{}\"}}", reason.code());
            assert_eq!(value(&metrics, &series), Some(0), "{series}");
            metrics.record(Event::Ended { session: SessionId::from_bytes([1; 16]), reason }, &NOWHERE);
            assert_eq!(value(&metrics, &series), Some(1), "{series}");
        }
        for limit in Limit::ALL {
            let series = format!("regrant_limited_requests_total{{limit=\"{}\"}}", limit.code());
            assert_eq!(value(&metrics, &series), Some(0), "{series}");
            metrics.record(Event::Limited { limit }, &NOWHERE);
            assert_eq!(value(&metrics, &series), Some(1), "{series}");
        }
        let refused = u64::try_from(Refusal::all().count()).expect("few");
        assert_eq!(value(&metrics, "regrant_refreshes_total{outcome=\"refused\"}"), Some(refused));
    }

    #[test]
    fn nothing_that_grows_is_a_label() {
        let metrics = Metrics::default();
        let before = metrics.text().lines().count();
        for n in 0..100 {
            let session = SessionId::from_bytes([n; 16]);
            let from = Origin { ip: Some(format!("192.0.2.{n}")), user_agent: Some(format!("agent {n}")) };
            metrics.record(Event::Ended { session, reason: EndReason::SignedOut }, &from);
        }
        assert_eq!(metrics.text().lines().count(), before);
    }
}
