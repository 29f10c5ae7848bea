//! The L2 book of one instrument: apply, best prices, depth walk, trust.
//!
//! What always holds: each side is strictly sorted with its best level last, no stored quantity is zero, and a walk never
//! goes past the price range that is known: what the last snapshot vouched for, and what the best price of the other
//! side has swept since. It does not know sequence numbers: [`sync`] judges
//! those where the data enter, and tells the book of a gap by an event.

pub mod sync;

use crate::event::{EventKind, FeedStatus, Level};
use crate::instrument::Side;
use crate::units::{Price, Qty, TimestampNs};

/// A side of the book.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BookSide {
    /// Buyers: best is highest.
    Bid,
    /// Sellers: best is lowest.
    Ask,
}

impl BookSide {
    /// The side that an order of this direction takes.
    #[inline]
    pub const fn taken_by(side: Side) -> BookSide {
        match side {
            Side::Buy => BookSide::Ask,
            Side::Sell => BookSide::Bid,
        }
    }
}

/// Why a book cannot be priced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Doubt {
    /// No snapshot yet, or none since the last gap or disconnection.
    NotSynced,
    /// One side has no level.
    EmptySide,
    /// Best bid at or above best ask.
    Crossed,
    /// The feed says that it is stale or disconnected.
    FeedDown,
}

/// What walking a side for a quantity would give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Walk {
    /// How much of the quantity is there.
    pub filled: Qty,
    /// Sum of `price * quantity`, in 1e-16 of the quote currency, exact.
    pub cost: i128,
    /// Price of the last level touched.
    pub worst: Price,
}

/// L2 book of one instrument.
#[derive(Debug, Clone)]
pub struct Book {
    bids: Ladder<true>,
    asks: Ladder<false>,
    synced: bool,
    feed_up: bool,
    crossed: bool,
    crossed_count: u64,
    ts_event: TimestampNs,
    ts_recv: TimestampNs,
}

/// All of a book but its levels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BookState {
    trusted: (Option<Price>, Option<Price>),
    synced: bool,
    feed_up: bool,
    crossed: bool,
    crossed_count: u64,
    ts: (TimestampNs, TimestampNs),
}

impl Default for Book {
    fn default() -> Self {
        Book {
            bids: Ladder::default(),
            asks: Ladder::default(),
            synced: false,
            feed_up: true,
            crossed: false,
            crossed_count: 0,
            ts_event: TimestampNs::MIN,
            ts_recv: TimestampNs::MIN,
        }
    }
}

impl Book {
    /// Applies a market event. Trades, rates and funding do not change a book.
    #[inline]
    pub fn apply(&mut self, ts_event: TimestampNs, ts_recv: TimestampNs, event: &EventKind<'_>) {
        match *event {
            EventKind::Update { bids, asks } => {
                for &level in bids {
                    self.bids.set(level);
                }
                for &level in asks {
                    self.asks.set(level);
                }
            }
            EventKind::Snapshot { bids, asks, complete } => {
                self.bids.replace(bids, complete);
                self.asks.replace(asks, complete);
                self.synced = true;
                self.feed_up = true;
            }
            EventKind::Status(status) => {
                match status {
                    FeedStatus::Connected => self.feed_up = true,
                    FeedStatus::Stale => self.feed_up = false,
                    FeedStatus::Gap => self.synced = false,
                    FeedStatus::Disconnected => {
                        self.synced = false;
                        self.feed_up = false;
                    }
                }
                return;
            }
            EventKind::Trade { .. } | EventKind::Fx(_) | EventKind::Funding { .. } => return,
        }
        self.ts_event = ts_event;
        self.ts_recv = ts_recv;
        let crossed = match (self.bids.best(), self.asks.best()) {
            (Some(bid), Some(ask)) if bid.price < ask.price => {
                self.bids.swept_to(ask.price);
                self.asks.swept_to(bid.price);
                false
            }
            (Some(_), Some(_)) => true,
            _ => false,
        };
        self.crossed_count += u64::from(crossed && !self.crossed);
        self.crossed = crossed;
    }

