//! Work that comes to its end, whatever becomes of whoever waits for it.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use tokio::runtime::Handle;
use tracing::{Instrument as _, Span};

/// The work panicked. Whatever it said is with the panic hook.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Panicked;

/// Does this work. Once begun, it comes to its end: if whoever waits goes away, it goes on in a task of its own.
///
/// Not in a task from the start: few go away, and a task is one more to be copied and to be woken.
pub(crate) async fn completed<F>(work: F) -> Result<F::Output, Panicked>
where
    F: Future<Output: Send> + Send + 'static,
{
    // In a box, so that it can be moved into a task half done.
    Completed(Some(Box::pin(AssertUnwindSafe(work).catch_unwind()))).await.map_err(|_text| Panicked)
}

struct Completed<F: Future<Output: Send> + Send + 'static>(Option<Pin<Box<F>>>);

impl<F: Future<Output: Send> + Send + 'static> Future for Completed<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Some(work) = &mut self.0 else { return Poll::Pending };
        let outcome = work.as_mut().poll(context);
        if outcome.is_ready() {
            self.0 = None;
        }
        outcome
    }
}

impl<F: Future<Output: Send> + Send + 'static> Drop for Completed<F> {
    fn drop(&mut self) {
        // Without a runtime the process is at its end, where tasks are cut off, too.
        if let (Some(work), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(work.instrument(Span::current()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;
    use tokio::task;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn work_is_done_where_it_is_waited_for() {
        let here = tokio::spawn(async { (task::id(), completed(async { task::id() }).await) });
        let (own, at_work) = here.await.expect("no panic");
        assert_eq!(at_work, Ok(own));
    }

    #[tokio::test]
    async fn what_was_begun_goes_on_when_nobody_waits_any_more() {
        let (go, may_go) = oneshot::channel::<()>();
        let (tell, told) = oneshot::channel();
        let work = completed(async move {
            may_go.await.expect("the test lets it go");
            tell.send("done").expect("the test listens");
        });
        assert!(timeout(Duration::ZERO, work).await.is_err());
        go.send(()).expect("it is still there");
        assert_eq!(told.await, Ok("done"));
    }

    #[tokio::test]
    async fn what_was_not_begun_is_not_done() {
        let (tell, told) = oneshot::channel::<()>();
        drop(completed(async move { tell.send(()) }));
        assert!(told.await.is_err());
    }

    #[tokio::test]
    async fn a_panic_is_told_to_whoever_waits() {
        let panics = |now: bool| async move {
            assert!(!now, "on purpose");
        };
        assert_eq!(completed(panics(true)).await, Err(Panicked));
        assert_eq!(completed(panics(false)).await, Ok(()));
    }
}
