//! The exchange behind the sockets: markets, books, accounts, orders. It knows no dialect.

mod api;

pub use api::*;
