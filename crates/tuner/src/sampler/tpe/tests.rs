use proptest::prelude::*;

use super::*;
use crate::space::{Domain, Param, Value};

/// A float, a coarse int, a log int, a choice of three, and a float that is asked for the last choice only.
fn mixed() -> Space {
    let words = ["a", "b", "c"].map(|word| Value::Text(word.into()));
    let mut child = Param::new("child", Domain::float(0.0, 2.0));
    child.when = vec![("kind".into(), vec![words[2].clone()])];
    let window = Domain::Int {
        low: 1,
        high: 9,
        log: true,
        step: 1,
    };
    let params = vec![
        Param::new("x", Domain::float(-1.0, 3.0)),
        Param::new("depth", Domain::int(1, 5)),
        Param::new("window", window),
        Param::new("kind", Domain::Choice(words.to_vec())),
        child,
    ];
    Space::new(params, Vec::new()).unwrap()
}

fn axes(space: &Space) -> Vec<Axis> {
    space.params().iter().map(|param| Axis::of(&param.domain)).collect()
}

/// An estimator over uniform draws of the space, all of them on.
fn estimator(space: &Space, kernels: usize, seed: u64) -> Parzen {
    let axes = axes(space);
    let mut rng = crossbook_engine::rng::Rng::stream(seed, "test.kernels");
    let mut parzen = Parzen::new(axes.len(), 1.0);
    for kernel in 0..kernels {
        let point = space.sample(&mut rng).unwrap();
        parzen.push(&point);
        parzen.turn_on(&axes, kernel, 0.5 + rng.uniform(), &space.active(&point));
    }
    parzen.refresh();
    parzen
}

fn density(space: &Space, parzen: &mut Parzen, point: &[f64]) -> f64 {
    libm::exp(parzen.log_density(&axes(space), point, &space.active(point), &mut Scratch::default()))
}

/// Visits cells of the space with `levels` of a continuous axis, and each one's volume along the continuous axes.
fn each_cell(space: &Space, levels: u64, visit: &mut dyn FnMut(&[f64], f64)) {
    let counts: Vec<u64> = (0..space.dimensions())
        .map(|index| match space.coordinate(index) {
            Coordinate::Continuous => levels,
            Coordinate::Ordered(cells) | Coordinate::Choice(cells) => cells,
        })
        .collect();
    space.walk(&counts, &mut |point| {
        // The walk goes from end to end; midpoints of as many equal parts are wanted.
        let mut point = point.to_vec();
        let mut volume = 1.0;
        for (index, active) in space.active(&point).into_iter().enumerate() {
            if active && space.coordinate(index) == Coordinate::Continuous {
                let level = libm::round(point[index] * (levels - 1) as f64);
                point[index] = (level + 0.5) / levels as f64;
                volume /= levels as f64;
            }
        }
        visit(&point, volume);
        true
    });
}

#[test]
fn densities_sum_to_one_over_floats_ints_choices_and_conditions() {
    let space = mixed();
    for (kernels, seed) in [(0, 1), (1, 2), (2, 3), (7, 4), (40, 5)] {
        let mut parzen = estimator(&space, kernels, seed);
        let mut sum = 0.0;
        each_cell(&space, 60, &mut |point, volume| {
            sum += density(&space, &mut parzen, point) * volume
        });
        assert!((sum - 1.0).abs() < 1e-3, "{kernels} kernels: {sum}");
    }
}

#[test]
fn a_continuous_density_integrates_to_one() {
    let space = Space::new(vec![Param::new("x", Domain::float(0.0, 1.0))], Vec::new()).unwrap();
    for kernels in [0, 1, 3, 20, 300] {
        let mut parzen = estimator(&space, kernels, 9);
        let parts = 20_000;
        let sum: f64 = (0..parts)
            .map(|part| density(&space, &mut parzen, &[(f64::from(part) + 0.5) / f64::from(parts)]))
            .sum();
        assert!((sum / f64::from(parts) - 1.0).abs() < 1e-6, "{kernels} kernels: {sum}");
    }
}

