//! The step: event → book → spread → strategy → risk → orders.
//!
//! One function takes market events ([`Engine::apply`]), one takes order reports ([`Engine::on_report`]), one decides
//! ([`Engine::decide`]), once per distinct receive time after everything of that instant has been taken in. Replay, tuning,
//! paper and live call these same three. What always holds: an entry is sent only from what risk approved; the ledger
//! moves only by reports; every decision, order, report, posting and word of risk is absorbed by the digest.

mod money;
mod size;

use crate::book::{Book, BookSide};
use crate::digest::{Digest, Tag};
use crate::event::EventKind;
use crate::instrument::{CurrencyId, Instrument, InstrumentId, RouteId, Side, VenueId, VenueKind};
use crate::ledger::{Ledger, LedgerError};
use crate::order::{Leg, Order, OrderId, OrderStatus, OrderType, Report, Role};
use crate::records::{
    Direction, EquityPoint, ExitReason, FillRecord, OrderRecord, Recorder, RiskRecord, RoundTrip, SpreadPoint,
};
use crate::risk::{Entry, Exposure, Limits, Reason, Refusal, Risk, Verdict};
use crate::spread::{Executable, Tops, entry_sides, executable};
use crate::strategy::{Intent, LegFill, Market, OrderStyle, Route, RouteConfig, Seen, State};
use crate::units::{Amount, Bps, FxRate, Overflow, Price, Qty, Rounding, SCALE, TimestampNs, notional};

pub use money::{Class, FxConfig, FxProblem, FxSource};
use money::{Fx, Valuer, rate_of};

/// A venue as the engine sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VenueConfig {
    /// Spot or perpetual.
    pub kind: VenueKind,
    /// Taker fee: what sizing leaves room for.
    pub taker_fee: Bps,
    /// Perpetuals: position value per unit of the venue's equity, at most, counted in 1e-8.
    pub max_leverage: Option<i64>,
}

/// Everything that an engine is built from.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Venues, by id.
    pub venues: Vec<VenueConfig>,
    /// Instruments, by id.
    pub instruments: Vec<Instrument>,
    /// What each currency is, by id.
    pub classes: Vec<Class>,
    /// Currency of results and limits.
    pub base_currency: CurrencyId,
    /// Opening balances.
    pub opening: Vec<(VenueId, CurrencyId, Amount)>,
    /// The exchange rate.
    pub fx: FxConfig,
    /// Routes, by id.
    pub routes: Vec<RouteConfig>,
    /// Risk limits.
    pub limits: Limits,
    /// Midnights at which daily counters begin anew.
    pub days: Vec<TimestampNs>,
    /// How often equity and spreads are sampled, in nanoseconds of event time.
    pub sample_ns: i64,
}

/// What a stream feeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The book of an instrument.
    Instrument(InstrumentId),
    /// The exchange rate.
    Fx,
}

/// What the engine wants done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Send this order.
    Send(Order),
    /// Take this order back.
    Cancel(OrderId),
}

/// Counts of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Distinct instants at which a route was looked at.
    pub decisions: u64,
    /// Pairs of entry orders sent.
    pub entries: u64,
    /// Pairs of exit orders sent.
    pub exits: u64,
    /// Orders sent to mend unequal legs.
    pub repairs: u64,
    /// Rates ignored for being outside the band.
    pub fx_rejected: u64,
    /// How often a book became crossed or locked.
    pub crossed: u64,
}

/// How long routes could not be priced, in nanoseconds summed over routes, as seen from decision to decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BlockedTime {
    /// A book was missing, crossed, gapped, or its feed down.
    pub venue_down_ns: i64,
    /// A book was too old.
    pub stale_ns: i64,
    /// There was no rate, or none in the band.
    pub no_fx_ns: i64,
}

#[derive(Debug, Clone, Copy)]
struct InFlight {
    order: Order,
    status: OrderStatus,
    filled: Qty,
    /// Has been asked back.
    withdrawn: bool,
}

#[derive(Debug, Clone, Copy)]
struct Watch {
    blocked: Option<Reason>,
    refused: Option<Refusal>,
    seen: TimestampNs,
}

