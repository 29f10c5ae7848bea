//! What one ask and its tell cost, by sampler, once so many trials have been told: `cargo bench -p crossbook-tuner --bench
//! samplers`. Six floats; the loss is cheap and not counted.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use crossbook_tuner::sampler::SamplerConfig;
use crossbook_tuner::space::{Domain, Param, Params, Space, Value};
use crossbook_tuner::study::{Direction, Outcome, Study, Trial};

/// Trials timed after the others, before the study is built anew: their number should hardly grow meanwhile.
const TIMED: u64 = 25;

fn loss(params: &Params) -> f64 {
    let bowl = |(k, value): (usize, &Value)| {
        let away = value.number().unwrap_or(0.0) - 0.1 * (k + 2) as f64;
        (1.0 + k as f64) * away * away + 0.1 * (1.0 - (20.0 * away).cos())
    };
    params.values().enumerate().map(bowl).sum()
}

fn trial(study: &mut Study) -> Option<Trial> {
    let trial = study.ask(1).ok()?.pop()?;
    let outcome = Outcome::Complete(loss(&trial.params));
    study.tell(trial.id, outcome).ok()?;
    Some(trial)
}

/// A study of which `told` trials are told.
fn study(sampler: &str, told: usize) -> Study {
    let params = (0..6).map(|k| Param::new(&format!("x{k}"), Domain::float(0.0, 1.0)));
    let space = Space::new(params.collect(), Vec::new()).expect("a sound space");
    let config = SamplerConfig::by_name(sampler).expect("a known name");
    let mut study = Study::new(space, config, Direction::Minimize, 7, None).expect("a space for every sampler");
    for _ in 0..told {
        trial(&mut study);
    }
    study
}

fn ask_and_tell(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ask_tell");
    group
        .sample_size(10)
        .sampling_mode(SamplingMode::Flat)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(500))
        .throughput(Throughput::Elements(1));
    for (sampler, told) in [
        ("tpe", 1000),
        ("tpe", 100),
        ("cmaes", 100),
        ("random", 100),
        ("sobol", 100),
        ("halton", 100),
        ("gp", 100),
    ] {
        group.bench_function(format!("{sampler}_after_{told}"), |bench| {
            bench.iter_custom(|mut iterations| {
                let mut elapsed = Duration::ZERO;
                while iterations > 0 {
                    let timed = iterations.min(TIMED);
                    iterations -= timed;
                    let mut study = study(sampler, told);
                    let start = Instant::now();
                    for _ in 0..timed {
                        black_box(trial(&mut study));
                    }
                    elapsed += start.elapsed();
                }
                elapsed
            })
        });
    }
    group.finish();
}

criterion_group!(benches, ask_and_tell);
criterion_main!(benches);
