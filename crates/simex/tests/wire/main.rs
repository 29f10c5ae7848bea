//! The servers as clients see them: real sockets on loopback, free ports.

mod admin;
mod binance;
mod client;
mod faults;
mod market;
mod orders;
mod sockets;
mod upbit;
