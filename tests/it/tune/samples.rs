//! Made-up sessions for tests of what is made of them: exports, pictures, the report.

use crossbook::tune::results::{Influence, Results, Verdict};
use crossbook::tune::trial::{CaseRecord, Measures, Record, State};
use crossbook_engine::rng::Rng;
use crossbook_tuner::space::{Domain, Param, Params, Value};

/// A parameter of each kind, one of them conditional.
pub fn params() -> Vec<Param> {
    let text = |word: &str| Value::Text(word.to_owned());
    let mut half_life = Param::new("strategy.fair_premium.half_life_s", Domain::log_float(60.0, 86_400.0));
    half_life.when = vec![("strategy.fair_premium.model".to_owned(), vec![text("ewma")])];
    vec![
        Param::new("strategy.entry_bps", Domain::float(2.0, 80.0)),
        Param::new(
            "strategy.exit_bps",
            Domain::Float {
                low: -20.0,
                high: 20.0,
                log: false,
                step: Some(0.3),
            },
        ),
        Param::new(
            "strategy.max_hold_s",
            Domain::Int {
                low: 60,
                high: 14_400,
                log: true,
                step: 1,
            },
        ),
        Param::new(
            "risk.route.max_consecutive_losses",
            Domain::Int {
                low: 2,
                high: 9,
                log: false,
                step: 3,
            },
        ),
        Param::new(
            "strategy.fair_premium.model",
            Domain::Choice(vec![text("zero"), text("ewma")]),
        ),
        half_life,
        Param::new(
            "execution.post_only",
            Domain::Choice(vec![Value::Bool(false), Value::Bool(true)]),
        ),
        Param::new("strategy.slippage_bps", Domain::Fixed(Value::Float(1.0))),
    ]
}

/// A session of `folds` folds with so many trials each: a hill in the entry and the holding time, half of which remains out
/// of sample; every seventh trial pruned, every 29th failed, every 31st without a trade, every 23rd a repetition.
pub fn session(folds: u32, trials: u64) -> Results {
    session_of(params(), folds, trials)
}

/// The same over other parameters.
pub fn session_of(params: Vec<Param>, folds: u32, trials: u64) -> Results {
    let mut rng = Rng::stream(7, "sessions");
    let mut records: Vec<Record> = Vec::new();
    for fold in 0..folds {
        for _ in 0..trials {
            let record = record(&mut rng, &params, fold, records.len() as u64);
            records.push(record);
        }
    }
    let mut results = Results {
        id: "kimchi-20240901".to_owned(),
        name: "kimchi".to_owned(),
        sampler: "gp".to_owned(),
        objective: "pnl_vs_hold, mean - 1 std".to_owned(),
        currency: "KRW".to_owned(),
        version: "0.1.0".to_owned(),
        digest: "5f1c".repeat(16),
        scenarios: vec!["scenarios/kimchi.toml".to_owned()],
        asked: u64::from(folds) * trials,
        params,
        space: None,
        folds: (0..folds)
            .map(|fold| format!("2024-09-{:02} to 2024-09-{:02}, then 2 days", fold + 1, fold + 9))
            .collect(),
        period_s: 3600.0,
        spec: "name = \"kimchi\"\n[space]\n\"strategy.entry_bps\" = { float = [2.0, 80.0] }\n".to_owned(),
        records,
        explained: Some(0.83),
        importance: [
            ("strategy.entry_bps", 0.52, 0.06),
            ("strategy.max_hold_s", 0.31, 0.04),
            ("strategy.fair_premium.model", 0.05, 0.02),
            ("strategy.exit_bps", 0.02, 0.0),
            ("risk.route.max_consecutive_losses", 0.01, 0.0),
            ("strategy.fair_premium.half_life_s", 0.0, 0.0),
        ]
        .map(|(name, alone, shared)| Influence {
            param: name.to_owned(),
            alone,
            shared,
        })
        .into(),
        verdict: None,
    };
    let joined = (0..folds)
        .filter_map(|fold| results.best(fold))
        .flat_map(|record| record.test_periods.clone())
        .collect();
    results.verdict = Some(Verdict {
        sentence: "luck is a likely explanation: the deflated Sharpe ratio is below 0.95".to_owned(),
        passed: Some(false),
        winner: None,
        deflated_sharpe: Some(0.871),
        pbo: Some(0.284),
        plateau: Some(0.91),
        figures: vec![
            ("deflated Sharpe ratio".to_owned(), "0.871".to_owned(), Some(false)),
            (
                "probability of backtest overfitting".to_owned(),
                "0.284".to_owned(),
                Some(false),
            ),
            ("plateau".to_owned(), "91 %".to_owned(), Some(true)),
            ("independent trials".to_owned(), "41 of 200".to_owned(), None),
        ],
        logits: (0..12_870).map(|_| (0.7 + 1.1 * rng.normal(), 1)).collect(),
        joined,
    });
    results
}

