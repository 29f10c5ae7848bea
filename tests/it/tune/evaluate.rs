//! Trials on the bundled market: what they come to, and that the short way is exact.

use std::path::PathBuf;

use crossbook::tune::evaluate::Evaluator;
use crossbook::tune::spec::{self, Spec};
use crossbook::tune::trial::{Record, State, Task};
use crossbook_engine::rng::Rng;

use crate::lab::repository;

fn demo(sets: &[&str]) -> Spec {
    let path: PathBuf = repository().join("config/tuning/demo.toml");
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    spec::load(&path, &sets).unwrap_or_else(|error| panic!("{error}"))
}

fn evaluator(spec: &Spec) -> Evaluator {
    Evaluator::new(spec, None, &mut |_| {}).unwrap_or_else(|error| panic!("{error}"))
}

/// Tasks with parameters drawn from the session's space.
fn tasks(spec: &Spec, folds: usize, count: u64) -> Vec<Task> {
    let mut rng = Rng::stream(11, "tests.tune");
    (0..count)
        .map(|id| Task {
            id,
            fold: (id % folds as u64) as u32,
            params: spec.space.decode(&spec.space.sample(&mut rng).unwrap()),
            rungs: Vec::new(),
        })
        .collect()
}

#[test]
fn the_short_way_is_exact() {
    let spec = demo(&[
        "stress=[\"latency_x3\", \"fees_up\", \"fx_shock\", \"outage\"]",
        "validation={ mode = \"walk_forward\", folds = 2, test_fraction = 0.5, embargo_s = 60 }",
    ]);
    let evaluator = evaluator(&spec);
    assert_eq!(evaluator.cases().len(), 6);
    let mut traded = 0;
    for task in tasks(&spec, evaluator.folds().len(), 8) {
        let record = evaluator.evaluate(&task);
        assert_eq!(record.state, State::Complete, "{:?}", record.reason);
        assert_eq!(record, evaluator.evaluate_fully(&task), "{:?}", task.params);
        traded += record.train.map_or(0, |train| train.round_trips);
    }
    assert!(traded > 20, "only {traded} round trips");
}

#[test]
fn a_record_is_the_same_from_any_thread() {
    let spec = demo(&[]);
    let evaluator = evaluator(&spec);
    let tasks = tasks(&spec, 1, 12);
    let by = |threads: usize| -> Vec<Record> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        use rayon::prelude::*;
        pool.install(|| tasks.par_iter().map(|task| evaluator.evaluate(task)).collect())
    };
    let alone = by(1);
    assert!(alone.iter().any(|record| record.value.is_some()));
    for threads in [2, 4] {
        assert_eq!(alone, by(threads), "{threads} threads");
    }
}
