//! The servers as clients see them: real sockets on loopback, free ports.

mod admin;
mod binance_orders;
mod binance_rules;
mod client;
mod faults;
mod market;
mod sockets;
mod upbit_lists;
mod upbit_orders;
