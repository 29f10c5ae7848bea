//! Replay: a scenario from its datasets to a finished run.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use crossbook_engine::engine::Engine;
use crossbook_engine::event::Chunk;
use crossbook_engine::instrument::CurrencyId;
use crossbook_engine::records::{Recorder, Rows};
use crossbook_engine::replay::{ChunkSource, Outcome, Progress, ReplayError, Streams, replay};
use crossbook_engine::sim::Sim;
use crossbook_engine::units::{FxRate, Overflow};

use super::setup::{Input, Setup, SetupError, prepare};
use crate::config::Scenario;
use crate::dataset::reader::{ChunkReader, ReadOptions, ReadStats};
use crate::report::meta::{CurrencyInfo, InputInfo, InstrumentInfo, Run, RunMeta, Window};
use crate::report::statistics::Statistics;

/// Why a run did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The scenario and its datasets do not fit together.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The replay stopped.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// A sum of the statistics does not fit.
    #[error("statistics: {0}")]
    Statistics(#[from] Overflow),
    /// The resolved scenario cannot be written as TOML.
    #[error("scenario as TOML: {0}")]
    Config(#[from] toml::ser::Error),
}

/// Bytes that decoding may take at a time if nothing else is said.
pub const DEFAULT_MEMORY: usize = 64 << 20;

/// One chunk reader, telling its counts when it is done.
struct Counted {
    reader: ChunkReader,
    index: usize,
    counts: Sender<(usize, ReadStats)>,
}

impl ChunkSource for Counted {
    fn next_chunk(&mut self) -> Result<Option<Arc<Chunk>>, Box<dyn std::error::Error + Send + Sync>> {
        match self.reader.next() {
            Some(chunk) => Ok(Some(chunk?)),
            None => {
                // Nobody listens any more only when the run has failed already.
                let _ = self.counts.send((self.index, self.reader.stats()));
                Ok(None)
            }
        }
    }
}

/// Opens the streams of a scenario, sharing `memory` bytes between them.
fn open_streams(setup: &Setup, memory: usize, counts: &Sender<(usize, ReadStats)>) -> Result<Streams, ReplayError> {
    // Each stream holds the chunk in use and, while orders are at a venue, the one ahead.
    let each = (memory / (2 * setup.inputs.len().max(1))).max(1 << 20);
    let options = ReadOptions {
        from: setup.window.map(|(from, _)| from),
        to: setup.window.map(|(_, to)| to),
        memory: each,
    };
    let source = |(index, input): (usize, &Input)| {
        let reader = input.dataset.chunks(options);
        let source: Box<dyn ChunkSource> = Box::new(Counted {
            reader,
            index,
            counts: counts.clone(),
        });
        (input.target, source)
    };
    Streams::new(
        setup.inputs.iter().enumerate().map(source).collect(),
        setup.engine.instruments.len(),
    )
}

/// What a replay left: the engine as it stood, and counts.
pub struct Replayed {
    /// The engine at the end.
    pub engine: Engine,
    /// Rows, messages, span.
    pub outcome: Outcome,
    /// What reading did, by input.
    pub read: Vec<ReadStats>,
}

/// Replays a prepared scenario into a recorder. `progress` is asked now and then and may stop it.
///
/// # Errors
/// [`ReplayError`]: nothing that the recorder heard by then is a result.
pub fn run_into(
    setup: &Setup,
    memory: usize,
    recorder: &mut impl Recorder,
    progress: &mut impl FnMut(Progress) -> bool,
) -> Result<Replayed, ReplayError> {
    let (counts, told): (Sender<(usize, ReadStats)>, Receiver<_>) = channel();
    let mut streams = open_streams(setup, memory, &counts)?;
    let mut sim = Sim::new(setup.sim.clone(), &setup.engine.opening)?;
    let mut engine = Engine::new(setup.engine.clone())?;
    let outcome = replay(&mut engine, &mut sim, &mut streams, recorder, progress)?;
    let mut read = vec![ReadStats::default(); setup.inputs.len()];
    for (index, stats) in told.try_iter() {
        read[index] = stats;
    }
    Ok(Replayed { engine, outcome, read })
}

/// Replays a scenario and makes a whole run of it. `path` is the scenario's file: datasets may lie beside it. `progress` is
/// told the rows in all and how far it has come, and stops the run by answering `false`.
///
/// # Errors
/// [`RunError`].
pub fn run(
    path: &Path,
    scenario: &Scenario,
    run_id: &str,
    data_root: Option<&Path>,
    memory: usize,
    progress: &mut impl FnMut(u64, Progress) -> bool,
) -> Result<Run, RunError> {
    let setup = prepare(path, scenario, data_root)?;
    let total = setup
        .inputs
        .iter()
        .map(|input| input.dataset.manifest().counts.rows)
        .sum();
    let started = Instant::now();
    let mut rows = Rows::default();
    let mut replayed = run_into(&setup, memory, &mut rows, &mut |now| progress(total, now))?;
    let seconds = started.elapsed().as_secs_f64();
    let meta = meta(scenario, &setup, &mut replayed);
    let statistics = Statistics::new(&rows, &meta, None)?;
    let config = setup.resolved.to_text()?;
    Ok(Run {
        run_id: run_id.to_owned(),
        meta,
        config,
        rows,
        statistics,
        seconds,
    })
}

fn meta(scenario: &Scenario, setup: &Setup, replayed: &mut Replayed) -> RunMeta {
    let Replayed { engine, outcome, read } = replayed;
    let rates = (0..setup.names.currencies.len()).map(|id| engine.unit_value(CurrencyId(id as u16)));
    let rates: Vec<Option<FxRate>> = rates.collect();
    let counts = engine.counts();
    let sum = |of: fn(&ReadStats) -> u64| read.iter().map(of).sum::<u64>();
    let counters = BTreeMap::from([
        ("decisions", counts.decisions),
        ("entries", counts.entries),
        ("exits", counts.exits),
        ("repairs", counts.repairs),
        ("fx_rejected", counts.fx_rejected),
        ("crossed_books", counts.crossed),
        ("open_orders_at_end", outcome.open_orders as u64),
        ("messages_old", sum(|s| s.old)),
        ("messages_before_snapshot", sum(|s| s.before_snapshot)),
        ("sequence_gaps", sum(|s| s.gaps)),
        ("times_held_at_receipt", sum(|s| s.clamped)),
        ("times_made_monotone", sum(|s| s.made_monotone)),
    ]);
    let blocked = engine.blocked_time();
    let idle = BTreeMap::from([
        ("blocked", blocked.venue_down_ns),
        ("stale", blocked.stale_ns),
        ("no_fx", blocked.no_fx_ns),
    ]);
    let mut warnings = setup.warnings.clone();
    if outcome.open_orders > 0 {
        warnings.push(format!(
            "orders still open when the data ended: {}",
            outcome.open_orders
        ));
    }
    let open = engine
        .routes()
        .iter()
        .filter(|route| route.position() != [0; 2])
        .count();
    if open > 0 {
        warnings.push(format!(
            "routes that still held a position when the data ended, marked at mid: {open}"
        ));
    }
    RunMeta {
        scenario: scenario.name.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        seed: scenario.seed,
        digest: engine.digest(),
        base_currency: scenario.base_currency.clone(),
        window: outcome.span.map(|(from, to)| Window { from, to }),
        instruments: setup
            .names
            .instruments
            .iter()
            .zip(&setup.engine.instruments)
            .map(|(name, spec)| InstrumentInfo {
                name: name.clone(),
                quote: spec.quote,
            })
            .collect(),
        routes: setup.names.routes.clone(),
        currencies: setup
            .names
            .currencies
            .iter()
            .zip(rates)
            .map(|(name, rate)| CurrencyInfo {
                name: name.clone(),
                rate,
            })
            .collect(),
        inputs: setup
            .inputs
            .iter()
            .zip(read.iter())
            .map(|(input, stats)| InputInfo {
                name: input.name.clone(),
                hash: input.dataset.manifest().data.blake3.clone(),
                messages: stats.messages,
                rows: stats.rows,
            })
            .collect(),
        events: outcome.events,
        rows: outcome.rows,
        counters: counters
            .into_iter()
            .map(|(name, count)| (name.to_owned(), count))
            .collect(),
        idle_ns: idle.into_iter().map(|(name, ns)| (name.to_owned(), ns)).collect(),
        warnings,
    }
}
