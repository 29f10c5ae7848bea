//! What a synthetic market is made of: the typed form of a `synth` specification file.
//!
//! Every key carries its unit, an unknown key is refused, and [`Spec::check`] names the key and the allowed range of
//! anything out of bounds. `docs/synthetic.md` lists all keys with the formulas in which they stand.

use crossbook_engine::book::sync::SequenceRule;
use crossbook_engine::instrument::VenueKind;
use crossbook_engine::units::{Amount, FxRate, Price, Qty, SCALE};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::check::range;
use crate::dataset::manifest::Tick;

/// Why a specification cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SpecError {
    /// Not TOML, an unknown key, a missing key, or a value of the wrong type; the text names line and key.
    #[error("{0}")]
    Syntax(String),
    /// A number outside its range.
    #[error("`{key}` is {value}: allowed is {allowed}")]
    Range {
        /// The key, as a path (`a.book.levels`).
        key: String,
        /// The value found.
        value: String,
        /// What would be accepted, in words.
        allowed: String,
    },
    /// Two keys that do not go together, or one that needs another.
    #[error("`{key}`: {rule}")]
    Rule {
        /// The key, as a path.
        key: String,
        /// What must hold.
        rule: String,
    },
}

/// A whole synthetic market: two venues, perhaps an exchange rate and a book of the quote currencies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// What it is called; used in messages and manifests.
    pub name: String,
    /// Seed of all randomness.
    pub seed: u64,
    /// First instant. Needed with `price`; with `candles` it cuts the candles (from this minute on).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<jiff::Timestamp>,
    /// Length, in seconds. Needed with `price`; with `candles` it cuts them when given (with `from`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_s: Option<u64>,
    /// Step of the latent processes, in milliseconds (not used with `candles`).
    #[serde(default = "default_step_ms")]
    pub step_ms: u64,
    /// The latent price in the quote currency of B.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<PriceSpec>,
    /// What A costs over B at the exchange rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub premium: Option<PremiumSpec>,
    /// Which venue moves first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lead: Option<LeadSpec>,
    /// Real minute candles to lay the books over, in place of `price` and `premium`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candles: Option<CandlesSpec>,
    /// The exchange rate of B's quote currency in A's. Without it both are the same currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fx: Option<FxSpec>,
    /// The route's first market (dear when the premium is positive).
    pub a: MarketSpec,
    /// The route's second market.
    pub b: MarketSpec,
    /// A book of B's quote currency against A's (KRW-USDT, say).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usdt: Option<UsdtSpec>,
}

/// Geometric random walk without drift, with regimes and bursts of volatility.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceSpec {
    /// First price, in B's quote currency.
    pub start: Price,
    /// Volatility outside bursts and active regimes, as a fraction a year (0.5 is 50 %).
    pub volatility_per_year: f64,
    /// Slow changes between a calm and an active market.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regime: Option<RegimeSpec>,
    /// Short bursts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bursts: Option<BurstSpec>,
}

/// Two-state regime with exponential holding times.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegimeSpec {
    /// Volatility in the active state over that in the calm state.
    pub volatility_multiplier: f64,
    /// Mean time in the calm state, in seconds.
    pub mean_calm_s: f64,
    /// Mean time in the active state, in seconds.
    pub mean_active_s: f64,
}

/// Bursts: Poisson arrivals, exponential lengths.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BurstSpec {
    /// Mean number an hour.
    pub per_hour: f64,
    /// Mean length, in seconds.
    pub mean_s: f64,
    /// Factor on the price's volatility.
    pub volatility_multiplier: f64,
    /// Factor on the premium's volatility.
    #[serde(default = "one")]
    pub premium_volatility_multiplier: f64,
    /// Factor on the rate of book messages (as far as `step_ms` allows) and of trades.
    #[serde(default = "one_u64")]
    pub message_rate_multiplier: u64,
}

/// How the premium of A over B moves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "model", rename_all = "snake_case", deny_unknown_fields)]
pub enum PremiumSpec {
    /// Ornstein-Uhlenbeck: comes back to its mean.
    Ou {
        /// Mean, in bps.
        mean_bps: f64,
        /// Standard deviation of the stationary distribution, in bps.
        sd_bps: f64,
        /// Time in which half of a deviation is gone, in seconds.
        half_life_s: f64,
        /// First value; the mean when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        start_bps: Option<f64>,
    },
    /// Driftless: no past value tells anything of the next step.
    RandomWalk {
        /// First value, in bps.
        start_bps: f64,
        /// Standard deviation of the change over one hour, in bps.
        sd_bps_per_hour: f64,
    },
    /// Always the same.
    Constant {
        /// The value, in bps.
        bps: f64,
    },
}

