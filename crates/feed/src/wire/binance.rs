//! Binance market data: diff depth, REST depth, book ticker, trades; spot, USD-M and COIN-M futures.
//!
//! Sources: binance-spot-api-docs a5e0bc3 (2026-07-21) for spot; for futures the fields that recordings of 2024-08-08
//! show (`T`, `pu`, `ps`).

use crossbook_engine::event::Level;
use crossbook_engine::instrument::Side;
use crossbook_engine::units::TimestampNs;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::{Decimal, Levels, Text, WireError, venue_time};

/// A frame, and the stream that it came by if it came in a combined-stream envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Name of the stream (`btcusdt@depth@100ms`).
    pub stream: Option<Text<'a>>,
    /// What it says.
    pub body: Body<'a>,
}

/// What a frame says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body<'a> {
    /// `depthUpdate`.
    Depth(Depth<'a>),
    /// A REST depth answer, or a partial-depth stream: the whole top of the book.
    Snapshot(Snapshot<'a>),
    /// `bookTicker`.
    Ticker(Ticker<'a>),
    /// `trade` or `aggTrade`.
    Trade(Trade<'a>),
    /// Something else, by its name.
    Other(Text<'a>),
}

/// Level changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Depth<'a> {
    /// Symbol (`s`).
    pub symbol: Text<'a>,
    /// Transaction time `T` (futures), else event time `E` (spot).
    pub ts_event: TimestampNs,
    /// First update id (`U`).
    pub first: u64,
    /// Last update id (`u`).
    pub last: u64,
    /// Last update id of the event before (`pu`, futures only).
    pub prev: Option<u64>,
    /// Bids (`b`).
    pub bids: Vec<Level>,
    /// Asks (`a`).
    pub asks: Vec<Level>,
}

/// The top of the book as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot<'a> {
    /// Symbol, where the venue gives it (COIN-M only).
    pub symbol: Option<Text<'a>>,
    /// Transaction time `T` or output time `E`, where the venue gives them (futures only).
    pub ts_event: Option<TimestampNs>,
    /// `lastUpdateId`.
    pub last: u64,
    /// Bids.
    pub bids: Vec<Level>,
    /// Asks.
    pub asks: Vec<Level>,
}

/// Best bid and ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticker<'a> {
    /// Symbol (`s`).
    pub symbol: Text<'a>,
    /// Update id of the book (`u`).
    pub id: u64,
    /// Transaction time `T` (futures); spot gives none.
    pub ts_event: Option<TimestampNs>,
    /// Best bid, absent when its quantity is zero.
    pub bid: Option<Level>,
    /// Best ask, absent when its quantity is zero.
    pub ask: Option<Level>,
}

/// A trade or an aggregate of trades.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trade<'a> {
    /// Symbol (`s`).
    pub symbol: Text<'a>,
    /// Trade time (`T`).
    pub ts_event: TimestampNs,
    /// Trade id (`t`), or aggregate trade id (`a`).
    pub id: u64,
    /// Whether it is an aggregate.
    pub aggregate: bool,
    /// Whether it is of the spot market, whose trades carry the retired field `M`.
    pub spot: bool,
    /// Price and quantity.
    pub level: Level,
    /// `m` says that the buyer was the maker, so the seller took.
    pub taker: Side,
}

/// Reads one frame.
///
/// # Errors
/// [`WireError`] when the bytes are no JSON object, or a frame of a known kind lacks a field or has a bad one.
pub fn parse(bytes: &[u8]) -> Result<Frame<'_>, WireError> {
    let probe: Probe<'_> = serde_json::from_slice(bytes)?;
    match probe {
        Probe {
            stream: Some(stream),
            data: Some(data),
            ..
        } => {
            let text = data.get();
            // Streams of all symbols carry a list.
            let body = if text.starts_with('{') {
                body(text, serde_json::from_str(text)?)?
            } else {
                Body::Other(stream.clone())
            };
            Ok(Frame {
                stream: Some(stream),
                body,
            })
        }
        probe => {
            let text = std::str::from_utf8(bytes).map_err(|error| WireError::Json(error.to_string()))?;
            Ok(Frame {
                stream: None,
                body: body(text, probe)?,
            })
        }
    }
}

/// Enough of a frame to know its kind.
#[derive(Deserialize)]
struct Probe<'a> {
    #[serde(borrow)]
    stream: Option<Text<'a>>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    e: Option<Text<'a>>,
    #[serde(rename = "lastUpdateId")]
    last_update_id: Option<IgnoredAny>,
    u: Option<IgnoredAny>,
    #[serde(rename = "B")]
    bid_qty: Option<IgnoredAny>,
}

fn body<'a>(text: &'a str, probe: Probe<'a>) -> Result<Body<'a>, WireError> {
    match probe.e.as_deref() {
        Some("depthUpdate") => depth(serde_json::from_str(text)?).map(Body::Depth),
        Some("bookTicker") => ticker(serde_json::from_str(text)?).map(Body::Ticker),
        Some("trade") => trade(serde_json::from_str(text)?).map(Body::Trade),
        Some("aggTrade") => aggregate(serde_json::from_str(text)?).map(Body::Trade),
        Some(_) => Ok(Body::Other(probe.e.unwrap_or_default())),
        None if probe.last_update_id.is_some() => snapshot(serde_json::from_str(text)?).map(Body::Snapshot),
        // Spot tickers name neither their kind nor their time.
        None if probe.u.is_some() && probe.bid_qty.is_some() => ticker(serde_json::from_str(text)?).map(Body::Ticker),
        None => Ok(Body::Other(Text::Borrowed("unnamed"))),
    }
}