fn record(rng: &mut Rng, params: &[Param], fold: u32, id: u64) -> Record {
    let mut chosen = Params::new();
    for param in params {
        let asked = param.when.iter().all(|(parent, values)| {
            chosen
                .get(parent)
                .is_some_and(|value| values.iter().any(|other| other.same(value)))
        });
        let value = param.domain.value(rng.uniform());
        if asked {
            chosen.insert(param.name.clone(), value);
        }
    }
    let number = |name: &str| chosen.get(name).and_then(Value::number).unwrap_or(0.0);
    let entry = (number("strategy.entry_bps") - 28.0) / 22.0;
    let hold = (libm::log(number("strategy.max_hold_s")) - 7.5) / 2.0;
    let hill = 90_000.0 * libm::exp(-entry * entry - hold * hold) - 20_000.0;
    let (train, test) = (hill + 9_000.0 * rng.normal(), 0.5 * hill + 14_000.0 * rng.normal());
    let measures = |pnl: f64, periods: f64| Measures {
        pnl: pnl + 1_234.5,
        pnl_vs_hold: pnl,
        fees: 4_321.0,
        round_trips: 40,
        wins: 22,
        max_drawdown: 11_000.0,
        sharpe: Some(pnl / 50_000.0),
        sortino: None,
        win_rate: Some(0.55),
        pnl_per_trip: Some(pnl / periods),
    };
    let mut periods = |sum: f64, count: usize| -> Vec<f64> {
        (0..count).map(|_| sum / count as f64 + 300.0 * rng.normal()).collect()
    };
    let mut record = Record {
        id,
        fold,
        params: chosen,
        state: State::Complete,
        reason: None,
        same_as: (id % 23 == 22).then(|| id - 1),
        value: Some(train),
        rungs: vec![train * 0.3],
        train: Some(measures(train, 192.0)),
        test: Some(measures(test, 48.0)),
        cases: vec![CaseRecord {
            name: "kimchi".to_owned(),
            metric: Some(train),
            digest: "ab".repeat(32),
            test_digest: Some("cd".repeat(32)),
            train: measures(train, 192.0),
        }],
        train_periods: periods(train, 192),
        test_periods: periods(test / 4.0, 48),
    };
    let bare = |record: &mut Record, state: State, reason: &str| {
        record.state = state;
        record.reason = Some(reason.to_owned());
        record.value = None;
        record.test = None;
        record.test_periods.clear();
    };
    if id % 29 == 28 {
        bare(&mut record, State::Failed, "strategy.exit_bps: must be below entry_bps");
        record.rungs.clear();
        record.train = None;
    } else if id % 31 == 30 {
        bare(
            &mut record,
            State::Complete,
            "no round trips; at least 30 are asked for",
        );
    } else if id % 7 == 6 {
        bare(&mut record, State::Pruned, "below the median at 25 %");
    }
    record
}
