//! Threads that hash are behind the others, and a system that refuses costs nothing but a line in the log.

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};

use regrant_domain::testing::Counting;

use super::{Argon2Passwords, Passwords as _, Verdict};

const TWO: NonZeroUsize = NonZeroUsize::new(2).expect("not zero");

#[cfg(target_os = "linux")]
#[tokio::test]
async fn each_thread_that_hashes_is_behind_the_others_of_the_process() {
    let own = nice();
    let passwords = Argon2Passwords::new(TWO, 2, Arc::new(Counting::default())).expect("threads");
    // Both are at work at once, so it is both that answer.
    let both = Arc::new(std::sync::Barrier::new(2));
    let of_a_thread = || {
        let both = Arc::clone(&both);
        passwords.run(move |_| {
            both.wait();
            Ok(nice())
        })
    };
    let (one, other) = tokio::join!(of_a_thread(), of_a_thread());
    let behind = (own + super::priority::BEHIND).min(19);
    assert_eq!((one.expect("ran"), other.expect("ran")), (behind, behind));
    assert_eq!(nice(), own, "whoever starts them stays where it was");
}

/// The nice value of this thread: of the fields after the name, which may have blanks, the 17th (proc(5)).
#[cfg(target_os = "linux")]
fn nice() -> i32 {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").expect("there is a /proc");
    let (_, fields) = stat.rsplit_once(')').expect("a name in brackets");
    fields.split_whitespace().nth(16).and_then(|nice| nice.parse().ok()).expect("a number")
}

#[tokio::test]
async fn where_the_system_refuses_passwords_are_hashed_all_the_same_and_one_line_says_why() {
    let log = Log::default();
    let lines = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || lines.clone()).with_ansi(false).finish();
    let passwords = tracing::subscriber::with_default(subscriber, || {
        let refuses = || Err(io::Error::from(io::ErrorKind::PermissionDenied));
        Argon2Passwords::start(TWO, 2, Arc::new(Counting::default()), refuses).expect("threads")
    });
    let password = || regrant_domain::user::Password::received("correct horse".into()).expect("short enough");
    let (one, other) = tokio::join!(passwords.hash(password()), passwords.hash(password()));
    for hash in [one, other] {
        let verdict = passwords.verify(password(), Some(hash.expect("hashed"))).await;
        assert!(matches!(verdict, Ok(Verdict::Matches)), "{verdict:?}");
    }
    let log = String::from_utf8(log.0.lock().expect("not poisoned").clone()).expect("UTF-8");
    assert_eq!(log.lines().count(), 1, "{log}");
    assert!(log.contains(" WARN ") && log.contains("permission denied"), "{log}");
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("not poisoned").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
