//! What is true about sessions and refresh tokens.
//!
//! Deliberately absent: input and output, clocks, randomness, frameworks, logging. Instants, identifiers and random
//! bytes arrive as values or through the [ports]; every rule can be tested by calling a function.
//!
//! Arrows: [`usecases`] → [`decide`](mod@decide) → the types; `usecases` → [`ports`]. `decide` sees no port.

pub mod access_token;
pub mod address;
pub mod client;
pub mod decide;
pub mod event;
pub mod history;
pub mod ids;
pub mod key_stage;
pub mod limit;
pub mod policy;
#[expect(clippy::missing_errors_doc, reason = "the variants of PortError say it once for every port")]
pub mod ports;
pub mod reason;
pub mod refresh_token;
pub mod secret;
pub mod session;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod time;
pub mod token_key;
pub mod usecases;
pub mod user;
