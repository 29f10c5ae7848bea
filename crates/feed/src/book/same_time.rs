//! Whole books that carry the same exchange time: which of them are news.
//!
//! Upbit numbers nothing, and two connections (the old and the new of a change-over) may each deliver `A, B, A` within one
//! millisecond. Taken as they come, the second connection's `A` would undo the first one's `B` for an instant. So the books
//! of one time are a sequence, and each connection has a place in it: what it finds ahead of its place is a duplicate,
//! anything else is news and is put at the end.

use crossbook_engine::event::Level;

use crate::input::Via;

/// Books of one time that are remembered; more than these in a millisecond are all taken as news.
const MOST_BOOKS: usize = 16;
/// Sources that are told apart: an old and a new connection, and polling.
const MOST_SOURCES: usize = 4;

/// The books of the newest exchange time.
#[derive(Debug)]
pub(super) struct SameTime {
    ts: i64,
    books: Vec<u64>,
    places: Vec<(Via, usize)>,
}

impl SameTime {
    pub fn new() -> SameTime {
        SameTime {
            ts: i64::MIN,
            books: Vec::with_capacity(MOST_BOOKS),
            places: Vec::with_capacity(MOST_SOURCES),
        }
    }

    pub fn clear(&mut self) {
        self.ts = i64::MIN;
    }

    /// Whether a book of this time, which is not older than the newest, is news.
    pub fn is_news(&mut self, ts: i64, via: Via, bids: &[Level], asks: &[Level]) -> bool {
        let book = fingerprint(bids, asks);
        if ts != self.ts {
            self.ts = ts;
            self.books.clear();
            self.places.clear();
        }
        let known = self.places.iter().position(|(source, _)| *source == via);
        let place = known.map_or(0, |at| self.places[at].1);
        let ahead = self.books[place..].iter().position(|seen| *seen == book);
        let news = match ahead {
            Some(_) => false,
            // The same source says the same once more.
            None => place < self.books.len() || self.books.last() != Some(&book),
        };
        if news && self.books.len() < MOST_BOOKS {
            self.books.push(book);
        }
        let place = ahead.map_or(self.books.len(), |ahead| place + ahead + 1);
        match known {
            Some(at) => self.places[at].1 = place,
            None if self.places.len() < MOST_SOURCES => self.places.push((via, place)),
            None => {}
        }
        news
    }
}

/// A number that differs when the levels do, but for one chance in 2^64.
fn fingerprint(bids: &[Level], asks: &[Level]) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut hash = bids.len() as u64;
    for level in bids.iter().chain(asks) {
        for part in [level.price.raw(), level.qty.raw()] {
            // Multiply and fold: the high half of the product depends on every bit of the operands.
            let wide = u128::from(hash ^ part as u64 ^ ODD) * u128::from(ODD | 1);
            hash = (wide as u64) ^ (wide >> 64) as u64;
        }
    }
    hash
}
