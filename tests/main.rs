//! One binary: linking is the slow part.

mod architecture;
mod config;
mod contract;
mod faults;
mod fleet;
mod http;
mod migrations;
mod postgres;
mod redis;
mod service;
mod support;
mod usecases;
