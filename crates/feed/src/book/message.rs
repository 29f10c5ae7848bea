//! What a book is told and what becomes of it.

use crossbook_engine::book::sync::{MessageIds, SequenceRule};
use crossbook_engine::event::Level;
use crossbook_engine::units::TimestampNs;

use crate::clock::Stamp;
use crate::input::Via;

/// How the book of a market comes over the WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Numbered diffs upon a snapshot that is asked for.
    Diffs(SequenceRule),
    /// Whole books, judged by this rule.
    Whole(SequenceRule),
}

/// A book message on its way in.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// When it was read.
    pub now: Stamp,
    /// Which way it came.
    pub via: Via,
    /// When its content was made, on our monotonic clock: `now` where the venue gives no time.
    pub fresh_ns: i64,
    /// The venue's time.
    pub ts: Option<TimestampNs>,
    /// The venue's numbers.
    pub ids: MessageIds,
    /// Bids.
    pub bids: &'a [Level],
    /// Asks.
    pub asks: &'a [Level],
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is in the book.
    Applied,
    /// It waits for a snapshot; [`super::MarketBook::settled`] tells what became of it.
    Kept,
    /// It was not needed, for this reason.
    Ignored(&'static str),
}

/// What became of frames that had waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Settled {
    /// Applied upon a snapshot.
    pub applied: u64,
    /// Contained in a snapshot, or given up with the connection, a hole or a full buffer.
    pub ignored: u64,
}

/// What happened to a book so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Messages that were in the book already.
    pub duplicates: u64,
    /// Whole books older than the one there is.
    pub old: u64,
    /// Missing updates.
    pub gaps: u64,
    /// How often best bid and ask met.
    pub crossed: u64,
    /// How often the content became too old.
    pub stale: u64,
    /// How often the connection went away under it.
    pub disconnected: u64,
    /// Snapshots asked for.
    pub asked: u64,
    /// Snapshots older than the diffs that were kept.
    pub too_old: u64,
    /// Requests that failed or were not answered in time.
    pub failed: u64,
    /// Kept diffs given up because there was no more room, or a hole behind them.
    pub given_up: u64,
    /// Messages whose venue time went back, or was later than ours: the event's time was held.
    pub held_times: u64,
}
