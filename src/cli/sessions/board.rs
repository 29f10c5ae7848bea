//! Leaderboards and single trials as lines of text, and as JSON.

use serde_json::{Value as Json, json};

use crate::report::plots::number;
use crate::tune::export::plain;
use crate::tune::pictures::{cut, fate, replays, short, short_names};
use crate::tune::results::{Results, usable};
use crate::tune::trial::{Measures, Record};

/// Cells in columns: words from the left, the columns named in `right` from the right.
pub fn aligned(rows: &[Vec<String>], right: &[usize]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    rows.iter()
        .map(|row| {
            let cells = row.iter().enumerate().map(|(column, cell)| {
                let width = widths[column];
                match right.contains(&column) {
                    true => format!("{cell:>width$}"),
                    false => format!("{cell:<width$}"),
                }
            });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        })
        .collect()
}

/// The session: what it is, what it is worth, the best of each fold, and the leaderboard of one.
pub fn session(results: &Results, fold: Option<u32>, top: usize) -> Vec<String> {
    let counts = results.counts();
    let count = |count: u64| number(count as f64, 0);
    let mut lines = vec![
        format!(
            "{}  ({}, {}, crossbook {})",
            results.id, results.name, results.sampler, results.version
        ),
        format!("  objective    {}, money in {}", results.objective, results.currency),
        format!(
            "  trials       {} of {}: {} with a value, {} pruned, {} failed, {} repeated",
            count(results.records.len() as u64),
            count(results.asked),
            count(counts.usable),
            count(counts.pruned),
            count(counts.failed),
            count(counts.repeated),
        ),
    ];
    if !results.digest.is_empty() {
        lines.push(format!("  digest       {}", results.digest));
    }
    match &results.verdict {
        Some(verdict) => {
            lines.push(format!("  verdict      {}", verdict.sentence));
            let rows: Vec<Vec<String>> = verdict
                .figures
                .iter()
                .map(|(name, value, passed)| {
                    let mark = match passed {
                        Some(true) => "passed",
                        Some(false) => "NOT PASSED",
                        None => "",
                    };
                    vec![format!("    {name}"), value.clone(), mark.to_owned()]
                })
                .collect();
            lines.extend(aligned(&rows, &[]));
        }
        None => lines
            .push("  verdict      not judged: without data kept aside, the best of many looks good anyway".to_owned()),
    }
    let several = results.folds_seen().len() > 1;
    if several {
        lines.push(String::new());
        lines.push("best of each fold".to_owned());
        let best: Vec<&Record> = results
            .folds_seen()
            .into_iter()
            .filter_map(|fold| results.best(fold))
            .collect();
        lines.extend(table(results, &best, false));
        for fold in results.folds_seen() {
            let label = results.fold_label(fold);
            if label.contains(':') {
                lines.push(format!("  {label}"));
            }
        }
    }
    let mut ranked = results.ranked(fold);
    ranked.retain(|record| usable(record).is_some());
    lines.push(String::new());
    let whose = match fold.filter(|_| several) {
        Some(fold) => format!("leaderboard of fold {fold}"),
        None => "leaderboard".to_owned(),
    };
    if ranked.is_empty() {
        lines.push(format!("{whose}: no trial has a usable value"));
        lines.extend(reasons(results, fold));
    } else {
        let shown = ranked.len().min(top);
        lines.push(format!(
            "{whose}: the best {shown} of {} with a value",
            count(ranked.len() as u64)
        ));
        lines.extend(table(results, &ranked[..shown], true));
    }
    if let Some(winner) = results.winner() {
        lines.push(String::new());
        lines.push(format!(
            "to go on: crossbook sessions show {} --trial {}",
            results.id, winner.id
        ));
    }
    lines
}

