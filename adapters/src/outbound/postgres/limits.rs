//! [`RateLimiter`] on the `rate_limits` table: one statement for each take.
//!
//! The table is unlogged: its rows change at every sign-in and matter for minutes. After a crash, or on a promoted standby, it
//! is empty, which means that every bucket is full; for that, no sign-in waits for a disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use regrant_domain::limit::Take;
use regrant_domain::ports::{PortError, RateLimiter, Taken};

use super::work::{Core, Statement};
use super::{PostgresStore, corrupt, rows};

/// `$1` the key, `$2` now, `$3` what is taken, `$4` what the bucket holds; all in microseconds. How long to wait is read
/// from the statement's snapshot, which may be a moment older than the row that refused; then it is the time of one drop.
const TAKE: &str = "\
WITH taken AS (
    INSERT INTO rate_limits AS b (key, full_at) VALUES ($1, $2 + $3)
    ON CONFLICT (key) DO UPDATE SET full_at = $2 + least(greatest(b.full_at - $2, 0), $4) + $3
    WHERE least(greatest(b.full_at - $2, 0), $4) + $3 <= $4
    RETURNING key
)
SELECT CASE WHEN EXISTS (SELECT FROM taken) THEN 0 ELSE coalesce(
    (SELECT greatest(least(greatest(full_at - $2, 0), $4) + $3 - $4, 0) FROM rate_limits WHERE key = $1), 0
) END AS wait, EXISTS (SELECT FROM taken) AS allowed";

const GIVE_BACK: &str = "\
UPDATE rate_limits SET full_at = CASE WHEN least(greatest(full_at - $2, 0), $4) <= $3 THEN 0
    ELSE $2 + least(greatest(full_at - $2, 0), $4) - $3 END WHERE key = $1";

/// Passes by what somebody is taking from.
const FORGET: &str = "\
WITH full_again AS MATERIALIZED (
    SELECT key FROM rate_limits WHERE full_at <= $1 LIMIT 10000 FOR UPDATE SKIP LOCKED
)
DELETE FROM rate_limits b USING full_again WHERE b.key = full_again.key";

/// How often full buckets are forgotten, by each process, while there are takes.
const EVERY: Duration = Duration::from_mins(1);

/// When full buckets are next forgotten, in milliseconds since 1970.
#[derive(Debug, Clone, Default)]
pub(super) struct Tidying(Arc<AtomicI64>);

impl Tidying {
    /// Beside the take, where it is time.
    fn begin(&self, core: &Core, take: &Take) {
        let (now, due) = (take.now.millis(), self.0.load(Ordering::Relaxed));
        let next = take.now.plus(EVERY).millis();
        // A clock that stepped back would put it off for as long.
        let is_due = now >= due || due > next;
        if is_due && self.0.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            // A while longer than they matter: clocks differ a little.
            let cutoff = Take { now: take.now.minus(EVERY), ..*take }.now_micros();
            let (core, forget) = (core.clone(), Statement::write(FORGET).bind(cutoff));
            tokio::spawn(async move {
                if let Err(error) = core.run(forget).await {
                    tracing::debug!(%error, "full buckets could not be forgotten; the next try is in a minute");
                }
            });
        }
    }
}

fn on_bucket(sql: &'static str, take: &Take) -> Statement {
    let statement = Statement::write(sql).bind(take.key.as_bytes().to_vec()).bind(take.now_micros());
    statement.bind(take.amount_micros()).bind(take.depth_micros())
}

#[async_trait]
impl RateLimiter for PostgresStore {
    async fn take(&self, take: Take) -> Result<Taken, PortError> {
        let answer = self.run(on_bucket(TAKE, &take)).await?;
        self.tidying.begin(&self.core, &take);
        let [row] = answer.as_slice() else { return Err(corrupt("a take has another answer than one row")) };
        if rows::get(row, "allowed")? {
            return Ok(Taken::Allowed);
        }
        let wait: i64 = rows::get(row, "wait")?;
        let wait = if wait > 0 { wait } else { take.amount_micros() };
        Ok(Taken::Refused { wait: Duration::from_micros(u64::try_from(wait).map_err(corrupt)?) })
    }

    async fn give_back(&self, take: Take) -> Result<(), PortError> {
        self.run(on_bucket(GIVE_BACK, &take)).await.map(drop)
    }
}
