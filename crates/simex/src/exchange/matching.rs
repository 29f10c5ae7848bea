//! Who trades with whom: by price, then by time, over clients' orders and the market's own liquidity alike.
//!
//! The market's quantity that stood at a price when an order came to rest is ahead of it, what comes later is behind.
//! What clients take stays taken until the source sets that level anew. What always holds: a fill moves the same funds and
//! the same base on both sides; an order never spends more than it has locked.

use crossbook_engine::instrument::Side;
use crossbook_engine::units::{Amount, Price, Qty, Rounding, notional};

use super::book::Resting;
use super::orders::{buy_lock, fee_reserve, reaches};
use super::{
    AccountEvent, AccountEventKind, Currency, Exchange, Fill, Notice, OrderKind, OrderState, SelfMatch, TimeInForce,
    Venue,
};

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
        if tif == TimeInForce::Fok && limited && !self.fills_whole(id) {
            self.end(id, OrderState::Expired, out);
            return;
        }
        if tif != TimeInForce::PostOnly {
            self.take(id, hang_after.unwrap_or((Qty::ZERO, 0)), out);
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
    fn fills_whole(&self, id: u64) -> bool {
        let Some(order) = self.orders.all.get(&id) else {
            return false;
        };
        let Some(limit) = order.limit() else { return false };
        let view = &order.view.order;
        let offers = self.offers(order.market, view.side, order.view.account, view.self_match);
        let within = offers.iter().take_while(|(price, _)| reaches(view.side, limit, *price));
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
    fn take(&mut self, id: u64, keep: (Qty, i64), out: &mut Vec<Notice>) {
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
    fn shrink_resting(&mut self, id: u64, qty: Qty) {
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

    /// One fill at a maker's price; the house stands where there is no order. Whether it could be done.
    #[expect(clippy::too_many_arguments, reason = "two sides of one trade")]
    fn fill(
        &mut self,
        market: usize,
        taker_side: Side,
        price: Price,
        qty: Qty,
        taker: Option<u64>,
        maker: Option<u64>,
        out: &mut Vec<Notice>,
    ) -> bool {
        let Ok(funds) = notional(price, qty, Rounding::Down) else {
            return false;
        };
        if let Some(id) = taker
            && !self.affords(id, funds)
        {
            return false;
        }
        let trade = self.print(market, price, qty, taker_side, out);
        let info = &self.infos[market];
        let (venue, base, quote) = (info.venue, info.base.clone(), info.quote.clone());
        for (id, side, is_maker) in [(maker, taker_side.opposite(), true), (taker, taker_side, false)] {
            match id {
                Some(id) => {
                    self.settle(id, trade, price, qty, funds, is_maker);
                    self.shrink_resting(id, qty);
                    self.relock(id);
                    self.tell_order_traded(id, out);
                }
                None => {
                    let sign = if side == Side::Buy { 1 } else { -1 };
                    self.accounts.house(venue, &base, sign * qty.raw());
                    self.accounts.house(venue, &quote, -sign * funds.raw());
                }
            }
        }
        true
    }

    /// Whether what a taker has locked is enough for these funds and their fee. It always is for a limit order.
    fn affords(&self, id: u64, funds: Amount) -> bool {
        let Some(order) = self.orders.all.get(&id) else {
            return false;
        };
        if order.view.order.side == Side::Sell {
            return true;
        }
        let fee = fee_reserve(&self.infos[order.market], funds).unwrap_or(i64::MAX);
        // The reserve is rounded up, the fee down: one unit of 1e-8 apart at most.
        funds.raw().saturating_add(fee) <= order.view.locked.raw().saturating_add(1)
    }

    /// Books one order's side of a fill.
    fn settle(&mut self, id: u64, trade: u64, price: Price, qty: Qty, funds: Amount, maker: bool) {
        let now = self.clock();
        let Some(order) = self.orders.all.get(&id) else { return };
        let info = &self.infos[order.market];
        let (venue, base, quote, lot) = (info.venue, info.base.clone(), info.quote.clone(), info.lot);
        let (account, side) = (order.view.account, order.view.order.side);
        let rate = if maker { info.maker_fee } else { info.taker_fee };
        let (received, currency) = match (venue, side) {
            (Venue::Upbit, _) | (_, Side::Sell) => (funds, quote.clone()),
            (_, Side::Buy) => (Amount::from(qty), base.clone()),
        };
        let fee = rate.of(received, Rounding::Down).map_or(0, Amount::raw);
        let bnb = self.fee_in_bnb(
            account,
            venue,
            &quote,
            rate.of(funds, Rounding::Down).map_or(0, Amount::raw),
        );
        // What is taken off the funds or the base, and what is paid apart.
        let (off, fill_fee, fill_currency) = match bnb {
            Some((bnb, amount)) => {
                self.accounts.pay(account, &bnb, amount);
                (0, amount, bnb)
            }
            None => (fee, fee, currency),
        };
        self.accounts.earn(venue, &fill_currency, fill_fee);
        match side {
            Side::Buy => {
                let on_top = if venue == Venue::Upbit { off } else { 0 };
                let less = if venue == Venue::Upbit { 0 } else { off };
                self.accounts.spend(account, &quote, funds.raw() + on_top);
                self.accounts.bought(account, &base, qty.raw() - less, funds.raw());
            }
            Side::Sell => {
                self.accounts.spend(account, &base, qty.raw());
                self.accounts.receive(account, &quote, funds.raw() - off);
            }
        }
        let Some(order) = self.orders.all.get_mut(&id) else {
            return;
        };
        let spent = match side {
            Side::Buy if venue == Venue::Upbit => funds.raw() + off,
            Side::Buy => funds.raw(),
            Side::Sell => qty.raw(),
        };
        let amount = |raw| Amount::from_raw(raw).unwrap_or(Amount::ZERO);
        let by_funds = order.by_funds();
        let view = &mut order.view;
        view.locked = amount(view.locked.raw() - spent);
        view.executed = view.executed.checked_add(qty).unwrap_or(Qty::MAX);
        view.executed_funds = view.executed_funds.checked_add(funds).unwrap_or(view.executed_funds);
        if fill_currency == view.fee_currency {
            view.fee = amount(view.fee.raw() + fill_fee);
        }
        view.updated = now;
        view.fills.push(Fill {
            trade_id: trade,
            ts: now,
            price,
            qty,
            funds,
            fee: amount(fill_fee),
            fee_currency: fill_currency,
            maker,
        });
        if by_funds {
            order.funds_left -= funds.raw();
            // Prices only get worse: what buys no lot here buys none. Upbit refunds it and says so.
            let spent = match venue {
                Venue::Upbit => order.funds_left == 0,
                Venue::Binance | Venue::BinanceUsdm => order.most_at(price, lot, (Qty::ZERO, 0)).is_zero(),
            };
            if spent {
                order.view.state = OrderState::Filled;
            }
        } else {
            order.left = order.left.saturating_sub(qty);
            if order.left.is_zero() {
                order.view.state = OrderState::Filled;
            }
        }
    }

    /// The fee in BNB, if the account pays so, has enough, and BNB has a price in this quote.
    fn fee_in_bnb(&self, account: u32, venue: Venue, quote: &Currency, worth: i64) -> Option<(Currency, i64)> {
        let config = self.accounts.config(account)?;
        if venue != Venue::Binance || !config.fees_in_bnb {
            return None;
        }
        let market = self.index(venue, &format!("BNB{quote}"))?;
        let (price, _) = self.markets[market].book.best_liquidity(Side::Sell)?;
        let worth = i128::from(worth) * i128::from(self.bnb_fee_percent) / 100;
        let amount = worth * i128::from(crossbook_engine::units::SCALE) / i128::from(price.raw());
        let amount = i64::try_from(amount).ok()?;
        let bnb = Currency::from("BNB");
        (amount > 0 && self.accounts.free(account, &bnb) >= amount).then_some((bnb, amount))
    }

    /// Gives back what an order no longer needs to keep locked.
    fn relock(&mut self, id: u64) {
        let Some(order) = self.orders.all.get_mut(&id) else {
            return;
        };
        let info = &self.infos[order.market];
        let had = order.view.locked.raw();
        let (need, reserve) = match (order.view.state, order.view.order.side, order.view.order.kind) {
            (OrderState::Open, Side::Buy, OrderKind::Limit { price, .. }) => {
                buy_lock(info, price, order.left).map_or((had, 0), |(funds, fee)| (funds.saturating_add(fee), fee))
            }
            (OrderState::Open, Side::Buy, OrderKind::MarketFunds { .. }) => {
                let funds = Amount::from_raw(order.funds_left).unwrap_or(Amount::ZERO);
                fee_reserve(info, funds).map_or((had, 0), |fee| (order.funds_left.saturating_add(fee), fee))
            }
            (OrderState::Open, Side::Buy, OrderKind::MarketQty { .. }) => (had, order.view.reserved_fee.raw()),
            (OrderState::Open, Side::Sell, _) => (order.left.raw(), 0),
            _ => (0, 0),
        };
        let keep = need.min(had);
        let amount = |raw| Amount::from_raw(raw).unwrap_or(Amount::ZERO);
        order.view.locked = amount(keep);
        order.view.reserved_fee = amount(reserve.min(keep));
        if keep != had {
            let (account, currency) = (order.view.account, order.view.locked_currency.clone());
            self.accounts.lock(account, &currency, keep - had);
        }
    }

    /// An order comes to its end with something left: out of the book, its funds given back.
    pub(super) fn end(&mut self, id: u64, state: OrderState, out: &mut Vec<Notice>) {
        let now = self.clock();
        let Some(order) = self.orders.all.get_mut(&id) else {
            return;
        };
        if !order.view.state.is_open() {
            return;
        }
        order.view.state = state;
        order.view.updated = now;
        let left = order.left;
        if state == OrderState::Prevented {
            order.view.prevented = order.view.prevented.checked_add(left).unwrap_or(Qty::MAX);
        }
        self.shrink_resting(id, left);
        self.relock(id);
        self.orders.close(id);
        self.tell_order(id, AccountEventKind::Ended, out);
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

    fn tell_order_traded(&mut self, id: u64, out: &mut Vec<Notice>) {
        self.tell_order(id, AccountEventKind::Trade, out);
        if self
            .orders
            .all
            .get(&id)
            .is_some_and(|order| order.view.state == OrderState::Filled)
        {
            self.orders.close(id);
        }
    }

    /// Tells an order's owner.
    pub(super) fn tell_order(
        &mut self,
        id: u64,
        kind: impl FnOnce(super::OrderView) -> AccountEventKind,
        out: &mut Vec<Notice>,
    ) {
        let ts = self.clock();
        let Some(order) = self.orders.all.get(&id) else { return };
        let event = AccountEvent {
            venue: self.infos[order.market].venue,
            account: order.view.account,
            ts,
            kind: kind(order.view.clone()),
        };
        self.tell_account(event, out);
    }

    /// Tells everyone whose balances changed.
    pub(super) fn tell_balances(&mut self, out: &mut Vec<Notice>) {
        let ts = self.clock();
        while let Some((account, venue, balances)) = self.accounts.take_changed() {
            let event = AccountEvent {
                venue,
                account,
                ts,
                kind: AccountEventKind::Balances(balances),
            };
            self.tell_account(event, out);
        }
    }

    fn tell_account(&mut self, event: AccountEvent, out: &mut Vec<Notice>) {
        if let Some(truth) = &mut self.truth {
            truth.account(self.now, &event);
        }
        out.push(Notice::Account(event));
    }
}
