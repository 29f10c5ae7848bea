//! The step: event → book → spread → strategy → risk → orders.
//!
//! One function takes market events ([`Engine::apply`]), one takes order reports ([`Engine::on_report`]), one decides
//! ([`Engine::decide`]), once per distinct receive time after everything of that instant has been taken in. Replay, tuning,
//! paper and live call these same three. What always holds: an entry is sent only from what risk approved; the ledger
//! moves only by reports; every decision, order, report, posting and word of risk is absorbed by the digest.

mod exposure;
mod money;
mod orders;
mod reports;
mod samples;
mod size;
mod skip;

use crate::book::Book;
use crate::digest::{Digest, Tag};
use crate::event::EventKind;
use crate::instrument::{CurrencyId, Instrument, InstrumentId, RouteId, VenueId, VenueKind};
use crate::ledger::{Ledger, LedgerError};
use crate::order::{Order, OrderId, OrderStatus};
use crate::records::{ExitReason, Recorder, RiskRecord};
use crate::risk::{Limits, Reason, Refusal, Risk, Verdict};
use crate::spread::Tops;
use crate::strategy::{Intent, Market, Route, RouteConfig, State};
use crate::units::{Amount, Bps, FxRate, Price, Qty, TimestampNs};

pub(crate) use money::FxState;
pub use money::{Class, FxConfig, FxProblem, FxSource};
use money::{Fx, Valuer};

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
    rate_needs: Vec<RateNeed>,
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
        let rate_need = |route: &RouteConfig| {
            let class = |id: InstrumentId| config.classes[config.instruments[id.index()].quote.index()];
            match (class(route.a), class(route.b)) {
                (a, b) if a != b => RateNeed::Fresh,
                (a, _) if a != config.classes[config.base_currency.index()] => RateNeed::Last,
                _ => RateNeed::Nothing,
            }
        };
        let rate_needs = config.routes.iter().map(rate_need).collect();
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
            rate_needs,
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
                if let EventKind::Fx(rate) = *event {
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
        let (tops, rate) = match price(&self.risk, &self.fx, self.rate_needs[id.index()], book_a, book_b, now) {
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

/// What a route needs of the exchange rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RateNeed {
    /// A fresh one: its legs are paid in different money.
    Fresh,
    /// Any, to value results: both legs are paid in money other than the run's.
    Last,
    /// None: all is in the run's own money.
    Nothing,
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
fn price(
    risk: &Risk,
    fx: &Fx,
    need: RateNeed,
    a: &Book,
    b: &Book,
    now: TimestampNs,
) -> Result<((BestPair, BestPair), FxRate), Reason> {
    let (Ok(top_a), Ok(top_b)) = (a.top(), b.top()) else {
        return Err(Reason::VenueDown);
    };
    let max_age = risk.limits().venue.max_book_age_ns;
    if now.since(a.ts_event()) > max_age || now.since(b.ts_event()) > max_age {
        return Err(Reason::StaleBook);
    }
    let rate = match need {
        RateNeed::Fresh => fx.fresh(now).map_err(|problem| match problem {
            FxProblem::Missing => Reason::NoFx,
            FxProblem::OutOfBand => Reason::FxBand,
        })?,
        RateNeed::Last => fx.last().ok_or(Reason::NoFx)?,
        RateNeed::Nothing => fx.last().unwrap_or(FxRate::ONE),
    };
    Ok(((top_a, top_b), rate))
}
