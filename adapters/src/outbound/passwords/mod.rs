//! Password hashing: Argon2id (RFC 9106), at a bounded number at once.
//!
//! Deliberately absent: tokio's blocking pool. It grows to hundreds of threads, and each hash needs 19 MiB: a burst of
//! sign-ins would take all memory. Here a few threads of our own, each with memory that it uses again, take work from a
//! short queue; whoever finds it full is told so at once. They give way to everything else that the process does, and some
//! of them rest while it does much else, so that nobody else waits while many sign in.

mod hasher;
mod priority;
mod stored;
mod turns;

#[cfg(test)]
mod foreign_test;
#[cfg(test)]
mod hasher_test;
#[cfg(test)]
mod priority_test;
#[cfg(test)]
mod turns_test;

use std::io;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use regrant_domain::ports::{ForeignHashes, Passwords, PortError, Randomness, UnusableHash, Verdict};
use regrant_domain::secret::Secret;
use regrant_domain::user::{Password, PasswordHash};
use tokio::sync::oneshot;
use tracing::warn;

use hasher::{Check, Hasher};
use stored::Stored;
use turns::Turns;

/// Bytes of a salt (RFC 9106 §3.1).
const SALT_LEN: usize = 16;
const WHAT: &str = "password hashing";

type Job = Box<dyn FnOnce(&mut Hasher) + Send>;

/// New hashes are Argon2id with 19 MiB, 2 passes and 1 lane; other Argon2 hashes, bcrypt, scrypt and PBKDF2 are accepted
/// and replaced by a better one when their password comes by.
pub struct Argon2Passwords {
    queue: SyncSender<Job>,
    load: Arc<Load>,
    randomness: Arc<dyn Randomness>,
}

/// What the threads have to do, for those who watch; and what else there is to do, for the threads.
#[derive(Debug)]
pub struct Load {
    waiting: AtomicUsize,
    running: AtomicUsize,
    refused: AtomicU64,
    turns: Turns,
}

impl Load {
    const fn of(threads: NonZeroUsize) -> Self {
        Self {
            waiting: AtomicUsize::new(0),
            running: AtomicUsize::new(0),
            refused: AtomicU64::new(0),
            turns: Turns::new(threads),
        }
    }

    /// The service has answered a request that took no hash. Where there are many of them, some threads rest.
    pub fn answered_elsewhere(&self) {
        self.turns.answered_elsewhere();
    }

    /// How many wait for a thread.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// How many are at work.
    pub fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }

    /// How many were told that too many are waiting, ever.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    fn begin(&self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        self.running.fetch_add(1, Ordering::Relaxed);
    }

    fn end(&self) {
        self.running.fetch_sub(1, Ordering::Relaxed);
    }

    fn refuse(&self) -> PortError {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        self.refused.fetch_add(1, Ordering::Relaxed);
        PortError::unavailable(WHAT, "too many are waiting")
    }
}

impl Argon2Passwords {
    /// At most `parallelism` hashes at once (as many as there are cores is best), and at most `waiting` more that wait.
    /// The threads end when this is dropped. Where they cannot be put behind the others, a warning says so.
    ///
    /// # Errors
    /// What the system says when it has no more threads.
    pub fn new(parallelism: NonZeroUsize, waiting: usize, randomness: Arc<dyn Randomness>) -> io::Result<Self> {
        Self::start(parallelism, waiting, randomness, priority::give_way)
    }

    /// Each thread first does what `give_way` does; when this returns, all of them have.
    fn start(
        parallelism: NonZeroUsize,
        waiting: usize,
        randomness: Arc<dyn Randomness>,
        give_way: fn() -> io::Result<()>,
    ) -> io::Result<Self> {
        let (queue, jobs) = sync_channel(waiting);
        let jobs = Arc::new(Mutex::new(jobs));
        let load = Arc::new(Load::of(parallelism));
        let (outcomes, reports) = channel();
        for number in 0..parallelism.get() {
            let (jobs, load, outcomes) = (Arc::clone(&jobs), Arc::clone(&load), outcomes.clone());
            let thread = std::thread::Builder::new().name(format!("password-{number}"));
            thread.spawn(move || {
                // Nobody to tell: the next thread could not be started.
                let _ = outcomes.send(give_way());
                drop(outcomes);
                work(&jobs, &load.turns);
            })?;
        }
        drop(outcomes);
        if let Some(error) = reports.iter().filter_map(Result::err).last() {
            warn!(%error, "passwords are hashed at the priority of everything else; it is slow while many sign in");
        }
        Ok(Self { queue, load, randomness })
    }

    /// What its threads have to do, now and later.
    pub fn load(&self) -> Arc<Load> {
        self.load.clone()
    }

