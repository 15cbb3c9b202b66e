//! Telling what happened.
