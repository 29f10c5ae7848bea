//! What all trials share: datasets decoded once, windows cut from them, calendars; and the search space tried at its corners,
//! so that a typing error costs no trial.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crossbook_engine::engine::{EngineConfig, FxSource, Target};
use crossbook_engine::event::{Chunk, ChunkError};
use crossbook_engine::sim::SimConfig;
use crossbook_engine::tape::Tape;
use crossbook_engine::units::TimestampNs;
use crossbook_tuner::space::{Domain, Params, Space};

use super::folds::{divide, period_ends, sample_step};
use super::streams::{Chunks, Span, constant_with_shock, cut, outages, with_outages, with_shock};
use super::{Case, EvaluateError, Evaluator, FoldWindows, InputHash, Loading};
use crate::config::Scenario;
use crate::dataset::manifest::Manifest;
use crate::dataset::reader::{Dataset, ReadOptions};
use crate::runner::replay::DEFAULT_MEMORY;
use crate::runner::setup::{self, Source};
use crate::tune::spec::params::{Template, corners, culprit};
use crate::tune::spec::{Mode, Spec};
use crate::tune::stress::Stress;

/// A scenario with its datasets, ready to take parameters.
pub(super) struct Base {
    path: PathBuf,
    template: Template,
    /// Name in the scenario, and what it says of itself.
    sources: Vec<(String, Manifest)>,
    targets: Vec<(usize, Target)>,
    /// Index of each source among the decoded datasets.
    decoded: Vec<usize>,
    span: Span,
    days: Vec<TimestampNs>,
    sample_ns: i64,
    fx: FxSource,
}

impl Base {
    pub fn scenario(&self) -> &Scenario {
        self.template.scenario()
    }

    /// The scenario with these parameters, validated.
    ///
    /// # Errors
    /// The key, and what is allowed.
    pub fn with(&self, params: &Params) -> Result<Scenario, String> {
        let scenario = self.template.with(params)?;
        scenario.validate(&self.path).map_err(|error| error.to_string())?;
        Ok(scenario)
    }

    /// Engine and venues of a scenario that differs from this one in parameters only.
    ///
    /// # Errors
    /// The key, and what is allowed.
    pub fn assemble(&self, scenario: &Scenario) -> Result<(EngineConfig, SimConfig), String> {
        let assembly =
            setup::assemble(&self.path, scenario, &sources(&self.sources)).map_err(|error| error.to_string())?;
        Ok((assembly.engine, assembly.sim))
    }
}

fn sources(named: &[(String, Manifest)]) -> Vec<Source<'_>> {
    named.iter().map(|(name, manifest)| Source { name, manifest }).collect()
}

/// One case's window, ready to be replayed.
pub(super) struct Window {
    pub span: Span,
    /// Streams in the order that breaks ties.
    pub streams: Vec<(Target, Chunks)>,
    /// The same on disk; `None` where stress has changed them.
    pub files: Option<Vec<(Target, Arc<Dataset>)>>,
    pub days: Vec<TimestampNs>,
    pub sample_ns: i64,
    /// Ends of the periods but the last.
    pub periods: Arc<[TimestampNs]>,
    /// The constant rate of the scenario is a stream here.
    pub constant_moves: bool,
    /// What every trial sees, computed once.
    pub tape: Option<Tape>,
}

impl Window {
    pub fn chunks(&self) -> impl Iterator<Item = &Arc<Chunk>> {
        self.streams.iter().flat_map(|(_, chunks)| chunks)
    }
}

/// A dataset in memory.
struct Decoded {
    dataset: Arc<Dataset>,
    name: String,
    /// What the scenarios need of it.
    span: Option<Span>,
    chunks: Chunks,
}

struct Preparing<'a> {
    spec: &'a Spec,
    data_root: Option<&'a Path>,
    warnings: Vec<String>,
    decoded: Vec<Decoded>,
    bases: Vec<Base>,
    cases: Vec<Case>,
}

