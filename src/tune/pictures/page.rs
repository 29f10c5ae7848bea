//! The report of a session as one HTML page that opens offline: verdict, pictures, leaderboard, the tuning file, and the
//! commands to go on with.

use std::fmt::Write as _;

use crossbook_tuner::space::Value;

use super::{PAGE, Picture, short, short_names, svg};
use crate::report::html::{escape, page};
use crate::report::plots::{PlotError, number};
use crate::report::word;
use crate::tune::export::plain;
use crate::tune::results::{Results, usable};
use crate::tune::trial::{Measures, Record};

/// Trials listed; all are in the exports.
const MOST_ROWS: usize = 100;
/// Pictures up to this width share a row.
const HALF: u32 = 1000;

/// The page.
///
/// # Errors
/// [`PlotError`] when a picture cannot be drawn.
pub fn report(results: &Results) -> Result<String, PlotError> {
    let mut body = String::new();
    head(&mut body, results);
    tiles(&mut body, results);
    body.push_str("<h2>Can it be believed?</h2>");
    verdict(&mut body, results);
    pictures(
        &mut body,
        results,
        &[Picture::OutOfSample, Picture::Overfitting, Picture::WalkForward],
    )?;
    if results.folds_seen().len() > 1 {
        let best = results.folds_seen().into_iter().filter_map(|fold| results.best(fold));
        body.push_str("<h2>Best of each fold</h2>");
        for fold in results.folds_seen() {
            let _ = write!(body, "<p class=\"soft\">{}</p>", escape(&results.fold_label(fold)));
        }
        table(&mut body, "folds", results, &best.collect::<Vec<_>>());
    }
    body.push_str("<h2>The search</h2>");
    let search = [
        Picture::History,
        Picture::Importance,
        Picture::Parallel,
        Picture::Slices,
        Picture::Contour,
    ];
    pictures(&mut body, results, &search)?;
    leaderboard(&mut body, results);
    commands(&mut body, results);
    let _ = write!(
        body,
        "<h2>What was asked</h2><details><summary>Tuning file, with every default</summary><pre>{}</pre></details>",
        escape(&results.spec)
    );
    let title = format!("{} · {}", results.name, results.id);
    Ok(page(&title, &body, "{\"charts\":[]}"))
}

fn head(body: &mut String, results: &Results) {
    let counts = results.counts();
    let _ = write!(
        body,
        "<h1>{}</h1><p class=\"soft\">session <b>{}</b> · {} · {} trials: {} with a value, {} pruned, {} failed, {} \
         repeated · objective {} · crossbook {}</p>",
        escape(&results.name),
        escape(&results.id),
        escape(&results.sampler),
        number(results.records.len() as f64, 0),
        number(counts.usable as f64, 0),
        number(counts.pruned as f64, 0),
        number(counts.failed as f64, 0),
        number(counts.repeated as f64, 0),
        escape(&results.objective),
        escape(&results.version),
    );
    if !results.digest.is_empty() {
        let _ = write!(
            body,
            "<p class=\"soft digest\">digest <code>{}</code></p>",
            escape(&results.digest)
        );
    }
}

fn tiles(body: &mut String, results: &Results) {
    body.push_str("<div class=\"tiles\" id=\"headlines\">");
    let mut tile = |label: &str, value: String, title: &str, mood: &str| {
        let _ = write!(
            body,
            "<div class=\"tile\" title=\"{title}\"><span class=\"soft\">{label}</span><b class=\"{mood}\">{}</b></div>",
            escape(&value)
        );
    };
    let winner = results.winner();
    let ratio = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.3}"));
    tile(
        "best in sample",
        winner.and_then(usable).map_or("none".to_owned(), short),
        "the objective of the best trial, on the data it was chosen on",
        "",
    );
    let out = winner.and_then(|record| record.test.as_ref());
    tile(
        "the same out of sample",
        out.map_or("not tried".to_owned(), |test| {
            format!("{} {}", short(test.pnl_vs_hold), results.currency)
        }),
        "its result against holding on data that the search never saw",
        out.map_or("", |test| mood(test.pnl_vs_hold)),
    );
    let verdict = results.verdict.as_ref();
    tile(
        "deflated Sharpe ratio",
        ratio(verdict.and_then(|verdict| verdict.deflated_sharpe)),
        "probability that the Sharpe ratio is above what the best of so many lucky trials would show",
        "",
    );
    tile(
        "probability of overfitting",
        ratio(verdict.and_then(|verdict| verdict.pbo)),
        "share of the splits in which the best in sample is no better than the median out of sample",
        "",
    );
    tile(
        "plateau",
        verdict
            .and_then(|verdict| verdict.plateau)
            .map_or("-".to_owned(), |share| format!("{:.0} %", share * 100.0)),
        "what neighbours of the best reach of its value",
        "",
    );
    body.push_str("</div>");
}