/// Which of the two markets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The route's first market.
    A,
    /// The route's second market.
    B,
}

/// One venue's mid is the other's of a moment ago.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeadSpec {
    /// Which one moves first.
    pub leader: Role,
    /// How far behind the other is, in milliseconds; a multiple of `step_ms`.
    pub lag_ms: u64,
}

/// Minute candles of both markets: `timestamp,open,high,low,close,volume`, plain or gzip.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CandlesSpec {
    /// Files of A, in order of time.
    pub a: Vec<String>,
    /// Files of B, in order of time.
    pub b: Vec<String>,
    /// Where the candles come from; goes into the manifests.
    pub source: String,
    /// Under which licence they are; goes into the manifests. "none stated" when there is none.
    pub licence: String,
}

/// An exchange rate series: a driftless geometric walk, stepped when it is published.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FxSpec {
    /// Name of the dataset's folder.
    pub dataset: String,
    /// First rate, in units of A's quote currency for one of B's.
    pub start: FxRate,
    /// Published rates are whole multiples of this.
    #[serde(default = "hundredth")]
    pub step: FxRate,
    /// Volatility, as a fraction a year.
    pub volatility_per_year: f64,
    /// Time between two rates, in milliseconds; a multiple of `step_ms`.
    pub every_ms: u64,
    /// How long a rate is under way.
    pub latency: LatencySpec,
}

/// A third market: B's quote currency in A's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UsdtSpec {
    /// Which share of the premium it carries: its mid is `fx * (1 + share * premium)`.
    pub share_of_premium: f64,
    /// The market itself.
    pub market: MarketSpec,
}

/// How a venue sends its book.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FeedKind {
    /// Each message is the whole top of the book, without a number (Upbit).
    Snapshots,
    /// A snapshot, then numbered changes (Binance).
    Diffs,
}

/// One market on one venue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MarketSpec {
    /// Name of the dataset's folder.
    pub dataset: String,
    /// Name of the venue.
    pub venue: String,
    /// The venue's spelling of the market.
    pub symbol: String,
    /// Base currency.
    pub base: String,
    /// Quote currency.
    pub quote: String,
    /// Spot or perpetual.
    pub kind: VenueKind,
    /// How the book is sent.
    pub feed: FeedKind,
    /// Grid of prices: a decimal, or `"upbit_krw"`.
    pub tick: Tick,
    /// Step of an order's quantity, in base; told by the manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lot: Option<Qty>,
    /// Smallest quantity of an order, in base; told by the manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_qty: Option<Qty>,
    /// Smallest value of an order, in quote; told by the manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_notional: Option<Amount>,
    /// Time between two book messages, in milliseconds; a multiple of `step_ms`, or with candles a part of a minute.
    pub every_ms: u64,
    /// How much later than the step the venue stamps its messages, in milliseconds; below `step_ms`.
    #[serde(default)]
    pub phase_ms: u64,
    /// The recorder's clock minus the venue's, in milliseconds: what is to be added to an exchange time to compare it
    /// with a receive time.
    #[serde(default)]
    pub clock_offset_ms: i64,
    /// Whether the manifest tells that offset. If not, `dataset inspect` has to find it.
    #[serde(default = "yes")]
    pub clock_offset_declared: bool,
    /// Shape of the book.
    pub book: BookSpec,
    /// How long messages are under way.
    pub latency: LatencySpec,
    /// Trades between others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trades: Option<TradesSpec>,
    /// Times without a connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outages: Option<OutageSpec>,
    /// Funding payments of a perpetual.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub funding: Option<FundingSpec>,
}

impl MarketSpec {
    /// The sequence rule that its messages obey.
    pub fn sequence(&self) -> SequenceRule {
        match (self.feed, self.kind) {
            (FeedKind::Snapshots, _) => SequenceRule::UpbitTimestamp,
            (FeedKind::Diffs, VenueKind::Spot) => SequenceRule::BinanceSpot,
            (FeedKind::Diffs, VenueKind::Perpetual) => SequenceRule::BinanceFutures,
        }
    }
}

