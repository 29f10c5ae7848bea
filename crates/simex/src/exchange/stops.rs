//! Stop orders: they wait until a trade reaches their price, then work as what they are.
//!
//! A stop order is in no book while it waits. What it locks is for its own price, or for its stop price when it has none;
//! a buy at the market that costs more when it begins takes the rest from what is free, or ends.
//! Source: binance-spot-api-docs, order types and filters (read 2026-11-21).

use crossbook_engine::instrument::Side;
use crossbook_engine::units::{Amount, Price};

use super::{AccountEventKind, Exchange, Notice, OrderKind, OrderState};

impl Exchange {
    /// A trade at this price: those that waited for it will begin.
    pub(super) fn reach(&mut self, market: usize, price: Price) {
        let (orders, market) = (&self.orders.all, &mut self.markets[market]);
        market.stops.retain(|id| {
            let order = orders.get(id).map(|order| &order.view.order);
            let reached = order.is_some_and(|order| order.stop.is_some_and(|stop| stop.is_reached(order.side, price)));
            if reached {
                market.reached.push_back(*id);
            }
            !reached
        });
    }

    /// Lets stop orders begin whose price was reached, first those that waited longest.
    pub(super) fn begin_reached(&mut self, market: usize, out: &mut Vec<Notice>) {
        while let Some(id) = self.markets[market].reached.pop_front() {
            let now = self.clock();
            let Some(order) = self.orders.all.get_mut(&id) else {
                continue;
            };
            if !order.view.state.is_open() {
                continue;
            }
            order.view.working = Some(now);
            order.view.updated = now;
            self.tell_order(id, AccountEventKind::Working, out);
            if self.lock_for_now(id) {
                self.work(id, out);
            } else {
                self.end(id, OrderState::Expired, out);
            }
        }
    }

    /// A buy at the market locks what it costs now. Whether there is enough.
    fn lock_for_now(&mut self, id: u64) -> bool {
        let Some(order) = self.orders.all.get(&id) else {
            return false;
        };
        let (view, market) = (&order.view, order.market);
        let (OrderKind::MarketQty { .. }, Side::Buy) = (view.order.kind, view.order.side) else {
            return true;
        };
        let (account, currency, had) = (view.account, view.locked_currency.clone(), view.locked.raw());
        let Ok((need, reserve)) = self.cost(market, account, view.order.self_match, order.left) else {
            return false;
        };
        if need - had > self.accounts.free(account, &currency) {
            return false;
        }
        self.accounts.lock(account, &currency, need - had);
        if let Some(order) = self.orders.all.get_mut(&id) {
            let amount = |raw| Amount::from_raw(raw).unwrap_or(Amount::ZERO);
            order.view.locked = amount(need);
            order.view.reserved_fee = amount(reserve);
        }
        true
    }
}
