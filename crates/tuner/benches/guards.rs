//! What the guards cost on a session's worth of trials: `cargo bench -p crossbook-tuner --bench guards`.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use crossbook_engine::rng::Rng;
use crossbook_tuner::guards::cscv::{BLOCKS, Statistic, cscv};
use crossbook_tuner::guards::trials::independent;

/// A month of hours.
const PERIODS: usize = 720;

fn noise(trials: usize) -> Vec<Vec<f64>> {
    let mut rng = Rng::stream(1, "bench");
    (0..trials)
        .map(|_| (0..PERIODS).map(|_| rng.normal()).collect())
        .collect()
}

fn overfitting(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("cscv");
    group.sample_size(10).measurement_time(Duration::from_secs(8));
    for count in [500, 10_000] {
        let trials = noise(count);
        let rows: Vec<&[f64]> = trials.iter().map(Vec::as_slice).collect();
        group.throughput(Throughput::Elements(count as u64 * 12_870));
        group.bench_function(format!("{count}_trials_12870_splits"), |bench| {
            bench.iter(|| black_box(cscv(&rows, BLOCKS, Statistic::Sharpe).map(|answer| answer.pbo)))
        });
    }
    group.finish();
}

fn effective_number(criterion: &mut Criterion) {
    let trials = noise(500);
    let rows: Vec<&[f64]> = trials.iter().map(Vec::as_slice).collect();
    criterion.bench_function("independent/500_trials", |bench| {
        bench.iter(|| black_box(independent(&rows)))
    });
}

criterion_group!(benches, overfitting, effective_number);
criterion_main!(benches);
