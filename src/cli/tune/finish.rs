//! The end of a session: the best trial and a sample are evaluated again by full replay, the session is judged, and the figures
//! are put together.

use std::collections::BTreeSet;

use crossbook_engine::rng::Rng;
use crossbook_tuner::space::Params;
use serde::Serialize;

use super::super::{Fault, say};
use crate::tune::evaluate::Evaluator;
use crate::tune::results::read::words;
use crate::tune::session::{Ended, best, digest};
use crate::tune::spec::Spec;
use crate::tune::trial::{Measures, Record, State, Task};
use crate::tune::validation::{self, Gate, Report};

/// What `--json` prints.
#[derive(Debug, Serialize)]
pub struct Summary {
    pub session_id: String,
    pub sampler: String,
    /// Trials with a record, of every end.
    pub trials: u64,
    pub pruned: u64,
    pub failed: u64,
    /// Of this run; a session that went on has been running before.
    pub seconds: f64,
    /// Trials evaluated by this run, a second.
    pub trials_per_second: f64,
    /// Trials that were there when this run began.
    pub resumed: u64,
    pub best: Option<Best>,
    /// Whether the best trial passed every gate.
    pub accepted: bool,
    /// The verdict in one sentence.
    pub verdict: String,
    pub pbo: Option<f64>,
    pub plateau: Option<f64>,
    pub walk_forward_efficiency: Option<f64>,
    /// Each gate with what was found.
    pub gates: Vec<Gate>,
    pub digest: String,
    pub currency: String,
    /// Length of a period of results, in seconds.
    pub period_s: f64,
    /// What each fold is tuned and tested on, in words.
    pub windows: Vec<String>,
}

/// What `summary.json` holds.
#[derive(Serialize)]
pub struct Whole<'s> {
    #[serde(flatten)]
    pub summary: &'s Summary,
    /// Everything that was found of the session's worth.
    pub validation: &'s Report,
}

/// The best trial of the last fold: the one that has seen the latest data.
#[derive(Debug, Serialize)]
pub struct Best {
    pub trial: u64,
    pub fold: u32,
    pub params: Params,
    /// The objective as the sampler saw it.
    pub value: Option<f64>,
    pub in_sample: Option<Measures>,
    pub out_of_sample: Option<Measures>,
    pub deflated_sharpe: Option<f64>,
}

/// Puts the figures of a finished session together.
pub fn summary(id: &str, spec: &Spec, evaluator: &Evaluator, ended: &Ended, seconds: f64, report: &Report) -> Summary {
    let judged = report.judged();
    let progress = &ended.progress;
    let evaluated = progress.trials - progress.resumed;
    let best = winner(evaluator, &ended.records).map(|record| Best {
        trial: record.id,
        fold: record.fold,
        params: record.params.clone(),
        value: record.value,
        in_sample: record.train,
        out_of_sample: record.test,
        deflated_sharpe: judged.and_then(|fold| fold.luck?.deflated_sharpe),
    });
    Summary {
        session_id: id.to_owned(),
        sampler: spec.sampler.config.name().to_owned(),
        trials: progress.trials,
        pruned: progress.pruned,
        failed: progress.failed,
        seconds,
        trials_per_second: if seconds > 0.0 { evaluated as f64 / seconds } else { 0.0 },
        resumed: progress.resumed,
        best,
        accepted: report.accepted,
        verdict: report.sentence(),
        pbo: judged.and_then(|fold| Some(fold.overfitting.as_ref()?.pbo)),
        plateau: judged.and_then(|fold| Some(fold.plateau?.score)),
        walk_forward_efficiency: report.walk.as_ref().and_then(|walk| walk.efficiency),
        gates: report.gates.clone(),
        digest: digest(&ended.records),
        currency: evaluator.currency().to_owned(),
        period_s: evaluator.period_ns() as f64 / 1e9,
        windows: evaluator.folds().iter().map(words).collect(),
    }
}

