//! Once warm, a replay allocates nothing: not for an event, an order, a fill or a posting (F41).
//!
//! A binary of its own, because it counts in the global allocator: nothing else may run beside it.

#[path = "../benches/feed.rs"]
mod feed;
#[path = "../benches/parity.rs"]
mod parity;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

use crossbook_engine::engine::{Engine, Target};
use crossbook_engine::instrument::InstrumentId;
use crossbook_engine::records::NoRecorder;
use crossbook_engine::replay::{ChunkSource, InMemory, Streams, replay};
use crossbook_engine::sim::{FillModel, Sim};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// Safety: hands everything on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn a_warm_replay_allocates_nothing() {
    let feed = feed::feed(2_000_000, 42);
    for model in [FillModel::Top, FillModel::Walk] {
        let config = parity::engine_config(parity::strategy(model));
        let mut sim = Sim::new(parity::sim_config(&config, model), &config.opening).unwrap();
        let mut engine = Engine::new(config).unwrap();
        let targets = [
            Target::Instrument(InstrumentId(0)),
            Target::Instrument(InstrumentId(1)),
            Target::Fx,
        ];
        let sources = targets
            .into_iter()
            .zip(&feed)
            .map(|(target, chunks)| (target, Box::new(InMemory::new(chunks)) as Box<dyn ChunkSource>))
            .collect();
        let mut streams = Streams::new(sources, 2).unwrap();
        // Seen at each call for progress: how much was allocated, and how much was traded.
        let mut seen = Vec::with_capacity(4096);
        replay(&mut engine, &mut sim, &mut streams, &mut NoRecorder, &mut |_| {
            seen.push(ALLOCATIONS.load(Ordering::Relaxed));
            true
        })
        .unwrap();
        let plain = parity::run(&feed, model, &mut NoRecorder).0;
        assert_eq!(engine.digest(), plain.digest(), "counting changes nothing");
        assert!(seen.len() >= 8 && engine.ledger().transactions() > 50);
        // Warm after the first quarter; the rest still trades.
        let warm = seen.len() / 4;
        assert_eq!(seen[seen.len() - 1] - seen[warm], 0, "{model:?}: {seen:?}");
    }
}
