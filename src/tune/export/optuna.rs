//! The operations log of Optuna's `JournalFileBackend`, so that Optuna and optuna-dashboard open a session.
//!
//! Source: `optuna/storages/journal/_storage.py` and `optuna/distributions.py` of Optuna 4.9 and 5.0 (read 2026-11-21). One
//! JSON object a line; a trial is written the way `Study.add_trial` does, whole in one line.
//!
//! - Folds are trained on different windows, so each fold is a study; with one fold it is named by the session's id, else
//!   `ID-fold-0`, `ID-fold-1`. Optuna numbers trials within a study; our number is the user attribute `trial`.
//! - Optuna has no word for a trial that ended without a usable value (no trades): it is `FAIL` there, with the reason.
//! - Records hold no clock, but Optuna wants a start and an end of each trial: both are the Unix epoch. Without an offset,
//!   because version 4 compares such times with its own, which have none.
//! - Distributions with a step on a logarithmic scale do not exist in Optuna; the step is left out.

use crossbook_tuner::space::{Domain, Value};
use serde_json::{Map, Value as Json, json};

use super::{ExportError, FIGURES, WINDOWS};
use crate::tune::results::{Results, usable};
use crate::tune::trial::{Record, State};

/// `JournalOperation` of Optuna.
const CREATE_STUDY: u8 = 0;
const SET_STUDY_USER_ATTR: u8 = 2;
const SET_STUDY_SYSTEM_ATTR: u8 = 3;
const CREATE_TRIAL: u8 = 4;

/// `StudyDirection.MAXIMIZE`.
const MAXIMIZE: u8 = 2;

/// Who wrote the operations; Optuna only compares it with its own id.
const WORKER: &str = "crossbook";

const NO_TIME: &str = "1970-01-01T00:00:00.000000";

pub(super) fn bytes(results: &Results) -> Result<Vec<u8>, ExportError> {
    let mut folds = results.folds_seen();
    if folds.is_empty() {
        folds.push(0);
    }
    let mut log = Log(Vec::new());
    for (study, &fold) in folds.iter().enumerate() {
        let name = match folds.len() {
            1 => results.id.clone(),
            _ => format!("{}-fold-{fold}", results.id),
        };
        log.push(CREATE_STUDY, json!({ "study_name": name, "directions": [MAXIMIZE] }))?;
        let attributes = [
            ("session", json!(results.id)),
            ("name", json!(results.name)),
            ("sampler", json!(results.sampler)),
            ("fold", json!(results.fold_label(fold))),
            ("currency", json!(results.currency)),
            ("crossbook", json!(results.version)),
            ("digest", json!(results.digest)),
        ];
        for (key, value) in attributes {
            log.push(
                SET_STUDY_USER_ATTR,
                json!({ "study_id": study, "user_attr": { key: value } }),
            )?;
        }
        // Names the value's axis in Optuna's pictures.
        log.push(
            SET_STUDY_SYSTEM_ATTR,
            json!({ "study_id": study, "system_attr": { "study:metric_names": [results.objective] } }),
        )?;
        for record in results.of_fold(Some(fold)) {
            log.push(CREATE_TRIAL, trial(study, record, results))?;
        }
    }
    Ok(log.0)
}

struct Log(Vec<u8>);

impl Log {
    fn push(&mut self, operation: u8, mut fields: Json) -> Result<(), ExportError> {
        fields["op_code"] = operation.into();
        fields["worker_id"] = WORKER.into();
        serde_json::to_writer(&mut self.0, &fields).map_err(|error| ExportError(error.to_string()))?;
        self.0.push(b'\n');
        Ok(())
    }
}

/// `TrialState` of Optuna, and the value that it lets such a trial have.
fn state(record: &Record) -> (u8, Option<f64>) {
    match (record.state, usable(record)) {
        (State::Complete, Some(value)) => (1, Some(value)),
        (State::Pruned, _) => (2, record.rungs.last().copied().filter(|value| value.is_finite())),
        (State::Complete, None) | (State::Failed, _) => (3, None),
    }
}

