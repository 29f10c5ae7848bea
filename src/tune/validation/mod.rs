//! What a finished session is worth: the winner of each fold in and out of sample, how likely luck would have done as well,
//! and a verdict by named gates. Formulas and sources are in `docs/tuning-guards.md`.
//!
//! It reads records and changes nothing. The only trials it evaluates are the winner's neighbours and a reference drawn from
//! the space, none of them a candidate and so none of them tried, and only if it is given the means to.
//!
//! - Every trial of a fold that was tried counts as a look at the data: complete, pruned, failed or without a usable result.
//!   Exact repeats do not, since they were answered from the table.
//! - A pruned trial has only a prefix of its periods. It counts in the number tried and nowhere else: its Sharpe ratio over a prefix
//!   is of another precision, and it cannot be cut into the same blocks. Leaving the bad ones out of the ranking makes the
//!   winner's rank among the rest worse, so this errs on the side of caution.
//! - Cross-validation asks what choosing is worth among trials that were made without looking. A sampler that learns keeps to
//!   what was good over the whole training window, both halves of every split: its trials are alike, and none is out of
//!   sample anywhere. So its sessions are cross-validated on a reference of points drawn from the space; those of a sampler that
//!   does not learn on their own trials.
//! - A figure that is not defined fails its gate.

mod gates;
#[cfg(test)]
mod tests;

use crossbook_engine::rng::Rng;
use crossbook_tuner::guards::bootstrap::{Resampling, Superiority, superiority};
use crossbook_tuner::guards::cscv::{self, Statistic, cscv};
use crossbook_tuner::guards::plateau::{self, Plateau};
use crossbook_tuner::guards::sharpe::{Sharpe, luck, variance};
use crossbook_tuner::guards::trials::{Independent, independent};
use crossbook_tuner::guards::walk_forward::{Step, efficiency};
use crossbook_tuner::importance::{Importance, importance};
use crossbook_tuner::sampler::SamplerConfig;
use crossbook_tuner::space::{Params, Space};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::evaluate::Fold;
use super::objective::{Metric, Objective};
use super::results::usable;
use super::session;
use super::trial::{Measures, Record, State, Task};

pub use gates::{Gate, Gates};

/// Trials tried outside the box that must do where no neighbours are evaluated.
const NEAREST: usize = 8;

/// Points of the reference.
const REFERENCE: u64 = 96;

/// Classes that ranks are counted in.
const CLASSES: usize = 200;

/// Resamples of the reality check.
const RESAMPLES: usize = 1000;

/// A session to be judged.
#[derive(Clone, Copy)]
pub struct Session<'a> {
    /// What was searched.
    pub space: &'a Space,
    /// What for.
    pub objective: &'a Objective,
    /// Where.
    pub folds: &'a [Fold],
    /// All of its records, in the order of ids.
    pub records: &'a [Record],
    /// Whether the sampler learned from results; [`learns`].
    pub adaptive: bool,
    /// Seed of what is drawn here: neighbours, the reference, resamples, the forest.
    pub seed: u64,
    /// What must be reached.
    pub gates: Gates,
}

/// Whether a sampler's proposals depend on results.
pub fn learns(sampler: &SamplerConfig) -> bool {
    !matches!(sampler.name(), "grid" | "random" | "sobol" | "halton")
}

/// What a session is worth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Whether every gate was passed.
    pub accepted: bool,
    /// The trial that the verdict is about: the winner of the last fold, which is tuned on the latest data.
    pub winner: Option<u64>,
    /// Each gate with its figure.
    pub gates: Vec<Gate>,
    /// Every fold.
    pub folds: Vec<FoldReport>,
    /// The winners' results out of sample, one fold after the other.
    pub walk: Option<Walk>,
    /// What the objective depends on, in the last fold.
    pub importance: Option<Importance>,
}

/// One fold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FoldReport {
    /// Its number.
    pub fold: u32,
    /// How its trials ended.
    pub counts: Counts,
    /// The best of them in sample; `None` if none has a usable value.
    pub winner: Option<Winner>,
    /// What luck would have done.
    pub luck: Option<Luck>,
    /// Ranks out of sample of what is best in sample, over combinations of blocks of the training window.
    pub overfitting: Option<Overfitting>,
    /// The same over the session's own trials, where that is not the same. Not to be judged by.
    pub overfitting_of_trials: Option<Overfitting>,
    /// Tests of the best mean per period over all trials.
    pub superiority: Option<Superiority>,
    /// The winner's neighbourhood.
    pub plateau: Option<Plateau>,
}

