//! What a market's trades add up to: last price, day's figures, recent trades, minute candles.
//!
//! The day is the run: what was traded before the exchange was started is not known to it.

use std::collections::VecDeque;

use crossbook_engine::instrument::Side;
use crossbook_engine::units::{Price, Qty, SCALE, TimestampNs};

/// A trade of the market.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tick {
    /// Number within the market.
    pub id: u64,
    /// When.
    pub ts: TimestampNs,
    /// Price.
    pub price: Price,
    /// Quantity.
    pub qty: Qty,
    /// The side that took.
    pub taker: Side,
}

/// A minute in which there was a trade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candle {
    /// Its start, in minutes since 1970.
    pub minute: i64,
    /// First price.
    pub open: Price,
    /// Highest.
    pub high: Price,
    /// Lowest.
    pub low: Price,
    /// Last.
    pub close: Price,
    /// Base traded, 1e-8.
    pub volume: i128,
    /// Quote traded, 1e-8.
    pub value: i128,
    /// Trades.
    pub count: u64,
    /// When the last was.
    pub last: TimestampNs,
}

impl Candle {
    fn new(minute: i64, price: Price, ts: TimestampNs) -> Candle {
        Candle {
            minute,
            open: price,
            high: price,
            low: price,
            close: price,
            volume: 0,
            value: 0,
            count: 0,
            last: ts,
        }
    }

    fn add(&mut self, tick: &Tick) {
        self.high = self.high.max(tick.price);
        self.low = self.low.min(tick.price);
        self.close = tick.price;
        self.volume += i128::from(tick.qty.raw());
        self.value += i128::from(tick.price.raw()) * i128::from(tick.qty.raw()) / i128::from(SCALE);
        self.count += 1;
        self.last = tick.ts;
    }

    /// One candle of several that follow each other.
    pub fn merge(&mut self, later: &Candle) {
        self.high = self.high.max(later.high);
        self.low = self.low.min(later.low);
        self.close = later.close;
        self.volume += later.volume;
        self.value += later.value;
        self.count += later.count;
        self.last = later.last;
    }
}

/// Statistics of one market. Memory is bounded.
#[derive(Debug, Clone, Default)]
pub struct Stats {
    /// The run as one candle.
    pub day: Option<Candle>,
    trades: VecDeque<Tick>,
    candles: VecDeque<Candle>,
}

impl Stats {
    const TRADES: usize = 1_000;
    const CANDLES: usize = 2_000;

    /// Takes a trade in.
    pub fn add(&mut self, tick: Tick) {
        let minute = tick.ts.0.div_euclid(60_000_000_000);
        self.day
            .get_or_insert_with(|| Candle::new(minute, tick.price, tick.ts))
            .add(&tick);
        if self.candles.back().is_none_or(|candle| candle.minute != minute) {
            self.candles.push_back(Candle::new(minute, tick.price, tick.ts));
            if self.candles.len() > Stats::CANDLES {
                self.candles.pop_front();
            }
        }
        if let Some(candle) = self.candles.back_mut() {
            candle.add(&tick);
        }
        self.trades.push_back(tick);
        if self.trades.len() > Stats::TRADES {
            self.trades.pop_front();
        }
    }

    /// The day's figures and the last trade only: cheap to share.
    pub fn brief(&self) -> Stats {
        Stats {
            day: self.day,
            trades: self.trades.back().copied().into_iter().collect(),
            candles: VecDeque::new(),
        }
    }

    /// The last trade.
    pub fn last(&self) -> Option<&Tick> {
        self.trades.back()
    }

    /// Trades, newest first.
    pub fn newest(&self) -> impl Iterator<Item = &Tick> {
        self.trades.iter().rev()
    }

    /// Trades, oldest first.
    pub fn oldest(&self) -> impl Iterator<Item = &Tick> {
        self.trades.iter()
    }

    /// Candles of so many minutes, newest first; minutes without a trade have none.
    pub fn candles(&self, minutes: i64) -> Vec<Candle> {
        let mut out: Vec<Candle> = Vec::new();
        for candle in &self.candles {
            let start = candle.minute - candle.minute.rem_euclid(minutes);
            match out.last_mut() {
                Some(last) if last.minute == start => last.merge(candle),
                _ => out.push(Candle {
                    minute: start,
                    ..*candle
                }),
            }
        }
        out.reverse();
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tick(id: u64, minute: i64, price: &str) -> Tick {
        Tick {
            id,
            ts: TimestampNs(minute * 60_000_000_000),
            price: Price::parse(price).unwrap(),
            qty: Qty::parse("2").unwrap(),
            taker: Side::Buy,
        }
    }

    #[test]
    fn candles_leave_out_minutes_without_a_trade_and_add_up() {
        let mut stats = Stats::default();
        for (id, (minute, price)) in [(10, "5"), (10, "7"), (12, "6"), (15, "4")].into_iter().enumerate() {
            stats.add(tick(id as u64, minute, price));
        }
        let minutes: Vec<i64> = stats.candles(1).iter().map(|candle| candle.minute).collect();
        assert_eq!(minutes, [15, 12, 10]);
        let wide = stats.candles(5);
        assert_eq!(wide.len(), 2);
        let first = wide[1];
        assert_eq!(
            (first.minute, first.count, first.volume),
            (10, 3, 6 * i128::from(SCALE))
        );
        assert_eq!(first.value, 36 * i128::from(SCALE));
        assert_eq!(
            [first.open, first.high, first.low, first.close].map(|price| price.to_f64()),
            [5.0, 7.0, 5.0, 6.0]
        );
        assert_eq!(stats.last().map(|tick| tick.id), Some(3));
        assert_eq!(stats.day.map(|day| day.count), Some(4));
    }
}
