//! Binance market data: diff depth, REST depth, book ticker, trades; spot, USD-M and COIN-M futures.
//!
//! Sources: binance-spot-api-docs a5e0bc3 (2026-07-21) for spot; for futures the fields that recordings of 2024-08-08
//! show (`T`, `pu`, `ps`).

use crossbook_engine::book::sync::MessageIds;
use crossbook_engine::event::Level;
use crossbook_engine::instrument::Side;
use crossbook_engine::units::TimestampNs;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::{Decimal, Levels, Mark, Message, Refusal, Role, Scratch, Text, WireError, venue_time};

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

/// Reads a frame of the WebSocket or a REST depth answer; see [`super::read`].
///
/// # Errors
/// [`WireError`].
pub fn read(bytes: &[u8], scratch: &mut Scratch, each: &mut dyn FnMut(Message<'_>)) -> Result<(), WireError> {
    let frame = parse(bytes)?;
    let stream = frame.stream.as_deref();
    let message = |symbol, ts_event, body| Message {
        symbol,
        stream,
        ts_event,
        initial: false,
        body,
    };
    let ids = |ts: Option<TimestampNs>, first, last, prev| MessageIds {
        first,
        last: Some(last),
        prev,
        ts_event: ts.map_or(0, |ts| ts.0),
    };
    match &frame.body {
        Body::Depth(depth) => {
            let ts = Some(depth.ts_event);
            let book = super::Book {
                role: Role::Diff,
                ids: ids(ts, Some(depth.first), depth.last, depth.prev),
                bids: &depth.bids,
                asks: &depth.asks,
                grouping: 0,
            };
            each(message(Some(&depth.symbol), ts, super::Body::Book(book)));
        }
        Body::Snapshot(snapshot) => {
            let book = super::Book {
                role: Role::Whole,
                ids: ids(snapshot.ts_event, None, snapshot.last, None),
                bids: &snapshot.bids,
                asks: &snapshot.asks,
                grouping: 0,
            };
            let symbol = match (
                snapshot.symbol.as_deref(),
                stream.and_then(|name| name.split('@').next()),
            ) {
                (Some(named), _) => Some(named),
                (None, Some(lower)) => {
                    scratch.symbol.clear();
                    scratch.symbol.push_str(lower);
                    scratch.symbol.make_ascii_uppercase();
                    Some(scratch.symbol.as_str())
                }
                (None, None) => None,
            };
            each(message(symbol, snapshot.ts_event, super::Body::Book(book)));
        }
        Body::Ticker(ticker) => {
            let body = super::Body::Ticker(super::Ticker {
                id: ticker.id,
                bid: ticker.bid,
                ask: ticker.ask,
            });
            each(message(Some(&ticker.symbol), ticker.ts_event, body));
        }
        Body::Trade(trade) => {
            let body = super::Body::Trade(super::Trade {
                id: trade.id,
                price: trade.level.price,
                qty: trade.level.qty,
                taker: trade.taker,
                aggregate: trade.aggregate,
                spot: trade.spot,
            });
            each(message(Some(&trade.symbol), Some(trade.ts_event), body));
        }
        Body::Other(name) => {
            let text = std::str::from_utf8(bytes).map_err(|error| WireError::Json(error.to_string()))?;
            match &**name {
                "serverShutdown" | "!serverShutdown" => each(message(None, None, super::Body::Shutdown)),
                "markPriceUpdate" => {
                    let mark: MarkWire<'_> = match stream {
                        Some(_) => serde_json::from_str::<Envelope<'_, MarkWire<'_>>>(text)?.data,
                        None => serde_json::from_str(text)?,
                    };
                    let body = super::Body::Mark(Mark {
                        mark: mark.p.price("p")?,
                        rate: match mark.r {
                            Some(rate) if !rate.0.is_empty() => Some(rate.raw("r")?),
                            _ => None,
                        },
                        next: match mark.next {
                            0 => None,
                            ms => Some(venue_time("T", ms)?),
                        },
                    });
                    each(message(Some(&mark.s), Some(venue_time("E", mark.event)?), body));
                }
                "unnamed" if stream.is_none() => each(message(None, None, reply(text)?)),
                name => each(message(None, None, super::Body::Other(name))),
            }
        }
    }
    Ok(())
}

