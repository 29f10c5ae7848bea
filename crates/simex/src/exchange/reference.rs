//! Binance's reference price, and how far from it an order may be and may trade.
//!
//! The venue's engine averages trades over buckets of time, 80 of 3.75 s where it was looked up; here the mean is over the
//! trades of the last five minutes, of which a market keeps the newest thousand. A market whose last trade is older
//! has no reference price; the last price stands in for it where orders are judged, nothing before the first trade.
//! Source: binance-spot-api-docs, price range execution rules and filters (read 2026-11-21).

use crossbook_engine::instrument::Side;
use crossbook_engine::units::Price;

use super::{Exchange, Venue};
use crate::config::Band;

/// Over which time trades are averaged.
const WINDOW_NS: i64 = 300_000_000_000;

/// What a market's reference price is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReferencePrice {
    /// There was never one: nothing was traded yet.
    Never,
    /// There is none now.
    Unset,
    /// This.
    Is(Price),
}

impl Exchange {
    /// A market's reference price; `None` when there is no such market.
    pub fn reference_price(&self, venue: Venue, symbol: &str) -> Option<ReferencePrice> {
        Some(self.reference(self.index(venue, symbol)?))
    }

    fn reference(&self, market: usize) -> ReferencePrice {
        let trades = &self.markets[market].book.trades;
        if trades.is_empty() {
            return ReferencePrice::Never;
        }
        let from = self.clock().plus(-WINDOW_NS);
        let (mut sum, mut count) = (0i128, 0i128);
        for trade in trades.iter().rev().take_while(|trade| trade.ts > from) {
            sum += i128::from(trade.price.raw());
            count += 1;
        }
        let mean = sum
            .checked_div(count)
            .and_then(|mean| i64::try_from(mean).ok())
            .and_then(|raw| Price::from_raw(raw).ok());
        mean.map_or(ReferencePrice::Unset, ReferencePrice::Is)
    }

    /// Whether an order's price is near enough to where the market trades. Only Binance asks.
    pub(super) fn is_near(&self, market: usize, side: Side, price: Price) -> bool {
        let judged = match self.reference(market) {
            ReferencePrice::Is(reference) => Some(reference),
            ReferencePrice::Unset | ReferencePrice::Never => {
                self.markets[market].book.trades.back().map(|trade| trade.price)
            }
        };
        match (self.infos[market].venue, judged) {
            (Venue::Binance, Some(reference)) => within(self.binance.price_band, side, price, reference),
            _ => true,
        }
    }

    /// Between which prices an order of this side may take now: set once, for all that it takes.
    pub(super) fn taking_range(&self, market: usize, side: Side) -> TakingRange {
        match (self.infos[market].venue, self.reference(market)) {
            (Venue::Binance, ReferencePrice::Is(reference)) => {
                TakingRange(Some((self.binance.execution_range, side, reference)))
            }
            _ => TakingRange(None),
        }
    }
}

/// Prices at which an order may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct TakingRange(Option<(Band, Side, Price)>);

impl TakingRange {
    pub fn covers(self, price: Price) -> bool {
        self.0
            .is_none_or(|(band, side, reference)| within(band, side, price, reference))
    }
}

/// Whether a price lies in a side's part of a band around a reference, its ends included.
fn within(band: Band, side: Side, price: Price, reference: Price) -> bool {
    let (up, down) = match side {
        Side::Buy => (band.bid_up_percent, band.bid_down_percent),
        Side::Sell => (band.ask_up_percent, band.ask_down_percent),
    };
    let price = i128::from(price.raw()) * 100;
    let at = |percent: u32| i128::from(reference.raw()) * i128::from(percent);
    price >= at(down) && price <= at(up)
}