    /// Best bid and best ask of a book that can be priced.
    ///
    /// # Errors
    /// The [`Doubt`] that forbids pricing.
    #[inline]
    pub fn top(&self) -> Result<(Level, Level), Doubt> {
        if !self.synced {
            return Err(Doubt::NotSynced);
        }
        if !self.feed_up {
            return Err(Doubt::FeedDown);
        }
        match (self.bids.trusted_best(), self.asks.trusted_best()) {
            (Some(_), Some(_)) if self.crossed => Err(Doubt::Crossed),
            (Some(bid), Some(ask)) => Ok((bid, ask)),
            _ => Err(Doubt::EmptySide),
        }
    }

    /// Best level of a side as it stands, priced or not.
    #[inline]
    pub fn best(&self, side: BookSide) -> Option<Level> {
        match side {
            BookSide::Bid => self.bids.best(),
            BookSide::Ask => self.asks.best(),
        }
    }

    /// Walks the side that an order of this direction takes, up to `qty`, no further than `limit` and no further than
    /// the book can be trusted. `None` when nothing is there.
    #[inline]
    pub fn walk(&self, taker: Side, qty: Qty, limit: Option<Price>) -> Option<Walk> {
        match taker {
            Side::Buy => self.asks.walk(qty, limit),
            Side::Sell => self.bids.walk(qty, limit),
        }
    }

    /// Levels of a side that can be trusted, best first.
    pub fn levels(&self, side: BookSide) -> impl Iterator<Item = Level> + '_ {
        let (levels, trusted) = match side {
            BookSide::Bid => (&self.bids.levels, self.bids.trusted),
            BookSide::Ask => (&self.asks.levels, self.asks.trusted),
        };
        levels
            .iter()
            .rev()
            .copied()
            .take_while(move |level| match (side, trusted) {
                (_, None) => true,
                (BookSide::Bid, Some(bound)) => level.price >= bound,
                (BookSide::Ask, Some(bound)) => level.price <= bound,
            })
    }

    /// Quantity resting at exactly this price.
    pub fn qty_at(&self, side: BookSide, price: Price) -> Qty {
        match side {
            BookSide::Bid => self.bids.qty_at(price),
            BookSide::Ask => self.asks.qty_at(price),
        }
    }

    /// When the newest book event happened at the venue.
    #[inline]
    pub fn ts_event(&self) -> TimestampNs {
        self.ts_event
    }

    /// When the newest book event was received.
    #[inline]
    pub fn ts_recv(&self) -> TimestampNs {
        self.ts_recv
    }

    /// How often the book became crossed or locked.
    pub fn crossed_count(&self) -> u64 {
        self.crossed_count
    }

    /// Whether a snapshot has been applied and no gap since.
    pub fn is_synced(&self) -> bool {
        self.synced
    }

    /// Whether the feed has not said that it is stale or disconnected.
    pub fn is_feed_up(&self) -> bool {
        self.feed_up
    }

    /// Whether the best bid stands at or above the best ask.
    pub fn is_crossed(&self) -> bool {
        self.crossed
    }

    /// Whether the quantity at this price is known: within what the last snapshot vouched for.
    pub fn is_trusted(&self, side: BookSide, price: Price) -> bool {
        self.synced
            && match (side, self.bids.trusted, self.asks.trusted) {
                (BookSide::Bid, Some(bound), _) => price >= bound,
                (BookSide::Ask, _, Some(bound)) => price <= bound,
                _ => true,
            }
    }

    /// All of it but the levels.
    pub(crate) fn state(&self) -> BookState {
        BookState {
            trusted: (self.bids.trusted, self.asks.trusted),
            synced: self.synced,
            feed_up: self.feed_up,
            crossed: self.crossed,
            crossed_count: self.crossed_count,
            ts: (self.ts_event, self.ts_recv),
        }
    }

    /// Levels of bids and asks as they are kept: best last, trusted or not.
    pub(crate) fn kept(&self) -> (&[Level], &[Level]) {
        (&self.bids.levels, &self.asks.levels)
    }

    /// Makes this the book of which these were kept, without giving up its memory.
    pub(crate) fn restore(&mut self, state: &BookState, bids: &[Level], asks: &[Level]) {
        self.bids.levels.clear();
        self.bids.levels.extend_from_slice(bids);
        self.asks.levels.clear();
        self.asks.levels.extend_from_slice(asks);
        (self.bids.trusted, self.asks.trusted) = state.trusted;
        self.synced = state.synced;
        self.feed_up = state.feed_up;
        self.crossed = state.crossed;
        self.crossed_count = state.crossed_count;
        (self.ts_event, self.ts_recv) = state.ts;
    }

    /// Makes this book equal to another without giving up its memory.
    pub fn copy_from(&mut self, other: &Book) {
        self.bids.levels.clone_from(&other.bids.levels);
        self.bids.trusted = other.bids.trusted;
        self.asks.levels.clone_from(&other.asks.levels);
        self.asks.trusted = other.asks.trusted;
        self.synced = other.synced;
        self.feed_up = other.feed_up;
        self.crossed = other.crossed;
        self.crossed_count = other.crossed_count;
        self.ts_event = other.ts_event;
        self.ts_recv = other.ts_recv;
    }
}

