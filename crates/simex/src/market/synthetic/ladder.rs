//! One market's own book: follows a mid price, changes mostly near the top, keeps its depth.
//!
//! What always holds after a change: both sides have levels, the best bid is under the best ask, every price is on the
//! grid and every quantity a multiple of the lot.

use std::collections::BTreeMap;

use crossbook_engine::event::Level;
use crossbook_engine::instrument::{Side, TickRule};
use crossbook_engine::rng::Rng;
use crossbook_engine::units::{Price, Qty};

use crate::config::Listed;
use crate::exchange::Venue;

const SCALE: f64 = 1e8;

/// A market's own liquidity.
#[derive(Debug)]
pub struct Ladder {
    tick: TickRule,
    lot: i64,
    levels: usize,
    /// Half the usual spread, as a share of the price.
    half_spread: f64,
    /// Distance between levels, as a share of the price; at least a tick.
    spacing: f64,
    /// Usual value of a level, in units of quote.
    value: f64,
    bids: BTreeMap<i64, i64>,
    asks: BTreeMap<i64, i64>,
}

/// Where changes are written.
pub struct Changes<'a> {
    /// Changed bids.
    pub bids: &'a mut Vec<Level>,
    /// Changed asks.
    pub asks: &'a mut Vec<Level>,
}

impl Changes<'_> {
    fn push(&mut self, side: Side, price: i64, qty: i64) {
        if let (Ok(price), Ok(qty)) = (Price::from_raw(price), Qty::from_raw(qty)) {
            let list = match side {
                Side::Buy => &mut *self.bids,
                Side::Sell => &mut *self.asks,
            };
            list.push(Level { price, qty });
        }
    }
}

impl Ladder {
    /// An empty book of a market.
    pub fn new(listed: &Listed) -> Ladder {
        let info = &listed.info;
        let (half_spread, spacing, dollars) = match info.venue {
            Venue::Upbit => (2e-4, 2e-4, 8_000.0),
            Venue::Binance | Venue::BinanceUsdm => (3e-5, 3e-5, 15_000.0),
        };
        let dollar_in_quote = match &*info.quote {
            "KRW" => crate::config::bases::KRW_PER_USD,
            "BTC" => 1.0 / crate::config::bases::BASES[0].usdt,
            _ => 1.0,
        };
        Ladder {
            tick: info.tick.clone(),
            lot: info.lot.raw().max(1),
            levels: listed.levels,
            half_spread,
            spacing,
            value: dollars * dollar_in_quote,
            bids: BTreeMap::new(),
            asks: BTreeMap::new(),
        }
    }

    fn side(&mut self, side: Side) -> &mut BTreeMap<i64, i64> {
        match side {
            Side::Buy => &mut self.bids,
            Side::Sell => &mut self.asks,
        }
    }

    /// Best level of a side.
    pub fn best(&self, side: Side) -> Option<(i64, i64)> {
        let best = match side {
            Side::Buy => self.bids.last_key_value(),
            Side::Sell => self.asks.first_key_value(),
        };
        best.map(|(&price, &qty)| (price, qty))
    }

    fn worst(&self, side: Side) -> Option<i64> {
        match side {
            Side::Buy => self.bids.first_key_value(),
            Side::Sell => self.asks.last_key_value(),
        }
        .map(|(&price, _)| price)
    }

    fn tick_at(&self, price: i64) -> i64 {
        Price::from_raw(price.max(1)).map_or(1, |price| self.tick.tick_at(price).raw())
    }

    /// The price on the grid at or away from the other side.
    fn snap(&self, side: Side, price: i64) -> i64 {
        let tick = self.tick_at(price);
        let floor = price - price % tick;
        match side {
            Side::Sell if floor != price => floor + tick,
            _ => floor,
        }
    }

    /// A price on the grid about `steps` levels further from the other side, if there is one.
    fn further(&self, side: Side, price: i64, steps: i64) -> Option<i64> {
        let stride = ((price as f64 * self.spacing) as i64).max(1).saturating_mul(steps);
        let next = match side {
            Side::Buy => {
                let tick = self.tick_at(price - 1);
                self.snap(side, price.checked_sub(stride.max(tick))?)
            }
            Side::Sell => self.snap(side, price.checked_add(stride.max(self.tick_at(price)))?),
        };
        (next > 0).then_some(next)
    }

    fn qty(&self, rng: &mut Rng, price: i64) -> i64 {
        let units = rng.lognormal(self.value, 0.9) / (price as f64 / SCALE);
        // Far below what a quantity can hold, so that sums of some hundred levels can be held as well.
        let raw = (units * SCALE).min(1e17) as i64;
        (raw - raw % self.lot).max(self.lot)
    }

