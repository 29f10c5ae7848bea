//! The model against differences and direct formulas, and what the sampler promises. Promises of all samplers over random
//! spaces are in `tests/samplers.rs`.

use super::model::{correlation, weights};
use super::*;
use crate::sampler::SamplerConfig;
use crate::space::{Constraint, Domain, Param, Params, Value};
use crate::study::{Direction, Outcome, Study};

const AXES: [Axis; 4] = [Axis::Number, Axis::Number, Axis::Choice, Axis::Number];

/// Points of a float, a float, a choice of three and an int of five cells, with smooth observations.
fn sample(count: usize, seed: u64) -> (Vec<Vec<f64>>, Vec<f64>) {
    let mut rng = Rng::stream(seed, "test.gp");
    let rows: Vec<Vec<f64>> = (0..count)
        .map(|_| {
            let choice = (rng.below(3) as f64 + 0.5) / 3.0;
            vec![rng.uniform(), rng.uniform(), choice, (rng.below(5) as f64 + 0.5) / 5.0]
        })
        .collect();
    let losses = rows
        .iter()
        .map(|row| (5.0 * row[0]).sin() + row[1] * row[3] + 0.4 * row[2] + 0.05 * rng.normal())
        .collect();
    (rows, losses)
}

fn hyper() -> Hyper {
    Hyper {
        logs: vec![-1.0, -0.4, 0.3, 0.1, -5.0],
    }
}

fn model(count: usize) -> (Vec<Vec<f64>>, Vec<f64>, Model) {
    let (rows, losses) = sample(count, 3);
    let targets = transform::warp(&losses, 1.0).targets;
    let model = Model::new(&AXES, rows.clone(), &targets, &hyper()).unwrap();
    (rows, targets, model)
}

#[test]
fn the_gradient_of_the_likelihood_agrees_with_differences() {
    let (rows, losses) = sample(25, 1);
    let mut data = Data::new(&AXES, rows);
    data.set_targets(transform::warp(&losses, 0.5).targets);
    let prior = Prior::scaled(AXES.len());
    // The third lies outside the bounds of two of its entries, where a penalty acts.
    for logs in [
        vec![-0.7, 0.2, 0.5, -0.1, -6.0],
        vec![-2.0, 1.0, 0.0, 2.0, -1.5],
        vec![-0.5, 7.5, 0.1, 0.2, -19.0],
    ] {
        let mut gradient = vec![0.0; logs.len()];
        let mut scratch = gradient.clone();
        data.objective(&prior, &logs, &mut gradient);
        for at in 0..logs.len() {
            let mut value = |step: f64| {
                let mut moved = logs.clone();
                moved[at] += step;
                data.objective(&prior, &moved, &mut scratch)
            };
            let want = (value(1e-5) - value(-1e-5)) / 2e-5;
            assert!(
                (gradient[at] - want).abs() <= 1e-5 * want.abs().max(1.0),
                "{logs:?}, {at}: {} against {want}",
                gradient[at]
            );
        }
    }
}

#[test]
fn fitting_improves_on_every_start() {
    let (rows, losses) = sample(30, 2);
    let mut data = Data::new(&AXES, rows);
    data.set_targets(transform::warp(&losses, 1.0).targets);
    let prior = Prior::scaled(AXES.len());
    let starts: Vec<(Hyper, usize)> = [0.2, 0.5, 2.0]
        .map(|length| (Hyper::uniform(4, length, -8.0), 60))
        .into();
    let (_, value) = data.fit(&prior, &starts).unwrap();
    for (start, _) in &starts {
        assert!(value < data.objective(&prior, &start.logs, &mut [0.0; 5]));
    }
}

/// Gaussian elimination: `a x = b`.
fn solve(mut a: Vec<Vec<f64>>, mut b: Vec<f64>) -> Vec<f64> {
    let n = b.len();
    for i in 0..n {
        let pivot = (i..n).max_by(|&p, &q| a[p][i].abs().total_cmp(&a[q][i].abs())).unwrap();
        a.swap(i, pivot);
        b.swap(i, pivot);
        for row in i + 1..n {
            let factor = a[row][i] / a[i][i];
            let above = a[i].clone();
            for (own, other) in a[row].iter_mut().zip(&above).skip(i) {
                *own -= factor * other;
            }
            b[row] -= factor * b[i];
        }
    }
    for i in (0..n).rev() {
        let known: f64 = (i + 1..n).map(|j| a[i][j] * b[j]).sum();
        b[i] = (b[i] - known) / a[i][i];
    }
    b
}

