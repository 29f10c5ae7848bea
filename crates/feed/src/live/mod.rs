//! All parts joined: inputs become events of the engine, commands to the sockets, and an account of what came.

mod account;
mod clocks;
mod links;
mod market;
mod pipeline;
mod route;
mod venue;

pub use account::Account;
pub use clocks::{Latency, LatencySummary};
pub use market::Market;
pub use pipeline::{Options, Pipeline, PipelineError};

pub use crate::book::{Cause, Flag, Gap, Health, LiveEvent, MarketIx, Output, State};

fn nanos(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX).saturating_mul(1_000_000)
}

#[cfg(test)]
mod tests;
