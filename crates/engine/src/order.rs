//! Orders, fills and reports: the words between the engine and whatever executes for it.

use serde::{Deserialize, Serialize};

use crate::instrument::{CurrencyId, InstrumentId, RouteId, Side};
use crate::units::{Amount, Price, Qty, TimestampNs};

/// Number of an order within a run, from 1, in the order of sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OrderId(pub u64);

/// Which side of a route's trade an order belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Leg {
    /// The route's first instrument.
    A,
    /// The route's second instrument.
    B,
}

/// Why an order is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Opens a round trip.
    Entry,
    /// Closes it.
    Exit,
    /// Completes or undoes a leg whose twin fell short.
    Unwind,
}

/// How an order meets the book.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderType {
    /// Takes what is there, to any price; the rest expires.
    Market,
    /// Takes what is there up to this price; the rest expires (immediate or cancel).
    Limit(Price),
    /// Rests at this price behind what is there; rejected when it would take.
    PostOnly(Price),
}

/// An order as the engine sends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Order {
    /// Its number.
    pub id: OrderId,
    /// The route it is for.
    pub route: RouteId,
    /// The leg it is for.
    pub leg: Leg,
    /// Why.
    pub role: Role,
    /// What is traded.
    pub instrument: InstrumentId,
    /// Which way.
    pub side: Side,
    /// How much, in base.
    pub qty: Qty,
    /// How.
    pub order_type: OrderType,
    /// When the engine decided it.
    pub ts_sent: TimestampNs,
    /// Mid of the instrument's book as the engine saw it then: what slippage is measured from.
    pub mid: Price,
}

/// Why a venue refuses an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reject {
    /// The limit price is not on the venue's grid.
    OffTick,
    /// The quantity is not a whole number of lots, or is zero.
    OffLot,
    /// Less than the smallest quantity.
    BelowMinQty,
    /// Less than the smallest notional.
    BelowMinNotional,
    /// Not enough free balance (spot), or margin (perpetual).
    InsufficientBalance,
    /// The venue has no book to match against (nothing recorded there, or the record is broken).
    NoBook,
    /// A post-only order that would have taken.
    WouldTake,
    /// The venue is down.
    VenueDown,
}

/// What became of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderStatus {
    /// Sent, no word yet.
    Sent,
    /// Resting on the book, perhaps partly filled.
    Resting,
    /// Filled whole.
    Filled,
    /// The rest (or all) of it found nothing to take and expired.
    Expired,
    /// Taken back by us; what was filled stays.
    Cancelled,
    /// Refused.
    Rejected(Reject),
}

impl OrderStatus {
    /// Whether nothing more can happen to the order.
    pub const fn is_final(self) -> bool {
        !matches!(self, OrderStatus::Sent | OrderStatus::Resting)
    }
}

/// Whether a fill took liquidity or gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Liquidity {
    /// Took.
    Taker,
    /// Gave.
    Maker,
}

/// One execution at one price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fill {
    /// The order it belongs to.
    pub order: OrderId,
    /// What was traded.
    pub instrument: InstrumentId,
    /// Which way.
    pub side: Side,
    /// At which price.
    pub price: Price,
    /// How much, in base.
    pub qty: Qty,
    /// `price * qty` in quote, rounded against us: up for a buy, down for a sale.
    pub notional: Amount,
    /// Fee, never negative unless the venue pays a rebate.
    pub fee: Amount,
    /// Currency of the fee.
    pub fee_currency: CurrencyId,
    /// Took or gave.
    pub liquidity: Liquidity,
    /// When it happened at the venue.
    pub ts_venue: TimestampNs,
}

/// News of one order, as it reaches the engine. Fills are those since the last report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report<'a> {
    /// The order.
    pub order: OrderId,
    /// Its state now.
    pub status: OrderStatus,
    /// New fills.
    pub fills: &'a [Fill],
    /// When the venue did it.
    pub ts_venue: TimestampNs,
    /// When we hear of it.
    pub ts_report: TimestampNs,
}
