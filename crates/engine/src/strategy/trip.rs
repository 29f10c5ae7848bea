//! The accounts of one round trip: what it earned and where that came from.
//!
//! Everything is an exact integer until it is told; the formulas are in `docs/model.md`, "Attribution".

use super::Seen;
use crate::instrument::{RouteId, Side};
use crate::order::{Leg, Role};
use crate::records::{Attribution, Direction, ExitReason, RoundTrip};
use crate::spread::Executable;
use crate::units::{Amount, Bps, Overflow, Price, Qty, SCALE, TimestampNs};

/// A fill as a route sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LegFill {
    /// On which leg.
    pub leg: Leg,
    /// Which way.
    pub side: Side,
    /// How much, in base.
    pub qty: Qty,
    /// `price * qty` in the leg's quote currency.
    pub notional: Amount,
    /// The fee, in the run's base currency.
    pub fee: Amount,
}

/// One leg's own entry or exit order.
#[derive(Debug, Clone, Copy, Default)]
struct Part {
    qty: i64,
    /// Quote currency received (paid counts negative), in 1e-8.
    cash: i64,
}

/// Sums of one round trip. Wide integers count 1e-16 of a currency.
#[derive(Debug, Clone)]
pub(super) struct Trip {
    pub(super) entry: Seen,
    exit: Seen,
    parts: [Part; 2],
    entry_cash: [i64; 2],
    cash: [i64; 2],
    fees: i64,
    /// What the matched quantities would have brought at the mids of their decisions, per leg, in quote.
    mid_cash: [i128; 2],
    /// The same in base currency at the rates of those decisions.
    premium: i128,
    /// What the matched quantities lost against those mids, per leg, in quote.
    slippage: [i128; 2],
    opened: i64,
    /// Quantity held when the running episode (entry or exit) began.
    before: i64,
    leaving: bool,
    any: bool,
    unwound: bool,
}

const EMPTY: Seen = Seen {
    ts: TimestampNs(0),
    spread: Bps::ZERO,
    premium: Bps::ZERO,
    fair: Bps::ZERO,
    mids: (Price::ONE_STEP, Price::ONE_STEP),
    rates: (SCALE, SCALE),
};

impl Default for Trip {
    fn default() -> Self {
        Trip::begin(EMPTY)
    }
}

impl Trip {
    pub(super) fn begin(entry: Seen) -> Trip {
        Trip {
            entry,
            exit: entry,
            parts: [Part::default(); 2],
            entry_cash: [0; 2],
            cash: [0; 2],
            fees: 0,
            mid_cash: [0; 2],
            premium: 0,
            slippage: [0; 2],
            opened: 0,
            before: 0,
            leaving: false,
            any: false,
            unwound: false,
        }
    }

    pub(super) fn begin_exit(&mut self, exit: Seen, held: Qty) {
        self.exit = exit;
        self.parts = [Part::default(); 2];
        self.before = held.raw();
        self.leaving = true;
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.any
    }

    /// Something of one leg stays in the inventory: what it cost, or brought, belongs to legging.
    pub(super) fn left_over(&mut self) {
        self.unwound = true;
    }

    pub(super) fn filled(&mut self, role: Role, fill: &LegFill) -> Result<(), Overflow> {
        let leg = fill.leg as usize;
        let cash = match fill.side {
            Side::Buy => fill.notional.raw().checked_neg().ok_or(Overflow)?,
            Side::Sell => fill.notional.raw(),
        };
        add(&mut self.cash[leg], cash)?;
        add(&mut self.fees, fill.fee.raw())?;
        self.any = true;
        if role == Role::Unwind {
            self.unwound = true;
        } else {
            add(&mut self.parts[leg].qty, fill.qty.raw())?;
            add(&mut self.parts[leg].cash, cash)?;
        }
        if !self.leaving {
            add(&mut self.entry_cash[leg], cash)?;
        }
        Ok(())
    }

    /// An entry or an exit has come to rest with this much held: book what was matched at the mids of its decision.
    pub(super) fn end_episode(&mut self, held: Qty) -> Result<(), Overflow> {
        let seen = if self.leaving { self.exit } else { self.entry };
        let matched = i128::from((held.raw() - self.before).abs());
        if !self.leaving {
            self.opened = held.raw();
        }
        let mids = [seen.mids.0.raw(), seen.mids.1.raw()];
        let rates = [seen.rates.0, seen.rates.1];
        for leg in 0..2 {
            let part = self.parts[leg];
            if part.qty == 0 || matched == 0 {
                continue;
            }
            // All fills of an order's leg go one way, so the sign of its cash is the sign of the flow.
            let sign = i128::from(part.cash.signum());
            let at_mid = sign * matched * i128::from(mids[leg]);
            let in_base = (at_mid / i128::from(SCALE)).checked_mul(i128::from(rates[leg]));
            grow(&mut self.mid_cash[leg], Some(at_mid))?;
            grow(&mut self.premium, in_base)?;
            // Of an order that filled more than was matched only that share counts; the rest is legging.
            let share = matched.min(i128::from(part.qty));
            let cash = share_of(part.cash, share, part.qty);
            grow(
                &mut self.slippage[leg],
                Some(sign * share * i128::from(mids[leg]) - cash),
            )?;
        }
        self.parts = [Part::default(); 2];
        self.before = held.raw();
        Ok(())
    }

