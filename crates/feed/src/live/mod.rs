//! All parts joined: inputs become events of the engine, commands to the sockets, and an account of what came.

mod account;
mod clocks;
mod links;
mod market;
mod pipeline;

pub use account::Account;
pub use clocks::{Latency, LatencySummary};
pub use pipeline::{Market, Options, Pipeline, PipelineError};

pub use crate::book::{Cause, Flag, Gap, Health, LiveEvent, MarketIx, Output, State};

#[cfg(test)]
mod tests;