fn mood(value: f64) -> &'static str {
    match value {
        value if value > 0.0 => "good",
        value if value < 0.0 => "bad",
        _ => "",
    }
}

fn verdict(body: &mut String, results: &Results) {
    let Some(verdict) = &results.verdict else {
        body.push_str(
            "<div class=\"warning\" id=\"verdict\">Not judged: the best of many trials looks good on the data it was \
             chosen on, whether there is anything to it or not. <code>[validation]</code> in the tuning file keeps data \
             aside to tell.</div>",
        );
        return;
    };
    let class = match verdict.passed {
        Some(true) => "good",
        _ => "warning",
    };
    let _ = write!(
        body,
        "<div class=\"{class}\" id=\"verdict\">{}</div>",
        escape(&verdict.sentence)
    );
    if verdict.figures.is_empty() {
        return;
    }
    body.push_str("<table id=\"figures\"><tbody>");
    for (name, value, passed) in &verdict.figures {
        let (class, mark) = match passed {
            Some(true) => (" good", "passed"),
            Some(false) => (" bad", "not passed"),
            None => ("", ""),
        };
        let _ = write!(
            body,
            "<tr><td>{}</td><td>{}</td><td class=\"{}\">{mark}</td></tr>",
            escape(name),
            escape(value),
            class.trim()
        );
    }
    body.push_str("</tbody></table>");
}

/// Wide pictures below each other, then the narrow ones side by side.
fn pictures(body: &mut String, results: &Results, pictures: &[Picture]) -> Result<(), PlotError> {
    let shown = || pictures.iter().filter(|picture| picture.applies(results));
    for (class, wide) in [("stack", true), ("columns", false)] {
        let _ = write!(body, "<div class=\"{class}\">");
        for picture in shown().filter(|picture| (picture.size(results).0 > HALF) == wide) {
            let _ = write!(
                body,
                "<div class=\"picture\" id=\"picture-{}\">{}</div>",
                picture.name(),
                svg(*picture, results, &PAGE)?
            );
        }
        body.push_str("</div>");
    }
    Ok(())
}

fn leaderboard(body: &mut String, results: &Results) {
    body.push_str("<h2>Leaderboard</h2>");
    let mut ranked = results.ranked(None);
    ranked.retain(|record| usable(record).is_some());
    if ranked.is_empty() {
        body.push_str("<p class=\"soft\" id=\"leaderboard\">no trial has a usable value</p>");
        return;
    }
    let shown = ranked.len().min(MOST_ROWS);
    let note = match shown == ranked.len() {
        true => format!("all {shown} with a value"),
        false => format!(
            "the best {shown} of {} with a value; <code>crossbook sessions export</code> has all",
            ranked.len()
        ),
    };
    let _ = write!(
        body,
        "<p class=\"soft\">{note}; a click on a heading sorts; money in {}; in sample beside out of sample</p>",
        escape(&results.currency)
    );
    table(body, "leaderboard", results, &ranked[..shown]);
}

