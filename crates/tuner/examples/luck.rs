//! How often the guards are right, on a market in a few lines: a spread that returns to its mean or does not, and a rule that bets
//! on its return. No order books, so hundreds of sessions take seconds, with any sampler; the whole program is held to the same
//! by `make luck`. The table is in `docs/tuning-guards.md`.
//!
//! ```text
//! cargo run --release -p crossbook-tuner --example luck -- [SESSIONS] [FIRST_SEED] [SAMPLER...]
//! ```

use crossbook_engine::rng::Rng;
use crossbook_tuner::guards::bootstrap::{Resampling, superiority};
use crossbook_tuner::guards::cscv::{BLOCKS, Statistic, cscv};
use crossbook_tuner::guards::plateau;
use crossbook_tuner::guards::sharpe::{Sharpe, luck, variance};
use crossbook_tuner::sampler::SamplerConfig;
use crossbook_tuner::space::{Domain, Param, Params, Space, Value};
use crossbook_tuner::study::{Direction, Outcome, Study};

/// Trials of a session.
const TRIALS: usize = 500;
/// Points of the reference.
const REFERENCE: usize = 96;
/// Steps of a period, and periods in sample and out of it.
const STEPS: usize = 30;
const TRAIN: usize = 168;
const TEST: usize = 72;
/// Cost of a fill on both venues, bps.
const COST: f64 = 5.0;
/// Seconds of a step.
const SECONDS: f64 = 4.0;

/// A spread in bps, step by step: deviation and half-life in seconds, or a random walk of this deviation an hour.
#[derive(Clone, Copy)]
enum Market {
    Walk(f64),
    Reverting(f64, f64),
}

impl Market {
    fn spread(self, seed: u64) -> Vec<f64> {
        let mut rng = Rng::stream(seed, "spread");
        let (keep, noise, mut at): (f64, f64, f64) = match self {
            Market::Walk(sd) => (1.0, sd * (SECONDS / 3600.0).sqrt(), 0.0),
            Market::Reverting(sd, half_life) => {
                let keep: f64 = libm::exp2(-SECONDS / half_life);
                (keep, sd * (1.0 - keep * keep).sqrt(), sd * rng.normal())
            }
        };
        (0..(TRAIN + TEST) * STEPS)
            .map(|_| {
                at = keep * at + noise * rng.normal();
                at
            })
            .collect()
    }

    fn name(self) -> String {
        match self {
            Market::Walk(sd) => format!("walk {sd}/h"),
            Market::Reverting(sd, half_life) => format!("returns, {sd} bps, {half_life} s"),
        }
    }
}

fn space() -> Space {
    let words = ["zero", "ewma"].map(|word| Value::Text(word.to_owned())).to_vec();
    let ewma = vec![("model".to_owned(), vec![Value::Text("ewma".to_owned())])];
    let half_life = Param {
        name: "half_life".to_owned(),
        domain: Domain::log_float(60.0, 7200.0),
        when: ewma,
    };
    let params = vec![
        Param::new("entry", Domain::float(-20.0, 60.0)),
        Param::new("exit", Domain::float(-20.0, 20.0)),
        Param::new("hold", Domain::log_float(60.0, 3600.0)),
        Param::new("take", Domain::log_float(5.0, 80.0)),
        Param::new("stop", Domain::log_float(10.0, 160.0)),
        Param::new("model", Domain::Choice(words)),
        half_life,
    ];
    Space::new(params, vec![]).expect("a space")
}

