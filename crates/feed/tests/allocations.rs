//! Once warm, a frame costs no allocation, from its bytes to the book and the event (F41).
//!
//! A binary of its own, because it counts in the global allocator: nothing else may run beside it.

#[path = "../benches/frames.rs"]
mod frames;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

use crossbook_feed::live::{Options, Output, Pipeline};

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
fn f41_a_warm_pipeline_allocates_nothing_for_a_frame() {
    const MARKETS: usize = 5;
    let mut pipeline = Pipeline::new(&frames::venues(MARKETS), Options::default()).expect("a pipeline");
    let mut events = 0u64;
    let mut out = |output: Output<'_>| events += u64::from(matches!(output, Output::Event(_)));
    for input in &frames::opening(MARKETS) {
        pipeline.input(input, &mut out);
    }
    let inputs = frames::frames(20_000, MARKETS, 20_000);
    let (warm, measured) = inputs.split_at(10_000);
    for input in warm {
        pipeline.input(input, &mut out);
    }
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    for input in measured {
        pipeline.input(input, &mut out);
    }
    let allocations = ALLOCATIONS.load(Ordering::Relaxed) - before;
    // Each frame was an event of a live book, or a trade.
    assert!(events >= 20_000, "{events}");
    for (ix, market) in pipeline.markets() {
        assert!(market.health().is_live(), "{ix:?}");
        assert!(market.book().top().is_ok(), "{ix:?}");
    }
    assert_eq!(allocations, 0, "in {} frames", measured.len());
}
