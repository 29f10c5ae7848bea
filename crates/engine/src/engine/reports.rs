//! What the engine hears: reports of its orders, and funding. The ledger moves here and nowhere else.

use super::Engine;
use crate::digest::Tag;
use crate::instrument::{CurrencyId, RouteId, Side, VenueId};
use crate::ledger::LedgerError;
use crate::order::{OrderStatus, Report};
use crate::records::{FillRecord, OrderRecord, Recorder, RoundTrip};
use crate::strategy::{LegFill, State};
use crate::units::{Amount, Rounding, TimestampNs, notional};

impl Engine {
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

    /// Posts what a perpetual position paid or received.
    ///
    /// # Errors
    /// [`LedgerError`] on overflow: the run must stop.
    pub fn on_funding(&mut self, venue: VenueId, currency: CurrencyId, received: Amount) -> Result<(), LedgerError> {
        self.ledger.post_funding(venue, currency, received)?;
        self.absorb_postings();
        Ok(())
    }

    pub(super) fn after_settling(
        &mut self,
        id: RouteId,
        trip: Option<RoundTrip>,
        now: TimestampNs,
        recorder: &mut impl Recorder,
    ) {
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

    pub(super) fn absorb_postings(&mut self) {
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
