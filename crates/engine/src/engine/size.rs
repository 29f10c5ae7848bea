//! How large an entry may be: the configured size, what the balances allow, what the venues take.

use super::exposure::leg_value;
use super::{Engine, View};
use crate::instrument::{InstrumentId, RouteId, Side, VenueKind};
use crate::order::Leg;
use crate::records::Direction;
use crate::spread::entry_sides;
use crate::strategy::Size;
use crate::units::{Overflow, Price, Qty, Rounding, SCALE, notional};

/// Room that a purchase with all free funds leaves for the price to move before the order arrives, in 1e-8: 10 bps.
const CUSHION: i64 = SCALE / 1_000;

impl Engine {
    /// The quantity to ask both books for: the configured size, at most what the free balances of both venues cover,
    /// rounded down to the lots of both. Zero when nothing can be traded.
    pub(super) fn entry_size(&self, id: RouteId, direction: Direction, view: &View) -> Result<Qty, Overflow> {
        let config = self.routes[id.index()].config();
        let sides = entry_sides(direction);
        let room = self
            .room(config.a, sides.0, view.mids.0)?
            .min(self.room(config.b, sides.1, view.mids.1)?);
        let wanted = match config.strategy.size {
            Size::Quantity(qty) => qty,
            Size::Notional { amount, leg } => {
                let mid = if leg == Leg::A { view.mids.0 } else { view.mids.1 };
                wide_qty(i128::from(amount.raw()) * i128::from(SCALE) / i128::from(mid.raw()))?
            }
            Size::Fraction(share) => wide_qty(i128::from(room.raw()) * i128::from(share.raw()) / i128::from(SCALE))?,
        };
        Ok(wanted.min(room).floor_to(config.lot))
    }

    /// How much of an instrument the venue's free balance allows to trade on this side.
    fn room(&self, instrument: InstrumentId, side: Side, mid: Price) -> Result<Qty, Overflow> {
        let spec = &self.config.instruments[instrument.index()];
        let venue = self.config.venues[spec.venue.index()];
        // What orders in flight may still use up, at their mids.
        let mut flying_base = 0i128;
        let mut flying_quote = 0i128;
        for flight in &self.in_flight {
            let other = &self.config.instruments[flight.order.instrument.index()];
            if other.venue != spec.venue {
                continue;
            }
            let open = flight.order.qty.saturating_sub(flight.filled);
            if flight.order.side == Side::Sell && other.base == spec.base {
                flying_base += i128::from(open.raw());
            }
            if flight.order.side == Side::Buy && other.quote == spec.quote {
                flying_quote += i128::from(notional(flight.order.mid, open, Rounding::Up)?.raw());
            }
        }
        let quote = i128::from(self.ledger.balance(spec.venue, spec.quote).raw()) - flying_quote;
        match (venue.kind, side) {
            (VenueKind::Spot, Side::Sell) => {
                wide_qty((i128::from(self.ledger.balance(spec.venue, spec.base).raw()) - flying_base).max(0))
            }
            (VenueKind::Spot, Side::Buy) => {
                let factor = i128::from(SCALE) + i128::from(venue.taker_fee.raw()) + i128::from(CUSHION);
                let price = i128::from(mid.raw()) * factor / i128::from(SCALE);
                wide_qty((quote.max(0) * i128::from(SCALE) / price.max(1)).min(i128::from(i64::MAX)))
            }
            (VenueKind::Perpetual, _) => {
                let Some(leverage) = venue.max_leverage else {
                    return Ok(Qty::MAX);
                };
                let position = i128::from(self.ledger.balance(spec.venue, spec.base).raw());
                let worth = quote + flying_quote + position * i128::from(mid.raw()) / i128::from(SCALE);
                let allowed = worth.max(0) * i128::from(leverage) / i128::from(SCALE);
                let used = position.abs() * i128::from(mid.raw()) / i128::from(SCALE) + flying_quote;
                wide_qty(
                    ((allowed - used).max(0) * i128::from(SCALE) / i128::from(mid.raw())).min(i128::from(i64::MAX)),
                )
            }
        }
    }

    /// Whether both venues take an order of this size.
    pub(super) fn is_tradeable(&self, id: RouteId, qty: Qty, view: &View) -> Result<bool, Overflow> {
        let [a, b] = self.leg_instruments(id);
        Ok(self.is_leg_tradeable(a, qty, view.mids.0)? && self.is_leg_tradeable(b, qty, view.mids.1)?)
    }

    /// Whether the venue takes an order of this size.
    pub(super) fn is_leg_tradeable(&self, instrument: InstrumentId, qty: Qty, mid: Price) -> Result<bool, Overflow> {
        let spec = &self.config.instruments[instrument.index()];
        let value = leg_value(mid, qty, SCALE)?;
        Ok(!qty.is_zero() && qty >= spec.min_qty && value >= spec.min_notional.raw())
    }
}

fn wide_qty(raw: i128) -> Result<Qty, Overflow> {
    i64::try_from(raw)
        .ok()
        .and_then(|raw| Qty::from_raw(raw).ok())
        .ok_or(Overflow)
}
