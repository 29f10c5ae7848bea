//! What the run is worth: samples of equity and spread on the way, and the end.

use super::Engine;
use crate::book::Book;
use crate::digest::Tag;
use crate::event::Level;
use crate::instrument::{CurrencyId, InstrumentId, RouteId, VenueId};
use crate::ledger::LedgerError;
use crate::records::{EquityPoint, OrderRecord, Recorder, SpreadPoint};
use crate::spread::Tops;
use crate::units::{Amount, Bps, FxRate, Qty, SCALE, TimestampNs};

impl Engine {
    pub(super) fn sample(&mut self, now: TimestampNs, recorder: &mut impl Recorder) -> Result<(), LedgerError> {
        self.next_sample = self.sample_after(now);
        self.sample_now(now, recorder)
    }

    /// When the next sample is due after one at this instant.
    pub(super) fn sample_after(&self, now: TimestampNs) -> TimestampNs {
        let step = self.config.sample_ns.max(1);
        TimestampNs(now.0 - now.0.rem_euclid(step)).plus(step)
    }

    fn sample_now(&mut self, now: TimestampNs, recorder: &mut impl Recorder) -> Result<(), LedgerError> {
        self.valuer.refresh(&self.books);
        let Some(rate) = self.fx.last() else { return Ok(()) };
        self.tell_equity(now, rate, recorder)?;
        self.tell_spreads(now, rate, |engine, id| engine.books[id.index()].top().ok(), recorder);
        Ok(())
    }

    /// Samples equity at the mids that were taken last.
    pub(super) fn tell_equity(
        &self,
        now: TimestampNs,
        rate: FxRate,
        recorder: &mut impl Recorder,
    ) -> Result<(), LedgerError> {
        if let Some((equity, hold)) = self.valuer.equity(&self.ledger, rate)? {
            recorder.equity(&EquityPoint { ts: now, equity, hold });
        }
        Ok(())
    }

    /// Samples the spread of each route whose books have a best bid and ask: `top` knows those.
    #[inline]
    pub(super) fn tell_spreads(
        &self,
        now: TimestampNs,
        rate: FxRate,
        top: impl Fn(&Engine, InstrumentId) -> Option<(Level, Level)>,
        recorder: &mut impl Recorder,
    ) {
        for (index, route) in self.routes.iter().enumerate() {
            let (a, b) = (route.config().a, route.config().b);
            if let (Some(top_a), Some(top_b)) = (top(self, a), top(self, b)) {
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
        self.counts.fx_rejected = self.fx.rejected();
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
}
