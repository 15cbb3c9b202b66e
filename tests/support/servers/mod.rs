//! Servers of the tests' own: throwaway, on loopback ports, in temporary folders.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a server that cannot be had fails the run; the lint knows only `#[test]` itself"
)]

pub(crate) mod guardian;
pub(crate) mod postgres;
pub(crate) mod redis;

/// Whether a store's tests run: all do, unless `REGRANT_TEST_STORES` (a list with commas) leaves it out.
pub(crate) fn is_wanted(store: &str) -> bool {
    let wanted = std::env::var("REGRANT_TEST_STORES").ok();
    wanted.is_none_or(|wanted| wanted.split(',').any(|name| name.trim() == store))
}
