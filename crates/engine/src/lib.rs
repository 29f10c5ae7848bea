//! The pure part of crossbook: everything that decides or accounts.
//!
//! *Invariant:* nothing in this crate does I/O, reads a clock, draws from an unseeded random source, starts a thread, or
//! allocates per event once warm. Replay, tuning, paper and live compile this same code.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod book;
pub mod digest;
pub mod engine;
pub mod event;
pub mod instrument;
pub mod ledger;
pub mod order;
pub mod records;
pub mod replay;
pub mod risk;
pub mod rng;
pub mod sim;
pub mod spread;
pub mod strategy;
pub mod tape;
pub mod units;
