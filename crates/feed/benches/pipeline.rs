//! Frames through parsing, the pipeline, and the engine's book, on one core.

#[path = "frames.rs"]
mod frames;

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use crossbook_engine::book::Book;
use crossbook_feed::live::{Options, Output, Pipeline};

/// Markets a venue.
const MARKETS: usize = 30;
const FRAMES: usize = 40_000;

fn pipeline(c: &mut Criterion) {
    let venues = frames::venues(MARKETS);
    let opening = frames::opening(MARKETS);
    let inputs = frames::frames(FRAMES, MARKETS, 20_000);
    let fresh = || {
        let mut pipeline = Pipeline::new(&venues, Options::default()).expect("a pipeline");
        let mut books = vec![Book::default(); pipeline.len()];
        for input in &opening {
            pipeline.input(input, &mut |output| apply(&mut books, &output));
        }
        (pipeline, books)
    };
    let mut group = c.benchmark_group("pipeline");
    group.sample_size(20);
    group.throughput(Throughput::Elements(FRAMES as u64));
    group.bench_function("mix", |bench| {
        bench.iter_batched(
            fresh,
            |(mut pipeline, mut books)| {
                for input in &inputs {
                    pipeline.input(input, &mut |output| apply(&mut books, &output));
                }
                black_box((pipeline, books))
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn apply(books: &mut [Book], output: &Output<'_>) {
    if let Output::Event(event) = output {
        books[usize::from(event.market.0)].apply(event.ts_event, event.stamp.ts, &event.kind);
    }
}

criterion_group!(benches, pipeline);
criterion_main!(benches);