    /// Runs it on one of the threads. If the caller has gone away by then, it is skipped.
    async fn run<T: Send + 'static>(
        &self,
        task: impl FnOnce(&mut Hasher) -> Result<T, PortError> + Send + 'static,
    ) -> Result<T, PortError> {
        let (answer, result) = oneshot::channel();
        let load = self.load.clone();
        let job: Job = Box::new(move |hasher| {
            load.begin();
            // If the caller has gone away, nobody waits for it.
            let outcome = (!answer.is_closed()).then(|| guarded(hasher, task));
            // Before the answer, so that whoever has it does not find it at work.
            load.end();
            if let Some(outcome) = outcome {
                // Nobody to tell is no fault.
                let _ = answer.send(outcome);
            }
        });
        self.load.waiting.fetch_add(1, Ordering::Relaxed);
        self.queue.try_send(job).map_err(|_| self.load.refuse())?;
        result.await.map_err(|_| PortError::unavailable(WHAT, "it is shutting down"))?
    }
}

impl std::fmt::Debug for Argon2Passwords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Argon2Passwords")
    }
}

fn work(jobs: &Mutex<Receiver<Job>>, turns: &Turns) {
    let mut hasher = Hasher::default();
    loop {
        // One thread waits for work and its turn, the others for the lock: who came first is next.
        let next = jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(job) = next.recv() else { return };
        let turn = turns.take();
        drop(next);
        job(&mut hasher);
        drop(turn);
    }
}

/// A fault in a hash function costs this answer, and not the thread.
fn guarded<T>(hasher: &mut Hasher, task: impl FnOnce(&mut Hasher) -> Result<T, PortError>) -> Result<T, PortError> {
    catch_unwind(AssertUnwindSafe(|| task(hasher))).unwrap_or_else(|_| {
        *hasher = Hasher::default();
        Err(PortError::unavailable(WHAT, "it panicked"))
    })
}

fn hash(hasher: &mut Hasher, password: &Password, salt: &Secret) -> Result<PasswordHash, PortError> {
    let hash = hasher.hash(password.expose(), salt.expose());
    hash.map(PasswordHash::new).map_err(|error| PortError::unavailable(WHAT, error.to_string()))
}

#[async_trait]
impl Passwords for Argon2Passwords {
    async fn hash(&self, password: Password) -> Result<PasswordHash, PortError> {
        let salt = self.randomness.secret(SALT_LEN)?;
        self.run(move |hasher| hash(hasher, &password, &salt)).await
    }

    async fn verify(&self, password: Password, stored: Option<PasswordHash>) -> Result<Verdict, PortError> {
        let randomness = Arc::clone(&self.randomness);
        self.run(move |hasher| {
            let check = match &stored {
                Some(stored) => hasher.check(password.expose(), stored.as_str()),
                None => hasher.check_nothing(password.expose()),
            };
            Ok(match check {
                Check::Matches => Verdict::Matches,
                Check::Differs => Verdict::Differs,
                // For want of a better hash nobody is turned away; the next sign-in tries again.
                Check::MatchesWeakly => randomness
                    .secret(SALT_LEN)
                    .and_then(|salt| hash(hasher, &password, &salt))
                    .map_or(Verdict::Matches, Verdict::MatchesWeakly),
            })
        })
        .await
    }
}

/// The kinds of hashes that [`Argon2Passwords`] can check.
#[derive(Debug, Clone, Copy, Default)]
pub struct KnownHashes;

