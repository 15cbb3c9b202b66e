//! The few adapters that the tests of the use cases stand on, compiled from where they are.
//!
//! Deliberately absent: everything else of `regrant-adapters`. The libraries of the servers that it speaks to take most of
//! the time in which it is built, and mutation testing builds it again for each mutant.

/// As in `regrant-adapters`.
#[path = "../../adapters/src/outbound"]
pub mod outbound {
    pub mod memory;
    pub mod no_history;
    pub mod token_codec;
}
