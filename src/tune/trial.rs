//! A trial: what is to be evaluated, and what came of it. A record is a function of the task, the data and the version: no
//! clock, worker or thread leaves a trace in it.

use crossbook_tuner::space::Params;
use serde::{Deserialize, Serialize};

/// One evaluation to be made: complete in itself, so that any thread, process or host comes to the same record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Number of the trial in its session, from 0.
    pub id: u64,
    /// Fold of the validation that it belongs to, from 0.
    pub fold: u32,
    /// Parameters by scenario path.
    pub params: Params,
    /// Where it is looked at early; empty without pruning.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rungs: Vec<Rung>,
}

/// A place on the way at which a clearly bad trial is given up.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rung {
    /// Share of the training window, in (0, 1).
    pub fraction: f64,
    /// The objective on that prefix must reach this (larger is better); `None`: it is only noted.
    pub least: Option<f64>,
}

/// How a trial ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Evaluated to its end.
    Complete,
    /// Given up early for being clearly bad.
    Pruned,
    /// Could not be evaluated; the reason is told.
    Failed,
}

/// What came of a trial. The objective is always one of which more is better.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Its number.
    pub id: u64,
    /// Its fold.
    pub fold: u32,
    /// Its parameters.
    pub params: Params,
    /// How it ended.
    pub state: State,
    /// Why it was pruned, failed, or scored by rule instead of by result (no trades, not a number).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The earlier trial with the very same parameters whose result this repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_as: Option<u64>,
    /// The objective in sample, as told to the sampler; `None` when failed, or when the rule for trials without a usable
    /// result applies: such a trial is never the best.
    pub value: Option<f64>,
    /// The objective on the prefixes of [`Task::rungs`] that were reached.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rungs: Vec<f64>,
    /// Figures in sample: the unstressed cases taken together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train: Option<Measures>,
    /// Figures out of sample, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<Measures>,
    /// Every case by itself, in the session's order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cases: Vec<CaseRecord>,
    /// Result against holding per period of the training windows, base currency, unstressed cases one after the other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub train_periods: Vec<f64>,
    /// The same out of sample.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub test_periods: Vec<f64>,
}

impl Record {
    /// A record of a trial that has no result.
    pub fn failed(task: &Task, reason: String) -> Record {
        Record {
            reason: Some(reason),
            ..Record::empty(task, State::Failed)
        }
    }

    /// A record without any figure.
    pub fn empty(task: &Task, state: State) -> Record {
        Record {
            id: task.id,
            fold: task.fold,
            params: task.params.clone(),
            state,
            reason: None,
            same_as: None,
            value: None,
            rungs: Vec::new(),
            train: None,
            test: None,
            cases: Vec::new(),
            train_periods: Vec::new(),
            test_periods: Vec::new(),
        }
    }

    /// Whether every number in it is finite, as JSON needs it; parameters are by construction.
    pub fn is_finite(&self) -> bool {
        let measures = self.cases.iter().map(|case| &case.train);
        let measures = measures.chain(&self.train).chain(&self.test);
        let numbers = self.value.iter().chain(&self.rungs);
        let numbers = numbers.chain(&self.train_periods).chain(&self.test_periods);
        let numbers = numbers.chain(self.cases.iter().filter_map(|case| case.metric.as_ref()));
        numbers
            .copied()
            .chain(measures.flat_map(Measures::numbers))
            .all(f64::is_finite)
    }
}

/// One scenario under one stress in one window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CaseRecord {
    /// `scenario`, or `scenario+stress`.
    pub name: String,
    /// The session's metric in sample.
    pub metric: Option<f64>,
    /// Digest of every decision, order, fill and posting of the training window: equal to that of a full replay.
    pub digest: String,
    /// The same of the test window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_digest: Option<String>,
    /// Figures in sample.
    pub train: Measures,
}

/// Figures of one or several runs; ratios that are not defined are `None`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Measures {
    /// Result, market drift of the inventory included, base currency.
    pub pnl: f64,
    /// Result against holding the opening inventory, base currency.
    pub pnl_vs_hold: f64,
    /// Fees, base currency.
    pub fees: f64,
    /// Round trips that ended.
    pub round_trips: u64,
    /// Those that earned something after fees.
    pub wins: u64,
    /// Deepest fall of the result against holding, base currency, never negative.
    pub max_drawdown: f64,
    /// Sharpe ratio of the periods, not annualised.
    pub sharpe: Option<f64>,
    /// Sortino ratio of the periods, not annualised.
    pub sortino: Option<f64>,
    /// `wins / round_trips`.
    pub win_rate: Option<f64>,
    /// Mean result of a round trip, base currency.
    pub pnl_per_trip: Option<f64>,
}

impl Measures {
    /// Every number that could be other than finite.
    fn numbers(&self) -> impl Iterator<Item = f64> {
        let ratios = [self.sharpe, self.sortino, self.win_rate, self.pnl_per_trip];
        let amounts = [self.pnl, self.pnl_vs_hold, self.fees, self.max_drawdown];
        amounts.into_iter().chain(ratios.into_iter().flatten())
    }
}
