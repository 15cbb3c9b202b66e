//! Searching a world to its end.

use std::fmt;
use std::time::{Duration, Instant};

use stateright::{Checker, HasDiscoveries, Model, Path};

use crate::state::State;
use crate::step::Event;
use crate::world::World;

/// What a search came to.
#[derive(Debug)]
pub struct Report {
    /// Which world.
    pub world: &'static str,
    /// Different states that were reached.
    pub states: usize,
    /// Steps to the furthest of them.
    pub depth: usize,
    /// How long it took.
    pub took: Duration,
    /// What happened how often.
    pub seen: Vec<(&'static str, u64)>,
    /// A broken promise, if there is one.
    pub broken: Option<CounterExample>,
}

/// A shortest way to a broken promise.
#[derive(Debug)]
pub struct CounterExample {
    /// Which promise.
    pub promise: &'static str,
    /// What happened, and the state that it led to.
    pub steps: Vec<(Event, State)>,
}

/// Searches every state of a world, breadth first. With one thread, a counter-example is a shortest one.
pub fn search(world: &World, threads: usize) -> Report {
    let start = Instant::now();
    let mut report = search_below(world, threads, None);
    let whole = report.states;
    // The checker reports the last counter-example of a block; ask for shorter ones until there is none.
    while let Some(found) = &report.broken {
        let shorter = search_below(world, threads, Some(found.steps.len() + 1));
        if shorter.broken.is_none() {
            break;
        }
        report = shorter;
    }
    Report { took: start.elapsed(), states: whole, ..report }
}

fn search_below(world: &World, threads: usize, depth: Option<usize>) -> Report {
    let mut builder = world.clone().checker().threads(threads).finish_when(HasDiscoveries::AnyFailures);
    if let Some(depth) = depth {
        builder = builder.target_max_depth(depth);
    }
    let checker = builder.spawn_bfs().join();
    let found = checker.discoveries().into_iter().min_by_key(|(_, path)| path.clone().into_actions().len());
    Report {
        world: world.name,
        states: checker.unique_state_count(),
        depth: checker.max_depth().saturating_sub(1),
        took: Duration::ZERO,
        seen: world.seen.counts(),
        broken: found.map(|(promise, path)| CounterExample { promise, steps: steps(path) }),
    }
}

fn steps(path: Path<State, Event>) -> Vec<(Event, State)> {
    let mut after = path.clone().into_states().into_iter().skip(1);
    path.into_actions().into_iter().filter_map(|event| Some((event, after.next()?))).collect()
}

impl Report {
    /// How often this happened.
    pub fn seen(&self, what: &str) -> u64 {
        self.seen.iter().find(|(name, _)| *name == what).map_or(0, |(_, count)| *count)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { world, states, depth, took, .. } = self;
        write!(f, "{world:<48} {states:>9} states, {depth:>3} deep, {:>6.1} s;", took.as_secs_f64())?;
        for (what, count) in self.seen.iter().filter(|(_, count)| *count > 0) {
            write!(f, " {what} {count}")?;
        }
        match &self.broken {
            None => Ok(()),
            Some(found) => write!(f, "; BROKEN in {} steps: {}", found.steps.len(), found.promise),
        }
    }
}

impl fmt::Display for CounterExample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.promise)?;
        for (event, state) in &self.steps {
            let State { store, storage, tabs, requests, loot, .. } = state;
            let current = store.current;
            let recent: Vec<_> = store.recent.iter().map(|entry| (entry.generation, entry.age)).collect();
            writeln!(f, "  {event:?}")?;
            writeln!(f, "      store {current:?} recent {recent:?} ended {:?} storage {storage:?}", store.ended)?;
            writeln!(f, "      tabs {tabs:?} requests {requests:?} loot {loot:?}")?;
        }
        Ok(())
    }
}
