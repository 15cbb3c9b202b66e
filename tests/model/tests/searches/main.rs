//! No world of the quick catalogue breaks a promise; worlds beyond the documented limits do, and so does every set of
//! rules that is wrong on purpose.

#![expect(clippy::print_stdout, reason = "the sizes of the searches are part of the result")]

mod limits;
mod mutants;
mod promises;
mod wrong_rules;

use regrant_model::search::{Report, search};
use regrant_model::state::Fault;
use regrant_model::world::World;

/// Searches for a broken promise of these, and demands one.
fn must_break(world: World, promise: Fault) -> Report {
    let report = search(&world.held_to(&[promise]), 1);
    println!("{report}");
    let Some(found) = &report.broken else { panic!("{report}: no counter-example") };
    println!("{found}");
    assert!(found.promise.starts_with(&format!("{promise:?}:")), "{found}");
    report
}

/// Searches, and demands that nothing is found, and that all of this happened on the way.
fn must_hold(world: &World, happened: &[&str]) {
    let report = search(world, 1);
    println!("{report}");
    if let Some(found) = &report.broken {
        panic!("{report}\n{found}");
    }
    for what in happened {
        assert!(report.seen(what) > 0, "{report}: nothing was ever {what}");
    }
}