#[test]
fn cells_too_narrow_for_exact_masses_still_sum_to_one() {
    let fine = Domain::Int {
        low: 1,
        high: 20_000,
        log: true,
        step: 1,
    };
    for domain in [Domain::int(1, 5_000), fine] {
        let space = Space::new(vec![Param::new("n", domain)], Vec::new()).unwrap();
        let mut parzen = estimator(&space, 200, 3);
        let mut sum = 0.0;
        each_cell(&space, 1, &mut |point, _| sum += density(&space, &mut parzen, point));
        assert!((sum - 1.0).abs() < 2e-3, "{sum}");
    }
}

#[test]
fn draws_follow_the_density() {
    let space = mixed();
    let axes = axes(&space);
    let mut parzen = estimator(&space, 12, 6);
    // The float axes are cut in three; the expected share of a cell is its density, integrated over 30 parts a third.
    let key = |point: &[f64]| -> Vec<u64> {
        let mut key = space.key(point);
        for (index, active) in space.active(point).into_iter().enumerate() {
            if active && space.coordinate(index) == Coordinate::Continuous {
                key[index] = (point[index] * 3.0) as u64;
            }
        }
        key
    };
    let mut expected = std::collections::BTreeMap::new();
    each_cell(&space, 90, &mut |point, volume| {
        *expected.entry(key(point)).or_insert(0.0) += density(&space, &mut parzen, point) * volume;
    });
    let draws = 200_000;
    let mut counts = std::collections::BTreeMap::new();
    let mut rng = crossbook_engine::rng::Rng::stream(8, "test.draws");
    let mut point = vec![0.0; axes.len()];
    for _ in 0..draws {
        parzen.draw(&axes, &mut rng, &mut point);
        space.snap(&mut point);
        *counts.entry(key(&point)).or_insert(0.0) += 1.0;
    }
    let (mut chi2, mut cells) = (0.0, 0.0);
    for (key, share) in &expected {
        let want = share * f64::from(draws);
        if want >= 10.0 {
            let got: f64 = counts.get(key).copied().unwrap_or(0.0);
            chi2 += (got - want) * (got - want) / want;
            cells += 1.0;
        }
    }
    // Mean `cells`, deviation `sqrt(2 cells)`.
    assert!(cells > 300.0, "{cells}");
    assert!(
        (chi2 - cells) / libm::sqrt(2.0 * cells) < 4.0,
        "chi2 {chi2} of {cells} cells"
    );
}

