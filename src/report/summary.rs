//! A run in one JSON object: what `replay --json` prints last and `summary.json` keeps.

use serde::Serialize;

use super::meta::Run;
use super::money::Money;
use super::statistics::Statistics;

/// The figures that people and programs ask for first, then all of them. Money is a JSON number with its exact decimals.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary<'a> {
    /// Name of the run's directory.
    pub run_id: &'a str,
    /// Name of the scenario.
    pub scenario: &'a str,
    /// Hash over every decision, order, fill and ledger movement.
    pub digest: &'a str,
    /// Currency of all money here.
    pub currency: &'a str,
    /// The run's directory, as it was given.
    pub out_dir: String,
    /// Events that the engine saw.
    pub events: u64,
    /// Book levels (and other rows) in them.
    pub rows: u64,
    /// Wall time of the replay.
    pub seconds: f64,
    /// `events / seconds`; `None` when it took no measurable time.
    pub events_per_second: Option<f64>,
    /// Round trips that ended.
    pub round_trips: u64,
    /// Those that earned something after fees.
    pub wins: u64,
    /// `wins / round_trips`; `None` without a round trip.
    pub win_rate: Option<f64>,
    /// Change of equity.
    pub pnl: Money,
    /// Change of equity less that of the opening inventory.
    pub pnl_vs_hold: Money,
    /// Fees of all fills; `None` when one of their currencies has no rate.
    pub fees: Option<Money>,
    /// Annualised; `None` when undefined.
    pub sharpe: Option<f64>,
    /// Deepest fall of equity against holding.
    pub max_drawdown: Money,
    /// All figures.
    pub statistics: &'a Statistics,
    /// Named counts.
    pub counters: &'a std::collections::BTreeMap<String, u64>,
    /// What a reader must know.
    pub warnings: &'a [String],
}

impl<'a> Summary<'a> {
    /// Of this run, which lies (or will lie) in `out_dir`.
    pub fn new(run: &'a Run, out_dir: &std::path::Path) -> Summary<'a> {
        let statistics = &run.statistics;
        Summary {
            run_id: &run.run_id,
            scenario: &run.meta.scenario,
            digest: &run.meta.digest,
            currency: &run.meta.base_currency,
            out_dir: out_dir.display().to_string(),
            events: run.meta.events,
            rows: run.meta.rows,
            seconds: run.seconds,
            events_per_second: (run.seconds > 0.0).then(|| run.meta.events as f64 / run.seconds),
            round_trips: statistics.round_trips,
            wins: statistics.wins,
            win_rate: statistics.win_rate,
            pnl: statistics.pnl,
            pnl_vs_hold: statistics.pnl_vs_hold,
            fees: statistics.fees,
            sharpe: statistics.sharpe,
            max_drawdown: statistics.drawdown.map_or(Money::ZERO, |fall| fall.amount),
            statistics,
            counters: &run.meta.counters,
            warnings: &run.meta.warnings,
        }
    }
}
