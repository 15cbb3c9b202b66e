//! What the domain tells, counted.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use regrant_domain::history::Origin;
use regrant_domain::limit::Limit;
use regrant_domain::ports::{Event, Events};
use regrant_domain::reason::{EndReason, Refusal};

use super::Counters;

/// What a refresh of an authentic token can come to, but for a refusal.
const OUTCOMES: [&str; 5] = ["rotated", "replayed", "reissued", "healed", "refused"];

/// Counts events. Clones count together.
#[derive(Debug, Clone)]
pub struct EventCounters {
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

impl EventCounters {
    /// All at zero.
    pub(super) fn new(registry: &mut Registry) -> Self {
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
        }
    }

    fn refresh(&self, outcome: &'static str) {
        self.refreshes.get_or_create(&[("outcome", outcome)]).inc();
    }
}

impl Events for EventCounters {
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
