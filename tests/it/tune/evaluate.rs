//! Trials on the bundled market: what they come to, and that the short way is exact.

use std::path::{Path, PathBuf};

use crossbook::config;
use crossbook::runner::replay::run;
use crossbook::tune::evaluate::Evaluator;
use crossbook::tune::objective::Metric;
use crossbook::tune::spec::{self, Spec};
use crossbook::tune::trial::{Record, Rung, State, Task};
use crossbook_engine::rng::Rng;
use crossbook_tuner::space::{Params, Value};

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

fn task(params: &[(&str, Value)]) -> Task {
    Task {
        id: 0,
        fold: 0,
        params: params
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect::<Params>(),
        rungs: Vec::new(),
    }
}

fn some_params() -> Vec<(&'static str, Value)> {
    vec![
        ("strategy.entry_bps", Value::Float(8.0)),
        ("strategy.exit_bps", Value::Float(1.5)),
        ("strategy.max_hold_s", Value::Int(300)),
        ("strategy.size.notional", Value::Int(2_000_000)),
        ("strategy.fair_premium.model", Value::Text("constant".into())),
        ("strategy.fair_premium.bps", Value::Float(100.0)),
    ]
}

/// A trial is a run: same digest, same figures as `crossbook replay` with the same values set.
#[test]
fn a_trial_is_the_run_that_its_parameters_make() {
    let path = repository().join("scenarios/demo.toml");
    let sets: Vec<String> = [
        "strategy.entry_bps=8.0",
        "strategy.exit_bps=1.5",
        "strategy.max_hold_s=300",
        "strategy.size.notional=\"2000000\"",
        "strategy.fair_premium={ model = \"constant\", bps = 100.0 }",
    ]
    .map(str::to_owned)
    .to_vec();
    let scenario = config::load(&path, &sets).unwrap();
    let whole = run(&path, &scenario, "run", None, 64 << 20, &mut |_, _| true).unwrap();
    let figures = &whole.statistics;
    assert!(figures.round_trips > 10);
    let drawdown = figures.drawdown.unwrap().amount.to_f64();
    let wanted = [
        (Metric::Pnl, figures.pnl.to_f64()),
        (Metric::PnlVsHold, figures.pnl_vs_hold.to_f64()),
        (Metric::ReturnVsHold, figures.return_vs_hold.unwrap()),
        (Metric::Calmar, figures.calmar.unwrap()),
        (Metric::WinRate, figures.win_rate.unwrap()),
        (Metric::PnlPerTrip, figures.average_pnl.unwrap()),
        (Metric::MaxDrawdown, -drawdown),
        (Metric::ProfitFactor, figures.profit_factor.unwrap_or(f64::NAN)),
        (Metric::RoundTrips, figures.round_trips as f64),
        (Metric::Fees, -figures.fees.unwrap().to_f64()),
    ];
    for (metric, want) in wanted {
        let set = format!("objective={{ metric = \"{}\" }}", metric.name());
        let spec = demo(&[&set, "validation={ mode = \"none\" }", "stress=[]"]);
        let record = evaluator(&spec).evaluate(&task(&some_params()));
        assert_eq!(record.state, State::Complete, "{:?}", record.reason);
        assert_eq!(record.cases[0].digest, whole.meta.digest.to_string());
        let found = record.cases[0].metric;
        if want.is_nan() {
            assert_eq!(found, None, "{}", metric.name());
            continue;
        }
        let found = found.unwrap();
        assert!(
            (found - want).abs() <= want.abs() * 1e-12,
            "{}: {found} {want}",
            metric.name()
        );
        let train = record.train.unwrap();
        assert_eq!((train.round_trips, train.wins), (figures.round_trips, figures.wins));
        let total: f64 = record.train_periods.iter().sum();
        assert!(
            (total - figures.pnl_vs_hold.to_f64()).abs() < 1e-4,
            "periods add up to the whole"
        );
    }
}

#[test]
fn a_trial_is_given_up_at_the_rung_that_it_misses() {
    // With stress every case is replayed up to the rung first; without, the one case is stopped on its way.
    for stress in ["stress=[\"fees_up\"]", "stress=[]"] {
        let evaluator = evaluator(&demo(&[stress]));
        let with = |least: [Option<f64>; 2]| {
            let rungs = [0.25, 0.5].into_iter().zip(least);
            Task {
                rungs: rungs.map(|(fraction, least)| Rung { fraction, least }).collect(),
                ..task(&some_params())
            }
        };
        let free = evaluator.evaluate(&with([None, None]));
        assert_eq!(free.state, State::Complete, "{:?}", free.reason);
        assert_eq!(free.rungs.len(), 2);
        assert_ne!(free.rungs[0], free.rungs[1]);
        let [first, second] = [free.rungs[0], free.rungs[1]];
        assert_eq!(evaluator.evaluate(&with([Some(first), Some(second)])), free, "reached");
        let cases = [
            ([Some(first + 1.0), None], 1),
            ([None, Some(second + 1.0)], 2),
            ([Some(first), Some(second + 1.0)], 2),
        ];
        for (least, rungs) in cases {
            let task = with(least);
            let record = evaluator.evaluate(&task);
            assert_eq!(record.state, State::Pruned, "{least:?}");
            assert_eq!(record.rungs, free.rungs[..rungs]);
            assert_eq!((record.value, record.test), (None, None));
            assert!(record.reason.as_ref().unwrap().contains("% of the training window"));
            assert!(!record.train_periods.is_empty() && record.train_periods.len() < free.train_periods.len());
            let whole = record.train_periods.len() - 1;
            assert_eq!(record.train_periods[..whole], free.train_periods[..whole]);
            assert_eq!(record, evaluator.evaluate_fully(&task));
        }
    }
}

