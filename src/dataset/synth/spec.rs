//! What a synthetic market is made of: the typed form of a `synth` specification file.
//!
//! Every key carries its unit, an unknown key is refused, and [`Spec::check`] names the key and the allowed range of
//! anything out of bounds. `docs/synthetic.md` lists all keys with the formulas in which they stand.

use crossbook_engine::book::sync::SequenceRule;
use crossbook_engine::instrument::VenueKind;
use crossbook_engine::units::{Amount, FxRate, Price, Qty};
use serde::{Deserialize, Serialize};
use thiserror::Error;

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

/// Longest market that can be asked for: ten years.
const MAX_DURATION_S: u64 = 3_653 * 86_400;

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

    /// Checks every range and every rule between keys.
    ///
    /// # Errors
    /// [`SpecError::Range`] or [`SpecError::Rule`] for the first that is broken.
    pub fn check(&self) -> Result<(), SpecError> {
        match (&self.price, &self.premium, &self.candles) {
            (Some(_), Some(_), None) => self.check_model()?,
            (None, None, Some(candles)) => self.check_candles(candles)?,
            (None, _, None) => return rule("price", "missing: give `price` and `premium`, or `candles`"),
            (Some(_), None, None) => return rule("premium", "missing: `price` needs it"),
            (_, _, Some(_)) => {
                return rule(
                    "candles",
                    "stands in place of `price` and `premium`; give one or the other",
                );
            }
        }
        if i64::try_from(self.seed).is_err() {
            return range("seed", self.seed, "0 to 9223372036854775807");
        }
        self.from_ns()?;
        let markets = self.markets();
        for (key, market) in &markets {
            market.check(key)?;
        }
        let names: Vec<&str> = markets
            .iter()
            .map(|(_, market)| market.dataset.as_str())
            .chain(self.fx.as_ref().map(|fx| fx.dataset.as_str()))
            .collect();
        for (index, name) in names.iter().enumerate() {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
                return range(
                    "dataset",
                    format!("{name:?}"),
                    "a folder name of letters, digits, `-`, `_` and `.`",
                );
            }
            if names[..index].contains(name) {
                return rule(
                    "dataset",
                    format!("{name:?} is used twice; each stream needs a folder of its own"),
                );
            }
        }
        Ok(())
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

    fn check_model(&self) -> Result<(), SpecError> {
        let (Some(price), Some(premium)) = (&self.price, &self.premium) else {
            return rule("price", "missing");
        };
        if self.from.is_none() {
            return rule("from", "missing: the first instant, such as \"2026-01-05T00:00:00Z\"");
        }
        let Some(duration_s) = self.duration_s else {
            return rule("duration_s", "missing");
        };
        whole("duration_s", duration_s, 1, MAX_DURATION_S)?;
        whole("step_ms", self.step_ms, 1, 60_000)?;
        within("price.volatility_per_year", price.volatility_per_year, 0.0, 20.0)?;
        if let Some(regime) = &price.regime {
            within(
                "price.regime.volatility_multiplier",
                regime.volatility_multiplier,
                0.0,
                100.0,
            )?;
            within("price.regime.mean_calm_s", regime.mean_calm_s, 1.0, 1e8)?;
            within("price.regime.mean_active_s", regime.mean_active_s, 1.0, 1e8)?;
        }
        if let Some(bursts) = &price.bursts {
            within("price.bursts.per_hour", bursts.per_hour, 0.0, 3600.0)?;
            within("price.bursts.mean_s", bursts.mean_s, 0.001, 86_400.0)?;
            within(
                "price.bursts.volatility_multiplier",
                bursts.volatility_multiplier,
                0.0,
                100.0,
            )?;
            let key = "price.bursts.premium_volatility_multiplier";
            within(key, bursts.premium_volatility_multiplier, 0.0, 100.0)?;
            whole(
                "price.bursts.message_rate_multiplier",
                bursts.message_rate_multiplier,
                1,
                1000,
            )?;
        }
        match premium {
            PremiumSpec::Ou {
                mean_bps,
                sd_bps,
                half_life_s,
                start_bps,
            } => {
                within("premium.mean_bps", *mean_bps, -5000.0, 10_000.0)?;
                within("premium.sd_bps", *sd_bps, 0.0, 2000.0)?;
                within("premium.half_life_s", *half_life_s, 0.001, 1e9)?;
                within("premium.start_bps", start_bps.unwrap_or(*mean_bps), -5000.0, 10_000.0)?;
            }
            PremiumSpec::RandomWalk {
                start_bps,
                sd_bps_per_hour,
            } => {
                within("premium.start_bps", *start_bps, -5000.0, 10_000.0)?;
                within("premium.sd_bps_per_hour", *sd_bps_per_hour, 0.0, 2000.0)?;
            }
            PremiumSpec::Constant { bps } => within("premium.bps", *bps, -5000.0, 10_000.0)?,
        }
        if let Some(lead) = &self.lead {
            whole("lead.lag_ms", lead.lag_ms, 0, 600_000)?;
            self.multiple("lead.lag_ms", lead.lag_ms)?;
        }
        if let Some(fx) = &self.fx {
            within("fx.volatility_per_year", fx.volatility_per_year, 0.0, 20.0)?;
            whole("fx.every_ms", fx.every_ms, 1, 86_400_000)?;
            self.multiple("fx.every_ms", fx.every_ms)?;
            fx.latency.check("fx.latency")?;
        } else if self.a.quote != self.b.quote {
            return rule(
                "fx",
                format!("missing: {} and {} need a rate", self.b.quote, self.a.quote),
            );
        }
        if let Some(usdt) = &self.usdt {
            within("usdt.share_of_premium", usdt.share_of_premium, -10.0, 10.0)?;
            if self.fx.is_none() {
                return rule("usdt", "needs `fx`: its mid is the exchange rate");
            }
        }
        for (key, market) in self.markets() {
            self.multiple(&format!("{key}.every_ms"), market.every_ms)?;
            if market.phase_ms >= self.step_ms {
                return range(&format!("{key}.phase_ms"), market.phase_ms, "less than `step_ms`");
            }
        }
        Ok(())
    }

    fn check_candles(&self, candles: &CandlesSpec) -> Result<(), SpecError> {
        if candles.a.is_empty() || candles.b.is_empty() {
            return rule("candles", "`a` and `b` each need at least one file");
        }
        if self.duration_s.is_some() && self.from.is_none() {
            return rule("duration_s", "needs `from` when it cuts candles");
        }
        if let Some(duration_s) = self.duration_s {
            whole("duration_s", duration_s, 60, MAX_DURATION_S)?;
        }
        let unused = [
            ("lead", self.lead.is_some()),
            ("fx", self.fx.is_some()),
            ("usdt", self.usdt.is_some()),
            ("a.trades", self.a.trades.is_some()),
            ("b.trades", self.b.trades.is_some()),
        ];
        for (key, given) in unused {
            if given {
                return rule(
                    key,
                    "has no meaning with `candles`: they tell prices only; take the rate from a dataset",
                );
            }
        }
        for (key, market) in self.markets() {
            if market.every_ms == 0 || market.every_ms > 15_000 || 60_000 % market.every_ms != 0 {
                let allowed = "with candles a whole part of a minute, at most 15000 (a minute needs four books)";
                return range(&format!("{key}.every_ms"), market.every_ms, allowed);
            }
            if market.phase_ms != 0 {
                return rule(&format!("{key}.phase_ms"), "has no meaning with `candles`");
            }
        }
        let (slow, fast) = (
            self.a.every_ms.max(self.b.every_ms),
            self.a.every_ms.min(self.b.every_ms),
        );
        if slow % fast != 0 {
            return rule(
                "every_ms",
                "with candles one market's must be a multiple of the other's",
            );
        }
        Ok(())
    }

    fn multiple(&self, key: &str, value_ms: u64) -> Result<(), SpecError> {
        if !value_ms.is_multiple_of(self.step_ms) {
            return range(key, value_ms, format!("a multiple of `step_ms` ({})", self.step_ms));
        }
        Ok(())
    }
}

