//! Problems whose least value is known, for judging samplers: seven that published optimizers have been measured on, and
//! others, shifted, permuted or stepped, on which no setting was chosen.
//!
//! Sources of the formulas: Surjanovic and Bingham, "Virtual library of simulation experiments" (branin, hartmann, ackley,
//! rosenbrock, levy, griewank, styblinski-tang, camel, dixon-price, powell). `mixed` and `steppnl` are our own.

use std::f64::consts::PI;

use crossbook_tuner::sampler::SamplerConfig;
use crossbook_tuner::space::{Domain, Param, Params, Space, Value};
use crossbook_tuner::study::{Direction, Outcome, Study};

/// Something to minimise.
pub struct Problem {
    pub name: &'static str,
    pub params: Vec<Param>,
    pub loss: fn(&Params) -> f64,
    /// The least loss.
    pub least: f64,
}

impl Problem {
    /// Least loss above the least possible after so many trials in batches; `None` when the sampler refuses the space or
    /// has fewer points.
    pub fn regret(&self, sampler: &SamplerConfig, seed: u64, trials: usize, batch: usize) -> Option<f64> {
        let space = Space::new(self.params.clone(), Vec::new()).expect("a sound space");
        let mut study = Study::new(space, sampler.clone(), Direction::Minimize, seed, Some(trials as u64)).ok()?;
        let mut asked = 0;
        while asked < trials {
            let trials = study.ask(batch.min(trials - asked)).ok()?;
            if trials.is_empty() {
                return None;
            }
            asked += trials.len();
            for trial in trials {
                let outcome = Outcome::Complete((self.loss)(&trial.params));
                study.tell(trial.id, outcome).expect("a trial that was asked");
            }
        }
        study.best().map(|(_, value)| value - self.least)
    }

    /// The median of [`Problem::regret`] over seeds from 0.
    pub fn median_regret(&self, sampler: &SamplerConfig, seeds: u64, trials: usize, batch: usize) -> Option<f64> {
        let mut all: Vec<f64> = (0..seeds)
            .map(|seed| self.regret(sampler, seed, trials, batch))
            .collect::<Option<_>>()?;
        all.sort_by(f64::total_cmp);
        let middle = all.len() / 2;
        match all.len() {
            0 => None,
            count if count % 2 == 1 => Some(all[middle]),
            _ => Some(0.5 * (all[middle - 1] + all[middle])),
        }
    }
}

fn number(params: &Params, name: &str) -> f64 {
    params.get(name).and_then(Value::number).expect("a number")
}

fn word<'a>(params: &'a Params, name: &str) -> &'a str {
    match params.get(name) {
        Some(Value::Text(word)) => word,
        _ => "",
    }
}

fn vector<const N: usize>(params: &Params) -> [f64; N] {
    std::array::from_fn(|k| number(params, &format!("x{k}")))
}

fn floats(count: usize, low: f64, high: f64) -> Vec<Param> {
    let float = |k: usize| Param::new(&format!("x{k}"), Domain::float(low, high));
    (0..count).map(float).collect()
}

fn words(name: &str, words: &[&str]) -> Param {
    let values = words.iter().map(|word| Value::Text((*word).to_owned()));
    Param::new(name, Domain::Choice(values.collect()))
}

fn log_int(name: &str, low: i64, high: i64) -> Param {
    let domain = Domain::Int {
        low,
        high,
        log: true,
        step: 1,
    };
    Param::new(name, domain)
}

fn branin([x, y]: [f64; 2]) -> f64 {
    let (b, c, t) = (5.1 / (4.0 * PI * PI), 5.0 / PI, 1.0 / (8.0 * PI));
    let root = y - b * x * x + c * x - 6.0;
    root * root + 10.0 * (1.0 - t) * x.cos() + 10.0
}

