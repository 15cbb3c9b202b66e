//! The worlds in which every promise must hold.

use regrant_model::catalogue::{Size, worlds};

use crate::must_hold;

/// Searches the worlds of the catalogue whose names begin like this.
fn search_all(beginning: &str, happened: &[&str]) {
    let worlds: Vec<_> = worlds(Size::Quick).into_iter().filter(|world| world.name.starts_with(beginning)).collect();
    assert!(!worlds.is_empty(), "no world is named {beginning}…");
    for world in worlds {
        must_hold(&world, happened);
    }
}

#[test]
fn one_tab_that_keeps_the_contract_is_never_signed_out() {
    search_all("one tab", &["rotated", "replayed"]);
}

#[test]
fn two_tabs_that_share_their_storage_are_never_signed_out() {
    search_all("two tabs", &["rotated", "replayed", "superseded"]);
}

#[test]
fn tabs_that_do_not_share_are_two_parties() {
    search_all("a storage each", &["rotated", "superseded", "ended"]);
}

#[test]
fn a_store_that_loses_writes_signs_nobody_out() {
    search_all("rollback, heal", &["rotated", "replayed", "healed"]);
}

#[test]
fn a_store_that_loses_writes_ends_the_session_where_the_policy_says_so() {
    search_all("rollback, end", &["rotated", "ended"]);
}

#[test]
fn a_thief_is_seen() {
    search_all("a thief", &["rotated", "ended"]);
}
