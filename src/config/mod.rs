//! Scenario files: a typed question to the market. Unknown keys are refused, units stand in the keys, money and
//! quantities are decimal strings.

pub(crate) mod overrides;
pub mod record;
mod validate;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crossbook_engine::sim::FillModel;
use crossbook_engine::strategy::LegPolicy;
use crossbook_engine::units::{Amount, Price, Qty};
use serde::{Deserialize, Serialize};

use crate::dataset::manifest::MarketRules;

/// Why a scenario cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not a scenario: syntax, unknown key, wrong type.
    #[error("{}: {message}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line, key and what is allowed.
        message: String,
    },
    /// A `--set` that cannot be applied.
    #[error("--set {text}: {message}")]
    Set {
        /// What was given.
        text: String,
        /// What is wrong with it.
        message: String,
    },
    /// A value that is well formed but makes no sense.
    #[error("{}: {key}: {message}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// What is wrong and what is allowed.
        message: String,
    },
}

/// A replayable case: datasets, venues, rate, balances, strategy, risk, latencies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Name; part of the run's id.
    pub name: String,
    /// Seed of all randomness (latencies).
    #[serde(default)]
    pub seed: u64,
    /// Currency of results and limits.
    pub base_currency: String,
    /// Datasets by name under the data root, or by path (relative to the scenario file, then to the working directory).
    pub datasets: Vec<String>,
    /// Only what was received in this window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// Venues by name, as the datasets spell them.
    pub venues: BTreeMap<String, Venue>,
    /// The exchange rate; needed when quote currencies differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fx: Option<Fx>,
    /// Market rules by `venue:symbol`, over those of the manifests.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub instruments: BTreeMap<String, MarketRules>,
    /// What is traded against what.
    pub routes: Vec<Route>,
    /// When to enter and to leave.
    pub strategy: Strategy,
    /// How orders are sent and filled.
    #[serde(default)]
    pub execution: Execution,
    /// Limits.
    #[serde(default)]
    pub risk: Risk,
    /// What is kept for pictures.
    #[serde(default)]
    pub report: Report,
}

/// A span of receive time: `from` is in it, `to` is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// First instant, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<jiff::Timestamp>,
    /// End, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<jiff::Timestamp>,
}

/// What can be held at a venue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VenueKind {
    /// Nothing can be sold that is not held.
    Spot,
    /// Linear perpetual contracts.
    Perpetual,
}

/// One venue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Venue {
    /// Spot or perpetual.
    pub kind: VenueKind,
    /// Fee of a fill that takes, in bps of its notional.
    pub taker_fee_bps: f64,
    /// Fee of a fill that gives (negative for a rebate); the taker's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maker_fee_bps: Option<f64>,
    /// In which currency fees are paid.
    #[serde(default)]
    pub fee_currency: FeeCurrency,
    /// From sending an order until the venue has it.
    #[serde(default)]
    pub order_latency: Latency,
    /// From the venue's deed until we hear of it.
    #[serde(default)]
    pub report_latency: Latency,
    /// Opening balances by currency.
    #[serde(default)]
    pub balances: BTreeMap<String, Amount>,
    /// Perpetual only: exposure may not pass this many times the venue's equity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_leverage: Option<u32>,
}

/// In which currency a venue takes its fee.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FeeCurrency {
    /// Always quote.
    #[default]
    Quote,
    /// What the fill brings.
    Received,
    /// A third currency at a constant price in the quote currency.
    Fixed {
        /// The currency.
        currency: String,
        /// Its price.
        price: Price,
    },
}

/// How long something is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "model", rename_all = "lowercase", deny_unknown_fields)]
pub enum Latency {
    /// Always the same.
    Constant {
        /// Milliseconds.
        ms: f64,
    },
    /// Log-normal, drawn per order from the scenario's seed.
    Lognormal {
        /// Median in milliseconds.
        median_ms: f64,
        /// Standard deviation of the logarithm.
        sigma: f64,
    },
    /// A multiple of the delay with which the newest message of the instrument came.
    Recorded {
        /// Times that delay.
        multiple: f64,
    },
}

impl Default for Latency {
    fn default() -> Self {
        Latency::Constant { ms: 50.0 }
    }
}

/// The exchange rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fx {
    /// An instrument (`upbit:KRW-USDT`, its mid), the name of a rate dataset, or a constant (`"1390.5"`).
    pub source: String,
    /// A rate older than this is no rate.
    #[serde(default = "default_fx_age")]
    pub max_age_ms: u64,
    /// Rates outside are ignored and stop trading: lowest and highest that are plausible.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub band: Option<(crossbook_engine::units::FxRate, crossbook_engine::units::FxRate)>,
}

