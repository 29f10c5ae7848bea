//! From a scenario and its datasets to an engine, simulated venues and streams: names become ids, defaults become rules,
//! and whatever does not fit together is refused.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crossbook_engine::engine::{Class, EngineConfig, FxConfig, FxSource, Target, VenueConfig};
use crossbook_engine::instrument::{CurrencyId, Instrument, InstrumentId, TickRule, VenueId, VenueKind};
use crossbook_engine::order::Leg;
use crossbook_engine::risk::{GlobalLimits, Limits, RouteLimits, SymbolLimits, VenueLimits};
use crossbook_engine::sim::{self, FeeRule, SimConfig};
use crossbook_engine::spread::FairModel;
use crossbook_engine::strategy::{OrderStyle, RouteConfig, Size, StrategyConfig};
use crossbook_engine::units::{Amount, Bps, FxRate, Price, Qty, TimestampNs};

use crate::config::{self, Scenario};
use crate::dataset::DatasetError;
use crate::dataset::manifest::{DatasetKind, Manifest};
use crate::dataset::reader::Dataset;

/// Why a scenario and its datasets do not fit together.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A dataset cannot be opened.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// A key of the scenario does not fit the datasets or the other keys.
    #[error("{}: {key}: {message}", path.display())]
    Key {
        /// The scenario file.
        path: PathBuf,
        /// The key.
        key: String,
        /// What is wrong, and what is allowed.
        message: String,
    },
}

/// A dataset and what it feeds.
pub struct Input {
    /// Its name in the scenario.
    pub name: String,
    /// The open dataset.
    pub dataset: Dataset,
    /// What its messages feed.
    pub target: Target,
}

/// Names of everything that has an id.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// Venues.
    pub venues: Vec<String>,
    /// Instruments, as `venue:symbol`.
    pub instruments: Vec<String>,
    /// Currencies and position units.
    pub currencies: Vec<String>,
    /// Routes, as `a / b`.
    pub routes: Vec<String>,
}

/// Everything that a replay is made from.
pub struct Setup {
    /// For the engine.
    pub engine: EngineConfig,
    /// For the simulated venues.
    pub sim: SimConfig,
    /// Streams, in the order that breaks ties.
    pub inputs: Vec<Input>,
    /// Names by id.
    pub names: Names,
    /// The scenario with its datasets named so that they are found again from the same working directory.
    pub resolved: Scenario,
    /// What a reader of the results must know.
    pub warnings: Vec<String>,
    /// The window, open ends filled from the datasets; `None` when no dataset has a message.
    pub window: Option<(TimestampNs, TimestampNs)>,
}

/// Currencies of the dollar's kind: what a rate "KRW per USD" may stand for one to one.
const DOLLARS: [&str; 8] = ["USD", "USDT", "USDC", "FDUSD", "TUSD", "BUSD", "DAI", "USDP"];

struct Builder<'a> {
    path: &'a Path,
    scenario: &'a Scenario,
}

impl Builder<'_> {
    fn fail(&self, key: impl Into<String>, message: impl Into<String>) -> SetupError {
        SetupError::Key {
            path: self.path.to_owned(),
            key: key.into(),
            message: message.into(),
        }
    }
}

