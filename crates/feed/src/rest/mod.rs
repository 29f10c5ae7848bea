//! What is asked of venues over HTTP: snapshots, polled books and trades, rules, rates, the time.
//!
//! ```text
//! Command ─► RestProvider ─► Client (one host) ─► Limits (one budget per group) ─► socket
//!    (fetch, poll) │            │                       ▲                          │
//!                  │            │                       └── headers, 429, 418 ◄────┤
//! Input ◄──────────┘ ◄──────────┘ ◄── answer, or the class of its failure ◄────────┘
//! ```
//!
//! What always holds: no request leaves without a permit of [`limits::Limits`], and each that was asked for ends in
//! exactly one answer. What an answer means is not judged here.

pub mod client;
pub mod limits;
mod polls;
pub mod provider;
mod requests;
pub mod rule;
pub mod signs;
pub mod time;

#[cfg(test)]
pub(crate) mod testing;

pub use client::{Client, Clients};
pub use provider::RestProvider;
