//! What a fill, or the end of an order, does to money, and who is told of it.
//!
//! What always holds: a fill moves the same funds and the same base on both sides; what an order has locked is given back
//! as soon as it cannot cost it any more.

use crossbook_engine::instrument::Side;
use crossbook_engine::units::{Amount, Price, Qty, Rounding, notional};

use super::check::{buy_lock, fee_reserve};
use super::{AccountEvent, AccountEventKind, Currency, Exchange, Fill, Notice, OrderKind, OrderState, Venue};

impl Exchange {
    /// One fill at a maker's price; the house stands where there is no order. Whether it could be done.
    #[expect(clippy::too_many_arguments, reason = "two sides of one trade")]
    pub(super) fn fill(
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
        let worth = i128::from(worth) * i128::from(self.binance.bnb_fee_percent) / 100;
        let amount = worth * i128::from(crossbook_engine::units::SCALE) / i128::from(price.raw());
        let amount = i64::try_from(amount).ok()?;
        let bnb = Currency::from("BNB");
        (amount > 0 && self.accounts.free(account, &bnb) >= amount).then_some((bnb, amount))
    }

    /// Gives back what an order no longer needs to keep locked.
    pub(super) fn relock(&mut self, id: u64) {
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
        order.view.released = order.view.locked;
        let (left, market) = (order.left, order.market);
        if order.view.order.stop.is_some() {
            self.markets[market].stops.retain(|&waiting| waiting != id);
        }
        if state == OrderState::Prevented {
            order.view.prevented = order.view.prevented.checked_add(left).unwrap_or(Qty::MAX);
        }
        self.shrink_resting(id, left);
        self.relock(id);
        self.orders.close(id);
        self.tell_order(id, AccountEventKind::Ended, out);
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
