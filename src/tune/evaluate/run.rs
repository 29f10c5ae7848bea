//! One trial's runs: its parameters as engines and venues, driven over prepared windows.

use std::sync::Arc;

use crossbook_engine::engine::{Engine, EngineConfig, FxSource};
use crossbook_engine::event::Chunk;
use crossbook_engine::replay::{ChunkSource, InMemory, Outcome, ReplayError, Streams, replay};
use crossbook_engine::sim::{Sim, SimConfig};
use crossbook_engine::tape::replay_tape;
use crossbook_engine::units::{Overflow, TimestampNs};
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

/// How a run came out.
pub(super) enum Run {
    /// It came to its end.
    Ended(Ended),
    /// It was given up at a rung: the figures at those that it passed.
    GivenUp(Vec<Figures>),
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

    /// Runs a case over a window to its end, unless `give_up` says of the rungs passed so far that it need not go on. The
    /// full method always goes on: whoever asks must look at the rungs himself.
    ///
    /// # Errors
    /// Why the run stopped, with the case's name.
    pub fn whole(
        &self,
        case: usize,
        window: &Window,
        rungs: &[Rung],
        method: Method,
        give_up: &dyn Fn(&[Figures]) -> bool,
    ) -> Result<Run, String> {
        let run = || {
            let (lean, ended) = self.drive(case, window, rungs, method, None, give_up)?;
            let Some((mut engine, outcome)) = ended else {
                return Ok(Run::GivenUp(lean.into_rungs()));
            };
            let digest = engine.digest().to_string();
            let (figures, rungs) = lean.finish(&mut engine, outcome.span).map_err(overflow)?;
            Ok(Run::Ended(Ended { figures, rungs, digest }))
        };
        run().map_err(|error| self.named(case, &error))
    }

    /// Runs a case up to the last of the rungs: its figures at each.
    ///
    /// # Errors
    /// As [`Trial::whole`].
    pub fn prefix(&self, case: usize, window: &Window, rungs: &[Rung], method: Method) -> Result<Vec<Figures>, String> {
        let last = rungs
            .last()
            .map_or(window.span.0, |rung| at_share(window.span, rung.fraction));
        // Time never goes back: what the recorder has not heard by then it cannot hear of the time before.
        self.drive(case, window, rungs, method, Some(last), &|_| false)
            .map(|(lean, _)| lean.until(last))
            .map_err(|error| self.named(case, &error))
    }

    fn named(&self, case: usize, error: &ReplayError) -> String {
        format!("{}: {error}", self.cases[case].name)
    }

    /// Replays a case until its end (then engine and outcome are told), or until it is stopped.
    #[allow(clippy::type_complexity)] // the recorder, and what a replay gives
    fn drive(
        &self,
        case: usize,
        window: &Window,
        rungs: &[Rung],
        method: Method,
        until: Option<TimestampNs>,
        give_up: &dyn Fn(&[Figures]) -> bool,
    ) -> Result<(Lean, Option<(Engine, Outcome)>), ReplayError> {
        let mut lean = self.recorder(case, window, rungs);
        let (config, sim) = &self.made[case];
        let mut config = config.clone();
        window.fit(&mut config);
        let goes_on = |now: TimestampNs| until.is_none_or(|until| now < until);
        let ended = match &window.tape {
            Some(tape) if method == Method::Tape && tape.fits(&config) => {
                let mut rungs = 0;
                let mut look = |lean: &Lean, now: TimestampNs| {
                    let passed = lean.rungs().len() > std::mem::replace(&mut rungs, lean.rungs().len());
                    goes_on(now) && !(passed && give_up(lean.rungs()))
                };
                replay_tape(tape, config, sim.clone(), &mut lean, &mut look)
            }
            _ => {
                let mut streams = window.streams(config.instruments.len(), method)?;
                let mut sim = Sim::new(sim.clone(), &config.opening)?;
                let mut engine = Engine::new(config)?;
                let outcome = replay(&mut engine, &mut sim, &mut streams, &mut lean, &mut |at| {
                    goes_on(at.now)
                });
                outcome.map(|outcome| (engine, outcome))
            }
        };
        match ended {
            Ok(ended) => Ok((lean, Some(ended))),
            Err(ReplayError::Interrupted) => Ok((lean, None)),
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
}

fn overflow(error: Overflow) -> ReplayError {
    ReplayError::Source(Box::new(error))
}

impl Window {
    /// What an engine's configuration owes to the window.
    pub fn fit(&self, config: &mut EngineConfig) {
        config.days.clone_from(&self.days);
        config.sample_ns = self.sample_ns;
        if self.constant_moves {
            config.fx.source = FxSource::Series;
            config.fx.max_age_ns = i64::MAX;
        }
    }

    /// The streams of a run over this window.
    fn streams(&self, instruments: usize, method: Method) -> Result<Streams, ReplayError> {
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
