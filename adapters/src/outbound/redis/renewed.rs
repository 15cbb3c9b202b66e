//! A connection that is made anew when it is stuck.
//!
//! The client for Clusters repairs its connections by itself. But after a failover it has been seen never to end with that:
//! each request timed out from then on, while the Cluster was well and another process was served by it. So a request
//! that times out while nobody else is answered either takes the connection for stuck.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use redis::RedisResult;
use tokio::sync::Mutex;

/// A connection, and what is known of its health.
pub(super) struct Renewed<C> {
    current: RwLock<C>,
    /// How many requests were answered, or refused, in time.
    answers: AtomicU64,
    /// Held by whoever connects: once is enough.
    connecting: Mutex<()>,
}

impl<C: Clone> Renewed<C> {
    /// Begins with this one.
    pub(super) fn new(connection: C) -> Self {
        Self { current: RwLock::new(connection), answers: AtomicU64::default(), connecting: Mutex::default() }
    }

    /// Asks. After a time-out during which nobody was answered, later requests have a connection of `connect`, if there
    /// is one to be had; whoever waited in vain is told so all the same.
    pub(super) async fn ask<T, A, F>(&self, ask: A, connect: impl Future<Output = RedisResult<C>>) -> RedisResult<T>
    where
        A: FnOnce(C) -> F,
        F: Future<Output = RedisResult<T>>,
    {
        let before = self.answers.load(Ordering::Relaxed);
        let connection = self.current.read().unwrap_or_else(PoisonError::into_inner).clone();
        let answer = ask(connection).await;
        if !answer.as_ref().is_err_and(redis::RedisError::is_timeout) {
            self.answers.fetch_add(1, Ordering::Relaxed);
            return answer;
        }
        if self.answers.load(Ordering::Relaxed) == before
            && let Ok(_turn) = self.connecting.try_lock()
            && let Ok(new) = connect.await
        {
            tracing::warn!("nobody was answered by the Redis Cluster: connected anew");
            *self.current.write().unwrap_or_else(PoisonError::into_inner) = new;
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::io;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    fn timed_out() -> RedisResult<&'static str> {
        Err(io::Error::from(io::ErrorKind::TimedOut).into())
    }

    /// The connection called "stuck" answers nobody.
    async fn ask(name: &'static str) -> RedisResult<&'static str> {
        if name == "stuck" { timed_out() } else { Ok(name) }
    }

    #[tokio::test]
    async fn a_connection_that_answers_nobody_is_replaced() {
        let renewed = Renewed::new("stuck");
        assert!(renewed.ask(ask, ready(Ok("new"))).await.is_err_and(|error| error.is_timeout()));
        assert!(renewed.ask(ask, pending()).await.is_ok_and(|name| name == "new"));
    }

    #[tokio::test]
    async fn one_that_answers_others_is_kept() {
        let renewed = Renewed::new("kept");
        let slow = async |_| {
            assert!(renewed.ask(ask, pending()).await.is_ok());
            timed_out()
        };
        assert!(renewed.ask(slow, ready(Ok("new"))).await.is_err());
        assert!(renewed.ask(ask, pending()).await.is_ok_and(|name| name == "kept"));
    }

    #[tokio::test]
    async fn where_none_is_to_be_had_the_old_one_is_tried_again() {
        let renewed = Renewed::new("stuck");
        for _ in 0..2 {
            assert!(renewed.ask(ask, ready(Err(io::Error::other("refused").into()))).await.is_err());
        }
        assert!(renewed.ask(ask, ready(Ok("new"))).await.is_err());
        assert!(renewed.ask(ask, pending()).await.is_ok());
    }

    #[tokio::test]
    async fn only_one_connects_at_a_time() {
        let renewed = Renewed::new("stuck");
        let first = renewed.ask(ask, pending());
        let second = renewed.ask(ask, ready(Ok("new")));
        let both = async { tokio::join!(first, second) };
        assert!(timeout(Duration::from_millis(50), both).await.is_err(), "the first one is connecting for ever");
        assert!(renewed.ask(ask, ready(Ok("new"))).await.is_err());
        assert!(renewed.ask(ask, pending()).await.is_ok(), "whoever gave up connecting is in nobody's way");
    }
}
