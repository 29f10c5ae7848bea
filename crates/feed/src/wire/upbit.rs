//! Upbit market data: order books and trades, in the DEFAULT and SIMPLE spellings, alone or in lists, pushed or asked for.
//!
//! Source: Upbit developer docs v1.6.4 (read 2026-11-21), and a recording of 2021-04-05. An order book is always the whole
//! top of the book, best first, without a sequence number.
//!
//! Keys may come in any order and either spelling. The order in which Upbit sends them is only the quick way: what is not
//! found there is looked for again, slowly.

use crossbook_engine::book::sync::MessageIds;
use crossbook_engine::event::Level;
use crossbook_engine::instrument::Side;

use super::cursor::Cursor;
use super::draft::{Draft, DraftBody, DraftBook, Words, need, put};
use super::{Message, Role, Scratch, Trade, WireError, price, qty, venue_time};

/// Reads a frame of the WebSocket; see [`super::read`].
///
/// # Errors
/// [`WireError`].
pub fn read(bytes: &[u8], scratch: &mut Scratch, each: &mut dyn FnMut(Message<'_>)) -> Result<(), WireError> {
    read_with(bytes, scratch, each, object, object)
}

/// Reads an answer of `GET /v1/orderbook`; see [`super::read_answer`].
///
/// # Errors
/// [`WireError`].
pub fn read_books(bytes: &[u8], scratch: &mut Scratch, each: &mut dyn FnMut(Message<'_>)) -> Result<(), WireError> {
    read_with(bytes, scratch, each, book, refusal)
}

/// Reads an answer of `GET /v1/trades/ticks`, newest first; see [`super::read_answer`].
///
/// # Errors
/// [`WireError`].
pub fn read_trades(bytes: &[u8], scratch: &mut Scratch, each: &mut dyn FnMut(Message<'_>)) -> Result<(), WireError> {
    read_with(bytes, scratch, each, trade, refusal)
}

/// How an object is read.
type Reader = fn(&mut Cursor<'_>, &mut Scratch) -> Result<(), WireError>;

fn read_with(
    bytes: &[u8],
    scratch: &mut Scratch,
    each: &mut dyn FnMut(Message<'_>),
    listed: Reader,
    alone: Reader,
) -> Result<(), WireError> {
    let mut cursor = Cursor::new(bytes)?;
    scratch.clear();
    if cursor.eat(b"[") {
        let mut first = true;
        while cursor.next_element(&mut first)? {
            listed(&mut cursor, scratch)?;
        }
    } else {
        alone(&mut cursor, scratch)?;
    }
    cursor.end()?;
    scratch.hand_on(cursor.text(), each);
    Ok(())
}

/// An object of a frame, whose kind is in it.
fn object(cursor: &mut Cursor<'_>, scratch: &mut Scratch) -> Result<(), WireError> {
    let start = cursor.place();
    let quick: Option<Reader> = if cursor.eat(b"{\"type\":\"orderbook\"") || cursor.eat(b"{\"ty\":\"orderbook\"") {
        Some(book)
    } else if cursor.eat(b"{\"type\":\"trade\"") || cursor.eat(b"{\"ty\":\"trade\"") {
        Some(trade)
    } else {
        None
    };
    cursor.back_to(start);
    match quick {
        Some(reader) => reader(cursor, scratch),
        None => object_of_any_kind(cursor, scratch),
    }
}

fn object_of_any_kind(cursor: &mut Cursor<'_>, scratch: &mut Scratch) -> Result<(), WireError> {
    let start = cursor.place();
    let (mut kind, mut methods, mut error, mut status) = (None, [None; 2], false, false);
    cursor.open(b'{')?;
    let mut first = true;
    while let Some(key) = cursor.key(&mut first)? {
        match &*key {
            b"type" | b"ty" => put(&mut kind, scratch.words(cursor)?, "type")?,
            b"method" => {
                methods = [Some(cursor.place()), methods[0]];
                cursor.skip()?;
            }
            b"error" if cursor.peek() != b'n' => {
                error = true;
                cursor.skip()?;
            }
            b"status" => {
                status = true;
                cursor.skip()?;
            }
            _ => cursor.skip()?,
        }
    }
    let known: Option<Reader> = match kind.as_ref().and_then(|kind| scratch.text(cursor.text(), kind)) {
        Some("orderbook") => Some(book),
        Some("trade") => Some(trade),
        None if error => Some(refusal),
        _ => None,
    };
    if let Some(reader) = known {
        cursor.back_to(start);
        return reader(cursor, scratch);
    }
    let name = match (kind, methods) {
        (Some(name), _) => name,
        (None, _) if status => Words::Fixed("status"),
        (None, [Some(_), Some(_)]) => return Err(WireError::Twice("method")),
        (None, [Some(method), None]) => {
            let end = cursor.place();
            cursor.back_to(method);
            let name = scratch.words(cursor)?;
            cursor.back_to(end);
            name
        }
        (None, _) => Words::Fixed("unnamed"),
    };
    scratch.push(Draft::bare(Words::None, DraftBody::Other(name)));
    Ok(())
}

fn refusal(cursor: &mut Cursor<'_>, scratch: &mut Scratch) -> Result<(), WireError> {
    let mut found = None;
    cursor.open(b'{')?;
    let mut first = true;
    while let Some(key) = cursor.key(&mut first)? {
        if &*key != b"error" {
            cursor.skip()?;
            continue;
        }
        let (mut code, mut message) = (None, None);
        cursor.open(b'{')?;
        let mut first = true;
        while let Some(key) = cursor.key(&mut first)? {
            match &*key {
                // A number (404) in place of a name has been seen.
                b"name" => put(&mut code, scratch.raw_words(cursor)?, "name")?,
                b"message" => put(&mut message, scratch.raw_words(cursor)?, "message")?,
                _ => cursor.skip()?,
            }
        }
        put(&mut found, (code, message), "error")?;
    }
    let (code, message) = need(found, "error")?;
    let body = DraftBody::Refusal {
        code: code.unwrap_or_default(),
        message: message.unwrap_or_default(),
    };
    scratch.push(Draft::bare(Words::None, body));
    Ok(())
}

fn book(cursor: &mut Cursor<'_>, scratch: &mut Scratch) -> Result<(), WireError> {
    let (bids, asks) = (scratch.bids.len(), scratch.asks.len());
    let (mut kind, mut code, mut time, mut found, mut level, mut stream_type) = (None, None, None, None, None, None);
    cursor.open(b'{')?;
    let mut first = true;
    while let Some(key) = cursor.key(&mut first)? {
        match &*key {
            b"type" | b"ty" => put(&mut kind, cursor.skip()?, "type")?,
            b"code" | b"cd" | b"market" => put(&mut code, scratch.words(cursor)?, "code")?,
            b"timestamp" | b"tms" => put(&mut time, cursor.whole("timestamp")?, "timestamp")?,
            b"orderbook_units" | b"obu" => put(&mut found, units(cursor, scratch)?, "orderbook_units")?,
            b"level" | b"lv" => put(&mut level, cursor.amount("level")?, "level")?,
            b"stream_type" | b"st" => put(&mut stream_type, cursor.string()?, "stream_type")?,
            _ => cursor.skip()?,
        }
    }
    need(found, "orderbook_units")?;
    let ts_event = venue_time("timestamp", need(time, "timestamp")?)?;
    let book = DraftBook {
        role: Role::Whole,
        ids: MessageIds {
            ts_event: ts_event.0,
            ..MessageIds::default()
        },
        bids: bids..scratch.bids.len(),
        asks: asks..scratch.asks.len(),
        grouping: level.unwrap_or(0),
    };
    scratch.push(Draft {
        symbol: need(code, "code")?,
        stream: Words::None,
        ts_event: Some(ts_event),
        initial: stream_type.as_deref() == Some("SNAPSHOT"),
        body: DraftBody::Book(book),
    });
    Ok(())
}

/// Price and quantity of a bid and of an ask.
#[derive(Clone, Copy)]
struct Unit {
    ask: (i64, i64),
    bid: (i64, i64),
}

fn units(cursor: &mut Cursor<'_>, scratch: &mut Scratch) -> Result<(), WireError> {
    cursor.open(b'[')?;
    let mut first = true;
    while cursor.next_element(&mut first)? {
        let start = cursor.place();
        let unit = match usual_unit(cursor) {
            Some(unit) => unit,
            None => {
                cursor.back_to(start);
                any_unit(cursor)?
            }
        };
        push(&mut scratch.bids, unit.bid, ("bid_price", "bid_size"))?;
        push(&mut scratch.asks, unit.ask, ("ask_price", "ask_size"))?;
    }
    Ok(())
}

/// The order in which Upbit sends them, without white space.
#[inline(always)]
fn usual_unit(cursor: &mut Cursor<'_>) -> Option<Unit> {
    macro_rules! in_order {
        ($bid_price:literal, $ask_size:literal, $bid_size:literal) => {{
            let ask_price = cursor.plain_amount()?;
            let bid_price = cursor.eat($bid_price).then(|| cursor.plain_amount())??;
            let ask_size = cursor.eat($ask_size).then(|| cursor.plain_amount())??;
            let bid_size = cursor.eat($bid_size).then(|| cursor.plain_amount())??;
            cursor.eat(b"}").then_some(Unit {
                ask: (ask_price, ask_size),
                bid: (bid_price, bid_size),
            })
        }};
    }
    if cursor.eat(b"{\"ask_price\":") {
        in_order!(b",\"bid_price\":", b",\"ask_size\":", b",\"bid_size\":")
    } else if cursor.eat(b"{\"ap\":") {
        in_order!(b",\"bp\":", b",\"as\":", b",\"bs\":")
    } else {
        None
    }
}

#[cold]
fn any_unit(cursor: &mut Cursor<'_>) -> Result<Unit, WireError> {
    let (mut ask_price, mut bid_price, mut ask_size, mut bid_size) = (None, None, None, None);
    cursor.open(b'{')?;
    let mut first = true;
    while let Some(key) = cursor.key(&mut first)? {
        match &*key {
            b"ask_price" | b"ap" => put(&mut ask_price, cursor.amount("ask_price")?, "ask_price")?,
            b"bid_price" | b"bp" => put(&mut bid_price, cursor.amount("bid_price")?, "bid_price")?,
            b"ask_size" | b"as" => put(&mut ask_size, cursor.amount("ask_size")?, "ask_size")?,
            b"bid_size" | b"bs" => put(&mut bid_size, cursor.amount("bid_size")?, "bid_size")?,
            _ => cursor.skip()?,
        }
    }
    Ok(Unit {
        ask: (need(ask_price, "ask_price")?, need(ask_size, "ask_size")?),
        bid: (need(bid_price, "bid_price")?, need(bid_size, "bid_size")?),
    })
}

#[inline(always)]
fn push(
    side: &mut Vec<Level>,
    (price, qty): (i64, i64),
    fields: (&'static str, &'static str),
) -> Result<(), WireError> {
    // A unit of price zero pads the shorter side.
    if price != 0 {
        side.push(Level {
            price: super::price(price, fields.0)?,
            qty: super::qty(qty, fields.1)?,
        });
    }
    Ok(())
}

fn trade(cursor: &mut Cursor<'_>, scratch: &mut Scratch) -> Result<(), WireError> {
    let (mut kind, mut code, mut time, mut id, mut stream_type) = (None, None, None, None, None);
    let (mut trade_price, mut volume, mut taker) = (None, None, None);
    cursor.open(b'{')?;
    let mut first = true;
    while let Some(key) = cursor.key(&mut first)? {
        match &*key {
            b"type" | b"ty" => put(&mut kind, cursor.skip()?, "type")?,
            b"code" | b"cd" | b"market" => put(&mut code, scratch.words(cursor)?, "code")?,
            // When the message was made. The time of the trade itself (`trade_timestamp`) was rounded down to the
            // second in 2021, so it is not used.
            b"timestamp" | b"tms" => put(&mut time, cursor.whole("timestamp")?, "timestamp")?,
            b"trade_price" | b"tp" => put(&mut trade_price, cursor.amount("trade_price")?, "trade_price")?,
            b"trade_volume" | b"tv" => put(&mut volume, cursor.amount("trade_volume")?, "trade_volume")?,
            b"ask_bid" | b"ab" => put(&mut taker, side(cursor)?, "ask_bid")?,
            b"sequential_id" | b"sid" => put(&mut id, cursor.whole("sequential_id")?, "sequential_id")?,
            b"stream_type" | b"st" => put(&mut stream_type, cursor.string()?, "stream_type")?,
            _ => cursor.skip()?,
        }
    }
    let trade = Trade {
        id: need(id, "sequential_id")?,
        price: price(need(trade_price, "trade_price")?, "trade_price")?,
        qty: qty(need(volume, "trade_volume")?, "trade_volume")?,
        taker: need(taker, "ask_bid")?,
        aggregate: false,
        spot: true,
    };
    scratch.push(Draft {
        symbol: need(code, "code")?,
        stream: Words::None,
        ts_event: Some(venue_time("timestamp", need(time, "timestamp")?)?),
        initial: stream_type.as_deref() == Some("SNAPSHOT"),
        body: DraftBody::Trade(trade),
    });
    Ok(())
}

fn side(cursor: &mut Cursor<'_>) -> Result<Side, WireError> {
    let word = cursor.string()?;
    match &*word {
        "ASK" => Ok(Side::Sell),
        "BID" => Ok(Side::Buy),
        other => Err(WireError::Word {
            field: "ask_bid",
            value: other.chars().take(20).collect(),
        }),
    }
}