    /// Whether [`Trip::mark_to_exit`] has something to count from.
    pub(super) fn is_markable(&self) -> bool {
        self.opened != 0 && self.entry_cash[0] != 0
    }

    /// What closing at these prices would bring, in bps of the entry's value on A, before fees: the result of the pair at
    /// today's rate.
    pub(super) fn mark_to_exit(&self, direction: Direction, prices: &Executable, fx: f64) -> Bps {
        let qty = self.opened as f64;
        let scale = SCALE as f64;
        let entry_a = self.entry_cash[0] as f64 * scale / qty;
        let entry_b = self.entry_cash[1] as f64 * scale / qty;
        let (exit_a, exit_b) = match direction {
            Direction::SellA => (-prices.a, prices.b),
            Direction::BuyA => (prices.a, -prices.b),
        };
        Bps::from_ratio(((entry_a + exit_a) + (entry_b + exit_b) * fx) / entry_a.abs())
    }

    /// The whole account, in base currency at these rates (base units per unit of each leg's quote, in 1e-8). What is left
    /// over on the legs (dust) counts at the mids of the last decision: it is still in the inventory.
    pub(super) fn close(
        &self,
        direction: Direction,
        reason: ExitReason,
        now: TimestampNs,
        rates: (i64, i64),
        left: [i64; 2],
    ) -> Result<RoundTrip, Overflow> {
        let rate = [i128::from(rates.0), i128::from(rates.1)];
        let one = i128::from(SCALE);
        let total = |of: [i128; 2]| {
            let parts = of[0].checked_mul(rate[0]).zip(of[1].checked_mul(rate[1]));
            parts.and_then(|(a, b)| a.checked_add(b)).ok_or(Overflow)
        };
        // In 1e-8 of the base currency, each rounded down once.
        let cash = total([i128::from(self.cash[0]), i128::from(self.cash[1])])?.div_euclid(one);
        let mids = [self.exit.mids.0.raw(), self.exit.mids.1.raw()].map(i128::from);
        let dust = total([0, 1].map(|leg| i128::from(left[leg]) * mids[leg] / one))?.div_euclid(one);
        let pnl = cash + dust - i128::from(self.fees);
        // A pair that is left over whole counts as closed at those mids.
        let pair = i128::from(left[0].unsigned_abs().min(left[1].unsigned_abs()));
        let flows = [0, 1].map(|leg| i128::from(left[leg].signum()) * pair * mids[leg]);
        let seen = [self.exit.rates.0, self.exit.rates.1].map(i128::from);
        let closed = flows[0] / one * seen[0] + flows[1] / one * seen[1];
        let premium = (self.premium + closed).div_euclid(one);
        let at_mid = total([0, 1].map(|leg| (self.mid_cash[leg] + flows[leg]) / one))?.div_euclid(one);
        let fx = at_mid - premium;
        let slippage = total([self.slippage[0] / one, self.slippage[1] / one])?.div_euclid(one);
        let rest = premium + fx - slippage - i128::from(self.fees) - pnl;
        // Without unequal legs the rest is only what the roundings above left.
        let (slippage, legging) = if self.unwound {
            (slippage, rest)
        } else {
            (slippage + rest, 0)
        };
        Ok(RoundTrip {
            route: RouteId::default(),
            direction,
            reason,
            qty: Qty::from_raw(self.opened.max(0)).unwrap_or(Qty::ZERO),
            ts_entry: self.entry.ts,
            ts_exit: self.exit.ts,
            ts_closed: now,
            open: self.entry.spread,
            close: self.exit.spread,
            premium: (self.entry.premium, self.exit.premium),
            fair: (self.entry.fair, self.exit.fair),
            pnl: Amount::from_wide(pnl)?,
            attribution: Attribution {
                premium: Amount::from_wide(premium)?,
                fx: Amount::from_wide(fx)?,
                fees: Amount::from_wide(i128::from(self.fees))?,
                slippage: Amount::from_wide(slippage)?,
                legging: Amount::from_wide(legging)?,
            },
        })
    }
}

/// `cash * share / qty` in 1e-16 of the quote currency, towards zero. In this order no product outgrows 128 bits, however
/// cheap the coin and large its quantity.
fn share_of(cash: i64, share: i128, qty: i64) -> i128 {
    let (qty, one) = (i128::from(qty), i128::from(SCALE));
    let product = i128::from(cash) * share;
    product / qty * one + product % qty * one / qty
}

fn grow(sum: &mut i128, value: Option<i128>) -> Result<(), Overflow> {
    *sum = value.and_then(|value| sum.checked_add(value)).ok_or(Overflow)?;
    Ok(())
}

fn add(sum: &mut i64, value: i64) -> Result<(), Overflow> {
    *sum = sum.checked_add(value).ok_or(Overflow)?;
    Ok(())
}
