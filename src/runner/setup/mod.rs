//! From a scenario and its datasets to an engine, simulated venues and streams: names become ids, defaults become rules,
//! and whatever does not fit together is refused.

mod names;
mod rules;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crossbook_engine::engine::{EngineConfig, FxConfig, FxSource, Target, VenueConfig};
use crossbook_engine::instrument::{CurrencyId, InstrumentId, VenueKind};
use crossbook_engine::sim::{self, SimConfig};
use crossbook_engine::units::{Bps, Qty, TimestampNs};

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

/// A dataset of a scenario, its rows apart: all that engine and venues are made from.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// Its name in the scenario.
    pub name: &'a str,
    /// What it says of itself.
    pub manifest: &'a Manifest,
}

/// The datasets of a scenario, opened and checked.
#[derive(Debug)]
pub struct Opened {
    /// By name in the scenario.
    pub datasets: Vec<(String, Dataset)>,
    /// How each is named so that it is found again from the same working directory.
    pub found: Vec<String>,
}

impl Opened {
    /// What the datasets say of themselves.
    pub fn sources(&self) -> Vec<Source<'_>> {
        self.datasets
            .iter()
            .map(|(name, dataset)| Source {
                name,
                manifest: dataset.manifest(),
            })
            .collect()
    }
}

/// Engine and venues of a scenario, without what depends on the window: [`EngineConfig::days`] is empty, and
/// [`EngineConfig::sample_ns`] is one second if the scenario does not say.
#[derive(Debug, Clone)]
pub struct Assembly {
    /// For the engine.
    pub engine: EngineConfig,
    /// For the simulated venues.
    pub sim: SimConfig,
    /// What each source feeds (its index, its target), in the order that breaks ties.
    pub targets: Vec<(usize, Target)>,
    /// Names by id.
    pub names: Names,
    /// What a reader of the results must know.
    pub warnings: Vec<String>,
}

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
    let opened = open(path, scenario, data_root)?;
    let sources = opened.sources();
    let Assembly {
        mut engine,
        sim,
        targets,
        names,
        warnings,
    } = assemble(path, scenario, &sources)?;
    let window = window(scenario, &sources, &targets);
    engine.days = days(path, scenario, window)?;
    engine.sample_ns = sample_ns(scenario, window);
    let mut datasets: Vec<Option<(String, Dataset)>> = opened.datasets.into_iter().map(Some).collect();
    let inputs = targets
        .into_iter()
        .filter_map(|(index, target)| {
            let (name, dataset) = datasets[index].take()?;
            Some(Input { name, dataset, target })
        })
        .collect();
    let resolved = Scenario {
        datasets: opened.found,
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

/// Opens and checks the datasets of a scenario.
///
/// # Errors
/// As [`prepare`].
pub fn open(path: &Path, scenario: &Scenario, data_root: Option<&Path>) -> Result<Opened, SetupError> {
    Builder { path, scenario }.open(data_root)
}

/// Makes engine and venues of a scenario: names to ids, defaults to rules. It touches no file, so that a tuning session can
/// afford it for every trial.
///
/// # Errors
/// [`SetupError::Key`].
pub fn assemble(path: &Path, scenario: &Scenario, sources: &[Source<'_>]) -> Result<Assembly, SetupError> {
    let builder = Builder { path, scenario };
    let mut warnings = Vec::new();
    let venues: Vec<String> = scenario.venues.keys().cloned().collect();
    let instruments = builder.instrument_names(sources)?;
    let (currencies, classes, fx_pair) = builder.currencies(sources, &instruments)?;
    let currency = |name: &str| CurrencyId(currencies.iter().position(|known| known == name).unwrap_or(0) as u16);
    let specs = builder.instruments(sources, &instruments, &venues, &currency)?;
    let fx = builder.fx(&instruments, &classes, &mut warnings, fx_pair.as_deref(), &currencies)?;
    let targets = builder.targets(sources, &instruments, &fx)?;
    let routes = builder.routes(&instruments, &specs, &venues, &currencies)?;
    let opening = builder.opening(&venues, &currencies, &classes, &specs)?;
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
        instruments: specs,
        classes,
        base_currency: currency(&scenario.base_currency),
        opening,
        fx,
        limits: builder.limits(&currencies)?,
        days: Vec::new(),
        sample_ns: sample_ns(scenario, None),
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
    Ok(Assembly {
        engine,
        sim,
        targets,
        names,
        warnings,
    })
}

/// The configured window, its open ends filled from the books: a rate series may be years longer.
pub fn window(
    scenario: &Scenario,
    sources: &[Source<'_>],
    targets: &[(usize, Target)],
) -> Option<(TimestampNs, TimestampNs)> {
    let books = targets.iter().filter(|(_, target)| *target != Target::Fx);
    let spans = books.filter_map(|(index, _)| sources[*index].manifest.span.as_ref());
    let (first, last) = spans.fold((i64::MAX, i64::MIN), |(first, last), span| {
        (first.min(span.first_recv_ns), last.max(span.last_recv_ns))
    });
    if first > last {
        return None;
    }
    let window = scenario.window.as_ref();
    let from = window
        .and_then(|w| w.from)
        .map_or(first, |from| timestamp(from).0.max(first));
    let to = window
        .and_then(|w| w.to)
        .map_or(last.saturating_add(1), |to| timestamp(to).0.min(last + 1));
    Some((TimestampNs(from), TimestampNs(to)))
}

/// Midnights of the scenario's time zone within the window.
///
/// # Errors
/// No such zone, or a window outside the calendar.
pub fn days(
    path: &Path,
    scenario: &Scenario,
    window: Option<(TimestampNs, TimestampNs)>,
) -> Result<Vec<TimestampNs>, SetupError> {
    Builder { path, scenario }.days(window)
}

/// How often a run of this window is sampled: what the scenario says, or about 2000 times.
pub fn sample_ns(scenario: &Scenario, window: Option<(TimestampNs, TimestampNs)>) -> i64 {
    match (scenario.report.sample_s, window) {
        (Some(seconds), _) => seconds_ns(seconds),
        (None, Some((from, to))) => round_step(to.since(from) / 2_000),
        (None, None) => 1_000_000_000,
    }
}

impl Builder<'_> {
    /// What each source feeds, in the order that breaks ties between equal receive times: by what a stream feeds, not by the
    /// order of a list in a file.
    fn targets(
        &self,
        sources: &[Source<'_>],
        instruments: &[String],
        fx: &FxConfig,
    ) -> Result<Vec<(usize, Target)>, SetupError> {
        let mut targets = Vec::new();
        let source = self.scenario.fx.as_ref().map(|fx| fx.source.as_str());
        for (at, Source { name, manifest }) in sources.iter().enumerate() {
            let unused = |what: &str| self.fail("datasets", format!("`{name}` is used by {what}"));
            let target = if manifest.kind == DatasetKind::Fx {
                if fx.source != FxSource::Series || source.is_none_or(|s| s != *name && s != manifest.name) {
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
            targets.push((at, target));
        }
        targets.sort_by_key(|&(at, target)| match target {
            Target::Fx => (0, 0, sources[at].name),
            Target::Instrument(id) => (1, id.0, sources[at].name),
        });
        Ok(targets)
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
