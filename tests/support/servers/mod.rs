//! Servers of the tests' own: throwaway, on loopback ports, in temporary folders.

pub(crate) mod postgres;

/// Whether a store's tests run: all do, unless `REGRANT_TEST_STORES` (a list with commas) leaves it out.
pub(crate) fn is_wanted(store: &str) -> bool {
    let wanted = std::env::var("REGRANT_TEST_STORES").ok();
    wanted.is_none_or(|wanted| wanted.split(',').any(|name| name.trim() == store))
}
