//! No edge, no promotion: on markets without an edge the best of many trials looks good in sample, and the session must say
//! that it is luck; on markets with a planted edge it must be found and accepted.
//!
//! Sessions are run by the program, from datasets and files to `summary.json`, with the thresholds that are its defaults. From
//! the environment: `CROSSBOOK_BIN`, the program (the one that was built with the tests; release is much faster);
//! `CROSSBOOK_SEEDS`, over how many markets of each kind (2); `CROSSBOOK_LUCK_FIRST`, the seed of the first (1);
//! `CROSSBOOK_LUCK_SAMPLER` (`tpe`); `CROSSBOOK_LUCK_MORE`, tables of other markets as well, which nothing is asserted of;
//! `CROSSBOOK_LUCK_EACH`, a line a session. `make luck` runs 100 of each kind; its table is in `docs/tuning-guards.md`.

use std::fs;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbook::dataset::synth::{PremiumSpec, Spec as Market};
use crossbook::tune::validation::{Gates, Report};

use crate::lab;

/// Trials of a session.
const TRIALS: u64 = 500;

/// The strategy that is tuned on both kinds of market: what to enter at, what to return to, when to give up.
const TUNING: &str = r#"
name = "luck"
sampler = { kind = "SAMPLER", trials = 500, batch = 10, seed = SEED }
scenarios = ["scenario.toml"]
objective = { metric = "sharpe", min_round_trips = 10 }
validation = { mode = "split", test_fraction = 0.3, embargo_s = 600, period_s = 120 }

[space]
"strategy.entry_bps" = { float = [-20.0, 60.0] }
"strategy.exit_bps" = { float = [-20.0, 20.0] }
"strategy.max_hold_s" = { int = [60, 3600], log = true }
"strategy.take_profit_bps" = { float = [5.0, 80.0], log = true }
"strategy.stop_bps" = { float = [10.0, 160.0], log = true }
"strategy.fair_premium.model" = { choice = ["zero", "ewma"] }
"strategy.fair_premium.half_life_s" = { float = [60, 7200], log = true, when = { "strategy.fair_premium.model" = ["ewma"] } }
"#;

/// Eight hours in steps of four seconds, on venues that cost 2 bps a fill: cheap enough for luck to show.
fn market(premium: PremiumSpec) -> Market {
    let mut market = lab::no_edge_spec();
    market.premium = Some(premium);
    market.duration_s = Some(8 * 3600);
    market.step_ms = 4000;
    market.a.every_ms = 4000;
    market.b.every_ms = 4000;
    if let Some(fx) = &mut market.fx {
        fx.every_ms = 4000;
    }
    market
}

fn scenario() -> String {
    let cheap = lab::SCENARIO
        .replace("taker_fee_bps = 5.0", "taker_fee_bps = 2.0")
        .replace("taker_fee_bps = 10.0", "taker_fee_bps = 2.0");
    assert_eq!(cheap.matches("taker_fee_bps = 2.0").count(), 2);
    cheap
}

fn number(name: &str, default: u64) -> u64 {
    let given = std::env::var(name).ok().and_then(|text| text.parse().ok());
    given.unwrap_or(default)
}

/// A session over the market of a seed, from its files to its verdict.
fn session(market: &Market, sampler: &str, seed: u64) -> Report {
    let folder = tempfile::tempdir().unwrap();
    let market = Market { seed, ..market.clone() };
    lab::write_market(folder.path(), &market);
    fs::write(folder.path().join("scenario.toml"), scenario()).unwrap();
    let text = TUNING.replace("SAMPLER", sampler).replace("SEED", &seed.to_string());
    fs::write(folder.path().join("luck.toml"), text).unwrap();
    let program = std::env::var("CROSSBOOK_BIN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_crossbook").to_owned());
    let run = Command::new(&program)
        .current_dir(folder.path())
        .args(["tune", "luck.toml", "--data-root", ".", "--threads", "1"])
        .args(["--recheck", "1", "--no-plots", "--quiet"])
        .env_remove("CROSSBOOK_DATA")
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let summary = fs::read(folder.path().join("sessions/luck/summary.json")).unwrap();
    let mut summary: serde_json::Value = serde_json::from_slice(&summary).unwrap();
    assert_eq!(summary["trials"], TRIALS);
    assert_eq!(summary["failed"], 0);
    serde_json::from_value(summary["validation"].take()).unwrap()
}

