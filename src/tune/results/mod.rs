//! A session as its readers see it: tables, exports, pictures and the report are all made of this, whoever ran the session
//! and wherever its records came from.
//!
//! Nothing is evaluated or judged here; ranks and bests are read off the records.

pub mod read;
mod verdict;

use std::cmp::Ordering;

use crossbook_tuner::space::{Param, Space};

use super::trial::{Record, State};

/// A session with its records.
#[derive(Debug, Clone, Default)]
pub struct Results {
    /// Id of the session: the name of its directory.
    pub id: String,
    /// Name in the tuning file.
    pub name: String,
    /// What proposed the trials (`gp`, `tpe`, ...).
    pub sampler: String,
    /// The objective in words: metric and aggregate.
    pub objective: String,
    /// Base currency of all money.
    pub currency: String,
    /// Version of the program that evaluated.
    pub version: String,
    /// Hash over the records; empty while the session is not done.
    pub digest: String,
    /// Scenarios that each trial is tried on, as they are named on a command line.
    pub scenarios: Vec<String>,
    /// Trials that the session may have in all.
    pub asked: u64,
    /// The search space, fixed parameters included.
    pub params: Vec<Param>,
    /// The same as samplers see it; none for results that were put together by hand.
    pub space: Option<Space>,
    /// What each fold covers, in words: training window, then test window if there is one.
    pub folds: Vec<String>,
    /// Length of a period of [`Record::train_periods`] in seconds; 0 when not known.
    pub period_s: f64,
    /// The tuning file with every default written out.
    pub spec: String,
    /// Trials in the order of their ids.
    pub records: Vec<Record>,
    /// What the objective depends on, the most first; empty when not computed or when too few trials have a value.
    pub importance: Vec<Influence>,
    /// Share of the variance of unseen trials that [`Results::importance`] is taken from; about zero: it means nothing.
    pub explained: Option<f64>,
    /// What the results are worth; none before the session was judged.
    pub verdict: Option<Verdict>,
}

/// A parameter's share in the variance of the objective over the whole space.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Influence {
    /// Its name.
    pub param: String,
    /// By itself, in `[0, 1]`.
    pub alone: f64,
    /// Together with one other parameter, over all others.
    pub shared: f64,
}

/// What the statistics of having chosen the best of many say.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Verdict {
    /// In one sentence.
    pub sentence: String,
    /// Whether every check passed; none when there were too few data to say.
    pub passed: Option<bool>,
    /// The trial that was judged.
    pub winner: Option<u64>,
    /// Probability that the winner's Sharpe ratio is above what the best of so many lucky trials would show.
    pub deflated_sharpe: Option<f64>,
    /// Probability of backtest overfitting.
    pub pbo: Option<f64>,
    /// Neighbours of the winner relative to it.
    pub plateau: Option<f64>,
    /// Every figure by name, as text with its unit, and whether it passed, where it is a check.
    pub figures: Vec<(String, String, Option<bool>)>,
    /// Logits of the out-of-sample ranks in the cross-validation, each with the number of its splits.
    pub logits: Vec<(f64, u64)>,
    /// Result per period of each fold's winner out of sample, the folds one after the other, base currency.
    pub joined: Vec<f64>,
}

/// How many trials ended how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Evaluated to the end.
    pub complete: u64,
    /// Of these, those with a value that can be best.
    pub usable: u64,
    /// Given up early.
    pub pruned: u64,
    /// Not evaluated.
    pub failed: u64,
    /// Answered from the table.
    pub repeated: u64,
}

/// A record's value if it can be compared: complete and a number.
pub fn usable(record: &Record) -> Option<f64> {
    match record.state {
        State::Complete => record.value.filter(|value| value.is_finite()),
        State::Pruned | State::Failed => None,
    }
}

/// Best first: usable values downwards, ties by lower id; then complete ones without a value, pruned, failed.
pub fn by_rank(a: &Record, b: &Record) -> Ordering {
    let group = |record: &Record| match record.state {
        State::Complete if usable(record).is_some() => 0,
        State::Complete => 1,
        State::Pruned => 2,
        State::Failed => 3,
    };
    let value = |record: &Record| usable(record).or(record.rungs.last().copied());
    group(a)
        .cmp(&group(b))
        .then_with(|| match (value(a), value(b)) {
            (Some(a), Some(b)) => b.total_cmp(&a),
            (a, b) => b.is_some().cmp(&a.is_some()),
        })
        .then_with(|| a.id.cmp(&b.id))
}

impl Results {
    /// Folds that have records.
    pub fn folds_seen(&self) -> Vec<u32> {
        let mut folds: Vec<u32> = self.records.iter().map(|record| record.fold).collect();
        folds.sort_unstable();
        folds.dedup();
        folds
    }

    /// Records of a fold, or all.
    pub fn of_fold(&self, fold: Option<u32>) -> impl Iterator<Item = &Record> {
        self.records
            .iter()
            .filter(move |record| fold.is_none_or(|fold| record.fold == fold))
    }

    /// The leaderboard of a fold, or of all folds: best first.
    pub fn ranked(&self, fold: Option<u32>) -> Vec<&Record> {
        let mut records: Vec<&Record> = self.of_fold(fold).collect();
        records.sort_by(|a, b| by_rank(a, b));
        records
    }

    /// The best trial of a fold; none when no trial of it has a usable value.
    pub fn best(&self, fold: u32) -> Option<&Record> {
        self.of_fold(Some(fold))
            .filter(|record| usable(record).is_some())
            .min_by(|a, b| by_rank(a, b))
    }

    /// The trial to look at first: the judged one, else the best of the latest fold that has one, for this is the window
    /// next to the future. (Values of different folds are of different windows and are not compared.)
    pub fn winner(&self) -> Option<&Record> {
        let judged = self.verdict.as_ref().and_then(|verdict| verdict.winner);
        judged
            .and_then(|id| self.records.iter().find(|record| record.id == id))
            .or_else(|| self.folds_seen().into_iter().rev().find_map(|fold| self.best(fold)))
    }

    /// The fold that a picture or a table of one fold shows: the winner's, else the last one.
    pub fn fold_shown(&self) -> Option<u32> {
        self.winner()
            .map(|record| record.fold)
            .or_else(|| self.folds_seen().last().copied())
    }

    /// How many ended how.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for record in &self.records {
            match record.state {
                State::Complete => counts.complete += 1,
                State::Pruned => counts.pruned += 1,
                State::Failed => counts.failed += 1,
            }
            counts.usable += u64::from(usable(record).is_some());
            counts.repeated += u64::from(record.same_as.is_some());
        }
        counts
    }

    /// Words for a fold: its number and window.
    pub fn fold_label(&self, fold: u32) -> String {
        match self.folds.get(fold as usize) {
            Some(label) if !label.is_empty() => format!("fold {fold}: {label}"),
            _ => format!("fold {fold}"),
        }
    }
}