/// The core.
#[derive(Debug, Clone)]
pub struct Engine {
    config: EngineConfig,
    books: Vec<Book>,
    /// Routes that look at an instrument.
    watchers: Vec<Vec<RouteId>>,
    fx: Fx,
    valuer: Valuer,
    routes: Vec<Route>,
    watches: Vec<Watch>,
    dirty: Vec<bool>,
    awake: bool,
    busy: u32,
    risk: Risk,
    ledger: Ledger,
    in_flight: Vec<InFlight>,
    next_order: u64,
    next_timer: TimestampNs,
    next_sample: TimestampNs,
    digest: Digest,
    counts: Counts,
    blocked: BlockedTime,
    pnl_limits: bool,
}

impl Engine {
    /// An engine before its first event.
    ///
    /// # Errors
    /// [`LedgerError`] when the opening balances do not fit.
    pub fn new(config: EngineConfig) -> Result<Engine, LedgerError> {
        let ledger = Ledger::new(config.venues.len(), config.classes.len(), &config.opening)?;
        let mut watchers = vec![Vec::new(); config.instruments.len()];
        for (index, route) in config.routes.iter().enumerate() {
            watchers[route.a.index()].push(RouteId(index as u16));
            watchers[route.b.index()].push(RouteId(index as u16));
        }
        let global = &config.limits.global;
        let pnl_limits = global.max_daily_loss.is_some() || global.max_drawdown.is_some();
        let mut engine = Engine {
            books: vec![Book::default(); config.instruments.len()],
            watchers,
            fx: Fx::new(config.fx),
            valuer: Valuer::new(
                config.venues.len(),
                config.classes.clone(),
                config.base_currency,
                &config.instruments,
            ),
            routes: config.routes.iter().cloned().map(Route::new).collect(),
            watches: vec![
                Watch {
                    blocked: None,
                    refused: None,
                    seen: TimestampNs::MIN
                };
                config.routes.len()
            ],
            dirty: vec![false; config.routes.len()],
            awake: false,
            busy: 0,
            risk: Risk::new(
                config.limits.clone(),
                config.venues.len(),
                config.routes.len(),
                config.days.clone(),
            ),
            ledger,
            in_flight: Vec::with_capacity(16),
            next_order: 1,
            next_timer: TimestampNs::MAX,
            next_sample: TimestampNs::MIN,
            digest: Digest::default(),
            counts: Counts::default(),
            blocked: BlockedTime::default(),
            pnl_limits,
            config,
        };
        engine.absorb_postings();
        Ok(engine)
    }

    /// Takes in a market event. Several of one instant come one after another before [`Engine::decide`].
    #[inline]
    pub fn apply(&mut self, target: Target, ts_event: TimestampNs, ts_recv: TimestampNs, event: &EventKind<'_>) {
        match target {
            Target::Instrument(id) => {
                let book = &mut self.books[id.index()];
                book.apply(ts_event, ts_recv, event);
                if matches!(
                    event,
                    EventKind::Trade { .. } | EventKind::Fx(_) | EventKind::Funding { .. }
                ) {
                    return;
                }
                if self.fx.source() == FxSource::Instrument(id)
                    && let Ok((bid, ask)) = book.top()
                    && let Ok(rate) = FxRate::from_raw(Price::mid(bid.price, ask.price).raw())
                {
                    self.fx.observe(rate, ts_event);
                }
                for route in &self.watchers[id.index()] {
                    self.dirty[route.index()] = true;
                    self.awake = true;
                }
            }
            Target::Fx => {
                if let Some(rate) = rate_of(event) {
                    self.fx.observe(rate, ts_event);
                }
            }
        }
    }

    /// Whether [`Engine::decide`] has something to look at now.
    #[inline]
    pub fn is_awake(&self, now: TimestampNs) -> bool {
        self.awake || self.next_timer <= now
    }

    /// When [`Engine::decide`] must be called even if nothing happens.
    #[inline]
    pub fn next_timer(&self) -> TimestampNs {
        self.next_timer
    }

    /// Decides, and appends what should happen to `commands`. `now` is the receive time of the events just applied, or the
    /// time of a timer; it never goes back.
    ///
    /// # Errors
    /// [`LedgerError`] on overflow: the run must stop.
    #[inline]
    pub fn decide(
        &mut self,
        now: TimestampNs,
        commands: &mut Vec<Command>,
        recorder: &mut impl Recorder,
    ) -> Result<(), LedgerError> {
        self.risk.roll(now);
        if self.busy > 0 && self.pnl_limits {
            self.mark_risk(now, recorder);
        }
        let timers = self.next_timer <= now;
        for index in 0..self.routes.len() {
            if self.dirty[index] || (timers && self.routes[index].due() <= now) {
                self.dirty[index] = false;
                self.decide_route(RouteId(index as u16), now, commands, recorder)?;
            }
        }
        self.awake = false;
        if timers {
            self.reset_timer();
        }
        if now >= self.next_sample {
            self.sample(now, recorder)?;
        }
        Ok(())
    }

