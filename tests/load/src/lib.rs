//! How fast Regrant is, and how fast what it is made of.
//!
//! Deliberately absent: a general HTTP client (it would cost more than what is measured), and goals that fail a run:
//! figures are for people to judge, on a machine that they know.

#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures for people: rates, milliseconds and pixels, far below where a cast would lose anything"
)]

mod answer;
mod bulk;
mod chains;
pub mod cli;
mod compare;
mod connection;
mod deployment;
mod drive;
mod flat;
mod output;
mod pace;
mod people;
mod record;
mod report;
mod seed;
mod svg;
mod usage;

/// Why something could not be measured.
type Failure = Box<dyn std::error::Error>;
