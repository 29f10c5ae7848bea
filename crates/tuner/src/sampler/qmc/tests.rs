use super::*;
use crate::sampler::{State, Tried};
use crate::space::{Constraint, Domain, Param};

fn run(sampler: &mut Qmc, space: &Space, trials: u64) -> Vec<Vec<f64>> {
    let mut tried: Vec<Tried> = Vec::new();
    for id in 0..trials {
        let view = View {
            space,
            tried: &tried,
            seed: 1,
            trials: None,
        };
        let point = sampler.propose(&view).unwrap().unwrap();
        tried.push(Tried {
            id,
            point,
            state: State::Pending,
        });
    }
    tried.into_iter().map(|tried| tried.point).collect()
}

fn square(constraints: &[&str]) -> Space {
    let params = ["x", "y"].map(|name| Param::new(name, Domain::float(0.0, 1.0)));
    let constraints = constraints
        .iter()
        .map(|text| Constraint::parse(text).unwrap())
        .collect();
    Space::new(params.to_vec(), constraints).unwrap()
}

#[test]
fn points_that_violate_a_constraint_are_skipped_and_no_other() {
    let options = QmcOptions::default();
    let (free, bound) = (square(&[]), square(&["x < y"]));
    for make in [Qmc::sobol, Qmc::halton] {
        let all = run(&mut make(&options, &free, 3).unwrap(), &free, 200);
        let want: Vec<_> = all.into_iter().filter(|point| point[0] < point[1]).collect();
        let got = run(&mut make(&options, &bound, 3).unwrap(), &bound, want.len() as u64);
        assert_eq!(got, want);
    }
}

#[test]
fn a_fixed_parameter_takes_no_dimension() {
    let options = QmcOptions { scramble: false };
    let params = vec![
        Param::new("fixed", Domain::Fixed(crate::space::Value::Int(3))),
        Param::new("x", Domain::float(0.0, 1.0)),
        Param::new("n", Domain::int(1, 4)),
    ];
    let space = Space::new(params, Vec::new()).unwrap();
    let points = run(&mut Qmc::sobol(&options, &space, 1).unwrap(), &space, 4);
    // The first two dimensions of the sequence, the second on the centres of its cells.
    assert_eq!(
        points,
        [
            [0.5, 0.0, 0.125],
            [0.5, 0.5, 0.625],
            [0.5, 0.75, 0.375],
            [0.5, 0.25, 0.875]
        ]
    );
}

#[test]
fn a_sampler_that_joins_later_goes_on_where_the_trials_are() {
    let space = square(&["x + y < 1.2"]);
    let options = QmcOptions::default();
    let points = run(&mut Qmc::sobol(&options, &space, 5).unwrap(), &space, 50);
    let tried: Vec<Tried> = points[..49]
        .iter()
        .enumerate()
        .map(|(id, point)| Tried {
            id: id as u64,
            point: point.clone(),
            state: State::Failed,
        })
        .collect();
    let view = View {
        space: &space,
        tried: &tried,
        seed: 5,
        trials: None,
    };
    let late = Qmc::sobol(&options, &space, 5).unwrap().propose(&view).unwrap();
    assert_eq!(late.as_ref(), points.last());
    let other = Qmc::sobol(&options, &space, 6).unwrap().propose(&view).unwrap();
    assert_ne!(other.as_ref(), points.last());
}

#[test]
fn a_space_beyond_the_direction_numbers_is_refused_with_the_count() {
    let space = |count: usize| {
        let params = (0..count).map(|k| Param::new(&format!("x{k}"), Domain::float(0.0, 1.0)));
        Space::new(params.collect(), Vec::new()).unwrap()
    };
    let options = QmcOptions::default();
    for make in [Qmc::sobol, Qmc::halton] {
        assert!(make(&options, &space(256), 1).is_ok());
        let text = make(&options, &space(257), 1).unwrap_err().to_string();
        assert!(text.contains("257 parameters") && text.contains("256"), "{text}");
    }
}
