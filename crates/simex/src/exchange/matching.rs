//! Who trades with whom: by price, then by time, over clients' orders and the market's own liquidity alike.
//!
//! The market's quantity that stood at a price when an order came to rest is ahead of it, what comes later is behind.
//! What clients take stays taken until the source sets that level anew. What always holds: an order never spends more than
//! it has locked. What a fill does to balances is in `settle.rs`.

use crossbook_engine::instrument::Side;
use crossbook_engine::units::{Price, Qty, Rounding, notional};

use super::book::Resting;
use super::orders::reaches;
use super::reference::TakingRange;
use super::{Exchange, Notice, OrderKind, OrderState, SelfMatch, TimeInForce};

/// What stands first in the queue of the other side.
enum First {
    /// The market's own, at least this much before any client.
    Market(Qty),
    /// A client's order with this much left.
    Client(u64, u32, Qty),
}

impl Exchange {
    /// Lets an order take what it can, then rest or end by its terms.
    pub(super) fn work(&mut self, id: u64, out: &mut Vec<Notice>) {
        let Some(order) = self.orders.all.get(&id) else { return };
        let (market, side, tif) = (order.market, order.view.order.side, order.view.order.tif);
        let limited = matches!(order.view.order.kind, OrderKind::Limit { .. });
        // What only rests has nothing to hang in the middle of.
        let hang = self.markets[market].hang.filter(|_| tif != TimeInForce::PostOnly);
        let hang_after = hang.map(|percent| {
            let qty = i128::from(order.left.raw()) * i128::from(percent) / 100;
            let qty = Qty::from_raw(i64::try_from(qty).unwrap_or(0)).unwrap_or(Qty::ZERO);
            let kept = order.left.saturating_sub(qty.floor_to(self.infos[market].lot));
            let funds = i128::from(order.funds_left) * i128::from(100 - percent.min(100)) / 100;
            (kept, i64::try_from(funds).unwrap_or(0))
        });
        // Where an order may trade is settled when it begins to take, for all that it takes then.
        let range = self.taking_range(market, side);
        if tif == TimeInForce::Fok && limited && !self.fills_whole(id, range) {
            self.end(id, OrderState::Expired, out);
            return;
        }
        if tif != TimeInForce::PostOnly {
            self.take(id, hang_after.unwrap_or((Qty::ZERO, 0)), range, out);
        }
        let Some(order) = self.orders.all.get(&id) else { return };
        if order.view.state != OrderState::Open {
            return;
        }
        if hang_after.is_some() {
            self.markets[market].hung.push(id);
        } else if limited && matches!(tif, TimeInForce::Gtc | TimeInForce::PostOnly) {
            self.rest(id, market, side);
        } else {
            self.end(id, OrderState::Expired, out);
        }
    }

    /// Orders that a fault held are matched again, or end if they were not to rest.
    pub(super) fn release(&mut self, market: usize, out: &mut Vec<Notice>) {
        for id in std::mem::take(&mut self.markets[market].hung) {
            let Some(order) = self.orders.all.get(&id) else {
                continue;
            };
            if order.view.state != OrderState::Open {
                continue;
            }
            if order.limit().is_some() {
                self.work(id, out);
            } else {
                // The cost of a market order was found for the book of its time.
                self.end(id, OrderState::Expired, out);
            }
        }
    }

    fn rest(&mut self, id: u64, market: usize, side: Side) {
        let Some(order) = self.orders.all.get(&id) else { return };
        let Some(price) = order.limit() else { return };
        let half = self.markets[market].book.half_mut(side);
        let resting = Resting {
            id,
            account: order.view.account,
            left: order.left,
            ahead: half.liquidity.get(&price).copied().unwrap_or(Qty::ZERO),
        };
        half.orders.entry(price).or_default().push_back(resting);
        half.touch(price);
    }

