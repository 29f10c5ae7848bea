//! A loopback exchange: both venues' REST and WebSocket dialects over real sockets, a market that moves, a matching
//! engine that fills, faults on demand, and a log of the truth.
//!
//! It shares no parsing or signing code with the adapters that are tested against it: what both got wrong the same way
//! would go unseen.

pub mod binance;
pub mod config;
pub mod exchange;
pub mod faults;
pub mod market;
pub mod server;
pub mod sign;
pub mod truth;
pub mod upbit;

pub use server::Server;
