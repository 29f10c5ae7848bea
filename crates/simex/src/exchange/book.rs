//! One market's book: the market's own liquidity, the clients' resting orders, and what of both is shown.
//!
//! What always holds: `shown` changes only in [`MarketBook::publish`], which hands out the difference under ids that
//! continue without a hole; nothing of zero quantity is kept. It fills nothing: that is the exchange's affair.

use std::collections::{BTreeMap, VecDeque};

use crossbook_engine::event::Level;
use crossbook_engine::instrument::{Side, TickRule};
use crossbook_engine::units::{Price, Qty, TimestampNs};

use super::PublicTrade;

/// Trades of a market that can be asked for, the oldest given up first.
const MOST_TRADES: usize = 1_000;

/// A client's order as it rests.
#[derive(Debug, Clone)]
pub(super) struct Resting {
    pub id: u64,
    pub account: u32,
    pub left: Qty,
    /// The market's own quantity at this price that came before it.
    pub ahead: Qty,
}

/// What a fault makes of the book that is shown. Orders meet the true one.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Veil {
    /// Nothing changes any more.
    pub frozen: bool,
    /// A bid above the best ask.
    pub crossed: bool,
    /// No bids.
    pub no_bids: bool,
    /// No asks.
    pub no_asks: bool,
    /// All prices times this.
    pub factor: Option<f64>,
}

/// One side.
#[derive(Debug, Default)]
pub(super) struct Half {
    /// The market's own, less what clients took of it.
    pub liquidity: BTreeMap<Price, Qty>,
    /// Clients' orders, oldest first at each price.
    pub orders: BTreeMap<Price, VecDeque<Resting>>,
    shown: BTreeMap<Price, Qty>,
    touched: Vec<Price>,
}

impl Half {
    /// Everything that rests at a price.
    pub fn total_at(&self, price: Price) -> Qty {
        let own = self.liquidity.get(&price).map_or(0, |qty| qty.raw());
        let clients = self.orders.get(&price).map_or(0, |queue| {
            queue
                .iter()
                .fold(0i64, |sum, order| sum.saturating_add(order.left.raw()))
        });
        Qty::from_raw(own.saturating_add(clients)).unwrap_or(Qty::MAX)
    }

    /// Sets the market's own quantity at a price.
    pub fn set(&mut self, level: Level) {
        if level.qty.is_zero() {
            self.liquidity.remove(&level.price);
        } else {
            self.liquidity.insert(level.price, level.qty);
        }
        if let Some(queue) = self.orders.get_mut(&level.price) {
            for order in queue {
                order.ahead = order.ahead.min(level.qty);
            }
        }
        self.touched.push(level.price);
    }

    /// Says that something changed at a price.
    pub fn touch(&mut self, price: Price) {
        self.touched.push(price);
    }

    fn replace(&mut self, levels: &[Level]) {
        let former: Vec<Price> = self.liquidity.keys().copied().collect();
        self.touched.extend(former);
        self.liquidity.clear();
        for &level in levels {
            self.set(level);
        }
        for (price, queue) in &mut self.orders {
            let there = self.liquidity.get(price).copied().unwrap_or(Qty::ZERO);
            for order in queue {
                order.ahead = order.ahead.min(there);
            }
        }
    }

    /// Writes into `out` what is to be shown anew at the prices that were touched.
    fn difference(&mut self, out: &mut Vec<Level>) {
        let mut touched = std::mem::take(&mut self.touched);
        touched.sort_unstable();
        touched.dedup();
        for &price in &touched {
            let qty = self.total_at(price);
            self.show(Level { price, qty }, out);
        }
        touched.clear();
        self.touched = touched;
    }

    fn show(&mut self, level: Level, out: &mut Vec<Level>) {
        let former = if level.qty.is_zero() {
            self.shown.remove(&level.price)
        } else {
            self.shown.insert(level.price, level.qty)
        };
        if former.unwrap_or(Qty::ZERO) != level.qty {
            out.push(level);
        }
    }

    /// Shows exactly this.
    fn show_all(&mut self, want: &BTreeMap<Price, Qty>, out: &mut Vec<Level>) {
        let gone: Vec<Price> = self
            .shown
            .keys()
            .filter(|price| !want.contains_key(price))
            .copied()
            .collect();
        for price in gone {
            self.show(Level { price, qty: Qty::ZERO }, out);
        }
        for (&price, &qty) in want {
            self.show(Level { price, qty }, out);
        }
        out.sort_unstable_by_key(|level| level.price);
    }

    fn totals(&self) -> BTreeMap<Price, Qty> {
        let prices = self.liquidity.keys().chain(self.orders.keys());
        prices
            .map(|&price| (price, self.total_at(price)))
            .filter(|(_, qty)| !qty.is_zero())
            .collect()
    }
}

/// A book with its numbers.
#[derive(Debug)]
pub(super) struct MarketBook {
    pub bids: Half,
    pub asks: Half,
    pub last_id: u64,
    pub ts: TimestampNs,
    pub trades: VecDeque<PublicTrade>,
    last_trade: u64,
    veil: Veil,
    /// More than the touched prices may differ from what is shown.
    anew: bool,
}

impl MarketBook {
    /// An empty book whose first update will have the id after `last_id`.
    pub fn new(last_id: u64, ts: TimestampNs) -> MarketBook {
        MarketBook {
            bids: Half::default(),
            asks: Half::default(),
            last_id,
            ts,
            trades: VecDeque::new(),
            last_trade: 0,
            veil: Veil::default(),
            anew: false,
        }
    }

