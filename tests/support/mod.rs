//! What several groups of tests use.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "what the tests need, or they fail")]

pub(crate) mod servers;