/// Rows of trials, sortable.
fn table(body: &mut String, id: &str, results: &Results, records: &[&Record]) {
    let names = short_names(results);
    let folds = results.folds_seen().len() > 1;
    let _ = write!(
        body,
        "<div class=\"wide\"><table class=\"sortable\" id=\"{id}\"><thead><tr>"
    );
    let mut heading = |text: &str, title: &str| {
        let title = match title {
            "" => String::new(),
            title => format!(" title=\"{}\"", escape(title)),
        };
        let _ = write!(body, "<th class=\"n\"{title}>{}</th>", escape(text));
    };
    heading("trial", "");
    if folds {
        heading("fold", "");
    }
    for (text, title) in [
        ("value", "the objective, in sample"),
        ("in", "result against holding, in sample"),
        ("out", "result against holding, out of sample"),
        ("Sharpe in", "of the periods, not annualised"),
        ("out", "Sharpe ratio out of sample"),
        ("trips in", "round trips in sample"),
        ("out", "round trips out of sample"),
        ("drawdown in", "deepest fall of the result against holding"),
        ("out", "drawdown out of sample"),
    ] {
        heading(text, title);
    }
    for param in &results.params {
        heading(
            names.get(param.name.as_str()).copied().unwrap_or(&param.name),
            &param.name,
        );
    }
    body.push_str("</tr></thead><tbody>");
    for record in records {
        let mut cells = vec![number_cell(Some(record.id as f64), "")];
        if folds {
            cells.push(number_cell(Some(f64::from(record.fold)), ""));
        }
        cells.push(number_cell(record.value, ""));
        let (train, test) = (record.train.as_ref(), record.test.as_ref());
        let pairs: [fn(&Measures) -> Option<f64>; 4] = [
            |m| Some(m.pnl_vs_hold),
            |m| m.sharpe,
            |m| Some(m.round_trips as f64),
            |m| Some(m.max_drawdown),
        ];
        for (at, figure) in pairs.into_iter().enumerate() {
            for value in [train, test].map(|measures| measures.and_then(figure)) {
                let signed = value.filter(|_| at < 2);
                cells.push(number_cell(value, signed.map_or("", mood)));
            }
        }
        cells.extend(results.params.iter().map(|param| match record.params.get(&param.name) {
            Some(value) if value.number().is_none() => format!("<td class=\"n\">{}</td>", escape(&plain(value))),
            value => number_cell(value.and_then(Value::number), ""),
        }));
        let _ = write!(body, "<tr>{}</tr>", cells.concat());
    }
    body.push_str("</tbody></table></div>");
}

/// A number as text, with itself for sorting; a dash for none.
fn number_cell(value: Option<f64>, class: &str) -> String {
    match value {
        Some(value) => format!("<td class=\"n {class}\" data-v=\"{value}\">{}</td>", short(value)),
        None => "<td class=\"n\">-</td>".to_owned(),
    }
}

fn commands(body: &mut String, results: &Results) {
    let id = &results.id;
    let mut lines = vec![
        format!("crossbook sessions show {id}"),
        format!("crossbook sessions export {id} --format csv"),
        format!("crossbook sessions export {id} --format optuna   # then: optuna-dashboard {id}.optuna.log"),
        format!("crossbook tune --resume {id}"),
    ];
    if let Some(winner) = results.winner() {
        lines.insert(1, format!("crossbook sessions show {id} --trial {}", winner.id));
        lines.extend(replays(results, winner));
    }
    let _ = write!(
        body,
        "<h2>Going on</h2><pre id=\"commands\">{}</pre>",
        escape(&lines.join("\n"))
    );
}

/// The commands that replay a trial in full, one a scenario.
pub fn replays(results: &Results, record: &Record) -> Vec<String> {
    let sets: Vec<String> = record
        .params
        .iter()
        .map(|(name, value)| format!(" --set {}", quoted(&format!("{name}={}", plain(value)))))
        .collect();
    let end = format!(" --id {}", quoted(&format!("{}-{}", results.name, record.id)));
    results
        .scenarios
        .iter()
        .map(|path| format!("crossbook replay {}{}{end}", quoted(path), sets.concat()))
        .collect()
}

/// As a shell takes it for one word.
pub fn quoted(text: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+".contains(c);
    match !text.is_empty() && text.chars().all(safe) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

/// A trial's state with its reason.
pub fn fate(record: &Record) -> String {
    let mut text = word(&record.state);
    if let Some(reason) = &record.reason {
        let _ = write!(text, ": {reason}");
    }
    if let Some(same_as) = record.same_as {
        let _ = write!(text, " (same parameters as trial {same_as})");
    }
    text
}
