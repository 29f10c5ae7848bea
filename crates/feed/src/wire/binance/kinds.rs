//! One reader for each kind of Binance's messages, once it is known which it is. They share most of their keys, and hardly
//! two mean the same by them. Each is marked `inline` so that it is compiled where the kind is found, as one piece.

use std::ops::Range;

use crossbook_engine::book::sync::MessageIds;
use crossbook_engine::event::Level;
use crossbook_engine::instrument::Side;
use crossbook_engine::units::TimestampNs;

use super::super::cursor::Cursor;
use super::super::draft::{Draft, DraftBody, DraftBook, Words, need, put};
use super::super::{Mark, Role, Scratch, Ticker, Trade, WireError, price, qty, venue_time};
use super::Trust;

#[inline]
pub(super) fn depth(cursor: &mut Cursor<'_>, scratch: &mut Scratch, stream: &Words) -> Result<(), WireError> {
    let (mut name, mut symbol, mut event, mut transaction) = (None, None, None, None);
    let (mut from, mut to, mut previous, mut bids, mut asks) = (None, None, None, None, None);
    cursor.open(b'{')?;
    let mut first = true;
    while let Some(key) = cursor.key(&mut first)? {
        match &*key {
            b"e" => put(&mut name, cursor.skip()?, "e")?,
            b"E" => put(&mut event, cursor.whole("E")?, "E")?,
            b"T" => put(&mut transaction, cursor.whole("T")?, "T")?,
            b"s" => put(&mut symbol, scratch.words(cursor)?, "s")?,
            b"U" => put(&mut from, cursor.whole("U")?, "U")?,
            b"u" => put(&mut to, cursor.whole("u")?, "u")?,
            b"pu" => put(&mut previous, cursor.whole("pu")?, "pu")?,
            b"b" => put(&mut bids, levels(cursor, &mut scratch.bids)?, "b")?,
            b"a" => put(&mut asks, levels(cursor, &mut scratch.asks)?, "a")?,
            _ => cursor.skip()?,
        }
    }
    let event = need(event, "E")?;
    // The transaction's time where there is one (futures), else the event's.
    let ts_event = match transaction {
        Some(time) => venue_time("T", time)?,
        None => venue_time("E", event)?,
    };
    let book = DraftBook {
        role: Role::Diff,
        ids: MessageIds {
            first: Some(need(from, "U")?),
            last: Some(need(to, "u")?),
            prev: previous,
            ts_event: ts_event.0,
        },
        bids: need(bids, "b")?,
        asks: need(asks, "a")?,
        grouping: 0,
    };
    scratch.push(Draft {
        symbol: need(symbol, "s")?,
        stream: stream.clone(),
        ts_event: Some(ts_event),
        initial: false,
        body: DraftBody::Book(book),
    });
    Ok(())
}

/// A partial book, or a REST depth answer.
#[inline]
pub(super) fn whole_book(
    cursor: &mut Cursor<'_>,
    scratch: &mut Scratch,
    stream: &Words,
    trust: Trust,
) -> Result<(), WireError> {
    let (mut symbol, mut event, mut transaction) = (None, None, None);
    let (mut last, mut bids, mut asks) = (None, None, None);
    cursor.open(b'{')?;
    let mut first = true;
    while let Some(key) = cursor.key(&mut first)? {
        match &*key {
            b"lastUpdateId" => put(&mut last, cursor.whole("lastUpdateId")?, "lastUpdateId")?,
            b"symbol" => put(&mut symbol, scratch.words(cursor)?, "symbol")?,
            b"E" => put(&mut event, cursor.whole("E")?, "E")?,
            b"T" => put(&mut transaction, cursor.whole("T")?, "T")?,
            b"bids" => put(&mut bids, levels(cursor, &mut scratch.bids)?, "bids")?,
            b"asks" => put(&mut asks, levels(cursor, &mut scratch.asks)?, "asks")?,
            b"e" | b"stream" | b"data" if trust == Trust::FirstKey => {
                return Err(cursor.bad("it may be of another kind"));
            }
            _ => cursor.skip()?,
        }
    }
    let ts_event = match (transaction, event) {
        (Some(time), _) => Some(venue_time("T", time)?),
        (None, Some(time)) => Some(venue_time("E", time)?),
        (None, None) => None,
    };
    let book = DraftBook {
        role: Role::Whole,
        ids: MessageIds {
            last: Some(need(last, "lastUpdateId")?),
            ts_event: ts_event.map_or(0, |ts| ts.0),
            ..MessageIds::default()
        },
        bids: need(bids, "bids")?,
        asks: need(asks, "asks")?,
        grouping: 0,
    };
    let symbol = match symbol {
        Some(symbol) => symbol,
        None => scratch.symbol_of(cursor.text(), stream),
    };
    scratch.push(Draft {
        symbol,
        stream: stream.clone(),
        ts_event,
        initial: false,
        body: DraftBody::Book(book),
    });
    Ok(())
}

