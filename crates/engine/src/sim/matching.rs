//! The venues' work: what happens when an order, a cancel or a market event reaches one.

use super::config::FillModel;
use super::market::{Execution, Market, Resting};
use super::queue::Queue;
use super::wallet::{self, Changes};
use super::{HOUSEKEEPING_NS, Inbound, Message, Outbound, Sim, SimError, VenueFeed};
use crate::book::BookSide;
use crate::instrument::{CurrencyId, InstrumentId, Side, VenueId, VenueKind};
use crate::ledger::fill_changes;
use crate::order::{Fill, Liquidity, Order, OrderId, OrderStatus, OrderType, Reject};
use crate::units::{Amount, Overflow, Price, Qty, Rounding, SCALE, TimestampNs, div_round, notional};

/// What a venue has to do next.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    /// Apply the next market events of an instrument on which orders rest.
    Market(InstrumentId),
    /// Take in the next order or cancel.
    Inbound,
}

/// What an order came to on arrival.
enum Arrival {
    /// It has ended; its fills are in the list at hand.
    Done(OrderStatus),
    /// It rests at this price.
    Rest(Price),
}

impl Sim {
    /// The venues' next step and when it is. Market events come first: an order at `t` sees all messages up to `t`.
    pub(super) fn next_step(&mut self, feed: &mut impl VenueFeed) -> Option<(TimestampNs, Step)> {
        let mut next = self.inbound.last().map(|inbound| (inbound.at, Step::Inbound));
        for instrument in self.instrument_ids() {
            let market = &mut self.markets[instrument.index()];
            if market.resting.is_empty() {
                continue;
            }
            if market.next_event.is_none() {
                market.next_event = feed.next_event(instrument);
            }
            if let Some(at) = market.next_event
                && next.is_none_or(|(first, step)| at < first || (at == first && matches!(step, Step::Inbound)))
            {
                next = Some((at, Step::Market(instrument)));
            }
        }
        next
    }

    pub(super) fn work(&mut self, at: TimestampNs, step: Step, feed: &mut impl VenueFeed) -> Result<(), SimError> {
        match step {
            Step::Market(instrument) => self.advance(instrument, at, feed),
            Step::Inbound => match self.inbound.pop() {
                Some(Inbound {
                    message:
                        Message::New {
                            order,
                            report_normal,
                            cancel_ns,
                        },
                    ..
                }) => {
                    for other in self.instrument_ids() {
                        if self.needs(order.instrument, other) {
                            self.advance(other, at, feed)?;
                            self.markets[other.index()].inbound -= 1;
                        }
                    }
                    self.arrive(&order, at, report_normal, cancel_ns)
                        .map_err(|source| overflow(&order, source))?;
                    self.markets[order.instrument.index()].next_event = None;
                    Ok(())
                }
                Some(Inbound {
                    message: Message::Cancel { order, instrument },
                    ..
                }) => {
                    self.advance(instrument, at, feed)?;
                    self.cancel_arrives(order, instrument, at);
                    Ok(())
                }
                None => Ok(()),
            },
        }
    }

    /// Lets a venue's book follow up to an instant, and settles what that fills.
    fn advance(
        &mut self,
        instrument: InstrumentId,
        until: TimestampNs,
        feed: &mut impl VenueFeed,
    ) -> Result<(), SimError> {
        let rules = &self.config.instruments[instrument.index()];
        let model = self.config.venues[rules.venue.index()].queue_model;
        let market = &mut self.markets[instrument.index()];
        if !market.hot {
            return Ok(());
        }
        feed.advance(instrument, until, &mut |ts_event, ts_recv, event| {
            market.apply(ts_event, ts_recv, event, model, rules.lot);
        });
        market.tracked_to = market.tracked_to.max(until);
        market.next_event = None;
        if !market.executions.is_empty() {
            let mut executions = std::mem::take(&mut market.executions);
            for execution in executions.drain(..) {
                self.settle_maker(&execution)
                    .map_err(|source| overflow(&execution.order, source))?;
            }
            self.markets[instrument.index()].executions = executions;
        }
        Ok(())
    }

