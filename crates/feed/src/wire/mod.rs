//! What venues send, parsed: pure functions from bytes to frames, total over bytes, exact to the last digit.
//!
//! What always holds: a frame of a kind that we know is read whole or refused, a frame of any other kind is named and
//! passed over, and no number goes through a float. Sequence rules are not judged here.

pub mod binance;
mod message;
pub mod upbit;

#[cfg(test)]
mod tests;

pub use message::{Body, Book, Mark, Message, Refusal, Role, Scratch, Ticker, Trade};

use std::borrow::Cow;

use crossbook_engine::event::Level;
use crossbook_engine::units::{AmountError, Price, Qty, TimestampNs, parse_number};
use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;
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
    /// Not JSON, cut, nested too deeply, a key twice, a field missing or of another type.
    #[error("bad frame: {0}")]
    Json(String),
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

/// A decimal as a venue writes it, as a JSON number or as text, still as it was written.
#[derive(Debug, Clone, Copy)]
pub struct Decimal<'a>(&'a str);

impl<'de: 'a, 'a> Deserialize<'de> for Decimal<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&'de RawValue>::deserialize(deserializer)?.get();
        // A text with an escape in it keeps its backslash and is refused as a number.
        Ok(Decimal(
            raw.strip_prefix('"')
                .and_then(|rest| rest.strip_suffix('"'))
                .unwrap_or(raw),
        ))
    }
}

impl Decimal<'_> {
    /// As a price.
    ///
    /// # Errors
    /// When it is not an exact positive amount.
    pub fn price(self, field: &'static str) -> Result<Price, WireError> {
        Price::from_raw(self.raw(field)?).map_err(|source| WireError::Amount { field, source })
    }

    /// As a quantity.
    ///
    /// # Errors
    /// When it is not an exact amount, or negative.
    pub fn qty(self, field: &'static str) -> Result<Qty, WireError> {
        Qty::from_raw(self.raw(field)?).map_err(|source| WireError::Amount { field, source })
    }

    /// As a count of 1e-8.
    ///
    /// # Errors
    /// When it is not an exact amount.
    pub fn raw(self, field: &'static str) -> Result<i64, WireError> {
        parse_number(self.0).map_err(|source| WireError::Amount { field, source })
    }
}

/// A list of `[price, quantity, …]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Levels(pub Vec<Level>);

impl<'de> Deserialize<'de> for Levels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Levels;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a list of [price, quantity]")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Levels, A::Error> {
                let mut levels = Vec::new();
                while let Some(Pair(level)) = list.next_element()? {
                    levels.push(level);
                }
                Ok(Levels(levels))
            }
        }
        deserializer.deserialize_seq(Pairs)
    }
}

struct Pair(Level);

impl<'de> Deserialize<'de> for Pair {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Two;
        impl<'de> Visitor<'de> for Two {
            type Value = Pair;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("[price, quantity]")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut pair: A) -> Result<Pair, A::Error> {
                let missing = || de::Error::custom("a level needs a price and a quantity");
                let price: Decimal<'_> = pair.next_element()?.ok_or_else(missing)?;
                let qty: Decimal<'_> = pair.next_element()?.ok_or_else(missing)?;
                // Old Binance streams end each level with an empty list.
                while pair.next_element::<de::IgnoredAny>()?.is_some() {}
                Ok(Pair(Level {
                    price: price.price("price").map_err(de::Error::custom)?,
                    qty: qty.qty("quantity").map_err(de::Error::custom)?,
                }))
            }
        }
        deserializer.deserialize_seq(Two)
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

/// A JSON text, borrowed where it has no escapes.
pub type Text<'a> = Cow<'a, str>;