/// Results per period of these parameters over a stretch of the spread, and round trips.
fn run(params: &Params, spread: &[f64]) -> (Vec<f64>, u64) {
    let number = |name: &str| params.get(name).and_then(Value::number);
    let get = |name: &str| number(name).unwrap_or(0.0);
    let (entry, exit, take, stop) = (get("entry"), get("exit"), get("take"), get("stop"));
    let hold = (get("hold") / SECONDS) as usize;
    let weight = number("half_life").map_or(0.0, |half_life| 1.0 - libm::exp2(-SECONDS / half_life));
    let (mut fair, mut side, mut since, mut paid, mut trips) = (0.0, 0.0f64, 0, 0.0, 0);
    let mut periods = vec![0.0; spread.len() / STEPS];
    for (step, &now) in spread.iter().enumerate() {
        let period = &mut periods[step / STEPS];
        if step > 0 {
            *period -= side * (now - spread[step - 1]);
        }
        let off = now - fair;
        if side == 0.0 {
            // Short what is dear, long what is cheap, when it is worth the cost beyond `entry`.
            if off.abs() - COST > entry {
                (side, since, paid) = (off.signum(), step, now);
                *period -= COST;
            }
        } else {
            let gain = side * (paid - now);
            if side * off < exit || step - since >= hold || gain >= take || gain <= -stop {
                (side, trips) = (0.0, trips + 1);
                *period -= COST;
            }
        }
        fair += weight * (now - fair);
    }
    (periods, trips)
}

/// The objective: Sharpe ratio of the periods, of trials that trade.
fn value((periods, trips): &(Vec<f64>, u64)) -> Option<f64> {
    Sharpe::of(periods).filter(|_| *trips >= 10).map(|sharpe| sharpe.ratio)
}

#[derive(Default)]
struct Row {
    gain: f64,
    later: f64,
    plain: f64,
    deflated: f64,
    observed: f64,
    pbo: f64,
    own: f64,
    white: f64,
    hansen: f64,
    efficiency: f64,
    plateau: f64,
    trips: u64,
}

impl Row {
    fn luck(&self) -> bool {
        !(self.deflated >= 0.95 && self.pbo <= 0.2)
    }

    fn accepted(&self) -> bool {
        !self.luck() && self.efficiency >= 0.5 && self.plateau >= 0.7 && self.trips >= 30
    }
}

fn session(market: Market, sampler: &str, seed: u64) -> Row {
    let spread = market.spread(seed);
    let (train, test) = spread.split_at(TRAIN * STEPS);
    let space = space();
    let config = SamplerConfig::by_name(sampler).expect("a sampler");
    let mut study = Study::new(space.clone(), config, Direction::Maximize, seed, Some(TRIALS as u64)).expect("a study");
    let mut all: Vec<Vec<f64>> = Vec::new();
    let mut best: Option<(f64, Params, Vec<f64>, u64)> = None;
    while all.len() < TRIALS {
        let asked = study.ask(10).expect("trials");
        for trial in asked {
            let result = run(&trial.params, train);
            let found = value(&result);
            study
                .tell(trial.id, found.map_or(Outcome::Failed, Outcome::Complete))
                .expect("told");
            if let Some(value) = found
                && best.as_ref().is_none_or(|(most, ..)| value > *most)
            {
                best = Some((value, trial.params, result.0.clone(), result.1));
            }
            all.push(result.0);
        }
    }
    let Some((peak, params, periods, trips)) = best else {
        return Row {
            pbo: 1.0,
            own: 1.0,
            white: 1.0,
            hansen: 1.0,
            ..Row::default()
        };
    };
    let rows: Vec<&[f64]> = all.iter().map(Vec::as_slice).collect();
    let sharpe = Sharpe::of(&periods).expect("it has a value");
    let ratios: Vec<f64> = rows.iter().filter_map(|row| Sharpe::of(row)).map(|s| s.ratio).collect();
    let mut rng = Rng::stream(seed, "reference");
    let reference: Vec<Vec<f64>> = (0..REFERENCE)
        .map(|_| run(&space.decode(&space.sample(&mut rng).expect("a point")), train).0)
        .collect();
    let reference: Vec<&[f64]> = reference.iter().map(Vec::as_slice).collect();
    let pbo = |rows: &[&[f64]]| cscv(rows, BLOCKS, Statistic::Sharpe).map_or(1.0, |all| all.pbo);
    let learns = !matches!(sampler, "grid" | "random" | "sobol" | "halton");
    let own = pbo(&rows);
    let drawn = Resampling {
        samples: 300,
        block: None,
        seed,
    };
    let superior = superiority(&rows, &drawn);
    let point = space.encode(&params).expect("its own");
    let around: Vec<(Vec<f64>, Option<f64>)> = plateau::neighbours(&space, &point, plateau::NEIGHBOURS, seed)
        .into_iter()
        .map(|near| {
            let result = run(&space.decode(&near), train);
            (near, value(&result))
        })
        .collect();
    let gain: f64 = periods.iter().sum();
    let later: f64 = run(&params, test).0.iter().sum();
    let n = TRIALS as f64;
    Row {
        gain,
        later,
        plain: sharpe.probability_above(0.0).unwrap_or(0.0),
        deflated: sharpe.deflated(n, 1.0 / (TRAIN as f64 - 1.0)).unwrap_or(0.0),
        observed: variance(&ratios)
            .and_then(|v| luck(n, v))
            .and_then(|best| sharpe.probability_above(best))
            .unwrap_or(0.0),
        pbo: if learns { pbo(&reference) } else { own },
        own,
        white: superior.map_or(1.0, |s| s.reality_check),
        hansen: superior.map_or(1.0, |s| s.superior),
        efficiency: if gain > 0.0 {
            later / TEST as f64 / (gain / TRAIN as f64)
        } else {
            -1.0
        },
        plateau: plateau::evaluated(&space, &point, peak, &around).map_or(-1.0, |p| p.score),
        trips,
    }
}