/// Mean and variance by the textbook: `m + k^T R^-1 (y - m)`, `s^2 (1 - k^T R^-1 k)`.
fn textbook(rows: &[Vec<f64>], targets: &[f64], point: &[f64]) -> (f64, f64) {
    let weights = weights(&hyper());
    let n = rows.len();
    let r: Vec<Vec<f64>> = (0..n)
        .map(|i| {
            let mut row: Vec<f64> = rows
                .iter()
                .map(|other| correlation(&AXES, &weights, &rows[i], other))
                .collect();
            row[i] += (-5.0f64).exp();
            row
        })
        .collect();
    let k: Vec<f64> = rows
        .iter()
        .map(|row| correlation(&AXES, &weights, point, row))
        .collect();
    let ones = solve(r.clone(), vec![1.0; n]);
    let mean = ones.iter().zip(targets).map(|(a, b)| a * b).sum::<f64>() / ones.iter().sum::<f64>();
    let centred: Vec<f64> = targets.iter().map(|target| target - mean).collect();
    let alpha = solve(r.clone(), centred.clone());
    let square: f64 = alpha.iter().zip(&centred).map(|(a, b)| a * b).sum();
    let half = solve(r, k.clone());
    let explained: f64 = half.iter().zip(&k).map(|(a, b)| a * b).sum();
    (
        mean + k.iter().zip(&alpha).map(|(a, b)| a * b).sum::<f64>(),
        (square + 2.0) / (n as f64 + 2.0) * (1.0 - explained),
    )
}

#[test]
fn the_posterior_is_that_of_the_textbook() {
    let (rows, targets, model) = model(19);
    let (points, _) = sample(11, 9);
    for (point, (mean, variance)) in points.iter().zip(model.predict_many(&points)) {
        let want = textbook(&rows, &targets, point);
        assert!((mean - want.0).abs() < 1e-9, "{mean} {}", want.0);
        assert!((variance - want.1).abs() < 1e-9, "{variance} {}", want.1);
    }
}

#[test]
fn gradients_of_the_posterior_agree_with_differences() {
    let (_, _, model) = model(15);
    let (points, _) = sample(4, 5);
    for point in points {
        let (mut by_mean, mut by_variance) = ([0.0; 4], [0.0; 4]);
        let (mean, variance) = model.predict_with_gradient(&point, &mut by_mean, &mut by_variance);
        let at = model.predict_many(std::slice::from_ref(&point))[0];
        assert!((mean - at.0).abs() < 1e-12 && (variance - at.1).abs() < 1e-12);
        assert_eq!((by_mean[2], by_variance[2]), (0.0, 0.0));
        for axis in [0, 1, 3] {
            let moved = |step: f64| {
                let mut point = point.clone();
                point[axis] += step;
                model.predict_many(&[point])[0]
            };
            let (more, less) = (moved(1e-5), moved(-1e-5));
            assert!((by_mean[axis] - (more.0 - less.0) / 2e-5).abs() < 1e-6);
            assert!((by_variance[axis] - (more.1 - less.1) / 2e-5).abs() < 1e-6);
        }
    }
}

#[test]
fn pending_points_leave_the_mean_and_take_the_variance() {
    let (_, _, before) = model(15);
    let (_, _, model) = model(15);
    let (points, _) = sample(6, 8);
    let after = model.with_pending(&points[..3]).unwrap();
    for (index, ((old_mean, old), (new_mean, new))) in before
        .predict_many(&points)
        .into_iter()
        .zip(after.predict_many(&points))
        .enumerate()
    {
        assert!((old_mean - new_mean).abs() < 1e-12);
        assert!(new <= old + 1e-12, "{index}: {new} {old}");
        // What is left at a pending point is below its noise.
        assert!(index >= 3 || new < 0.02, "{index}: {new}");
    }
}

