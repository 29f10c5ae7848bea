//! Rows per CPU second of whole replays in memory on one thread, and the peak memory of the process: figures that stand
//! beside other engines' on a noisy machine, where wall time does not. Linux only; argument: runs per row (9).

mod feed;
mod parity;

use std::sync::Arc;

use crossbook_engine::event::Chunk;
use crossbook_engine::records::NoRecorder;
use crossbook_engine::spread::FillModel;

/// CPU time of this process so far, in seconds, as the kernel's scheduler counts it.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").expect("Linux with schedstat");
    text.split(' ')
        .next()
        .and_then(|ns| ns.parse::<f64>().ok())
        .expect("nanoseconds")
        / 1e9
}

/// Replays in one sample: on a quiet machine the kernel brings its count up to date every 4 ms only.
const REPEAT: u32 = 10;

fn peak_mb() -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = text.lines().find(|line| line.starts_with("VmHWM:")).expect("a peak");
    line.split_whitespace()
        .nth(1)
        .and_then(|kb| kb.parse::<f64>().ok())
        .expect("a number")
        / 1024.0
}

fn measure(name: &str, streams: &[Vec<Arc<Chunk>>; 3], elements: u64, runs: usize) {
    for model in [FillModel::Top, FillModel::Walk] {
        let mut seconds: Vec<f64> = (0..runs)
            .map(|_| {
                let before = cpu_seconds();
                for _ in 0..REPEAT {
                    std::hint::black_box(parity::run(streams, model, &mut NoRecorder).1);
                }
                (cpu_seconds() - before) / f64::from(REPEAT)
            })
            .collect();
        seconds.sort_by(f64::total_cmp);
        let median = seconds[runs / 2];
        println!(
            "{name} {model:?}: {elements} in {median:.4} CPU s ({:.4} .. {:.4}), {:.1} M per CPU s, peak {:.0} MB",
            seconds[0],
            seconds[runs - 1],
            elements as f64 / median / 1e6,
            peak_mb()
        );
    }
}

fn main() {
    let runs = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(9);
    let streams = feed::feed(2_000_000, 42);
    measure(
        "parity rows",
        &streams,
        streams.iter().flatten().map(|chunk| chunk.rows()).sum(),
        runs,
    );
    let tops = feed::tops(&streams);
    measure(
        "top-of-book events",
        &tops,
        tops.iter().flatten().map(|chunk| chunk.len() as u64).sum(),
        runs,
    );
}
