//! Trials over a tape of the parity feed against whole replays: equal digests and rows over a sweep of settings.

#[path = "../benches/feed.rs"]
mod feed;
#[allow(dead_code)] // shared with the benches
#[path = "../benches/parity.rs"]
mod parity;

use std::sync::Arc;

use crossbook_engine::engine::{EngineConfig, Target};
use crossbook_engine::event::Chunk;
use crossbook_engine::instrument::InstrumentId;
use crossbook_engine::order::Leg;
use crossbook_engine::records::{NoRecorder, Rows};
use crossbook_engine::replay::ReplayError;
use crossbook_engine::rng::Rng;
use crossbook_engine::sim::Latency;
use crossbook_engine::spread::{FairModel, FillModel};
use crossbook_engine::strategy::{OrderStyle, Size};
use crossbook_engine::tape::{Tape, replay_tape};
use crossbook_engine::units::{Amount, Bps, Qty};

const MS: i64 = 1_000_000;

fn sources(streams: &[Vec<Arc<Chunk>>; 3]) -> Vec<(Target, Vec<Arc<Chunk>>)> {
    let targets = [
        Target::Instrument(InstrumentId(0)),
        Target::Instrument(InstrumentId(1)),
        Target::Fx,
    ];
    targets.into_iter().zip(streams.iter().cloned()).collect()
}

/// A set of parameters around those of the parity strategy.
fn settings(rng: &mut Rng) -> (EngineConfig, FillModel) {
    let model = [FillModel::Walk, FillModel::Walk, FillModel::Top][rng.below(3) as usize];
    let mut strategy = parity::strategy(model);
    let mut pick = |choices: &[f64]| choices[rng.below(choices.len() as u64) as usize];
    let half_life_ns = pick(&[1e9, 30e9, 600e9]) as i64;
    strategy.fair = match pick(&[0.0, 1.0, 2.0, 2.0]) {
        0.0 => FairModel::Zero,
        1.0 => FairModel::Constant(Bps::from_bps(pick(&[-5.0, 5.0, 90.0]))),
        _ => FairModel::Ewma { half_life_ns },
    };
    let moves = matches!(strategy.fair, FairModel::Ewma { .. });
    strategy.warmup_ns = pick(&[0.0, 60e9]) as i64;
    strategy.entry = Bps::from_bps(pick(&[-25.0, -10.0, 5.0, 20.0]) + if moves { 0.0 } else { 75.0 });
    strategy.exit = Bps::from_bps(pick(&[-5.0, 0.0, 10.0]) + if moves { 0.0 } else { 75.0 });
    strategy.take_profit = [None, Some(Bps::from_bps(pick(&[-20.0, 5.0])))][pick(&[0.0, 1.0]) as usize];
    strategy.stop = [None, Some(Bps::from_bps(pick(&[35.0, 45.0])))][pick(&[0.0, 1.0]) as usize];
    strategy.max_hold_ns = [None, Some(pick(&[1e9, 20e9]) as i64)][pick(&[0.0, 0.0, 1.0]) as usize];
    strategy.size = Size::Quantity(Qty::parse(["0.01", "2", "40"][pick(&[0.0, 1.0, 2.0]) as usize]).unwrap());
    strategy.buy_a = pick(&[0.0, 1.0]) == 1.0;
    strategy.maker = [None, None, Some(Leg::A), Some(Leg::B)][pick(&[0.0, 1.0, 2.0, 3.0]) as usize];
    if pick(&[0.0, 1.0]) == 1.0 {
        strategy.style = OrderStyle::Limit {
            collar: Bps::from_bps(pick(&[0.0, 1.0])),
        };
    }
    let mut config = parity::engine_config(strategy);
    config.sample_ns = pick(&[1e9, 60e9]) as i64;
    let limits = &mut config.limits;
    let limit = |of: f64| (of > 0.0).then(|| Amount::parse(&format!("{of}")).unwrap());
    limits.global.max_daily_loss = limit(pick(&[0.0, 0.0, 3e4, 1e7]));
    limits.global.max_drawdown = limit(pick(&[0.0, 0.0, 3e4, 1e7]));
    limits.symbol.max_move = [None, Some(Bps::from_bps(pick(&[20.0, 500.0])))][pick(&[0.0, 0.0, 1.0]) as usize];
    limits.symbol.move_window_ns = pick(&[1e9, 60e9]) as i64;
    limits.route.max_trips_per_hour = [None, Some(3)][pick(&[0.0, 0.0, 1.0]) as usize];
    (config, model)
}

/// `CROSSBOOK_SEEDS` raises the number of random settings.
fn cases() -> u64 {
    let asked = std::env::var("CROSSBOOK_SEEDS").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(24)
}