    fn reset_timer(&mut self) {
        self.next_timer = self.routes.iter().map(Route::due).min().unwrap_or(TimestampNs::MAX);
    }

    #[inline]
    fn decide_route(
        &mut self,
        id: RouteId,
        now: TimestampNs,
        commands: &mut Vec<Command>,
        recorder: &mut impl Recorder,
    ) -> Result<(), LedgerError> {
        self.counts.decisions += 1;
        let route = &self.routes[id.index()];
        match route.want_balance(now) {
            Some(Intent::Repair { leg, side, qty }) => {
                return self.repair(id, leg, side, qty, now, commands, recorder);
            }
            Some(Intent::Hedge { leg, side, qty }) => {
                return self.hedge(id, leg, side, qty, now, commands, recorder);
            }
            _ => {}
        }
        let (a, b) = (route.config().a, route.config().b);
        let (book_a, book_b) = (&self.books[a.index()], &self.books[b.index()]);
        let (tops, rate) = match price(&self.risk, &self.fx, book_a, book_b, now) {
            Ok(found) => found,
            Err(reason) => {
                self.note_blocked(id, Some(reason), now, recorder);
                if self.routes[id.index()].due() <= now {
                    self.time_out(id, now, commands, recorder);
                }
                return Ok(());
            }
        };
        let fx = self.valuer.route_fx(
            self.config.instruments[a.index()].quote,
            self.config.instruments[b.index()].quote,
            rate,
        );
        let market = Market {
            now,
            book_a,
            book_b,
            tops: Tops::new(tops.0, tops.1, fx),
            fx,
        };
        let intent = self.routes[id.index()].decide(&market);
        let mid_a = Price::mid(tops.0.0.price, tops.0.1.price);
        let mid_b = Price::mid(tops.1.0.price, tops.1.1.price);
        let tops = market.tops;
        if self.watches[id.index()].blocked.is_some() {
            self.note_blocked(id, None, now, recorder);
        }
        self.watches[id.index()].seen = now;
        self.risk.observe(id, now, mid_a.raw());
        let halted = self.risk.halt_reason().is_some();
        let state = self.routes[id.index()].state();
        let view = View {
            tops,
            fx,
            rate,
            mids: (mid_a, mid_b),
        };
        match intent {
            _ if halted && state == State::Open => self.exit(id, ExitReason::Risk, &view, now, commands, recorder)?,
            _ if halted && state == State::Entering => self.withdraw(id, now, commands, recorder),
            Some(Intent::Exit(reason)) => self.exit(id, reason, &view, now, commands, recorder)?,
            Some(Intent::Enter(direction)) => self.enter(id, direction, &view, now, commands, recorder)?,
            _ if halted && state == State::Entering => self.time_out(id, now, commands, recorder),
            Some(Intent::Withdraw) => self.time_out(id, now, commands, recorder),
            Some(Intent::Repair { .. } | Intent::Hedge { .. }) | None => {
                if self.watches[id.index()].refused.is_some() && state == State::Flat {
                    self.watches[id.index()].refused = None;
                }
                if self.routes[id.index()].due() <= now {
                    self.time_out(id, now, commands, recorder);
                }
            }
        }
        Ok(())
    }

    /// Takes back what still rests; if the route's timer had come, it is looked at again later.
    fn time_out(&mut self, id: RouteId, now: TimestampNs, commands: &mut Vec<Command>, recorder: &mut impl Recorder) {
        self.withdraw(id, now, commands, recorder);
        self.routes[id.index()].snooze(now);
    }

