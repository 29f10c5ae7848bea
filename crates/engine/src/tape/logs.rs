//! What changes seldom, by the time of its change: best prices of a book, the exchange rate.

use crate::engine::FxState;
use crate::event::Level;
use crate::units::{Price, Qty, TimestampNs};

/// A pair of best prices as a book tells them; quantities are not kept.
pub(super) fn levels([bid, ask]: [i64; 2]) -> Option<(Level, Level)> {
    let level = |raw| Price::from_raw(raw).ok().map(|price| Level { price, qty: Qty::ZERO });
    Some((level(bid)?, level(ask)?))
}

/// The middle of two best prices.
pub(super) fn mid(prices: [i64; 2]) -> Option<Price> {
    levels(prices).map(|(bid, ask)| Price::mid(bid.price, ask.price))
}

/// Values after each instant that changed them.
#[derive(Debug)]
pub(super) struct Log<T> {
    ts: Vec<TimestampNs>,
    values: Vec<T>,
}

/// Best bid and ask of one book, in 1e-8 of the quote currency; zero when the book cannot be priced.
pub(super) type TopLog = Log<[i64; 2]>;

/// What was observed of the exchange rate.
pub(super) type RateLog = Log<FxState>;

impl<T> Default for Log<T> {
    fn default() -> Self {
        Log {
            ts: Vec::new(),
            values: Vec::new(),
        }
    }
}

impl<T: Copy> Log<T> {
    pub(super) fn push(&mut self, ts: TimestampNs, value: T) {
        self.ts.push(ts);
        self.values.push(value);
    }

    /// How many changes there were up to and with this instant, when there were at least `from`.
    #[inline]
    pub(super) fn until(&self, ts: TimestampNs, from: usize) -> usize {
        gallop(&self.ts, from, |&change| change <= ts)
    }

    /// When the change after so many is; the end of time behind the last.
    #[inline]
    pub(super) fn next(&self, changes: usize) -> TimestampNs {
        self.ts.get(changes).copied().unwrap_or(TimestampNs::MAX)
    }

    /// What stood after so many changes; `None` before the first.
    #[inline]
    pub(super) fn after(&self, changes: usize) -> Option<T> {
        changes.checked_sub(1).map(|last| self.values[last])
    }

    pub(super) fn shrink(&mut self) {
        self.ts.shrink_to_fit();
        self.values.shrink_to_fit();
    }

    pub(super) fn bytes(&self) -> usize {
        self.ts.len() * (size_of::<TimestampNs>() + size_of::<T>())
    }
}

impl TopLog {
    /// Keeps the best prices if they are others than the last.
    pub(super) fn push_top(&mut self, ts: TimestampNs, top: Option<(Level, Level)>) {
        let prices = top.map_or([0; 2], |(bid, ask)| [bid.price.raw(), ask.price.raw()]);
        if self.newest() != prices {
            self.push(ts, prices);
        }
    }

    /// The prices after all changes so far.
    pub(super) fn newest(&self) -> [i64; 2] {
        self.prices(self.values.len())
    }

    /// The prices after so many changes.
    #[inline]
    pub(super) fn prices(&self, changes: usize) -> [i64; 2] {
        self.after(changes).unwrap_or_default()
    }
}

/// The first index from `from` on at which `earlier` no longer holds, found in steps that grow: what is near is found fast.
#[inline]
pub(super) fn gallop<T>(of: &[T], from: usize, earlier: impl Fn(&T) -> bool) -> usize {
    let (mut low, mut step) = (from, 1);
    while let Some(probe) = of.get(low + step - 1)
        && earlier(probe)
    {
        low += step;
        step *= 2;
    }
    let high = (low + step - 1).min(of.len());
    low + of[low.min(high)..high].partition_point(earlier)
}
