//! Whether an order may be taken, and what it locks then.
//!
//! What always holds: nothing is changed by a check; what an order locks is enough for all it can still cost.

use crossbook_engine::instrument::Side;
use crossbook_engine::units::{Amount, Price, Qty, Rounding, SCALE, div_round, notional};

use super::orders::reaches;
use super::{Currency, Exchange, MarketInfo, NewOrder, OrderKind, Reject, SelfMatch, Status, TimeInForce, Venue};

/// An order that may be taken.
pub(super) struct Checked {
    pub market: usize,
    pub currency: Currency,
    pub lock: i64,
    pub reserve: i64,
    pub left: Qty,
    pub funds_left: i64,
}

/// What is locked for a buy at a price: funds, and on top of it the fee's reserve.
pub(super) fn buy_lock(info: &MarketInfo, price: Price, qty: Qty) -> Result<(i64, i64), Reject> {
    let funds = notional(price, qty, Rounding::Up).map_err(|_| Reject::OverMaxTotal)?;
    Ok((funds.raw(), fee_reserve(info, funds)?))
}

/// What is kept for the fee of a buy of these funds: Upbit takes it in quote on top, Binance out of what is bought.
pub(super) fn fee_reserve(info: &MarketInfo, funds: Amount) -> Result<i64, Reject> {
    match info.venue {
        Venue::Upbit => {
            let rate = info.maker_fee.max(info.taker_fee);
            let fee = rate.of(funds, Rounding::Up).map_err(|_| Reject::OverMaxTotal)?;
            Ok(fee.raw())
        }
        Venue::Binance | Venue::BinanceUsdm => Ok(0),
    }
}

impl Exchange {
    pub(super) fn check(&self, account: u32, order: &NewOrder) -> Result<Checked, Reject> {
        let venue = self.accounts.config(account).ok_or(Reject::UnknownMarket)?.venue;
        if let Some(text) = &order.client_id {
            let taken = match venue {
                Venue::Upbit => self.orders.is_burnt(account, text),
                Venue::Binance | Venue::BinanceUsdm => self.orders.is_taken(account, text),
            };
            if taken {
                return Err(Reject::DuplicateClientId);
            }
        }
        let market = self.index(venue, &order.symbol).ok_or(Reject::UnknownMarket)?;
        let info = &self.infos[market];
        match info.status {
            Status::Trading => {}
            Status::Delisted => return Err(Reject::UnknownMarket),
            Status::CancelOnly | Status::Halted => return Err(Reject::NotTrading),
        }
        let book = &self.markets[market].book;
        let opposite = book.best(order.side.opposite());
        let check_qty = |qty: Qty| {
            let on_grid = !qty.is_zero() && qty.floor_to(info.lot) == qty;
            let inside = qty >= info.min_qty && qty <= info.max_qty;
            if on_grid && inside { Ok(()) } else { Err(Reject::BadQty) }
        };
        let check_total = |total: Amount| match total {
            total if total < info.min_total => Err(Reject::UnderMinTotal),
            total if total > info.max_total => Err(Reject::OverMaxTotal),
            _ => Ok(()),
        };
        let total = |price, qty| notional(price, qty, Rounding::Down).map_err(|_| Reject::OverMaxTotal);
        if let Some(stop) = order.stop {
            if !info.tick.is_on_grid(stop.price) {
                return Err(Reject::BadPrice);
            }
            if book
                .trades
                .back()
                .is_some_and(|last| stop.is_reached(order.side, last.price))
            {
                return Err(Reject::WouldTrigger);
            }
        }
        // Where an order without a price is judged: a stop order by its stop.
        let expected = order.stop.map(|stop| stop.price).or(opposite);
        let (mut left, mut funds_left) = (Qty::ZERO, 0);
        let (lock, reserve) = match (order.kind, order.side) {
            (OrderKind::Limit { price, qty }, side) => {
                if !info.tick.is_on_grid(price) {
                    return Err(Reject::BadPrice);
                }
                if !self.is_near(market, side, price) {
                    return Err(if self.binance.price_band_by_side {
                        Reject::PercentPriceBySide
                    } else {
                        Reject::PercentPrice
                    });
                }
                check_qty(qty)?;
                check_total(total(price, qty)?)?;
                left = qty;
                let crosses = opposite.is_some_and(|best| reaches(side, price, best));
                if order.tif == TimeInForce::PostOnly && crosses {
                    return Err(Reject::WouldTake);
                }
                match side {
                    Side::Buy => {
                        let (funds, fee) = buy_lock(info, price, qty)?;
                        (funds.checked_add(fee).ok_or(Reject::OverMaxTotal)?, fee)
                    }
                    Side::Sell => (qty.raw(), 0),
                }
            }
            (OrderKind::MarketQty { qty }, side) => {
                check_qty(qty)?;
                left = qty;
                if let Some(best) = expected {
                    check_total(total(best, qty)?)?;
                }
                match (side, order.stop) {
                    (Side::Buy, Some(stop)) => {
                        let (funds, fee) = buy_lock(info, stop.price, qty)?;
                        (funds.checked_add(fee).ok_or(Reject::OverMaxTotal)?, fee)
                    }
                    (Side::Buy, None) => self.cost(market, account, order.self_match, qty)?,
                    (Side::Sell, _) => (qty.raw(), 0),
                }
            }
            (OrderKind::MarketFunds { funds }, Side::Buy) => {
                check_total(funds)?;
                funds_left = funds.raw();
                let fee = fee_reserve(info, funds)?;
                (funds.raw().checked_add(fee).ok_or(Reject::OverMaxTotal)?, fee)
            }
            (OrderKind::MarketFunds { funds }, Side::Sell) => {
                check_total(funds)?;
                left = self.worth(market, account, order.self_match, funds);
                check_qty(left)?;
                (left.raw(), 0)
            }
        };
        if venue == Venue::Binance {
            self.check_size(account, market, order, left, lock)?;
        }
        self.check_room(account, market, venue)?;
        if order.stop.is_some() {
            let open = self.orders.open_of(account);
            let here = open.filter(|open| open.market == market && open.view.order.stop.is_some());
            if here.count() >= self.binance.most_algo_orders {
                return Err(Reject::TooManyStops);
            }
        }
        let currency = match order.side {
            Side::Buy => info.quote.clone(),
            Side::Sell => info.base.clone(),
        };
        if self.accounts.free(account, &currency) < lock {
            return Err(Reject::InsufficientFunds);
        }
        Ok(Checked {
            market,
            currency,
            lock,
            reserve,
            left,
            funds_left,
        })
    }

