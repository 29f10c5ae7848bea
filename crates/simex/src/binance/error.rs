//! Binance's errors: a number and a text. Over HTTP they have a status, over the WebSocket API they are wrapped.

use crate::server::http::Reply;
use crate::server::text::quoted;
use crate::sign::binance::Refusal;

/// An error as the venue numbers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// HTTP status.
    pub status: u16,
    /// The number.
    pub code: i32,
    /// The text.
    pub msg: String,
    /// More about it, as JSON.
    pub data: Option<String>,
}

impl Error {
    /// Status 400.
    pub fn new(code: i32, msg: impl Into<String>) -> Error {
        Error::with_status(400, code, msg)
    }

    /// Another status.
    pub fn with_status(status: u16, code: i32, msg: impl Into<String>) -> Error {
        Error {
            status,
            code,
            msg: msg.into(),
            data: None,
        }
    }

    /// A refusal that a fault asks for.
    pub fn refusal(status: u16) -> Error {
        let (code, msg) = match status {
            418 => (-1003, "Way too much request weight used; IP banned."),
            429 => (-1003, "Too much request weight used."),
            403 => (-1002, "You are not authorized to execute this request."),
            _ => (-1000, "An unknown error occurred while processing the request."),
        };
        Error::with_status(status, code, msg)
    }

    /// A path that is not served.
    pub fn no_route(path: &str) -> Error {
        Error::with_status(404, -1000, format!("{path} is not served by this exchange."))
    }

    /// A parameter is missing or cannot be read.
    pub fn missing(name: &str) -> Error {
        Error::new(
            -1102,
            format!("Mandatory parameter '{name}' was not sent, was empty/null, or malformed."),
        )
    }

    /// A market that is not listed.
    pub fn symbol() -> Error {
        Error::new(-1121, "Invalid symbol.")
    }

    /// A market in which nothing was traded yet.
    pub fn no_reference() -> Error {
        Error::new(-2043, "This symbol doesn't have a reference price.")
    }

    /// A signature, timestamp or window that was refused.
    pub fn refused(refusal: Refusal) -> Error {
        Error::new(refusal.code(), refusal.to_string())
    }

    /// `{"code":…,"msg":…}`.
    pub fn json(&self) -> String {
        let data = self
            .data
            .as_ref()
            .map_or(String::new(), |data| format!(r#","data":{data}"#));
        format!(r#"{{"code":{},"msg":{}{data}}}"#, self.code, quoted(&self.msg))
    }
}

impl From<Error> for Reply {
    fn from(error: Error) -> Reply {
        Reply::new(error.status, error.json())
    }
}
