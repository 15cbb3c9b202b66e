//! What each operation of a store costs, seen from outside: the stores know nothing of it.
//!
//! Deliberately absent: what a store was asked about. A span has the names of the store and the operation, no key and no
//! hash.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use regrant_domain::history::Entry;
use regrant_domain::ids::{SessionId, UserId};
use regrant_domain::ports::{
    AddUserOutcome, End, EndAll, EndOutcome, HistoryRepository, NewSession, OpenOutcome, PasswordChange, PortError,
    RotateOutcome, Rotation, SessionKey, SessionRepository, Swept, UserRepository,
};
use regrant_domain::session::Snapshot;
use regrant_domain::time::Timestamp;
use regrant_domain::user::{Email, User};
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

use super::{Metrics, seconds};

/// The target of the spans of operations. They are for traces; a log that took them in would pay for each.
pub const STORE_SPANS: &str = "regrant::store";

/// In memory an operation takes microseconds, on a disk a millisecond, and a time-out is 5 s.
const BOUNDS: [f64; 14] = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

type Labels = [(&'static str, &'static str); 3];
type Durations = Family<Labels, Histogram, fn() -> Histogram>;
type Failures = Family<[(&'static str, &'static str); 2], Counter>;

/// All operations of all stores.
#[derive(Debug, Clone)]
pub(super) struct Timings {
    durations: Durations,
    failures: Failures,
}

impl Timings {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let durations = Family::new_with_constructor((|| seconds(&BOUNDS)) as fn() -> Histogram);
        registry.register("store_operation_duration_seconds", "From asking a store to its answer", durations.clone());
        let failures = Failures::default();
        for store in ["sessions", "users", "history"] {
            for kind in ["unavailable", "corrupt"] {
                drop(failures.get_or_create(&[("store", store), ("kind", kind)]));
            }
        }
        registry.register(
            "store_failures",
            "Operations that could not find out, or could not be done",
            failures.clone(),
        );
        Self { durations, failures }
    }

    fn of(&self, store: &'static str, operation: &'static str) -> Timed {
        let labels = |outcome| [("store", store), ("operation", operation), ("outcome", outcome)];
        let name = format!("{store} {operation}");
        Timed { store, operation, name, ok: self.durations.get_or_create_owned(&labels("ok")), all: self.clone() }
    }

    #[cold]
    fn failed(&self, timed: &Timed, error: &PortError, took: Duration) {
        let kind = match error {
            PortError::Unavailable { .. } => "unavailable",
            PortError::Corrupt { .. } => "corrupt",
        };
        let labels = [("store", timed.store), ("operation", timed.operation), ("outcome", kind)];
        self.durations.get_or_create(&labels).observe(took.as_secs_f64());
        self.failures.get_or_create(&[("store", timed.store), ("kind", kind)]).inc();
    }
}

/// One operation of one store.
struct Timed {
    store: &'static str,
    operation: &'static str,
    /// Both, for spans.
    name: String,
    ok: Histogram,
    all: Timings,
}

impl Timed {
    async fn watch<T>(&self, work: impl Future<Output = Result<T, PortError>>) -> Result<T, PortError> {
        let span = self.span();
        let started = Instant::now();
        let outcome = work.instrument(span.clone()).await;
        let took = started.elapsed();
        match &outcome {
            Ok(_) => self.ok.observe(took.as_secs_f64()),
            Err(error) => {
                span.record("otel.status_code", "ERROR");
                self.all.failed(self, error, took);
            }
        }
        outcome
    }

    fn span(&self) -> Span {
        tracing::info_span!(
            target: STORE_SPANS, "store", otel.name = self.name, store = self.store, operation = self.operation,
            otel.status_code = Empty
        )
    }
}

/// A port, and one [`Timed`] for each of its operations.
macro_rules! watched {
    ($name:ident: $port:ident as $store:literal { $($operation:ident),* }) => {
        struct $name {
            port: Arc<dyn $port>,
            $($operation: Timed),*
        }

        impl $name {
            fn new(port: Arc<dyn $port>, timings: &Timings) -> Self {
                Self { port, $($operation: timings.of($store, stringify!($operation))),* }
            }
        }
    };
}

