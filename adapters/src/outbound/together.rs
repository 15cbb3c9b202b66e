//! Work that waits at the same time is done together: one round trip and one commit for all of it.
//!
//! Deliberately absent: a timer. What has come in leaves as soon as a lane is free, so a lone piece waits for nobody, and
//! the busier a store is, the more it does at once. Also absent: what is done; that is each store's own.

use std::future::Future;
use std::sync::Arc;

use regrant_domain::ports::PortError;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Semaphore, mpsc, oneshot};

/// How much is done at once.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Batches under way.
    pub lanes: usize,
    /// Most pieces in a batch.
    pub batch: usize,
    /// Most pieces that wait. Who comes beyond them is told at once that the store is overloaded.
    pub waiting: usize,
}

/// Takes pieces of work, one at a time, to where they are done together. Clones take them to the same place.
#[derive(Debug)]
pub struct Together<W, A> {
    what: &'static str,
    queue: mpsc::Sender<Piece<W, A>>,
}

impl<W, A> Clone for Together<W, A> {
    fn clone(&self) -> Self {
        Self { what: self.what, queue: self.queue.clone() }
    }
}

#[derive(Debug)]
struct Piece<W, A> {
    work: W,
    answer: oneshot::Sender<Result<A, PortError>>,
}

impl<W: Send + 'static, A: Send + 'static> Together<W, A> {
    /// Starts the task that gathers the work of `what`. `run` answers every piece of a batch, in its order.
    pub fn start<F, R>(what: &'static str, bounds: Bounds, run: R) -> Self
    where
        F: Future<Output = Vec<Result<A, PortError>>> + Send + 'static,
        R: Fn(Vec<W>) -> F + Send + Sync + 'static,
    {
        let (queue, inbox) = mpsc::channel(bounds.waiting);
        tokio::spawn(gather(inbox, bounds, Arc::new(run)));
        Self { what, queue }
    }

    /// Hands one piece over and waits for its answer. The work is done whether or not the caller still waits.
    ///
    /// # Errors
    /// [`PortError::Unavailable`] when too much is waiting, and whatever became of the work.
    pub async fn run(&self, work: W) -> Result<A, PortError> {
        let (answer, answered) = oneshot::channel();
        self.queue.try_send(Piece { work, answer }).map_err(|refused| {
            let why = match refused {
                TrySendError::Full(_) => "too much is waiting to be written",
                TrySendError::Closed(_) => "the store is closed",
            };
            PortError::unavailable(self.what, why)
        })?;
        answered.await.unwrap_or_else(|_| Err(PortError::unavailable(self.what, "the work was given up")))
    }

    /// How many pieces wait to be taken into a batch.
    pub fn waiting(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }
}

async fn gather<W, A, F, R>(mut inbox: mpsc::Receiver<Piece<W, A>>, bounds: Bounds, run: Arc<R>)
where
    W: Send + 'static,
    A: Send + 'static,
    F: Future<Output = Vec<Result<A, PortError>>> + Send + 'static,
    R: Fn(Vec<W>) -> F + Send + Sync + 'static,
{
    let lanes = Arc::new(Semaphore::new(bounds.lanes));
    while let Some(first) = inbox.recv().await {
        // Nobody closes it.
        let Ok(lane) = lanes.clone().acquire_owned().await else { return };
        let mut works = vec![first.work];
        let mut answers = vec![first.answer];
        while works.len() < bounds.batch
            && let Ok(next) = inbox.try_recv()
        {
            works.push(next.work);
            answers.push(next.answer);
        }
        let run = run.clone();
        tokio::spawn(async move {
            let outcomes = run(works).await;
            drop(lane);
            for (answer, outcome) in answers.into_iter().zip(outcomes) {
                // The caller may have gone away.
                let _ = answer.send(outcome);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    const BOUNDS: Bounds = Bounds { lanes: 1, batch: 3, waiting: 8 };

    /// Answers each number with its double, odd ones over 100 with an error; remembers the batches. A batch that begins
    /// with 0 waits until it is let go.
    struct Doubling {
        batches: Arc<Mutex<Vec<Vec<u32>>>>,
        go: Arc<Semaphore>,
        together: Together<u32, u32>,
    }

    fn doubling(bounds: Bounds) -> Doubling {
        let batches = Arc::new(Mutex::new(Vec::new()));
        let go = Arc::new(Semaphore::new(0));
        let (noted, gate) = (batches.clone(), go.clone());
        let together = Together::start("numbers", bounds, move |works: Vec<u32>| {
            let (noted, gate) = (noted.clone(), gate.clone());
            async move {
                noted.lock().expect("not poisoned").push(works.clone());
                if works[0] == 0 {
                    gate.acquire().await.expect("open").forget();
                }
                let poisoned = |n: u32| n > 100 && n % 2 == 1;
                let answer = |n| if poisoned(n) { Err(PortError::corrupt("numbers", "odd")) } else { Ok(2 * n) };
                works.into_iter().map(answer).collect()
            }
        });
        Doubling { batches, go, together }
    }

    /// Hands these over, in this order, without waiting for answers.
    async fn hand_over(doubling: &Doubling, works: &[u32]) -> Vec<tokio::task::JoinHandle<Result<u32, PortError>>> {
        let mut handed = Vec::new();
        for work in works.iter().copied() {
            let together = doubling.together.clone();
            handed.push(tokio::spawn(async move { together.run(work).await }));
            // On this runtime of one thread, what can run runs before this goes on.
            for _ in 0..4 {
                tokio::task::yield_now().await;
            }
        }
        handed
    }

    #[tokio::test]
    async fn what_waits_at_the_same_time_is_done_together_in_its_order() {
        let doubling = doubling(BOUNDS);
        let handed = hand_over(&doubling, &[0, 1, 2, 3, 4, 5]).await;
        doubling.go.add_permits(1);
        for (handed, expected) in handed.into_iter().zip([0, 2, 4, 6, 8, 10]) {
            assert_eq!(handed.await.expect("no panic").expect("done"), expected);
        }
        assert_eq!(*doubling.batches.lock().expect("not poisoned"), [vec![0], vec![1, 2, 3], vec![4, 5]]);
    }

    #[tokio::test]
    async fn one_alone_waits_for_nobody() {
        let doubling = doubling(BOUNDS);
        assert_eq!(doubling.together.run(7).await.expect("done"), 14);
        assert_eq!(*doubling.batches.lock().expect("not poisoned"), [[7]]);
    }

    #[tokio::test]
    async fn a_poisoned_piece_fails_alone() {
        let doubling = doubling(BOUNDS);
        let handed = hand_over(&doubling, &[0, 1, 101, 2]).await;
        doubling.go.add_permits(1);
        let mut outcomes = Vec::new();
        for handed in handed {
            outcomes.push(handed.await.expect("no panic").ok());
        }
        assert_eq!(outcomes, [Some(0), Some(2), None, Some(4)]);
    }

    #[tokio::test]
    async fn who_goes_away_disturbs_nobody_and_the_work_is_done() {
        let doubling = doubling(BOUNDS);
        let handed = hand_over(&doubling, &[0, 1, 2]).await;
        handed[1].abort();
        doubling.go.add_permits(1);
        let [_, _, last] = <[_; 3]>::try_from(handed).expect("three");
        assert_eq!(last.await.expect("no panic").expect("done"), 4);
        assert_eq!(doubling.batches.lock().expect("not poisoned")[1], [1, 2]);
    }

    #[tokio::test]
    async fn beyond_the_bound_the_store_is_overloaded_and_says_so_at_once() {
        let doubling = doubling(BOUNDS);
        // One is done, one is held by the task that waits for the lane, and eight wait.
        let handed = hand_over(&doubling, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]).await;
        assert_eq!(doubling.together.waiting(), BOUNDS.waiting);
        let refused = doubling.together.run(10).await;
        assert!(matches!(refused, Err(PortError::Unavailable { .. })), "{refused:?}");
        doubling.go.add_permits(1);
        for handed in handed {
            assert!(handed.await.expect("no panic").is_ok());
        }
        assert_eq!(doubling.together.waiting(), 0);
    }
}
