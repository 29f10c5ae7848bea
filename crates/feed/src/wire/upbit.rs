//! Upbit market data: order books and trades, in the DEFAULT and SIMPLE spellings, alone or in lists.
//!
//! Source: Upbit developer docs v1.6.4 (read 2026-11), and a recording of 2021-04-05. An order book is always the whole
//! top of the book, best first, without a sequence number.

use crossbook_engine::book::sync::MessageIds;
use crossbook_engine::event::Level;
use crossbook_engine::instrument::Side;
use crossbook_engine::units::TimestampNs;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Body, Decimal, Message, Refusal, Role, Scratch, Text, WireError, venue_time};

/// What a frame says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame<'a> {
    /// `orderbook`.
    Book(Book<'a>),
    /// `trade`.
    Trade(Trade<'a>),
    /// Something else, by its name: another type, `status`, `error`.
    Other(Text<'a>),
}

/// The whole top of a book.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Book<'a> {
    /// Market (`code`, `cd`).
    pub code: Text<'a>,
    /// Exchange time (`timestamp`, `tms`).
    pub ts_event: TimestampNs,
    /// Bids, best first; a side with price zero is left out.
    pub bids: Vec<Level>,
    /// Asks, best first.
    pub asks: Vec<Level>,
    /// Step to which prices are rounded, in 1e-8 (`level`).
    pub grouping: i64,
    /// `stream_type` is SNAPSHOT.
    pub initial: bool,
}

/// A trade.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trade<'a> {
    /// Market (`code`, `cd`).
    pub code: Text<'a>,
    /// When the message was made (`timestamp`, `tms`). The time of the trade itself was rounded down to the second
    /// in 2021, so it is not used.
    pub ts_event: TimestampNs,
    /// `sequential_id` (`sid`): unique, but no order.
    pub id: u64,
    /// Price and quantity.
    pub level: Level,
    /// `ask_bid` (`ab`): the side of the taker.
    pub taker: Side,
    /// `stream_type` is SNAPSHOT.
    pub initial: bool,
}

/// Reads a frame; the list formats carry several.
///
/// # Errors
/// [`WireError`] when the bytes are no JSON object or list of them, or a frame of a known kind lacks a field or has a
/// bad one.
pub fn parse(bytes: &[u8]) -> Result<Vec<Frame<'_>>, WireError> {
    let text = std::str::from_utf8(bytes).map_err(|error| WireError::Json(error.to_string()))?;
    if text.trim_start().starts_with('[') {
        let list: Vec<&RawValue> = serde_json::from_str(text)?;
        list.into_iter().map(|raw| parse_one(raw.get())).collect()
    } else {
        Ok(vec![parse_one(text)?])
    }
}

#[derive(Deserialize)]
struct Probe<'a> {
    #[serde(borrow, alias = "ty", rename = "type")]
    kind: Option<Text<'a>>,
    #[serde(borrow)]
    status: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

/// Reads a frame of the WebSocket; see [`super::read`].
///
/// # Errors
/// [`WireError`].
pub fn read(bytes: &[u8], _scratch: &mut Scratch, each: &mut dyn FnMut(Message<'_>)) -> Result<(), WireError> {
    for frame in parse(bytes)? {
        match &frame {
            Frame::Book(book) => each(book.message()),
            Frame::Trade(trade) => each(trade.message()),
            Frame::Other(name) if name == "error" => each(bare(refusal(bytes)?)),
            Frame::Other(name) if name == "unnamed" => each(bare(Body::Other(method(bytes).unwrap_or("unnamed")))),
            Frame::Other(name) => each(bare(Body::Other(name))),
        }
    }
    Ok(())
}

/// Reads an answer of `GET /v1/orderbook`; see [`super::read_answer`].
///
/// # Errors
/// [`WireError`].
pub fn read_books(bytes: &[u8], _scratch: &mut Scratch, each: &mut dyn FnMut(Message<'_>)) -> Result<(), WireError> {
    if bytes.trim_ascii_start().starts_with(b"{") {
        each(bare(refusal(bytes)?));
        return Ok(());
    }
    let list: Vec<BookWire<'_>> = serde_json::from_slice(bytes)?;
    for book in list.into_iter().map(book).collect::<Result<Vec<_>, _>>()? {
        each(book.message());
    }
    Ok(())
}

/// Reads an answer of `GET /v1/trades/ticks`, newest first; see [`super::read_answer`].
///
/// # Errors
/// [`WireError`].
pub fn read_trades(bytes: &[u8], _scratch: &mut Scratch, each: &mut dyn FnMut(Message<'_>)) -> Result<(), WireError> {
    if bytes.trim_ascii_start().starts_with(b"{") {
        each(bare(refusal(bytes)?));
        return Ok(());
    }
    let list: Vec<TradeWire<'_>> = serde_json::from_slice(bytes)?;
    for trade in list.into_iter().map(trade).collect::<Result<Vec<_>, _>>()? {
        each(trade.message());
    }
    Ok(())
}

fn bare(body: Body<'_>) -> Message<'_> {
    Message {
        symbol: None,
        stream: None,
        ts_event: None,
        initial: false,
        body,
    }
}

fn refusal(bytes: &[u8]) -> Result<Body<'_>, WireError> {
    #[derive(Deserialize)]
    struct Wire<'a> {
        #[serde(borrow)]
        error: Inner<'a>,
    }
    #[derive(Deserialize)]
    struct Inner<'a> {
        #[serde(borrow)]
        name: Option<Decimal<'a>>,
        #[serde(borrow)]
        message: Option<Decimal<'a>>,
    }
    let Wire { error } = serde_json::from_slice(bytes)?;
    Ok(Body::Refusal(Refusal {
        code: error.name.map_or("", |text| text.0),
        message: error.message.map_or("", |text| text.0),
    }))
}

fn method(bytes: &[u8]) -> Option<&str> {
    #[derive(Deserialize)]
    struct Wire<'a> {
        method: Option<&'a str>,
    }
    serde_json::from_slice::<Wire<'_>>(bytes).ok()?.method
}