#[derive(Deserialize)]
struct DepthWire<'a> {
    #[serde(borrow)]
    s: Text<'a>,
    #[serde(rename = "E")]
    event: u64,
    #[serde(rename = "T")]
    transaction: Option<u64>,
    #[serde(rename = "U")]
    first: u64,
    u: u64,
    pu: Option<u64>,
    b: Levels,
    a: Levels,
}

fn depth(wire: DepthWire<'_>) -> Result<Depth<'_>, WireError> {
    Ok(Depth {
        ts_event: match wire.transaction {
            Some(ms) => venue_time("T", ms)?,
            None => venue_time("E", wire.event)?,
        },
        symbol: wire.s,
        first: wire.first,
        last: wire.u,
        prev: wire.pu,
        bids: wire.b.0,
        asks: wire.a.0,
    })
}

#[derive(Deserialize)]
struct SnapshotWire<'a> {
    #[serde(rename = "lastUpdateId")]
    last_update_id: u64,
    #[serde(borrow)]
    symbol: Option<Text<'a>>,
    #[serde(rename = "E")]
    event: Option<u64>,
    #[serde(rename = "T")]
    transaction: Option<u64>,
    bids: Levels,
    asks: Levels,
}

fn snapshot(wire: SnapshotWire<'_>) -> Result<Snapshot<'_>, WireError> {
    Ok(Snapshot {
        symbol: wire.symbol,
        ts_event: match (wire.transaction, wire.event) {
            (Some(ms), _) => Some(venue_time("T", ms)?),
            (None, Some(ms)) => Some(venue_time("E", ms)?),
            (None, None) => None,
        },
        last: wire.last_update_id,
        bids: wire.bids.0,
        asks: wire.asks.0,
    })
}

#[derive(Deserialize)]
struct TickerWire<'a> {
    #[serde(borrow)]
    s: Text<'a>,
    u: u64,
    #[serde(rename = "T")]
    transaction: Option<u64>,
    #[serde(borrow)]
    b: Decimal<'a>,
    #[serde(borrow, rename = "B")]
    bid_qty: Decimal<'a>,
    #[serde(borrow)]
    a: Decimal<'a>,
    #[serde(borrow, rename = "A")]
    ask_qty: Decimal<'a>,
}

fn ticker(wire: TickerWire<'_>) -> Result<Ticker<'_>, WireError> {
    let level = |price: Decimal<'_>, qty: Decimal<'_>, fields: (&'static str, &'static str)| -> Result<_, WireError> {
        let qty = qty.qty(fields.1)?;
        // An empty side is sent as zero at zero.
        if qty.is_zero() {
            Ok(None)
        } else {
            Ok(Some(Level {
                price: price.price(fields.0)?,
                qty,
            }))
        }
    };
    Ok(Ticker {
        id: wire.u,
        ts_event: wire.transaction.map(|ms| venue_time("T", ms)).transpose()?,
        bid: level(wire.b, wire.bid_qty, ("b", "B"))?,
        ask: level(wire.a, wire.ask_qty, ("a", "A"))?,
        symbol: wire.s,
    })
}

#[derive(Deserialize)]
struct TradeWire<'a> {
    #[serde(borrow)]
    s: Text<'a>,
    t: u64,
    #[serde(rename = "T")]
    time: u64,
    #[serde(borrow)]
    p: Decimal<'a>,
    #[serde(borrow)]
    q: Decimal<'a>,
    m: bool,
    #[serde(rename = "M")]
    spot_only: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct AggregateWire<'a> {
    #[serde(borrow)]
    s: Text<'a>,
    a: u64,
    #[serde(rename = "T")]
    time: u64,
    #[serde(borrow)]
    p: Decimal<'a>,
    #[serde(borrow)]
    q: Decimal<'a>,
    m: bool,
    #[serde(rename = "M")]
    spot_only: Option<IgnoredAny>,
}

fn trade(wire: TradeWire<'_>) -> Result<Trade<'_>, WireError> {
    Ok(Trade {
        ts_event: venue_time("T", wire.time)?,
        id: wire.t,
        aggregate: false,
        spot: wire.spot_only.is_some(),
        level: Level {
            price: wire.p.price("p")?,
            qty: wire.q.qty("q")?,
        },
        taker: taker(wire.m),
        symbol: wire.s,
    })
}

fn aggregate(wire: AggregateWire<'_>) -> Result<Trade<'_>, WireError> {
    Ok(Trade {
        ts_event: venue_time("T", wire.time)?,
        id: wire.a,
        aggregate: true,
        spot: wire.spot_only.is_some(),
        level: Level {
            price: wire.p.price("p")?,
            qty: wire.q.qty("q")?,
        },
        taker: taker(wire.m),
        symbol: wire.s,
    })
}

fn taker(buyer_is_maker: bool) -> Side {
    if buyer_is_maker { Side::Sell } else { Side::Buy }
}
