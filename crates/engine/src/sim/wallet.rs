//! What the venues hold for us, as they know it: one step ahead of the ledger, which only learns by reports.

use super::config::{FeeRule, VenueConfig};
use crate::instrument::{CurrencyId, Instrument, Side, VenueId};
use crate::ledger::fill_changes;
use crate::order::{Fill, Liquidity};
use crate::units::{Amount, Overflow, Price, Qty, Rounding, SCALE, div_round, notional};

/// Balances by venue and currency.
#[derive(Debug, Clone)]
pub(super) struct Wallets {
    currencies: usize,
    balances: Vec<Amount>,
}

impl Wallets {
    pub(super) fn new(venues: usize, currencies: usize) -> Wallets {
        Wallets {
            currencies,
            balances: vec![Amount::ZERO; venues * currencies],
        }
    }

    pub(super) fn balance(&self, venue: VenueId, currency: CurrencyId) -> Amount {
        self.balances[venue.index() * self.currencies + currency.index()]
    }

    pub(super) fn add(&mut self, venue: VenueId, currency: CurrencyId, change: Amount) -> Result<(), Overflow> {
        let balance = &mut self.balances[venue.index() * self.currencies + currency.index()];
        *balance = balance.checked_add(change)?;
        Ok(())
    }

    pub(super) fn settle(&mut self, instrument: &Instrument, fill: &Fill) -> Result<(), Overflow> {
        let [base, quote, fee] = fill_changes(fill)?;
        self.add(instrument.venue, instrument.base, base)?;
        self.add(instrument.venue, instrument.quote, quote)?;
        self.add(instrument.venue, fill.fee_currency, fee)
    }
}

/// `price * qty` in quote, rounded against us: up for what is paid, down for what is received.
pub(super) fn cash(side: Side, price: Price, qty: Qty) -> Result<Amount, Overflow> {
    let rounding = match side {
        Side::Buy => Rounding::Up,
        Side::Sell => Rounding::Down,
    };
    notional(price, qty, rounding)
}

/// Fee of a fill and its currency. A cost is rounded up at each step, a rebate down.
pub(super) fn fee(
    venue: &VenueConfig,
    instrument: &Instrument,
    liquidity: Liquidity,
    side: Side,
    price: Price,
    qty: Qty,
) -> Result<(Amount, CurrencyId), Overflow> {
    let rate = match liquidity {
        Liquidity::Taker => venue.taker_fee,
        Liquidity::Maker => venue.maker_fee,
    };
    let of_notional = || {
        let rounding = if rate.raw() < 0 { Rounding::Down } else { Rounding::Up };
        rate.of(notional(price, qty, rounding)?, Rounding::Up)
    };
    Ok(match (venue.fee_rule, side) {
        (FeeRule::Received, Side::Buy) => (rate.of(qty.into(), Rounding::Up)?, instrument.base),
        (FeeRule::Quote, _) | (FeeRule::Received, Side::Sell) => (of_notional()?, instrument.quote),
        (FeeRule::Fixed { currency, price }, _) => {
            let wide = i128::from(of_notional()?.raw()) * i128::from(SCALE);
            let fee = div_round(wide, i128::from(price.raw()), Rounding::Up);
            (Amount::from_wide(fee)?, currency)
        }
    })
}

/// Net changes of the few currencies that one order touches.
#[derive(Debug, Clone, Copy)]
pub(super) struct Changes {
    entries: [(CurrencyId, i128); 3],
}

impl Changes {
    /// Of base, quote and fee currency; any two of them may be the same.
    pub(super) fn none(instrument: &Instrument, fee_currency: CurrencyId) -> Changes {
        Changes {
            entries: [(instrument.base, 0), (instrument.quote, 0), (fee_currency, 0)],
        }
    }

    pub(super) fn add(&mut self, currency: CurrencyId, change: Amount) {
        // The first entry of a currency keeps all of it, so that an amount is never split.
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.0 == currency) {
            entry.1 += i128::from(change.raw());
        }
    }

    /// What of one currency goes out; zero when it comes in.
    pub(super) fn outgoing(&self, currency: CurrencyId) -> i128 {
        let net = self
            .entries
            .iter()
            .find(|entry| entry.0 == currency)
            .map_or(0, |entry| entry.1);
        (-net).max(0)
    }

    pub(super) fn currencies(&self) -> impl Iterator<Item = CurrencyId> + '_ {
        self.entries.iter().map(|entry| entry.0)
    }
}

/// What a venue locks for an order at this price: a buy's whole cost with its fee, a sale's whole quantity.
pub(super) fn lock(
    venue: &VenueConfig,
    instrument: &Instrument,
    liquidity: Liquidity,
    side: Side,
    price: Price,
    qty: Qty,
) -> Result<Changes, Overflow> {
    let (fee, fee_currency) = fee(venue, instrument, liquidity, side, price, qty)?;
    let cash = cash(side, price, qty)?;
    let mut changes = Changes::none(instrument, fee_currency);
    let base: Amount = qty.into();
    match side {
        Side::Buy => {
            changes.add(instrument.quote, cash.checked_neg()?);
        }
        Side::Sell => changes.add(instrument.base, base.checked_neg()?),
    }
    // A fee that is taken from what the fill brings needs no lock.
    let brought = match side {
        Side::Buy => instrument.base,
        Side::Sell => instrument.quote,
    };
    if fee_currency != brought {
        changes.add(fee_currency, fee.checked_neg()?);
    }
    Ok(changes)
}