#[inline]
pub(super) fn ticker(
    cursor: &mut Cursor<'_>,
    scratch: &mut Scratch,
    stream: &Words,
    trust: Trust,
) -> Result<(), WireError> {
    let (mut name, mut symbol, mut id, mut transaction) = (None, None, None, None);
    let (mut bid, mut bid_qty, mut ask, mut ask_qty) = (None, None, None, None);
    cursor.open(b'{')?;
    let mut first = true;
    while let Some(key) = cursor.key(&mut first)? {
        match &*key {
            b"u" => put(&mut id, cursor.whole("u")?, "u")?,
            b"s" => put(&mut symbol, scratch.words(cursor)?, "s")?,
            b"b" => put(&mut bid, cursor.amount("b")?, "b")?,
            b"B" => put(&mut bid_qty, cursor.amount("B")?, "B")?,
            b"a" => put(&mut ask, cursor.amount("a")?, "a")?,
            b"A" => put(&mut ask_qty, cursor.amount("A")?, "A")?,
            b"T" => put(&mut transaction, cursor.whole("T")?, "T")?,
            // As the first key it has told the kind; as a later one it may tell another.
            b"e" if trust == Trust::AllKeys || id.is_none() => put(&mut name, cursor.skip()?, "e")?,
            b"e" | b"lastUpdateId" | b"stream" | b"data" if trust == Trust::FirstKey => {
                return Err(cursor.bad("it may be of another kind"));
            }
            _ => cursor.skip()?,
        }
    }
    let level = |at: Option<i64>, amount: Option<i64>, fields: (&'static str, &'static str)| {
        let qty = qty(need(amount, fields.1)?, fields.1)?;
        let at = need(at, fields.0)?;
        // An empty side is sent as zero at zero.
        if qty.is_zero() {
            return Ok(None);
        }
        Ok::<_, WireError>(Some(Level {
            price: price(at, fields.0)?,
            qty,
        }))
    };
    let ticker = Ticker {
        id: need(id, "u")?,
        bid: level(bid, bid_qty, ("b", "B"))?,
        ask: level(ask, ask_qty, ("a", "A"))?,
    };
    scratch.push(Draft {
        symbol: need(symbol, "s")?,
        stream: stream.clone(),
        ts_event: transaction.map(|time| venue_time("T", time)).transpose()?,
        initial: false,
        body: DraftBody::Ticker(ticker),
    });
    Ok(())
}

#[inline]
pub(super) fn trade(
    cursor: &mut Cursor<'_>,
    scratch: &mut Scratch,
    stream: &Words,
    aggregate: bool,
) -> Result<(), WireError> {
    let (mut name, mut symbol, mut id, mut time) = (None, None, None, None);
    let (mut trade_price, mut trade_qty, mut buyer_is_maker, mut spot_only) = (None, None, None, None);
    cursor.open(b'{')?;
    let mut first = true;
    while let Some(key) = cursor.key(&mut first)? {
        match &*key {
            b"e" => put(&mut name, cursor.skip()?, "e")?,
            b"s" => put(&mut symbol, scratch.words(cursor)?, "s")?,
            b"a" if aggregate => put(&mut id, cursor.whole("a")?, "a")?,
            b"t" if !aggregate => put(&mut id, cursor.whole("t")?, "t")?,
            b"T" => put(&mut time, cursor.whole("T")?, "T")?,
            b"p" => put(&mut trade_price, cursor.amount("p")?, "p")?,
            b"q" => put(&mut trade_qty, cursor.amount("q")?, "q")?,
            b"m" => put(&mut buyer_is_maker, cursor.flag("m")?, "m")?,
            b"M" => put(&mut spot_only, cursor.skip()?, "M")?,
            _ => cursor.skip()?,
        }
    }
    let trade = Trade {
        id: need(id, if aggregate { "a" } else { "t" })?,
        price: price(need(trade_price, "p")?, "p")?,
        qty: qty(need(trade_qty, "q")?, "q")?,
        taker: taker(need(buyer_is_maker, "m")?),
        aggregate,
        spot: spot_only.is_some(),
    };
    scratch.push(Draft {
        symbol: need(symbol, "s")?,
        stream: stream.clone(),
        ts_event: Some(venue_time("T", need(time, "T")?)?),
        initial: false,
        body: DraftBody::Trade(trade),
    });
    Ok(())
}

