//! What the tests share: a world to act in, people and devices that act, stores that fail on demand, servers of their
//! own.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail by panicking, as the tests do")]

pub(crate) mod actors;
pub(crate) mod described;
pub(crate) mod fakes;
pub(crate) mod hashes;
pub(crate) mod servers;
pub(crate) mod stores;
pub(crate) mod transport;
pub(crate) mod unsteady;
pub(crate) mod world;
