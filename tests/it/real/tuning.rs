//! Tuning sessions over recordings: what a trial comes to on its tape is what the full replay from the files gives.

use crossbook::tune::evaluate::Evaluator;
use crossbook::tune::spec;
use crossbook::tune::trial::{State, Task};
use crossbook_engine::rng::Rng;

use super::{Set, datasets, repository};

fn check(test: &str, set: Set, session: &str, sets: &[&str], trials: u64) {
    let Some(data) = datasets(test, set) else { return };
    let path = repository().join(format!("config/tuning/{session}.toml"));
    let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
    let spec = spec::load(&path, &sets).unwrap_or_else(|error| panic!("{error}"));
    let evaluator = Evaluator::new(&spec, Some(&data), &mut |_| {}).unwrap_or_else(|error| panic!("{error}"));
    let mut rng = Rng::stream(5, test);
    let folds = evaluator.folds().len() as u64;
    let mut trips = 0;
    for id in 0..trials {
        let task = Task {
            id,
            fold: (id % folds) as u32,
            params: spec.space.decode(&spec.space.sample(&mut rng).unwrap()),
            rungs: Vec::new(),
        };
        let record = evaluator.evaluate(&task);
        assert_eq!(record.state, State::Complete, "{:?}", record.reason);
        assert_eq!(record, evaluator.evaluate_fully(&task), "{:?}", task.params);
        trips += record.train.map_or(0, |train| train.round_trips);
    }
    println!("{session}: {trips} round trips in {trials} trials");
    assert!(trips > 0);
}

// Few trials and cases: the full replay reads the recordings anew for each, slowly in a debug build. `benches/trials.rs` compares many.

#[test]
fn trials_on_the_parity_feed_are_exact() {
    let name = "trials_on_the_parity_feed_are_exact";
    check(name, Set::Parity, "parity", &["stress=[\"latency_x3\"]"], 2);
}

#[test]
fn trials_on_half_a_year_of_candles_are_exact() {
    let sets = ["validation={ mode = \"split\" }", "stress=[\"fx_shock\", \"outage\"]"];
    check(
        "trials_on_half_a_year_of_candles_are_exact",
        Set::Kimchi,
        "kimchi",
        &sets,
        1,
    );
}