#[test]
fn a_sweep_of_settings_gives_what_whole_replays_give() {
    let feed = feed::feed(100_000, 42);
    let base = parity::engine_config(parity::strategy(FillModel::Walk));
    let tape = Tape::new(sources(&feed), &base).unwrap();
    let mut rng = Rng::stream(1, "tape");
    let mut traded = 0;
    for case in 0..cases() {
        let (config, model) = settings(&mut rng);
        let mut sim = parity::sim_config(&config, model);
        sim.venues[0].order_latency = match case % 3 {
            0 => Latency::Constant { ns: 8 * MS },
            1 => Latency::LogNormal {
                median_ns: 8 * MS,
                sigma: 0.5,
            },
            _ => Latency::Recorded { multiple: 2.0 },
        };
        let (mut want, mut got) = (Rows::default(), Rows::default());
        let whole = parity::run_sim(&feed, config.clone(), sim.clone(), &mut want);
        let trial = replay_tape(&tape, config.clone(), sim, &mut got, &mut |_, _| true).unwrap();
        let what = format!("case {case}: {config:?}");
        assert_eq!(got.orders, want.orders, "{what}");
        assert_eq!(got.fills, want.fills, "{what}");
        assert_eq!(got.round_trips, want.round_trips, "{what}");
        assert_eq!(got.risk, want.risk, "{what}");
        assert_eq!(got.equity, want.equity, "{what}");
        assert_eq!(got.spread, want.spread, "{what}");
        assert_eq!(trial.0.counts(), whole.0.counts(), "{what}");
        assert_eq!(trial.0.blocked_time(), whole.0.blocked_time(), "{what}");
        assert_eq!(trial.1, whole.1, "{what}");
        assert_eq!(trial.0.digest(), whole.0.digest(), "{what}");
        traded += u64::from(whole.0.counts().exits > 0);
    }
    assert!(traded > cases() / 3, "only {traded} of the cases trade");
}

#[test]
fn a_trial_ends_when_it_is_told_to_and_refuses_other_rules() {
    let feed = feed::feed(40_000, 7);
    let config = parity::engine_config(parity::strategy(FillModel::Top));
    let sim = parity::sim_config(&config, FillModel::Top);
    let tape = Tape::new(sources(&feed), &config).unwrap();
    let mut asked = 0;
    let stopped = replay_tape(
        &tape,
        config.clone(),
        sim.clone(),
        &mut Rows::default(),
        &mut |rows, now| {
            asked += 1;
            // There is no rate yet at the first.
            assert_eq!(rows.equity.last().map(|point| point.ts), (asked > 1).then_some(now));
            asked < 3
        },
    );
    assert!(matches!(stopped, Err(ReplayError::Interrupted)), "{:?}", stopped.err());
    assert_eq!(asked, 3);
    let mut other = config.clone();
    other.limits.venue.max_book_age_ns += 1;
    assert!(!tape.fits(&other) && tape.fits(&config));
    let refused = replay_tape(&tape, other, sim, &mut NoRecorder, &mut |_, _| true);
    assert!(matches!(refused, Err(ReplayError::Unfit)));
}

#[test]
fn threads_share_a_tape_and_no_trial_tells_which_came_before() {
    let feed = feed::feed(60_000, 3);
    let config = |half_life_ns: i64| {
        let mut strategy = parity::strategy(FillModel::Walk);
        strategy.fair = FairModel::Ewma { half_life_ns };
        (strategy.entry, strategy.exit) = (Bps::from_bps(-28.0), Bps::from_bps(5.0));
        parity::engine_config(strategy)
    };
    let tape = Tape::new(sources(&feed), &config(1)).unwrap();
    let trial = |half_life_ns: i64| {
        let config = config(half_life_ns);
        let sim = parity::sim_config(&config, FillModel::Walk);
        let (engine, _) = replay_tape(&tape, config, sim, &mut NoRecorder, &mut |_, _| true).unwrap();
        assert!(engine.counts().exits > 0);
        engine.digest()
    };
    let half_lives: Vec<i64> = (1..40).map(|number| number * 1_000 * MS).collect();
    let first: Vec<String> = half_lives.iter().map(|&half_life_ns| trial(half_life_ns)).collect();
    std::thread::scope(|scope| {
        for turn in 0..3 {
            let (first, half_lives, trial) = (&first, &half_lives, &trial);
            scope.spawn(move || {
                for step in 0..half_lives.len() {
                    let at = (step * 7 + turn * 13) % half_lives.len();
                    assert_eq!(trial(half_lives[at]), first[at], "half-life {}", half_lives[at]);
                }
            });
        }
    });
}