/// Reads an answer of `GET /api/v3/trades` or `/fapi/v1/trades`, oldest first; see [`super::read_answer`].
///
/// # Errors
/// [`WireError`].
pub fn read_trades(bytes: &[u8], _scratch: &mut Scratch, each: &mut dyn FnMut(Message<'_>)) -> Result<(), WireError> {
    #[derive(Deserialize)]
    struct Row<'a> {
        id: u64,
        #[serde(borrow)]
        price: Decimal<'a>,
        #[serde(borrow)]
        qty: Decimal<'a>,
        time: u64,
        #[serde(rename = "isBuyerMaker")]
        buyer_is_maker: bool,
        #[serde(rename = "isBestMatch")]
        spot_only: Option<IgnoredAny>,
    }
    let text = std::str::from_utf8(bytes).map_err(|error| WireError::Json(error.to_string()))?;
    let message = |ts_event, body| Message {
        symbol: None,
        stream: None,
        ts_event,
        initial: false,
        body,
    };
    if text.trim_start().starts_with('{') {
        each(message(None, reply(text)?));
        return Ok(());
    }
    let rows: Vec<Row<'_>> = serde_json::from_str(text)?;
    let read = |row: Row<'_>| -> Result<_, WireError> {
        let trade = super::Trade {
            id: row.id,
            price: row.price.price("price")?,
            qty: row.qty.qty("qty")?,
            taker: taker(row.buyer_is_maker),
            aggregate: false,
            spot: row.spot_only.is_some(),
        };
        Ok((venue_time("time", row.time)?, trade))
    };
    for (ts, trade) in rows.into_iter().map(read).collect::<Result<Vec<_>, _>>()? {
        each(message(Some(ts), super::Body::Trade(trade)));
    }
    Ok(())
}

#[derive(Deserialize)]
struct Envelope<'a, T> {
    #[serde(skip)]
    _frame: std::marker::PhantomData<&'a ()>,
    data: T,
}

#[derive(Deserialize)]
struct MarkWire<'a> {
    #[serde(borrow)]
    s: Text<'a>,
    #[serde(rename = "E")]
    event: u64,
    #[serde(borrow)]
    p: Decimal<'a>,
    #[serde(borrow)]
    r: Option<Decimal<'a>>,
    #[serde(rename = "T")]
    next: u64,
}

/// An answer to a request: taken, or refused.
fn reply(text: &str) -> Result<super::Body<'_>, WireError> {
    #[derive(Deserialize)]
    struct Wire<'a> {
        result: Option<IgnoredAny>,
        id: Option<IgnoredAny>,
        #[serde(borrow)]
        code: Option<Decimal<'a>>,
        #[serde(borrow)]
        msg: Option<Decimal<'a>>,
        #[serde(borrow)]
        error: Option<Inner<'a>>,
    }
    #[derive(Deserialize)]
    struct Inner<'a> {
        #[serde(borrow)]
        code: Option<Decimal<'a>>,
        #[serde(borrow)]
        msg: Option<Decimal<'a>>,
    }
    let wire: Wire<'_> = serde_json::from_str(text)?;

    Ok(match wire {
        Wire { error: Some(inner), .. } => refused(inner.code, inner.msg),
        Wire {
            code: Some(code), msg, ..
        } => refused(Some(code), msg),
        Wire { result: Some(_), .. } | Wire { id: Some(_), .. } => super::Body::Other("result"),
        _ => super::Body::Other("unnamed"),
    })
}

fn refused<'a>(code: Option<Decimal<'a>>, msg: Option<Decimal<'a>>) -> super::Body<'a> {
    super::Body::Refusal(Refusal {
        code: code.map_or("", |text| text.0),
        message: msg.map_or("", |text| text.0),
    })
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
