//! Where the market's own liquidity and trades come from: a seeded synthetic market, or a recording.
//!
//! A source knows nothing of clients: what they take and what they leave in the book is the exchange's affair. Its
//! changes come in the order of their time, and do not depend on how often they are asked for.

pub mod recorded;
pub mod synthetic;

use crossbook_engine::event::Level;
use crossbook_engine::instrument::Side;
use crossbook_engine::units::{Price, Qty, TimestampNs};

/// Why a source has no more to give.
#[derive(Debug, thiserror::Error)]
#[error("market source: {0}")]
pub struct SourceError(pub String);

/// What a source has happen in one market.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ChangeKind {
    /// The levels of [`Change`] are the whole book.
    Snapshot,
    /// They are new absolute quantities; zero removes.
    Update,
    /// A trade against the market's own liquidity.
    Trade {
        /// Its price.
        price: Price,
        /// Its quantity.
        qty: Qty,
        /// Which side took.
        taker: Side,
    },
    /// Mark price of a perpetual.
    Mark {
        /// The price.
        mark: Price,
        /// Next funding rate, 1e-8.
        rate: i64,
        /// When it falls due.
        next: TimestampNs,
    },
}

/// One change of one market; a buffer that is used again and again.
#[derive(Debug, Clone)]
pub struct Change {
    /// When.
    pub ts: TimestampNs,
    /// Which market: its place in the exchange's list.
    pub market: usize,
    /// What.
    pub kind: ChangeKind,
    /// Bids of a snapshot or an update.
    pub bids: Vec<Level>,
    /// Asks of a snapshot or an update.
    pub asks: Vec<Level>,
}

impl Default for Change {
    fn default() -> Change {
        Change {
            ts: TimestampNs::MIN,
            market: 0,
            kind: ChangeKind::Update,
            bids: Vec::new(),
            asks: Vec::new(),
        }
    }
}

/// A source of changes, for all markets of an exchange at once.
pub trait Source: Send {
    /// When the next change is due; `None` when there is none any more.
    fn next_ts(&mut self) -> Option<TimestampNs>;

    /// Writes the next change into `change`. Whether there was one.
    ///
    /// # Errors
    /// When a recording cannot be read further.
    fn next(&mut self, change: &mut Change) -> Result<bool, SourceError>;

    /// Lets a market change `factor` times as often from now on. Whether the source can do that (a recording cannot).
    fn set_rate(&mut self, market: usize, factor: f64) -> bool;
}
