//! How Regrant touches the world.
//!
//! Deliberately absent: rules. What a token gets is decided in `regrant-domain`; here it is carried in and out.
//! Inbound and outbound never meet, and outbound siblings never import each other.

mod completed;
pub mod inbound;
pub mod outbound;
