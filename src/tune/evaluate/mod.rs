//! Evaluates trials: scenarios, each as it is and under stress, over the windows of a validation.
//!
//! Everything that trials share (decoded recordings, windows cut from them, calendars) is made once and only read afterwards.
//! [`Evaluator::evaluate`] is a function of the task alone: it reads no clock and no file, and does not know how many others
//! run beside it. What cannot be evaluated becomes a failed record with a reason, never a panic.
//!
//! What it does not do: choose parameters, keep results, or judge a session.

mod figures;
mod folds;
mod prepare;
mod run;
mod streams;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crossbook_engine::units::TimestampNs;

pub use figures::{Figures, sharpe, sortino};
pub use folds::{Fold, Windows};
use prepare::Base;
use run::{Ended, Method, Run, Trial};

use super::objective::Objective;
use super::spec::Spec;
use super::stress::Stress;
use super::trial::{CaseRecord, Record, Rung, State, Task};
use crate::config::ConfigError;
use crate::dataset::DatasetError;
use crate::runner::setup::SetupError;

/// Why a session cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// A scenario and its datasets do not fit together.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// A scenario's values do not fit together.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A dataset cannot be read.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// A key of the tuning file does not fit the scenarios or their data.
    #[error("{}: {key}: {message}", path.display())]
    Key {
        /// The tuning file.
        path: PathBuf,
        /// The key.
        key: String,
        /// What is wrong and what is allowed.
        message: String,
    },
}

/// A dataset that results depend on.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct InputHash {
    /// Its name.
    pub name: String,
    /// blake3 of its data.
    pub blake3: String,
}

/// A scenario as it is, or under one stress.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// `scenario`, or `scenario+stress`.
    pub name: String,
    /// Index of the scenario in the tuning file.
    pub scenario: usize,
    /// The stress; `None` for the scenario itself.
    pub stress: Option<Stress>,
}

/// How far the preparations have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loading<'a> {
    /// What is being read.
    pub dataset: &'a str,
    /// Messages read so far, of all datasets.
    pub done: u64,
    /// Messages in all.
    pub total: u64,
}

/// Evaluates trials of one session; shared by all threads.
pub struct Evaluator {
    objective: Objective,
    bases: Vec<Base>,
    cases: Vec<Case>,
    folds: Vec<Fold>,
    period_ns: i64,
    /// By fold: a training window for each case, a test window for each scenario.
    windows: Vec<FoldWindows>,
    inputs: Vec<InputHash>,
    warnings: Vec<String>,
}

/// The windows of a fold, ready to be replayed.
struct FoldWindows {
    train: Vec<Arc<prepare::Window>>,
    test: Vec<Arc<prepare::Window>>,
}

