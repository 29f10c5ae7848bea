use crossbook_engine::rng::Rng;
use crossbook_engine::units::TimestampNs;
use crossbook_tuner::space::{Domain, Param, Value};

use super::gates::Figure;
use super::*;
use crate::tune::evaluate::Windows;
use crate::tune::trial::CaseRecord;

const S: i64 = 1_000_000_000;

fn space() -> Space {
    let param = |name: &str| Param::new(name, Domain::float(0.0, 1.0));
    Space::new(vec![param("x"), param("y")], vec![]).unwrap()
}

fn objective() -> Objective {
    toml::from_str("metric = \"sharpe\"\nmin_round_trips = 10").unwrap()
}

fn folds(count: u32) -> Vec<Fold> {
    let at = |s: i64| TimestampNs(s * S);
    (0..count)
        .map(|index| Fold {
            index,
            windows: vec![Windows {
                scenario: "s".to_owned(),
                train: (at(0), at(1600)),
                test: Some((at(1600), at(2400))),
            }],
        })
        .collect()
}

fn measures(periods: &[f64]) -> Measures {
    Measures {
        pnl_vs_hold: periods.iter().sum(),
        round_trips: 100,
        ..Measures::default()
    }
}

/// A trial whose results have this mean per period and deviation one.
fn record(id: u64, fold: u32, mean: f64, rng: &mut Rng) -> Record {
    let mut periods = |count: usize| -> Vec<f64> { (0..count).map(|_| mean + rng.normal()).collect() };
    let (train_periods, test_periods) = (periods(160), periods(80));
    let params = [("x", rng.uniform()), ("y", rng.uniform())];
    Record {
        id,
        fold,
        params: params.map(|(name, u)| (name.to_owned(), Value::Float(u))).into(),
        state: State::Complete,
        reason: None,
        same_as: None,
        value: Sharpe::of(&train_periods).map(|sharpe| sharpe.ratio),
        rungs: Vec::new(),
        train: Some(measures(&train_periods)),
        test: Some(measures(&test_periods)),
        cases: Vec::new(),
        train_periods,
        test_periods,
    }
}

/// A session of trials without an edge, but for those below `good`, which have one of half a deviation.
fn records(count: u64, folds: u32, good: u64, seed: u64) -> Vec<Record> {
    let mut rng = Rng::stream(seed, "validation");
    (0..count * u64::from(folds))
        .map(|id| {
            let mean = if id % count < good { 0.5 } else { 0.0 };
            record(id, (id / count) as u32, mean, &mut rng)
        })
        .collect()
}

fn judged(records: &[Record], fold_count: u32, evaluate: Option<session::Evaluate<'_>>) -> Report {
    let (space, objective, folds) = (space(), objective(), folds(fold_count));
    let session = Session {
        space: &space,
        objective: &objective,
        folds: &folds,
        records,
        adaptive: false,
        seed: 1,
        gates: Gates::default(),
    };
    let report = judge(&session, evaluate);
    assert_eq!(report, judge(&session, evaluate), "the same session, the same report");
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
    report
}

fn gate(report: &Report, figure: Figure) -> Gate {
    *report.gates.iter().find(|gate| gate.figure == figure).unwrap()
}

#[test]
fn luck_is_told_from_an_edge() {
    let flat = |task: &Task| Record {
        value: Some(0.45),
        ..record(task.id, 0, 0.5, &mut Rng::stream(1, "near"))
    };
    for seed in 0..5 {
        let luck = judged(&records(100, 1, 0, seed), 1, Some(&flat));
        assert!(
            !luck.accepted && !gate(&luck, Figure::DeflatedSharpe).passed,
            "{luck:?}"
        );
        assert!(!gate(&luck, Figure::Pbo).passed, "{:?}", luck.gates);
        assert!(
            luck.sentence().contains("LUCK, not accepted: trial "),
            "{}",
            luck.sentence()
        );

        let edge = judged(&records(100, 1, 3, seed), 1, Some(&flat));
        assert!(edge.accepted, "{}", edge.sentence());
        assert!(edge.winner.unwrap() < 3);
    }
}

