//! Binance market data: diff and partial depth, book ticker, trades, mark price; spot, USD-M and COIN-M futures; bare and
//! in the envelopes of combined streams, pushed or asked for.
//!
//! Sources: binance-spot-api-docs a5e0bc3 (2026-07-21) for spot; for futures the fields that recordings of 2024-08-08
//! show (`T`, `pu`, `ps`) and Binance's futures documentation for `markPriceUpdate` (read 2026-11-21).
//!
//! Keys may come in any order. The order in which Binance sends them is only the quick way: a frame that does not go that
//! way is read again, slowly, by rules that do not depend on order: an object with `stream` and `data` but without `e`
//! is an envelope; `e` names what a message is; without it `lastUpdateId` makes a book and `u` with `B` a ticker.

mod kinds;

use super::cursor::Cursor;
use super::draft::{Draft, DraftBody, Words, put};
use super::{Message, Scratch, WireError};
use kinds::{depth, mark, ticker, trade, trade_row, whole_book};

/// Reads a frame of the WebSocket or a REST depth answer; see [`super::read`].
///
/// # Errors
/// [`WireError`].
pub fn read(bytes: &[u8], scratch: &mut Scratch, each: &mut dyn FnMut(Message<'_>)) -> Result<(), WireError> {
    let mut cursor = Cursor::new(bytes)?;
    scratch.clear();
    let start = cursor.place();
    if usual_envelope(&mut cursor, scratch).is_none() {
        cursor.back_to(start);
        scratch.clear();
        any_object(&mut cursor, scratch)?;
    }
    cursor.end()?;
    scratch.hand_on(cursor.text(), each);
    Ok(())
}

/// Reads an answer of `GET /api/v3/trades` or `/fapi/v1/trades`, oldest first; see [`super::read_answer`].
///
/// # Errors
/// [`WireError`].
pub fn read_trades(bytes: &[u8], scratch: &mut Scratch, each: &mut dyn FnMut(Message<'_>)) -> Result<(), WireError> {
    let mut cursor = Cursor::new(bytes)?;
    scratch.clear();
    if cursor.eat(b"[") {
        let mut first = true;
        while cursor.next_element(&mut first)? {
            trade_row(&mut cursor, scratch)?;
        }
    } else {
        reply(&mut cursor, scratch)?;
    }
    cursor.end()?;
    scratch.hand_on(cursor.text(), each);
    Ok(())
}

/// What an object is, as far as its first key tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Depth,
    Whole,
    Ticker,
    Trade,
    Aggregate,
    Mark,
}

/// An envelope as Binance writes it, with a message of a frequent kind in it.
#[inline]
fn usual_envelope(cursor: &mut Cursor<'_>, scratch: &mut Scratch) -> Option<()> {
    if !cursor.eat(b"{\"stream\":") {
        return usual_body(cursor, scratch, &Words::None);
    }
    let stream = scratch.words(cursor).ok()?;
    if !cursor.eat(b",\"data\":") {
        return None;
    }
    usual_body(cursor, scratch, &stream)?;
    cursor.eat(b"}").then_some(())
}

/// A message of a frequent kind whose first key tells which. `None` when it is no such, or not a good one: the slow way
/// then says what it is.
#[inline]
fn usual_body(cursor: &mut Cursor<'_>, scratch: &mut Scratch, stream: &Words) -> Option<()> {
    let start = cursor.place();
    let kind = if cursor.eat(b"{\"e\":\"depthUpdate\"") {
        Kind::Depth
    } else if cursor.eat(b"{\"lastUpdateId\":") {
        Kind::Whole
    } else if cursor.eat(b"{\"u\":") || cursor.eat(b"{\"e\":\"bookTicker\"") {
        Kind::Ticker
    } else if cursor.eat(b"{\"e\":\"trade\"") {
        Kind::Trade
    } else if cursor.eat(b"{\"e\":\"aggTrade\"") {
        Kind::Aggregate
    } else if cursor.eat(b"{\"e\":\"markPriceUpdate\"") {
        Kind::Mark
    } else {
        return None;
    };
    cursor.back_to(start);
    message(cursor, scratch, stream, kind, Trust::FirstKey).ok()
}

fn any_object(cursor: &mut Cursor<'_>, scratch: &mut Scratch) -> Result<(), WireError> {
    let start = cursor.place();
    let (mut stream, mut data, mut named) = (None, None, false);
    let mut twice = None;
    cursor.open(b'{')?;
    let mut first = true;
    while let Some(key) = cursor.key(&mut first)? {
        let slot = match &*key {
            b"stream" => Some((&mut stream, "stream")),
            b"data" => Some((&mut data, "data")),
            b"e" => {
                named = true;
                None
            }
            _ => None,
        };
        if let Some((slot, field)) = slot {
            twice = twice.or(slot.replace(cursor.place()).map(|_| field));
        }
        cursor.skip()?;
    }
    let end = cursor.place();
    let (Some(stream), Some(data), false) = (stream, data, named) else {
        cursor.back_to(start);
        return any_body(cursor, scratch, &Words::None);
    };
    if let Some(field) = twice {
        return Err(WireError::Twice(field));
    }
    cursor.back_to(stream);
    let stream = scratch.words(cursor)?;
    cursor.back_to(data);
    if scratch.text(cursor.text(), &stream) == Some("!serverShutdown") {
        scratch.push(Draft::bare(stream, DraftBody::Shutdown));
    } else if cursor.peek() == b'{' {
        any_body(cursor, scratch, &stream)?;
    } else {
        // Streams of all symbols carry a list.
        scratch.push(Draft::bare(stream.clone(), DraftBody::Other(stream)));
    }
    cursor.back_to(end);
    Ok(())
}

fn any_body(cursor: &mut Cursor<'_>, scratch: &mut Scratch, stream: &Words) -> Result<(), WireError> {
    let start = cursor.place();
    let (mut name, mut book, mut update, mut bid) = (None, false, false, false);
    cursor.open(b'{')?;
    let mut first = true;
    while let Some(key) = cursor.key(&mut first)? {
        match &*key {
            b"e" => {
                put(&mut name, scratch.words(cursor)?, "e")?;
                continue;
            }
            b"lastUpdateId" => book = true,
            b"u" => update = true,
            b"B" => bid = true,
            _ => {}
        }
        cursor.skip()?;
    }
    let kind = match name.as_ref().and_then(|name| scratch.text(cursor.text(), name)) {
        Some("depthUpdate") => Some(Kind::Depth),
        Some("bookTicker") => Some(Kind::Ticker),
        Some("trade") => Some(Kind::Trade),
        Some("aggTrade") => Some(Kind::Aggregate),
        Some("markPriceUpdate") => Some(Kind::Mark),
        Some("serverShutdown") => {
            scratch.push(Draft::bare(stream.clone(), DraftBody::Shutdown));
            return Ok(());
        }
        Some(_) => None,
        None if book => Some(Kind::Whole),
        // Spot tickers name neither their kind nor their time.
        None if update && bid => Some(Kind::Ticker),
        None => None,
    };
    match (kind, name, stream) {
        (Some(kind), ..) => {
            cursor.back_to(start);
            message(cursor, scratch, stream, kind, Trust::AllKeys)
        }
        (None, Some(name), _) => {
            scratch.push(Draft::bare(stream.clone(), DraftBody::Other(name)));
            Ok(())
        }
        (None, None, Words::None) => {
            cursor.back_to(start);
            reply(cursor, scratch)
        }
        (None, None, _) => {
            scratch.push(Draft::bare(stream.clone(), DraftBody::Other(Words::Fixed("unnamed"))));
            Ok(())
        }
    }
}

/// An answer to a request: taken, or refused.
fn reply(cursor: &mut Cursor<'_>, scratch: &mut Scratch) -> Result<(), WireError> {
    let (mut code, mut message, mut error, mut taken) = (None, None, None, false);
    cursor.open(b'{')?;
    let mut first = true;
    while let Some(key) = cursor.key(&mut first)? {
        match &*key {
            b"code" => put(&mut code, scratch.raw_words(cursor)?, "code")?,
            b"msg" => put(&mut message, scratch.raw_words(cursor)?, "msg")?,
            b"error" if cursor.peek() == b'{' => {
                let (mut code, mut message) = (None, None);
                cursor.open(b'{')?;
                let mut first = true;
                while let Some(key) = cursor.key(&mut first)? {
                    match &*key {
                        b"code" => put(&mut code, scratch.raw_words(cursor)?, "code")?,
                        b"msg" => put(&mut message, scratch.raw_words(cursor)?, "msg")?,
                        _ => cursor.skip()?,
                    }
                }
                put(&mut error, (code, message), "error")?;
            }
            b"result" | b"id" => {
                taken = true;
                cursor.skip()?;
            }
            _ => cursor.skip()?,
        }
    }
    let refused = error.or(code.map(|code| (Some(code), message)));
    let body = match refused {
        Some((code, message)) => DraftBody::Refusal {
            code: code.unwrap_or_default(),
            message: message.unwrap_or_default(),
        },
        None => DraftBody::Other(Words::Fixed(if taken { "result" } else { "unnamed" })),
    };
    scratch.push(Draft::bare(Words::None, body));
    Ok(())
}

/// How far the kind of an object is certain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// Its first key told: when a later one may tell otherwise, it is not believed.
    FirstKey,
    /// All its keys were looked at.
    AllKeys,
}

/// Reads an object of this kind. One loop for all kinds: they share most of their keys, and what a key means depends on
/// the kind in few places.
fn message(
    cursor: &mut Cursor<'_>,
    scratch: &mut Scratch,
    stream: &Words,
    kind: Kind,
    trust: Trust,
) -> Result<(), WireError> {
    match kind {
        Kind::Depth => depth(cursor, scratch, stream),
        Kind::Whole => whole_book(cursor, scratch, stream, trust),
        Kind::Ticker => ticker(cursor, scratch, stream, trust),
        Kind::Trade => trade(cursor, scratch, stream, false),
        Kind::Aggregate => trade(cursor, scratch, stream, true),
        Kind::Mark => mark(cursor, scratch, stream),
    }
}