/// The same over many markets, in the order of seeds.
fn sessions(market: &Market, sampler: &str) -> Vec<Row> {
    let (first, count) = (number("CROSSBOOK_LUCK_FIRST", 1), number("CROSSBOOK_SEEDS", 2).max(2));
    let next = AtomicU64::new(0);
    let done = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= count {
                        break;
                    }
                    let row = Row::of(session(market, sampler, first + at));
                    done.lock().unwrap().push((at, row));
                }
            });
        }
    });
    let mut rows = done.into_inner().unwrap();
    rows.sort_by_key(|(at, _)| *at);
    rows.into_iter().map(|(_, row)| row).collect()
}

/// What a session came to, in the figures of the table.
struct Row {
    /// The winner's result in sample, against holding.
    looks: f64,
    /// And out of sample.
    later: f64,
    dsr: f64,
    observed: f64,
    pbo: f64,
    /// PBO among the session's own trials.
    own: f64,
    reality: f64,
    superior: f64,
    report: Report,
}

impl Row {
    fn of(report: Report) -> Row {
        let fold = &report.folds[0];
        let winner = fold.winner.as_ref();
        let luck = fold.luck;
        let overfitting = fold.overfitting.as_ref();
        let own = fold.overfitting_of_trials.as_ref().or(overfitting);
        Row {
            looks: winner.and_then(|w| w.train).map_or(0.0, |train| train.pnl_vs_hold),
            later: winner.and_then(|w| w.test).map_or(0.0, |test| test.pnl_vs_hold),
            dsr: luck.and_then(|luck| luck.deflated_sharpe).unwrap_or(0.0),
            observed: luck.and_then(|luck| luck.observed_deflated_sharpe).unwrap_or(0.0),
            pbo: overfitting.map_or(1.0, |o| o.pbo),
            own: own.map_or(1.0, |o| o.pbo),
            reality: fold.superiority.map_or(1.0, |s| s.reality_check),
            superior: fold.superiority.map_or(1.0, |s| s.superior),
            report,
        }
    }

    /// What the deflated Sharpe ratio and the probability of overfitting say together.
    fn is_luck(&self) -> bool {
        let gates = Gates::default();
        !(self.dsr >= gates.deflated_sharpe && self.pbo <= gates.pbo)
    }
}