/// Opens the datasets and makes everything of one size: a scenario that gets through can be replayed.
///
/// # Errors
/// [`SetupError`], naming the dataset's file or the scenario's key.
pub fn prepare(path: &Path, scenario: &Scenario, data_root: Option<&Path>) -> Result<Setup, SetupError> {
    let builder = Builder { path, scenario };
    let (datasets, found) = builder.open(data_root)?;
    let mut warnings = Vec::new();

    let venues: Vec<String> = scenario.venues.keys().cloned().collect();
    let instruments = builder.instrument_names(&datasets)?;
    let (currencies, classes, fx_pair) = builder.currencies(&datasets, &instruments)?;
    let currency = |name: &str| CurrencyId(currencies.iter().position(|known| known == name).unwrap_or(0) as u16);
    let specs = builder.instruments(&datasets, &instruments, &venues, &currency)?;
    let fx = builder.fx(&instruments, &classes, &mut warnings, fx_pair.as_deref(), &currencies)?;
    let inputs = builder.inputs(datasets, &instruments, &fx)?;
    let routes = builder.routes(&instruments, &specs, &venues, &currencies)?;
    let window = builder.window(&inputs);
    let days = builder.days(window)?;
    let opening = builder.opening(&venues, &currencies, &classes, &specs)?;
    let sample_ns = match (scenario.report.sample_s, window) {
        (Some(seconds), _) => seconds_ns(seconds),
        (None, Some((from, to))) => round_step(to.since(from) / 2_000),
        (None, None) => 1_000_000_000,
    };
    if scenario.execution.fill_model == sim::FillModel::Top {
        warnings.push(
            "fill_model = \"top\" fills any size at the best price: results are too good and only for comparison"
                .to_owned(),
        );
    }
    let engine = EngineConfig {
        venues: scenario
            .venues
            .values()
            .map(|venue| VenueConfig {
                kind: kind(venue.kind),
                taker_fee: Bps::from_bps(venue.taker_fee_bps),
                max_leverage: venue
                    .max_leverage
                    .map(|times| i64::from(times) * crossbook_engine::units::SCALE),
            })
            .collect(),
        instruments: specs.clone(),
        classes,
        base_currency: currency(&scenario.base_currency),
        opening,
        fx,
        limits: builder.limits(&currencies)?,
        days,
        sample_ns,
        routes,
    };
    let sim = builder.sim(&engine, &currency)?;
    let names = Names {
        routes: scenario
            .routes
            .iter()
            .map(|route| format!("{} / {}", route.a, route.b))
            .collect(),
        venues,
        instruments,
        currencies,
    };
    let resolved = Scenario {
        datasets: found,
        ..scenario.clone()
    };
    Ok(Setup {
        engine,
        sim,
        inputs,
        names,
        resolved,
        warnings,
        window,
    })
}