    /// Brings books that nobody waits for up to date now and then, and lets go of those that nobody needs.
    pub(super) fn keep_house(&mut self, now: TimestampNs, feed: &mut impl VenueFeed) -> Result<(), SimError> {
        for instrument in self.instrument_ids() {
            let market = &self.markets[instrument.index()];
            if !market.hot || !market.resting.is_empty() {
                continue;
            }
            if now >= market.tracked_to.plus(HOUSEKEEPING_NS) {
                self.advance(instrument, now, feed)?;
            }
            let market = &mut self.markets[instrument.index()];
            #[cfg(test)]
            if self.always_hot {
                continue;
            }
            if market.inbound == 0 && !market.has_taken() {
                market.hot = false;
                feed.release(instrument);
            }
        }
        Ok(())
    }

    fn arrive(&mut self, order: &Order, at: TimestampNs, report_normal: f64, cancel_ns: i64) -> Result<(), Overflow> {
        let mut fills = self.spare.pop().unwrap_or_default();
        let status = match self.judge(order, at, &mut fills)? {
            Arrival::Done(status) => {
                let rules = &self.config.instruments[order.instrument.index()];
                for fill in &fills {
                    self.wallets.settle(rules, fill)?;
                    if self.config.fill_model == FillModel::Walk {
                        self.markets[order.instrument.index()].take(order.side, fill.price, fill.qty);
                    }
                    remember(&mut self.recent[order.instrument.index()], fill);
                }
                status
            }
            Arrival::Rest(price) => {
                let market = &mut self.markets[order.instrument.index()];
                let side = match order.side {
                    Side::Buy => BookSide::Bid,
                    Side::Sell => BookSide::Ask,
                };
                let known = market.book.is_trusted(side, price);
                market.resting.push(Resting {
                    order: *order,
                    price,
                    left: order.qty,
                    queue: Queue::behind(known.then(|| market.book.qty_at(side, price))),
                    report_normal,
                    cancel_ns,
                });
                OrderStatus::Resting
            }
        };
        self.report(order, status, at, report_normal, fills);
        Ok(())
    }

    /// What the venue makes of an order: the first rule that it breaks, or its fills.
    fn judge(&self, order: &Order, at: TimestampNs, fills: &mut Vec<Fill>) -> Result<Arrival, Overflow> {
        let rules = &self.config.instruments[order.instrument.index()];
        let market = &self.markets[order.instrument.index()];
        let reject = |reason| Ok(Arrival::Done(OrderStatus::Rejected(reason)));
        let refusal = market.refusal();
        if let Some(Reject::VenueDown) = refusal {
            return reject(Reject::VenueDown);
        }
        let limit = match order.order_type {
            OrderType::Market => None,
            OrderType::Limit(price) | OrderType::PostOnly(price) => Some(price),
        };
        if limit.is_some_and(|price| !rules.tick.is_on_grid(price)) {
            return reject(Reject::OffTick);
        }
        if order.qty.is_zero() || order.qty.floor_to(rules.lot) != order.qty {
            return reject(Reject::OffLot);
        }
        if order.qty < rules.min_qty {
            return reject(Reject::BelowMinQty);
        }
        if let Some(reason) = refusal {
            return reject(reason);
        }
        let opposite = market.best(BookSide::taken_by(order.side));
        let reference = limit.or(opposite.map(|level| level.price));
        if let Some(price) = reference
            && notional(price, order.qty, Rounding::Down)? < rules.min_notional
        {
            return reject(Reject::BelowMinNotional);
        }
        if let OrderType::PostOnly(price) = order.order_type {
            let would_take = opposite.is_some_and(|level| match order.side {
                Side::Buy => level.price <= price,
                Side::Sell => level.price >= price,
            });
            if would_take {
                return reject(Reject::WouldTake);
            }
            if !self.can_pay(order, Some(price), fills)? {
                return reject(Reject::InsufficientBalance);
            }
            return Ok(Arrival::Rest(price));
        }
        let left = self.take(order, limit, at, market, fills)?;
        if !self.can_pay(order, limit, fills)? {
            fills.clear();
            return reject(Reject::InsufficientBalance);
        }
        Ok(Arrival::Done(if left.is_zero() {
            OrderStatus::Filled
        } else {
            OrderStatus::Expired
        }))
    }

