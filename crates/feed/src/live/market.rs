//! What the pipeline knows of a market beside its book: who delivers it, its trades, its funding.

use crossbook_engine::book::Book;
use crossbook_engine::units::Price;

use crate::book::{Counts, Health, MarketBook};
use crate::input::{ConnId, VenueIx};
use crate::wire::Mark;

/// Connections that deliver one market at a time: an old and a new one, and one that failed to take over.
const MOST_FEEDS: usize = 3;
/// Trades whose numbers are remembered. An overlap of connections repeats two seconds of a market.
const MOST_TRADES: usize = 256;

#[derive(Debug)]
pub(super) struct MarketState {
    pub venue: VenueIx,
    pub book: MarketBook,
    pub trades: Recent,
    pub funding: Funding,
    feeds: Vec<ConnId>,
}

impl MarketState {
    pub fn new(venue: VenueIx, book: MarketBook) -> MarketState {
        MarketState {
            venue,
            book,
            trades: Recent::default(),
            funding: Funding::default(),
            feeds: Vec::with_capacity(MOST_FEEDS),
        }
    }

    /// A connection delivers this market.
    pub fn fed_by(&mut self, conn: ConnId) {
        if self.feeds.last() == Some(&conn) || self.feeds.contains(&conn) {
            return;
        }
        if self.feeds.len() == MOST_FEEDS {
            self.feeds.remove(0);
        }
        self.feeds.push(conn);
    }

    pub fn is_fed_by(&self, conn: ConnId) -> bool {
        self.feeds.contains(&conn)
    }

    /// The connection that began to deliver it last.
    pub fn newest_feed(&self) -> Option<ConnId> {
        self.feeds.last().copied()
    }

    pub fn has_feed(&self) -> bool {
        !self.feeds.is_empty()
    }

    /// A connection ended, and `heir` delivers what it delivered. Whether nobody delivers the market any more.
    pub fn lost(&mut self, conn: ConnId, heir: Option<ConnId>) -> bool {
        if !self.is_fed_by(conn) {
            return false;
        }
        self.feeds.retain(|feed| *feed != conn);
        if let Some(heir) = heir {
            self.fed_by(heir);
        }
        self.feeds.is_empty()
    }
}

/// What can be seen of a market.
#[derive(Debug, Clone, Copy)]
pub struct Market<'a> {
    state: &'a MarketState,
}

impl<'a> Market<'a> {
    pub(super) fn of(state: &'a MarketState) -> Market<'a> {
        Market { state }
    }

    /// Its venue.
    pub fn venue(&self) -> VenueIx {
        self.state.venue
    }

    /// The venue's spelling of it.
    pub fn symbol(&self) -> &'a str {
        self.state.book.symbol()
    }

    /// Its book.
    pub fn book(&self) -> &'a Book {
        self.state.book.book()
    }

    /// Whether that can be believed.
    pub fn health(&self) -> Health {
        self.state.book.health()
    }

    /// What happened to it.
    pub fn counts(&self) -> Counts {
        self.state.book.counts()
    }

    /// Nanoseconds in which the book was live, and nanoseconds of gaps, as far as they were told.
    pub fn covered_and_gaps_ns(&self) -> (i64, i64) {
        self.state.book.covered_and_gaps_ns()
    }

    /// Diffs that wait for a snapshot.
    pub fn kept(&self) -> usize {
        self.state.book.kept()
    }
}

/// The numbers of the newest trades, in no order: Upbit's are unique, but not sorted.
#[derive(Debug, Default)]
pub(super) struct Recent {
    ids: Vec<u64>,
    next: usize,
}

impl Recent {
    /// Remembers a trade; false when it was known.
    pub fn is_new(&mut self, id: u64) -> bool {
        if self.ids.contains(&id) {
            return false;
        }
        if self.ids.len() < MOST_TRADES {
            if self.ids.is_empty() {
                self.ids.reserve_exact(MOST_TRADES);
            }
            self.ids.push(id);
        } else {
            self.ids[self.next] = id;
            self.next = (self.next + 1) % MOST_TRADES;
        }
        true
    }
}

/// Funding of a perpetual. The venue tells the rate of the next funding all the time; an event is due once it falls due.
#[derive(Debug, Default)]
pub(super) struct Funding {
    next: Option<(i64, i64)>,
}

impl Funding {
    /// What the venue said at `ts`: rate and mark price of a funding that fell due, if one did.
    pub fn told(&mut self, ts: i64, mark: &Mark) -> Option<(i64, Price)> {
        let due = self.next.filter(|(at, _)| ts >= *at);
        if due.is_some() {
            self.next = None;
        }
        if let (Some(rate), Some(next)) = (mark.rate, mark.next)
            && next.0 > ts
        {
            self.next = Some((next.0, rate));
        }
        due.map(|(_, rate)| (rate, mark.mark))
    }
}