impl Builder<'_> {
    /// The datasets with their names, and how each can be named from the working directory.
    #[allow(clippy::type_complexity)] // two lists of one pass over the same names
    fn open(&self, data_root: Option<&Path>) -> Result<(Vec<(String, Dataset)>, Vec<String>), SetupError> {
        let mut seen = BTreeSet::new();
        let beside = self.path.parent().unwrap_or(Path::new("."));
        let mut datasets = Vec::new();
        let mut found = Vec::new();
        for name in &self.scenario.datasets {
            if !seen.insert(name) {
                return Err(self.fail("datasets", format!("`{name}` is named twice")));
            }
            let here = beside.join(name);
            let dataset = if here.join(crate::dataset::manifest::MANIFEST_FILE).is_file() {
                found.push(here.display().to_string());
                Dataset::open(&here)?
            } else {
                found.push(name.clone());
                Dataset::resolve(name, data_root).map_err(|error| match error {
                    DatasetError::Unknown { name, mut tried } => {
                        if !tried.contains(&here) {
                            tried.insert(0, here);
                        }
                        DatasetError::Unknown { name, tried }
                    }
                    other => other,
                })?
            };
            datasets.push((name.clone(), dataset));
        }
        Ok((datasets, found))
    }

    /// All instruments that have a book or trades, sorted: ids depend on names alone.
    fn instrument_names(&self, datasets: &[(String, Dataset)]) -> Result<Vec<String>, SetupError> {
        let mut names = BTreeSet::new();
        for (name, dataset) in datasets {
            let manifest = dataset.manifest();
            if manifest.kind == DatasetKind::Fx {
                continue;
            }
            if !self.scenario.venues.contains_key(&manifest.venue) {
                let known: Vec<&str> = self.scenario.venues.keys().map(String::as_str).collect();
                let message = format!(
                    "dataset `{name}` is of venue `{}`, which has no [venues.{}]; there are: {}",
                    manifest.venue,
                    manifest.venue,
                    known.join(", ")
                );
                return Err(self.fail("venues", message));
            }
            names.insert(instrument_name(manifest));
        }
        for key in self.scenario.instruments.keys() {
            if !names.contains(key) {
                return Err(self.fail(format!("instruments.\"{key}\""), unknown_instrument(key, &names)));
            }
        }
        for (index, route) in self.scenario.routes.iter().enumerate() {
            for (leg, name) in [("a", &route.a), ("b", &route.b)] {
                if !names.contains(name) {
                    return Err(self.fail(format!("routes[{index}].{leg}"), unknown_instrument(name, &names)));
                }
            }
            if route.a == route.b {
                return Err(self.fail(format!("routes[{index}]"), "both legs are the same instrument"));
            }
        }
        Ok(names.into_iter().collect())
    }

    /// Currencies by id, what each is, and the rate's pair as `FOREIGN/HOME`.
    #[allow(clippy::type_complexity)] // three results of one pass over the same names
    fn currencies(
        &self,
        datasets: &[(String, Dataset)],
        instruments: &[String],
    ) -> Result<(Vec<String>, Vec<Class>, Option<String>), SetupError> {
        let mut money = BTreeSet::from([self.scenario.base_currency.clone()]);
        let mut coins = BTreeSet::new();
        for (_, dataset) in datasets {
            let manifest = dataset.manifest();
            if manifest.kind == DatasetKind::Fx {
                continue;
            }
            money.insert(manifest.quote.clone());
            coins.insert(self.position_unit(manifest));
        }
        for venue in self.scenario.venues.values() {
            if let config::FeeCurrency::Fixed { currency, .. } = &venue.fee_currency {
                coins.insert(currency.clone());
            }
        }
        // The other side of the rate: what the source says, or what is quoted.
        let pair = self.fx_pair(datasets, instruments, &money)?;
        let (foreign, home) = match &pair {
            Some((foreign, home)) => (foreign.clone(), home.clone()),
            None => (self.scenario.base_currency.clone(), self.scenario.base_currency.clone()),
        };
        let is = |name: &str, of: &str| name == of || (DOLLARS.contains(&name) && DOLLARS.contains(&of));
        coins.retain(|coin| !money.contains(coin));
        // The coin that the rate's instrument trades (USDT of KRW-USDT) is money.
        let names: BTreeSet<String> = money.iter().chain(&coins).cloned().collect();
        let mut classes = Vec::new();
        for name in &names {
            let class = if is(name, &home) {
                Class::Home
            } else if is(name, &foreign) {
                Class::Foreign
            } else if coins.contains(name) {
                Class::Coin
            } else if self.scenario.fx.is_none() {
                return Err(self.fail(
                    "fx",
                    format!(
                        "needed: `{name}` and `{}` are both used as money, and nothing says what one is worth in the other",
                        self.scenario.base_currency
                    ),
                ));
            } else {
                return Err(self.fail(
                    "fx.source",
                    format!("gives {foreign}/{home}, which does not say what `{name}` is worth"),
                ));
            };
            classes.push(class);
        }
        Ok((
            names.into_iter().collect(),
            classes,
            pair.map(|(foreign, home)| format!("{foreign}/{home}")),
        ))
    }

    /// The rate's `(foreign, home)`: it counts units of home per unit of foreign.
    fn fx_pair(
        &self,
        datasets: &[(String, Dataset)],
        instruments: &[String],
        money: &BTreeSet<String>,
    ) -> Result<Option<(String, String)>, SetupError> {
        let Some(fx) = &self.scenario.fx else { return Ok(None) };
        if FxRate::parse(&fx.source).is_ok() {
            let base = &self.scenario.base_currency;
            let dollars = |name: &str| DOLLARS.contains(&name);
            // A constant counts KRW per dollar, whichever of the two the results are in.
            let other = money.iter().find(|name| dollars(name) != dollars(base));
            return Ok(other.map(|other| {
                if dollars(base) {
                    (base.clone(), other.clone())
                } else {
                    (other.clone(), base.clone())
                }
            }));
        }
        let of = |manifest: &Manifest| Some((manifest.base.clone(), manifest.quote.clone()));
        if instruments.contains(&fx.source) {
            let found = datasets
                .iter()
                .find(|(_, d)| d.manifest().kind != DatasetKind::Fx && instrument_name(d.manifest()) == fx.source);
            return Ok(found.and_then(|(_, dataset)| of(dataset.manifest())));
        }
        let named = |(name, dataset): &&(String, Dataset)| {
            dataset.manifest().kind == DatasetKind::Fx && (*name == fx.source || dataset.manifest().name == fx.source)
        };
        match datasets.iter().find(named) {
            Some((_, dataset)) => Ok(of(dataset.manifest())),
            None => {
                let rates: Vec<&str> = datasets
                    .iter()
                    .filter(|(_, d)| d.manifest().kind == DatasetKind::Fx)
                    .map(|(name, _)| name.as_str())
                    .collect();
                Err(self.fail(
                    "fx.source",
                    format!(
                        "`{}` is neither a decimal number nor an instrument ({}) nor a rate dataset of this scenario ({})",
                        fx.source,
                        instruments.join(", "),
                        rates.join(", ")
                    ),
                ))
            }
        }
    }

    fn position_unit(&self, manifest: &Manifest) -> String {
        let venue = self.scenario.venues.get(&manifest.venue);
        match venue.map(|venue| venue.kind) {
            Some(config::VenueKind::Perpetual) => format!("{}:{}-PERP", manifest.venue, manifest.symbol),
            _ => manifest.base.clone(),
        }
    }

    fn instruments(
        &self,
        datasets: &[(String, Dataset)],
        names: &[String],
        venues: &[String],
        currency: &impl Fn(&str) -> CurrencyId,
    ) -> Result<Vec<Instrument>, SetupError> {
        let mut specs = Vec::new();
        for name in names {
            let mut rules = config::Rules::default();
            let mut of_name = datasets
                .iter()
                .map(|(_, d)| d.manifest())
                .filter(|m| m.kind != DatasetKind::Fx && instrument_name(m) == *name);
            let Some(first) = of_name.next() else { continue };
            for manifest in std::iter::once(first).chain(of_name) {
                if (&manifest.base, &manifest.quote) != (&first.base, &first.quote) {
                    return Err(self.fail("datasets", format!("two datasets of `{name}` differ in base or quote")));
                }
                rules.tick = rules.tick.or(manifest.rules.tick);
                rules.lot = rules.lot.or(manifest.rules.lot);
                rules.min_qty = rules.min_qty.or(manifest.rules.min_qty);
                rules.min_notional = rules.min_notional.or(manifest.rules.min_notional);
            }
            if let Some(own) = self.scenario.instruments.get(name) {
                rules.tick = own.tick.or(rules.tick);
                rules.lot = own.lot.or(rules.lot);
                rules.min_qty = own.min_qty.or(rules.min_qty);
                rules.min_notional = own.min_notional.or(rules.min_notional);
            }
            let venue = venues.iter().position(|venue| *venue == first.venue).unwrap_or(0);
            specs.push(Instrument {
                venue: VenueId(venue as u8),
                symbol: first.symbol.clone(),
                base: currency(&self.position_unit(first)),
                quote: currency(&first.quote),
                tick: rules.tick.map_or(TickRule::Fixed(Price::ONE_STEP), |tick| tick.rule()),
                lot: rules.lot.unwrap_or(Qty::ZERO),
                min_qty: rules.min_qty.unwrap_or(Qty::ZERO),
                min_notional: rules.min_notional.unwrap_or(Amount::ZERO),
            });
        }
        Ok(specs)
    }

    fn fx(
        &self,
        instruments: &[String],
        classes: &[Class],
        warnings: &mut Vec<String>,
        pair: Option<&str>,
        currencies: &[String],
    ) -> Result<FxConfig, SetupError> {
        let Some(fx) = &self.scenario.fx else {
            return Ok(FxConfig {
                source: FxSource::NotNeeded,
                max_age_ns: i64::MAX,
                band: None,
            });
        };
        let source = if let Ok(rate) = FxRate::parse(&fx.source) {
            warnings.push(format!(
                "the exchange rate is the constant {}: its movements are missing from every result",
                fx.source
            ));
            FxSource::Constant(rate)
        } else if let Some(index) = instruments.iter().position(|name| *name == fx.source) {
            FxSource::Instrument(InstrumentId(index as u16))
        } else {
            FxSource::Series
        };
        if let Some((foreign, _)) = pair.and_then(|pair| pair.split_once('/')) {
            let same: Vec<&str> = currencies
                .iter()
                .zip(classes)
                .filter(|(name, class)| **class == Class::Foreign && name.as_str() != foreign)
                .map(|(name, _)| name.as_str())
                .collect();
            if !same.is_empty() {
                warnings.push(format!("{} counted as one {foreign} each", same.join(", ")));
            }
        }
        let max_age_ns = i64::try_from(fx.max_age_ms)
            .unwrap_or(i64::MAX)
            .saturating_mul(1_000_000);
        Ok(FxConfig {
            source,
            max_age_ns,
            band: fx.band,
        })
    }

    fn inputs(
        &self,
        datasets: Vec<(String, Dataset)>,
        instruments: &[String],
        fx: &FxConfig,
    ) -> Result<Vec<Input>, SetupError> {
        let mut inputs = Vec::new();
        let source = self.scenario.fx.as_ref().map(|fx| fx.source.as_str());
        for (name, dataset) in datasets {
            let manifest = dataset.manifest();
            let unused = |what: &str| self.fail("datasets", format!("`{name}` is used by {what}"));
            let target = if manifest.kind == DatasetKind::Fx {
                if fx.source != FxSource::Series || source.is_none_or(|s| s != name && s != manifest.name) {
                    return Err(unused("nothing: fx.source names another rate"));
                }
                Target::Fx
            } else {
                let instrument = instrument_name(manifest);
                let index = instruments.iter().position(|known| *known == instrument).unwrap_or(0);
                let in_route = self
                    .scenario
                    .routes
                    .iter()
                    .any(|r| r.a == instrument || r.b == instrument);
                if !in_route && source != Some(instrument.as_str()) {
                    return Err(unused("no route and is not the exchange rate"));
                }
                Target::Instrument(InstrumentId(index as u16))
            };
            inputs.push(Input { name, dataset, target });
        }
        // Ties between equal receive times are broken by what a stream feeds, not by the order of a list in a file.
        inputs.sort_by_key(|input| match input.target {
            Target::Fx => (0, 0, input.name.clone()),
            Target::Instrument(id) => (1, id.0, input.name.clone()),
        });
        Ok(inputs)
    }

    fn routes(
        &self,
        instruments: &[String],
        specs: &[Instrument],
        venues: &[String],
        currencies: &[String],
    ) -> Result<Vec<RouteConfig>, SetupError> {
        let mut routes = Vec::new();
        for (index, route) in self.scenario.routes.iter().enumerate() {
            let key = format!("routes[{index}]");
            let find = |name: &str| instruments.iter().position(|known| known == name).unwrap_or(0);
            let (a, b) = (find(&route.a), find(&route.b));
            let strategy = self
                .scenario
                .strategy_of(route)
                .map_err(|error| self.fail(&key, error))?;
            let fees = |spec: &Instrument| {
                let venue = &self.scenario.venues[&venues[spec.venue.index()]];
                let taker = Bps::from_bps(venue.taker_fee_bps);
                (taker, venue.maker_fee_bps.map_or(taker, Bps::from_bps))
            };
            let ((taker_a, maker_a), (taker_b, maker_b)) = (fees(&specs[a]), fees(&specs[b]));
            let entry = match self.scenario.execution.entry {
                config::EntryKind::Taker => taker_a + taker_b,
                config::EntryKind::MakerA => maker_a + taker_b,
                config::EntryKind::MakerB => taker_a + maker_b,
            };
            let quotes = [a, b].map(|leg| currencies[specs[leg].quote.index()].as_str());
            let lot = common_multiple(specs[a].lot, specs[b].lot)
                .ok_or_else(|| self.fail(&key, "the lots of both legs have no usable common multiple"))?;
            routes.push(RouteConfig {
                a: InstrumentId(a as u16),
                b: InstrumentId(b as u16),
                fees: entry + taker_a + taker_b,
                lot,
                strategy: self.strategy(&key, &strategy, quotes)?,
            });
        }
        Ok(routes)
    }

    fn strategy(
        &self,
        key: &str,
        strategy: &config::Strategy,
        quotes: [&str; 2],
    ) -> Result<StrategyConfig, SetupError> {
        use crossbook_engine::records::Direction;
        let execution = &self.scenario.execution;
        let (fair, warmup_ns) = match strategy.fair_premium {
            config::FairPremium::Zero {} => (FairModel::Zero, 0),
            config::FairPremium::Constant { bps } => (FairModel::Constant(Bps::from_bps(bps)), 0),
            config::FairPremium::Ewma { half_life_s, warmup_s } => (
                FairModel::Ewma {
                    half_life_ns: seconds_ns(half_life_s),
                },
                seconds_ns(warmup_s),
            ),
        };
        let size = match (
            &strategy.size.notional,
            &strategy.size.quantity,
            &strategy.size.fraction,
        ) {
            (Some(amount), ..) => {
                let currency = strategy.size.currency.as_deref().unwrap_or_default();
                let leg = match quotes.iter().position(|quote| *quote == currency) {
                    Some(0) => Leg::A,
                    Some(_) => Leg::B,
                    None => {
                        let allowed = quotes.join(" or ");
                        return Err(self.fail(
                            format!("{key} strategy.size.currency"),
                            format!("`{currency}` is not the quote currency of a leg: {allowed} is allowed"),
                        ));
                    }
                };
                Size::Notional { amount: *amount, leg }
            }
            (_, Some(qty), _) => Size::Quantity(*qty),
            (_, _, Some(share)) => Size::Fraction(Bps::from_raw(share.raw())),
            _ => return Err(self.fail(format!("{key} strategy.size"), "is empty")),
        };
        Ok(StrategyConfig {
            fair,
            warmup_ns,
            entry: Bps::from_bps(strategy.entry_bps),
            exit: Bps::from_bps(strategy.exit_bps),
            take_profit: strategy.take_profit_bps.map(Bps::from_bps),
            stop: strategy.stop_bps.map(Bps::from_bps),
            max_hold_ns: strategy.max_hold_s.map(seconds_ns),
            slippage: Bps::from_bps(strategy.slippage_bps),
            size,
            sell_a: strategy.directions.contains(&Direction::SellA),
            buy_a: strategy.directions.contains(&Direction::BuyA),
            pricing: execution.fill_model,
            style: match execution.order {
                config::OrderKind::Market => OrderStyle::Market,
                config::OrderKind::Limit => OrderStyle::Limit {
                    collar: Bps::from_bps(execution.limit_collar_bps),
                },
            },
            leg_policy: execution.leg_policy,
            maker: match execution.entry {
                config::EntryKind::Taker => None,
                config::EntryKind::MakerA => Some(Leg::A),
                config::EntryKind::MakerB => Some(Leg::B),
            },
            leg_timeout_ns: i64::try_from(execution.leg_timeout_ms)
                .unwrap_or(i64::MAX)
                .saturating_mul(1_000_000),
        })
    }
}

