//! The one closed enum of everything that the market can tell the engine, and the packed form in which
//! recorded events are held in memory.

use serde::{Deserialize, Serialize};

use crate::instrument::Side;
use crate::units::{FxRate, Price, Qty, TimestampNs};

/// One price level: quantity at a price. In an update a zero quantity removes the level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Level {
    /// Price, in quote.
    pub price: Price,
    /// Quantity, in base.
    pub qty: Qty,
}

/// What a feed says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum FeedStatus {
    /// Data flow again; the book is still doubtful until the next snapshot.
    Connected = 0,
    /// No data for longer than the feed allows.
    Stale = 1,
    /// At least one update is missing: the book is wrong until the next snapshot.
    Gap = 2,
    /// The connection is gone.
    Disconnected = 3,
}

impl FeedStatus {
    /// From its number in a file.
    pub const fn from_code(code: i64) -> Option<FeedStatus> {
        Some(match code {
            0 => FeedStatus::Connected,
            1 => FeedStatus::Stale,
            2 => FeedStatus::Gap,
            3 => FeedStatus::Disconnected,
            _ => return None,
        })
    }
}

/// What happened. Levels are borrowed: applying an event copies nothing that the book does not keep.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum EventKind<'a> {
    /// Replaces the whole book. `complete` when nothing rests outside the levels given; otherwise what lies beyond the
    /// worst level of a side is unknown, not empty, until the next snapshot.
    Snapshot {
        /// Bid levels, in any order.
        bids: &'a [Level],
        /// Ask levels, in any order.
        asks: &'a [Level],
        /// Whether the whole market is in it.
        complete: bool,
    },
    /// New absolute quantities of some levels; the last word on a level wins.
    Update {
        /// Bid levels.
        bids: &'a [Level],
        /// Ask levels.
        asks: &'a [Level],
    },
    /// A trade between others.
    Trade {
        /// Its price.
        price: Price,
        /// Its quantity.
        qty: Qty,
        /// Which side took.
        taker: Side,
    },
    /// An exchange rate.
    Fx(FxRate),
    /// Funding of a perpetual falls due now.
    Funding {
        /// Paid by longs to shorts, as a share of position value, counted in 1e-8; negative when shorts pay.
        rate: i64,
        /// The mark price to which it applies.
        mark: Price,
    },
    /// The feed's health.
    Status(FeedStatus),
}

/// What kind of event a header announces; the numbers are those of the canonical Parquet files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Kind {
    /// A snapshot of part of the book (top N, or a REST snapshot of N levels).
    Snapshot = 0,
    /// A snapshot of everything there is.
    CompleteSnapshot = 1,
    /// Level changes.
    Update = 2,
    /// A trade: one level, a bid when the buyer took.
    Trade = 3,
    /// A rate: one value.
    Fx = 4,
    /// Funding: two values, rate and mark price.
    Funding = 5,
    /// Feed status: one value, the code of [`FeedStatus`].
    Status = 6,
}

impl Kind {
    /// From its number in a file.
    pub const fn from_code(code: u8) -> Option<Kind> {
        Some(match code {
            0 => Kind::Snapshot,
            1 => Kind::CompleteSnapshot,
            2 => Kind::Update,
            3 => Kind::Trade,
            4 => Kind::Fx,
            5 => Kind::Funding,
            6 => Kind::Status,
            _ => return None,
        })
    }
}

/// When and what, without the levels. 32 bytes, so that a recorded day fits in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// When it happened at the venue, on the receiver's clock; never after `ts_recv`, never going back in a stream.
    pub ts_event: TimestampNs,
    /// When it was received; never going back in a stream.
    pub ts_recv: TimestampNs,
    /// Where its levels (or values) begin in the chunk.
    start: u32,
    bids: u32,
    asks: u32,
    kind: Kind,
}

impl Header {
    /// What it announces.
    #[inline]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// How many rows (level changes) it stands for; events without levels count as one.
    #[inline]
    pub fn rows(&self) -> u64 {
        u64::from(self.bids + self.asks).max(1)
    }
}

/// A stretch of one stream, decoded and checked, in arrival order. Read-only and shared between trials.
#[derive(Debug, Default, Clone)]
pub struct Chunk {
    headers: Vec<Header>,
    levels: Vec<Level>,
    values: Vec<i64>,
}

/// Why an event cannot be added to a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// More than `u32::MAX` levels in one chunk.
    #[error("more than 4294967295 levels in one chunk")]
    Full,
}

impl Chunk {
    /// An empty chunk with room for this many events and levels.
    pub fn with_capacity(events: usize, levels: usize) -> Chunk {
        Chunk {
            headers: Vec::with_capacity(events),
            levels: Vec::with_capacity(levels),
            values: Vec::new(),
        }
    }

