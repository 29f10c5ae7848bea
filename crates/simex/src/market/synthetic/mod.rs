//! A seeded market: books that follow correlated prices, trades, and mark prices of perpetuals.
//!
//! What always holds: the changes are a function of seed, start and markets; every market draws from streams of its own.

mod ladder;
mod prices;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crossbook_engine::event::Level;
use crossbook_engine::instrument::Side;
use crossbook_engine::rng::Rng;
use crossbook_engine::units::{Price, Qty, TimestampNs};

use super::{Change, ChangeKind, Source, SourceError};
use crate::config::Listed;
use crate::exchange::Venue;
use ladder::{Changes, Ladder};
use prices::{Formula, Prices};

const SECOND_NS: f64 = 1e9;
const MARK_EVERY_NS: i64 = 1_000_000_000;
const FUNDING_EVERY_NS: i64 = 8 * 3_600 * 1_000_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Opening,
    /// What is left of a level after a trade.
    AfterTrade,
    Mark,
    Book,
    Trade,
}

struct Market {
    formula: Formula,
    ladder: Ladder,
    book: Rng,
    trade: Rng,
    book_mean_ns: f64,
    trade_mean_ns: f64,
    factor: f64,
    /// Side, price and what is left there, to be told after the trade.
    after_trade: Option<(Side, i64, i64)>,
}

/// The market.
pub struct Synthetic {
    prices: Prices,
    markets: Vec<Market>,
    due: BinaryHeap<Reverse<(TimestampNs, usize, Due)>>,
}

impl Synthetic {
    /// A market that opens at `start` with a whole book everywhere.
    pub fn new(seed: u64, start: TimestampNs, list: &[Listed]) -> Synthetic {
        let (prices, formulas) = Prices::new(seed, start, list);
        let mut due = BinaryHeap::new();
        let markets: Vec<Market> = list
            .iter()
            .zip(formulas)
            .enumerate()
            .map(|(index, (listed, formula))| {
                let name = format!("{:?}.{}", listed.info.venue, listed.info.symbol);
                due.push(Reverse((start, index, Due::Opening)));
                if listed.info.venue == Venue::BinanceUsdm {
                    due.push(Reverse((start.plus(MARK_EVERY_NS), index, Due::Mark)));
                }
                Market {
                    formula,
                    ladder: Ladder::new(listed),
                    book: Rng::stream(seed, &format!("book.{name}")),
                    trade: Rng::stream(seed, &format!("trade.{name}")),
                    book_mean_ns: SECOND_NS / listed.books_per_s,
                    trade_mean_ns: SECOND_NS / listed.trades_per_s,
                    factor: 1.0,
                    after_trade: None,
                }
            })
            .collect();
        Synthetic { prices, markets, due }
    }

    fn wait(rng: &mut Rng, mean_ns: f64, factor: f64) -> i64 {
        (rng.exponential(mean_ns / factor) as i64).max(1)
    }
}

impl Source for Synthetic {
    fn next_ts(&mut self) -> Option<TimestampNs> {
        self.due.peek().map(|Reverse((ts, ..))| *ts)
    }

    fn next(&mut self, change: &mut Change) -> Result<bool, SourceError> {
        change.bids.clear();
        change.asks.clear();
        let Some(Reverse((ts, index, due))) = self.due.pop() else {
            return Ok(false);
        };
        self.prices.advance(ts);
        change.ts = ts;
        change.market = index;
        change.kind = ChangeKind::Update;
        let market = &mut self.markets[index];
        let mid = self.prices.mid(market.formula);
        let mut out = Changes {
            bids: &mut change.bids,
            asks: &mut change.asks,
        };
        let mut next = |wait: i64, due: Due| self.due.push(Reverse((ts.plus(wait), index, due)));
        match due {
            Due::Opening => {
                market.ladder.follow(&mut market.book, mid, &mut out);
                out.bids.clear();
                out.asks.clear();
                market.ladder.whole(&mut out);
                change.kind = ChangeKind::Snapshot;
                next(Self::wait(&mut market.book, market.book_mean_ns, 1.0), Due::Book);
                next(Self::wait(&mut market.trade, market.trade_mean_ns, 1.0), Due::Trade);
            }
            Due::Book => {
                market.ladder.follow(&mut market.book, mid, &mut out);
                next(
                    Self::wait(&mut market.book, market.book_mean_ns, market.factor),
                    Due::Book,
                );
            }
            Due::Trade => {
                let taker = if market.trade.below(2) == 0 {
                    Side::Buy
                } else {
                    Side::Sell
                };
                if let Some((price, qty, left)) = market.ladder.trade(&mut market.trade, taker)
                    && let (Ok(price), Ok(qty)) = (Price::from_raw(price), Qty::from_raw(qty))
                {
                    change.kind = ChangeKind::Trade { price, qty, taker };
                    market.after_trade = Some((taker.opposite(), price.raw(), left));
                    next(0, Due::AfterTrade);
                }
                next(
                    Self::wait(&mut market.trade, market.trade_mean_ns, market.factor),
                    Due::Trade,
                );
            }
            Due::AfterTrade => {
                if let Some((side, price, left)) = market.after_trade.take()
                    && let (Ok(price), Ok(qty)) = (Price::from_raw(price), Qty::from_raw(left))
                {
                    match side {
                        Side::Buy => out.bids.push(Level { price, qty }),
                        Side::Sell => out.asks.push(Level { price, qty }),
                    }
                }
            }
            Due::Mark => {
                if let Ok(mark) = Price::from_raw((mid * 1e8) as i64) {
                    let rate = 10_000 + (market.book.normal() * 500.0) as i64;
                    let periods = ts.0.div_euclid(FUNDING_EVERY_NS) + 1;
                    change.kind = ChangeKind::Mark {
                        mark,
                        rate,
                        next: TimestampNs(periods * FUNDING_EVERY_NS),
                    };
                }
                next(MARK_EVERY_NS, Due::Mark);
            }
        }
        Ok(true)
    }

    fn set_rate(&mut self, market: usize, factor: f64) -> bool {
        match self.markets.get_mut(market) {
            Some(market) if factor > 0.0 => {
                market.factor = factor;
                true
            }
            _ => false,
        }
    }
}