    /// The side on which orders of this direction rest.
    pub fn half(&self, side: Side) -> &Half {
        match side {
            Side::Buy => &self.bids,
            Side::Sell => &self.asks,
        }
    }

    /// The same, to change it.
    pub fn half_mut(&mut self, side: Side) -> &mut Half {
        match side {
            Side::Buy => &mut self.bids,
            Side::Sell => &mut self.asks,
        }
    }

    /// Replaces the market's own liquidity.
    pub fn replace(&mut self, bids: &[Level], asks: &[Level]) {
        self.bids.replace(bids);
        self.asks.replace(asks);
    }

    /// Sets levels of the market's own liquidity.
    pub fn update(&mut self, bids: &[Level], asks: &[Level]) {
        for &level in bids {
            self.bids.set(level);
        }
        for &level in asks {
            self.asks.set(level);
        }
    }

    /// The market's own best price of a side.
    pub fn best_liquidity(&self, side: Side) -> Option<(Price, Qty)> {
        let liquidity = &self.half(side).liquidity;
        match side {
            Side::Buy => liquidity.last_key_value(),
            Side::Sell => liquidity.first_key_value(),
        }
        .map(|(&price, &qty)| (price, qty))
    }

    /// The best price at which a client's order rests on a side.
    pub fn best_order(&self, side: Side) -> Option<Price> {
        let orders = &self.half(side).orders;
        match side {
            Side::Buy => orders.last_key_value(),
            Side::Sell => orders.first_key_value(),
        }
        .map(|(&price, _)| price)
    }

    /// The best price of a side, whoever stands there.
    pub fn best(&self, side: Side) -> Option<Price> {
        let own = self.best_liquidity(side).map(|(price, _)| price);
        let client = self.best_order(side);
        match (own, client, side) {
            (Some(own), Some(client), Side::Buy) => Some(own.max(client)),
            (Some(own), Some(client), Side::Sell) => Some(own.min(client)),
            (own, client, _) => own.or(client),
        }
    }

    /// Gives a trade its number and remembers it.
    pub fn trade(&mut self, ts: TimestampNs, price: Price, qty: Qty, taker: Side) -> PublicTrade {
        self.last_trade += 1;
        let trade = PublicTrade {
            id: self.last_trade,
            ts,
            price,
            qty,
            taker,
        };
        if self.trades.len() >= MOST_TRADES {
            self.trades.pop_front();
        }
        self.trades.push_back(trade);
        trade
    }

    /// Draws or lifts a veil; what it changes is shown by the next [`MarketBook::publish`].
    pub fn set_veil(&mut self, veil: Veil) {
        self.anew |= self.veil != veil;
        self.veil = veil;
    }

    /// Shows what changed since the last time: the first and last id of the changes, which are written to `bids` and
    /// `asks` best first. `None` when nothing did.
    pub fn publish(
        &mut self,
        ts: TimestampNs,
        tick: &TickRule,
        bids: &mut Vec<Level>,
        asks: &mut Vec<Level>,
    ) -> Option<(u64, u64)> {
        bids.clear();
        asks.clear();
        let plain = self.veil == Veil::default();
        if plain && !self.anew {
            self.bids.difference(bids);
            self.asks.difference(asks);
        } else {
            self.bids.touched.clear();
            self.asks.touched.clear();
            self.anew = !plain;
            if self.veil.frozen {
                return None;
            }
            let (want_bids, want_asks) = self.veiled(tick);
            self.bids.show_all(&want_bids, bids);
            self.asks.show_all(&want_asks, asks);
        }
        bids.reverse();
        let changed = bids.len() + asks.len();
        if changed == 0 {
            return None;
        }
        let first = self.last_id + 1;
        self.last_id += changed as u64;
        self.ts = ts;
        Some((first, self.last_id))
    }

    /// What the veil leaves to be seen.
    fn veiled(&self, tick: &TickRule) -> (BTreeMap<Price, Qty>, BTreeMap<Price, Qty>) {
        let Veil {
            crossed,
            no_bids,
            no_asks,
            factor,
            frozen: _,
        } = self.veil;
        let (mut bids, mut asks) = (self.bids.totals(), self.asks.totals());
        if let Some(factor) = factor {
            bids = scaled(&bids, factor, tick);
            asks = scaled(&asks, factor, tick);
        }
        if crossed && let Some((&ask, &qty)) = asks.first_key_value() {
            let above = ask.raw().saturating_add(tick.tick_at(ask).raw());
            if let Ok(price) = Price::from_raw(above) {
                bids.insert(price, qty);
            }
        }
        if no_bids {
            bids.clear();
        }
        if no_asks {
            asks.clear();
        }
        (bids, asks)
    }

    /// Levels as they are shown, best first.
    pub fn shown(&self, side: Side) -> Box<dyn Iterator<Item = Level> + '_> {
        let level = |(&price, &qty): (&Price, &Qty)| Level { price, qty };
        match side {
            Side::Buy => Box::new(self.bids.shown.iter().rev().map(level)),
            Side::Sell => Box::new(self.asks.shown.iter().map(level)),
        }
    }
}

/// Prices times a factor, on the grid; those that are not prices any more are left out.
fn scaled(levels: &BTreeMap<Price, Qty>, factor: f64, tick: &TickRule) -> BTreeMap<Price, Qty> {
    levels
        .iter()
        .filter_map(|(&price, &qty)| {
            let raw = price.raw() as f64 * factor;
            let raw = if raw < 9e18 { raw as i64 } else { return None };
            let price = Price::from_raw(raw).ok()?;
            Some((tick.round_limit(price, Side::Buy)?, qty))
        })
        .collect()
}
