//! Binance's dialects: spot REST under `/api/v3`, its WebSocket API under `/ws-api/v3`, USD-M REST under `/fapi/v1`, and
//! the market streams of both.

pub mod account;
pub mod error;
pub mod filters;
pub mod limit;
pub mod order;
pub mod private;
pub mod request;
pub mod rest;
pub mod stream;
pub mod usdm;
pub mod wire;
pub mod ws_api;