/// How the trials of a fold ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Different trials: all but the repeats.
    pub tried: u64,
    /// Evaluated to their end.
    pub complete: u64,
    /// Given up early.
    pub pruned: u64,
    /// Not evaluated.
    pub failed: u64,
    /// Answered from the table; not in the other numbers.
    pub repeated: u64,
    /// Complete ones whose results do not vary, most often for want of trades.
    pub idle: u64,
}

/// A fold's winner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Winner {
    /// Its number.
    pub trial: u64,
    /// Its parameters.
    pub params: Params,
    /// Its objective in sample.
    pub value: f64,
    /// Figures in sample.
    pub train: Option<Measures>,
    /// Figures out of sample.
    pub test: Option<Measures>,
    /// Its Sharpe ratio per period in sample, with moments.
    pub sharpe: Option<Sharpe>,
    /// The same out of sample.
    pub test_sharpe: Option<Sharpe>,
    /// Confidence that the ratio in sample is above zero, as if nothing had been chosen.
    pub probabilistic_sharpe: Option<f64>,
    /// Periods after which the ratio in sample would be above the luck of so many trials with 95 % confidence.
    pub min_track_record: Option<f64>,
    /// Result against holding of its worst case under stress in sample, base currency; `None` without stress.
    pub worst_stress: Option<f64>,
}

/// The best that luck alone would show.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Luck {
    /// Trials tried: the number that both deflations use.
    pub trials: u64,
    /// What the trials' results have in common, and how many independent ones that makes.
    pub independent: Option<Independent>,
    /// Variance of a Sharpe ratio over so many periods when the true one is zero, `1 / (periods - 1)`.
    pub sampling_variance: f64,
    /// The Sharpe ratio to be expected of the best of so many worthless trials.
    pub expected_best: f64,
    /// Deflated Sharpe ratio against that: the one that counts.
    pub deflated_sharpe: Option<f64>,
    /// Variance of the trials' Sharpe ratios as observed: luck, and what sets good parameters apart from bad.
    pub observed_variance: Option<f64>,
    /// The expected best by the observed variance, as in the 2014 paper.
    pub observed_expected_best: Option<f64>,
    /// Deflated Sharpe ratio against that.
    pub observed_deflated_sharpe: Option<f64>,
}

/// Probability of backtest overfitting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Overfitting {
    /// Share of splits whose pick lands in the lower half out of sample.
    pub pbo: f64,
    /// Slope of out of sample on in sample.
    pub slope: Option<f64>,
    /// Share of splits whose pick loses out of sample.
    pub loss: f64,
    /// Blocks that the periods were cut into.
    pub blocks: usize,
    /// Splits.
    pub splits: usize,
    /// Trials compared.
    pub trials: usize,
    /// Which ones.
    pub among: Among,
    /// What makes a trial the best.
    pub statistic: Statistic,
    /// How many splits have a pick of this relative rank out of sample: classes of equal width from 0 (the worst) to 1, each with
    /// its upper end, so that the lower half of them is [`Overfitting::pbo`].
    pub ranks: Vec<u64>,
}

impl Overfitting {
    /// Logit of the middle of each class of ranks, and the number of its splits; empty classes are left out.
    pub fn logits(&self) -> Vec<(f64, u64)> {
        let middle = |class: usize| (class as f64 + 0.5) / self.ranks.len() as f64;
        let logit = |w: f64| libm::log(w / (1.0 - w));
        let seen = self.ranks.iter().enumerate().filter(|(_, count)| **count > 0);
        seen.map(|(class, &count)| (logit(middle(class)), count)).collect()
    }
}

/// Class of the relative rank whose logit this is. A logit of zero or less is in the lower half, whatever rounding says.
fn class(logit: f64) -> usize {
    let rank = 1.0 / (1.0 + libm::exp(-logit));
    let class = ((rank * CLASSES as f64 - 1e-9).ceil() - 1.0).max(0.0) as usize;
    if logit <= 0.0 {
        class.min(CLASSES / 2 - 1)
    } else {
        class.clamp(CLASSES / 2, CLASSES - 1)
    }
}