#[test]
fn what_has_no_result_has_a_reason_and_no_value() {
    let spec = demo(&["stress=[]", "objective.metric=\"sharpe\""]);
    let evaluator = evaluator(&spec);
    let idle = evaluator.evaluate(&task(&[("strategy.entry_bps", Value::Float(9000.0))]));
    assert_eq!((idle.state, idle.value), (State::Complete, None));
    assert_eq!(
        idle.reason.as_deref(),
        Some("round trips in sample: 0, at least 5 are needed")
    );
    assert_eq!(idle.train.unwrap().sharpe, None, "figures are not scores");
    assert!(idle.test.is_some());
    for (params, part) in [
        (task(&[("strategy.entry_bpz", Value::Float(1.0))]), "strategy.entry_bpz"),
        (
            task(&[("strategy.max_hold_s", Value::Int(-5))]),
            "strategy.max_hold_s: 0.001 to",
        ),
        (
            task(&[("strategy.entry_bps", Value::Text("high".into()))]),
            "invalid type",
        ),
        (Task { fold: 9, ..task(&[]) }, "fold 9 of 1"),
        (
            Task {
                rungs: vec![Rung {
                    fraction: 1.5,
                    least: None,
                }],
                ..task(&[])
            },
            "rung at 1.5",
        ),
    ] {
        let record = evaluator.evaluate(&params);
        assert_eq!((record.state, record.value), (State::Failed, None));
        assert!(record.reason.as_ref().unwrap().contains(part), "{:?}", record.reason);
    }
}

#[test]
fn sessions_that_do_not_fit_their_data_are_refused_before_the_first_trial() {
    let cases = [
        (
            "space.\"strategy.entry_bp\"={ float = [1.0, 2.0] }",
            "\"strategy.entry_bp\" = 1.5 on scenario `demo`",
        ),
        (
            "space.\"strategy.stop_bps\"={ float = [-2.0, 2.0] }",
            "strategy.stop_bps: 0.0001 to 100000",
        ),
        (
            "space.\"venues.mars.taker_fee_bps\"={ float = [1.0, 2.0] }",
            "venues.mars.taker_fee_bps",
        ),
        (
            "space.\"risk.venue.max_open_orders\"={ float = [1.0, 2.5] }",
            "risk.venue.max_open_orders",
        ),
        (
            "space.\"strategy.directions\"={ choice = [\"sell_a\"] }",
            "a table or a list",
        ),
        (
            "space.\"datasets.0\"={ choice = [\"a\"] }",
            "a parameter's path begins with",
        ),
        (
            "stress=[{ kind = \"outage\", venue = \"mars\" }]",
            "there are: binance, upbit",
        ),
        (
            "validation={ mode = \"split\", embargo_s = 7000 }",
            "validation.embargo_s: 7000 s leave nothing",
        ),
        (
            "validation={ mode = \"split\", period_s = 3600 }",
            "validation.period_s: a training window",
        ),
        (
            "validation={ mode = \"walk_forward\", folds = 900, embargo_s = 0 }",
            "validation.folds: a test window",
        ),
    ];
    for (set, part) in cases {
        let spec = demo(&[set]);
        let error = Evaluator::new(&spec, None, &mut |_| {})
            .err()
            .map(|error| error.to_string());
        let error = error.unwrap_or_default();
        assert!(error.contains(part) && error.contains("demo.toml"), "{set}: {error:?}");
    }
    let warned = evaluator(&demo(&["validation={ mode = \"split\", embargo_s = 1 }"]));
    let warned = warned.warnings().join("\n");
    assert!(
        warned.contains("embargo_s = 1 is shorter than the longest max_hold_s, 600"),
        "{warned}"
    );
}

/// A session's text alone, with the datasets, gives the same records.
#[test]
fn the_resolved_file_evaluates_to_the_same_records() {
    let spec = demo(&[]);
    let text = spec.to_text().unwrap();
    let again = spec::parse(&text, Path::new("session.toml"), &[]).unwrap();
    let (here, there) = (evaluator(&spec), evaluator(&again));
    assert_eq!(here.input_hashes(), there.input_hashes());
    let task = task(&some_params());
    assert_eq!(here.evaluate(&task), there.evaluate(&task));
}
