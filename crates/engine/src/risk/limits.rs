//! The limits of each tier, and their defaults: `None` means that a limit is off.

use crate::instrument::CurrencyId;
use crate::units::{Amount, Bps};

/// Limits of every tier.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Limits {
    /// Per venue.
    pub venue: VenueLimits,
    /// Per route.
    pub route: RouteLimits,
    /// Per base currency.
    pub symbol: SymbolLimits,
    /// Over everything.
    pub global: GlobalLimits,
}

/// What each venue must keep to.
#[derive(Debug, Clone, PartialEq)]
pub struct VenueLimits {
    /// A book whose newest event is older than this prices nothing.
    pub max_book_age_ns: i64,
    /// Orders sent to the venue within one second of event time.
    pub max_orders_per_second: Option<u32>,
    /// Orders in flight or resting at the venue.
    pub max_open_orders: Option<u32>,
    /// Loss of the day on round trips with a leg there, in base currency.
    pub max_daily_loss: Option<Amount>,
}

impl Default for VenueLimits {
    fn default() -> Self {
        VenueLimits {
            max_book_age_ns: 5_000_000_000,
            max_orders_per_second: None,
            max_open_orders: None,
            max_daily_loss: None,
        }
    }
}

/// What each route must keep to.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RouteLimits {
    /// So many losses in a row …
    pub max_consecutive_losses: Option<u32>,
    /// … stop entries for so long.
    pub cooldown_ns: i64,
    /// A premium further from zero than this is taken for an error of data or rate.
    pub max_abs_premium: Option<Bps>,
    /// Entries within one hour.
    pub max_trips_per_hour: Option<u32>,
    /// Value of one order, in base currency.
    pub max_order_notional: Option<Amount>,
}

/// What each base currency must keep to.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SymbolLimits {
    /// Value of the larger leg over all routes of the symbol, in base currency.
    pub max_exposure: Option<Amount>,
    /// How far the mid of A may have moved within the window …
    pub max_move: Option<Bps>,
    /// … of this length.
    pub move_window_ns: i64,
    /// Symbols that may be traded; `None` for all.
    pub allow: Option<Vec<CurrencyId>>,
}

/// What the whole run must keep to.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct GlobalLimits {
    /// Loss of the day, in base currency, marked to market. Reaching it halts until the next day.
    pub max_daily_loss: Option<Amount>,
    /// Fall from the highest result so far. Reaching it halts for good.
    pub max_drawdown: Option<Amount>,
    /// Value of all larger legs together, in base currency.
    pub max_exposure: Option<Amount>,
    /// Unhedged value: by how much long and short legs may differ in value, in base currency.
    pub max_imbalance: Option<Amount>,
    /// Pairs open or being opened at once.
    pub max_open_trades: Option<u32>,
}
