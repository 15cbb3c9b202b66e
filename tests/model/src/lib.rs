//! The rotation rules, searched exhaustively in small worlds.
//!
//! A [`World`](world::World) is one session: a store, a server, a network that loses, delays and repeats, a client with
//! one or two tabs, and perhaps a thief, a failover, a clock that a server read too early. Every state that can be
//! reached in it is visited, and none may break a [promise](promises). The rules inside are the domain's own
//! [`decide`](fn@regrant_domain::decide::decide), asked about real tokens; so that searches are known to be able to
//! fail, the tests put in rules that are wrong on purpose.
//!
//! Deliberately absent: text of tokens, the stores' own code, more than one session, and everything that takes
//! longer than a look: the store decides and commits as one step, which the compare-and-set of every write earns it.

mod canonical;
pub mod catalogue;
pub mod promises;
pub mod rules;
pub mod search;
pub mod state;
pub mod step;
pub mod token;
pub mod world;
