//! Everything that reads bytes from outside, each as a function that takes any bytes and panics where a promise breaks.
//!
//! The promises: nothing panics; a token has one text; what is called authentic was made with the key; a stored hash
//! asks for no more than a hash may cost; a fault is told, and a request is answered with what it is about.
//!
//! Two things run these functions: the replay test gives them the corpus, on every run of the tests, and `tests/fuzz/run`
//! searches for new inputs, guided by the code that they reach.
//!
//! Deliberately absent: clocks, randomness, files and sockets. The same bytes do the same, so that what was found once is
//! found again.

mod bodies;
mod configuration;
mod forms;
mod heads;
mod jwts;
mod keys;
mod password_hashes;
mod tokens;
mod users_files;
mod world;

/// What the code under test made of the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// It took them: a token of ours, a hash that can be checked, a request that succeeds.
    Something,
    /// It refused them, as it should.
    Nothing,
}

impl Made {
    const fn something_if(taken: bool) -> Self {
        if taken { Self::Something } else { Self::Nothing }
    }
}

/// One reader of outside bytes.
#[derive(Debug)]
pub struct Target {
    /// Its name, and that of its folder in the corpus.
    pub name: &'static str,
    /// Gives it bytes.
    pub read: fn(&[u8]) -> Made,
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "labelled", read: tokens::labelled },
    Target { name: "bare", read: tokens::bare },
    Target { name: "opaque_refresh", read: tokens::opaque_refresh },
    Target { name: "opaque_access", read: tokens::opaque_access },
    Target { name: "refresh_jwt", read: jwts::refresh },
    Target { name: "access_jwt", read: jwts::access },
    Target { name: "head", read: heads::read },
    Target { name: "body", read: bodies::read },
    Target { name: "form", read: forms::read },
    Target { name: "password_hash", read: password_hashes::read },
    Target { name: "configuration", read: configuration::read },
    Target { name: "users_file", read: users_files::read },
];

/// The target of this name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