pub(super) fn trade_row(cursor: &mut Cursor<'_>, scratch: &mut Scratch) -> Result<(), WireError> {
    let (mut id, mut time, mut buyer_is_maker, mut spot_only) = (None, None, None, None);
    let (mut trade_price, mut trade_qty) = (None, None);
    cursor.open(b'{')?;
    let mut first = true;
    while let Some(key) = cursor.key(&mut first)? {
        match &*key {
            b"id" => put(&mut id, cursor.whole("id")?, "id")?,
            b"price" => put(&mut trade_price, cursor.amount("price")?, "price")?,
            b"qty" => put(&mut trade_qty, cursor.amount("qty")?, "qty")?,
            b"time" => put(&mut time, cursor.whole("time")?, "time")?,
            b"isBuyerMaker" => put(&mut buyer_is_maker, cursor.flag("isBuyerMaker")?, "isBuyerMaker")?,
            b"isBestMatch" => put(&mut spot_only, cursor.skip()?, "isBestMatch")?,
            _ => cursor.skip()?,
        }
    }
    let trade = Trade {
        id: need(id, "id")?,
        price: price(need(trade_price, "price")?, "price")?,
        qty: qty(need(trade_qty, "qty")?, "qty")?,
        taker: taker(need(buyer_is_maker, "isBuyerMaker")?),
        aggregate: false,
        spot: spot_only.is_some(),
    };
    let ts_event = Some(venue_time("time", need(time, "time")?)?);
    scratch.push(Draft {
        ts_event,
        ..Draft::bare(Words::None, DraftBody::Trade(trade))
    });
    Ok(())
}

/// `m` says that the buyer was the maker, so the seller took.
fn taker(buyer_is_maker: bool) -> Side {
    if buyer_is_maker { Side::Sell } else { Side::Buy }
}

#[inline]
pub(super) fn mark(cursor: &mut Cursor<'_>, scratch: &mut Scratch, stream: &Words) -> Result<(), WireError> {
    let (mut name, mut symbol, mut event, mut mark, mut rate, mut next) = (None, None, None, None, None, None);
    cursor.open(b'{')?;
    let mut first = true;
    while let Some(key) = cursor.key(&mut first)? {
        match &*key {
            b"e" => put(&mut name, cursor.skip()?, "e")?,
            b"E" => put(&mut event, cursor.whole("E")?, "E")?,
            b"s" => put(&mut symbol, scratch.words(cursor)?, "s")?,
            b"p" => put(&mut mark, cursor.amount("p")?, "p")?,
            // Futures with a delivery date have no funding: an empty text, and zero for its time.
            b"r" if cursor.eat(b"\"\"") => put(&mut rate, None, "r")?,
            b"r" => put(&mut rate, Some(cursor.amount("r")?), "r")?,
            b"T" => put(&mut next, cursor.whole("T")?, "T")?,
            _ => cursor.skip()?,
        }
    }
    let next: Option<TimestampNs> = match need(next, "T")? {
        0 => None,
        time => Some(venue_time("T", time)?),
    };
    let mark = Mark {
        mark: price(need(mark, "p")?, "p")?,
        rate: rate.flatten(),
        next,
    };
    scratch.push(Draft {
        symbol: need(symbol, "s")?,
        stream: stream.clone(),
        ts_event: Some(venue_time("E", need(event, "E")?)?),
        initial: false,
        body: DraftBody::Mark(mark),
    });
    Ok(())
}

/// A list of `[price, quantity, …]`, put behind what is there.
fn levels(cursor: &mut Cursor<'_>, side: &mut Vec<Level>) -> Result<Range<usize>, WireError> {
    let from = side.len();
    cursor.open(b'[')?;
    let mut first = true;
    while cursor.next_element(&mut first)? {
        let start = cursor.place();
        let (level_price, level_qty) = match usual_level(cursor) {
            Some(level) => level,
            None => {
                cursor.back_to(start);
                any_level(cursor)?
            }
        };
        side.push(Level {
            price: price(level_price, "price")?,
            qty: qty(level_qty, "quantity")?,
        });
    }
    Ok(from..side.len())
}

/// `["61837.63000000","0.00000000"]`, or the same in numbers.
#[inline(always)]
fn usual_level(cursor: &mut Cursor<'_>) -> Option<(i64, i64)> {
    let price = cursor.eat(b"[").then(|| cursor.plain_amount())??;
    let qty = cursor.eat(b",").then(|| cursor.plain_amount())??;
    cursor.eat(b"]").then_some((price, qty))
}

#[cold]
fn any_level(cursor: &mut Cursor<'_>) -> Result<(i64, i64), WireError> {
    cursor.open(b'[')?;
    let mut first = true;
    let mut next = |cursor: &mut Cursor<'_>, field: &'static str| {
        if cursor.next_element(&mut first)? {
            cursor.amount(field)
        } else {
            Err(WireError::Missing(field))
        }
    };
    let (price, qty) = (next(cursor, "price")?, next(cursor, "quantity")?);
    // Old Binance streams end each level with an empty list.
    while cursor.next_element(&mut first)? {
        cursor.skip()?;
    }
    Ok((price, qty))
}
