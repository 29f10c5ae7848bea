//! What is held and on its way, valued for the limits.

use super::{Engine, InFlight, View};
use crate::instrument::{CurrencyId, InstrumentId, RouteId, Side, VenueKind};
use crate::risk::{Entry, Exposure};
use crate::strategy::State;
use crate::units::{Bps, FxRate, Overflow, Price, Qty, Rounding, SCALE, notional};

impl Engine {
    pub(super) fn risk_entry(&self, id: RouteId, qty: Qty, premium: Bps, view: &View) -> Result<Entry, Overflow> {
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
    pub(super) fn symbol(&self, id: RouteId) -> CurrencyId {
        let instruments = self.leg_instruments(id).map(|i| &self.config.instruments[i.index()]);
        let spot = instruments
            .iter()
            .find(|i| self.config.venues[i.venue.index()].kind == VenueKind::Spot);
        spot.unwrap_or(&instruments[0]).base
    }

    pub(super) fn exposure(&self, entry: &Entry) -> Result<Exposure, Overflow> {
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

    pub(super) fn mid_of(&self, instrument: InstrumentId) -> Option<Price> {
        match self.books[instrument.index()].top() {
            Ok((bid, ask)) => Some(Price::mid(bid.price, ask.price)),
            Err(_) => self.valuer.mid(instrument),
        }
    }
}

/// Value of a quantity in base currency, in 1e-8.
pub(super) fn leg_value(mid: Price, qty: Qty, rate: i64) -> Result<i64, Overflow> {
    let quote = notional(mid, qty, Rounding::Up)?;
    let wide = i128::from(quote.raw()) * i128::from(rate) / i128::from(SCALE);
    i64::try_from(wide).map_err(|_| Overflow)
}