fn main() {
    let mut given = std::env::args().skip(1);
    let mut number = |default: u64| given.next().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (count, first) = (number(100), number(1));
    let mut samplers: Vec<String> = given.collect();
    if samplers.is_empty() {
        samplers.push("tpe".to_owned());
    }
    let markets = [
        Market::Walk(120.0),
        Market::Reverting(60.0, 300.0),
        Market::Reverting(30.0, 60.0),
        Market::Walk(400.0),
        Market::Reverting(30.0, 300.0),
        Market::Walk(30.0),
        Market::Reverting(15.0, 300.0),
        Market::Reverting(60.0, 1800.0),
    ];
    println!("{count} sessions of {TRIALS} trials each, seeds from {first}; how many of them, in percent");
    println!(
        "{:<8} {:<26} {:>5} {:>5} | {:>5} {:>5} {:>5} {:>5} {:>5} {:>5} {:>5} | {:>5} {:>5} {:>5} | {:>5} {:>5}",
        "sampler",
        "spread",
        "earns",
        "later",
        "PSR",
        "DSR",
        "obs",
        "PBO",
        "own",
        "White",
        "SPA",
        "WFE",
        "plat",
        "trips",
        "LUCK",
        "ACCEPT"
    );
    for sampler in &samplers {
        for market in markets {
            let rows: Vec<Row> = (first..first + count)
                .map(|seed| session(market, sampler, seed))
                .collect();
            let share = |of: &dyn Fn(&Row) -> bool| {
                format!(
                    "{:.0}",
                    100.0 * rows.iter().filter(|row| of(row)).count() as f64 / count as f64
                )
            };
            println!(
                "{:<8} {:<26} {:>5} {:>5} | {:>5} {:>5} {:>5} {:>5} {:>5} {:>5} {:>5} | {:>5} {:>5} {:>5} | {:>5} {:>5}",
                sampler,
                market.name(),
                share(&|row| row.gain > 0.0),
                share(&|row| row.later > 0.0),
                share(&|row| row.plain >= 0.95),
                share(&|row| row.deflated >= 0.95),
                share(&|row| row.observed >= 0.95),
                share(&|row| row.pbo <= 0.2),
                share(&|row| row.own <= 0.2),
                share(&|row| row.white <= 0.05),
                share(&|row| row.hansen <= 0.05),
                share(&|row| row.efficiency >= 0.5),
                share(&|row| row.plateau >= 0.7),
                share(&|row| row.trips >= 30),
                share(&Row::luck),
                share(&Row::accepted),
            );
        }
    }
}