const HARTMANN_3: ([[f64; 3]; 4], [[f64; 3]; 4]) = (
    [
        [3.0, 10.0, 30.0],
        [0.1, 10.0, 35.0],
        [3.0, 10.0, 30.0],
        [0.1, 10.0, 35.0],
    ],
    [
        [0.3689, 0.1170, 0.2673],
        [0.4699, 0.4387, 0.7470],
        [0.1091, 0.8732, 0.5547],
        [0.0381, 0.5743, 0.8828],
    ],
);
const HARTMANN_6: ([[f64; 6]; 4], [[f64; 6]; 4]) = (
    [
        [10.0, 3.0, 17.0, 3.5, 1.7, 8.0],
        [0.05, 10.0, 17.0, 0.1, 8.0, 14.0],
        [3.0, 3.5, 1.7, 10.0, 17.0, 8.0],
        [17.0, 8.0, 0.05, 10.0, 0.1, 14.0],
    ],
    [
        [0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886],
        [0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991],
        [0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650],
        [0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381],
    ],
);

fn hartmann<const N: usize>((a, p): &([[f64; N]; 4], [[f64; N]; 4]), x: [f64; N]) -> f64 {
    let hill = |(i, alpha): (usize, f64)| {
        let away: f64 = (0..N).map(|j| a[i][j] * (x[j] - p[i][j]) * (x[j] - p[i][j])).sum();
        alpha * (-away).exp()
    };
    -[1.0, 1.2, 3.0, 3.2].into_iter().enumerate().map(hill).sum::<f64>()
}

fn ackley<const N: usize>(x: [f64; N]) -> f64 {
    let square = x.iter().map(|v| v * v).sum::<f64>() / N as f64;
    let cosine = x.iter().map(|v| (2.0 * PI * v).cos()).sum::<f64>() / N as f64;
    -20.0 * (-0.2 * square.sqrt()).exp() - cosine.exp() + 20.0 + std::f64::consts::E
}

fn rosenbrock<const N: usize>(x: [f64; N]) -> f64 {
    x.windows(2)
        .map(|p| 100.0 * (p[1] - p[0] * p[0]).powi(2) + (1.0 - p[0]).powi(2))
        .sum()
}

/// The venue moves the best gain and the best rate, so each has to be learnt on its own.
fn mixed(params: &Params) -> f64 {
    let (offset, gain, rate) = match word(params, "venue") {
        "a" => (0.6, -1.2, -1.0),
        "b" => (0.35, 2.0, -3.0),
        "c" => (0.0, 0.7, -2.0),
        _ => (1.0, -0.4, -4.0),
    };
    let flag = params.get("flag") == Some(&Value::Bool(true));
    let z = number(params, "gain") - gain;
    let lots = 0.02 * (number(params, "lots") - 13.0).powi(2) * if flag { 1.0 } else { 0.5 };
    offset
        + 0.5 * z * z
        + 0.3 * (1.0 - (3.0 * PI * z).cos())
        + 0.5 * (number(params, "rate").log10() - rate).powi(2)
        + lots
        + 0.25 * (number(params, "depth") - 4.0).abs()
        + if flag { 0.0 } else { 0.4 }
}

/// The negated profit of an imaginary spread strategy: whole trades, steps of a tick, a plateau without trades, a risk limit
/// to fall off, and a reproducible ripple of luck.
fn steppnl(params: &Params) -> f64 {
    let half = |name: &str| (number(params, name) * 2.0).round_ties_even() / 2.0;
    let (entry, exit) = (half("entry_bps"), half("exit_bps"));
    let (size, hold) = (number(params, "size"), number(params, "max_hold"));
    let octave = number(params, "window").log2().floor();
    let (fee, fill, adverse, style) = match word(params, "style") {
        "taker" => (9.0, 1.0, 0.0, 0.0),
        "maker" => (4.0, 0.55, 3.0, 1.0),
        _ => (6.5, 0.8, 1.0, 2.0),
    };
    let trades = (400.0 * fill * (-entry / 14.0).exp() * (1.0 + 0.25 * ((hold - 12.0) / 6.0).tanh())).floor();
    if trades < 5.0 {
        return 0.0;
    }
    let captured = entry - exit.min(entry) - fee - adverse;
    let per_trade = captured - 0.06 * (octave - 9.0).powi(2) - 0.018 * size.powf(1.5);
    let exposure = trades * size * hold / 100.0;
    let fall = if exposure > 330.0 {
        2.0 * (exposure - 330.0) + 80.0
    } else {
        0.0
    };
    let phase = 2.399 * entry + 1.171 * exit + 3.733 * octave + 0.917 * size + 1.619 * hold + 2.1 * style;
    let ripple = phase.sin() + 0.7 * (2.713 * phase + 1.0).sin() + 0.5 * (0.389 * phase * (1.0 + 0.01 * entry)).sin();
    -(trades * per_trade * size / 100.0 - fall + 12.0 * ripple)
}