    /// Whether a limit order can be filled whole at once.
    fn fills_whole(&self, id: u64, range: TakingRange) -> bool {
        let Some(order) = self.orders.all.get(&id) else {
            return false;
        };
        let Some(limit) = order.limit() else { return false };
        let view = &order.view.order;
        let offers = self.offers(order.market, view.side, order.view.account, view.self_match);
        let within = offers
            .iter()
            .take_while(|(price, _)| reaches(view.side, limit, *price) && range.covers(*price));
        within.fold(0i64, |sum, (_, qty)| sum.saturating_add(*qty)) >= order.left.raw()
    }

    fn first(&self, market: usize, side: Side, price: Price) -> Option<First> {
        let half = self.markets[market].book.half(side);
        let there = half.liquidity.get(&price).copied().unwrap_or(Qty::ZERO);
        match half.orders.get(&price).and_then(|queue| queue.front()) {
            Some(order) if order.ahead.is_zero() || there.is_zero() => {
                Some(First::Client(order.id, order.account, order.left))
            }
            Some(order) => Some(First::Market(order.ahead.min(there))),
            None => (!there.is_zero()).then_some(First::Market(there)),
        }
    }

    /// Takes the market's own quantity at a price.
    fn take_liquidity(&mut self, market: usize, side: Side, price: Price, qty: Qty) {
        let half = self.markets[market].book.half_mut(side);
        if let Some(there) = half.liquidity.get_mut(&price) {
            *there = there.saturating_sub(qty);
            if there.is_zero() {
                half.liquidity.remove(&price);
            }
        }
        for order in half.orders.get_mut(&price).into_iter().flatten() {
            order.ahead = order.ahead.saturating_sub(qty);
        }
        half.touch(price);
    }

    /// Lets an order take from the other side while it may; `keep` of it (base, funds) stays untouched.
    fn take(&mut self, id: u64, keep: (Qty, i64), range: TakingRange, out: &mut Vec<Notice>) {
        loop {
            let Some(order) = self.orders.all.get(&id) else { return };
            if order.view.state != OrderState::Open {
                return;
            }
            let (market, side, account) = (order.market, order.view.order.side, order.view.account);
            let other = side.opposite();
            let Some(price) = self.markets[market].book.best(other) else {
                return;
            };
            if order.limit().is_some_and(|limit| !reaches(side, limit, price)) {
                return;
            }
            let most = order.most_at(price, self.infos[market].lot, keep);
            if most.is_zero() {
                return;
            }
            if !range.covers(price) {
                self.end(id, OrderState::OutOfRange, out);
                return;
            }
            let mode = order.view.order.self_match;
            let filled = match self.first(market, other, price) {
                Some(First::Market(there)) => {
                    let qty = most.min(there);
                    let filled = self.fill(market, side, price, qty, Some(id), None, out);
                    if filled {
                        self.take_liquidity(market, other, price, qty);
                    }
                    filled
                }
                Some(First::Client(maker, owner, left)) if owner == account && mode != SelfMatch::Allow => {
                    self.prevent(id, maker, mode, price, most.min(left), out);
                    true
                }
                Some(First::Client(maker, _, left)) => {
                    self.fill(market, side, price, most.min(left), Some(id), Some(maker), out)
                }
                None => false,
            };
            if !filled {
                return;
            }
        }
    }

    /// Two orders of one account meet.
    fn prevent(&mut self, taker: u64, maker: u64, mode: SelfMatch, price: Price, qty: Qty, out: &mut Vec<Notice>) {
        match mode {
            SelfMatch::Allow => {}
            SelfMatch::CancelMaker => self.end(maker, OrderState::Prevented, out),
            SelfMatch::CancelTaker => self.end(taker, OrderState::Prevented, out),
            SelfMatch::CancelBoth => {
                self.end(maker, OrderState::Prevented, out);
                self.end(taker, OrderState::Prevented, out);
            }
            SelfMatch::Reduce => {
                for id in [maker, taker] {
                    self.reduce(id, price, qty, out);
                }
            }
        }
    }

