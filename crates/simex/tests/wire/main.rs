//! The servers as clients see them: real sockets on loopback, free ports.

mod binance;
mod client;
mod faults;
mod market;
mod orders;
mod sockets;
mod upbit;