fn default_fx_age() -> u64 {
    5_000
}

/// Two instruments of one base.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// First instrument, `venue:symbol`.
    pub a: String,
    /// Second instrument, `venue:symbol`.
    pub b: String,
    /// Keys of `[strategy]` that differ on this route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<toml::Table>,
}

/// When to enter and to leave, and how large.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Strategy {
    /// Reference to which the premium is expected to return.
    pub fair_premium: FairPremium,
    /// Enter at this net edge.
    pub entry_bps: f64,
    /// Leave when `close - fair` is at most this.
    pub exit_bps: f64,
    /// Leave at this profit, net of all fees; never when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub take_profit_bps: Option<f64>,
    /// Leave at this loss, net of all fees; never when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_bps: Option<f64>,
    /// Leave after this long; never when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_hold_s: Option<f64>,
    /// Allowance for what is lost between decision and fill.
    #[serde(default)]
    pub slippage_bps: f64,
    /// How large an entry is.
    pub size: Size,
    /// Which ways may be taken.
    #[serde(default = "both_directions")]
    pub directions: Vec<crossbook_engine::records::Direction>,
}

fn both_directions() -> Vec<crossbook_engine::records::Direction> {
    use crossbook_engine::records::Direction;
    vec![Direction::SellA, Direction::BuyA]
}

/// The fair premium's model.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "model", rename_all = "lowercase", deny_unknown_fields)]
pub enum FairPremium {
    /// Always zero.
    Zero {},
    /// A constant.
    Constant {
        /// The premium, in bps.
        bps: f64,
    },
    /// Exponentially weighted mean of the premium.
    Ewma {
        /// Time after which an observation has lost half its weight.
        half_life_s: f64,
        /// No entry before the mean has been fed for so long.
        #[serde(default)]
        warmup_s: f64,
    },
}

/// How large an entry is: exactly one of the three.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Size {
    /// A fixed value …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notional: Option<Amount>,
    /// … in this currency, the quote of one leg.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// A fixed quantity of the base currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity: Option<Qty>,
    /// A share (`"0.25"`) of what the free balances allow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fraction: Option<Qty>,
}

/// How legs are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OrderKind {
    /// Market orders.
    #[default]
    Market,
    /// Immediate-or-cancel limits `limit_collar_bps` through the worst price that the decision walked to.
    Limit,
}

/// How an entry meets the books.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// Both legs take.
    #[default]
    Taker,
    /// A rests (post-only at the best price of its own side); B is taken for what has filled.
    MakerA,
    /// B rests; A is taken for what has filled.
    MakerB,
}

/// How a resting order moves up its queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueueModel {
    /// Only trades move us up.
    #[default]
    RiskAdverse,
    /// Cancellations are shared out before and behind us.
    Prob,
}

/// How orders are sent and filled.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Execution {
    /// `walk`, or `top` to see how much a whole fill at the best price flatters.
    pub fill_model: FillModel,
    /// How an entry meets the books; exits always take.
    pub entry: EntryKind,
    /// How legs are sent that take.
    pub order: OrderKind,
    /// Allowance of limit orders.
    pub limit_collar_bps: f64,
    /// What to do first with unequal legs.
    pub leg_policy: LegPolicy,
    /// How long a resting entry is left on the book, and the pause between attempts to mend unequal legs.
    pub leg_timeout_ms: u64,
    /// How a resting order moves up its queue.
    pub queue_model: QueueModel,
    /// Exponent of the `prob` model.
    pub queue_exponent: f64,
}

impl Default for Execution {
    fn default() -> Self {
        Execution {
            fill_model: FillModel::Walk,
            entry: EntryKind::Taker,
            order: OrderKind::Market,
            limit_collar_bps: 5.0,
            leg_policy: LegPolicy::Complete,
            leg_timeout_ms: 800,
            queue_model: QueueModel::RiskAdverse,
            queue_exponent: 3.0,
        }
    }
}

/// Limits by tier; an absent limit is off.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Risk {
    /// Time zone whose midnight begins a new day (IANA name).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub day_zone: Option<String>,
    /// Per venue.
    pub venue: VenueRisk,
    /// Per route.
    pub route: RouteRisk,
    /// Per base currency.
    pub symbol: SymbolRisk,
    /// Over everything.
    pub global: GlobalRisk,
}