#[test]
fn repeated_points_and_equal_observations_are_no_trouble() {
    let rows = vec![vec![0.3, 0.3, 0.5, 0.5]; 40];
    let mut silent = hyper();
    silent.logs[4] = -100.0;
    for targets in [vec![0.0; 40], (0..40).map(f64::from).collect()] {
        let model = Model::new(&AXES, rows.clone(), &targets, &silent).unwrap();
        let model = model.with_pending(&rows[..5]).unwrap();
        let (mean, variance) = model.predict_many(&rows[..1])[0];
        let want = targets.iter().sum::<f64>() / 40.0;
        assert!((mean - want).abs() < 1e-3, "{mean} {want}");
        assert!(variance.is_finite() && variance > 0.0);
    }
}

#[test]
fn losses_are_transformed_in_order_and_standardised() {
    for losses in [
        vec![3.0, 1.0, 2.0, 100.0, 1e5, -4.0],
        vec![-1e300, 0.0, 1e300, 5.0],
        vec![7.0; 5],
        vec![1.0, 1.0, 1.0, 1.0, 1e4],
        vec![2.5],
    ] {
        for quantile in transform::QUANTILES {
            let warped = transform::warp(&losses, quantile);
            let z = &warped.targets;
            assert!(
                z.iter().all(|z| z.is_finite()) && warped.log_jacobian.is_finite(),
                "{losses:?}"
            );
            let n = z.len() as f64;
            let mean = z.iter().sum::<f64>() / n;
            let variance = z.iter().map(|z| (z - mean).powi(2)).sum::<f64>() / n;
            assert!(mean.abs() < 1e-9 && (variance == 0.0 || (variance - 1.0).abs() < 1e-9));
            for i in 0..losses.len() {
                for j in 0..losses.len() {
                    assert!(losses[i] >= losses[j] || z[i] <= z[j], "{losses:?} {quantile}");
                }
            }
        }
    }
    // The Jacobian, against differences, at a loss that is neither knot nor scale.
    let losses = [1.0, 2.0, 3.0, 4.0, 9.0];
    let raw = |loss: f64| {
        if loss > 3.0 {
            ((loss - 3.0) / 2.0).ln_1p()
        } else {
            (loss - 3.0) / 2.0
        }
    };
    let slopes: f64 = losses
        .iter()
        .map(|loss: &f64| {
            if *loss > 3.0 {
                (0.5 / (1.0 + (loss - 3.0) / 2.0)).ln()
            } else {
                0.5f64.ln()
            }
        })
        .sum();
    let values: Vec<f64> = losses.map(raw).into();
    let mean = values.iter().sum::<f64>() / 5.0;
    let deviation = (values.iter().map(|z| (z - mean).powi(2)).sum::<f64>() / 5.0).sqrt();
    let want = slopes - 5.0 * deviation.ln();
    assert!((transform::warp(&losses, 0.5).log_jacobian - want).abs() < 1e-9);
}

#[test]
fn a_pit_is_long_where_its_model_is_flat() {
    let mut hyper = hyper();
    hyper.logs[1] = libm::log(50.0);
    let pit = Pit::new(vec![0.2, 0.2, 0.5, 0.5], &hyper);
    assert!(pit.holds(&AXES, &[0.2, 0.2, 0.5, 0.5]) && pit.holds(&AXES, &[0.25, 0.9, 0.5, 0.5]));
    assert!(!pit.holds(&AXES, &[0.95, 0.2, 0.5, 0.5]));
}

fn words(values: &[&str]) -> Vec<Value> {
    values.iter().map(|word| Value::Text((*word).to_owned())).collect()
}

/// Everything at once: a child of a choice, a log int, a step, and a constraint.
fn mixed() -> Space {
    let mut child = Param::new("child", Domain::float(0.0, 2.0));
    child.when = vec![("kind".into(), words(&["c"]))];
    let window = Domain::Int {
        low: 1,
        high: 512,
        log: true,
        step: 1,
    };
    let step = Domain::Float {
        low: 0.0,
        high: 3.0,
        log: false,
        step: Some(0.5),
    };
    let params = vec![
        Param::new("x", Domain::float(-1.0, 3.0)),
        Param::new("y", step),
        Param::new("window", window),
        Param::new("kind", Domain::Choice(words(&["a", "b", "c"]))),
        child,
    ];
    Space::new(params, vec![Constraint::parse("x <= y").unwrap()]).unwrap()
}