/// The problems that published optimizers have been measured on.
pub fn seven() -> Vec<Problem> {
    let truth = Domain::Choice(vec![Value::Bool(true), Value::Bool(false)]);
    let mixed_params = vec![
        Param::new("gain", Domain::float(-3.0, 3.0)),
        Param::new("rate", Domain::log_float(1e-5, 1.0)),
        Param::new("lots", Domain::int(1, 40)),
        Param::new("depth", Domain::int(1, 10)),
        words("venue", &["a", "b", "c", "d"]),
        Param::new("flag", truth),
    ];
    let step_params = vec![
        Param::new("entry_bps", Domain::float(2.0, 80.0)),
        Param::new("exit_bps", Domain::float(0.0, 20.0)),
        log_int("window", 8, 8191),
        Param::new("size", Domain::int(1, 40)),
        Param::new("max_hold", Domain::int(1, 30)),
        words("style", &["taker", "maker", "hybrid"]),
    ];
    let branin_params = vec![
        Param::new("x0", Domain::float(-5.0, 10.0)),
        Param::new("x1", Domain::float(0.0, 15.0)),
    ];
    let problem = |name, params, loss, least| Problem {
        name,
        params,
        loss,
        least,
    };
    vec![
        problem("branin", branin_params, |p| branin(vector(p)), 0.39788735772973816),
        problem(
            "hartmann3",
            floats(3, 0.0, 1.0),
            |p| hartmann(&HARTMANN_3, vector(p)),
            -3.86278214782076,
        ),
        problem(
            "hartmann6",
            floats(6, 0.0, 1.0),
            |p| hartmann(&HARTMANN_6, vector(p)),
            -3.32236801141551,
        ),
        problem("ackley5", floats(5, -22.768, 42.768), |p| ackley(vector::<5>(p)), 0.0),
        problem(
            "rosenbrock5",
            floats(5, -5.0, 10.0),
            |p| rosenbrock(vector::<5>(p)),
            0.0,
        ),
        problem("mixed", mixed_params, mixed, 0.0),
        // By exhaustion of all its steps.
        problem("steppnl", step_params, steppnl, -364.8394491492655),
    ]
}

fn levy<const N: usize>(x: [f64; N]) -> f64 {
    let w = x.map(|v| 1.0 + (v - 1.0) / 4.0);
    let inner = w[..N - 1]
        .iter()
        .map(|w| (w - 1.0).powi(2) * (1.0 + 10.0 * (PI * w + 1.0).sin().powi(2)));
    let last = w[N - 1];
    (PI * w[0]).sin().powi(2) + inner.sum::<f64>() + (last - 1.0).powi(2) * (1.0 + (2.0 * PI * last).sin().powi(2))
}

fn griewank<const N: usize>(x: [f64; N]) -> f64 {
    let square = x.iter().map(|v| v * v).sum::<f64>() / 4000.0;
    let waves = x.iter().enumerate().map(|(k, v)| (v / (k as f64 + 1.0).sqrt()).cos());
    square - waves.product::<f64>() + 1.0
}

fn less<const N: usize>(x: [f64; N], shift: [f64; N]) -> [f64; N] {
    std::array::from_fn(|k| x[k] - shift[k])
}

