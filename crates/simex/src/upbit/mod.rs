//! Upbit's dialect: REST under `/v1`, WebSocket under `/websocket/v1`.

pub mod error;
pub mod lists;
pub mod order;
pub mod private;
pub mod request;
pub mod rest;
pub mod stream;
pub mod wire;
