//! No edge, no profit: on markets without an edge no strategy earns, on one with an edge the right one does. Both ways,
//! so that neither a model that flatters nor one that never trades can pass.
//!
//! `CROSSBOOK_SEEDS` says over how many seeds (24 if not given); `make no-edge` runs 200 and prints the table that
//! `docs/model.md` shows.

use crossbook::dataset::synth::{PremiumSpec, Spec, TradesSpec};
use crossbook::runner::setup::Setup;
use crossbook_engine::records::{Recorder, RoundTrip};
use crossbook_engine::units::Qty;
use rayon::prelude::*;

use super::lab;

/// Strategies with the costs of [`lab::SCENARIO`].
const STRATEGIES: [(&str, &[&str]); 5] = [
    (
        "zero fair, take profit and stop",
        &["strategy.take_profit_bps=10", "strategy.stop_bps=80"],
    ),
    (
        "EWMA fair",
        &[
            "strategy.fair_premium={ model = \"ewma\", half_life_s = 900, warmup_s = 60 }",
            "strategy.max_hold_s=1800",
        ],
    ),
    (
        "EWMA fair, take profit and stop",
        &[
            "strategy.fair_premium={ model = \"ewma\", half_life_s = 900, warmup_s = 60 }",
            "strategy.take_profit_bps=10",
            "strategy.stop_bps=80",
        ],
    ),
    (
        "EWMA fair, slow limit orders",
        &[
            "strategy.fair_premium={ model = \"ewma\", half_life_s = 900, warmup_s = 60 }",
            "strategy.max_hold_s=1800",
            "execution.order=limit",
            "execution.limit_collar_bps=0",
            "venues.binance.order_latency={ model = \"lognormal\", median_ms = 900, sigma = 0.5 }",
        ],
    ),
    (
        "enters at any edge",
        &["strategy.entry_bps=-60", "strategy.max_hold_s=120"],
    ),
];

/// The same for one whose entries rest on the book of A, which asks for trades between others.
const RESTING: (&str, &[&str]) = (
    "EWMA fair, entry rests at A",
    &[
        "strategy.fair_premium={ model = \"ewma\", half_life_s = 900, warmup_s = 60 }",
        "strategy.max_hold_s=1800",
        "execution.entry=maker_a",
        "execution.leg_timeout_ms=5000",
    ],
);

/// Strategies that know where the planted premium comes back to, or learn it.
const WITH_EDGE: [(&str, &[&str]); 2] = [
    ("zero fair", &["strategy.max_hold_s=3600"]),
    (
        "EWMA fair, slow",
        &["strategy.fair_premium={ model = \"ewma\", half_life_s = 7200, warmup_s = 900 }"],
    ),
];

/// What the naive method leaves out: fees, delays and the depth of books.
const NAIVE: [&str; 7] = [
    "execution.fill_model=top",
    "venues.upbit.taker_fee_bps=0",
    "venues.binance.taker_fee_bps=0",
    "venues.upbit.order_latency={ model = \"constant\", ms = 0 }",
    "venues.upbit.report_latency={ model = \"constant\", ms = 0 }",
    "venues.binance.order_latency={ model = \"constant\", ms = 0 }",
    "venues.binance.report_latency={ model = \"constant\", ms = 0 }",
];

/// The result of one seed.
#[derive(Debug, Clone, Copy, Default)]
struct Sample {
    trips: u64,
    wins: u64,
    /// KRW.
    pnl_vs_hold: f64,
}

impl Recorder for Sample {
    fn round_trip(&mut self, trip: &RoundTrip) {
        self.trips += 1;
        self.wins += u64::from(trip.pnl.raw() > 0);
    }
}

struct Row {
    name: String,
    samples: Vec<Sample>,
}

impl Row {
    fn median_trips(&self) -> u64 {
        let mut trips: Vec<u64> = self.samples.iter().map(|sample| sample.trips).collect();
        trips.sort_unstable();
        trips[trips.len() / 2]
    }

    fn results(&self) -> Vec<f64> {
        self.samples.iter().map(|sample| sample.pnl_vs_hold).collect()
    }

    fn print(&self) {
        let (mean, error) = mean_and_error(&self.results());
        let trips: u64 = self.samples.iter().map(|sample| sample.trips).sum();
        let wins: u64 = self.samples.iter().map(|sample| sample.wins).sum();
        println!(
            "{:<42} {:>5} {:>6} {:>6.1} % {:>9.0} {:>7.0} {:>7.1}",
            self.name,
            self.samples.len(),
            self.median_trips(),
            100.0 * wins as f64 / trips.max(1) as f64,
            mean,
            error,
            mean / error
        );
    }
}

