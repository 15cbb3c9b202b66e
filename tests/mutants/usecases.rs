//! The tests of the use cases, as they are.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::unchecked_time_subtraction,
    unreachable_pub,
    reason = "as in the test binary that these modules are at home in"
)]

extern crate regrant_mutants as regrant_adapters;

#[path = "../usecases/mod.rs"]
mod usecases;
