//! One binary: linking is the slow part.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unchecked_time_subtraction,
    reason = "a test fails by panicking, its helpers too; the lints know only `#[test]` itself"
)]

mod architecture;
mod config;
mod contract;
// It stops processes and limits their files by means that only Linux has.
#[cfg(target_os = "linux")]
mod faults;
mod fleet;
mod http;
mod migrations;
mod postgres;
mod redis;
mod service;
mod sqlite;
mod support;
mod usecases;

/// As the program: much of the time of the fleets goes into it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