/// Problems of the same kinds that no setting was chosen on.
pub fn others() -> Vec<Problem> {
    let problem = |name, params, loss, least| Problem {
        name,
        params,
        loss,
        least,
    };
    let whole: Vec<Param> = (0..8)
        .map(|k| Param::new(&format!("x{k}"), Domain::int(0, 29)))
        .collect();
    let letters: Vec<Param> = (0..5)
        .map(|k| words(&format!("c{k}"), &["a", "b", "c", "d"]))
        .chain(floats(1, -2.0, 2.0))
        .collect();
    vec![
        problem(
            "levy6",
            floats(6, -10.0, 10.0),
            |p| levy(less(vector(p), [2.1, -3.3, 0.7, 3.0, -1.2, -2.6])),
            0.0,
        ),
        problem(
            "griewank4",
            floats(4, -60.0, 60.0),
            |p| griewank(less(vector(p), [17.0, -9.0, 4.0, -14.0])),
            0.0,
        ),
        problem(
            "styblinski5",
            floats(5, -5.5, 4.5),
            |p| {
                let x = vector::<5>(p).map(|v| v + 0.6);
                x.iter().map(|v| 0.5 * (v.powi(4) - 16.0 * v * v + 5.0 * v)).sum()
            },
            -39.16616570377142 * 5.0,
        ),
        problem(
            "camel",
            floats(2, -2.2, 2.9),
            |p| {
                let [x, y] = less(vector(p), [0.4, 0.5]);
                (4.0 - 2.1 * x * x + x.powi(4) / 3.0) * x * x + x * y + (4.0 * y * y - 4.0) * y * y
            },
            -1.031_628_453_489_877_4,
        ),
        problem(
            "hartmann6_turned",
            floats(6, 0.0, 1.0),
            |p| {
                let x = vector::<6>(p);
                hartmann(&HARTMANN_6, [3, 1, 5, 0, 4, 2].map(|k| 1.0 - x[k]))
            },
            -3.32236801141551,
        ),
        problem(
            "ackley8",
            floats(8, -10.0, 10.0),
            |p| ackley(vector::<8>(p).map(|v| v - 1.7)),
            0.0,
        ),
        problem(
            "rosenbrock4_turned",
            floats(4, -4.0, 5.0),
            |p| {
                let x = vector::<4>(p);
                rosenbrock([2, 0, 3, 1].map(|k| x[k] - 0.5))
            },
            0.0,
        ),
        problem(
            "dixon5",
            floats(5, -6.0, 8.0),
            |p| {
                let x = vector::<5>(p).map(|v| v - 0.8);
                let rest = (1..5).map(|k| (k as f64 + 1.0) * (2.0 * x[k] * x[k] - x[k - 1]).powi(2));
                (x[0] - 1.0).powi(2) + rest.sum::<f64>()
            },
            0.0,
        ),
        problem(
            "steps5",
            floats(5, -5.0, 5.0),
            |p| {
                let away = less(vector(p), [1.3, -2.2, 0.4, 2.9, -3.1]);
                away.iter().map(|v| (v.abs() * 3.0).floor()).sum()
            },
            0.0,
        ),
        problem(
            "whole8",
            whole,
            |p| {
                let away = less(vector(p), [3.0, 22.0, 11.0, 27.0, 6.0, 16.0, 0.0, 19.0]);
                away.iter()
                    .enumerate()
                    .map(|(k, v)| (1.0 + 0.4 * k as f64) * v.abs())
                    .sum()
            },
            0.0,
        ),
        problem(
            "letters5",
            letters,
            |p| {
                let right = ["c", "a", "d", "b", "a"].iter().enumerate();
                let wrong = right
                    .filter(|(k, letter)| word(p, &format!("c{k}")) != **letter)
                    .count();
                let pair = f64::from(u8::from(word(p, "c0") == word(p, "c3")));
                wrong as f64 + 0.5 * pair + (number(p, "x0") - 0.3 * wrong as f64).powi(2)
            },
            0.0,
        ),
    ]
}