impl ForeignHashes for KnownHashes {
    fn accept(&self, text: &str) -> Result<PasswordHash, UnusableHash> {
        Stored::read(text).map(|_| PasswordHash::new(text.to_owned())).map_err(UnusableHash)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::channel;

    use regrant_domain::ports::MockRandomness;
    use regrant_domain::testing::Counting;

    use super::*;

    fn password(text: &str) -> Password {
        Password::received(text.into()).expect("short enough")
    }

    fn passwords(parallelism: usize, waiting: usize) -> Arc<Argon2Passwords> {
        let parallelism = NonZeroUsize::new(parallelism).expect("not zero");
        Arc::new(Argon2Passwords::new(parallelism, waiting, Arc::new(Counting::default())).expect("threads"))
    }

    fn is_full<T>(result: &Result<T, PortError>) -> bool {
        matches!(result, Err(PortError::Unavailable { what: "password hashing", .. }))
    }

    #[tokio::test]
    async fn a_hash_matches_its_password_and_no_other() {
        let passwords = passwords(2, 4);
        let hash = passwords.hash(password("correct horse")).await.expect("hashed");
        assert!(hash.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", hash.as_str());
        assert_ne!(passwords.hash(password("correct horse")).await.expect("hashed"), hash, "the salt differs");
        for (text, right) in [("correct horse", true), ("correct horse ", false), ("Correct horse", false)] {
            let verdict = passwords.verify(password(text), Some(hash.clone())).await.expect("verified");
            assert_eq!(matches!(verdict, Verdict::Matches), right, "{text:?}: {verdict:?}");
            assert_eq!(matches!(verdict, Verdict::Differs), !right, "{text:?}: {verdict:?}");
        }
        assert!(matches!(passwords.verify(password("x"), None).await, Ok(Verdict::Differs)));
    }

    #[tokio::test]
    async fn a_weaker_hash_that_matches_comes_with_a_better_one() {
        let passwords = passwords(1, 4);
        let bcrypt = PasswordHash::new("$2a$06$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe".into());
        let Ok(Verdict::MatchesWeakly(better)) = passwords.verify(password("a"), Some(bcrypt.clone())).await else {
            panic!("bcrypt is weaker")
        };
        assert!(better.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(matches!(passwords.verify(password("a"), Some(better)).await, Ok(Verdict::Matches)));
        assert!(matches!(passwords.verify(password("b"), Some(bcrypt)).await, Ok(Verdict::Differs)));
    }

    #[tokio::test]
    async fn without_randomness_there_is_no_new_hash_but_the_right_password_is_right() {
        let mut none = MockRandomness::new();
        none.expect_secret().returning(|_| Err(PortError::unavailable("randomness", "gone")));
        let passwords = Argon2Passwords::new(NonZeroUsize::MIN, 4, Arc::new(none)).expect("a thread");
        let result = passwords.hash(password("a")).await;
        assert!(matches!(result, Err(PortError::Unavailable { what: "randomness", .. })));
        let bcrypt = PasswordHash::new("$2a$06$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe".into());
        assert!(matches!(passwords.verify(password("a"), Some(bcrypt)).await, Ok(Verdict::Matches)));
    }

    #[tokio::test]
    async fn beyond_those_at_work_and_those_that_wait_the_answer_is_no_at_once() {
        let passwords = passwords(2, 3);
        let (started, starts) = channel();
        let mut kept_back = Vec::new();
        let mut held = Vec::new();
        for _ in 0..2 {
            let (release, released) = channel::<()>();
            let (passwords, started) = (Arc::clone(&passwords), started.clone());
            kept_back.push(release);
            held.push(tokio::spawn(async move {
                passwords
                    .run(move |_| {
                        started.send(()).expect("the test waits");
                        let _ = released.recv();
                        Ok(())
                    })
                    .await
            }));
        }
        let both = tokio::task::spawn_blocking(move || starts.iter().take(2).count());
        assert_eq!(both.await.expect("no panic"), 2, "both threads are at work");
        let waiting: Vec<_> = (0..3)
            .map(|_| {
                let passwords = Arc::clone(&passwords);
                tokio::spawn(async move { passwords.verify(password("x"), None).await })
            })
            .collect();
        tokio::task::yield_now().await;
        let load = passwords.load();
        assert_eq!((load.running(), load.waiting(), load.refused()), (2, 3, 0));
        assert!(is_full(&passwords.verify(password("x"), None).await));
        assert!(is_full(&passwords.hash(password("x")).await));
        assert_eq!((load.running(), load.waiting(), load.refused()), (2, 3, 2));
        drop(kept_back);
        for task in held {
            assert!(task.await.expect("no panic").is_ok());
        }
        for task in waiting {
            assert!(matches!(task.await.expect("no panic"), Ok(Verdict::Differs)));
        }
        assert!(passwords.hash(password("x")).await.is_ok());
        assert_eq!((load.running(), load.waiting(), load.refused()), (0, 0, 2));
    }

    #[tokio::test]
    async fn work_whose_caller_has_gone_away_is_skipped() {
        let passwords = passwords(1, 8);
        let (release, released) = channel::<()>();
        let holder = Arc::clone(&passwords);
        let held = tokio::spawn(async move {
            holder
                .run(move |_| {
                    let _ = released.recv();
                    Ok(())
                })
                .await
        });
        tokio::task::yield_now().await;
        let done = Arc::new(AtomicUsize::new(0));
        for _ in 0..5 {
            let (passwords, done) = (Arc::clone(&passwords), Arc::clone(&done));
            let gone = tokio::spawn(async move {
                let count = move |_: &mut Hasher| Ok(done.fetch_add(1, Ordering::SeqCst));
                passwords.run(count).await
            });
            tokio::task::yield_now().await;
            gone.abort();
            assert!(gone.await.is_err_and(|error| error.is_cancelled()));
        }
        drop(release);
        held.await.expect("no panic").expect("released");
        passwords.run(|_| Ok(())).await.expect("after all of them");
        assert_eq!(done.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn a_panic_costs_one_answer_and_no_thread() {
        let passwords = passwords(1, 1);
        for _ in 0..3 {
            let result = passwords.run::<()>(|_| panic!("on purpose")).await;
            assert!(is_full(&result));
        }
        assert!(passwords.hash(password("x")).await.is_ok());
    }
}
