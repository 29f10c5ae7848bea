//! One message of a stream, owned: what importers and generators make and the writer takes.

use crossbook_engine::event::{FeedStatus, Kind, Level};
use crossbook_engine::instrument::Side;
use crossbook_engine::units::{FxRate, Price, Qty, TimestampNs};

/// One atomic message of one stream. The buffers are reused from message to message by those who make many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// When it happened at the venue, on the venue's clock, as recorded (not yet corrected for a clock offset).
    /// A source that gives no exchange time repeats `ts_recv` here and says so in the manifest.
    pub ts_event: TimestampNs,
    /// When it was received; never goes back within a dataset.
    pub ts_recv: TimestampNs,
    /// What it is.
    pub kind: Kind,
    /// First update id (`U`), if the venue gives one.
    pub seq_first: Option<u64>,
    /// Last update id (`u`, `lastUpdateId`) or the message's only number.
    pub seq_last: Option<u64>,
    /// Last update id of the message before (`pu`).
    pub seq_prev: Option<u64>,
    /// Bid levels; for a trade in which the buyer took, the one level.
    pub bids: Vec<Level>,
    /// Ask levels; for a trade in which the seller took, the one level.
    pub asks: Vec<Level>,
    /// `Fx`: the rate. `Funding`: the rate (signed, 1e-8) and the mark price. `Status`: its code. Else empty.
    pub values: Vec<i64>,
}

impl Message {
    /// An empty message of this kind.
    pub fn new(kind: Kind, ts_event: TimestampNs, ts_recv: TimestampNs) -> Message {
        Message {
            ts_event,
            ts_recv,
            kind,
            seq_first: None,
            seq_last: None,
            seq_prev: None,
            bids: Vec::new(),
            asks: Vec::new(),
            values: Vec::new(),
        }
    }

    /// A trade.
    pub fn trade(ts_event: TimestampNs, ts_recv: TimestampNs, price: Price, qty: Qty, taker: Side) -> Message {
        let mut message = Message::new(Kind::Trade, ts_event, ts_recv);
        match taker {
            Side::Buy => message.bids.push(Level { price, qty }),
            Side::Sell => message.asks.push(Level { price, qty }),
        }
        message
    }

    /// A rate.
    pub fn fx(ts_event: TimestampNs, ts_recv: TimestampNs, rate: FxRate) -> Message {
        Message {
            values: vec![rate.raw()],
            ..Message::new(Kind::Fx, ts_event, ts_recv)
        }
    }

    /// A change of the feed's health.
    pub fn status(ts: TimestampNs, status: FeedStatus) -> Message {
        Message {
            values: vec![status as i64],
            ..Message::new(Kind::Status, ts, ts)
        }
    }
}
