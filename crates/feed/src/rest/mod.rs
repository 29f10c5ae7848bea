//! What is asked of venues over HTTP: snapshots, polled books and trades, rules, rates, the time.
//!
//! ```text
//! Clients ─► Client (one host) ─► Limits (one budget per group) ─► socket
//!                 │                       ▲                          │
//!                 │                       └── headers, 429, 418 ◄────┤
//!                 └─► Answer, or the class of its failure ◄──────────┘
//! ```
//!
//! What always holds: no request leaves without a permit of [`limits::Limits`]. What an answer means is not judged here.

pub mod client;
pub mod limits;
pub mod signs;
pub mod time;

#[cfg(test)]
pub(crate) mod testing;

pub use client::{Client, Clients};