/// Limits of each venue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VenueRisk {
    /// An older book prices nothing.
    pub max_book_age_ms: u64,
    /// Orders within one second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_orders_per_second: Option<u32>,
    /// Orders in flight or resting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_open_orders: Option<u32>,
    /// Loss of the day on round trips with a leg there, in the base currency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_daily_loss: Option<Amount>,
}

impl Default for VenueRisk {
    fn default() -> Self {
        VenueRisk {
            max_book_age_ms: 5_000,
            max_orders_per_second: None,
            max_open_orders: None,
            max_daily_loss: None,
        }
    }
}

/// Limits of each route.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RouteRisk {
    /// So many losses in a row …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_consecutive_losses: Option<u32>,
    /// … stop entries for so long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cooldown_s: Option<f64>,
    /// A premium further from zero is taken for an error (a wrong exchange rate, say). 5000 when absent: no route has been
    /// seen that far away, and a rate that is inverted or ten times off lies beyond it.
    pub max_abs_premium_bps: f64,
    /// Entries within one hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_trips_per_hour: Option<u32>,
    /// Value of one order, in the base currency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_order_notional: Option<Amount>,
}

impl Default for RouteRisk {
    fn default() -> Self {
        RouteRisk {
            max_consecutive_losses: None,
            cooldown_s: None,
            max_abs_premium_bps: 5_000.0,
            max_trips_per_hour: None,
            max_order_notional: None,
        }
    }
}

/// Limits of each base currency.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SymbolRisk {
    /// Value held over all routes of the symbol, in the base currency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_exposure: Option<Amount>,
    /// How far the price may have moved within the window …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_move_bps: Option<f64>,
    /// … of this length.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub move_window_s: Option<f64>,
    /// Base currencies that may be traded; all when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow: Option<Vec<String>>,
}

/// Limits of the whole run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GlobalRisk {
    /// Loss of the day; halts until the next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_daily_loss: Option<Amount>,
    /// Fall from the best result so far; halts for good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_drawdown: Option<Amount>,
    /// Value of all positions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_exposure: Option<Amount>,
    /// By how much long and short legs may differ in value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_imbalance: Option<Amount>,
    /// Pairs open at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_open_trades: Option<u32>,
}

/// What is kept for pictures and statistics.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Report {
    /// How often equity and spread are sampled; about 2000 times over the run when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample_s: Option<f64>,
}

/// Reads a scenario and applies overrides (`strategy.entry_bps=15`).
///
/// # Errors
/// [`ConfigError`], naming file, line and key, and what is allowed.
pub fn load(path: &Path, sets: &[String]) -> Result<Scenario, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
        path: path.to_owned(),
        source,
    })?;
    parse(&text, path, sets)
}

/// Parses a scenario's text; `path` is only used to name it.
///
/// # Errors
/// As [`load`].
pub fn parse(text: &str, path: &Path, sets: &[String]) -> Result<Scenario, ConfigError> {
    let parse_error = |message: String| ConfigError::Parse {
        path: path.to_owned(),
        message,
    };
    // The text itself first: its errors can name a line.
    let scenario: Scenario = toml::from_str(text).map_err(|error| parse_error(error.to_string()))?;
    let scenario = if sets.is_empty() {
        scenario
    } else {
        let mut table: toml::Table = toml::from_str(text).map_err(|error| parse_error(error.to_string()))?;
        for set in sets {
            overrides::apply(&mut table, set)?;
        }
        table.try_into().map_err(|error: toml::de::Error| ConfigError::Set {
            text: sets.join(" --set "),
            message: error.to_string().trim_end().to_owned(),
        })?
    };
    scenario.validate(path)?;
    Ok(scenario)
}

impl Scenario {
    /// The resolved scenario as TOML, complete with all defaults.
    ///
    /// # Errors
    /// Never for a scenario that was parsed; kept for the serializer's sake.
    pub fn to_text(&self) -> Result<String, toml::ser::Error> {
        toml::to_string_pretty(self)
    }

    /// The strategy of a route: `[strategy]` with the route's own keys over it.
    ///
    /// # Errors
    /// When a key of the route is unknown or of the wrong type.
    pub fn strategy_of(&self, route: &Route) -> Result<Strategy, String> {
        let Some(own) = &route.strategy else {
            return Ok(self.strategy.clone());
        };
        let mut table = toml::Table::try_from(&self.strategy).map_err(|error| error.to_string())?;
        for (key, value) in own {
            table.insert(key.clone(), value.clone());
        }
        table
            .try_into()
            .map_err(|error: toml::de::Error| error.to_string().trim_end().to_owned())
    }
}

#[cfg(test)]
mod tests;
