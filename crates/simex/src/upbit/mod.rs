//! Upbit's dialect: REST under `/v1`, WebSocket under `/websocket/v1`.

pub mod wire;