fn number(params: &Params, name: &str) -> f64 {
    params[name].number().unwrap()
}

fn loss(params: &Params) -> f64 {
    let kind = match &params["kind"] {
        Value::Text(word) if word == "c" => (number(params, "child") - 0.7).powi(2) - 0.5,
        Value::Text(word) if word == "b" => 0.2,
        _ => 0.0,
    };
    (number(params, "x") - 1.2).powi(2)
        + (number(params, "y") - 1.5).abs()
        + 0.1 * (number(params, "window").log2() - 5.0).powi(2)
        + kind
}

fn study(space: Space, seed: u64) -> Study {
    let config = SamplerConfig::by_name("gp").unwrap();
    Study::new(space, config, Direction::Minimize, seed, None).unwrap()
}

/// Runs batches and returns everything that was asked; `tell` says what became of a trial.
fn run(
    space: Space,
    seed: u64,
    trials: usize,
    batch: usize,
    backwards: bool,
    tell: &dyn Fn(u64, &Params) -> Outcome,
) -> (Study, Vec<Params>) {
    let mut study = study(space, seed);
    let mut asked = Vec::new();
    while asked.len() < trials {
        let mut batch = study.ask(batch).unwrap();
        if batch.is_empty() {
            break;
        }
        asked.extend(batch.iter().map(|trial| trial.params.clone()));
        if backwards {
            batch.reverse();
        }
        for trial in batch {
            study.tell(trial.id, tell(trial.id, &trial.params)).unwrap();
        }
    }
    (study, asked)
}

fn distinct(asked: &[Params]) -> usize {
    asked
        .iter()
        .map(|params| format!("{params:?}"))
        .collect::<BTreeSet<_>>()
        .len()
}

#[test]
fn proposals_keep_to_the_space_and_repeat_themselves_from_run_to_run_only() {
    let complete = |_: u64, params: &Params| Outcome::Complete(loss(params));
    let (study, asked) = run(mixed(), 5, 44, 4, false, &complete);
    assert_eq!(distinct(&asked), asked.len());
    for params in &asked {
        let (x, y) = (number(params, "x"), number(params, "y"));
        assert!(x <= y && (y * 2.0).fract() == 0.0, "{params:?}");
        let third = params["kind"] == Value::Text("c".into());
        assert_eq!(params.contains_key("child"), third);
    }
    // It has found the branch that pays, and its best: -0.5.
    assert!(study.best().unwrap().1 < -0.4, "{:?}", study.best());
    assert_eq!(run(mixed(), 5, 44, 4, false, &complete).1, asked);
    assert_eq!(run(mixed(), 5, 44, 4, true, &complete).1, asked);
    assert_ne!(run(mixed(), 6, 44, 4, false, &complete).1, asked);
}

#[test]
fn a_finite_space_is_used_up_without_repetition() {
    let space = || {
        let params = vec![
            Param::new("n", Domain::int(1, 7)),
            Param::new("kind", Domain::Choice(words(&["a", "b", "c"]))),
        ];
        Space::new(params, Vec::new()).unwrap()
    };
    for batch in [1, 4] {
        let (mut study, asked) = run(space(), 1, 1000, batch, false, &|_, params| {
            Outcome::Complete(number(params, "n"))
        });
        assert_eq!((asked.len(), distinct(&asked)), (21, 21));
        assert!(study.ask(1).unwrap().is_empty());
    }
}

