//! What venues send, and how it becomes events that can be believed.
//!
//! ```text
//! connection (WebSocket) ─┐
//! rest (polling, answers) ┼─► Input ─► journal ─► wire (parse) ─► book (sync, health) ─► events of the engine
//! fx (rates)  ────────────┘     ▲                                    │
//!                               └────────── Command (snapshot, reconnect) ◄┘
//! ```
//!
//! [`input`] has the few types that the parts share. Everything that is not deterministic (sockets, clocks) ends at
//! [`input::Input`]: what follows is a function of the inputs, so a journal of them replays to the same events.

pub mod book;
pub mod clock;
pub mod connection;
pub mod error;
pub mod fx;
pub mod input;
pub mod journal;
pub mod live;
pub mod rest;
pub mod rules;
pub mod run;
pub mod tls;
pub mod venue;
pub mod wire;