#[test]
fn deviations_are_the_larger_gap_clipped() {
    let space = Space::new(vec![Param::new("x", Domain::float(0.0, 1.0))], Vec::new()).unwrap();
    let cases: [(&[f64], &[f64]); 4] = [
        (&[0.3], &[0.7]),
        (&[0.9, 0.2], &[0.7, 0.7]),
        // Kernels with the prior: 4, so the least deviation is 1/5.
        (&[0.1, 0.12, 0.5], &[0.2, 0.38, 0.38]),
        (&[0.5, 0.5, 0.5], &[0.2, 0.2, 0.2]),
    ];
    for (points, want) in cases {
        let mut parzen = Parzen::new(1, 1.0);
        for (kernel, &u) in points.iter().enumerate() {
            parzen.push(&[u]);
            parzen.turn_on(&axes(&space), kernel, 1.0, &[true]);
        }
        let got = parzen.sigmas(0);
        assert!(
            got.iter().zip(want).all(|(got, want)| (got - want).abs() < 1e-12),
            "{got:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Turning kernels on and off in place gives what building the estimator from nothing gives, to the bit.
    #[test]
    fn in_place_changes_equal_a_rebuild(switches in prop::collection::vec(0usize..160, 1..400), seed in 0u64..1000) {
        let space = mixed();
        let axes = axes(&space);
        let mut rng = crossbook_engine::rng::Rng::stream(seed, "test.switches");
        let points: Vec<Vec<f64>> = (0..160).map(|_| space.sample(&mut rng).unwrap()).collect();
        let mut on = [false; 160];
        let mut kept = Parzen::new(axes.len(), 1.0);
        for point in &points {
            kept.push(point);
        }
        for &at in &switches {
            // What is kept from one point to the next must follow the changes.
            kept.refresh();
            density(&space, &mut kept, &points[(at * 7 + 3) % 160]);
            let active = space.active(&points[at]);
            on[at] = !on[at];
            if on[at] {
                kept.turn_on(&axes, at, 1.0, &active);
            } else {
                kept.turn_off(&axes, at, &active);
            }
        }
        kept.refresh();
        let mut anew = Parzen::new(axes.len(), 1.0);
        for (at, point) in points.iter().enumerate() {
            anew.push(point);
            if on[at] {
                anew.turn_on(&axes, at, 1.0, &space.active(point));
            }
        }
        anew.refresh();
        for _ in 0..20 {
            let probe = space.sample(&mut rng).unwrap();
            prop_assert_eq!(density(&space, &mut kept, &probe).to_bits(), density(&space, &mut anew, &probe).to_bits());
        }
    }
}

/// Trials at these points with these states, told to a fresh sampler; what it proposes next.
fn next(space: &Space, trials: &[(Vec<f64>, State)], seed: u64) -> Vec<f64> {
    let tried: Vec<crate::sampler::Tried> = trials
        .iter()
        .enumerate()
        .map(|(id, (point, state))| crate::sampler::Tried {
            id: id as u64,
            point: point.clone(),
            state: *state,
        })
        .collect();
    let view = View {
        space,
        tried: &tried,
        seed,
        trials: None,
    };
    Tpe::new(&TpeOptions::default(), space)
        .unwrap()
        .propose(&view)
        .unwrap()
        .unwrap()
}

/// Over seeds 0 to 100: the proposals' only coordinate, sorted.
fn nexts(trials: &[(Vec<f64>, State)]) -> Vec<f64> {
    let space = Space::new(vec![Param::new("x", Domain::float(0.0, 1.0))], Vec::new()).unwrap();
    let mut answers: Vec<f64> = (0..101).map(|seed| next(&space, trials, seed)[0]).collect();
    answers.sort_by(f64::total_cmp);
    answers
}

#[test]
fn proposals_go_where_losses_are_small_and_away_from_pending_and_failed_trials() {
    let loss = |u: f64| (u - 0.7) * (u - 0.7);
    let told: Vec<_> = (0..20)
        .map(|k| f64::from(k) / 20.0 + 0.02)
        .map(|u| (vec![u], State::Complete(loss(u))))
        .collect();
    let median = nexts(&told)[50];
    assert!((median - 0.7).abs() < 0.1, "{median}");

    // A pruned trial is never better than a complete one, whatever its loss so far.
    let with = |first: f64, count: u32, state: State| {
        let mut trials = told.clone();
        trials.extend((0..count).map(|k| (vec![first + 0.004 * f64::from(k)], state)));
        nexts(&trials)
    };
    let median = with(0.1, 5, State::Pruned(Some(-1e9)))[50];
    assert!((median - 0.7).abs() < 0.15, "{median}");

    let near = |answers: &[f64]| answers.iter().filter(|u| (**u - 0.7).abs() < 0.05).count();
    let before = near(&nexts(&told));
    for state in [State::Pending, State::Failed] {
        let after = near(&with(0.68, 12, state));
        assert!(
            after * 3 < before,
            "{state:?}: {after} of 101 near the optimum, {before} before"
        );
    }
}

#[test]
fn options_out_of_range_are_refused_by_name() {
    let space = mixed();
    let ok = TpeOptions::default;
    let cases = [
        (TpeOptions { candidates: 0, ..ok() }, "candidates"),
        (TpeOptions { gamma: 0.0, ..ok() }, "gamma"),
        (
            TpeOptions {
                gamma: f64::NAN,
                ..ok()
            },
            "gamma",
        ),
        (TpeOptions { max_good: 0, ..ok() }, "max_good"),
        (
            TpeOptions {
                prior_weight: 0.0,
                ..ok()
            },
            "prior_weight",
        ),
    ];
    for (options, name) in cases {
        let text = Tpe::new(&options, &space).unwrap_err().to_string();
        assert!(text.contains(&format!("sampler tpe: {name} must be")), "{text}");
    }
    assert!(Tpe::new(&ok(), &space).is_ok());
}
