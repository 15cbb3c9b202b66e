//! Many sessions against few.

use std::time::Instant;

use super::contests::{CONNECTIONS, Ours, by_turns, rate};
use super::ground::{Ground, SEED, Store};
use super::sizes;
use super::table::{Entry, Goal, Run, grouped};
use crate::Failure;
use crate::seed::Seed;

/// How many times fewer the few are.
const FEWER: u64 = 100;
/// Redis holds all of them in memory: so many times fewer.
const FEWER_IN_MEMORY: u64 = 5;

/// Refreshes at many sessions ÷ at a hundredth of them, and what a session takes.
pub(super) async fn hold(ground: &Ground, store: Store) -> Result<Vec<Entry>, Failure> {
    let asked = ground.options.scale.ok_or("say how many sessions with --scale")?;
    let many = if store == Store::Redis { asked / FEWER_IN_MEMORY } else { asked }.max(CONNECTIONS);
    let few = (many / FEWER).max(CONNECTIONS);
    let name = |which: &str| format!("scale-{which}-{}", store.name());
    let fewer = Ours::seeded(ground, store, &name("few"), seed(store, few)).await?;

    let deployment = ground.deploy(&name("many"), store, None).await?;
    let before = sizes::used(ground, &deployment, store).await?;
    let begun = Instant::now();
    deployment.fill(&seed(store, many)).await?;
    let took = begun.elapsed();
    let ours = Ours::of(ground, deployment, seed(store, many))?;
    let runs = by_turns(
        ground,
        async || Ok(fewer.refresh(CONNECTIONS).await?.measured.per_second),
        async || Ok(rate(ours.refresh(CONNECTIONS).await?)),
    )
    .await?;
    let used = sizes::settled(ground, &ours.deployment, store).await?.saturating_sub(before);
    ours.remove().await?;
    fewer.remove().await?;

    let (many, few, bytes) = (grouped(many), grouped(few), used as f64 / many as f64);
    let what = format!("refreshes on {store} with {many} sessions ÷ with {few}, 32 connections each, at random");
    let (counted, goal) = match store {
        Store::Postgres => ("tables and indexes", Goal::AtMost(600.0)),
        Store::Sqlite => ("the whole file, with the users", Goal::None),
        Store::Redis => ("memory of the server", Goal::AtMost(600.0)),
    };
    let size = format!("bytes per session of {many} on {store}: {counted} (loaded in {} s)", took.as_secs());
    let bytes = vec![Run { floor: None, ours: bytes, outcome: None }];
    Ok(vec![
        Entry::new(format!("scale-{}", store.name()), what, Goal::AtLeast(0.8), "/s", runs),
        Entry::new(format!("scale-size-{}", store.name()), size, goal, "bytes", bytes),
    ])
}

/// Sessions as they are after some refreshes; in Postgres as sign-ins leave them, since the room that a row grows into is
/// there from the beginning, and rows that were inserted full-grown would have it twice.
fn seed(store: Store, sessions: u64) -> Seed {
    let seed = Seed::new(SEED, sessions);
    if store == Store::Postgres { Seed { generation: 0, ..seed } } else { seed }
}