    /// Adds an event at the end. The caller vouches for order: `ts_event` and `ts_recv` never go back, and
    /// `ts_event <= ts_recv`.
    ///
    /// # Errors
    /// [`ChunkError::Full`] when the chunk cannot address more levels.
    #[inline]
    pub fn push(&mut self, ts_event: TimestampNs, ts_recv: TimestampNs, kind: EventKind<'_>) -> Result<(), ChunkError> {
        debug_assert!(ts_event <= ts_recv);
        let mut header = Header {
            ts_event,
            ts_recv,
            start: 0,
            bids: 0,
            asks: 0,
            kind: Kind::Update,
        };
        match kind {
            EventKind::Snapshot { bids, asks, complete } => {
                header.kind = if complete {
                    Kind::CompleteSnapshot
                } else {
                    Kind::Snapshot
                };
                self.push_levels(&mut header, bids, asks)?;
            }
            EventKind::Update { bids, asks } => self.push_levels(&mut header, bids, asks)?,
            EventKind::Trade { price, qty, taker } => {
                header.kind = Kind::Trade;
                let level = [Level { price, qty }];
                match taker {
                    Side::Buy => self.push_levels(&mut header, &level, &[])?,
                    Side::Sell => self.push_levels(&mut header, &[], &level)?,
                }
            }
            EventKind::Fx(rate) => self.push_values(&mut header, Kind::Fx, &[rate.raw()])?,
            EventKind::Funding { rate, mark } => self.push_values(&mut header, Kind::Funding, &[rate, mark.raw()])?,
            EventKind::Status(status) => self.push_values(&mut header, Kind::Status, &[status as i64])?,
        }
        self.headers.push(header);
        Ok(())
    }

    fn push_levels(&mut self, header: &mut Header, bids: &[Level], asks: &[Level]) -> Result<(), ChunkError> {
        let fits = |count: usize| u32::try_from(count).map_err(|_| ChunkError::Full);
        fits(self.levels.len() + bids.len() + asks.len())?;
        header.start = fits(self.levels.len())?;
        header.bids = fits(bids.len())?;
        header.asks = fits(asks.len())?;
        self.levels.extend_from_slice(bids);
        self.levels.extend_from_slice(asks);
        Ok(())
    }

    fn push_values(&mut self, header: &mut Header, kind: Kind, values: &[i64]) -> Result<(), ChunkError> {
        header.kind = kind;
        header.start = u32::try_from(self.values.len()).map_err(|_| ChunkError::Full)?;
        self.values.extend_from_slice(values);
        Ok(())
    }

    /// How many events it holds.
    #[inline]
    pub fn len(&self) -> usize {
        self.headers.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.headers.is_empty()
    }

    /// The headers, in arrival order.
    #[inline]
    pub fn headers(&self) -> &[Header] {
        &self.headers
    }

    /// How many rows (level changes) it holds.
    pub fn rows(&self) -> u64 {
        self.headers.iter().map(Header::rows).sum()
    }

    /// Bytes that it takes in memory.
    pub fn bytes(&self) -> usize {
        self.headers.capacity() * size_of::<Header>()
            + self.levels.capacity() * size_of::<Level>()
            + self.values.capacity() * size_of::<i64>()
    }

    /// The levels of a header: bids and asks.
    #[inline]
    pub fn sides(&self, header: &Header) -> (&[Level], &[Level]) {
        let start = header.start as usize;
        let middle = start + header.bids as usize;
        let end = middle + header.asks as usize;
        let levels = &self.levels[start..end];
        levels.split_at(middle - start)
    }

    /// The event at this index.
    #[inline]
    pub fn event(&self, index: usize) -> EventKind<'_> {
        let header = &self.headers[index];
        match header.kind {
            Kind::Snapshot | Kind::CompleteSnapshot => {
                let (bids, asks) = self.sides(header);
                EventKind::Snapshot {
                    bids,
                    asks,
                    complete: header.kind == Kind::CompleteSnapshot,
                }
            }
            Kind::Update => {
                let (bids, asks) = self.sides(header);
                EventKind::Update { bids, asks }
            }
            Kind::Trade => {
                let level = self.levels[header.start as usize];
                let taker = if header.bids == 1 { Side::Buy } else { Side::Sell };
                EventKind::Trade {
                    price: level.price,
                    qty: level.qty,
                    taker,
                }
            }
            Kind::Fx => match FxRate::from_raw(self.values[header.start as usize]) {
                Ok(rate) => EventKind::Fx(rate),
                Err(_) => unreachable!("values are pushed from checked types"),
            },
            Kind::Funding => {
                let at = header.start as usize;
                match Price::from_raw(self.values[at + 1]) {
                    Ok(mark) => EventKind::Funding {
                        rate: self.values[at],
                        mark,
                    },
                    Err(_) => unreachable!("values are pushed from checked types"),
                }
            }
            Kind::Status => match FeedStatus::from_code(self.values[header.start as usize]) {
                Some(status) => EventKind::Status(status),
                None => unreachable!("values are pushed from checked types"),
            },
        }
    }
}
