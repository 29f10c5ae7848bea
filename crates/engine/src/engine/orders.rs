//! What the engine sends: entries, exits, and the orders that keep two legs equal.

use super::{Command, Engine, InFlight, View};
use crate::book::BookSide;
use crate::digest::Tag;
use crate::instrument::{InstrumentId, RouteId, Side};
use crate::ledger::LedgerError;
use crate::order::{Leg, Order, OrderId, OrderStatus, OrderType, Role};
use crate::records::{Direction, ExitReason, Recorder};
use crate::risk::{Reason, Refusal, Verdict};
use crate::spread::{Executable, entry_sides, executable};
use crate::strategy::{Market, OrderStyle, Seen};
use crate::units::{Bps, Price, Qty, SCALE, TimestampNs};

/// An order before it has a number.
#[derive(Debug, Clone, Copy)]
struct Ticket {
    leg: Leg,
    role: Role,
    side: Side,
    qty: Qty,
    mid: Price,
    /// Where it rests; `None` when it takes.
    posted: Option<Price>,
}

impl Engine {
    pub(super) fn enter(
        &mut self,
        id: RouteId,
        direction: Direction,
        view: &View,
        now: TimestampNs,
        commands: &mut Vec<Command>,
        recorder: &mut impl Recorder,
    ) -> Result<(), LedgerError> {
        let (side_a, side_b) = entry_sides(direction);
        let wanted = self.entry_size(id, direction, view)?;
        let (prices, posted) = match self.entry_prices(id, direction, wanted) {
            Some((prices, posted)) if self.is_tradeable(id, prices.qty, view)? => (prices, posted),
            _ => {
                let refusal = Refusal {
                    verdict: Verdict::Reduce,
                    reason: Reason::NoSize,
                };
                self.refuse(id, refusal, now, recorder);
                return Ok(());
            }
        };
        let qty = prices.qty;
        let (open, net) = self.routes[id.index()].entry_edge(direction, &prices, view.fx);
        if net < self.routes[id.index()].config().strategy.entry {
            return Ok(()); // the best level offered it, the size does not get it
        }
        let premium = Bps::from_ratio(view.tops.premium_ratio());
        let entry = self.risk_entry(id, qty, premium, view)?;
        let exposure = self.exposure(&entry)?;
        let approved = match self.risk.check(entry, &exposure, now) {
            Ok(approved) => approved,
            Err(refusal) => {
                self.refuse(id, refusal, now, recorder);
                return Ok(());
            }
        };
        // From here on only what was approved is acted on.
        let id = approved.entry().route;
        self.watches[id.index()].refused = None;
        self.risk.entered(id, now);
        let seen = self.seen(id, open, premium, view, now);
        self.counts.entries += 1;
        self.absorb_decision(Tag::Enter, id, direction as i64, qty, &seen);
        self.routes[id.index()].entering(direction, seen, posted);
        self.busy += 1;
        let maker = self.routes[id.index()].config().strategy.maker;
        for (leg, side, mid) in [(Leg::A, side_a, view.mids.0), (Leg::B, side_b, view.mids.1)] {
            if maker.is_none_or(|maker| maker == leg) {
                let ticket = Ticket {
                    leg,
                    role: Role::Entry,
                    side,
                    qty,
                    mid,
                    posted,
                };
                self.send(id, ticket, now, commands, recorder);
            } // else it is taken once the resting leg has filled
        }
        self.reset_timer();
        Ok(())
    }

    /// Average prices of entering with as much of the quantity as the taken books hold, rounded to lots, and the price at
    /// which a resting leg is posted. `None` when a side is empty.
    fn entry_prices(&self, id: RouteId, direction: Direction, wanted: Qty) -> Option<(Executable, Option<Price>)> {
        let config = self.routes[id.index()].config();
        let (book_a, book_b) = (&self.books[config.a.index()], &self.books[config.b.index()]);
        let (side_a, side_b) = entry_sides(direction);
        let Some(maker) = config.strategy.maker else {
            let pricing = config.strategy.pricing;
            let prices = executable(book_a, side_a, book_b, side_b, wanted, pricing)?;
            if prices.qty == wanted {
                return Some((prices, None));
            }
            let capped = prices.qty.floor_to(config.lot);
            return Some((executable(book_a, side_a, book_b, side_b, capped, pricing)?, None));
        };
        let (resting, rests, taken, takes) = match maker {
            Leg::A => (book_a, side_a, book_b, side_b),
            Leg::B => (book_b, side_b, book_a, side_a),
        };
        // Joins the queue at the best price of its own side.
        let posted = resting.best(BookSide::taken_by(rests.opposite()))?.price;
        let there = taken.walk(takes, wanted, None)?.filled.floor_to(config.lot);
        let walk = taken.walk(takes, there, None)?;
        let (at, average) = (posted.raw() as f64, walk.cost as f64 / walk.filled.raw() as f64);
        let (a, b) = if maker == Leg::A { (at, average) } else { (average, at) };
        Some((Executable { qty: there, a, b }, Some(posted)))
    }

