//! Venues, instruments and their grids: which prices and quantities a venue accepts.
//!
//! Ids are small indices into the run's tables, so that the hot path never touches a string.

use serde::{Deserialize, Serialize};

use crate::units::{Amount, Price, Qty};

macro_rules! index_type {
    ($(#[$doc:meta])* $name:ident, $repr:ty) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $repr);

        impl $name {
            /// As an index into the run's table.
            #[inline]
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }
    };
}

index_type! {
    /// A venue of the run.
    VenueId, u8
}
index_type! {
    /// An instrument of the run.
    InstrumentId, u16
}
index_type! {
    /// A currency of the run (also the position unit of a perpetual).
    CurrencyId, u16
}
index_type! {
    /// A route of the run.
    RouteId, u16
}

/// Which way an order goes, or which side took in a trade.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// Takes asks, pays quote, receives base.
    Buy,
    /// Takes bids, pays base, receives quote.
    Sell,
}

impl Side {
    /// The other way.
    #[inline]
    pub const fn opposite(self) -> Side {
        match self {
            Side::Buy => Side::Sell,
            Side::Sell => Side::Buy,
        }
    }
}

/// What can be held at a venue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VenueKind {
    /// Currencies are exchanged; nothing can be sold that is not held.
    Spot,
    /// Linear perpetual contracts: positions may be negative, and pay or earn funding.
    Perpetual,
}

/// The grid of prices that a venue accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TickRule {
    /// One tick at every price.
    Fixed(Price),
    /// `(from, tick)` bands, highest `from` first; a price belongs to the first band whose `from` it reaches.
    Bands(Vec<(Price, Price)>),
}

/// Upbit's KRW ladder since 2025-07-31: `(price from, tick)` in KRW, highest first.
/// Source: Upbit developer docs v1.6.4, KRW market info (page of 2026-05-04).
/// KRW-USDT and KRW-USDC may have a tick of their own: give those instruments a fixed tick.
const UPBIT_KRW_LADDER: [(&str, &str); 15] = [
    ("1000000", "1000"),
    ("500000", "500"),
    ("100000", "100"),
    ("50000", "50"),
    ("10000", "10"),
    ("5000", "5"),
    ("100", "1"),
    ("10", "0.1"),
    ("1", "0.01"),
    ("0.1", "0.001"),
    ("0.01", "0.0001"),
    ("0.001", "0.00001"),
    ("0.0001", "0.000001"),
    ("0.00001", "0.0000001"),
    ("0.00000001", "0.00000001"),
];

impl TickRule {
    /// Upbit's banded ladder for KRW markets (since 2025-07-31).
    pub fn upbit_krw() -> TickRule {
        let price = |text| Price::parse(text).unwrap_or_else(|_| unreachable!("the ladder is a constant"));
        TickRule::Bands(
            UPBIT_KRW_LADDER
                .iter()
                .map(|&(from, tick)| (price(from), price(tick)))
                .collect(),
        )
    }

    /// The tick at this price.
    pub fn tick_at(&self, price: Price) -> Price {
        match self {
            TickRule::Fixed(tick) => *tick,
            TickRule::Bands(bands) => bands
                .iter()
                .find(|(from, _)| price >= *from)
                .or(bands.last())
                .map_or(price, |&(_, tick)| tick),
        }
    }

    /// Whether the price lies on the grid.
    pub fn is_on_grid(&self, price: Price) -> bool {
        price.raw() % self.tick_at(price).raw() == 0
    }

    /// The nearest price on the grid that is no better for the venue's other side than asked: a buy limit is rounded
    /// down, a sell limit up. `None` when no positive price is left.
    pub fn round_limit(&self, price: Price, side: Side) -> Option<Price> {
        let tick = self.tick_at(price).raw();
        let floor = price.raw() - price.raw() % tick;
        let raw = match side {
            Side::Buy => floor,
            Side::Sell if floor == price.raw() => floor,
            Side::Sell => floor.checked_add(tick)?,
        };
        Price::from_raw(raw).ok()
    }
}

/// Rules of one market on one venue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instrument {
    /// Its venue.
    pub venue: VenueId,
    /// The venue's own spelling (`KRW-BTC`, `BTCUSDT`).
    pub symbol: String,
    /// What is bought and sold; for a perpetual a unit of the position.
    pub base: CurrencyId,
    /// What is paid.
    pub quote: CurrencyId,
    /// Grid of prices.
    pub tick: TickRule,
    /// Step of quantities, in base; zero means every quantity of 1e-8 goes.
    pub lot: Qty,
    /// Smallest quantity of an order, in base.
    pub min_qty: Qty,
    /// Smallest `price * qty` of an order, in quote.
    pub min_notional: Amount,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(text: &str) -> Price {
        Price::parse(text).unwrap()
    }

    #[test]
    fn upbit_ladder_has_the_documented_tick_in_each_band() {
        let rule = TickRule::upbit_krw();
        let cases = [
            ("141791000", "1000"),
            ("1000000", "1000"),
            ("999999", "500"),
            ("500000", "500"),
            ("499999", "100"),
            ("99999", "50"),
            ("49999", "10"),
            ("9999", "5"),
            ("5000", "5"),
            ("4999", "1"),
            ("100", "1"),
            ("99.9", "0.1"),
            ("9.99", "0.01"),
            ("0.999", "0.001"),
            ("0.00000001", "0.00000001"),
        ];
        for (at, tick) in cases {
            assert_eq!(rule.tick_at(price(at)), price(tick), "at {at}");
        }
    }

    #[test]
    fn limits_are_rounded_against_the_trader() {
        let rule = TickRule::upbit_krw();
        let cases = [
            ("1000499", Side::Buy, "1000000"),
            ("1000499", Side::Sell, "1001000"),
            ("1000000", Side::Sell, "1000000"),
            ("99.95", Side::Buy, "99.9"),
            ("99.95", Side::Sell, "100"),
        ];
        for (asked, side, want) in cases {
            assert_eq!(
                rule.round_limit(price(asked), side),
                Some(price(want)),
                "{side:?} {asked}"
            );
        }
        assert!(!rule.is_on_grid(price("1000500")));
        assert!(rule.is_on_grid(price("999500")));
    }
}