/// Mean and standard error of the mean.
fn mean_and_error(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, (variance / n).sqrt())
}

/// Replays every strategy on every seed of a market, seeds in parallel, results in the order of seeds.
fn table(spec: &Spec, strategies: &[(String, Vec<&str>)], seeds: u64) -> Vec<Row> {
    let folder = tempfile::tempdir().unwrap();
    lab::write_market(folder.path(), spec);
    let setups: Vec<Setup> = strategies
        .iter()
        .map(|(_, sets)| lab::setup(folder.path(), lab::SCENARIO, sets))
        .collect();
    let by_seed: Vec<Vec<Sample>> = (1..=seeds)
        .into_par_iter()
        .map(|seed| {
            let market = lab::in_memory(spec, seed);
            setups
                .iter()
                .map(|setup| {
                    let mut sample = Sample::default();
                    let mut engine = lab::replay_memory(setup, seed, &market, &mut sample);
                    let (equity, hold) = engine.equity().unwrap().expect("everything has a price at the end");
                    sample.pnl_vs_hold = equity.checked_sub(hold).unwrap().to_f64();
                    sample
                })
                .collect()
        })
        .collect();
    let row = |(index, (name, _)): (usize, &(String, Vec<&str>))| Row {
        name: name.clone(),
        samples: by_seed.iter().map(|samples| samples[index]).collect(),
    };
    strategies.iter().enumerate().map(row).collect()
}

fn seeds() -> u64 {
    std::env::var("CROSSBOOK_SEEDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(24)
        .max(3)
}

#[test]
fn no_edge_no_profit_and_an_edge_is_found() {
    let seeds = seeds();
    let mut walk = lab::no_edge_spec();
    walk.premium = Some(PremiumSpec::RandomWalk {
        start_bps: 0.0,
        sd_bps_per_hour: 120.0,
    });
    let named = |list: &[(&str, &'static [&str])]| -> Vec<(String, Vec<&str>)> {
        list.iter()
            .map(|(name, sets)| ((*name).to_owned(), sets.to_vec()))
            .collect()
    };
    walk.a.trades = Some(TradesSpec {
        per_s: 1.0,
        median_qty: Qty::parse("0.05").unwrap(),
        sigma: 1.0,
    });
    let mut strategies = named(&STRATEGIES);
    strategies.extend(named(&[RESTING]));
    for (name, sets) in STRATEGIES {
        let sets = NAIVE.iter().chain(sets).copied().collect();
        strategies.push((format!("naive: {name}"), sets));
    }
    let rows = table(&walk, &strategies, seeds);

    let mut reverting = lab::no_edge_spec();
    reverting.premium = Some(PremiumSpec::Ou {
        mean_bps: 0.0,
        sd_bps: 60.0,
        half_life_s: 300.0,
        start_bps: None,
    });
    let planted = table(&reverting, &named(&WITH_EDGE), seeds);

    println!(
        "{:<42} {:>5} {:>6} {:>8} {:>9} {:>7} {:>7}",
        "premium: random walk", "seeds", "trips", "won", "mean KRW", "error", "t"
    );
    rows.iter().for_each(Row::print);
    println!("premium: Ornstein-Uhlenbeck");
    planted.iter().for_each(Row::print);

    let (honest, naive) = rows.split_at(STRATEGIES.len() + 1);
    for row in &rows {
        assert!(row.median_trips() >= 3, "{}: too few trades to say anything", row.name);
    }
    for row in honest {
        let (mean, error) = mean_and_error(&row.results());
        assert!(
            mean <= 2.0 * error,
            "{}: earns {mean} on a market without an edge",
            row.name
        );
    }
    for (honest, naive) in honest.iter().zip(naive) {
        let gains: Vec<f64> = naive
            .results()
            .iter()
            .zip(honest.results())
            .map(|(naive, honest)| naive - honest)
            .collect();
        let (mean, error) = mean_and_error(&gains);
        assert!(mean > 3.0 * error, "{}: flatters by {mean} only", naive.name);
    }
    for row in &planted {
        let (mean, error) = mean_and_error(&row.results());
        assert!(row.median_trips() >= 3, "{}: too few trades", row.name);
        assert!(mean > 3.0 * error, "{}: earns {mean} where there is an edge", row.name);
    }
}