/// Why trials came to nothing, the most frequent reasons first.
fn reasons(results: &Results, fold: Option<u32>) -> Vec<String> {
    let mut counts: Vec<(u64, String)> = Vec::new();
    for record in results.of_fold(fold) {
        let fate = fate(record);
        match counts.iter_mut().find(|(_, text)| *text == fate) {
            Some((count, _)) => *count += 1,
            None => counts.push((1, fate)),
        }
    }
    counts.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    counts
        .into_iter()
        .take(5)
        .map(|(count, text)| format!("  {count} x {text}"))
        .collect()
}

/// Rows of trials; in and out of sample side by side.
fn table(results: &Results, records: &[&Record], ranked: bool) -> Vec<String> {
    let names = short_names(results);
    let mut heading: Vec<String> = [
        "",
        "trial",
        "value",
        "in",
        "out",
        "sharpe in",
        "out",
        "trips",
        "out",
        "drawdown",
        "out",
    ]
    .map(str::to_owned)
    .into();
    heading[0] = if ranked { "rank" } else { "fold" }.to_owned();
    heading.push("parameters".to_owned());
    let mut rows = vec![heading];
    for (at, record) in records.iter().enumerate() {
        let pair = |figure: fn(&Measures) -> Option<f64>| {
            [&record.train, &record.test].map(|measures| {
                let value = measures.as_ref().and_then(figure);
                value.map_or("-".to_owned(), short)
            })
        };
        let first = match ranked {
            true => (at + 1).to_string(),
            false => record.fold.to_string(),
        };
        let mut row = vec![
            first,
            record.id.to_string(),
            usable(record).map_or("-".to_owned(), short),
        ];
        row.extend(pair(|m| Some(m.pnl_vs_hold)));
        row.extend(pair(|m| m.sharpe));
        row.extend(pair(|m| Some(m.round_trips as f64)));
        row.extend(pair(|m| Some(m.max_drawdown)));
        let params: Vec<String> = record
            .params
            .iter()
            .map(|(name, value)| {
                let name = names.get(name.as_str()).copied().unwrap_or(name);
                let value = value.number().map_or_else(|| cut(&plain(value), 24), short);
                format!("{name}={value}")
            })
            .collect();
        row.push(params.join(" "));
        rows.push(row);
    }
    let right: Vec<usize> = (0..11).collect();
    aligned(&rows, &right)
        .into_iter()
        .map(|line| format!("  {line}"))
        .collect()
}