    fn withdraw(&mut self, id: RouteId, now: TimestampNs, commands: &mut Vec<Command>, recorder: &mut impl Recorder) {
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

    fn note_blocked(&mut self, id: RouteId, reason: Option<Reason>, now: TimestampNs, recorder: &mut impl Recorder) {
        let watch = &mut self.watches[id.index()];
        let span = if watch.seen == TimestampNs::MIN {
            0
        } else {
            now.since(watch.seen)
        };
        match watch.blocked {
            Some(Reason::StaleBook) => self.blocked.stale_ns += span,
            Some(Reason::NoFx | Reason::FxBand) => self.blocked.no_fx_ns += span,
            Some(_) => self.blocked.venue_down_ns += span,
            None => {}
        }
        let changed = watch.blocked != reason;
        watch.blocked = reason;
        watch.seen = now;
        if changed && let Some(reason) = reason {
            self.tell_risk(Some(id), Verdict::Block, reason, now, recorder);
        }
    }

    fn tell_risk(
        &mut self,
        route: Option<RouteId>,
        verdict: Verdict,
        reason: Reason,
        ts: TimestampNs,
        recorder: &mut impl Recorder,
    ) {
        let route_field = route.map_or(-1, |route| i64::from(route.0));
        self.digest
            .absorb(Tag::Risk, &[ts.0, route_field, verdict as i64, reason as i64]);
        recorder.risk(&RiskRecord {
            ts,
            route,
            verdict,
            reason,
        });
    }

    fn mark_risk(&mut self, now: TimestampNs, recorder: &mut impl Recorder) {
        self.valuer.refresh(&self.books);
        if let Some(rate) = self.fx.last() {
            let pnl = self.valuer.quick_pnl(&self.ledger, rate);
            if self.risk.mark(pnl)
                && let Some(reason) = self.risk.halt_reason()
            {
                self.tell_risk(None, Verdict::Halt, reason, now, recorder);
                self.dirty.iter_mut().for_each(|dirty| *dirty = true);
            }
        }
    }

    fn enter(
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
        debug_assert_eq!(approved.entry().route, id);
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

    fn exit(
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
    fn repair(
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
    fn hedge(
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

    /// Takes in news of an order.
    ///
    /// # Errors
    /// [`LedgerError`] on overflow: the run must stop.
    pub fn on_report(&mut self, report: &Report<'_>, recorder: &mut impl Recorder) -> Result<(), LedgerError> {
        let Some(at) = self.in_flight.iter().position(|flight| flight.order.id == report.order) else {
            return Ok(()); // a late word on an order that has already come to its end
        };
        let now = report.ts_report;
        let order = self.in_flight[at].order;
        let instrument = &self.config.instruments[order.instrument.index()];
        let (venue, base, quote) = (instrument.venue, instrument.base, instrument.quote);
        let (status_code, reject_code) = status_codes(report.status);
        self.digest.absorb(
            Tag::Report,
            &[
                now.0,
                order.id.0 as i64,
                status_code,
                reject_code,
                report.ts_venue.0,
                report.fills.len() as i64,
            ],
        );
        for fill in report.fills {
            self.digest.absorb(
                Tag::Fill,
                &[
                    fill.order.0 as i64,
                    fill.price.raw(),
                    fill.qty.raw(),
                    fill.notional.raw(),
                    fill.fee.raw(),
                    i64::from(fill.fee_currency.0),
                    fill.liquidity as i64,
                    fill.ts_venue.0,
                ],
            );
            self.ledger.post_fill(venue, fill, base, quote)?;
            self.absorb_postings();
            let fee = self.value_of(venue, fill.fee_currency, fill.fee)?;
            let leg_fill = LegFill {
                leg: order.leg,
                side: fill.side,
                qty: fill.qty,
                notional: fill.notional,
                fee,
            };
            self.routes[order.route.index()].filled(order.role, &leg_fill)?;
            self.in_flight[at].filled = self.in_flight[at].filled.checked_add(fill.qty)?;
            let at_mid = notional(order.mid, fill.qty, Rounding::Down)?;
            let slippage = match fill.side {
                Side::Buy => fill.notional.checked_sub(at_mid)?,
                Side::Sell => at_mid.checked_sub(fill.notional)?,
            };
            recorder.fill(&FillRecord {
                fill: *fill,
                route: order.route,
                leg: order.leg,
                slippage,
                ts_report: now,
            });
        }
        self.in_flight[at].status = report.status;
        if !report.status.is_final() {
            if !report.fills.is_empty() {
                self.routes[order.route.index()].partly_filled(now);
                self.reset_timer();
            }
            return Ok(());
        }
        let flight = self.in_flight.remove(at);
        recorder.order_done(&OrderRecord {
            order: flight.order,
            status: flight.status,
            filled: flight.filled,
            ts_venue: Some(report.ts_venue),
            ts_report: Some(now),
        });
        let rates = self.leg_rates(order.route);
        let trip = self.routes[order.route.index()].finished(order.leg, report.status, now, rates)?;
        self.after_settling(order.route, trip, now, recorder);
        self.reset_timer();
        Ok(())
    }

    fn after_settling(&mut self, id: RouteId, trip: Option<RoundTrip>, now: TimestampNs, recorder: &mut impl Recorder) {
        if self.routes[id.index()].state() == State::Flat {
            self.busy = self.routes.iter().filter(|route| route.state() != State::Flat).count() as u32;
        }
        let Some(trip) = trip else { return };
        let trip = RoundTrip { route: id, ..trip };
        self.digest.absorb(
            Tag::RoundTrip,
            &[
                now.0,
                i64::from(id.0),
                trip.direction as i64,
                trip.reason as i64,
                trip.qty.raw(),
                trip.pnl.raw(),
            ],
        );
        let venues = self
            .leg_instruments(id)
            .map(|i| self.config.instruments[i.index()].venue);
        self.risk.closed(id, venues, now, trip.pnl);
        recorder.round_trip(&trip);
        if self.pnl_limits {
            self.mark_risk(now, recorder);
        }
    }

    /// Posts what a perpetual position paid or received.
    ///
    /// # Errors
    /// [`LedgerError`] on overflow: the run must stop.
    pub fn on_funding(&mut self, venue: VenueId, currency: CurrencyId, received: Amount) -> Result<(), LedgerError> {
        self.ledger.post_funding(venue, currency, received)?;
        self.absorb_postings();
        Ok(())
    }

    fn absorb_postings(&mut self) {
        for posting in self.ledger.last_transaction() {
            let account = posting.account;
            self.digest.absorb(
                Tag::Posting,
                &[
                    posting.transaction as i64,
                    i64::from(account.venue.0),
                    i64::from(account.currency.0),
                    account.kind as i64,
                    posting.amount.raw(),
                    posting.kind as i64,
                ],
            );
        }
    }

    /// Base-currency value of a cost, rounded up, at the newest mids and rate; zero while it has no price.
    fn value_of(&mut self, venue: VenueId, currency: CurrencyId, amount: Amount) -> Result<Amount, LedgerError> {
        let Some(rate) = self.fx.last() else {
            return Ok(Amount::ZERO);
        };
        if self.valuer.conversion(currency, rate).is_none() {
            self.valuer.refresh(&self.books);
        }
        let Some(mark) = self.valuer.mark(venue, currency, rate) else {
            return Ok(Amount::ZERO);
        };
        // Rounding the negative down rounds the cost up.
        Ok(mark.value(amount.checked_neg()?)?.checked_neg()?)
    }

    fn leg_instruments(&self, id: RouteId) -> [InstrumentId; 2] {
        let config = self.routes[id.index()].config();
        [config.a, config.b]
    }

    fn leg_rates(&self, id: RouteId) -> (i64, i64) {
        self.leg_rates_at(id, self.fx.last().unwrap_or(FxRate::ONE))
    }

    fn leg_rates_at(&self, id: RouteId, rate: FxRate) -> (i64, i64) {
        let [a, b] = self
            .leg_instruments(id)
            .map(|i| self.config.instruments[i.index()].quote);
        (self.valuer.unit_value(a, rate), self.valuer.unit_value(b, rate))
    }

    fn sample(&mut self, now: TimestampNs, recorder: &mut impl Recorder) -> Result<(), LedgerError> {
        let step = self.config.sample_ns.max(1);
        self.next_sample = TimestampNs(now.0 - now.0.rem_euclid(step)).plus(step);
        self.sample_now(now, recorder)
    }

    fn sample_now(&mut self, now: TimestampNs, recorder: &mut impl Recorder) -> Result<(), LedgerError> {
        self.valuer.refresh(&self.books);
        let Some(rate) = self.fx.last() else { return Ok(()) };
        if let Some((equity, hold)) = self.valuer.equity(&self.ledger, rate)? {
            recorder.equity(&EquityPoint { ts: now, equity, hold });
        }
        for (index, route) in self.routes.iter().enumerate() {
            let (a, b) = (route.config().a, route.config().b);
            if let (Ok(top_a), Ok(top_b)) = (self.books[a.index()].top(), self.books[b.index()].top()) {
                let quotes = (
                    self.config.instruments[a.index()].quote,
                    self.config.instruments[b.index()].quote,
                );
                let fx = self.valuer.route_fx(quotes.0, quotes.1, rate);
                let premium = Bps::from_ratio(Tops::new(top_a, top_b, fx).premium_ratio());
                let route_id = RouteId(index as u16);
                recorder.spread(&SpreadPoint {
                    ts: now,
                    route: route_id,
                    premium,
                    fair: route.fair(),
                });
            }
        }
        Ok(())
    }

    /// Ends the run: orders still open are told as they stand, equity is sampled once more, and the digest is closed.
    ///
    /// # Errors
    /// [`LedgerError`] when the ledger does not add up.
    pub fn finish(&mut self, now: TimestampNs, recorder: &mut impl Recorder) -> Result<(), LedgerError> {
        for flight in &self.in_flight {
            recorder.order_done(&OrderRecord {
                order: flight.order,
                status: flight.status,
                filled: flight.filled,
                ts_venue: None,
                ts_report: None,
            });
        }
        self.sample_now(now, recorder)?;
        self.ledger.verify()?;
        let crossed: u64 = self.books.iter().map(Book::crossed_count).sum();
        self.counts.crossed = crossed;
        self.counts.fx_rejected = self.fx.rejected;
        let open = self.in_flight.len() as i64;
        self.digest
            .absorb(Tag::End, &[open, self.counts.entries as i64, self.counts.exits as i64]);
        Ok(())
    }

    /// Value of everything held and of the opening inventory, in base currency at the newest mids and rate; `None` while
    /// something held has no price.
    ///
    /// # Errors
    /// [`LedgerError`] on overflow.
    pub fn equity(&mut self) -> Result<Option<(Amount, Amount)>, LedgerError> {
        self.valuer.refresh(&self.books);
        match self.fx.last() {
            Some(rate) => self.valuer.equity(&self.ledger, rate),
            None => Ok(None),
        }
    }

    /// What one unit of a currency is worth in the base currency at the newest mids and rate; `None` if nothing says so.
    pub fn unit_value(&mut self, currency: CurrencyId) -> Option<FxRate> {
        self.valuer.refresh(&self.books);
        let rate = self.fx.last()?;
        let one = Amount::from(Qty::from_raw(SCALE).ok()?);
        let venues = 0..self.config.venues.len();
        let mark = venues
            .into_iter()
            .find_map(|venue| self.valuer.mark(VenueId(venue as u8), currency, rate))?;
        FxRate::from_raw(mark.value(one).ok()?.raw()).ok()
    }

    /// The newest believable rate.
    pub fn fx_rate(&self) -> Option<FxRate> {
        self.fx.last()
    }

    /// The book of an instrument, as received.
    #[inline]
    pub fn book(&self, instrument: InstrumentId) -> &Book {
        &self.books[instrument.index()]
    }

    /// The ledger.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The routes.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// What it was built from.
    pub fn config(&self) -> &EngineConfig {
        &self.config
    }

    /// Orders that have not come to their end.
    pub fn open_orders(&self) -> usize {
        self.in_flight.len()
    }

    /// Counts so far; those of books and rates are filled in by [`Engine::finish`].
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// How long routes could not be priced.
    pub fn blocked_time(&self) -> BlockedTime {
        self.blocked
    }

    /// The digest so far.
    pub fn digest(&self) -> String {
        self.digest.hex()
    }

    /// Pulls the kill switch: open pairs are closed, nothing new is sent.
    pub fn kill(&mut self, now: TimestampNs, recorder: &mut impl Recorder) {
        self.risk.kill();
        self.tell_risk(None, Verdict::Halt, Reason::Kill, now, recorder);
        self.dirty.iter_mut().for_each(|dirty| *dirty = true);
        self.awake = true;
    }
}

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

/// Prices of one route at one instant.
#[derive(Debug, Clone, Copy)]
struct View {
    tops: Tops,
    fx: f64,
    rate: FxRate,
    mids: (Price, Price),
}

type BestPair = (crate::event::Level, crate::event::Level);

/// Best prices of both books and the rate, or why the route must not be priced.
#[inline]
fn price(risk: &Risk, fx: &Fx, a: &Book, b: &Book, now: TimestampNs) -> Result<((BestPair, BestPair), FxRate), Reason> {
    let (Ok(top_a), Ok(top_b)) = (a.top(), b.top()) else {
        return Err(Reason::VenueDown);
    };
    let max_age = risk.limits().venue.max_book_age_ns;
    if now.since(a.ts_event()) > max_age || now.since(b.ts_event()) > max_age {
        return Err(Reason::StaleBook);
    }
    let rate = fx.fresh(now).map_err(|problem| match problem {
        FxProblem::Missing => Reason::NoFx,
        FxProblem::OutOfBand => Reason::FxBand,
    })?;
    Ok(((top_a, top_b), rate))
}

fn status_codes(status: OrderStatus) -> (i64, i64) {
    match status {
        OrderStatus::Sent => (0, 0),
        OrderStatus::Resting => (1, 0),
        OrderStatus::Filled => (2, 0),
        OrderStatus::Expired => (3, 0),
        OrderStatus::Cancelled => (4, 0),
        OrderStatus::Rejected(reject) => (5, reject as i64),
    }
}

impl Engine {
    fn risk_entry(&self, id: RouteId, qty: Qty, premium: Bps, view: &View) -> Result<Entry, Overflow> {
        let instruments = self.leg_instruments(id).map(|i| &self.config.instruments[i.index()]);
        let rates = self.leg_rates_at(id, view.rate);
        let value_a = leg_value(view.mids.0, qty, rates.0)?;
        let value_b = leg_value(view.mids.1, qty, rates.1)?;
        Ok(Entry {
            route: id,
            venues: instruments.map(|i| i.venue),
            symbol: self.symbol(id),
            value: value_a.max(value_b),
            premium,
        })
    }

    /// The coin of a route: the base of whichever leg is spot, else of A.
    fn symbol(&self, id: RouteId) -> CurrencyId {
        let instruments = self.leg_instruments(id).map(|i| &self.config.instruments[i.index()]);
        let spot = instruments
            .iter()
            .find(|i| self.config.venues[i.venue.index()].kind == VenueKind::Spot);
        spot.unwrap_or(&instruments[0]).base
    }

    fn exposure(&self, entry: &Entry) -> Result<Exposure, Overflow> {
        let mut exposure = Exposure {
            open_trades: self.busy,
            ..Exposure::default()
        };
        let rate = self.fx.last().unwrap_or(FxRate::ONE);
        for (index, route) in self.routes.iter().enumerate() {
            if route.state() == State::Flat {
                continue;
            }
            let id = RouteId(index as u16);
            let rates = self.leg_rates_at(id, rate);
            let mut values = [0i64; 2];
            for (leg, instrument) in self.leg_instruments(id).into_iter().enumerate() {
                let Some(mid) = self.mid_of(instrument) else { continue };
                // Orders in flight count as if filled.
                let flying: i64 = self
                    .in_flight
                    .iter()
                    .filter(|f| f.order.route == id && f.order.leg as usize == leg)
                    .map(|f| {
                        let open = f.order.qty.saturating_sub(f.filled).raw();
                        if f.order.side == Side::Buy { open } else { -open }
                    })
                    .sum();
                let held = route.position()[leg].saturating_add(flying);
                let qty = Qty::from_raw(held.saturating_abs()).unwrap_or(Qty::ZERO);
                let rate = if leg == 0 { rates.0 } else { rates.1 };
                values[leg] = leg_value(mid, qty, rate)? * held.signum();
            }
            let larger = values[0].saturating_abs().max(values[1].saturating_abs());
            exposure.total = exposure.total.saturating_add(larger);
            exposure.imbalance = exposure.imbalance.saturating_add(values[0]).saturating_add(values[1]);
            if self.symbol(id) == entry.symbol {
                exposure.symbol = exposure.symbol.saturating_add(larger);
            }
        }
        for (slot, venue) in exposure.open_orders.iter_mut().zip(entry.venues) {
            let here = |f: &&InFlight| self.config.instruments[f.order.instrument.index()].venue == venue;
            *slot = self.in_flight.iter().filter(here).count() as u32;
        }
        Ok(exposure)
    }

    fn mid_of(&self, instrument: InstrumentId) -> Option<Price> {
        match self.books[instrument.index()].top() {
            Ok((bid, ask)) => Some(Price::mid(bid.price, ask.price)),
            Err(_) => self.valuer.mid(instrument),
        }
    }
}

/// Value of a quantity in base currency, in 1e-8.
fn leg_value(mid: Price, qty: Qty, rate: i64) -> Result<i64, Overflow> {
    let quote = notional(mid, qty, Rounding::Up)?;
    let wide = i128::from(quote.raw()) * i128::from(rate) / i128::from(SCALE);
    i64::try_from(wide).map_err(|_| Overflow)
}
