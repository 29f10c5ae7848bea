use super::*;
use crate::space::{Domain, Param, Value};
use crate::study::{Direction, Outcome, Study};

fn params(count: usize, domain: &Domain) -> Vec<Param> {
    (0..count)
        .map(|k| Param::new(&format!("x{k}"), domain.clone()))
        .collect()
}

fn number(value: &Value) -> f64 {
    match value {
        Value::Float(x) => *x,
        Value::Int(n) => *n as f64,
        Value::Bool(_) | Value::Text(_) => 0.0,
    }
}

/// Best value after so many trials in batches.
fn best(params: Vec<Param>, trials: usize, batch: usize, seed: u64, loss: impl Fn(&[f64]) -> f64) -> f64 {
    let space = Space::new(params, Vec::new()).unwrap();
    let config = crate::sampler::SamplerConfig::Cmaes(CmaesOptions::default());
    let mut study = Study::new(space, config, Direction::Minimize, seed, None).unwrap();
    for _ in 0..trials / batch {
        let asked = study.ask(batch).unwrap();
        for trial in asked.iter().rev() {
            let x: Vec<f64> = trial.params.values().map(number).collect();
            study.tell(trial.id, Outcome::Complete(loss(&x))).unwrap();
        }
    }
    study.best().unwrap().1
}

#[test]
fn floats_converge_with_and_without_batches() {
    let domain = Domain::float(-5.0, 3.0);
    let ellipsoid = |x: &[f64]| {
        x.iter()
            .enumerate()
            .map(|(k, x)| libm::pow(10.0, k as f64) * (x - 1.3) * (x - 1.3))
            .sum()
    };
    for batch in [1, 4, 8] {
        for seed in 0..3 {
            let value = best(params(5, &domain), 1600, batch, seed, ellipsoid);
            assert!(value < 1e-6, "batch {batch}, seed {seed}: {value}");
        }
    }
}

#[test]
fn whole_numbers_do_not_freeze() {
    let mut params = params(3, &Domain::int(0, 60));
    params.push(Param::new("y", Domain::float(-5.0, 5.0)));
    let loss = |x: &[f64]| {
        let whole: f64 = x[..3]
            .iter()
            .zip([7.0, 41.0, 55.0])
            .map(|(x, best)| (x - best) * (x - best))
            .sum();
        whole + (x[3] - 1.0) * (x[3] - 1.0)
    };
    for seed in 0..5 {
        let value = best(params.clone(), 1200, 4, seed, loss);
        assert!(value < 1e-3, "seed {seed}: {value}");
    }
}

#[test]
fn choices_and_conditional_parameters_are_drawn_uniformly() {
    let words = ["a", "b"].map(|word| Value::Text(word.into()));
    let mut child = Param::new("child", Domain::float(0.0, 1.0));
    child.when = vec![("kind".into(), vec![words[0].clone()])];
    let params = vec![
        Param::new("x", Domain::float(-1.0, 1.0)),
        Param::new("kind", Domain::Choice(words.to_vec())),
        child,
    ];
    let space = Space::new(params, Vec::new()).unwrap();
    let config = crate::sampler::SamplerConfig::Cmaes(CmaesOptions::default());
    let mut study = Study::new(space, config, Direction::Minimize, 2, None).unwrap();
    let (mut with, mut sum) = (0.0, 0.0);
    for _ in 0..400 {
        let trial = study.ask(1).unwrap().remove(0);
        if let Some(child) = trial.params.get("child") {
            assert_eq!(trial.params.get("kind"), Some(&words[0]));
            with += 1.0;
            sum += number(child);
        }
        study
            .tell(trial.id, Outcome::Complete(number(&trial.params["x"]).abs()))
            .unwrap();
    }
    // Five standard errors.
    assert!((with - 200.0f64).abs() < 50.0, "{with}");
    assert!((sum / with - 0.5f64).abs() < 0.11, "{}", sum / with);
}

#[test]
fn two_hills_are_told_apart_by_restarts() {
    // The wider basin is the worse one; a search that never restarts stays in it on some seeds.
    let domain = Domain::float(0.0, 1.0);
    let loss = |x: &[f64]| {
        let at = |c: f64| x.iter().map(|x| (x - c) * (x - c)).sum::<f64>();
        f64::min(1.0 + 0.5 * at(0.3), 20.0 * at(0.85))
    };
    for seed in 0..5 {
        let value = best(params(2, &domain), 3000, 4, seed, loss);
        assert!(value < 1e-3, "seed {seed}: {value}");
    }
}

#[test]
fn spaces_without_a_number_and_options_out_of_range_are_refused() {
    let choice = Domain::Choice(vec![Value::Bool(true), Value::Bool(false)]);
    let space = Space::new(params(2, &choice), Vec::new()).unwrap();
    let text = Cmaes::new(&CmaesOptions::default(), &space).unwrap_err().to_string();
    assert!(text.contains("cmaes") && text.contains("always active"), "{text}");

    let space = Space::new(params(1, &Domain::float(0.0, 1.0)), Vec::new()).unwrap();
    let ok = CmaesOptions::default;
    for (options, name) in [
        (CmaesOptions { population: 3, ..ok() }, "population"),
        (CmaesOptions { sigma: 0.0, ..ok() }, "sigma"),
        (
            CmaesOptions {
                sigma: f64::NAN,
                ..ok()
            },
            "sigma",
        ),
    ] {
        let text = Cmaes::new(&options, &space).unwrap_err().to_string();
        assert!(text.contains(&format!("sampler cmaes: {name} must be")), "{text}");
    }
}