/// Among what the best was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Among {
    /// The session's trials.
    Trials,
    /// Points drawn from the space for this purpose.
    Reference,
}

/// The winners' results out of sample, joined.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Walk {
    /// Profit per time out of sample over that in sample.
    pub efficiency: Option<f64>,
    /// Results against holding, base currency.
    pub pnl_vs_hold: f64,
    /// Round trips.
    pub round_trips: u64,
    /// Sharpe ratio per period.
    pub sharpe: Option<Sharpe>,
    /// Confidence that it is above zero. No trial was chosen on these data, so nothing needs to be deflated.
    pub probabilistic_sharpe: Option<f64>,
    /// Results per period, fold after fold.
    pub periods: Vec<f64>,
}

/// Judges a session. `evaluate` makes the neighbours of the winner; without it the plateau is read off the trials there are.
pub fn judge(session: &Session<'_>, evaluate: Option<session::Evaluate<'_>>) -> Report {
    let folds: Vec<FoldReport> = session
        .folds
        .iter()
        .map(|fold| {
            let last = fold.index as usize + 1 == session.folds.len();
            // Neighbours cost trials: only those of the trial that the verdict is about.
            judge_fold(session, fold.index, evaluate.filter(|_| last))
        })
        .collect();
    let walk = walk(session, &folds);
    let last = folds.last();
    let gates = session.gates.of(last, walk.as_ref(), session.objective.min_round_trips);
    Report {
        accepted: gates.iter().all(|gate| gate.passed),
        winner: last.and_then(|fold| fold.winner.as_ref()).map(|winner| winner.trial),
        gates,
        walk,
        importance: last.and_then(|fold| importance_of(session, fold.fold)),
        folds,
    }
}

fn judge_fold(session: &Session<'_>, fold: u32, evaluate: Option<session::Evaluate<'_>>) -> FoldReport {
    let of_fold = || session.records.iter().filter(move |record| record.fold == fold);
    let best = session::best(session.records.iter(), fold);
    let rows = rows(session, fold);
    let sharpes: Vec<Option<Sharpe>> = rows.iter().map(|row| Sharpe::of(row)).collect();
    let counts = counts(of_fold(), sharpes.iter().filter(|sharpe| sharpe.is_none()).count());
    let sharpe = best.and_then(|best| Sharpe::of(&best.train_periods));
    let ratios: Vec<f64> = sharpes.iter().flatten().map(|sharpe| sharpe.ratio).collect();
    let luck = sharpe.and_then(|sharpe| luck_of(&sharpe, counts.tried, &ratios, &rows));
    let of_trials = overfitting(&rows, session.objective, Among::Trials);
    let reference = evaluate
        .filter(|_| session.adaptive)
        .map(|evaluate| reference(session, fold, evaluate));
    FoldReport {
        fold,
        counts,
        winner: best.and_then(|best| winner(best, sharpe, luck.as_ref())),
        overfitting: match &reference {
            Some(reference) => {
                let rows: Vec<&[f64]> = reference.iter().map(Vec::as_slice).collect();
                overfitting(&rows, session.objective, Among::Reference)
            }
            None => of_trials.clone(),
        },
        overfitting_of_trials: of_trials.filter(|_| reference.is_some()),
        superiority: superiority(
            &rows,
            &Resampling {
                samples: RESAMPLES,
                block: None,
                seed: session.seed,
            },
        ),
        plateau: best.and_then(|best| plateau_of(session, best, evaluate)),
        luck,
    }
}

fn counts<'a>(records: impl Iterator<Item = &'a Record>, idle: usize) -> Counts {
    let mut counts = Counts {
        idle: idle as u64,
        ..Counts::default()
    };
    for record in records {
        if record.same_as.is_some() {
            counts.repeated += 1;
            continue;
        }
        counts.tried += 1;
        match record.state {
            State::Complete => counts.complete += 1,
            State::Pruned => counts.pruned += 1,
            State::Failed => counts.failed += 1,
        }
    }
    counts
}