    fn refuse(&mut self, id: RouteId, refusal: Refusal, now: TimestampNs, recorder: &mut impl Recorder) {
        if self.watches[id.index()].refused != Some(refusal) {
            self.watches[id.index()].refused = Some(refusal);
            self.tell_risk(Some(id), refusal.verdict, refusal.reason, now, recorder);
        }
    }

    pub(super) fn exit(
        &mut self,
        id: RouteId,
        reason: ExitReason,
        view: &View,
        now: TimestampNs,
        commands: &mut Vec<Command>,
        recorder: &mut impl Recorder,
    ) -> Result<(), LedgerError> {
        let route = &self.routes[id.index()];
        let direction = route.direction();
        let (a, b) = (route.config().a, route.config().b);
        let market = Market {
            now,
            book_a: &self.books[a.index()],
            book_b: &self.books[b.index()],
            tops: view.tops,
            fx: view.fx,
        };
        let close = match route.exit_prices(&market) {
            Some(prices) => prices.spread(direction, view.fx),
            None => view.tops.close_bound(direction),
        };
        let premium = Bps::from_ratio(view.tops.premium_ratio());
        let seen = self.seen(id, close, premium, view, now);
        let qty = [route.exit_qty(Leg::A), route.exit_qty(Leg::B)];
        if !(self.is_leg_tradeable(a, qty[0], view.mids.0)? && self.is_leg_tradeable(b, qty[1], view.mids.1)?) {
            // Closing the one leg that can be closed would only open the pair again.
            let trip = self.routes[id.index()].abandon(reason, seen, seen.rates)?;
            self.after_settling(id, trip, now, recorder);
            self.reset_timer();
            return Ok(());
        }
        self.counts.exits += 1;
        self.absorb_decision(Tag::Exit, id, reason as i64, route.held(), &seen);
        let (side_a, side_b) = entry_sides(direction);
        self.routes[id.index()].exiting(reason, seen);
        let legs = [(Leg::A, side_a, view.mids.0), (Leg::B, side_b, view.mids.1)];
        for ((leg, side, mid), qty) in legs.into_iter().zip(qty) {
            let side = side.opposite();
            let ticket = Ticket {
                leg,
                role: Role::Exit,
                side,
                qty,
                mid,
                posted: None,
            };
            self.send(id, ticket, now, commands, recorder);
        }
        self.reset_timer();
        Ok(())
    }

    #[allow(clippy::too_many_arguments)] // one order's worth of fields, told apart by their types
    pub(super) fn repair(
        &mut self,
        id: RouteId,
        leg: Leg,
        side: Side,
        qty: Qty,
        now: TimestampNs,
        commands: &mut Vec<Command>,
        recorder: &mut impl Recorder,
    ) -> Result<(), LedgerError> {
        let instruments = self.leg_instruments(id);
        let other = if leg == Leg::A { Leg::B } else { Leg::A };
        // What is too small for the one venue may still do at the other: adding there is as good as taking away here.
        let choices = [(leg, side), (other, side)];
        let mut unpriced = false;
        for (leg, side) in choices {
            let instrument = instruments[leg as usize];
            let Ok((bid, ask)) = self.books[instrument.index()].top() else {
                unpriced = true;
                continue;
            };
            let mid = Price::mid(bid.price, ask.price);
            if self.is_leg_tradeable(instrument, qty, mid)? {
                self.counts.repairs += 1;
                self.routes[id.index()].repairing(leg, now);
                let ticket = Ticket {
                    leg,
                    role: Role::Unwind,
                    side,
                    qty,
                    mid,
                    posted: None,
                };
                self.send(id, ticket, now, commands, recorder);
                self.reset_timer();
                return Ok(());
            }
        }
        if unpriced {
            self.routes[id.index()].repair_failed(now);
        } else {
            let rates = self.leg_rates(id);
            let trip = self.routes[id.index()].accept_dust(now, rates)?;
            self.after_settling(id, trip, now, recorder);
        }
        self.reset_timer();
        Ok(())
    }

    #[allow(clippy::too_many_arguments)] // one order's worth of fields, told apart by their types
    pub(super) fn hedge(
        &mut self,
        id: RouteId,
        leg: Leg,
        side: Side,
        qty: Qty,
        now: TimestampNs,
        commands: &mut Vec<Command>,
        recorder: &mut impl Recorder,
    ) -> Result<(), LedgerError> {
        let instrument = self.leg_instruments(id)[leg as usize];
        let mid = self
            .mid_of(instrument)
            .filter(|_| self.books[instrument.index()].top().is_ok());
        match mid {
            Some(mid) if self.is_leg_tradeable(instrument, qty, mid)? => {
                self.routes[id.index()].hedging(leg, now);
                let ticket = Ticket {
                    leg,
                    role: Role::Entry,
                    side,
                    qty,
                    mid,
                    posted: None,
                };
                self.send(id, ticket, now, commands, recorder);
            }
            _ => {
                if self.routes[id.index()].cannot_hedge(now).is_some() {
                    self.time_out(id, now, commands, recorder);
                }
            }
        }
        self.reset_timer();
        Ok(())
    }