    fn put(&mut self, rng: &mut Rng, side: Side, price: i64, out: &mut Changes<'_>) {
        let qty = self.qty(rng, price);
        self.side(side).insert(price, qty);
        out.push(side, price, qty);
    }

    fn take_out(&mut self, side: Side, price: i64, out: &mut Changes<'_>) {
        if self.side(side).remove(&price).is_some() {
            out.push(side, price, 0);
        }
    }

    /// Moves the book to a mid price (in units of quote), with some traffic near the top.
    pub fn follow(&mut self, rng: &mut Rng, mid: f64, out: &mut Changes<'_>) {
        let raw = (mid * SCALE).clamp(4.0, 9e18);
        let bid = self.snap(Side::Buy, (raw * (1.0 - self.half_spread)) as i64).max(1);
        let mut ask = self.snap(Side::Sell, (raw * (1.0 + self.half_spread)) as i64);
        if ask <= bid {
            ask = bid + self.tick_at(bid);
        }
        for (side, target) in [(Side::Buy, bid), (Side::Sell, ask)] {
            while let Some((price, _)) = self.best(side) {
                let beyond = match side {
                    Side::Buy => price > target,
                    Side::Sell => price < target,
                };
                if !beyond {
                    break;
                }
                self.take_out(side, price, out);
            }
            let former = self.best(side).map(|(price, _)| price);
            if former != Some(target) {
                self.put(rng, side, target, out);
                self.fill_between(rng, side, target, former, out);
            }
        }
        for _ in 0..=rng.below(4) {
            self.touch(rng, out);
        }
        for side in [Side::Buy, Side::Sell] {
            self.keep_depth(rng, side, out);
        }
    }

    /// After a move: some levels between the new best and the former one.
    fn fill_between(&mut self, rng: &mut Rng, side: Side, from: i64, to: Option<i64>, out: &mut Changes<'_>) {
        let mut price = from;
        for _ in 0..6 {
            let steps = 1 + rng.below(2) as i64;
            let Some(next) = self.further(side, price, steps) else {
                return;
            };
            let reached = to.is_some_and(|to| match side {
                Side::Buy => next <= to,
                Side::Sell => next >= to,
            });
            if reached {
                return;
            }
            price = next;
            self.put(rng, side, price, out);
        }
    }

    /// One level near the top changes its quantity, goes, or comes.
    fn touch(&mut self, rng: &mut Rng, out: &mut Changes<'_>) {
        let side = if rng.below(2) == 0 { Side::Buy } else { Side::Sell };
        let rank = rng.exponential(6.0) as usize;
        let found = match side {
            Side::Buy => self.bids.iter().rev().nth(rank),
            Side::Sell => self.asks.iter().nth(rank),
        };
        let Some((&price, _)) = found else { return };
        match rng.below(4) {
            0 if rank > 0 && self.side(side).len() > 2 => self.take_out(side, price, out),
            1 => {
                if let Some(next) = self.further(side, price, 1)
                    && !self.side(side).contains_key(&next)
                {
                    self.put(rng, side, next, out);
                }
            }
            _ => self.put(rng, side, price, out),
        }
    }

    fn keep_depth(&mut self, rng: &mut Rng, side: Side, out: &mut Changes<'_>) {
        let most = self.levels + self.levels / 10 + 1;
        while self.side(side).len() > most {
            let Some(worst) = self.worst(side) else { return };
            self.take_out(side, worst, out);
        }
        while self.side(side).len() < self.levels {
            let steps = 1 + rng.below(2) as i64;
            let Some(price) = self.worst(side).and_then(|worst| self.further(side, worst, steps)) else {
                return;
            };
            self.put(rng, side, price, out);
        }
    }

    /// A trade at the best price of one side: price, quantity and what is left there.
    pub fn trade(&mut self, rng: &mut Rng, taker: Side) -> Option<(i64, i64, i64)> {
        let side = taker.opposite();
        let (price, there) = self.best(side)?;
        if self.side(side).len() < 2 {
            return None;
        }
        let wish = (there as f64 * rng.lognormal(0.15, 1.2)).min(there as f64) as i64;
        let qty = (wish - wish % self.lot).clamp(self.lot, there);
        let left = there - qty;
        if left == 0 {
            self.side(side).remove(&price);
        } else {
            self.side(side).insert(price, left);
        }
        Some((price, qty, left))
    }

    /// All levels, best first.
    pub fn whole(&self, out: &mut Changes<'_>) {
        for (&price, &qty) in self.bids.iter().rev() {
            out.push(Side::Buy, price, qty);
        }
        for (&price, &qty) in &self.asks {
            out.push(Side::Sell, price, qty);
        }
    }
}
