//! What a message says, in one form for all venues.
//!
//! Messages borrow from the frame and from [`Scratch`](super::Scratch): reading them copies nothing that is not a number. They say what
//! the venue said; whether it continues a book is not judged here.

use crossbook_engine::book::sync::MessageIds;
use crossbook_engine::event::Level;
use crossbook_engine::instrument::Side;
use crossbook_engine::units::{Price, Qty, TimestampNs};

/// One message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// The market, in the venue's own spelling (`KRW-BTC`, `BTCUSDT`). `None` where neither the message nor the name of
    /// its stream says whose it is: bare partial books and REST answers of Binance, and messages that are of no market.
    pub symbol: Option<&'a str>,
    /// Name of the stream, where an envelope gives it (`btcusdt@depth@100ms`).
    pub stream: Option<&'a str>,
    /// When it happened at the venue. `None` where the venue does not say (Binance spot: partial books, `bookTicker`,
    /// REST depth).
    pub ts_event: Option<TimestampNs>,
    /// Sent because of a subscription and not because something has just happened (Upbit's `stream_type` SNAPSHOT): a
    /// trade may be long past.
    pub initial: bool,
    /// What it says.
    pub body: Body<'a>,
}

/// What a message says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body<'a> {
    /// A book, or changes of it.
    Book(Book<'a>),
    /// A trade, or an aggregate of trades of one taker at one price.
    Trade(Trade),
    /// Best bid and ask.
    Ticker(Ticker),
    /// Mark price and funding rate of a perpetual.
    Mark(Mark),
    /// The venue is about to close this connection (Binance `serverShutdown`): make another now.
    Shutdown,
    /// Of a kind that is passed over, by its name: the venue's own, or `status`, `LIST_SUBSCRIPTIONS`, `result` (a
    /// request was taken), `unnamed`. A list of all symbols goes by the name of its stream.
    Other(&'a str),
    /// The venue refuses something that was asked of it.
    Refusal(Refusal<'a>),
}

/// Whether levels are all there is to know or only what changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The top of the book as a whole; what lies beyond the worst level is not told.
    Whole,
    /// New quantities of some levels; zero removes.
    Diff,
}

/// A book, or changes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Book<'a> {
    /// Whole or changes.
    pub role: Role,
    /// The venue's numbers, as far as it gives them; `ts_event` in it is zero where the message has none.
    pub ids: MessageIds,
    /// Bids as sent (best first in whole books). Upbit's padding of the shorter side (price zero) is left out.
    pub bids: &'a [Level],
    /// Asks as sent.
    pub asks: &'a [Level],
    /// Upbit: prices are rounded to this step (`level`), counted in 1e-8 of quote; zero for the book as it is.
    pub grouping: i64,
}

/// A trade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trade {
    /// The venue's number of it: Upbit `sequential_id` (unique, but no order), Binance trade id or aggregate trade id.
    pub id: u64,
    /// Its price.
    pub price: Price,
    /// Its quantity.
    pub qty: Qty,
    /// The side that took.
    pub taker: Side,
    /// Whether it is an aggregate of several.
    pub aggregate: bool,
    /// Whether it is of a spot market. Told from the message: spot trades of Binance carry the retired field `M`
    /// (`isBestMatch` over REST), those of its futures do not.
    pub spot: bool,
}

/// Best bid and ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticker {
    /// Update id of the book.
    pub id: u64,
    /// Best bid; `None` when the side is empty (sent as zero at zero).
    pub bid: Option<Level>,
    /// Best ask.
    pub ask: Option<Level>,
}

/// Mark price and funding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Mark price.
    pub mark: Price,
    /// Rate of the next funding, paid by longs to shorts, counted in 1e-8; `None` for futures that have none.
    pub rate: Option<i64>,
    /// When it falls due; `None` for futures that have none.
    pub next: Option<TimestampNs>,
}

/// What the venue says when it refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal<'a> {
    /// Upbit `name` (`NO_CODES`, or a number), Binance `code` (`-1121`), as written; empty where there is none.
    pub code: &'a str,
    /// Upbit `message`, Binance `msg`, as written (escapes and all); empty where there is none.
    pub message: &'a str,
}