fn luck_of(sharpe: &Sharpe, tried: u64, ratios: &[f64], rows: &[&[f64]]) -> Option<Luck> {
    let trials = tried as f64;
    let sampling_variance = 1.0 / (sharpe.periods as f64 - 1.0);
    let observed_variance = variance(ratios);
    let observed = observed_variance.and_then(|variance| luck(trials, variance));
    Some(Luck {
        trials: tried,
        independent: independent(rows),
        sampling_variance,
        expected_best: luck(trials, sampling_variance)?,
        deflated_sharpe: sharpe.deflated(trials, sampling_variance),
        observed_variance,
        observed_expected_best: observed,
        observed_deflated_sharpe: observed.and_then(|best| sharpe.probability_above(best)),
    })
}

fn winner(best: &Record, sharpe: Option<Sharpe>, luck: Option<&Luck>) -> Option<Winner> {
    let stressed = best.cases.iter().filter(|case| case.name.contains('+'));
    let least = |least: Option<f64>, pnl: f64| Some(least.map_or(pnl, |least| least.min(pnl)));
    Some(Winner {
        trial: best.id,
        params: best.params.clone(),
        value: usable(best)?,
        train: best.train,
        test: best.test,
        sharpe,
        test_sharpe: Sharpe::of(&best.test_periods),
        probabilistic_sharpe: sharpe.and_then(|sharpe| sharpe.probability_above(0.0)),
        min_track_record: luck.and_then(|luck| sharpe?.min_track_record(luck.expected_best, 0.95)),
        worst_stress: stressed.map(|case| case.train.pnl_vs_hold).fold(None, least),
    })
}

/// As the session chooses: by the mean where its objective is money, else by the Sharpe ratio.
fn statistic(objective: &Objective) -> Statistic {
    let money = [Metric::Pnl, Metric::PnlVsHold, Metric::ReturnVsHold];
    let parts = objective.parts();
    if !parts.is_empty() && parts.iter().all(|part| money.contains(&part.name)) {
        Statistic::Mean
    } else {
        Statistic::Sharpe
    }
}

/// With the logit of every split.
fn overfitting(rows: &[&[f64]], objective: &Objective, among: Among) -> Option<Overfitting> {
    let statistic = statistic(objective);
    // As many blocks as have four periods each.
    let periods = rows.first()?.len();
    let blocks = (periods / 8 * 2).min(cscv::BLOCKS);
    let all = cscv(rows, blocks, statistic).ok()?;
    let mut ranks = vec![0; CLASSES];
    for split in &all.splits {
        ranks[class(split.logit)] += 1;
    }
    Some(Overfitting {
        pbo: all.pbo,
        slope: all.slope,
        loss: all.loss,
        blocks,
        splits: all.splits.len(),
        trials: rows.len(),
        among,
        statistic,
        ranks,
    })
}

/// Results per period of points drawn from the space, in the training window.
fn reference(session: &Session<'_>, fold: u32, evaluate: session::Evaluate<'_>) -> Vec<Vec<f64>> {
    let mut rng = Rng::stream(session.seed, "reference");
    let points: Vec<Vec<f64>> = (0..REFERENCE)
        .filter_map(|_| session.space.sample(&mut rng).ok())
        .collect();
    let mut rows: Vec<Vec<f64>> = evaluated(session, fold, &points, evaluate)
        .into_iter()
        .filter(|record| record.state == State::Complete)
        .map(|record| record.train_periods)
        .collect();
    let longest = rows.iter().map(Vec::len).max().unwrap_or(0);
    rows.retain(|row| row.len() == longest);
    rows
}

/// Records of points that are no trials, in their order whatever threads there are.
fn evaluated(session: &Session<'_>, fold: u32, points: &[Vec<f64>], evaluate: session::Evaluate<'_>) -> Vec<Record> {
    let task = |(id, point): (usize, &Vec<f64>)| Task {
        id: id as u64,
        fold,
        params: session.space.decode(point),
        rungs: Vec::new(),
    };
    points.par_iter().enumerate().map(|at| evaluate(&task(at))).collect()
}

