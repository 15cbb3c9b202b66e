//! Every set of rules that is wrong on purpose is caught, by the promise that it breaks.

use regrant_domain::policy::AfterWindow;
use regrant_model::state::Fault;
use regrant_model::world::{Server, Setup, World};

use crate::must_break;
use crate::wrong_rules::Wrong;

fn wrong(name: &'static str, rules: Wrong, setup: &Setup) -> World {
    World::with(name, setup.clone(), Box::new(rules), Server::Sound)
}

fn honest() -> Setup {
    Setup { tabs: 2, ..Setup::default() }
}

fn stolen() -> Setup {
    Setup { loot: 2, requests: 1, reach: 3, never_signed_out: false, ..Setup::default() }
}

#[test]
fn a_parent_that_is_accepted_without_a_time_limit_hides_a_thief() {
    must_break(wrong("mutant: parent for ever", Wrong::ParentForEver, &stolen()), Fault::I12);
}

#[test]
fn sibling_branches_give_two_ways_on_and_hide_a_thief() {
    for promise in [Fault::I1, Fault::I2] {
        must_break(wrong("mutant: sibling branches", Wrong::Siblings, &honest()), promise);
    }
    must_break(wrong("mutant: sibling branches, a thief", Wrong::Siblings, &stolen()), Fault::I12);
}

#[test]
fn rotating_again_within_the_window_kills_a_child_that_somebody_holds() {
    for promise in [Fault::I1, Fault::I2, Fault::I6] {
        must_break(wrong("mutant: rotates again", Wrong::RotatesAgain, &honest()), promise);
    }
}

#[test]
fn a_window_in_strict_mode_hides_a_thief() {
    let strict = Setup { strict: true, ..stolen() };
    must_break(wrong("mutant: strict, with window", Wrong::StrictWithWindow, &strict), Fault::I12);
}

#[test]
fn going_back_to_an_ancestor_is_seen() {
    must_break(wrong("mutant: ancestors go back", Wrong::AncestorsGoBack, &stolen()), Fault::I3);
}

#[test]
fn ending_on_a_late_duplicate_signs_out() {
    must_break(wrong("mutant: late duplicates end", Wrong::LateDuplicatesEnd, &honest()), Fault::I6);
}

#[test]
fn a_success_after_expiry_is_seen() {
    let idle = Setup { ttl: 2, ..Setup::default() };
    must_break(wrong("mutant: no idle expiry", Wrong::NothingExpires, &idle), Fault::I9);
    let absolute = Setup { max_age: 3, ..Setup::default() };
    must_break(wrong("mutant: no absolute end", Wrong::NothingExpires, &absolute), Fault::I9);
}

#[test]
fn a_success_after_an_end_is_seen() {
    let ends = Setup { sign_out: true, ..Setup::default() };
    must_break(wrong("mutant: ended is live", Wrong::EndedIsLive, &ends), Fault::I4);
}

#[test]
fn reuse_that_ends_nothing_is_seen() {
    for after_window in [AfterWindow::End, AfterWindow::Reissue] {
        let setup = Setup { after_window, ..stolen() };
        must_break(wrong("mutant: reuse is refused", Wrong::ReuseIsRefused, &setup), Fault::I12);
    }
}

#[test]
fn an_end_that_is_told_and_not_committed_is_seen() {
    let domain = || Box::new(regrant_model::rules::Domain);
    let world = World::with("mutant: ends are not committed", stolen(), domain(), Server::LosesEnds);
    must_break(world, Fault::I5);
}

#[test]
fn a_codec_that_believes_forgeries_is_seen() {
    let domain = || Box::new(regrant_model::rules::Domain);
    let world = World::with("mutant: forgeries are believed", stolen(), domain(), Server::BelievesAnything);
    must_break(world, Fault::I11);
}
