//! Cost of one decision: a book message applied and the route looked at, flat and with a pair open, with a constant and an
//! EWMA fair premium.

#[allow(dead_code)] // shared with other benches
mod feed;
#[allow(dead_code)] // shared with other benches
mod parity;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use crossbook_engine::engine::{Engine, Target};
use crossbook_engine::instrument::InstrumentId;
use crossbook_engine::records::NoRecorder;
use crossbook_engine::spread::{FairModel, FillModel};
use crossbook_engine::units::Bps;

fn benches(criterion: &mut Criterion) {
    // Top-of-book events, so that the book itself costs next to nothing.
    let tops = feed::tops(&feed::feed(200_000, 42));
    let events: u64 = tops[1].iter().map(|chunk| chunk.len() as u64).sum();
    let mut group = criterion.benchmark_group("engine_step");
    group.throughput(Throughput::Elements(events));
    let half_life_ns = 600_000_000_000;
    let cases = [
        ("flat, zero", FairModel::Zero, 1e5),
        ("flat, ewma", FairModel::Ewma { half_life_ns }, 1e5),
        // Enters at once; its orders are never reported, so it stays with both legs on their way.
        ("entering, zero", FairModel::Zero, -1e5),
    ];
    for (name, fair, entry) in cases {
        let mut strategy = parity::strategy(FillModel::Walk);
        strategy.fair = fair;
        strategy.entry = Bps::from_bps(entry);
        let mut config = parity::engine_config(strategy);
        // The one book of A and the one rate stay good enough to the end.
        config.limits.venue.max_book_age_ns = i64::MAX;
        config.fx.max_age_ns = i64::MAX;
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter(|| {
                let mut engine = Engine::new(config.clone()).expect("nothing to overflow");
                let mut commands = Vec::new();
                // One book of A and one rate, then every event of B.
                for (target, chunks) in [(Target::Fx, &tops[2]), (Target::Instrument(InstrumentId(0)), &tops[0])] {
                    let header = chunks[0].headers()[0];
                    engine.apply(target, header.ts_event, header.ts_recv, &chunks[0].event(0));
                }
                let id = InstrumentId(1);
                for chunk in &tops[1] {
                    for (index, header) in chunk.headers().iter().enumerate() {
                        let now = header.ts_recv;
                        engine.apply(Target::Instrument(id), header.ts_event, now, &chunk.event(index));
                        engine
                            .decide(now, &mut commands, &mut NoRecorder)
                            .expect("nothing to overflow");
                    }
                }
                black_box((engine.counts(), commands.len()))
            });
        });
    }
    group.finish();
}

criterion_group!(step, benches);
criterion_main!(step);
