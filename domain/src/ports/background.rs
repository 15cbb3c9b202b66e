//! Work beside a request.

use std::pin::Pin;

/// Work that nobody waits for.
pub type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs work beside the request, so that how long an answer takes does not tell whether there was any.
///
/// 1. Never holds the caller up.
/// 2. Bounded: beyond some number under way, further work is left out, and that is said.
#[cfg_attr(any(test, feature = "testing"), mockall::automock)]
pub trait Background: Send + Sync {
    /// Begins it, and says whether.
    fn begin(&self, work: Work) -> bool;
}