    /// Lists the fills of a taking order; gives what found nothing.
    fn take(
        &self,
        order: &Order,
        limit: Option<Price>,
        at: TimestampNs,
        market: &Market,
        fills: &mut Vec<Fill>,
    ) -> Result<Qty, Overflow> {
        let mut failed = Ok(());
        let mut fill = |price, qty| match self.fill(order, price, qty, Liquidity::Taker, at) {
            Ok(fill) => fills.push(fill),
            Err(overflow) => failed = Err(overflow),
        };
        let left = match self.config.fill_model {
            FillModel::Walk => market.walk(order.side, order.qty, limit, fill),
            FillModel::Top => {
                let best = market
                    .best(BookSide::taken_by(order.side))
                    .filter(|level| match (order.side, limit) {
                        (_, None) => true,
                        (Side::Buy, Some(limit)) => level.price <= limit,
                        (Side::Sell, Some(limit)) => level.price >= limit,
                    });
                match best {
                    Some(level) => {
                        fill(level.price, order.qty);
                        Qty::ZERO
                    }
                    None => order.qty,
                }
            }
        };
        failed.map(|()| left)
    }

    fn fill(
        &self,
        order: &Order,
        price: Price,
        qty: Qty,
        liquidity: Liquidity,
        ts_venue: TimestampNs,
    ) -> Result<Fill, Overflow> {
        let rules = &self.config.instruments[order.instrument.index()];
        let venue = &self.config.venues[rules.venue.index()];
        let (fee, fee_currency) = wallet::fee(venue, rules, liquidity, order.side, price, qty)?;
        Ok(Fill {
            order: order.id,
            instrument: order.instrument,
            side: order.side,
            price,
            qty,
            notional: wallet::cash(order.side, price, qty)?,
            fee,
            fee_currency,
            liquidity,
            ts_venue,
        })
    }