pub(super) fn prepare(
    spec: &Spec,
    data_root: Option<&Path>,
    progress: &mut dyn FnMut(Loading<'_>),
) -> Result<Evaluator, EvaluateError> {
    let mut all = Preparing {
        spec,
        data_root,
        warnings: Vec::new(),
        decoded: Vec::new(),
        bases: Vec::new(),
        cases: Vec::new(),
    };
    for index in 0..spec.scenarios.len() {
        all.open(index)?;
    }
    all.name_cases()?;
    all.try_corners()?;
    let embargo_ns = all.embargo()?;
    let spans: Vec<(String, Span)> = all
        .bases
        .iter()
        .map(|base| (base.scenario().name.clone(), base.span))
        .collect();
    let division = divide(&spec.validation, embargo_ns, &spans)
        .map_err(|(key, message)| all.key(format!("validation.{key}"), message))?;
    all.compare_holding(division.period_ns, embargo_ns);
    all.decode(progress)?;
    let mut windows = Vec::new();
    for fold in &division.folds {
        let mut train: Vec<Arc<Window>> = Vec::new();
        for (index, case) in all.cases.iter().enumerate() {
            // Slower or dearer venues are rules over the same streams, and share them.
            let own = case.stress.as_ref().is_none_or(Stress::changes_data);
            let shared = all.cases[..index].iter().rposition(|other| other.stress.is_none());
            let window = match shared {
                Some(shared) if !own => Arc::clone(&train[shared]),
                _ => Arc::new(all.window(case, fold.windows[case.scenario].train, division.period_ns)?),
            };
            train.push(window);
        }
        let mut test = Vec::new();
        for (scenario, windows) in fold.windows.iter().enumerate() {
            if let Some(span) = windows.test {
                let plain = Case {
                    name: windows.scenario.clone(),
                    scenario,
                    stress: None,
                };
                test.push(Arc::new(all.window(&plain, span, division.period_ns)?));
            }
        }
        windows.push(FoldWindows { train, test });
    }
    let inputs = all
        .decoded
        .iter()
        .map(|decoded| InputHash {
            name: decoded.name.clone(),
            blake3: decoded.dataset.manifest().data.blake3.clone(),
        })
        .collect();
    Ok(Evaluator {
        objective: spec.objective.clone(),
        bases: all.bases,
        cases: all.cases,
        folds: division.folds,
        period_ns: division.period_ns,
        windows,
        inputs,
        warnings: all.warnings,
    })
}

impl Preparing<'_> {
    fn key(&self, key: impl Into<String>, message: impl Into<String>) -> EvaluateError {
        EvaluateError::Key {
            path: self.spec.path.clone(),
            key: key.into(),
            message: message.into(),
        }
    }

    /// Opens a scenario's datasets; one that another scenario has opened is shared.
    fn open(&mut self, index: usize) -> Result<(), EvaluateError> {
        let source = &self.spec.scenarios[index];
        let (path, scenario) = (&source.path, &source.scenario);
        let opened = setup::open(path, scenario, self.data_root)?;
        let named: Vec<(String, Manifest)> = opened
            .datasets
            .iter()
            .map(|(name, dataset)| (name.clone(), dataset.manifest().clone()))
            .collect();
        let assembly = setup::assemble(path, scenario, &sources(&named))?;
        let Some(span) = setup::window(scenario, &sources(&named), &assembly.targets) else {
            return Err(self.key(format!("scenarios[{index}]"), "its datasets hold no book at all"));
        };
        if span.0 >= span.1 {
            let message = "its window holds no message of its datasets";
            return Err(self.key(format!("scenarios[{index}]"), message));
        }
        for warning in &assembly.warnings {
            self.warnings.push(format!("{}: {warning}", scenario.name));
        }
        for (name, key) in overridden(scenario, &self.spec.space) {
            self.warnings.push(format!(
                "{}: \"{name}\" does not reach every route: one has its own `strategy.{key}`",
                scenario.name
            ));
        }
        let mut decoded = Vec::new();
        for (name, dataset) in opened.datasets {
            let known = self
                .decoded
                .iter()
                .position(|known| known.dataset.dir() == dataset.dir());
            let at = known.unwrap_or_else(|| {
                self.decoded.push(Decoded {
                    dataset: Arc::new(dataset),
                    name,
                    span: None,
                    chunks: Vec::new(),
                });
                self.decoded.len() - 1
            });
            let hull = self.decoded[at]
                .span
                .map_or(span, |(from, to)| (from.min(span.0), to.max(span.1)));
            self.decoded[at].span = Some(hull);
            decoded.push(at);
        }
        let template = Template::new(scenario, &self.spec.space).map_err(|message| self.key("space", message))?;
        self.bases.push(Base {
            path: path.clone(),
            template,
            days: setup::days(path, scenario, Some(span))?,
            sample_ns: setup::sample_ns(scenario, Some(span)),
            targets: assembly.targets,
            fx: assembly.engine.fx.source,
            sources: named,
            decoded,
            span,
        });
        Ok(())
    }

    fn name_cases(&mut self) -> Result<(), EvaluateError> {
        for (index, base) in self.bases.iter().enumerate() {
            let scenario = base.scenario();
            self.cases.push(Case {
                name: scenario.name.clone(),
                scenario: index,
                stress: None,
            });
            for stress in &self.spec.stress {
                let unfit = match stress {
                    Stress::FxShock { .. } if base.fx == FxSource::NotNeeded => {
                        Some("it has no exchange rate that could move".to_owned())
                    }
                    Stress::Outage { venue: Some(venue), .. } if !scenario.venues.contains_key(venue) => {
                        let known: Vec<&str> = scenario.venues.keys().map(String::as_str).collect();
                        Some(format!("it has no venue `{venue}`; there are: {}", known.join(", ")))
                    }
                    _ => None,
                };
                if let Some(message) = unfit {
                    let message = format!("{} on scenario `{}`: {message}", stress.label(), scenario.name);
                    return Err(self.key("stress", message));
                }
                self.cases.push(Case {
                    name: format!("{}+{}", scenario.name, stress.label()),
                    scenario: index,
                    stress: Some(stress.clone()),
                });
            }
        }
        Ok(())
    }

    /// Every scenario must take the parameters at the corners of the space.
    fn try_corners(&self) -> Result<(), EvaluateError> {
        for params in corners(&self.spec.space) {
            for base in &self.bases {
                let attempt = |params: &Params| base.with(params).and_then(|with| base.assemble(&with));
                let Err(error) = attempt(&params) else { continue };
                let name = &base.scenario().name;
                let message = match culprit(&params, |params| attempt(params).is_ok()) {
                    Some((path, value)) => format!("\"{path}\" = {value} on scenario `{name}`: {error}"),
                    None => format!("on scenario `{name}`: {error}"),
                };
                return Err(self.key("space", message));
            }
        }
        Ok(())
    }

    /// The longest that a position may be held by the rule `max_hold_s`, in ns; `None` when nothing limits it.
    fn longest_hold(&self) -> Option<i64> {
        let mut longest = 0.0f64;
        for base in &self.bases {
            let scenario = base.scenario();
            for (index, route) in scenario.routes.iter().enumerate() {
                let own = format!("routes.{index}.strategy.max_hold_s");
                let tuned = largest(&self.spec.space, &own);
                let tuned = tuned.or_else(|| match &route.strategy {
                    Some(table) if table.contains_key("max_hold_s") => None,
                    _ => largest(&self.spec.space, "strategy.max_hold_s"),
                });
                let fixed = || {
                    scenario
                        .strategy_of(route)
                        .ok()
                        .and_then(|strategy| strategy.max_hold_s)
                };
                longest = longest.max(tuned.or_else(fixed)?);
            }
        }
        Some((longest * 1e9) as i64)
    }

    fn embargo(&mut self) -> Result<i64, EvaluateError> {
        if self.spec.validation.mode == Mode::None {
            return Ok(0);
        }
        match (self.spec.validation.embargo_s, self.longest_hold()) {
            (Some(seconds), _) => Ok((seconds * 1e9) as i64),
            (None, Some(hold)) => Ok(hold),
            (None, None) => Err(self.key(
                "validation.embargo_s",
                "needed: without strategy.max_hold_s nothing says how long a position may be held",
            )),
        }
    }

    fn compare_holding(&mut self, period_ns: i64, embargo_ns: i64) {
        let seconds = |ns: i64| ns as f64 / 1e9;
        let Some(hold) = self.longest_hold() else {
            self.warnings.push(
                "without strategy.max_hold_s a position may outlast every period: results of periods hang together"
                    .to_owned(),
            );
            return;
        };
        if self.spec.validation.mode != Mode::None && embargo_ns < hold {
            self.warnings.push(format!(
                "validation.embargo_s = {} is shorter than the longest max_hold_s, {}: what a training window ends in may \
                 reach into the test",
                seconds(embargo_ns),
                seconds(hold)
            ));
        }
        if period_ns < hold {
            self.warnings.push(format!(
                "periods of {} s are shorter than the longest max_hold_s, {}: results of neighbouring periods hang together, \
                 and tests that take them for independent are too hopeful",
                seconds(period_ns),
                seconds(hold)
            ));
        }
    }

    fn decode(&mut self, progress: &mut dyn FnMut(Loading<'_>)) -> Result<(), EvaluateError> {
        let total = self
            .decoded
            .iter()
            .map(|decoded| decoded.dataset.manifest().counts.messages)
            .sum();
        let mut done = 0;
        for decoded in &mut self.decoded {
            let options = ReadOptions {
                from: decoded.span.map(|(from, _)| from),
                to: decoded.span.map(|(_, to)| to),
                memory: DEFAULT_MEMORY,
            };
            for chunk in decoded.dataset.chunks(options) {
                let chunk = chunk?;
                done += chunk.len() as u64;
                decoded.chunks.push(chunk);
                progress(Loading {
                    dataset: &decoded.name,
                    done,
                    total,
                });
            }
        }
        Ok(())
    }

    /// A case's window with its streams.
    fn window(&self, case: &Case, span: Span, period_ns: i64) -> Result<Window, EvaluateError> {
        let base = &self.bases[case.scenario];
        let full = |error: ChunkError| self.key(format!("scenarios[{}]", case.scenario), error.to_string());
        let third = span.0.plus(span.1.since(span.0) / 3);
        let mut streams = Vec::new();
        let mut constant_moves = false;
        if let (Some(Stress::FxShock { bps }), FxSource::Constant(rate)) = (&case.stress, base.fx) {
            constant_moves = true;
            streams.push((
                Target::Fx,
                constant_with_shock(rate, span.0, third, *bps).map_err(full)?,
            ));
        }
        for &(source, target) in &base.targets {
            let chunks = &self.decoded[base.decoded[source]].chunks;
            let cut = match &case.stress {
                Some(Stress::FxShock { bps }) if gives_rate(base.fx, target) => with_shock(chunks, span, third, *bps),
                Some(Stress::Outage { venue, count, share })
                    if self.goes_down(base, venue.as_deref(), source, target) =>
                {
                    with_outages(chunks, span, &outages(span, *count, *share))
                }
                _ => cut(chunks, span),
            };
            streams.push((target, cut.map_err(full)?));
        }
        let plain = !case.stress.as_ref().is_some_and(Stress::changes_data);
        let files = plain.then(|| {
            let file =
                |&(source, target): &(usize, Target)| (target, Arc::clone(&self.decoded[base.decoded[source]].dataset));
            base.targets.iter().map(file).collect()
        });
        let mut window = Window {
            span,
            streams,
            files,
            days: base
                .days
                .iter()
                .copied()
                .filter(|day| span.0 < *day && *day < span.1)
                .collect(),
            sample_ns: sample_step(period_ns, base.sample_ns),
            periods: period_ends(span, period_ns).into(),
            constant_moves,
            tape: None,
        };
        let (mut config, _) = base
            .assemble(base.scenario())
            .map_err(|message| self.key(format!("scenarios[{}]", case.scenario), message))?;
        window.fit(&mut config);
        let tape = Tape::new(window.streams.clone(), &config)
            .map_err(|error| self.key(format!("scenarios[{}]", case.scenario), error.to_string()))?;
        window.tape = Some(tape);
        Ok(window)
    }

    /// Whether a stream is of the venue whose feed goes down: by default that of the first route's first leg.
    fn goes_down(&self, base: &Base, venue: Option<&str>, source: usize, target: Target) -> bool {
        let of_route = || {
            let first = base.scenario().routes.first()?;
            Some(first.a.split_once(':')?.0)
        };
        target != Target::Fx && venue.or_else(of_route) == Some(base.sources[source].1.venue.as_str())
    }
}

fn gives_rate(fx: FxSource, target: Target) -> bool {
    match fx {
        FxSource::Series => target == Target::Fx,
        FxSource::Instrument(id) => target == Target::Instrument(id),
        FxSource::Constant(_) | FxSource::NotNeeded => false,
    }
}

/// Parameters of `[strategy]` whose key a route sets for itself.
fn overridden<'a>(scenario: &Scenario, space: &'a Space) -> Vec<(&'a str, &'a str)> {
    let own = |key: &str| {
        let tables = scenario.routes.iter().filter_map(|route| route.strategy.as_ref());
        tables.into_iter().any(|table| table.contains_key(key))
    };
    let names = space.params().iter().map(|param| param.name.as_str());
    names
        .filter_map(|name| {
            let key = name.strip_prefix("strategy.")?.split('.').next()?;
            own(key).then_some((name, key))
        })
        .collect()
}

/// The largest value that a parameter can take.
fn largest(space: &Space, name: &str) -> Option<f64> {
    let param = space.params().iter().find(|param| param.name == name)?;
    match &param.domain {
        Domain::Float { high, .. } => Some(*high),
        Domain::Int { high, .. } => Some(*high as f64),
        Domain::Choice(values) => values.iter().filter_map(|value| value.number()).reduce(f64::max),
        Domain::Fixed(value) => value.number(),
    }
}