impl Builder<'_> {
    fn window(&self, inputs: &[Input]) -> Option<(TimestampNs, TimestampNs)> {
        let spans = inputs.iter().filter_map(|input| input.dataset.manifest().span.as_ref());
        let (first, last) = spans.fold((i64::MAX, i64::MIN), |(first, last), span| {
            (first.min(span.first_recv_ns), last.max(span.last_recv_ns))
        });
        if first > last {
            return None;
        }
        let window = self.scenario.window.as_ref();
        let from = window
            .and_then(|w| w.from)
            .map_or(first, |from| timestamp(from).0.max(first));
        let to = window
            .and_then(|w| w.to)
            .map_or(last.saturating_add(1), |to| timestamp(to).0.min(last + 1));
        Some((TimestampNs(from), TimestampNs(to)))
    }

    /// Midnights of the configured zone within the window.
    fn days(&self, window: Option<(TimestampNs, TimestampNs)>) -> Result<Vec<TimestampNs>, SetupError> {
        let name = self.scenario.risk.day_zone.as_deref().unwrap_or("Asia/Seoul");
        let zone = jiff::tz::TimeZone::get(name).map_err(|_| {
            self.fail(
                "risk.day_zone",
                format!("`{name}` is not an IANA time zone (Asia/Seoul, UTC)"),
            )
        })?;
        let mut days = Vec::new();
        let Some((from, to)) = window else { return Ok(days) };
        let outside = |error: jiff::Error| self.fail("window", format!("is outside the calendar: {error}"));
        let start = jiff::Timestamp::from_nanosecond(i128::from(from.0)).map_err(outside)?;
        let mut day = start.to_zoned(zone.clone()).date();
        loop {
            day = day.tomorrow().map_err(outside)?;
            let midnight = day.to_zoned(zone.clone()).map_err(outside)?.timestamp();
            let midnight = timestamp(midnight);
            if midnight >= to {
                return Ok(days);
            }
            days.push(midnight);
        }
    }

    fn opening(
        &self,
        venues: &[String],
        currencies: &[String],
        classes: &[Class],
        specs: &[Instrument],
    ) -> Result<Vec<(VenueId, CurrencyId, Amount)>, SetupError> {
        let mut opening = Vec::new();
        for (index, name) in venues.iter().enumerate() {
            for (currency, amount) in &self.scenario.venues[name].balances {
                let known = currencies
                    .iter()
                    .position(|known| known == currency)
                    .filter(|&id| classes[id] != Class::Coin || specs.iter().any(|spec| spec.base.index() == id));
                let Some(id) = known else {
                    let message = format!("no market of this scenario says what `{currency}` is worth");
                    return Err(self.fail(format!("venues.{name}.balances.{currency}"), message));
                };
                opening.push((VenueId(index as u8), CurrencyId(id as u16), *amount));
            }
        }
        Ok(opening)
    }

    fn limits(&self, currencies: &[String]) -> Result<Limits, SetupError> {
        let risk = &self.scenario.risk;
        let allow = match &risk.symbol.allow {
            None => None,
            Some(names) => {
                let mut ids = Vec::new();
                for name in names {
                    match currencies.iter().position(|known| known == name) {
                        Some(id) => ids.push(CurrencyId(id as u16)),
                        None => return Err(self.fail("risk.symbol.allow", format!("`{name}` is traded on no route"))),
                    }
                }
                Some(ids)
            }
        };
        Ok(Limits {
            venue: VenueLimits {
                max_book_age_ns: i64::try_from(risk.venue.max_book_age_ms)
                    .unwrap_or(i64::MAX)
                    .saturating_mul(1_000_000),
                max_orders_per_second: risk.venue.max_orders_per_second,
                max_open_orders: risk.venue.max_open_orders,
                max_daily_loss: risk.venue.max_daily_loss,
            },
            route: RouteLimits {
                max_consecutive_losses: risk.route.max_consecutive_losses,
                cooldown_ns: risk.route.cooldown_s.map_or(0, seconds_ns),
                max_abs_premium: Some(Bps::from_bps(risk.route.max_abs_premium_bps)),
                max_trips_per_hour: risk.route.max_trips_per_hour,
                max_order_notional: risk.route.max_order_notional,
            },
            symbol: SymbolLimits {
                max_exposure: risk.symbol.max_exposure,
                max_move: risk.symbol.max_move_bps.map(Bps::from_bps),
                move_window_ns: risk.symbol.move_window_s.map_or(0, seconds_ns),
                allow,
            },
            global: GlobalLimits {
                max_daily_loss: risk.global.max_daily_loss,
                max_drawdown: risk.global.max_drawdown,
                max_exposure: risk.global.max_exposure,
                max_imbalance: risk.global.max_imbalance,
                max_open_trades: risk.global.max_open_trades,
            },
        })
    }

    fn sim(&self, engine: &EngineConfig, currency: &impl Fn(&str) -> CurrencyId) -> Result<SimConfig, SetupError> {
        let execution = &self.scenario.execution;
        let venues = self.scenario.venues.values().map(|venue| sim::VenueConfig {
            kind: kind(venue.kind),
            taker_fee: Bps::from_bps(venue.taker_fee_bps),
            maker_fee: Bps::from_bps(venue.maker_fee_bps.unwrap_or(venue.taker_fee_bps)),
            fee_rule: match &venue.fee_currency {
                config::FeeCurrency::Quote => FeeRule::Quote,
                config::FeeCurrency::Received => FeeRule::Received,
                config::FeeCurrency::Fixed { currency: name, price } => FeeRule::Fixed {
                    currency: currency(name),
                    price: *price,
                },
            },
            order_latency: latency(venue.order_latency),
            report_latency: latency(venue.report_latency),
            max_leverage: venue.max_leverage,
            queue_model: match execution.queue_model {
                config::QueueModel::RiskAdverse => sim::QueueModel::RiskAdverse,
                config::QueueModel::Prob => sim::QueueModel::Prob {
                    exponent: execution.queue_exponent,
                },
            },
        });
        let config = SimConfig {
            venues: venues.collect(),
            instruments: engine.instruments.clone(),
            currencies: engine.classes.len(),
            fill_model: execution.fill_model,
            seed: self.scenario.seed,
        };
        // Names the venue by its key, where the model only knows its number.
        for (index, name) in self.scenario.venues.keys().enumerate() {
            let one = SimConfig {
                venues: config.venues.clone(),
                instruments: Vec::new(),
                ..config
            };
            if let Err(error) = one.validate()
                && error.to_string().contains(&format!("venue {index}:"))
            {
                return Err(self.fail(format!("venues.{name}"), error.to_string()));
            }
        }
        config
            .validate()
            .map_err(|error| self.fail("venues", error.to_string()))?;
        Ok(config)
    }
}