    /// Whether the venue lets us afford an order with these fills (none, for one that is to rest).
    fn can_pay(&self, order: &Order, limit: Option<Price>, fills: &[Fill]) -> Result<bool, Overflow> {
        let rules = &self.config.instruments[order.instrument.index()];
        let venue = &self.config.venues[rules.venue.index()];
        if venue.kind == VenueKind::Perpetual {
            return match venue.max_leverage {
                Some(times) => self.has_margin(order, limit, times),
                None => Ok(true),
            };
        }
        let liquidity = match order.order_type {
            OrderType::PostOnly(_) => Liquidity::Maker,
            OrderType::Market | OrderType::Limit(_) => Liquidity::Taker,
        };
        // A limit order is locked whole, at its limit; a market sale at its whole quantity; a market buy costs what it takes.
        let locked = match (limit.or(fills.first().map(|fill| fill.price)), order.side) {
            (Some(price), Side::Sell) => Some(wallet::lock(venue, rules, liquidity, Side::Sell, price, order.qty)?),
            (Some(_), Side::Buy) => limit
                .map(|price| wallet::lock(venue, rules, liquidity, Side::Buy, price, order.qty))
                .transpose()?,
            (None, _) => None,
        };
        let fee_currency = match (fills.first(), locked) {
            (Some(fill), _) => fill.fee_currency,
            (None, _) => rules.quote,
        };
        let mut spent = Changes::none(rules, fee_currency);
        for fill in fills {
            let [base, quote, fee] = fill_changes(fill)?;
            spent.add(rules.base, base);
            spent.add(rules.quote, quote);
            spent.add(fill.fee_currency, fee);
        }
        for changes in locked.into_iter().chain([spent]) {
            for currency in changes.currencies() {
                if changes.outgoing(currency) > self.free(rules.venue, currency)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Balance less what resting orders lock.
    fn free(&self, venue: VenueId, currency: CurrencyId) -> Result<i128, Overflow> {
        let mut free = i128::from(self.wallets.balance(venue, currency).raw());
        let config = &self.config.venues[venue.index()];
        for (market, rules) in self.markets.iter().zip(&self.config.instruments) {
            if rules.venue != venue {
                continue;
            }
            for resting in &market.resting {
                let side = resting.order.side;
                let locked = wallet::lock(config, rules, Liquidity::Maker, side, resting.price, resting.left)?;
                free -= locked.outgoing(currency);
            }
        }
        Ok(free)
    }

    /// Whether the exposure of the venue's perpetuals in this quote currency, with the order and all that rests filled
    /// on the worse side, is within `times` the equity there. An order that makes its position smaller always passes.
    fn has_margin(&self, order: &Order, limit: Option<Price>, times: u32) -> Result<bool, Overflow> {
        let own = &self.config.instruments[order.instrument.index()];
        let mut equity = i128::from(self.wallets.balance(own.venue, own.quote).raw());
        let mut exposure: i128 = 0;
        for (index, (market, rules)) in self.markets.iter().zip(&self.config.instruments).enumerate() {
            if rules.venue != own.venue || rules.quote != own.quote {
                continue;
            }
            let is_own = index == order.instrument.index();
            let position = i128::from(self.wallets.balance(rules.venue, rules.base).raw());
            let resting = |side| {
                let of_side = market.resting.iter().filter(move |resting| resting.order.side == side);
                of_side.map(|resting| i128::from(resting.left.raw())).sum::<i128>()
            };
            let (mut buys, mut sales) = (resting(Side::Buy), resting(Side::Sell));
            if is_own {
                let qty = i128::from(order.qty.raw());
                let shrinks = match order.side {
                    Side::Buy => position + buys + qty <= 0,
                    Side::Sell => position - sales - qty >= 0,
                };
                if shrinks {
                    return Ok(true);
                }
                match order.side {
                    Side::Buy => buys += qty,
                    Side::Sell => sales += qty,
                }
            }
            let worst = (position + buys).abs().max((position - sales).abs());
            if worst == 0 {
                continue;
            }
            // Without a price there is nothing to lend against.
            let Some(mark) = market.mid().or(limit.filter(|_| is_own)) else {
                return Ok(false);
            };
            let value = |units: i128, rounding| {
                let units = Amount::from_wide(units)?;
                let wide = i128::from(units.raw()) * i128::from(mark.raw());
                Ok(div_round(wide, i128::from(SCALE), rounding))
            };
            equity += value(position, Rounding::Down)?;
            exposure += value(worst, Rounding::Up)?;
        }
        Ok(exposure <= equity * i128::from(times))
    }

    fn settle_maker(&mut self, execution: &Execution) -> Result<(), Overflow> {
        let order = &execution.order;
        let fill = self.fill(order, execution.price, execution.qty, Liquidity::Maker, execution.ts)?;
        self.wallets
            .settle(&self.config.instruments[order.instrument.index()], &fill)?;
        remember(&mut self.recent[order.instrument.index()], &fill);
        let status = if execution.done {
            OrderStatus::Filled
        } else {
            OrderStatus::Resting
        };
        let mut fills = self.spare.pop().unwrap_or_default();
        fills.push(fill);
        self.report(order, status, execution.ts, execution.report_normal, fills);
        Ok(())
    }

    fn cancel_arrives(&mut self, order: OrderId, instrument: InstrumentId, at: TimestampNs) {
        let resting = &mut self.markets[instrument.index()].resting;
        if let Some(index) = resting.iter().position(|resting| resting.order.id == order) {
            let resting = resting.remove(index);
            let fills = self.spare.pop().unwrap_or_default();
            self.report(&resting.order, OrderStatus::Cancelled, at, resting.report_normal, fills);
        }
    }

    fn report(&mut self, order: &Order, status: OrderStatus, at: TimestampNs, normal: f64, fills: Vec<Fill>) {
        let venue = self.config.instruments[order.instrument.index()].venue;
        let delay_ns = self.markets[order.instrument.index()].delay_ns();
        let latency_ns = self.config.venues[venue.index()].report_latency.at(normal, delay_ns);
        // Reports of one order do not overtake each other, however the recorded delay varies.
        let earlier = self.outbound.iter().filter(|report| report.order == order.id);
        let ts_report = earlier.fold(at.plus(latency_ns), |ts, report| ts.max(report.ts_report));
        self.reports_made += 1;
        let report = Outbound {
            ts_report,
            order: order.id,
            number: self.reports_made,
            status,
            ts_venue: at,
            fills,
        };
        let place = self.outbound.partition_point(|other| other.key() > report.key());
        self.outbound.insert(place, report);
    }
}

fn remember(recent: &mut Vec<(TimestampNs, i64)>, fill: &Fill) {
    let signed = match fill.side {
        Side::Buy => fill.qty.raw(),
        Side::Sell => -fill.qty.raw(),
    };
    recent.push((fill.ts_venue, signed));
}

fn overflow(order: &Order, source: Overflow) -> SimError {
    SimError::Overflow {
        order: order.id,
        instrument: order.instrument,
        source,
    }
}
