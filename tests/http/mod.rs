//! The service as a client sees it: routes, refusals, headers, outages, and clients that go away.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking, as the tests do")]

mod abandoned;
mod admin;
mod bearer;
mod bodies;
mod cors;
mod every_route;
mod every_store;
mod forged;
mod history;
mod limits;
mod network;
mod oauth;
mod outages;
mod refreshing;
mod routes;
mod secrets;
mod stories;
mod verify;