/// `venue:symbol`.
fn instrument_name(manifest: &Manifest) -> String {
    format!("{}:{}", manifest.venue, manifest.symbol)
}

fn unknown_instrument(name: &str, known: &BTreeSet<String>) -> String {
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    format!("`{name}` is in none of the datasets; there are: {}", known.join(", "))
}

fn kind(kind: config::VenueKind) -> VenueKind {
    match kind {
        config::VenueKind::Spot => VenueKind::Spot,
        config::VenueKind::Perpetual => VenueKind::Perpetual,
    }
}

fn latency(latency: config::Latency) -> sim::Latency {
    let ns = |ms: f64| (ms * 1e6).round() as i64;
    match latency {
        config::Latency::Constant { ms } => sim::Latency::Constant { ns: ns(ms) },
        config::Latency::Lognormal { median_ms, sigma } => sim::Latency::LogNormal {
            median_ns: ns(median_ms),
            sigma,
        },
        config::Latency::Recorded { multiple } => sim::Latency::Recorded { multiple },
    }
}

fn seconds_ns(seconds: f64) -> i64 {
    (seconds * 1e9).round() as i64
}

/// The instant of a calendar time, held at the ends of the range of 64 bits of nanoseconds.
fn timestamp(time: jiff::Timestamp) -> TimestampNs {
    let ns = time.as_nanosecond().clamp(i128::from(i64::MIN), i128::from(i64::MAX));
    TimestampNs(ns as i64)
}