/// What the session is worth. The winner's neighbours, and where it is needed a reference, are evaluated on so many threads.
///
/// # Errors
/// [`Fault::Outside`] when there are no threads to be had.
pub fn judge(spec: &Spec, evaluator: &Evaluator, records: &[Record], threads: usize) -> Result<Report, Fault> {
    let session = validation::Session {
        space: &spec.space,
        objective: &spec.objective,
        folds: evaluator.folds(),
        records,
        adaptive: validation::learns(&spec.sampler.config),
        seed: spec.sampler.seed,
        gates: spec.gates,
    };
    let evaluate = |task: &Task| evaluator.evaluate(task);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.max(1)).build();
    let pool = pool.map_err(|error| Fault::Outside {
        what: "threads".to_owned(),
        source: std::io::Error::other(error),
    })?;
    Ok(pool.install(|| validation::judge(&session, Some(&evaluate))))
}

fn winner<'r>(evaluator: &Evaluator, records: &'r [Record]) -> Option<&'r Record> {
    let last = evaluator.folds().last()?.index;
    best(records, last)
}

/// Evaluates the best trial and a seeded sample of the others by full replay, which must come to the same digests; and looks
/// whether any result that came in twice differed.
///
/// # Errors
/// [`Fault::Outside`] with the trial: then no figure of the session is to be believed.
pub fn check(evaluator: &Evaluator, ended: &Ended, sample: usize, seed: u64) -> Result<(), Fault> {
    let wrong = |what: String| Fault::Outside {
        what,
        source: std::io::Error::other("the session is not to be believed"),
    };
    if ended.disagreements > 0 {
        let count = ended.disagreements;
        return Err(wrong(format!("{count} results differ from those of another worker")));
    }
    let complete: Vec<&Record> = ended
        .records
        .iter()
        .filter(|record| record.state == State::Complete && record.same_as.is_none())
        .collect();
    let mut chosen = BTreeSet::new();
    let mut draws = Rng::stream(seed, "tune.recheck");
    for _ in 0..sample.min(complete.len()) {
        chosen.insert(draws.below(complete.len() as u64) as usize);
    }
    let sampled = chosen.into_iter().map(|at| complete[at]);
    for record in winner(evaluator, &ended.records).into_iter().chain(sampled) {
        let task = Task {
            id: record.id,
            fold: record.fold,
            params: record.params.clone(),
            rungs: Vec::new(),
        };
        let again = evaluator.evaluate_fully(&task);
        for (case, other) in record.cases.iter().zip(&again.cases) {
            if (&case.digest, &case.test_digest) != (&other.digest, &other.test_digest) {
                let (id, name) = (record.id, &case.name);
                return Err(wrong(format!(
                    "trial {id}, {name}: full replay comes to another digest"
                )));
            }
        }
        if record.cases.len() != again.cases.len() {
            return Err(wrong(format!("trial {}: full replay comes to other cases", record.id)));
        }
    }
    Ok(())
}

/// The summary for people.
pub fn print(summary: &Summary) {
    let Summary {
        session_id,
        sampler,
        currency,
        ..
    } = summary;
    say!("{session_id}  ({sampler})");
    say!(
        "  trials       {} ({} pruned, {} failed) in {:.2} s, {:.1} a second",
        summary.trials,
        summary.pruned,
        summary.failed,
        summary.seconds,
        summary.trials_per_second
    );
    if summary.resumed > 0 {
        say!("  resumed      {} of them were there already", summary.resumed);
    }
    match &summary.best {
        None => say!("  best         none: no trial has a result that counts"),
        Some(best) => {
            let value = best.value.map_or("-".to_owned(), |value| format!("{value:.6}"));
            say!("  best         trial {}, value {value}", best.trial);
            for (name, value) in &best.params {
                let value = serde_json::to_string(value).unwrap_or_default();
                say!("    {name} = {value}");
            }
            let figures = |measures: &Measures| {
                let sharpe = measures.sharpe.map_or("-".to_owned(), |sharpe| format!("{sharpe:.3}"));
                format!(
                    "{:.2} {currency} against holding, {} round trips, sharpe {sharpe}",
                    measures.pnl_vs_hold, measures.round_trips
                )
            };
            let line = |measures: &Option<Measures>| measures.as_ref().map_or("-".to_owned(), figures);
            say!("  in sample      {}", line(&best.in_sample));
            say!("  out of sample  {}", line(&best.out_of_sample));
        }
    }
    say!("  digest       {}", summary.digest);
    say!("  verdict      {}", summary.verdict);
    for gate in &summary.gates {
        let mark = if gate.passed { "passed" } else { "NOT PASSED" };
        say!("    {:<26}  {:<30}  {mark}", gate.label(), gate.demand());
    }
}
