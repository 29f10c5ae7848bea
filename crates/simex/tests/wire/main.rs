//! The servers as clients see them: real sockets on loopback, free ports.

mod client;
mod faults;
mod market;
mod orders;
mod sockets;