impl Evaluator {
    /// Opens and decodes the datasets, cuts the windows, and tries the corners of the search space on every case.
    ///
    /// # Errors
    /// [`EvaluateError`], naming the file, the key and what is allowed.
    pub fn new(
        spec: &Spec,
        data_root: Option<&Path>,
        progress: &mut dyn FnMut(Loading<'_>),
    ) -> Result<Evaluator, EvaluateError> {
        prepare::prepare(spec, data_root, progress)
    }

    /// The folds, each a study of its own.
    pub fn folds(&self) -> &[Fold] {
        &self.folds
    }

    /// The cases of every fold's training, in the order of [`Record::cases`].
    pub fn cases(&self) -> &[Case] {
        &self.cases
    }

    /// Length of a period of [`Record::train_periods`], in nanoseconds.
    pub fn period_ns(&self) -> i64 {
        self.period_ns
    }

    /// The datasets, by name.
    pub fn input_hashes(&self) -> &[InputHash] {
        &self.inputs
    }

    /// What a reader of the results must know.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Currency of all money in the records.
    pub fn currency(&self) -> &str {
        self.bases
            .first()
            .map_or("", |base| base.scenario().base_currency.as_str())
    }

    /// Bytes that recordings and tapes take in memory, shared ones counted once.
    pub fn bytes(&self) -> usize {
        let all = self.windows.iter().flat_map(|fold| fold.train.iter().chain(&fold.test));
        let mut windows: Vec<_> = all.collect();
        windows.sort_by_key(|window| Arc::as_ptr(window));
        windows.dedup_by_key(|window| Arc::as_ptr(window));
        let tapes: usize = windows
            .iter()
            .filter_map(|window| Some(window.tape.as_ref()?.bytes()))
            .sum();
        let mut chunks: Vec<_> = windows.iter().flat_map(|window| window.chunks()).collect();
        chunks.sort_by_key(|chunk| Arc::as_ptr(chunk));
        chunks.dedup_by_key(|chunk| Arc::as_ptr(chunk));
        tapes + chunks.iter().map(|chunk| chunk.bytes()).sum::<usize>()
    }

    /// Evaluates a trial.
    pub fn evaluate(&self, task: &Task) -> Record {
        self.evaluate_by(task, Method::Tape)
    }

    /// The same by full replay, unstressed cases read from their files again: the check that the short way is exact. Equal to
    /// [`Evaluator::evaluate`], or there is a bug.
    pub fn evaluate_fully(&self, task: &Task) -> Record {
        self.evaluate_by(task, Method::Full)
    }

    /// Digests by full replay: the cases of the training, then `scenario (test)`. Empty for a trial that fails or is pruned.
    pub fn replay_fully(&self, task: &Task) -> Vec<(String, String)> {
        let record = self.evaluate_fully(task);
        let train = record.cases.iter().map(|case| (case.name.clone(), case.digest.clone()));
        let test = record.cases.iter().filter_map(|case| {
            let digest = case.test_digest.clone()?;
            Some((format!("{} (test)", case.name), digest))
        });
        train.chain(test).collect()
    }

    fn evaluate_by(&self, task: &Task, method: Method) -> Record {
        // A panic is a bug; it must cost one trial, not the session. Everything shared is read-only.
        let outcome = catch_unwind(AssertUnwindSafe(|| self.attempt(task, method)));
        let reason = match outcome {
            Ok(Ok(record)) => return record,
            Ok(Err(reason)) => reason,
            Err(panic) => {
                let words = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
                let words = words.or_else(|| panic.downcast_ref::<String>().cloned());
                format!("a bug: {}", words.unwrap_or_else(|| "panicked".to_owned()))
            }
        };
        Record::failed(task, reason)
    }

    fn attempt(&self, task: &Task, method: Method) -> Result<Record, String> {
        let Some(windows) = self.windows.get(task.fold as usize) else {
            return Err(format!("fold {} of {}", task.fold, self.windows.len()));
        };
        check_rungs(task)?;
        let trial = Trial::new(&self.bases, &self.cases, &task.params)?;
        // Several cases are compared at the same share of their windows, so each is replayed up to there first. One case is
        // looked at on its way.
        let staged = self.cases.len() > 1;
        for index in (0..task.rungs.len()).filter(|&index| staged && task.rungs[index].least.is_some()) {
            let rungs = &task.rungs[..=index];
            let prefixes: Vec<Vec<Figures>> = (0..self.cases.len())
                .map(|case| trial.prefix(case, &windows.train[case], rungs, method))
                .collect::<Result<_, String>>()?;
            if let Some(missed) = self.missed(rungs, &prefixes) {
                return Ok(self.pruned(task, missed, &prefixes));
            }
        }
        let alone = |figures: &[Figures]| !staged && self.missed(&task.rungs, &[figures.to_vec()]).is_some();
        let mut ended: Vec<Ended> = Vec::with_capacity(self.cases.len());
        for case in 0..self.cases.len() {
            match trial.whole(case, &windows.train[case], &task.rungs, method, &alone)? {
                Run::Ended(run) => ended.push(run),
                Run::GivenUp(figures) => {
                    let prefixes = [figures];
                    let missed = self.missed(&task.rungs, &prefixes).unwrap_or(0);
                    return Ok(self.pruned(task, missed, &prefixes));
                }
            }
        }
        let prefixes: Vec<Vec<Figures>> = ended.iter().map(|ended| ended.rungs.clone()).collect();
        if let Some(missed) = self.missed(&task.rungs, &prefixes) {
            return Ok(self.pruned(task, missed, &prefixes));
        }
        let train = self.unstressed(ended.iter().map(|ended| &ended.figures));
        let mut cases: Vec<CaseRecord> = self
            .cases
            .iter()
            .zip(&ended)
            .map(|(case, ended)| CaseRecord {
                name: case.name.clone(),
                metric: self.objective.of_case(|metric| ended.figures.metric(metric)),
                digest: ended.digest.clone(),
                test_digest: None,
                train: ended.figures.measures(),
            })
            .collect();
        let (value, mut reason) = match self.value(&cases, &train) {
            Ok(value) => (Some(value), None),
            Err(reason) => (None, Some(reason)),
        };
        let mut tests = Vec::new();
        for (scenario, window) in windows.test.iter().enumerate() {
            let Some(case) = self.base_case(scenario) else { continue };
            // The tuner must learn nothing from the test, not even that it cannot be made.
            match trial.whole(case, window, &[], method, &|_| false) {
                Ok(Run::Ended(ended)) => {
                    cases[case].test_digest = Some(ended.digest);
                    tests.push(ended.figures);
                }
                Ok(Run::GivenUp(_)) => {}
                Err(error) => reason = Some(format!("test: {error}")),
            }
        }
        let test = (!tests.is_empty() && tests.len() == windows.test.len()).then(|| Figures::together(tests.iter()));
        Ok(Record {
            reason,
            value,
            rungs: (0..task.rungs.len())
                .map(|rung| self.rung_value(&prefixes, rung))
                .collect(),
            train: Some(train.measures()),
            test: test.as_ref().map(Figures::measures),
            cases,
            train_periods: train.periods,
            test_periods: test.map_or(Vec::new(), |test| test.periods),
            ..Record::empty(task, State::Complete)
        })
    }

    /// The first rung whose threshold the objective misses, among those that every case has reached.
    fn missed(&self, rungs: &[Rung], prefixes: &[Vec<Figures>]) -> Option<usize> {
        let reached = prefixes.iter().map(Vec::len).min().unwrap_or(0);
        let missed = |index: &usize| {
            let least = rungs[*index].least;
            least.is_some_and(|least| self.rung_value(prefixes, *index) < least)
        };
        (0..rungs.len().min(reached)).find(missed)
    }

    /// A trial that is given up at a rung: figures and periods are those of the prefix.
    fn pruned(&self, task: &Task, missed: usize, prefixes: &[Vec<Figures>]) -> Record {
        let rungs: Vec<f64> = (0..=missed).map(|rung| self.rung_value(prefixes, rung)).collect();
        let together = self.unstressed(prefixes.iter().map(|figures| &figures[missed]));
        let rung = task.rungs[missed];
        Record {
            reason: Some(format!(
                "at {} % of the training window: {} is less than {}",
                rung.fraction * 100.0,
                rungs[missed],
                rung.least.unwrap_or_default()
            )),
            rungs,
            train: Some(together.measures()),
            train_periods: together.periods,
            ..Record::empty(task, State::Pruned)
        }
    }

    /// The objective over all cases, or why there is none.
    fn value(&self, cases: &[CaseRecord], train: &Figures) -> Result<f64, String> {
        let least = self.objective.min_round_trips;
        if train.round_trips < least {
            return Err(format!(
                "round trips in sample: {}, at least {least} are needed",
                train.round_trips
            ));
        }
        let mut values = Vec::with_capacity(cases.len());
        for case in cases {
            let undefined = || format!("{} is not defined for case {}", self.objective.label(), case.name);
            values.push(case.metric.ok_or_else(undefined)?);
        }
        self.objective
            .aggregate(&values)
            .ok_or_else(|| format!("{} over all cases is not a finite number", self.objective.label()))
    }

    /// The objective on the prefixes up to a rung. What is not defined yet (a ratio before the first loss, say) counts as
    /// zero there: it is no reason to give a trial up.
    fn rung_value(&self, prefixes: &[Vec<Figures>], rung: usize) -> f64 {
        let case = |figures: &Vec<Figures>| {
            let metric = |metric| Some(figures[rung].metric(metric).unwrap_or(0.0));
            self.objective.of_case(metric).unwrap_or(0.0)
        };
        let values: Vec<f64> = prefixes.iter().map(case).collect();
        self.objective.aggregate(&values).unwrap_or(0.0)
    }

    /// The unstressed cases taken together.
    fn unstressed<'a>(&self, figures: impl Iterator<Item = &'a Figures>) -> Figures {
        let plain = self.cases.iter().zip(figures).filter(|(case, _)| case.stress.is_none());
        Figures::together(plain.map(|(_, figures)| figures))
    }

    /// The case that is the scenario itself.
    fn base_case(&self, scenario: usize) -> Option<usize> {
        self.cases
            .iter()
            .position(|case| case.scenario == scenario && case.stress.is_none())
    }
}

fn check_rungs(task: &Task) -> Result<(), String> {
    let mut last = 0.0;
    for rung in &task.rungs {
        if !(rung.fraction > last && rung.fraction < 1.0) {
            return Err(format!(
                "rung at {}: shares rise from above 0 to below 1",
                rung.fraction
            ));
        }
        last = rung.fraction;
    }
    Ok(())
}

/// The instant at a share of a span.
fn at_share((from, to): streams::Span, share: f64) -> TimestampNs {
    from.plus((to.since(from) as f64 * share) as i64)
}