#[test]
fn every_trial_that_was_tried_counts_and_a_prefix_is_not_compared() {
    let mut all = records(60, 1, 2, 3);
    let before = judged(&all, 1, None).folds.remove(0);
    let mut rng = Rng::stream(9, "more");
    // Pruned with a splendid prefix, failed, and a repeat of the first.
    let pruned = record(60, 0, 5.0, &mut rng);
    all.push(Record {
        state: State::Pruned,
        value: None,
        train_periods: pruned.train_periods[..40].to_vec(),
        test_periods: Vec::new(),
        ..pruned
    });
    let failed = record(61, 0, 0.0, &mut rng);
    all.push(Record {
        state: State::Failed,
        value: None,
        train_periods: Vec::new(),
        ..failed
    });
    all.push(Record {
        id: 62,
        same_as: Some(0),
        ..all[0].clone()
    });
    let idle = record(63, 0, 0.0, &mut rng);
    all.push(Record {
        value: None,
        train_periods: vec![0.0; 160],
        ..idle
    });
    let after = judged(&all, 1, None).folds.remove(0);
    let want = Counts {
        tried: 63,
        complete: 61,
        pruned: 1,
        failed: 1,
        repeated: 1,
        idle: 1,
    };
    assert_eq!(after.counts, want);
    assert_eq!(
        before.winner.as_ref().map(|w| w.trial),
        after.winner.as_ref().map(|w| w.trial)
    );
    let (one, other) = (before.luck.unwrap(), after.luck.unwrap());
    assert_eq!((one.trials, other.trials), (60, 63));
    assert!(other.expected_best > one.expected_best && other.deflated_sharpe <= one.deflated_sharpe);
    assert_eq!(
        one.observed_variance, other.observed_variance,
        "neither a prefix nor an idle trial has a ratio"
    );
    assert_eq!(
        after.overfitting.unwrap().trials,
        61,
        "the idle one can be ranked, the prefix not"
    );
}

#[test]
fn the_walk_joins_the_winners_of_all_folds() {
    let all = records(50, 3, 2, 4);
    let report = judged(&all, 3, None);
    let walk = report.walk.as_ref().unwrap();
    let winners: Vec<&Record> = report
        .folds
        .iter()
        .map(|fold| &all[fold.winner.as_ref().unwrap().trial as usize])
        .collect();
    assert_eq!(
        report.winner,
        Some(winners[2].id),
        "the verdict is about the latest data"
    );
    let joined: Vec<f64> = winners.iter().flat_map(|winner| winner.test_periods.clone()).collect();
    assert_eq!(walk.periods, joined);
    assert!((walk.pnl_vs_hold - joined.iter().sum::<f64>()).abs() < 1e-9);
    // Training windows are twice as long as tests.
    let inside: f64 = winners.iter().map(|winner| winner.train.unwrap().pnl_vs_hold).sum();
    assert!((walk.efficiency.unwrap() - 2.0 * walk.pnl_vs_hold / inside).abs() < 1e-9);
    // Without a test there is nothing to join, and no acceptance.
    let untested: Vec<Record> = all
        .iter()
        .map(|r| Record {
            test: None,
            ..r.clone()
        })
        .collect();
    let report = judged(&untested, 3, None);
    assert!(report.walk.is_none() && gate(&report, Figure::Efficiency).value.is_none() && !report.accepted);
}

#[test]
fn a_session_without_a_usable_trial_is_not_accepted() {
    let unusable: Vec<Record> = records(20, 1, 0, 5)
        .into_iter()
        .map(|record| Record { value: None, ..record })
        .collect();
    for records in [&unusable[..], &[]] {
        let report = judged(records, 1, None);
        assert!(!report.accepted && report.winner.is_none());
        assert!(
            report.gates.iter().all(|gate| !gate.passed && gate.value.is_none()),
            "{:?}",
            report.gates
        );
        assert_eq!(
            report.sentence(),
            "NOT ACCEPTED: no trial of the last fold has a usable result"
        );
    }
}

#[test]
fn stress_is_a_gate_where_there_is_any() {
    let mut all = records(30, 1, 1, 6);
    for record in &mut all {
        let case = |name: &str, pnl_vs_hold| CaseRecord {
            name: name.to_owned(),
            metric: None,
            digest: String::new(),
            test_digest: None,
            train: Measures {
                pnl_vs_hold,
                ..Measures::default()
            },
        };
        record.cases = vec![case("s", -9.0), case("s+fees_up", 3.0), case("s+outage", -1.0)];
    }
    let report = judged(&all, 1, None);
    let stress = gate(&report, Figure::Stress);
    assert_eq!((stress.value, stress.passed), (Some(-1.0), false));
    assert!(
        report.sentence().contains("result of the worst stress -1 (at least 0)"),
        "{}",
        report.sentence()
    );
}