watched!(Sessions: SessionRepository as "sessions" { open, find, rotate, end, end_all, list, forget_all, sweep });
watched!(Users: UserRepository as "users" { add, find, find_by_email, set_password, advance_epoch, delete });
watched!(History: HistoryRepository as "history" { append, of_session, of_account, forget_all, sweep });

impl Metrics {
    /// The same sessions, timed.
    pub fn watched_sessions(&self, port: Arc<dyn SessionRepository>) -> Arc<dyn SessionRepository> {
        Arc::new(Sessions::new(port, &self.timings))
    }

    /// The same users, timed.
    pub fn watched_users(&self, port: Arc<dyn UserRepository>) -> Arc<dyn UserRepository> {
        Arc::new(Users::new(port, &self.timings))
    }

    /// The same history, timed.
    pub fn watched_history(&self, port: Arc<dyn HistoryRepository>) -> Arc<dyn HistoryRepository> {
        Arc::new(History::new(port, &self.timings))
    }
}

#[async_trait]
impl SessionRepository for Sessions {
    async fn open(&self, new: NewSession) -> Result<OpenOutcome, PortError> {
        self.open.watch(self.port.open(new)).await
    }

    async fn find(&self, key: &SessionKey) -> Result<Option<Snapshot>, PortError> {
        self.find.watch(self.port.find(key)).await
    }

    async fn rotate(&self, rotation: Rotation) -> Result<RotateOutcome, PortError> {
        self.rotate.watch(self.port.rotate(rotation)).await
    }

    async fn end(&self, end: End) -> Result<EndOutcome, PortError> {
        self.end.watch(self.port.end(end)).await
    }

    async fn end_all(&self, end: EndAll) -> Result<Vec<SessionId>, PortError> {
        self.end_all.watch(self.port.end_all(end)).await
    }

    async fn list(&self, user: UserId) -> Result<Vec<Snapshot>, PortError> {
        self.list.watch(self.port.list(user)).await
    }

    async fn forget_all(&self, user: UserId) -> Result<(), PortError> {
        self.forget_all.watch(self.port.forget_all(user)).await
    }

    async fn sweep(&self, cutoff: Timestamp, limit: u32) -> Result<Swept, PortError> {
        self.sweep.watch(self.port.sweep(cutoff, limit)).await
    }
}

#[async_trait]
impl UserRepository for Users {
    async fn add(&self, user: User) -> Result<AddUserOutcome, PortError> {
        self.add.watch(self.port.add(user)).await
    }

    async fn find(&self, id: UserId) -> Result<Option<User>, PortError> {
        self.find.watch(self.port.find(id)).await
    }

    async fn find_by_email(&self, email: &Email) -> Result<Option<User>, PortError> {
        self.find_by_email.watch(self.port.find_by_email(email)).await
    }

    async fn set_password(&self, change: PasswordChange) -> Result<bool, PortError> {
        self.set_password.watch(self.port.set_password(change)).await
    }

    async fn advance_epoch(&self, id: UserId, now: Timestamp) -> Result<bool, PortError> {
        self.advance_epoch.watch(self.port.advance_epoch(id, now)).await
    }

    async fn delete(&self, id: UserId) -> Result<bool, PortError> {
        self.delete.watch(self.port.delete(id)).await
    }
}

#[async_trait]
impl HistoryRepository for History {
    async fn append(&self, entries: Vec<Entry>) -> Result<(), PortError> {
        self.append.watch(self.port.append(entries)).await
    }

    async fn of_session(&self, session: SessionId) -> Result<Vec<Entry>, PortError> {
        self.of_session.watch(self.port.of_session(session)).await
    }

    async fn of_account(&self, user: UserId) -> Result<Vec<Entry>, PortError> {
        self.of_account.watch(self.port.of_account(user)).await
    }

    async fn forget_all(&self, user: UserId) -> Result<(), PortError> {
        self.forget_all.watch(self.port.forget_all(user)).await
    }

    async fn sweep(&self, cutoff: Timestamp, limit: u32) -> Result<Swept, PortError> {
        self.sweep.watch(self.port.sweep(cutoff, limit)).await
    }
}
