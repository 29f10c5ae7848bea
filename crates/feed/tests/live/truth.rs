//! What the books of the exchange were, at every id: a second exchange of the same configuration, run ahead of time.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use crossbook_engine::event::Level;
use crossbook_engine::units::{Price, Qty, TimestampNs};
use crossbook_simex::config::Config;
use crossbook_simex::exchange::{BookView, Exchange, MarketEventKind, Notice, Venue};

/// Levels a side that are remembered.
const LEVELS: usize = 10;

type Top = [Vec<Level>; 2];

/// The best levels of every book, by what identifies it: several where several changes carry one time.
pub struct Truth {
    books: HashMap<(Venue, String), BTreeMap<u64, Vec<Top>>>,
}

struct Book {
    bids: BTreeMap<Price, Qty>,
    asks: BTreeMap<Price, Qty>,
}

impl Book {
    fn of(view: &BookView) -> Book {
        let side = |levels: &[Level]| levels.iter().map(|level| (level.price, level.qty)).collect();
        Book {
            bids: side(&view.bids),
            asks: side(&view.asks),
        }
    }

    fn top(&self) -> Top {
        let level = |(price, qty): (&Price, &Qty)| Level {
            price: *price,
            qty: *qty,
        };
        [
            self.bids.iter().rev().take(LEVELS).map(level).collect(),
            self.asks.iter().take(LEVELS).map(level).collect(),
        ]
    }
}

impl Truth {
    /// All that happens in this time.
    pub fn of(config: &Config, start: TimestampNs, length: Duration) -> Truth {
        let mut exchange = Exchange::new(config, start).expect("an exchange");
        let mut truth = Truth { books: HashMap::new() };
        let mut books = HashMap::new();
        for venue in [Venue::Upbit, Venue::Binance] {
            for info in exchange.markets(venue) {
                let name = (venue, info.symbol.to_string());
                let view = exchange.book(venue, &info.symbol, usize::MAX).expect("a book");
                let book = Book::of(&view);
                truth.remember(&name, view.ts, view.last_id, &book);
                books.insert(name, book);
            }
        }
        let mut notices = Vec::new();
        let end = start.plus(i64::try_from(length.as_nanos()).expect("a length"));
        exchange.advance(end, &mut notices).expect("a market");
        for notice in notices {
            let Notice::Market(event) = notice else { continue };
            let MarketEventKind::Book {
                last_id, bids, asks, ..
            } = event.kind
            else {
                continue;
            };
            let name = (event.venue, event.symbol.to_string());
            let Some(book) = books.get_mut(&name) else { continue };
            for (side, levels) in [(&mut book.bids, bids), (&mut book.asks, asks)] {
                for level in levels.iter() {
                    if level.qty.is_zero() {
                        side.remove(&level.price);
                    } else {
                        side.insert(level.price, level.qty);
                    }
                }
            }
            truth.remember(&name, event.ts, last_id, book);
        }
        truth
    }

    fn remember(&mut self, name: &(Venue, String), ts: TimestampNs, id: u64, book: &Book) {
        let key = match name.0 {
            Venue::Upbit => ts.0 as u64 / 1_000_000,
            _ => id,
        };
        let states = self.books.entry(name.clone()).or_default();
        states.entry(key).or_default().push(book.top());
    }

    /// Whether the market had this book there. The book may know fewer levels.
    pub fn had(&self, venue: Venue, symbol: &str, key: u64, book: &Top) -> bool {
        let states = self.books.get(&(venue, symbol.to_owned()));
        let states = states.and_then(|states| states.get(&key));
        states.is_some_and(|states| {
            states.iter().any(|top| {
                let same = |side: usize| {
                    let known = book[side].len();
                    known > 0 && top[side].get(..known) == Some(&book[side][..])
                };
                same(0) && same(1)
            })
        })
    }
}
