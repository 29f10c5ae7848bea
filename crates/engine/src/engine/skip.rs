//! Leaping over quiet instants: what decisions that want nothing leave behind.
//!
//! A caller that has the prices of a long stretch at hand ([`crate`]'s `tape`) tells a quiet engine what it would have seen
//! there, instead of showing it every event. What always holds: after the calls of this file for a stretch, in the order of
//! time, and with books, rate and streams set to its end, the engine stands where [`Engine::decide`] would have left it.

use super::money::FxState;
use super::{Engine, price};
use crate::book::Book;
use crate::event::Level;
use crate::instrument::{InstrumentId, RouteId};
use crate::ledger::LedgerError;
use crate::order::OrderId;
use crate::records::Recorder;
use crate::risk::Reason;
use crate::spread::Tops;
use crate::strategy::{Route, State};
use crate::units::{FxRate, Price, TimestampNs};

impl Engine {
    /// Best prices and rate of a route, or why it must not be priced.
    pub(crate) fn quote(&self, id: RouteId, now: TimestampNs) -> Result<(Tops, f64), Reason> {
        let config = self.routes[id.index()].config();
        let (book_a, book_b) = (&self.books[config.a.index()], &self.books[config.b.index()]);
        let (tops, rate) = price(&self.risk, &self.fx, self.rate_needs[id.index()], book_a, book_b, now)?;
        let fx = self.route_fx(id, rate);
        Ok((Tops::new(tops.0, tops.1, fx), fx))
    }

    /// Units of A's quote currency per unit of B's, at this rate.
    pub(crate) fn route_fx(&self, id: RouteId, rate: FxRate) -> f64 {
        let [a, b] = self
            .leg_instruments(id)
            .map(|i| self.config.instruments[i.index()].quote);
        self.valuer.route_fx(a, b, rate)
    }

    /// Whether the next decision looks at a route; not any more after this.
    pub(crate) fn take_dirty(&mut self, id: RouteId) -> bool {
        self.awake = false;
        std::mem::take(&mut self.dirty[id.index()])
    }

    /// What was observed of the exchange rate.
    pub(crate) fn fx_state(&self) -> FxState {
        self.fx.state()
    }

    /// Sets what was observed of the exchange rate.
    pub(crate) fn set_fx_state(&mut self, state: FxState) {
        self.fx.set_state(state);
    }

    /// The book of an instrument, to be set.
    pub(crate) fn book_mut(&mut self, instrument: InstrumentId) -> &mut Book {
        &mut self.books[instrument.index()]
    }

    /// A route, to be moved on.
    pub(crate) fn route_mut(&mut self, id: RouteId) -> &mut Route {
        &mut self.routes[id.index()]
    }

    /// Whether no order is out and nothing is to be decided before a price, a rate or a timer moves.
    pub(crate) fn is_quiet(&self) -> bool {
        self.in_flight.is_empty()
            && !self.awake
            && self.dirty.iter().all(|dirty| !dirty)
            && self.routes.iter().all(|route| match route.state() {
                State::Flat | State::Halted => true,
                State::Open => self.risk.halt_reason().is_none(),
                State::Entering | State::Exiting | State::Unwinding => false,
            })
    }

    /// Why a route could not be priced when it was looked at last.
    #[inline]
    pub(crate) fn blocked(&self, id: RouteId) -> Option<Reason> {
        self.watches[id.index()].blocked
    }

    /// Number of the next order.
    pub(crate) fn next_order(&self) -> OrderId {
        OrderId(self.next_order)
    }

    /// When equity is sampled next, at the first decision from then on.
    pub(crate) fn next_sample(&self) -> TimestampNs {
        self.next_sample
    }

    /// Until when every decision marks the result to market and nothing else, if it does so at all now.
    pub(crate) fn marks_until(&self) -> Option<TimestampNs> {
        (self.busy > 0 && self.pnl_limits).then(|| self.risk.next_day())
    }

    /// Whether the mids of each priced decision are kept for the volatility limit, and over which window.
    pub(crate) fn move_window_ns(&self) -> Option<i64> {
        let symbol = &self.risk.limits().symbol;
        symbol.max_move.map(|_| symbol.move_window_ns.max(1))
    }

    /// A route was looked at so often, from `first` to `last`, and could not be priced for the same reason each time.
    pub(crate) fn pass_blocked(
        &mut self,
        id: RouteId,
        reason: Reason,
        (first, last): (TimestampNs, TimestampNs),
        decisions: u64,
        recorder: &mut impl Recorder,
    ) {
        self.counts.decisions += decisions;
        self.note_blocked(id, Some(reason), first, recorder);
        // The spans in between add up to the span from first to last.
        self.note_blocked(id, Some(reason), last, recorder);
    }

    /// A route was looked at so often, from `first` to `last`, was priced and wanted nothing each time.
    pub(crate) fn pass_priced(
        &mut self,
        id: RouteId,
        (first, last): (TimestampNs, TimestampNs),
        decisions: u64,
        recorder: &mut impl Recorder,
    ) {
        self.counts.decisions += decisions;
        if self.watches[id.index()].blocked.is_some() {
            self.note_blocked(id, None, first, recorder);
        }
        let watch = &mut self.watches[id.index()];
        watch.seen = last;
        if self.routes[id.index()].state() == State::Flat {
            watch.refused = None;
        }
        self.routes[id.index()].pass(first);
    }

    /// The mid of a route's A at one of those instants.
    #[inline]
    pub(crate) fn pass_mid(&mut self, id: RouteId, now: TimestampNs, mid: Price) {
        self.risk.observe(id, now, mid.raw());
    }

    /// The mid of an instrument at an instant at which results are marked or sampled.
    #[inline]
    pub(crate) fn pass_valued(&mut self, instrument: InstrumentId, mid: Price) {
        self.valuer.take_mid(instrument, mid);
    }

    /// Marks the result at the mids passed last; `false`, and nothing done, if that would halt.
    #[inline]
    pub(crate) fn pass_mark(&mut self, rate: Option<FxRate>) -> bool {
        rate.is_none_or(|rate| {
            let pnl = self.valuer.quick_pnl(&self.ledger, rate);
            self.risk.mark_quietly(pnl)
        })
    }

    /// Samples equity and spreads at the mids passed last; `top` knows the best prices of instruments that have both.
    ///
    /// # Errors
    /// [`LedgerError`] on overflow.
    pub(crate) fn pass_sample(
        &mut self,
        now: TimestampNs,
        rate: Option<FxRate>,
        top: impl Fn(InstrumentId) -> Option<(Level, Level)>,
        recorder: &mut impl Recorder,
    ) -> Result<(), LedgerError> {
        self.next_sample = self.sample_after(now);
        let Some(rate) = rate else { return Ok(()) };
        self.tell_equity(now, rate, recorder)?;
        self.tell_spreads(now, rate, |_, id| top(id), recorder);
        Ok(())
    }
}