#[test]
fn failed_and_pruned_trials_are_learnt_from() {
    // Half of the space fails or is pruned; the rest falls towards that half.
    let space = || {
        Space::new(
            vec![
                Param::new("x", Domain::float(0.0, 1.0)),
                Param::new("y", Domain::float(0.0, 1.0)),
            ],
            Vec::new(),
        )
        .unwrap()
    };
    for bad in [
        Outcome::Failed,
        Outcome::Pruned(None),
        Outcome::Pruned(Some(-5.0)),
        Outcome::Complete(f64::NAN),
    ] {
        let tell = |_: u64, params: &Params| {
            if number(params, "x") > 0.5 {
                bad
            } else {
                Outcome::Complete((number(params, "y") - 0.3).powi(2) - number(params, "x"))
            }
        };
        let (study, asked) = run(space(), 2, 40, 2, false, &tell);
        let (best, value) = study.best().unwrap();
        assert!(value < -0.45 && number(&best.params, "x") <= 0.5, "{bad:?}: {value}");
        let late = asked[20..].iter().filter(|params| number(params, "x") > 0.5).count();
        assert!(late <= 10, "{bad:?}: {late} of 20");
    }
    let nothing = run(space(), 2, 20, 2, false, &|_, _| Outcome::Failed);
    assert!(nothing.0.best().is_none() && distinct(&nothing.1) == 20);
}

#[test]
fn strange_values_do_not_stop_it() {
    type Told<'a> = &'a dyn Fn(u64, &Params) -> f64;
    let strange: [Told; 5] = [
        &|_, _| 3.0,
        &|id, _| if id % 2 == 0 { 1e300 } else { -1e300 },
        &|id, params| if id % 7 == 3 { f64::MAX } else { loss(params) },
        &|_, params| 1e-300 * loss(params),
        &|_, params| 1e9 + 1e-7 * loss(params),
    ];
    for (index, value) in strange.into_iter().enumerate() {
        let (_, asked) = run(mixed(), 3, 36, 4, false, &|id, params| {
            Outcome::Complete(value(id, params))
        });
        assert_eq!((asked.len(), distinct(&asked)), (36, 36), "{index}");
    }
}

#[test]
fn more_results_than_it_takes_are_thinned() {
    let points: Vec<Tried> = (0..50)
        .map(|id| Tried {
            id,
            point: vec![id as f64 / 50.0],
            state: State::Complete((id as f64 - 30.0).abs()),
        })
        .collect();
    let space = Space::new(vec![Param::new("x", Domain::float(0.0, 1.0))], Vec::new()).unwrap();
    let view = View {
        space: &space,
        tried: &points,
        seed: 1,
        trials: None,
    };
    let kept: Vec<u64> = Results::of(&view)
        .unwrap()
        .at_most(10)
        .told
        .iter()
        .map(|tried| tried.id)
        .collect();
    assert_eq!(kept.len(), 10);
    assert!(kept.windows(2).all(|pair| pair[0] < pair[1]));
    assert!([28, 29, 30, 31, 32].iter().all(|id| kept.contains(id)) && kept[0] < 10 && kept[9] > 40);
}

/// Branin's function; least value 0.397887 at three places.
fn branin(params: &Params) -> f64 {
    let (x, y) = (number(params, "x"), number(params, "y"));
    let pi = std::f64::consts::PI;
    (y - 5.1 / (4.0 * pi * pi) * x * x + 5.0 / pi * x - 6.0).powi(2) + 10.0 * (1.0 - 0.125 / pi) * x.cos() + 10.0
}

#[test]
fn branin_is_solved_in_forty_trials() {
    let space = || {
        Space::new(
            vec![
                Param::new("x", Domain::float(-5.0, 10.0)),
                Param::new("y", Domain::float(0.0, 15.0)),
            ],
            Vec::new(),
        )
        .unwrap()
    };
    for seed in 0..4 {
        for batch in [1, 4] {
            let (study, _) = run(space(), seed, 40, batch, false, &|_, params| {
                Outcome::Complete(branin(params))
            });
            let regret = study.best().unwrap().1 - 0.397887;
            assert!(regret < 0.1, "seed {seed}, batch {batch}: {regret}");
        }
    }
}

#[test]
fn options_out_of_range_are_refused() {
    for (json, option) in [
        (r#"{"kind":"gp","startup":1}"#, "startup"),
        (r#"{"kind":"gp","max_points":9}"#, "max_points"),
    ] {
        let config: SamplerConfig = serde_json::from_str(json).unwrap();
        let error = config.build(&mixed(), 1).err().unwrap().to_string();
        assert!(error.contains(option) && error.contains("at least"), "{error}");
    }
    assert!(serde_json::from_str::<SamplerConfig>(r#"{"kind":"gp","startups":5}"#).is_err());
}
