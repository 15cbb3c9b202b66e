//! Work of one kind that waits at the same time: how any of it is run, whatever it is.
//!
//! Deliberately absent: an order between kinds. Whoever wants an end after a rotation waits for the rotation's answer,
//! and what was answered is seen by all that comes later.

use std::future::Future;

use regrant_domain::ports::PortError;

use super::errors::{Failure, WHAT, failure};
use super::work::Core;
use crate::outbound::together::{Bounds, Together};

/// Two: while one batch waits for the disk, the next is on its way.
pub(super) const LANES: u32 = 2;
const BOUNDS: Bounds = Bounds { lanes: LANES as usize, batch: 64, waiting: 4096 };

/// What can be done alone, or with others like it in one statement.
pub(super) trait Batched: Send + Sync + Sized + 'static {
    /// What each of them is answered.
    type Answer: Send + 'static;
    /// What they are, in the log.
    const THEY: &'static str;

    /// By the plainer statement.
    fn alone(&self, core: &Core) -> impl Future<Output = Answered<Self>> + Send;

    /// By one statement, which the server takes or refuses as a whole; answers each in its place.
    fn together(core: &Core, all: &[Self]) -> impl Future<Output = Result<Vec<Answered<Self>>, sqlx::Error>> + Send;
}

/// What came of one.
pub(super) type Answered<W> = Result<<W as Batched>::Answer, PortError>;

/// Starts what gathers them.
pub(super) fn gather<W: Batched>(core: &Core) -> Together<W, W::Answer> {
    let core = core.clone();
    Together::new(WHAT, BOUNDS, move |all| run(core.clone(), all))
}

/// Runs a batch, and answers each in its place.
async fn run<W: Batched>(core: Core, all: Vec<W>) -> Vec<Answered<W>> {
    if let [one] = all.as_slice() {
        return vec![one.alone(&core).await];
    }
    match W::together(&core, &all).await {
        Ok(answers) => answers,
        // Something of one of them does not fit: that one is to fail, and no other.
        Err(error) if failure(&error) == Failure::Final => {
            tracing::warn!(error = %error, "the database refused {} that were sent together; each is sent alone", W::THEY);
            let mut answers = Vec::with_capacity(all.len());
            for one in &all {
                answers.push(one.alone(&core).await);
            }
            answers
        }
        Err(error) => {
            let why = error.to_string();
            all.iter().map(|_| Err(PortError::unavailable(WHAT, why.clone()))).collect()
        }
    }
}