/// Shape of a book.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BookSpec {
    /// Levels a side.
    pub levels: usize,
    /// Median distance of best ask and best bid, in bps of the mid, before both are rounded outwards to the grid.
    pub spread_bps: f64,
    /// Spread of that distance: sigma of its log-normal factor.
    #[serde(default)]
    pub spread_sigma: f64,
    /// Mean distance of neighbouring levels, in bps of the mid; never less than one tick.
    pub gap_bps: f64,
    /// Median quantity of the best level, in base.
    pub top_qty: Qty,
    /// Factor on the median quantity from one level to the next.
    #[serde(default = "one")]
    pub growth: f64,
    /// Spread of quantities: sigma of the log-normal.
    #[serde(default)]
    pub qty_sigma: f64,
    /// Quantities are multiples of this, in base; at least one of it.
    pub qty_step: Qty,
    /// Chance that a level has a new quantity in the next message.
    pub refresh: f64,
}

/// Log-normal delay; the order of messages is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatencySpec {
    /// Median, in milliseconds.
    pub median_ms: f64,
    /// Sigma of the log-normal; zero is a constant delay.
    #[serde(default)]
    pub sigma: f64,
}

/// Trades: Poisson arrivals, at the best price of either side with even chance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TradesSpec {
    /// Mean number a second.
    pub per_s: f64,
    /// Median quantity, in base; never more than the best level holds.
    pub median_qty: Qty,
    /// Sigma of the log-normal quantity.
    #[serde(default)]
    pub sigma: f64,
}

/// Outages of a connection: Poisson arrivals, exponential lengths, and those given by hand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutageSpec {
    /// Mean number a day.
    #[serde(default)]
    pub per_day: f64,
    /// Mean length, in seconds.
    #[serde(default = "one_minute")]
    pub mean_s: f64,
    /// Outages by hand, in order.
    #[serde(default)]
    pub at: Vec<OutageAt>,
}

/// One outage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutageAt {
    /// Seconds after the first instant.
    pub at_s: u64,
    /// Length, in seconds.
    pub for_s: u64,
}

/// Funding: due at whole multiples of the interval since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FundingSpec {
    /// Interval, in seconds.
    pub every_s: u64,
    /// Mean rate an interval, in bps; positive when longs pay.
    pub mean_bps: f64,
    /// Standard deviation, in bps.
    #[serde(default)]
    pub sd_bps: f64,
}

fn default_step_ms() -> u64 {
    100
}
fn hundredth() -> FxRate {
    FxRate::from_raw(SCALE / 100).unwrap_or(FxRate::ONE)
}
fn one() -> f64 {
    1.0
}
fn one_u64() -> u64 {
    1
}
fn one_minute() -> f64 {
    60.0
}
fn yes() -> bool {
    true
}

impl Spec {
    /// Reads and checks a specification.
    ///
    /// # Errors
    /// [`SpecError`] when it is not TOML, has an unknown or missing key, or a value out of range.
    pub fn parse(text: &str) -> Result<Spec, SpecError> {
        let spec: Spec =
            toml::from_str(text).map_err(|error| SpecError::Syntax(error.to_string().trim_end().into()))?;
        spec.check()?;
        Ok(spec)
    }

    /// The first instant in nanoseconds since the Unix epoch.
    ///
    /// # Errors
    /// [`SpecError::Range`] when the span does not fit 64 bits of nanoseconds (until 2262).
    pub fn from_ns(&self) -> Result<Option<i64>, SpecError> {
        let Some(from) = self.from else { return Ok(None) };
        let span_ns = i128::from(self.duration_s.unwrap_or(0)) * 1_000_000_000;
        match i64::try_from(from.as_nanosecond()) {
            Ok(ns) if i128::from(ns) + span_ns < i128::from(i64::MAX) && ns > 0 => Ok(Some(ns)),
            _ => range("from", from, "after 1970, and such that the end lies before 2262").map(|()| None),
        }
    }

    /// The specification as TOML with every default written out: equal text, equal market.
    ///
    /// # Errors
    /// [`SpecError::Syntax`] when a value has no TOML form.
    pub fn canonical_text(&self) -> Result<String, SpecError> {
        toml::to_string(self).map_err(|error| SpecError::Syntax(error.to_string()))
    }

    /// The same market with another seed.
    pub fn with_seed(&self, seed: u64) -> Spec {
        Spec { seed, ..self.clone() }
    }

    /// The markets with their keys, in the order of their streams.
    pub fn markets(&self) -> Vec<(&'static str, &MarketSpec)> {
        let mut all = vec![("a", &self.a), ("b", &self.b)];
        all.extend(self.usdt.as_ref().map(|usdt| ("usdt.market", &usdt.market)));
        all
    }
}
