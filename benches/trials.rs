//! What a trial costs: on its tape against the full replay, and with one thread against several.
//!
//! ```sh
//! cargo bench --bench trials                                              # the bundled market
//! cargo bench --bench trials -- config/tuning/parity.toml DATA_ROOT 2000  # any session, its data, trials per measurement
//! ```
//!
//! Trials are random points of the session's space, the same in every measurement. `CPU` is the processor time of the whole
//! process as the kernel counts it, which a busy machine does not spoil; trials per second are by the clock.

use std::path::{Path, PathBuf};
use std::time::Instant;

use crossbook::tune::evaluate::Evaluator;
use crossbook::tune::spec;
use crossbook::tune::trial::{Record, Task};
use crossbook_engine::rng::Rng;
use crossbook_tuner::space::Value;
use rayon::prelude::*;

fn main() {
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    let path = args.next().unwrap_or_else(|| "config/tuning/demo.toml".to_owned());
    let data_root = args.next().map(PathBuf::from);
    let count: u64 = args.next().and_then(|text| text.parse().ok()).unwrap_or(1000);
    let cases: Vec<String> = args.collect();
    let spec = spec::load(Path::new(&path), &cases).unwrap();

    let started = (Instant::now(), cpu_s());
    let evaluator = Evaluator::new(&spec, data_root.as_deref(), &mut |_| {}).unwrap();
    println!(
        "{path}: cases {}, folds {}",
        evaluator.cases().len(),
        evaluator.folds().len()
    );
    println!(
        "prepared in {:.2} s, CPU {:.2} s; recordings and tapes {:.1} MB; resident {:.1} MB",
        started.0.elapsed().as_secs_f64(),
        cpu_s() - started.1,
        evaluator.bytes() as f64 / 1e6,
        resident_mb()
    );
    let mut rng = Rng::stream(1, "bench.trials");
    let tasks: Vec<Task> = (0..count)
        .map(|id| Task {
            id,
            fold: 0,
            params: spec.space.decode(&spec.space.sample(&mut rng).unwrap()),
            rungs: Vec::new(),
        })
        .collect();

    let few = &tasks[..tasks.len().min(40)];
    let full = measured("full replay, 1 thread", few, 1, |task| evaluator.evaluate_fully(task));
    let tape = measured("tape, the same trials", few, 1, |task| evaluator.evaluate(task));
    assert_eq!(full.records, tape.records, "the tape is exact");
    println!(
        "a trial on the tape costs 1/{:.1} of a full replay",
        full.cpu_ms / tape.cpu_ms
    );
    let idle: Vec<Task> = tasks
        .iter()
        .map(|task| {
            let mut idle = task.clone();
            idle.params
                .insert("strategy.entry_bps".to_owned(), Value::Float(90_000.0));
            idle
        })
        .collect();
    measured("tape, never trading, 1 thread", &idle, 1, |task| {
        evaluator.evaluate(task)
    });
    let mut first: Option<Measured> = None;
    for threads in [1, 2, 4] {
        let name = format!("tape, {threads} thread(s)");
        let this = measured(&name, &tasks, threads, |task| evaluator.evaluate(task));
        if let Some(first) = &first {
            assert_eq!(first.records, this.records);
            println!(
                "  {:.2} times the trials per second of 1 thread",
                this.per_s / first.per_s
            );
        }
        first.get_or_insert(this);
    }
}

struct Measured {
    records: Vec<Record>,
    cpu_ms: f64,
    per_s: f64,
}

fn measured(name: &str, tasks: &[Task], threads: usize, evaluate: impl Fn(&Task) -> Record + Sync) -> Measured {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let (clock, cpu) = (Instant::now(), cpu_s());
    let records: Vec<Record> = pool.install(|| tasks.par_iter().map(&evaluate).collect());
    let (clock, cpu) = (clock.elapsed().as_secs_f64(), cpu_s() - cpu);
    let count = tasks.len() as f64;
    let trips: u64 = records
        .iter()
        .filter_map(|record| record.train)
        .map(|train| train.round_trips)
        .sum();
    println!(
        "{name}: {:.3} CPU ms a trial, {:.0} trials/s; {:.0} round trips a trial; resident {:.1} MB",
        cpu * 1e3 / count,
        count / clock,
        trips as f64 / count,
        resident_mb()
    );
    Measured {
        records,
        cpu_ms: cpu * 1e3 / count,
        per_s: count / clock,
    }
}

/// A field of a file of `/proc/self`; zero where there is none.
fn proc_field(file: &str, index: usize) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/self/{file}")).unwrap_or_default();
    // The name of the program, in brackets, may hold blanks.
    let after = text.rsplit(") ").next().unwrap_or_default();
    after
        .split_whitespace()
        .nth(index)
        .and_then(|field| field.parse().ok())
        .unwrap_or(0.0)
}

/// Processor time of the process: user and system, in clock ticks of 10 ms.
fn cpu_s() -> f64 {
    (proc_field("stat", 11) + proc_field("stat", 12)) / 100.0
}

/// Memory that is really in use, in pages of 4 KiB.
fn resident_mb() -> f64 {
    proc_field("statm", 1) * 4096.0 / 1e6
}