/// One trial: its parameters, figures of both windows, every case, and how to replay it.
pub fn trial(results: &Results, record: &Record) -> Vec<String> {
    let mut lines = vec![
        format!(
            "trial {} of {}, {}",
            record.id,
            results.id,
            results.fold_label(record.fold)
        ),
        format!("  state        {}", fate(record)),
        format!(
            "  value        {} ({})",
            usable(record).map_or("-".to_owned(), short),
            results.objective
        ),
    ];
    if let Some(at) = results
        .ranked(Some(record.fold))
        .iter()
        .filter(|other| usable(other).is_some())
        .position(|other| other.id == record.id)
    {
        lines.push(format!("  rank         {} in its fold", at + 1));
    }
    if !record.rungs.is_empty() {
        let rungs: Vec<String> = record.rungs.iter().map(|value| short(*value)).collect();
        lines.push(format!("  on prefixes  {}", rungs.join(", ")));
    }
    lines.push("parameters".to_owned());
    let rows: Vec<Vec<String>> = results
        .params
        .iter()
        .map(|param| {
            let value = record.params.get(&param.name);
            vec![format!("  {}", param.name), value.map_or("not asked".to_owned(), plain)]
        })
        .collect();
    lines.extend(aligned(&rows, &[]));
    lines.push(format!("figures, money in {}", results.currency));
    let mut rows = vec![["", "in sample", "out of sample"].map(str::to_owned).to_vec()];
    type Figure = (&'static str, fn(&Measures) -> Option<f64>);
    let figures: [Figure; 10] = [
        ("against holding", |m| Some(m.pnl_vs_hold)),
        ("pnl", |m| Some(m.pnl)),
        ("fees", |m| Some(m.fees)),
        ("round trips", |m| Some(m.round_trips as f64)),
        ("wins", |m| Some(m.wins as f64)),
        ("win rate", |m| m.win_rate),
        ("per round trip", |m| m.pnl_per_trip),
        ("deepest drawdown", |m| Some(m.max_drawdown)),
        ("sharpe of periods", |m| m.sharpe),
        ("sortino of periods", |m| m.sortino),
    ];
    for (name, figure) in figures {
        let cell = |measures: &Option<Measures>| measures.as_ref().and_then(figure).map_or("-".to_owned(), short);
        rows.push(vec![format!("  {name}"), cell(&record.train), cell(&record.test)]);
    }
    lines.extend(aligned(&rows, &[1, 2]));
    if !record.cases.is_empty() {
        lines.push("cases, in sample".to_owned());
        let heading = [
            "  case",
            "metric",
            "against holding",
            "round trips",
            "drawdown",
            "digest",
        ];
        let mut rows = vec![heading.map(str::to_owned).to_vec()];
        for case in &record.cases {
            rows.push(vec![
                format!("  {}", case.name),
                case.metric.map_or("-".to_owned(), short),
                short(case.train.pnl_vs_hold),
                case.train.round_trips.to_string(),
                short(case.train.max_drawdown),
                case.digest.chars().take(16).collect(),
            ]);
        }
        lines.extend(aligned(&rows, &[1, 2, 3, 4]));
    }
    lines.push("to replay it over the scenario's whole window:".to_owned());
    lines.extend(replays(results, record).into_iter().map(|line| format!("  {line}")));
    lines
}

/// A trial for programs.
///
/// # Errors
/// What the serializer said.
pub fn trial_json(results: &Results, record: &Record) -> serde_json::Result<Json> {
    Ok(json!({
        "session_id": results.id,
        "trial": serde_json::to_value(record)?,
        "replay": replays(results, record),
    }))
}

fn row_json(record: &Record) -> Json {
    json!({
        "trial": record.id,
        "fold": record.fold,
        "params": record.params,
        "value": usable(record),
        "in_sample": record.train,
        "out_of_sample": record.test,
    })
}

/// A session for programs.
///
/// # Errors
/// What the serializer said.
pub fn session_json(results: &Results, fold: Option<u32>, top: usize) -> serde_json::Result<Json> {
    let counts = results.counts();
    let mut ranked = results.ranked(fold);
    ranked.retain(|record| usable(record).is_some());
    let verdict = results.verdict.as_ref();
    let figures: Vec<Json> = verdict
        .iter()
        .flat_map(|verdict| &verdict.figures)
        .map(|(name, value, passed)| json!({ "name": name, "value": value, "passed": passed }))
        .collect();
    Ok(json!({
        "session_id": results.id,
        "name": results.name,
        "sampler": results.sampler,
        "objective": results.objective,
        "currency": results.currency,
        "version": results.version,
        "digest": results.digest,
        "trials": results.records.len(),
        "of": results.asked,
        "usable": counts.usable,
        "pruned": counts.pruned,
        "failed": counts.failed,
        "repeated": counts.repeated,
        "folds": results.folds,
        "best": results.winner().map(row_json),
        "best_of_folds": results
            .folds_seen()
            .into_iter()
            .filter_map(|fold| results.best(fold))
            .map(row_json)
            .collect::<Vec<_>>(),
        "deflated_sharpe": verdict.and_then(|verdict| verdict.deflated_sharpe),
        "pbo": verdict.and_then(|verdict| verdict.pbo),
        "plateau": verdict.and_then(|verdict| verdict.plateau),
        "passed": verdict.and_then(|verdict| verdict.passed),
        "verdict": verdict.map(|verdict| verdict.sentence.clone()),
        "figures": figures,
        "fold": fold,
        "leaderboard": ranked.into_iter().take(top).map(row_json).collect::<Vec<_>>(),
    }))
}