    /// `MAX_POSITION` and `MAX_ASSET`. The document leaves open whether the order itself counts for the position; it does.
    fn check_size(&self, account: u32, market: usize, order: &NewOrder, left: Qty, lock: i64) -> Result<(), Reject> {
        let (info, rules) = (&self.infos[market], &self.binance);
        let total = match (order.kind, order.side) {
            (OrderKind::Limit { price, qty }, _) => notional(price, qty, Rounding::Down).ok(),
            (OrderKind::MarketFunds { funds }, _) => Some(funds),
            (OrderKind::MarketQty { .. }, Side::Buy) => Amount::from_raw(lock).ok(),
            (OrderKind::MarketQty { qty }, Side::Sell) => {
                let stop = order.stop.map(|stop| stop.price);
                let best = stop.or(self.markets[market].book.best(Side::Buy));
                best.and_then(|best| notional(best, qty, Rounding::Down).ok())
            }
        };
        let over =
            |currency: &Currency, amount: Amount| rules.max_asset.get(&**currency).is_some_and(|&most| amount > most);
        if over(&info.base, Amount::from(left)) || total.is_some_and(|total| over(&info.quote, total)) {
            return Err(Reject::MaxAsset);
        }
        let Some(most) = rules.max_position.get(&*info.base) else {
            return Ok(());
        };
        if order.side == Side::Buy {
            let bid_for = self
                .orders
                .open_of(account)
                .filter(|open| open.market == market && open.view.order.side == Side::Buy);
            let bid_for: i128 = bid_for.map(|open| i128::from(open.left.raw())).sum();
            let held = self.accounts.held(account, &info.base);
            if held + bid_for + i128::from(left.raw()) > i128::from(most.raw()) {
                return Err(Reject::MaxPosition);
            }
        }
        Ok(())
    }

    fn check_room(&self, account: u32, market: usize, venue: Venue) -> Result<(), Reject> {
        let (open, most) = match venue {
            Venue::Upbit => (self.orders.open_of(account).count(), self.most_open),
            Venue::Binance | Venue::BinanceUsdm => {
                let here = self.orders.open_of(account).filter(|order| order.market == market);
                (here.count(), self.binance.most_open_orders)
            }
        };
        if open < most {
            Ok(())
        } else {
            Err(Reject::TooManyOrders)
        }
    }

    /// What buying this much at the market costs now, with the fee's reserve.
    pub(super) fn cost(&self, market: usize, account: u32, mode: SelfMatch, qty: Qty) -> Result<(i64, i64), Reject> {
        let (mut left, mut cost) = (qty.raw(), 0i128);
        for (price, there) in self.offers(market, Side::Buy, account, mode) {
            let take = left.min(there);
            cost += i128::from(take) * i128::from(price.raw());
            left -= take;
            if left == 0 {
                break;
            }
        }
        let wide = div_round(cost, i128::from(SCALE), Rounding::Up);
        let funds = Amount::from_wide(wide).map_err(|_| Reject::OverMaxTotal)?;
        let fee = fee_reserve(&self.infos[market], funds)?;
        Ok((funds.raw().checked_add(fee).ok_or(Reject::OverMaxTotal)?, fee))
    }

    /// How much has to be sold at the market to receive at most these funds.
    fn worth(&self, market: usize, account: u32, mode: SelfMatch, funds: Amount) -> Qty {
        let (mut left, mut qty) = (i128::from(funds.raw()) * i128::from(SCALE), 0i64);
        for (price, there) in self.offers(market, Side::Sell, account, mode) {
            let most = i64::try_from(left / i128::from(price.raw())).unwrap_or(i64::MAX);
            let take = most.min(there);
            left -= i128::from(take) * i128::from(price.raw());
            qty = qty.saturating_add(take);
            if take == most {
                break;
            }
        }
        Qty::from_raw(qty).unwrap_or(Qty::ZERO).floor_to(self.infos[market].lot)
    }
}
