//! The worlds in which every promise must hold.

use regrant_domain::policy::{AfterWindow, OnRollback};

use crate::state::NEVER;
use crate::world::{Setup, World};

/// How large the worlds are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// Together, seconds to a minute.
    Quick,
    /// Together, many minutes.
    Large,
}

/// Every world of this size.
pub fn worlds(size: Size) -> Vec<World> {
    let mut all = honest(size);
    all.extend(rolled_back(size));
    all.extend(stolen(size));
    all
}

/// Nobody but the client, who keeps the contract: whatever the network does, it is never signed out.
fn honest(size: Size) -> Vec<World> {
    let large = size == Size::Large;
    let more = usize::from(large);
    let one = Setup { requests: 3 + more, answers: 2, lag: 1, ..Setup::default() };
    let two = Setup { tabs: 2, requests: 2 + more, answers: 1 + more, lag: 1, ..Setup::default() };
    let expiry = Setup { ttl: 3, max_age: if large { 6 } else { 4 }, reach: 2, sign_out: true, ..two.clone() };
    vec![
        World::new("one tab", one.clone()),
        World::new("one tab, window of two", Setup { window: 2, ..one.clone() }),
        World::new("one tab, strict", Setup { strict: true, ..one.clone() }),
        World::new("one tab, no window", Setup { window: 0, ..one.clone() }),
        World::new("one tab, reissue", Setup { after_window: AfterWindow::Reissue, ..one.clone() }),
        World::new("one tab, signing out", Setup { sign_out: true, ..one.clone() }),
        World::new("two tabs", two.clone()),
        World::new("two tabs, strict", Setup { strict: true, ..two.clone() }),
        World::new("two tabs, reissue", Setup { after_window: AfterWindow::Reissue, ..two.clone() }),
        World::new("two tabs, no keys, prompt", Setup { keys: false, prompt: true, window: 2, ..two }),
        World::new("two tabs, expiry", Setup { requests: 2, answers: 1, ..expiry }),
        World::new(
            "one tab, no keys, reissue, one request at a time",
            Setup { keys: false, after_window: AfterWindow::Reissue, reach: 3, ..one_at_a_time() },
        ),
    ]
}

/// One request at a time: the next is sent when the one before is known to be answered or lost.
fn one_at_a_time() -> Setup {
    Setup { requests: 1, answers: 0, duplicates: false, ..Setup::default() }
}

/// The store loses its last writes.
fn rolled_back(size: Size) -> Vec<World> {
    let rollbacks = if size == Size::Large { 3 } else { 2 };
    let heal = Setup { rollbacks, ..one_at_a_time() };
    let thief = Setup { rollbacks: rollbacks - 1, loot: 1, reach: 3, never_signed_out: false, ..heal.clone() };
    vec![
        World::new("rollback, heal", heal.clone()),
        World::new("rollback, heal, strict", Setup { strict: true, ..heal.clone() }),
        World::new(
            "rollback, heal, reissue, no keys",
            Setup { keys: false, after_window: AfterWindow::Reissue, ..heal.clone() },
        ),
        World::new("rollback, heal, delayed answers", Setup { answers: 1, ..heal.clone() }),
        World::new("rollback, end", Setup { on_rollback: OnRollback::End, ..heal }),
        World::new("rollback, heal, a thief", thief.clone()),
        World::new("rollback, heal, a thief, strict", Setup { strict: true, ..thief }),
    ]
}

/// A thief copies tokens whenever it likes. The client may be signed out: that is how the thief is seen.
fn stolen(size: Size) -> Vec<World> {
    let large = size == Size::Large;
    let (requests, reach) = if large { (2, 4) } else { (1, 3) };
    let thief = Setup { loot: 2, requests, reach, never_signed_out: false, ..Setup::default() };
    let tabs = Setup { tabs: 2, loot: 1, requests, ..thief.clone() };
    vec![
        World::new("a thief", thief.clone()),
        World::new("a thief, window of two", Setup { window: 2, ..thief.clone() }),
        World::new("a thief, strict", Setup { strict: true, ..thief.clone() }),
        World::new("a thief, no window", Setup { window: 0, ..thief.clone() }),
        World::new("a thief, no keys", Setup { keys: false, ..thief.clone() }),
        World::new("a thief, reissue", Setup { after_window: AfterWindow::Reissue, ..thief.clone() }),
        World::new("a thief with retry keys", Setup { loot_keys: true, ..thief.clone() }),
        World::new("a thief with retry keys, strict", Setup { loot_keys: true, strict: true, ..thief.clone() }),
        World::new(
            "a thief, signing out, expiry",
            Setup { sign_out: true, ttl: 3, max_age: if large { 6 } else { NEVER }, loot: 1, reach: 2, ..thief },
        ),
        World::new("a thief, two tabs", tabs.clone()),
        World::new("a storage each", Setup { own_storage: true, loot: 0, requests: 2, ..tabs.clone() }),
        World::new(
            "a storage each, strict",
            Setup { own_storage: true, loot: 0, requests: 2, strict: true, ..tabs.clone() },
        ),
        World::new(
            "a storage each, reissue",
            Setup { own_storage: true, loot: 0, after_window: AfterWindow::Reissue, ..tabs },
        ),
    ]
}
