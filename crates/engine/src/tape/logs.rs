//! What changes seldom, by the time of its change: best prices of a book, the exchange rate.

use crate::engine::FxState;
use crate::event::Level;
use crate::units::{Price, Qty, TimestampNs};

/// Best bid and ask of one book after each instant that changed them.
#[derive(Debug, Default)]
pub(super) struct TopLog {
    ts: Vec<TimestampNs>,
    /// In 1e-8 of the quote currency; zero when the book cannot be priced.
    prices: Vec<[i64; 2]>,
}

/// A pair of best prices as a book tells them; quantities are not kept.
pub(super) fn levels([bid, ask]: [i64; 2]) -> Option<(Level, Level)> {
    let level = |raw| Price::from_raw(raw).ok().map(|price| Level { price, qty: Qty::ZERO });
    Some((level(bid)?, level(ask)?))
}

/// The middle of two best prices.
pub(super) fn mid(prices: [i64; 2]) -> Option<Price> {
    levels(prices).map(|(bid, ask)| Price::mid(bid.price, ask.price))
}

impl TopLog {
    pub(super) fn push(&mut self, ts: TimestampNs, top: Option<(Level, Level)>) {
        let prices = top.map_or([0; 2], |(bid, ask)| [bid.price.raw(), ask.price.raw()]);
        if self.prices.last().copied().unwrap_or_default() != prices {
            self.ts.push(ts);
            self.prices.push(prices);
        }
    }

    /// The prices after all changes so far.
    pub(super) fn newest(&self) -> [i64; 2] {
        self.after(self.prices.len())
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

    /// The prices after so many changes.
    #[inline]
    pub(super) fn after(&self, changes: usize) -> [i64; 2] {
        changes.checked_sub(1).map_or([0; 2], |last| self.prices[last])
    }

    pub(super) fn shrink(&mut self) {
        self.ts.shrink_to_fit();
        self.prices.shrink_to_fit();
    }

    pub(super) fn bytes(&self) -> usize {
        self.ts.len() * size_of::<TimestampNs>() + self.prices.len() * size_of::<[i64; 2]>()
    }
}

/// What was observed of the exchange rate after each instant that changed it.
#[derive(Debug, Default)]
pub(super) struct RateLog {
    ts: Vec<TimestampNs>,
    states: Vec<FxState>,
}

impl RateLog {
    pub(super) fn push(&mut self, ts: TimestampNs, state: FxState) {
        self.ts.push(ts);
        self.states.push(state);
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
    pub(super) fn after(&self, changes: usize) -> Option<FxState> {
        changes.checked_sub(1).map(|last| self.states[last])
    }

    pub(super) fn bytes(&self) -> usize {
        self.ts.len() * (size_of::<TimestampNs>() + size_of::<FxState>())
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