/// Runs the sessions, prints what they came to.
fn table(name: &str, market: &Market) -> Vec<Row> {
    let sampler = std::env::var("CROSSBOOK_LUCK_SAMPLER").unwrap_or_else(|_| "tpe".to_owned());
    let rows = sessions(market, &sampler);
    let gates = Gates::default();
    let n = rows.len();
    let share = |what: &str, of: &dyn Fn(&Row) -> bool| {
        println!("  {what:<58} {:>4} of {n}", rows.iter().filter(|row| of(row)).count());
    };
    let median = |of: &dyn Fn(&Row) -> f64| {
        let mut all: Vec<f64> = rows.iter().map(of).collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    let gate = |row: &Row, at: usize| row.report.gates[at].passed;
    println!("{name}: {n} sessions of {TRIALS} trials, {sampler}");
    share("best trial earns in sample", &|row| row.looks > 0.0);
    share("it earns out of sample", &|row| row.later > 0.0);
    share("plain: Sharpe ratio above zero with 95 % confidence", &|row| {
        let winner = row.report.folds[0].winner.as_ref();
        winner.and_then(|w| w.probabilistic_sharpe).is_some_and(|p| p >= 0.95)
    });
    share("deflated Sharpe ratio >= 0.95", &|row| row.dsr >= gates.deflated_sharpe);
    share("the same with the observed variance", &|row| {
        row.observed >= gates.deflated_sharpe
    });
    share("PBO <= 0.2", &|row| row.pbo <= gates.pbo);
    share("the same among the session's own trials", &|row| row.own <= gates.pbo);
    share("reality check, p <= 0.05", &|row| row.reality <= 0.05);
    share("superior predictive ability, p <= 0.05", &|row| row.superior <= 0.05);
    share("walk-forward efficiency >= 0.5", &|row| gate(row, 2));
    share("plateau score >= 0.7", &|row| gate(row, 3));
    share("round trips >= 30", &|row| gate(row, 4));
    share("luck, say deflated Sharpe ratio and PBO", &Row::is_luck);
    share("accepted by all gates", &|row| row.report.accepted);
    println!(
        "  medians: in sample {:.0}, out of sample {:.0}, DSR {:.3}, observed {:.3}, PBO {:.3}, own {:.3}, reality check {:.3}",
        median(&|row| row.looks),
        median(&|row| row.later),
        median(&|row| row.dsr),
        median(&|row| row.observed),
        median(&|row| row.pbo),
        median(&|row| row.own),
        median(&|row| row.reality),
    );
    if std::env::var_os("CROSSBOOK_LUCK_EACH").is_some() {
        for row in &rows {
            let fold = &row.report.folds[0];
            println!(
                "  {:?} sharpe {:?} {}",
                fold.luck,
                fold.winner.as_ref().and_then(|w| w.sharpe),
                row.report.sentence()
            );
        }
    }
    rows
}

/// Steps of the premium that nothing can be known of; bps of deviation after an hour.
fn walk(sd_bps_per_hour: f64) -> Market {
    market(PremiumSpec::RandomWalk {
        start_bps: 0.0,
        sd_bps_per_hour,
    })
}

/// A premium that returns to zero.
fn reverting(sd_bps: f64, half_life_s: f64) -> Market {
    market(PremiumSpec::Ou {
        mean_bps: 0.0,
        sd_bps,
        half_life_s,
        start_bps: None,
    })
}

#[test]
fn no_edge_no_promotion_and_an_edge_is_found_and_accepted() {
    let none = table("random walk, 120 bps an hour", &walk(120.0));
    let planted = table("reverting premium, 60 bps, half-life 120 s", &reverting(60.0, 120.0));
    if std::env::var_os("CROSSBOOK_LUCK_MORE").is_some() {
        for sd in [30.0, 400.0] {
            table(&format!("random walk, {sd} bps an hour"), &walk(sd));
        }
        for (sd, half_life) in [
            (60.0, 300.0),
            (30.0, 300.0),
            (15.0, 300.0),
            (30.0, 60.0),
            (60.0, 1800.0),
        ] {
            table(
                &format!("reverting premium, {sd} bps, half-life {half_life} s"),
                &reverting(sd, half_life),
            );
        }
    }

    let share =
        |rows: &[Row], of: fn(&Row) -> bool| rows.iter().filter(|row| of(row)).count() as f64 / rows.len() as f64;
    assert!(
        share(&none, |row| row.looks > 0.0) >= 0.75,
        "the best of so many looks good"
    );
    // 95 of 100, 80 of 100; one exception is allowed to few sessions, since one of two is more than 5 %.
    let slack = 1.0 / none.len() as f64;
    let allowed = |share: f64| if none.len() >= 50 { share } else { share - slack };
    assert!(share(&none, Row::is_luck) >= allowed(0.95), "luck is taken for an edge");
    assert!(
        share(&none, |row| !row.report.accepted) >= allowed(0.95),
        "luck is promoted"
    );
    assert!(
        share(&planted, |row| row.report.accepted) >= allowed(0.8),
        "an edge is not accepted"
    );
}
