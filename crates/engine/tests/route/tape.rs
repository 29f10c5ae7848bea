//! Trials over a tape against whole replays: the same rows in the same order, the same counts, the same digest.

use std::sync::Arc;

use proptest::prelude::*;

use crossbook_engine::engine::{Engine, Target};
use crossbook_engine::event::Chunk;
use crossbook_engine::replay::{ChunkSource, InMemory, Outcome, ReplayError, Streams, replay};
use crossbook_engine::sim::Sim;
use crossbook_engine::tape::{Tape, replay_tape};

use crate::attribution::cases;
use crate::chaos::{Reason, world};
use crate::dsl::*;

/// Streams cut into chunks of so many messages, an empty one among them.
fn chunked(chunk: &Chunk, messages: usize) -> Vec<Arc<Chunk>> {
    let mut chunks = vec![Chunk::default()];
    for (index, header) in chunk.headers().iter().enumerate() {
        if index % messages == 0 {
            chunks.push(Chunk::default());
        }
        let last = chunks.last_mut().unwrap();
        last.push(header.ts_event, header.ts_recv, chunk.event(index)).unwrap();
    }
    chunks.into_iter().map(Arc::new).collect()
}

/// Everything that a run leaves, as text that can be told apart where it differs.
type Left = (Vec<String>, String);

fn left(result: Result<(Engine, Outcome), ReplayError>, log: &Log) -> Left {
    let mut lines = Vec::new();
    lines.extend(log.sent.iter().map(|row| format!("{row:?}")));
    lines.extend(log.done.iter().map(|row| format!("{row:?}")));
    lines.extend(log.fills.iter().map(|row| format!("{row:?}")));
    lines.extend(log.trips.iter().map(|row| format!("{row:?}")));
    lines.extend(log.cancels.iter().map(|row| format!("{row:?}")));
    lines.extend(log.risk.iter().map(|row| format!("{row:?}")));
    lines.extend(log.equity.iter().map(|row| format!("{row:?}")));
    lines.extend(log.spread.iter().map(|row| format!("{row:?}")));
    match result {
        Ok((mut engine, outcome)) => {
            let equity = format!("{:?}", engine.equity().map_err(|error| error.to_string()));
            for route in engine.routes() {
                lines.push(format!("{:?} {:?} {}", route.state(), route.position(), route.fair()));
            }
            lines.push(format!("{:?} {:?}", engine.counts(), engine.blocked_time()));
            lines.push(format!("{outcome:?} {equity}"));
            (lines, engine.digest())
        }
        Err(error) => (lines, format!("{error}")),
    }
}

type Sources = Vec<(Target, Vec<Arc<Chunk>>)>;

fn sources(world: &World, messages: usize) -> Sources {
    let chunks = world.tapes.iter().cloned();
    chunks
        .map(|(target, tape)| (target, chunked(&tape.chunk(), messages)))
        .collect()
}

fn whole(world: &World, sources: &Sources) -> Left {
    let (config, sim) = world.configs();
    let mut log = Log::default();
    let run = |log: &mut Log| {
        let mut sim = Sim::new(sim, &config.opening)?;
        let mut engine = Engine::new(config)?;
        let sources = sources.iter().map(|(target, chunks)| {
            let source: Box<dyn ChunkSource> = Box::new(InMemory::new(chunks));
            (*target, source)
        });
        let mut streams = Streams::new(sources.collect(), engine.config().instruments.len())?;
        let outcome = replay(&mut engine, &mut sim, &mut streams, log, &mut |_| true)?;
        Ok((engine, outcome))
    };
    let result = run(&mut log);
    left(result, &log)
}

fn trial(world: &World, tape: &Tape) -> Left {
    let (config, sim) = world.configs();
    let mut log = Log::default();
    let mut looked = 0;
    let result = replay_tape(tape, config, sim, &mut log, &mut |_, _| {
        looked += 1;
        true
    });
    left(result, &log)
}

#[track_caller]
fn same(world: &World, tape: &Tape, sources: &Sources, what: &str) {
    let (want, got) = (whole(world, sources), trial(world, tape));
    if want != got {
        let at = want.0.iter().zip(&got.0).position(|(want, got)| want != got);
        let line = |left: &Left| at.and_then(|at| left.0.get(at).cloned());
        panic!(
            "{what}: line {at:?} of {} and {}\n want {:?}\n got  {:?}\n{:#?}",
            want.0.len(),
            got.0.len(),
            line(&want),
            line(&got),
            world.config.routes
        );
    }
}

fn check(world: &World, what: &str) {
    let sources = sources(world, 37);
    let tape = Tape::new(sources.clone(), &world.configs().0).unwrap();
    same(world, &tape, &sources, what);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 0, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_market_and_any_settings_by_leaps(seed in any::<u64>()) {
        check(&world(seed, Reason::Plain), &format!("seed {seed}"));
    }

    #[test]
    fn any_number_at_all_by_leaps(seed in any::<u64>()) {
        check(&world(seed, Reason::Wild), &format!("seed {seed}"));
    }
}