impl MarketSpec {
    fn check(&self, key: &str) -> Result<(), SpecError> {
        let at = |name: &str| format!("{key}.{name}");
        for (name, text) in [
            ("venue", &self.venue),
            ("symbol", &self.symbol),
            ("base", &self.base),
            ("quote", &self.quote),
        ] {
            if text.is_empty() || text.chars().any(char::is_whitespace) {
                return range(&at(name), format!("{text:?}"), "a name without spaces");
            }
        }
        whole(&at("every_ms"), self.every_ms, 1, 3_600_000)?;
        let offset = self.clock_offset_ms;
        if offset.unsigned_abs() > 86_400_000 {
            return range(&at("clock_offset_ms"), offset, "-86400000 to 86400000");
        }
        self.latency.check(&at("latency"))?;
        let book = &self.book;
        whole(&at("book.levels"), book.levels as u64, 1, 1000)?;
        within(&at("book.spread_bps"), book.spread_bps, 0.0, 1000.0)?;
        within(&at("book.spread_sigma"), book.spread_sigma, 0.0, 3.0)?;
        within(&at("book.gap_bps"), book.gap_bps, 0.0, 1000.0)?;
        within(&at("book.growth"), book.growth, 0.1, 10.0)?;
        within(&at("book.qty_sigma"), book.qty_sigma, 0.0, 3.0)?;
        within(&at("book.refresh"), book.refresh, 0.0, 1.0)?;
        for (name, qty) in [("book.qty_step", book.qty_step), ("book.top_qty", book.top_qty)] {
            // Far below the range of a quantity, so that growth and the log-normal have room.
            if qty.is_zero() || qty.raw() > 1_000_000_000 * crossbook_engine::units::SCALE {
                return range(&at(name), qty, "more than zero, at most 1000000000");
            }
        }
        if let Some(trades) = &self.trades {
            within(&at("trades.per_s"), trades.per_s, 0.0, 10_000.0)?;
            within(&at("trades.sigma"), trades.sigma, 0.0, 3.0)?;
        }
        if let Some(outages) = &self.outages {
            within(&at("outages.per_day"), outages.per_day, 0.0, 10_000.0)?;
            within(&at("outages.mean_s"), outages.mean_s, 0.001, 1e7)?;
            let mut last = 0;
            for (index, outage) in outages.at.iter().enumerate() {
                let name = at(&format!("outages.at[{index}]"));
                whole(&format!("{name}.for_s"), outage.for_s, 1, MAX_DURATION_S)?;
                whole(&format!("{name}.at_s"), outage.at_s, last, MAX_DURATION_S)?;
                last = outage.at_s + outage.for_s;
            }
        }
        if let Some(funding) = &self.funding {
            if self.kind != VenueKind::Perpetual {
                return rule(&at("funding"), "only a perpetual has funding");
            }
            whole(&at("funding.every_s"), funding.every_s, 1, 86_400 * 7)?;
            within(&at("funding.mean_bps"), funding.mean_bps, -1000.0, 1000.0)?;
            within(&at("funding.sd_bps"), funding.sd_bps, 0.0, 1000.0)?;
        }
        Ok(())
    }
}

impl LatencySpec {
    fn check(&self, key: &str) -> Result<(), SpecError> {
        within(&format!("{key}.median_ms"), self.median_ms, 0.0, 60_000.0)?;
        within(&format!("{key}.sigma"), self.sigma, 0.0, 3.0)
    }
}

fn within(key: &str, value: f64, low: f64, high: f64) -> Result<(), SpecError> {
    if (low..=high).contains(&value) {
        Ok(())
    } else {
        range(key, value, format!("{low} to {high}"))
    }
}

fn whole(key: &str, value: u64, low: u64, high: u64) -> Result<(), SpecError> {
    if (low..=high).contains(&value) {
        Ok(())
    } else {
        range(key, value, format!("{low} to {high}"))
    }
}

fn range(key: &str, value: impl ToString, allowed: impl Into<String>) -> Result<(), SpecError> {
    Err(SpecError::Range {
        key: key.into(),
        value: value.to_string(),
        allowed: allowed.into(),
    })
}

fn rule(key: &str, rule: impl Into<String>) -> Result<(), SpecError> {
    Err(SpecError::Rule {
        key: key.into(),
        rule: rule.into(),
    })
}
