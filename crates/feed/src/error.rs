//! Why data do not flow, in the three classes that matter, and what is done about each.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why a connection or a request failed. Journals hold it as it is spelled here.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeedError {
    /// The connection could not be made, or was lost: name, refusal, TLS, reset, close frame.
    #[error("connection: {0}")]
    Connection(String),
    /// The peer answered, but not as its protocol says: bad handshake, error object, frame too large.
    #[error("protocol: {0}")]
    Protocol(String),
    /// Nothing came for longer than allowed.
    #[error("timeout: {what} took longer than {limit_ms} ms")]
    Timeout {
        /// What was waited for (`connect`, `first data of btcusdt@depth@100ms`, `any frame`, `pong`).
        what: String,
        /// For how long.
        limit_ms: u64,
    },
    /// The venue told us to wait: HTTP 403, 418, 429.
    #[error("limited: HTTP {status}, waiting {} ms", wait.as_millis())]
    Limited {
        /// The answer's status.
        status: u16,
        /// For how long nothing is sent to that host.
        wait: Duration,
    },
    /// Our own side could not keep up: the queue was full for longer than allowed.
    #[error("overflow: the queue was full for {0} ms")]
    Overflow(u64),
}

/// What is done about an error; [`FeedError::remedy`] is the one place where that is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Connect again after the usual backoff.
    Reconnect,
    /// Connect again, but not before this has passed.
    Wait(Duration),
}

impl FeedError {
    /// What is done about it.
    pub fn remedy(&self) -> Remedy {
        match self {
            FeedError::Limited { wait, .. } => Remedy::Wait(*wait),
            FeedError::Connection(_) | FeedError::Protocol(_) | FeedError::Timeout { .. } | FeedError::Overflow(_) => {
                Remedy::Reconnect
            }
        }
    }

    /// The class as it is counted and journaled.
    pub fn class(&self) -> &'static str {
        match self {
            FeedError::Connection(_) => "connection",
            FeedError::Protocol(_) => "protocol",
            FeedError::Timeout { .. } => "timeout",
            FeedError::Limited { .. } => "limited",
            FeedError::Overflow(_) => "overflow",
        }
    }
}
