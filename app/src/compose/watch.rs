//! What is measured of a composition, and how what runs beside its requests tells.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use regrant_adapters::inbound::http::{Answered, Measured, Text};
use regrant_adapters::outbound::metrics::{Connection, Kind, Metrics, Reading, SweepRun};
use regrant_adapters::outbound::passwords;
use regrant_adapters::outbound::sql::Connections;
use regrant_adapters::outbound::system::{SystemClock, system_now};

use super::store::{Open, OpenDatabase};
use crate::settings::{AccessFormat, Settings};

/// Where it is told. Clones tell the same metrics.
#[derive(Clone)]
pub struct Watch(Arc<Metrics>);

impl Watch {
    pub(super) fn new() -> Self {
        let metrics = Metrics::new(env!("CARGO_PKG_VERSION"));
        let started = seconds(system_now().millis());
        let start =
            Reading::new(Kind::Gauge, "process_start_time_seconds", "When the process began to serve, since 1970");
        metrics.add([start.with(&[], move || Some(started))]);
        Self(Arc::new(metrics))
    }

    pub(super) const fn metrics(&self) -> &Arc<Metrics> {
        &self.0
    }

    /// A connection was opened, at the listener `public` or `admin`; it is open until this is dropped.
    pub fn connection(&self, listener: &'static str) -> Connection {
        self.0.connection(listener)
    }

    /// A sweep came to its end, or was cut short.
    pub fn swept(&self, run: SweepRun) {
        self.0.swept(run, system_now());
    }

    /// In both text formats.
    pub(super) fn measured(&self) -> Measured {
        let (classic, open) = (self.0.clone(), self.0.clone());
        Measured {
            classic: Text { content_type: Metrics::CLASSIC_CONTENT_TYPE, text: Arc::new(move || classic.classic()) },
            open: Text { content_type: Metrics::OPEN_CONTENT_TYPE, text: Arc::new(move || open.open()) },
        }
    }

    /// For the service, to be told of every answer; of what takes no hash, `hashing` is told, too.
    pub(super) fn answers(&self, hashing: Arc<passwords::Load>) -> Arc<dyn Fn(&Answered<'_>) + Send + Sync> {
        let metrics = self.0.clone();
        Arc::new(move |answered| {
            let Answered { route, method, status, took, is_usual } = *answered;
            metrics.answered(route, method, status, took);
            if is_usual {
                hashing.answered_elsewhere();
            }
        })
    }

    /// From now on, this store's pools and queues are looked at.
    pub(super) fn store(&self, store: &Open) {
        let mut connections =
            Reading::new(Kind::Gauge, "regrant_store_connections", "Connections of a pool to a store, by what they do");
        let mut waiting = Reading::new(
            Kind::Gauge,
            "regrant_store_waiting_writes",
            "Writes that wait to be taken into a batch or commit",
        );
        match &store.database {
            OpenDatabase::Memory(_) => {}
            OpenDatabase::Sqlite(store) => {
                let (pool, queue) = (store.clone(), store.clone());
                connections = of_pool(connections, "sqlite", move || pool.connections());
                waiting = waiting.with(&[("store", "sqlite")], move || count(queue.waiting()));
            }
            OpenDatabase::Postgres(store) => {
                let (pool, queue) = (store.clone(), store.clone());
                connections = of_pool(connections, "postgres", move || pool.connections());
                waiting = waiting.with(&[("store", "postgres")], move || count(queue.waiting()));
            }
        }
        if let Some(redis) = &store.redis {
            let queue = redis.clone();
            waiting = waiting.with(&[("store", "redis")], move || queue.waiting().and_then(count));
        }
        self.0.add([connections, waiting]);
    }

    /// From now on, the queue of passwords is looked at.
    pub(super) fn passwords(&self, load: &Arc<passwords::Load>) {
        let (waiting, running, refused) = (load.clone(), load.clone(), load.clone());
        let now =
            Reading::new(Kind::Gauge, "regrant_password_hashes", "Passwords that are being hashed or wait for it")
                .with(&[("state", "waiting")], move || count(waiting.waiting()))
                .with(&[("state", "running")], move || count(running.running()));
        let ever = Reading::new(
            Kind::Counter,
            "regrant_password_hashes_refused",
            "Passwords that were not hashed because too many were waiting",
        );
        self.0.add([now, ever.with(&[], move || i64::try_from(refused.refused()).ok().map(whole))]);
    }

    /// From now on, the clock is looked at, which follows the store's.
    pub(super) fn clock(&self, clock: Arc<SystemClock>) {
        let skew = Reading::new(
            Kind::Gauge,
            "regrant_clock_skew_seconds",
            "By how much the store's clock is ahead of this machine's, and is followed",
        );
        self.0.add([skew.with(&[], move || Some(seconds(clock.offset_millis())))]);
    }

    /// The store's clock could not be read.
    pub(super) fn clock_check_failed(&self) {
        self.0.clock_check_failed();
    }

    /// From now on, the files of the keys are looked at.
    pub(super) fn keys(&self, settings: &Settings) {
        let signing = matches!(settings.access_token.format, AccessFormat::Jwt(_));
        let mut reading = Reading::new(
            Kind::Gauge,
            "regrant_key_file_modified_timestamp_seconds",
            "When the file with a key was last written, since 1970",
        );
        let files = [("signing", &settings.keys.signing_key, signing), ("token", &settings.keys.token_key, true)];
        for (key, file, _) in files.into_iter().filter(|(_, _, used)| *used) {
            let path = file.path.clone();
            reading = reading.with(&[("key", key)], move || modified(&path));
        }
        self.0.add([reading]);
    }
}

fn of_pool(
    reading: Reading,
    store: &'static str,
    look: impl Fn() -> Connections + Clone + Send + Sync + 'static,
) -> Reading {
    let busy = look.clone();
    reading
        .with(&[("store", store), ("state", "in_use")], move || count(busy().in_use))
        .with(&[("store", store), ("state", "idle")], move || count(look().idle))
}

fn modified(path: &PathBuf) -> Option<f64> {
    let since_1970 = std::fs::metadata(path).ok()?.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(since_1970.as_secs_f64())
}

fn count(number: usize) -> Option<f64> {
    i64::try_from(number).ok().map(whole)
}

fn seconds(millis: i64) -> f64 {
    whole(millis) / 1000.0
}

#[expect(clippy::cast_precision_loss, reason = "a sample has no more digits to give")]
const fn whole(number: i64) -> f64 {
    number as f64
}