impl Book<'_> {
    fn message(&self) -> Message<'_> {
        Message {
            symbol: Some(&self.code),
            stream: None,
            ts_event: Some(self.ts_event),
            initial: self.initial,
            body: Body::Book(super::Book {
                role: Role::Whole,
                ids: MessageIds {
                    ts_event: self.ts_event.0,
                    ..MessageIds::default()
                },
                bids: &self.bids,
                asks: &self.asks,
                grouping: self.grouping,
            }),
        }
    }
}

impl Trade<'_> {
    fn message(&self) -> Message<'_> {
        Message {
            symbol: Some(&self.code),
            stream: None,
            ts_event: Some(self.ts_event),
            initial: self.initial,
            body: Body::Trade(super::Trade {
                id: self.id,
                price: self.level.price,
                qty: self.level.qty,
                taker: self.taker,
                aggregate: false,
                spot: true,
            }),
        }
    }
}

fn parse_one(text: &str) -> Result<Frame<'_>, WireError> {
    let probe: Probe<'_> = serde_json::from_str(text)?;
    match probe.kind.as_deref() {
        Some("orderbook") => book(serde_json::from_str(text)?).map(Frame::Book),
        Some("trade") => trade(serde_json::from_str(text)?).map(Frame::Trade),
        Some(_) => Ok(Frame::Other(probe.kind.unwrap_or_default())),
        None if probe.error.is_some() => Ok(Frame::Other(Text::Borrowed("error"))),
        None if probe.status.is_some() => Ok(Frame::Other(Text::Borrowed("status"))),
        None => Ok(Frame::Other(Text::Borrowed("unnamed"))),
    }
}

#[derive(Deserialize)]
struct BookWire<'a> {
    #[serde(borrow, alias = "cd", alias = "market")]
    code: Text<'a>,
    #[serde(alias = "tms")]
    timestamp: u64,
    #[serde(borrow, alias = "obu")]
    orderbook_units: Vec<UnitWire<'a>>,
    #[serde(borrow, alias = "lv")]
    level: Option<Decimal<'a>>,
    #[serde(borrow, alias = "st")]
    stream_type: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct UnitWire<'a> {
    #[serde(borrow, alias = "ap")]
    ask_price: Decimal<'a>,
    #[serde(borrow, alias = "bp")]
    bid_price: Decimal<'a>,
    #[serde(borrow, alias = "as")]
    ask_size: Decimal<'a>,
    #[serde(borrow, alias = "bs")]
    bid_size: Decimal<'a>,
}

fn book(wire: BookWire<'_>) -> Result<Book<'_>, WireError> {
    let mut bids = Vec::with_capacity(wire.orderbook_units.len());
    let mut asks = Vec::with_capacity(wire.orderbook_units.len());
    for unit in &wire.orderbook_units {
        push(&mut bids, unit.bid_price, unit.bid_size, ("bid_price", "bid_size"))?;
        push(&mut asks, unit.ask_price, unit.ask_size, ("ask_price", "ask_size"))?;
    }
    Ok(Book {
        ts_event: venue_time("timestamp", wire.timestamp)?,
        grouping: wire.level.map_or(Ok(0), |level| level.raw("level"))?,
        initial: wire.stream_type.as_deref() == Some("SNAPSHOT"),
        code: wire.code,
        bids,
        asks,
    })
}

fn push(
    side: &mut Vec<Level>,
    price: Decimal<'_>,
    qty: Decimal<'_>,
    (price_field, qty_field): (&'static str, &'static str),
) -> Result<(), WireError> {
    // A unit of price zero pads the shorter side.
    if price.raw(price_field)? != 0 {
        side.push(Level {
            price: price.price(price_field)?,
            qty: qty.qty(qty_field)?,
        });
    }
    Ok(())
}

#[derive(Deserialize)]
struct TradeWire<'a> {
    #[serde(borrow, alias = "cd", alias = "market")]
    code: Text<'a>,
    #[serde(alias = "tms")]
    timestamp: u64,
    #[serde(borrow, alias = "tp")]
    trade_price: Decimal<'a>,
    #[serde(borrow, alias = "tv")]
    trade_volume: Decimal<'a>,
    #[serde(borrow, alias = "ab")]
    ask_bid: Text<'a>,
    #[serde(alias = "sid")]
    sequential_id: u64,
    #[serde(borrow, alias = "st")]
    stream_type: Option<Text<'a>>,
}

fn trade(wire: TradeWire<'_>) -> Result<Trade<'_>, WireError> {
    let taker = match &*wire.ask_bid {
        "ASK" => Side::Sell,
        "BID" => Side::Buy,
        other => {
            return Err(WireError::Word {
                field: "ask_bid",
                value: other.chars().take(20).collect(),
            });
        }
    };
    Ok(Trade {
        ts_event: venue_time("timestamp", wire.timestamp)?,
        id: wire.sequential_id,
        level: Level {
            price: wire.trade_price.price("trade_price")?,
            qty: wire.trade_volume.qty("trade_volume")?,
        },
        taker,
        initial: wire.stream_type.as_deref() == Some("SNAPSHOT"),
        code: wire.code,
    })
}
