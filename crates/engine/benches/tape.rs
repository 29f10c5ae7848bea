//! Trials over a tape against whole replays of the parity feed, one thread, one process: CPU time of each, their ratio, and
//! what the tape costs. Linux only; argument: samples per row (9).

mod feed;
#[allow(dead_code)] // shared with other benches
mod parity;

use std::sync::Arc;

use crossbook_engine::engine::Target;
use crossbook_engine::event::Chunk;
use crossbook_engine::instrument::InstrumentId;
use crossbook_engine::order::Leg;
use crossbook_engine::records::NoRecorder;
use crossbook_engine::risk::Limits;
use crossbook_engine::spread::{FairModel, FillModel};
use crossbook_engine::strategy::StrategyConfig;
use crossbook_engine::tape::{Tape, replay_tape};
use crossbook_engine::units::{Amount, Bps};

/// CPU time of this process so far, in seconds, as the kernel's scheduler counts it.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").expect("Linux with schedstat");
    let ns = text.split(' ').next().and_then(|ns| ns.parse::<f64>().ok());
    ns.expect("nanoseconds") / 1e9
}

/// Median and extremes of CPU seconds per call, from samples of at least 40 ms each: the kernel counts in steps of 4 ms.
fn measure(samples: usize, mut run: impl FnMut()) -> [f64; 3] {
    run();
    let before = cpu_seconds();
    let mut calls = 0u32;
    while cpu_seconds() - before < 0.04 {
        run();
        calls += 1;
    }
    let calls = calls.max(1) * 2;
    let mut seconds: Vec<f64> = (0..samples)
        .map(|_| {
            let before = cpu_seconds();
            (0..calls).for_each(|_| run());
            (cpu_seconds() - before) / f64::from(calls)
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    [seconds[samples / 2], seconds[0], seconds[samples - 1]]
}

fn sources(streams: &[Vec<Arc<Chunk>>; 3]) -> Vec<(Target, Vec<Arc<Chunk>>)> {
    let targets = [
        Target::Instrument(InstrumentId(0)),
        Target::Instrument(InstrumentId(1)),
        Target::Fx,
    ];
    targets.into_iter().zip(streams.iter().cloned()).collect()
}

type Case = (&'static str, fn(&mut StrategyConfig), fn(&mut Limits));

fn main() {
    let samples = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(9);
    let streams = feed::feed(2_000_000, 42);
    let model = FillModel::Walk;
    let config = parity::engine_config(parity::strategy(model));
    let before = cpu_seconds();
    let tape = Tape::new(sources(&streams), &config).expect("streams in memory");
    let built = cpu_seconds() - before;
    let data: usize = streams.iter().flatten().map(|chunk| chunk.bytes()).sum();
    println!(
        "tape of {} instants: {built:.3} CPU s, {:.1} MB beside {:.1} MB of streams, {:.1} bytes an instant",
        tape.instants(),
        tape.bytes() as f64 / 1e6,
        data as f64 / 1e6,
        tape.bytes() as f64 / tape.instants() as f64
    );
    let none: fn(&mut Limits) = |_| {};
    let cases: [Case; 9] = [
        ("zero", |_| {}, none),
        ("constant", |s| s.fair = FairModel::Constant(Bps::from_bps(10.0)), none),
        (
            "ewma, 10 min",
            |s| {
                s.fair = FairModel::Ewma {
                    half_life_ns: 600_000_000_000,
                };
                s.entry = Bps::from_bps(10.0);
                s.exit = Bps::from_bps(0.0);
            },
            none,
        ),
        ("take-profit", |s| s.take_profit = Some(Bps::from_bps(15.0)), none),
        ("stop", |s| s.stop = Some(Bps::from_bps(40.0)), none),
        ("max hold", |s| s.max_hold_ns = Some(60_000_000_000), none),
        ("maker", |s| s.maker = Some(Leg::A), none),
        (
            "loss limits",
            |_| {},
            |limits| {
                limits.global.max_daily_loss = Amount::parse("300000").ok();
                limits.global.max_drawdown = Amount::parse("1000000").ok();
            },
        ),
        (
            "volatility limit",
            |_| {},
            |limits| {
                limits.symbol.max_move = Some(Bps::from_bps(500.0));
                limits.symbol.move_window_ns = 60_000_000_000;
            },
        ),
    ];
    for (name, change, limit) in cases {
        let mut strategy = parity::strategy(model);
        change(&mut strategy);
        let mut config = parity::engine_config(strategy);
        limit(&mut config.limits);
        let sim = parity::sim_config(&config, model);
        let (whole, _) = parity::run_with(&streams, config.clone(), model, &mut NoRecorder);
        let trial =
            || replay_tape(&tape, config.clone(), sim.clone(), &mut NoRecorder, &mut |_, _| true).expect("it fits");
        // The first of its kind makes what the tape keeps for later ones.
        let before = cpu_seconds();
        assert_eq!(trial().0.digest(), whole.digest(), "{name}");
        let first = cpu_seconds() - before;
        let full = measure(samples.min(5), || {
            std::hint::black_box(parity::run_with(&streams, config.clone(), model, &mut NoRecorder).1);
        });
        let fast = measure(samples, || {
            std::hint::black_box(trial().1);
        });
        println!(
            "{name}: {} entries, whole {:.2} ms, trial {:.3} ms ({:.3} .. {:.3}), 1/{:.0}, first {:.0} ms",
            whole.counts().entries,
            full[0] * 1e3,
            fast[0] * 1e3,
            fast[1] * 1e3,
            fast[2] * 1e3,
            full[0] / fast[0],
            first * 1e3
        );
    }
}
