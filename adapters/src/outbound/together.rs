//! Work that waits at the same time is done together: one round trip and one commit for all of it.
//!
//! Deliberately absent: a timer. What has come in leaves as soon as a lane is free, so a lone piece waits for nobody, and
//! the busier a store is, the more it does at once. Also absent: what is done; that is each store's own.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use regrant_domain::ports::PortError;
use tokio::sync::oneshot;

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
pub struct Together<W, A>(Arc<Shared<W, A>>);

struct Shared<W, A> {
    what: &'static str,
    bounds: Bounds,
    run: Box<Run<W, A>>,
    state: Mutex<State<W, A>>,
}

type Run<W, A> = dyn Fn(Vec<W>) -> Pin<Box<dyn Future<Output = Vec<Result<A, PortError>>> + Send>> + Send + Sync;

struct State<W, A> {
    waiting: VecDeque<Piece<W, A>>,
    free_lanes: usize,
}

struct Piece<W, A> {
    work: W,
    answer: Answer<A>,
}

type Answer<A> = oneshot::Sender<Result<A, PortError>>;

impl<W, A> Clone for Together<W, A> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<W, A> fmt::Debug for Together<W, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Together").field("what", &self.0.what).field("bounds", &self.0.bounds).finish_non_exhaustive()
    }
}

impl<W: Send + 'static, A: Send + 'static> Together<W, A> {
    /// A place where the work of `what` is done. `run` answers every piece of a batch, in its order.
    pub fn new<F, R>(what: &'static str, bounds: Bounds, run: R) -> Self
    where
        F: Future<Output = Vec<Result<A, PortError>>> + Send + 'static,
        R: Fn(Vec<W>) -> F + Send + Sync + 'static,
    {
        let run = Box::new(move |works| Box::pin(run(works)) as Pin<Box<dyn Future<Output = _> + Send>>);
        let state = Mutex::new(State { waiting: VecDeque::new(), free_lanes: bounds.lanes });
        Self(Arc::new(Shared { what, bounds, run, state }))
    }

    /// Hands one piece over and waits for its answer. The work is done whether or not the caller still waits.
    ///
    /// # Errors
    /// [`PortError::Unavailable`] when too much is waiting, and whatever became of the work.
    pub async fn run(&self, work: W) -> Result<A, PortError> {
        let (answer, answered) = oneshot::channel();
        if !self.0.enqueue(Piece { work, answer }) {
            return Err(PortError::unavailable(self.0.what, "too much is waiting to be written"));
        }
        if let Some(lane) = Lane::take(&self.0) {
            lane.start();
        }
        answered.await.unwrap_or_else(|_| Err(PortError::unavailable(self.0.what, "the work was given up")))
    }

    /// How many pieces wait to be taken into a batch.
    pub fn waiting(&self) -> usize {
        self.0.state().waiting.len()
    }
}

impl<W, A> Shared<W, A> {
    /// Held for moments only, never across a wait.
    fn state(&self) -> MutexGuard<'_, State<W, A>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `false`: too much is waiting.
    fn enqueue(&self, piece: Piece<W, A>) -> bool {
        let mut state = self.state();
        let fits = state.waiting.len() < self.bounds.waiting;
        if fits {
            state.waiting.push_back(piece);
        }
        fits
    }
}

/// A lane, taken. It does one batch after the other while something waits, and is free again when it is dropped.
struct Lane<W: Send + 'static, A: Send + 'static>(Arc<Shared<W, A>>);

impl<W: Send + 'static, A: Send + 'static> Lane<W, A> {
    /// If one is free, and something waits.
    fn take(shared: &Arc<Shared<W, A>>) -> Option<Self> {
        let mut state = shared.state();
        if state.waiting.is_empty() || state.free_lanes == 0 {
            return None;
        }
        state.free_lanes -= 1;
        Some(Self(shared.clone()))
    }

    /// In a task of its own, which no caller takes with it.
    fn start(self) {
        tokio::spawn(async move {
            while let Some((works, answers)) = self.next() {
                let outcomes = (self.0.run)(works).await;
                for (answer, outcome) in answers.into_iter().zip(outcomes) {
                    // The caller may have gone away.
                    let _ = answer.send(outcome);
                }
            }
        });
    }

    /// The next batch.
    fn next(&self) -> Option<(Vec<W>, Vec<Answer<A>>)> {
        let mut state = self.0.state();
        let many = state.waiting.len().min(self.0.bounds.batch);
        let batch = state.waiting.drain(..many).map(|Piece { work, answer }| (work, answer)).unzip();
        (many > 0).then_some(batch)
    }
}

impl<W: Send + 'static, A: Send + 'static> Drop for Lane<W, A> {
    /// Work may have come in since it was last looked for; or the work has panicked, and others wait behind it.
    fn drop(&mut self) {
        self.0.state().free_lanes += 1;
        if tokio::runtime::Handle::try_current().is_ok()
            && let Some(lane) = Self::take(&self.0)
        {
            lane.start();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::Semaphore;

    use super::*;

    const BOUNDS: Bounds = Bounds { lanes: 1, batch: 3, waiting: 8 };
    const PANICS: u32 = 99;

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
        let together = Together::new("numbers", bounds, move |works: Vec<u32>| {
            let (noted, gate) = (noted.clone(), gate.clone());
            async move {
                noted.lock().expect("not poisoned").push(works.clone());
                if works[0] == 0 {
                    gate.acquire().await.expect("open").forget();
                }
                assert_ne!(works[0], PANICS);
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
        // One is being done, and eight wait.
        let handed = hand_over(&doubling, &[0, 1, 2, 3, 4, 5, 6, 7, 8]).await;
        assert_eq!(doubling.together.waiting(), BOUNDS.waiting);
        let refused = doubling.together.run(9).await;
        assert!(matches!(refused, Err(PortError::Unavailable { .. })), "{refused:?}");
        doubling.go.add_permits(1);
        for handed in handed {
            assert!(handed.await.expect("no panic").is_ok());
        }
        assert_eq!(doubling.together.waiting(), 0);
    }

    #[tokio::test]
    async fn work_that_panics_takes_no_lane_with_it() {
        let doubling = doubling(BOUNDS);
        let handed = hand_over(&doubling, &[0, PANICS, 1, 2, 3]).await;
        doubling.go.add_permits(1);
        let mut outcomes = Vec::new();
        for handed in handed {
            outcomes.push(handed.await.expect("answered").ok());
        }
        assert_eq!(outcomes, [Some(0), None, None, None, Some(6)]);
        assert_eq!(doubling.together.run(4).await.expect("done"), 8);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn nothing_is_left_waiting_however_lanes_and_callers_meet() {
        let together = Together::new("numbers", Bounds { lanes: 3, batch: 4, waiting: 64 }, |works: Vec<u32>| async {
            tokio::task::yield_now().await;
            works.into_iter().map(|n| Ok(2 * n)).collect()
        });
        let mut callers = tokio::task::JoinSet::new();
        for caller in 0..16_u32 {
            let together = together.clone();
            callers.spawn(async move {
                for n in 0..500 {
                    assert_eq!(together.run(caller * 1000 + n).await.expect("done"), 2 * (caller * 1000 + n));
                }
            });
        }
        callers.join_all().await;
        assert_eq!((together.waiting(), together.0.state().free_lanes), (0, 3));
    }
}