    /// An order loses quantity without a trade.
    fn reduce(&mut self, id: u64, price: Price, qty: Qty, out: &mut Vec<Notice>) {
        let Some(order) = self.orders.all.get_mut(&id) else {
            return;
        };
        let view = &mut order.view;
        view.prevented = view.prevented.checked_add(qty).unwrap_or(Qty::MAX);
        let gone = if matches!(
            (view.order.kind, view.order.side),
            (OrderKind::MarketFunds { .. }, Side::Buy)
        ) {
            let funds = notional(price, qty, Rounding::Up).map_or(i64::MAX, |funds| funds.raw());
            order.funds_left = order.funds_left.saturating_sub(funds).max(0);
            order.funds_left == 0
        } else {
            order.left = order.left.saturating_sub(qty);
            order.left.is_zero()
        };
        self.shrink_resting(id, qty);
        self.relock(id);
        if gone {
            self.end(id, OrderState::Prevented, out);
        }
    }

    /// A resting order has less left; one with nothing left leaves the book.
    pub(super) fn shrink_resting(&mut self, id: u64, qty: Qty) {
        let Some(order) = self.orders.all.get(&id) else { return };
        let Some(price) = order.limit() else { return };
        let half = self.markets[order.market].book.half_mut(order.view.order.side);
        let Some(queue) = half.orders.get_mut(&price) else {
            return;
        };
        let Some(at) = queue.iter().position(|resting| resting.id == id) else {
            return;
        };
        queue[at].left = queue[at].left.saturating_sub(qty);
        if queue[at].left.is_zero() {
            queue.remove(at);
        }
        if queue.is_empty() {
            half.orders.remove(&price);
        }
        half.touch(price);
    }

    /// A trade of others at a price that the source tells: clients' orders that were there, or better, get their part.
    pub(super) fn trade_through(&mut self, market: usize, price: Price, qty: Qty, taker: Side, out: &mut Vec<Notice>) {
        let side = taker.opposite();
        let (mut left, mut others) = (qty, Qty::ZERO);
        while !left.is_zero() {
            let Some(best) = self.markets[market].book.best_order(side) else {
                break;
            };
            if !reaches(taker, price, best) {
                break;
            }
            let half = self.markets[market].book.half_mut(side);
            let Some(queue) = half.orders.get_mut(&best) else { break };
            let Some(front) = queue.front() else { break };
            let (id, ahead) = (front.id, front.ahead.min(left));
            if !ahead.is_zero() {
                for order in queue.iter_mut() {
                    order.ahead = order.ahead.saturating_sub(ahead);
                }
                left = left.saturating_sub(ahead);
                others = others.checked_add(ahead).unwrap_or(Qty::MAX);
                continue;
            }
            let part = front.left.min(left);
            if !self.fill(market, taker, best, part, None, Some(id), out) {
                break;
            }
            left = left.saturating_sub(part);
        }
        let rest = left.checked_add(others).unwrap_or(left);
        if !rest.is_zero() {
            self.print(market, price, rest, taker, out);
        }
    }

    /// The market's own liquidity has come to where clients' orders rest: they fill at their price.
    pub(super) fn uncross(&mut self, market: usize, out: &mut Vec<Notice>) {
        for side in [Side::Buy, Side::Sell] {
            loop {
                let book = &self.markets[market].book;
                let Some(price) = book.best_order(side) else { break };
                let Some((other, there)) = book.best_liquidity(side.opposite()) else {
                    break;
                };
                if !reaches(side, price, other) {
                    break;
                }
                let front = book.half(side).orders.get(&price).and_then(|queue| queue.front());
                let Some((id, left)) = front.map(|order| (order.id, order.left)) else {
                    break;
                };
                let qty = left.min(there);
                if !self.fill(market, side.opposite(), price, qty, None, Some(id), out) {
                    break;
                }
                self.take_liquidity(market, side.opposite(), other, qty);
            }
        }
    }
}
