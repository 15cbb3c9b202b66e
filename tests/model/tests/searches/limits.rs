//! The documented limits: worlds that are too hard for the domain's own rules. Each search finds the counter-example,
//! which shows that the limit is where the documentation says, and that the searches can fail.

use regrant_domain::policy::OnRollback;
use regrant_model::state::Fault;
use regrant_model::world::{Setup, World};

use crate::{must_break, must_hold};

#[test]
fn strict_without_a_retry_key_does_not_survive_a_lost_answer() {
    let setup = Setup { strict: true, keys: false, prompt: true, ..Setup::default() };
    must_break(World::new("limit: strict, no keys", setup), Fault::I6);
}

#[test]
fn without_a_window_and_a_retry_key_no_lost_answer_is_survived() {
    let setup = Setup { window: 0, keys: false, prompt: true, ..Setup::default() };
    must_break(World::new("limit: no window, no keys", setup), Fault::I6);
}

#[test]
fn without_a_retry_key_an_outage_longer_than_the_window_is_not_survived() {
    let setup = Setup { keys: false, ..Setup::default() };
    must_break(World::new("limit: no keys, long outage", setup.clone()), Fault::I6);
    must_hold(&World::new("no keys, no long outage", Setup { prompt: true, ..setup }), &["replayed"]);
}

#[test]
fn a_request_that_four_later_rotations_overtook_ends_the_session() {
    let setup = Setup { reach: 5, requests: 2, answers: 0, ..Setup::default() };
    must_break(World::new("limit: overtaken by more than four", setup.clone()), Fault::I6);
    must_hold(&World::new("overtaken by four", Setup { reach: 4, ..setup }), &["superseded"]);
}

#[test]
fn tabs_with_a_storage_each_sign_each_other_out() {
    let setup = Setup { tabs: 2, own_storage: true, ..Setup::default() };
    must_break(World::new("limit: a storage each", setup), Fault::I6);
}

#[test]
fn after_a_rollback_a_late_duplicate_may_sign_out() {
    let setup = Setup { rollbacks: 1, ..Setup::default() };
    must_break(World::new("limit: rollback and late duplicates", setup), Fault::I6);
}

#[test]
fn an_end_that_the_store_lost_is_lost() {
    let setup = Setup { rollbacks: 1, sign_out: true, ends_outlive_rollbacks: true, ..Setup::default() };
    must_break(World::new("limit: an end is rolled back", setup), Fault::I4);
}

#[test]
fn whoever_does_not_heal_signs_out_after_a_rollback() {
    let setup = Setup { rollbacks: 1, requests: 1, answers: 0, duplicates: false, ..Setup::default() };
    must_hold(&World::new("rollback, heal, one request at a time", setup.clone()), &["healed"]);
    let end = World::new("rollback, end, one request at a time", Setup { on_rollback: OnRollback::End, ..setup });
    must_hold(&end, &["ended"]);
}