/// The next of 0.1, 0.2, 0.5, 1, 2, 5, 10 … seconds that is not shorter, so that samples fall on round times.
fn round_step(span_ns: i64) -> i64 {
    let mut decade = 100_000_000i64;
    loop {
        if let Some(times) = [1, 2, 5]
            .into_iter()
            .find(|times| decade.saturating_mul(*times) >= span_ns)
        {
            return decade.saturating_mul(times);
        }
        decade = decade.saturating_mul(10);
    }
}

/// Least common multiple of two steps in 1e-8; a zero step means 1e-8.
fn common_multiple(a: Qty, b: Qty) -> Option<Qty> {
    let (a, b) = (a.raw().max(1), b.raw().max(1));
    let (mut x, mut y) = (a, b);
    while y != 0 {
        (x, y) = (y, x % y);
    }
    Qty::from_raw((a / x).checked_mul(b)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lots_combine_to_their_least_common_multiple() {
        let qty = |text| Qty::parse(text).unwrap();
        let cases = [
            ("0.001", "0.01", Some("0.01")),
            ("0.01", "0.001", Some("0.01")),
            ("0.03", "0.02", Some("0.06")),
            ("0", "0.001", Some("0.001")),
            ("0", "0", Some("0.00000001")),
            ("90000000000", "80000000001", None),
        ];
        for (a, b, want) in cases {
            assert_eq!(common_multiple(qty(a), qty(b)), want.map(qty), "{a} {b}");
        }
    }

    #[test]
    fn sampling_steps_are_round() {
        let cases = [
            (1, 100_000_000),
            (150_000_000, 200_000_000),
            (21_000_000_000, 50_000_000_000),
        ];
        for (span, want) in cases {
            assert_eq!(round_step(span), want);
        }
    }
}
