//! One trial's runs: its parameters as engines and venues, driven over prepared windows.

use std::sync::Arc;

use crossbook_engine::engine::{Engine, EngineConfig, FxSource};
use crossbook_engine::event::Chunk;
use crossbook_engine::replay::{ChunkSource, InMemory, ReplayError, Streams, replay};
use crossbook_engine::sim::{Sim, SimConfig};
use crossbook_tuner::space::Params;

use super::figures::{Figures, Lean, Marks};
use super::prepare::{Base, Window};
use super::{Case, at_share};
use crate::dataset::reader::{ChunkReader, ReadOptions};
use crate::tune::trial::Rung;

/// How a window is replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    /// Over what was computed in advance.
    Tape,
    /// Event by event; from the files where the case is not stressed.
    Full,
}

/// A run that came to its end.
pub(super) struct Ended {
    pub figures: Figures,
    /// Figures as they stood at each rung.
    pub rungs: Vec<Figures>,
    pub digest: String,
}

/// A trial's engine and venues by case.
pub(super) struct Trial<'a> {
    cases: &'a [Case],
    made: Vec<(EngineConfig, SimConfig)>,
}

impl<'a> Trial<'a> {
    /// Puts the parameters into every scenario and assembles its cases. No file is touched.
    ///
    /// # Errors
    /// The parameters do not make a scenario: the key, and what is allowed.
    pub fn new(bases: &[Base], cases: &'a [Case], params: &Params) -> Result<Trial<'a>, String> {
        let mut made: Vec<(EngineConfig, SimConfig)> = Vec::with_capacity(cases.len());
        let mut plain: Option<(usize, crate::config::Scenario, usize)> = None;
        for (index, case) in cases.iter().enumerate() {
            let base = &bases[case.scenario];
            let (scenario, first) = match &plain {
                Some((scenario, with, first)) if *scenario == case.scenario => (with, *first),
                _ => {
                    let with = base.with(params)?;
                    let (_, with, first) = plain.insert((case.scenario, with, index));
                    (&*with, *first)
                }
            };
            let assembled = match &case.stress {
                Some(stress) if !stress.changes_data() => {
                    let mut changed = scenario.clone();
                    stress.change(&mut changed);
                    base.assemble(&changed)?
                }
                Some(_) if first < index => made[first].clone(),
                _ => base.assemble(scenario)?,
            };
            made.push(assembled);
        }
        Ok(Trial { cases, made })
    }

    /// Runs a case over a window to its end.
    ///
    /// # Errors
    /// Why the run stopped, with the case's name.
    pub fn whole(&self, case: usize, window: &Window, rungs: &[Rung], method: Method) -> Result<Ended, String> {
        self.whole_of(case, window, rungs, method)
            .map_err(|error| format!("{}: {error}", self.cases[case].name))
    }

    fn whole_of(&self, case: usize, window: &Window, rungs: &[Rung], method: Method) -> Result<Ended, ReplayError> {
        let mut lean = self.recorder(case, window, rungs);
        let (mut engine, mut sim) = self.engine(case, window)?;
        let mut streams = window.streams(&engine, method)?;
        let outcome = replay(&mut engine, &mut sim, &mut streams, &mut lean, &mut |_| true)?;
        let digest = engine.digest().to_string();
        let (figures, rungs) = lean.finish(&mut engine, outcome.span).map_err(ledger)?;
        Ok(Ended { figures, rungs, digest })
    }

    /// Runs a case up to the last of the rungs: its figures at each.
    ///
    /// # Errors
    /// As [`Trial::whole`].
    pub fn prefix(&self, case: usize, window: &Window, rungs: &[Rung], method: Method) -> Result<Vec<Figures>, String> {
        self.prefix_of(case, window, rungs, method)
            .map_err(|error| format!("{}: {error}", self.cases[case].name))
    }

    fn prefix_of(
        &self,
        case: usize,
        window: &Window,
        rungs: &[Rung],
        method: Method,
    ) -> Result<Vec<Figures>, ReplayError> {
        let mut lean = self.recorder(case, window, rungs);
        let (mut engine, mut sim) = self.engine(case, window)?;
        let mut streams = window.streams(&engine, method)?;
        let last = rungs
            .last()
            .map_or(window.span.0, |rung| at_share(window.span, rung.fraction));
        match replay(&mut engine, &mut sim, &mut streams, &mut lean, &mut |at| at.now < last) {
            // Time never goes back: what it has not heard by then it cannot hear of the time before.
            Ok(_) | Err(ReplayError::Interrupted) => Ok(lean.until(last)),
            Err(error) => Err(error),
        }
    }

    fn recorder(&self, case: usize, window: &Window, rungs: &[Rung]) -> Lean {
        let marks = Marks {
            periods: Arc::clone(&window.periods),
            rungs: rungs.iter().map(|rung| at_share(window.span, rung.fraction)).collect(),
        };
        Lean::new(window.span.0, self.made[case].0.classes.len(), marks)
    }

    fn engine(&self, case: usize, window: &Window) -> Result<(Engine, Sim), ReplayError> {
        let (engine, sim) = &self.made[case];
        let mut engine = engine.clone();
        engine.days.clone_from(&window.days);
        engine.sample_ns = window.sample_ns;
        if window.constant_moves {
            engine.fx.source = FxSource::Series;
            engine.fx.max_age_ns = i64::MAX;
        }
        let sim = Sim::new(sim.clone(), &engine.opening)?;
        Ok((Engine::new(engine)?, sim))
    }
}

fn ledger(error: crossbook_engine::units::Overflow) -> ReplayError {
    ReplayError::Source(Box::new(error))
}

impl Window {
    /// The streams of a run over this window.
    fn streams(&self, engine: &Engine, method: Method) -> Result<Streams, ReplayError> {
        let instruments = engine.config().instruments.len();
        let source = match (method, &self.files) {
            (Method::Full, Some(files)) => {
                let (from, to) = self.span;
                let each = crate::runner::replay::DEFAULT_MEMORY / (2 * files.len().max(1));
                let options = ReadOptions {
                    from: Some(from),
                    to: Some(to),
                    memory: each,
                };
                let open = files.iter().map(|(target, dataset)| {
                    let reading: Box<dyn ChunkSource> = Box::new(Reading(dataset.chunks(options)));
                    (*target, reading)
                });
                open.collect()
            }
            _ => {
                let shared = self.streams.iter().map(|(target, chunks)| {
                    let shared: Box<dyn ChunkSource> = Box::new(InMemory::new(chunks));
                    (*target, shared)
                });
                shared.collect()
            }
        };
        Streams::new(source, instruments)
    }
}

/// A dataset's reader as the source of a stream.
struct Reading(ChunkReader);

impl ChunkSource for Reading {
    fn next_chunk(&mut self) -> Result<Option<Arc<Chunk>>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.0.next().transpose()?)
    }
}