/// One side, best level last, so that the busy end of it is cheap to change.
#[derive(Debug, Clone, Default)]
struct Ladder<const BID: bool> {
    levels: Vec<Level>,
    /// The worst price up to which the side is known; `None` when all of it is.
    trusted: Option<Price>,
}

impl<const BID: bool> Ladder<BID> {
    /// Whether `a` stands nearer to the market's middle than `b`.
    #[inline]
    fn better(a: Price, b: Price) -> bool {
        if BID { a > b } else { a < b }
    }

    #[inline]
    fn best(&self) -> Option<Level> {
        self.levels.last().copied()
    }

    #[inline]
    fn trusted_best(&self) -> Option<Level> {
        let best = self.best()?;
        match self.trusted {
            Some(bound) if Self::better(bound, best.price) => None,
            _ => Some(best),
        }
    }

    /// The other side's best has come to this price, so nothing of this side rests there or nearer: from now on all of that
    /// is known, even where the snapshot did not reach.
    #[inline]
    fn swept_to(&mut self, price: Price) {
        if self.trusted.is_some_and(|bound| Self::better(bound, price)) {
            self.trusted = Some(price);
        }
    }

    /// Index of the first level (from the worst end) that is not worse than `price`.
    #[inline]
    fn position(&self, price: Price) -> usize {
        // Nearly all changes are near the best level: look there first, one by one.
        const NEAR: usize = 24;
        let len = self.levels.len();
        let near = len.saturating_sub(NEAR);
        let mut at = len;
        while at > near {
            if Self::better(price, self.levels[at - 1].price) {
                return at;
            }
            at -= 1;
        }
        self.levels[..near].partition_point(|level| Self::better(price, level.price))
    }

    #[inline]
    fn set(&mut self, level: Level) {
        let at = self.position(level.price);
        match self.levels.get_mut(at) {
            Some(found) if found.price == level.price => {
                if level.qty.is_zero() {
                    self.levels.remove(at);
                } else {
                    found.qty = level.qty;
                }
            }
            _ if level.qty.is_zero() => {}
            _ => self.levels.insert(at, level),
        }
    }

    fn replace(&mut self, levels: &[Level], complete: bool) {
        self.levels.clear();
        let sorted = levels.windows(2).all(|pair| Self::better(pair[0].price, pair[1].price));
        if sorted {
            self.levels
                .extend(levels.iter().rev().filter(|level| !level.qty.is_zero()));
        } else {
            for &level in levels {
                self.set(level);
            }
        }
        self.trusted = if complete {
            None
        } else {
            self.levels.first().map(|level| level.price)
        };
    }

    fn qty_at(&self, price: Price) -> Qty {
        match self.levels.get(self.position(price)) {
            Some(level) if level.price == price => level.qty,
            _ => Qty::ZERO,
        }
    }

    #[inline]
    fn walk(&self, qty: Qty, limit: Option<Price>) -> Option<Walk> {
        let mut left = qty.raw();
        let mut cost: i128 = 0;
        let mut worst = None;
        for level in self.levels.iter().rev() {
            if left == 0
                || self.trusted.is_some_and(|bound| Self::better(bound, level.price))
                || limit.is_some_and(|limit| Self::better(limit, level.price))
            {
                break;
            }
            let take = left.min(level.qty.raw());
            cost += i128::from(level.price.raw()) * i128::from(take);
            left -= take;
            worst = Some(level.price);
        }
        let filled = qty.saturating_sub(Qty::from_raw(left).unwrap_or(Qty::ZERO));
        worst.map(|worst| Walk { filled, cost, worst })
    }
}

#[cfg(test)]
mod tests;
