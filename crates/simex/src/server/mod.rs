//! The servers: real sockets on loopback, one address a venue, REST and WebSocket under their own paths.

pub mod io;
pub mod limits;
pub mod settings;
pub mod stats;
pub mod text;
