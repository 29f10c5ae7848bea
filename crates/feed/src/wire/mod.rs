//! What venues send, parsed: pure functions from bytes to frames, total over bytes, exact to the last digit.
//!
//! What always holds: a frame of a kind that we know is read whole or refused, a frame of any other kind is named and
//! passed over, and no number goes through a float. A reader whose buffers have grown to its frames allocates nothing.
//! Sequence rules are not judged here.
//!
//! [`Message`] is what comes out, in one form for all venues. `cursor` and `decimal` are the tools, [`upbit`] and
//! [`binance`] say which key means what, `draft` keeps messages until the whole frame has proved good. [`Decimal`] and
//! [`Levels`] are for the importers of rarer formats, which use serde.

mod amounts;
pub mod binance;
mod cursor;
mod decimal;
mod draft;
mod message;
pub mod upbit;

#[cfg(test)]
mod tests;

pub use amounts::{Decimal, Levels, Text};
pub use draft::Scratch;
pub use message::{Body, Book, Mark, Message, Refusal, Role, Ticker, Trade};

use crossbook_engine::units::{AmountError, Price, Qty, TimestampNs};
use thiserror::Error;

use crate::input::Request;
use crate::venue::Protocol;

/// Reads a frame of a WebSocket, binary or text: hands each message in it to `each`, in order. A frame is read whole or
/// refused: nothing is handed on from a frame with anything wrong in it.
///
/// # Errors
/// [`WireError`] when the bytes are not what the protocol sends, or a message of a known kind lacks a field or has a bad
/// one.
pub fn read(
    protocol: Protocol,
    bytes: &[u8],
    scratch: &mut Scratch,
    each: &mut dyn FnMut(Message<'_>),
) -> Result<(), WireError> {
    match protocol {
        Protocol::Upbit => upbit::read(bytes, scratch, each),
        Protocol::BinanceSpot | Protocol::BinanceUsdm => binance::read(bytes, scratch, each),
    }
}

/// Reads the body of a REST answer, as [`read`] does a frame. Binance's answers name no symbol: it is that of the
/// request. An error object is a [`Body::Refusal`], whatever was asked.
///
/// # Errors
/// As [`read`].
pub fn read_answer(
    protocol: Protocol,
    request: &Request,
    bytes: &[u8],
    scratch: &mut Scratch,
    each: &mut dyn FnMut(Message<'_>),
) -> Result<(), WireError> {
    match (protocol, request) {
        (Protocol::Upbit, Request::Books(_)) => upbit::read_books(bytes, scratch, each),
        (Protocol::Upbit, Request::Trades(_)) => upbit::read_trades(bytes, scratch, each),
        (_, Request::Books(_)) => binance::read(bytes, scratch, each),
        (_, Request::Trades(_)) => binance::read_trades(bytes, scratch, each),
    }
}

/// Why bytes are not a frame.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WireError {
    /// Not JSON, not UTF-8, cut, nested too deeply, or not built as it should be.
    #[error("bad frame: {0}")]
    Json(String),
    /// A field that a message of this kind must have.
    #[error("no `{0}`")]
    Missing(&'static str),
    /// A field that is read came more than once.
    #[error("`{0}` twice")]
    Twice(&'static str),
    /// A field that is neither a whole number nor true or false, as it should be.
    #[error("`{0}` is of another type")]
    Type(&'static str),
    /// A number that is no exact amount.
    #[error("bad amount in `{field}`: {source}")]
    Amount {
        /// The field, as the venue spells it.
        field: &'static str,
        /// Why not.
        source: AmountError,
    },
    /// A time outside of 2000 to 2200 in every unit.
    #[error("`{field}` is no time: {value}")]
    Time {
        /// The field, as the venue spells it.
        field: &'static str,
        /// As sent.
        value: u64,
    },
    /// A word outside of the venue's closed set.
    #[error("`{field}` is `{value}`")]
    Word {
        /// The field, as the venue spells it.
        field: &'static str,
        /// As sent.
        value: String,
    },
}

impl From<serde_json::Error> for WireError {
    fn from(error: serde_json::Error) -> WireError {
        WireError::Json(error.to_string())
    }
}

/// A time that a venue sends as a whole number: milliseconds, or microseconds where the connection asked for them. No
/// number is both, for times between 2000 and 2200.
///
/// # Errors
/// [`WireError::Time`] when it is neither.
pub fn venue_time(field: &'static str, value: u64) -> Result<TimestampNs, WireError> {
    const MILLIS: std::ops::Range<u64> = 946_684_800_000..7_258_118_400_000;
    const MICROS: std::ops::Range<u64> = MILLIS.start * 1_000..MILLIS.end * 1_000;
    let scale = if MILLIS.contains(&value) {
        1_000_000
    } else if MICROS.contains(&value) {
        1_000
    } else {
        return Err(WireError::Time { field, value });
    };
    Ok(TimestampNs(value as i64 * scale))
}

fn price(steps: i64, field: &'static str) -> Result<Price, WireError> {
    Price::from_raw(steps).map_err(|source| WireError::Amount { field, source })
}

fn qty(steps: i64, field: &'static str) -> Result<Qty, WireError> {
    Qty::from_raw(steps).map_err(|source| WireError::Amount { field, source })
}
