//! A session read from where it lies: its folder, or the text and the table that a store holds.

use std::path::PathBuf;

use crossbook_tuner::importance::{Importance, importance};
use thiserror::Error;

use super::{Influence, Results, usable};
use crate::report::plots::utc;
use crate::report::word;
use crate::tune::evaluate::{Fold, Windows};
use crate::tune::log::{self, LogError};
use crate::tune::objective::Aggregate;
use crate::tune::session;
use crate::tune::session::folder::{Folder, FolderError, Question, SUMMARY};
use crate::tune::spec::{self, Spec, SpecError};
use crate::tune::trial::Record;
use crate::tune::validation::Report;

/// Why a session cannot be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// Its folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// Its question.
    #[error(transparent)]
    Spec(Box<SpecError>),
    /// Its log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Its summary.
    #[error("{}: {why}", path.display())]
    Summary {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

/// What `summary.json` says that the log does not: the windows are cut out of the datasets, which a reader need not have.
#[derive(Debug, Default, serde::Deserialize)]
struct Summary {
    #[serde(default)]
    windows: Vec<String>,
    #[serde(default)]
    period_s: f64,
    /// Of the records that were judged.
    #[serde(default)]
    digest: String,
    /// What was found of their worth, as [`Report`].
    #[serde(default)]
    validation: Option<serde_json::Value>,
}

/// Reads the session that lies in a folder.
///
/// # Errors
/// [`ReadError`], naming the file.
pub fn read(folder: &Folder) -> Result<Results, ReadError> {
    let question = folder.question()?;
    let path = folder.path().join(session::folder::QUESTION);
    let spec = spec::parse(&question.spec, &path, &[]).map_err(|error| ReadError::Spec(Box::new(error)))?;
    // A session that was stopped before its first trial has no log yet.
    let records = match folder.log().exists() {
        true => log::read(&folder.log())?.records,
        false => Vec::new(),
    };
    let mut results = results(&spec, &question, records);
    if let Some(summary) = summary(folder)? {
        results.folds = summary.windows;
        results.period_s = summary.period_s;
        results.digest = session::digest(&results.records);
        // A verdict over other records than these is none; neither is one that another version wrote in other words.
        let report = summary.validation.filter(|_| summary.digest == results.digest);
        if let Some(report) = report.and_then(|report| serde_json::from_value::<Report>(report).ok()) {
            results = results.judged(&report);
        }
    }
    Ok(results)
}

fn summary(folder: &Folder) -> Result<Option<Summary>, ReadError> {
    let path = folder.path().join(SUMMARY);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(FolderError::Io { path, source }.into()),
    };
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|error| ReadError::Summary {
            path,
            why: error.to_string(),
        })
}

/// The results of this question with these records. Windows, importance and verdict are the caller's to add.
pub fn results(spec: &Spec, question: &Question, mut records: Vec<Record>) -> Results {
    records.sort_by_key(|record| record.id);
    let source = spec.scenarios.first();
    let objective = &spec.objective;
    let aggregate = match objective.aggregate {
        Aggregate::MeanMinusStd => format!("mean - {} std", objective.k),
        other => word(&other),
    };
    Results {
        id: question.header.id.clone(),
        name: spec.name.clone(),
        sampler: spec.sampler.config.name().to_owned(),
        objective: format!("{} ({aggregate})", objective.label()),
        currency: source.map_or(String::new(), |source| source.scenario.base_currency.clone()),
        version: question.header.version.clone(),
        asked: spec
            .sampler
            .trials
            .saturating_mul(u64::from(spec.validation.folds.unwrap_or(1))),
        scenarios: spec
            .scenarios
            .iter()
            .map(|source| source.path.display().to_string())
            .collect(),
        params: spec.space.params().to_vec(),
        space: Some(spec.space.clone()),
        spec: question.spec.clone(),
        records,
        ..Results::default()
    }
}

/// A fold's windows in words.
pub fn words(fold: &Fold) -> String {
    let span = |(from, to)| format!("{} to {}", utc(from), utc(to));
    let window = |windows: &Windows| {
        let train = span(windows.train);
        match windows.test {
            Some(test) => format!("tuned on {train}, tested on {}", span(test)),
            None => format!("tuned on {train}"),
        }
    };
    match fold.windows.as_slice() {
        [] => String::new(),
        [only] => window(only),
        several => {
            let each: Vec<String> = several
                .iter()
                .map(|windows| format!("{}: {}", windows.scenario, window(windows)))
                .collect();
            each.join("; ")
        }
    }
}

impl Results {
    /// Computes which parameters the value depends on, from the trials of the fold that pictures show, unless that is known.
    /// Nothing where too few trials have a value.
    pub fn with_importance(mut self) -> Results {
        if !self.importance.is_empty() {
            return self;
        }
        let fold = self.fold_shown();
        let Some(space) = &self.space else {
            return self;
        };
        let trials: Vec<(Vec<f64>, f64)> = self
            .of_fold(fold)
            .filter_map(|record| Some((space.encode(&record.params).ok()?, usable(record)?)))
            .collect();
        let Some(found) = importance(space, &trials, SEED) else {
            return self;
        };
        self.explained = found.explained;
        self.importance = influences(&found);
        self
    }
}

/// Each parameter's share, the largest first.
pub(super) fn influences(found: &Importance) -> Vec<Influence> {
    let shared = |name: &str| -> f64 {
        let pairs = found.pairs.iter();
        pairs
            .filter(|pair| pair.params.0 == name || pair.params.1 == name)
            .map(|pair| pair.share)
            .sum()
    };
    let mut all: Vec<Influence> = found
        .main
        .iter()
        .map(|share| Influence {
            param: share.param.clone(),
            alone: share.share,
            shared: shared(&share.param),
        })
        .collect();
    all.sort_by(|a, b| {
        (b.alone + b.shared)
            .total_cmp(&(a.alone + a.shared))
            .then_with(|| a.param.cmp(&b.param))
    });
    all
}

/// Of the forest; the same for every session, so that a picture made again is the same.
const SEED: u64 = 0;
