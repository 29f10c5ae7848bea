//! Risk: four tiers look at every intent, the strictest verdict wins.
//!
//! What always holds: an order can only be made from what [`Risk::check`] returned; every refusal carries its reason.

use serde::{Deserialize, Serialize};

/// What risk says, from mild to strict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Go on.
    Allow,
    /// Only what makes positions smaller.
    Reduce,
    /// Nothing new.
    Block,
    /// Nothing at all, and open positions are closed, until a person (or the next day, for daily limits) says otherwise.
    Halt,
}

/// Why. One name per rule, grouped by tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Venue: its feed is down or its book cannot be priced.
    VenueDown,
    /// Venue: the book is older than `max_book_age_ms`.
    StaleBook,
    /// Venue: more orders in a second than `max_orders_per_second`.
    OrderRate,
    /// Venue: its loss of the day reached `max_daily_loss`.
    VenueDailyLoss,
    /// Venue: too many open orders.
    VenueOpenOrders,
    /// Route: too many losses in a row; cooling down.
    ConsecutiveLosses,
    /// Route: the spread is too wide to be true (fat finger, FX error).
    AbnormalSpread,
    /// Route: too many round trips in an hour.
    TripsPerHour,
    /// Route: one order is larger than `max_order_notional`.
    OrderNotional,
    /// Symbol: exposure would pass its limit.
    SymbolExposure,
    /// Symbol: the premium moves too much.
    Volatility,
    /// Symbol: not on the allow-list.
    NotAllowed,
    /// Global: the loss of the day reached `max_daily_loss`.
    DailyLoss,
    /// Global: equity fell by `max_drawdown` from its peak.
    Drawdown,
    /// Global: total exposure would pass its limit.
    TotalExposure,
    /// Global: venues hold too unequal positions.
    Imbalance,
    /// Global: too many round trips open at once.
    OpenTrades,
    /// Global: the kill switch is pulled.
    Kill,
    /// No rate, no trade: FX is missing or older than `max_age_ms`.
    NoFx,
    /// FX is outside its plausible band.
    FxBand,
    /// Sizing: after rounding to lots, minimums, balance and visible depth nothing is left to trade.
    NoSize,
}
