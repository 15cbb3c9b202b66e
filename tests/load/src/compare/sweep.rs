//! Forgetting what is over, beside refreshes. (Redis forgets by itself.)

use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::contests::{CONNECTIONS, Ours};
use super::ground::{Ground, Load, Process, SEED, Store};
use super::table::{Entry, Goal, Run, grouped};
use crate::drive::{Outcome, Work};
use crate::pace::Pace;
use crate::seed::Seed;
use crate::{Failure, output};

/// Refreshes a second beside it.
const BESIDE: f64 = 100.0;
/// How many sessions are over: a fifth of what --scale says, or so many.
const PART_OF_SCALE: u64 = 5;
const USUAL: u64 = 100_000;
/// Two months until such a session is over, and one more until it may be forgotten, are past.
const IDLE: Duration = Duration::from_hours(24 * 100);
/// What the service says when a sweep has come to its end, and of how many.
const SWEPT: &str = "forgot sessions that were over";
const REMOVED: &str = "removed=";
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// However short the sweep is, something is measured.
const AT_LEAST: Duration = Duration::from_secs(1);
const NO_SWEEP: &[(&str, &str)] = &[("REGRANT__SWEEP__EVERY", "0s")];

/// The p99 of refreshes beside a sweep ÷ without, and how fast it sweeps.
pub(super) async fn hold(ground: &Ground, store: Store) -> Result<Vec<Entry>, Failure> {
    let rows = ground.options.scale.map_or(USUAL, |scale| scale / PART_OF_SCALE).max(1);
    let live = Seed::new(SEED, ground.options.sessions.max(CONNECTIONS));
    let deployment = ground.deploy(&format!("sweep-{}", store.name()), store, None).await?;
    let mut ours = Ours::of(ground, deployment, live.clone())?;
    let (mut runs, mut rates) = (Vec::new(), Vec::new());
    for run in 1..=ground.options.runs {
        ours.stop();
        let over = Seed { idle: IDLE, ..Seed::new(&format!("over-{run}"), rows) };
        ours.deployment.fill(&over).await?;
        if run == 1 {
            // Not before: many are loaded at once only where there is nothing yet.
            ours.deployment.fill(&live).await?;
        }
        ours.start(NO_SWEEP)?;
        let floor = ground.load(load(&ours)?).await?.measured.latency.p99;
        ours.stop();
        // A service sweeps when it starts.
        ours.start(&[])?;
        let (outcome, took) = beside(ground, &ours, rows).await?;
        let rate = rows as f64 / took.as_secs_f64();
        output::note(format_args!("  {rate:.0} sessions a second forgotten"));
        runs.push(Run { floor: Some(floor), ours: outcome.measured.latency.p99, outcome: Some(outcome) });
        rates.push(Run { floor: None, ours: rate, outcome: None });
    }
    ours.remove().await?;
    let rows = grouped(rows);
    let what =
        format!("p99 of 100 refreshes a second beside a sweep of {rows} sessions that are over ÷ without, {store}");
    let speed = format!("sessions that a sweep of {rows} forgets, beside 100 refreshes a second, {store}");
    Ok(vec![
        Entry::new(format!("sweep-{}", store.name()), what, Goal::AtMost(2.0), "ms", runs),
        Entry::new(format!("sweep-rate-{}", store.name()), speed, Goal::None, "/s", rates),
    ])
}

fn load<'a>(ours: &'a Ours<'_>) -> Result<Load<'a>, Failure> {
    Ok(Load { pace: Pace::Open(BESIDE), ..ours.load(Work::Refresh, CONNECTIONS)? })
}

/// Refreshes until the sweep is done; how long that took.
async fn beside(ground: &Ground, ours: &Ours<'_>, rows: u64) -> Result<(Outcome, Duration), Failure> {
    let (ended, until) = watch::channel(false);
    let not_before = tokio::time::Instant::now() + ground.warm_up() + AT_LEAST;
    let watch = async {
        let swept = swept(ours.process()?, rows).await;
        tokio::time::sleep_until(not_before).await;
        // Whatever came of it, the load is to end; an error means that it has.
        let _ = ended.send(true);
        swept
    };
    let (outcome, took) = tokio::join!(ground.load(Load { until: Some(until), ..load(ours)? }), watch);
    Ok((outcome?, took?))
}

/// Waits until the service says so.
async fn swept(process: &Process, rows: u64) -> Result<Duration, Failure> {
    let begun = Instant::now();
    let mut read = 0;
    loop {
        // Each request is in it.
        let said = process.said_after(read)?;
        read += said.len() as u64;
        if let Some(line) = said.lines().find(|line| line.contains(SWEPT)) {
            let took = begun.elapsed() + process.started_after;
            let removed = removed(line).ok_or("the service does not tell how many it has forgotten")?;
            return if removed == rows { Ok(took) } else { Err(format!("of {rows} sessions {removed} went").into()) };
        }
        if begun.elapsed() > super::ground::LONGEST {
            return Err("the sweep does not end".into());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn removed(line: &str) -> Option<u64> {
    let digits = line.split_once(REMOVED)?.1;
    digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_tells_how_many_it_has_forgotten() {
        assert_eq!(removed("… INFO … forgot sessions that were over for longer removed=4000"), Some(4000));
        assert_eq!(removed("removed=12 more=3"), Some(12));
        assert_eq!(removed("forgot"), None);
    }
}
