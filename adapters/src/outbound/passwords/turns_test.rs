//! Beside much other work a thread rests; without it, none does.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use super::turns::{MUCH, Turns};

/// Long enough for a thread that may go on to do so, mostly.
const A_WHILE: Duration = Duration::from_millis(100);
/// Long enough on any machine.
const EVER: Duration = Duration::from_mins(1);

fn turns(threads: usize) -> Arc<Turns> {
    Arc::new(Turns::new(NonZeroUsize::new(threads).expect("not zero")))
}

/// A thread that has asked for a turn, and keeps it until `release` is dropped.
struct Asking {
    has_it: Receiver<()>,
    release: Sender<()>,
    thread: std::thread::JoinHandle<()>,
}

fn ask(turns: &Arc<Turns>) -> Asking {
    let (turns, (tell, has_it), (release, released)) = (turns.clone(), channel(), channel::<()>());
    let thread = std::thread::spawn(move || {
        let turn = turns.take();
        tell.send(()).expect("the test listens");
        let _ = released.recv();
        drop(turn);
    });
    Asking { has_it, release, thread }
}

impl Asking {
    fn has_its_turn(&self) -> bool {
        self.has_it.recv_timeout(EVER).is_ok()
    }

    fn waits(&self) -> bool {
        self.has_it.recv_timeout(A_WHILE).is_err()
    }

    fn ends(self) {
        drop(self.release);
        self.thread.join().expect("no panic");
    }
}

fn much_is_answered(turns: &Turns) {
    (0..MUCH).for_each(|_| turns.answered_elsewhere());
}

#[test]
fn with_nothing_else_to_do_all_are_at_work() {
    let turns = turns(4);
    let asking: Vec<_> = (0..4).map(|_| ask(&turns)).collect();
    assert!(asking.iter().all(Asking::has_its_turn));
    let beyond = ask(&turns);
    assert!(beyond.waits(), "no more than there are");
    asking.into_iter().for_each(Asking::ends);
    assert!(beyond.has_its_turn());
    beyond.ends();
}

#[test]
fn beside_much_else_one_rests_until_there_is_less() {
    let turns = turns(2);
    let (one, other) = (ask(&turns), ask(&turns));
    assert!(one.has_its_turn() && other.has_its_turn());
    much_is_answered(&turns);
    one.ends();
    let third = ask(&turns);
    assert!(third.waits(), "one is at work, and the service is busy");
    much_is_answered(&turns);
    other.ends();
    assert!(third.has_its_turn(), "one is always at work");
    let fourth = ask(&turns);
    assert!(fourth.waits());
    // While the third was at work, little else was answered.
    (1..MUCH).for_each(|_| turns.answered_elsewhere());
    third.ends();
    let fifth = ask(&turns);
    assert!(fourth.has_its_turn() && fifth.has_its_turn(), "nobody rests any more");
    fourth.ends();
    fifth.ends();
}

#[test]
fn a_single_thread_never_rests() {
    let turns = turns(1);
    for _ in 0..3 {
        let one = ask(&turns);
        assert!(one.has_its_turn());
        much_is_answered(&turns);
        one.ends();
    }
}

#[test]
fn of_eight_two_rest() {
    let turns = turns(8);
    let first = ask(&turns);
    assert!(first.has_its_turn());
    much_is_answered(&turns);
    first.ends();
    let asking: Vec<_> = (0..6).map(|_| ask(&turns)).collect();
    assert!(asking.iter().all(Asking::has_its_turn));
    let seventh = ask(&turns);
    assert!(seventh.waits());
    asking.into_iter().for_each(Asking::ends);
    assert!(seventh.has_its_turn());
    seventh.ends();
}