fn plateau_of(session: &Session<'_>, best: &Record, evaluate: Option<session::Evaluate<'_>>) -> Option<Plateau> {
    let space = session.space;
    let point = space.encode(&best.params).ok()?;
    let peak = usable(best)?;
    let Some(evaluate) = evaluate else {
        let trials: Vec<(Vec<f64>, Option<f64>)> = session
            .records
            .iter()
            // A pruned trial was clearly bad; one that failed cannot be told from a bad one.
            .filter(|record| record.fold == best.fold)
            .filter_map(|record| Some((space.encode(&record.params).ok()?, usable(record))))
            .collect();
        return plateau::tried(space, &point, peak, &trials, NEAREST);
    };
    let near = plateau::neighbours(space, &point, plateau::NEIGHBOURS, session.seed);
    let values = evaluated(session, best.fold, &near, evaluate);
    let around: Vec<(Vec<f64>, Option<f64>)> = near.into_iter().zip(values.iter().map(usable)).collect();
    plateau::evaluated(space, &point, peak, &around)
}

fn walk(session: &Session<'_>, folds: &[FoldReport]) -> Option<Walk> {
    let mut walk = Walk {
        efficiency: None,
        pnl_vs_hold: 0.0,
        round_trips: 0,
        sharpe: None,
        probabilistic_sharpe: None,
        periods: Vec::new(),
    };
    let mut steps = Vec::new();
    for (fold, report) in session.folds.iter().zip(folds) {
        // A fold without a winner or a test is a hole that no average may paper over.
        let winner = report.winner.as_ref()?;
        let (train, test) = (winner.train?, winner.test?);
        let record = session.records.iter().find(|record| record.id == winner.trial)?;
        let length = |of: &dyn Fn(usize) -> Option<i64>| (0..fold.windows.len()).map(of).sum::<Option<i64>>();
        let train_ns = length(&|at| {
            let (from, to) = fold.windows[at].train;
            Some(to.since(from))
        })?;
        let test_ns = length(&|at| fold.windows[at].test.map(|(from, to)| to.since(from)))?;
        steps.push(Step {
            in_sample: train.pnl_vs_hold,
            in_length: train_ns as f64,
            out_of_sample: test.pnl_vs_hold,
            out_length: test_ns as f64,
        });
        walk.pnl_vs_hold += test.pnl_vs_hold;
        walk.round_trips += test.round_trips;
        walk.periods.extend_from_slice(&record.test_periods);
    }
    walk.efficiency = efficiency(&steps);
    walk.sharpe = Sharpe::of(&walk.periods);
    walk.probabilistic_sharpe = walk.sharpe.and_then(|sharpe| sharpe.probability_above(0.0));
    (!steps.is_empty()).then_some(walk)
}

fn importance_of(session: &Session<'_>, fold: u32) -> Option<Importance> {
    let trials: Vec<(Vec<f64>, f64)> = session
        .records
        .iter()
        .filter(|record| record.fold == fold && record.same_as.is_none())
        .filter_map(|record| Some((session.space.encode(&record.params).ok()?, usable(record)?)))
        .collect();
    importance(session.space, &trials, session.seed)
}

impl Report {
    /// In one sentence: accepted or not, and by which gates. Luck is what the deflated Sharpe ratio and the probability of
    /// overfitting speak of.
    pub fn sentence(&self) -> String {
        let Some(trial) = self.winner else {
            return "NOT ACCEPTED: no trial of the last fold has a usable result".to_owned();
        };
        let missed: Vec<&Gate> = self.gates.iter().filter(|gate| !gate.passed).collect();
        if missed.is_empty() {
            return format!("ACCEPTED: trial {trial} passes every gate");
        }
        let word = match missed.iter().any(|gate| gate.is_of_luck()) {
            true => "LUCK, not accepted",
            false => "NOT ACCEPTED",
        };
        let missed: Vec<String> = missed.into_iter().map(Gate::to_string).collect();
        format!("{word}: trial {trial} misses {}", missed.join(", "))
    }

    /// The fold that the verdict is about.
    pub fn judged(&self) -> Option<&FoldReport> {
        self.folds.last()
    }
}

/// Results per period of the different complete trials of a fold, of the winner's length, so that they can be compared.
fn rows<'a>(session: &Session<'a>, fold: u32) -> Vec<&'a [f64]> {
    let periods = session::best(session.records.iter(), fold).map_or(0, |best| best.train_periods.len());
    session
        .records
        .iter()
        .filter(|record| record.fold == fold && record.state == State::Complete && record.same_as.is_none())
        .map(|record| record.train_periods.as_slice())
        .filter(|row| row.len() == periods && !row.is_empty())
        .collect()
}
