//! Cost of the whole: merge, books, decisions, matching, ledger, over data in memory on one thread.

mod feed;
mod parity;

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use crossbook_engine::event::Chunk;
use crossbook_engine::records::NoRecorder;
use crossbook_engine::spread::FillModel;

fn bench_feed(criterion: &mut Criterion, name: &str, streams: &[Vec<Arc<Chunk>>; 3], elements: u64) {
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(elements)).sample_size(20);
    for model in [FillModel::Walk, FillModel::Top] {
        group.bench_function(BenchmarkId::from_parameter(format!("{model:?}")), |bencher| {
            bencher.iter(|| black_box(parity::run(streams, model, &mut NoRecorder).1));
        });
    }
    group.finish();
}

fn benches(criterion: &mut Criterion) {
    let streams = feed::feed(2_000_000, 42);
    let rows = streams.iter().flatten().map(|chunk| chunk.rows()).sum();
    bench_feed(criterion, "replay_parity_rows", &streams, rows);
    let tops = feed::tops(&streams);
    let events = tops.iter().flatten().map(|chunk| chunk.len() as u64).sum();
    bench_feed(criterion, "replay_top_of_book_events", &tops, events);
}

criterion_group!(replay, benches);
criterion_main!(replay);