    /// Takes back what still rests; if the route's timer had come, it is looked at again later.
    pub(super) fn time_out(
        &mut self,
        id: RouteId,
        now: TimestampNs,
        commands: &mut Vec<Command>,
        recorder: &mut impl Recorder,
    ) {
        self.withdraw(id, now, commands, recorder);
        self.routes[id.index()].snooze(now);
    }

    pub(super) fn withdraw(
        &mut self,
        id: RouteId,
        now: TimestampNs,
        commands: &mut Vec<Command>,
        recorder: &mut impl Recorder,
    ) {
        for flight in &mut self.in_flight {
            let rests = matches!(flight.order.order_type, OrderType::PostOnly(_)) && !flight.withdrawn;
            if flight.order.route == id && rests {
                flight.withdrawn = true;
                self.digest.absorb(Tag::Cancel, &[now.0, flight.order.id.0 as i64]);
                recorder.cancel(flight.order.id, now);
                commands.push(Command::Cancel(flight.order.id));
            }
        }
    }

    fn send(
        &mut self,
        route: RouteId,
        ticket: Ticket,
        now: TimestampNs,
        commands: &mut Vec<Command>,
        recorder: &mut impl Recorder,
    ) {
        let Ticket {
            leg,
            role,
            side,
            qty,
            mid,
            posted,
        } = ticket;
        let instrument = self.leg_instruments(route)[leg as usize];
        let order_type = match (posted, self.routes[route.index()].config().strategy.style) {
            (Some(price), _) => OrderType::PostOnly(price),
            (None, OrderStyle::Limit { collar }) if role != Role::Unwind => self
                .collared(instrument, side, qty, collar)
                .map_or(OrderType::Market, OrderType::Limit),
            _ => OrderType::Market,
        };
        let id = OrderId(self.next_order);
        self.next_order += 1;
        let order = Order {
            id,
            route,
            leg,
            role,
            instrument,
            side,
            qty,
            order_type,
            ts_sent: now,
            mid,
        };
        let limit = match order_type {
            OrderType::Market => 0,
            OrderType::Limit(price) => price.raw(),
            OrderType::PostOnly(price) => -price.raw(),
        };
        self.digest.absorb(
            Tag::Order,
            &[
                now.0,
                id.0 as i64,
                i64::from(instrument.0),
                side as i64,
                role as i64,
                qty.raw(),
                limit,
            ],
        );
        self.risk.sent(self.config.instruments[instrument.index()].venue, now);
        self.in_flight.push(InFlight {
            order,
            status: OrderStatus::Sent,
            filled: Qty::ZERO,
            withdrawn: false,
        });
        recorder.order_sent(&order);
        commands.push(Command::Send(order));
    }

    /// Limit price this far through the worst price that the quantity needs now.
    fn collared(&self, instrument: InstrumentId, side: Side, qty: Qty, collar: Bps) -> Option<Price> {
        let walk = self.books[instrument.index()].walk(side, qty, None)?;
        let shift = collar.raw().saturating_abs();
        let factor = match side {
            Side::Buy => SCALE.saturating_add(shift),
            Side::Sell => SCALE.saturating_sub(shift),
        };
        let raw = i128::from(walk.worst.raw()) * i128::from(factor) / i128::from(SCALE);
        let price = Price::from_raw(i64::try_from(raw).ok()?).ok()?;
        self.config.instruments[instrument.index()]
            .tick
            .round_limit(price, side)
    }

    fn seen(&self, id: RouteId, spread: Bps, premium: Bps, view: &View, ts: TimestampNs) -> Seen {
        let fair = self.routes[id.index()].fair();
        Seen {
            ts,
            spread,
            premium,
            fair,
            mids: view.mids,
            rates: self.leg_rates_at(id, view.rate),
        }
    }

    fn absorb_decision(&mut self, tag: Tag, id: RouteId, code: i64, qty: Qty, seen: &Seen) {
        self.digest.absorb(
            tag,
            &[
                seen.ts.0,
                i64::from(id.0),
                code,
                qty.raw(),
                seen.spread.raw(),
                seen.premium.raw(),
                seen.fair.raw(),
                seen.mids.0.raw(),
                seen.mids.1.raw(),
                seen.rates.0,
                seen.rates.1,
            ],
        );
    }
}