fn trial(study: usize, record: &Record, results: &Results) -> Json {
    let mut params = Map::new();
    let mut distributions = Map::new();
    for param in &results.params {
        let Some(value) = record.params.get(&param.name) else {
            continue;
        };
        let (distribution, internal) = distribution(&param.domain, value);
        params.insert(param.name.clone(), internal);
        // Text within the text: Optuna parses it on its own.
        distributions.insert(param.name.clone(), Json::String(distribution.to_string()));
    }
    let mut attributes = Map::new();
    attributes.insert("trial".to_owned(), record.id.into());
    if let Some(reason) = &record.reason {
        attributes.insert("reason".to_owned(), reason.as_str().into());
    }
    if let Some(same_as) = record.same_as {
        attributes.insert("same_as".to_owned(), same_as.into());
    }
    for (window, of) in WINDOWS {
        for (name, figure) in FIGURES {
            if let Some(value) = of(record).and_then(figure) {
                attributes.insert(format!("{window}_{name}"), json!(value));
            }
        }
    }
    let (state, value) = state(record);
    let rungs: Map<String, Json> = record
        .rungs
        .iter()
        .enumerate()
        .filter(|(_, value)| value.is_finite())
        .map(|(step, value)| (step.to_string(), json!(value)))
        .collect();
    json!({
        "study_id": study,
        "state": state,
        "value": value,
        "values": null,
        "datetime_start": NO_TIME,
        "datetime_complete": NO_TIME,
        "distributions": distributions,
        "params": params,
        "user_attrs": attributes,
        "system_attrs": {},
        "intermediate_values": rungs,
    })
}

/// Optuna's distribution of a parameter, and its internal form of the value: a float, or the place among the choices.
fn distribution(domain: &Domain, value: &Value) -> (Json, Json) {
    let float = |low: f64, high: f64, log: bool, step: Option<f64>| {
        json!({ "name": "FloatDistribution",
                "attributes": { "step": step, "low": low, "high": high, "log": log } })
    };
    let int = |low: i64, high: i64, log: bool, step: i64| {
        json!({ "name": "IntDistribution",
                "attributes": { "log": log, "step": step, "low": low, "high": high } })
    };
    let place = |choices: &[Value]| {
        let found = choices.iter().position(|choice| choice.same(value));
        // A value from outside is shown as what it is, not as the first choice.
        let more = found.is_none().then_some(value);
        let at = found.unwrap_or(choices.len());
        let choices: Vec<&Value> = choices.iter().chain(more).collect();
        let named = json!({ "name": "CategoricalDistribution", "attributes": { "choices": choices } });
        (named, json!(at))
    };
    let number = value.number().map_or(Json::Null, |number| json!(number));
    match domain {
        &Domain::Float { low, high, log, step } => {
            let step = step.filter(|_| !log);
            let high = step.map_or(high, |step| last_multiple(low, high, step));
            (float(low, high, log, step), number)
        }
        &Domain::Int { low, high, log, step } => {
            let step = if log { 1 } else { step.max(1) };
            (int(low, low + (high - low) / step * step, log, step), number)
        }
        Domain::Choice(choices) => place(choices),
        Domain::Fixed(Value::Float(only)) => (float(*only, *only, false, None), number),
        Domain::Fixed(Value::Int(only)) => (int(*only, *only, false, 1), number),
        Domain::Fixed(only) => place(std::slice::from_ref(only)),
    }
}

/// The largest `low + k * step` that is not above `high`, reckoned in decimal digits as Optuna does, which would otherwise
/// warn that it moved the bound.
fn last_multiple(low: f64, high: f64, step: f64) -> f64 {
    let texts = [low, high, step].map(|value| value.to_string());
    let digits = |text: &String| text.split_once('.').map_or(0, |(_, part)| part.len());
    let digits = texts.iter().map(digits).max().unwrap_or(0);
    let scaled = |text: &String| -> Option<i128> {
        let (whole, part) = text.split_once('.').unwrap_or((text, ""));
        format!("{whole}{part:0<digits$}").parse().ok()
    };
    let [Some(low), Some(high_scaled), Some(step)] = [&texts[0], &texts[1], &texts[2]].map(scaled) else {
        return high;
    };
    if step <= 0 || (high_scaled - low) % step == 0 {
        return high;
    }
    let last = low + (high_scaled - low) / step * step;
    format!("{last}e-{digits}").parse().unwrap_or(high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_upper_bound_is_a_whole_number_of_steps_above_the_lower() {
        let cases = [
            (0.0, 1.0, 0.1, 1.0),
            (0.0, 1.0, 0.3, 0.9),
            (-0.5, 0.5, 0.3, 0.4),
            (2.0, 80.0, 0.25, 80.0),
            (1e-9, 1e-8, 4e-9, 9e-9),
            (0.1, 0.3, 0.2, 0.3),
            (0.0, 1e300, 1.0, 1e300),
        ];
        for (low, high, step, want) in cases {
            assert_eq!(last_multiple(low, high, step), want, "{low} {high} {step}");
        }
    }
}
