//! Value of each trial in turn, and the best so far.

use plotters::prelude::*;

use super::scale::Scale;
use super::{mesh, note, short, sparse, title};
use crate::report::plots::{AMBER, Area, BLUE, Drawn, GREY, INK, RED, legend, nothing, text_style, titled};
use crate::tune::results::{Results, usable};
use crate::tune::trial::{Record, State};

/// Trials drawn at most; those that were the best so far are always among them.
const MOST: usize = 2400;

pub fn draw<DB: DrawingBackend>(area: &Area<DB>, results: &Results) -> Drawn<DB> {
    let heading = title(results, "value of each trial");
    let (Some(first), Some(last)) = (results.records.first(), results.records.last()) else {
        return nothing(&titled(area, &heading, "")?, "no trial was evaluated");
    };
    let counts = results.counts();
    let best = best_so_far(results);
    let stays = |record: &&Record| best.iter().any(|(_, line)| line.iter().any(|step| step.0 == record.id));
    let (drawn, every) = sparse(results.records.iter().collect(), MOST, stays);
    let values: Vec<f64> = results.records.iter().filter_map(shown).collect();
    let scale = Scale::objective(&values, 9);
    let (low, high) = scale.ends();
    let below = values.iter().filter(|&&value| value < low).count();
    let mut words = format!(
        "{} trials: {} with a value, {} pruned, {} without a usable value{}",
        results.records.len(),
        counts.usable,
        counts.pruned,
        results.records.len() as u64 - counts.usable - counts.pruned,
        note(every, results.records.len()),
    );
    if let Some(winner) = results.winner() {
        let value = usable(winner).map_or("-".to_owned(), short);
        words.push_str(&format!(
            " · best of fold {}: {value} (trial {})",
            winner.fold, winner.id
        ));
    }
    if below > 0 {
        words.push_str(&format!(" · {below} lie below the axis"));
    }
    let rest = titled(area, &heading, &words)?;
    legend(
        &rest,
        (130, 18),
        &[
            ("value", BLUE),
            ("best so far", AMBER),
            ("pruned, on its last prefix", GREY),
            ("failed or without a value", RED),
        ],
    )?;
    let (_, rest) = rest.split_vertically(34);
    let mut chart = ChartBuilder::on(&rest)
        .margin(10)
        .margin_right(24)
        .x_label_area_size(50)
        .y_label_area_size(110)
        .build_cartesian_2d(Scale::counts(first.id, last.id, 12), scale)?;
    mesh!(chart, "trial", results.objective.as_str())?;
    folds(&mut chart, results)?;
    for record in &drawn {
        let x = record.id as f64;
        match (record.state, shown(record)) {
            (State::Complete, Some(y)) if y >= low => {
                chart.draw_series([Circle::new((x, y), 3, BLUE.mix(0.6).filled())])?;
            }
            (State::Complete, Some(_)) => {
                let corners = vec![(0, 5), (-4, -3), (4, -3)];
                chart.draw_series([EmptyElement::at((x, low)) + Polygon::new(corners, BLUE.mix(0.6).filled())])?;
            }
            (State::Pruned, y) => {
                let y = y.unwrap_or(low).max(low);
                chart.draw_series([Circle::new((x, y), 3, GREY.mix(0.8))])?;
            }
            _ => {
                chart.draw_series([Cross::new((x, low), 4, RED.mix(0.8).stroke_width(2))])?;
            }
        }
    }
    for (until, line) in &best {
        let mut corners: Vec<(f64, f64)> = Vec::new();
        for &(id, value) in line {
            corners.extend(corners.last().map(|corner| (id as f64, corner.1)));
            corners.push((id as f64, value));
        }
        corners.extend(corners.last().map(|corner| (*until as f64, corner.1)));
        chart.draw_series(LineSeries::new(corners, AMBER.stroke_width(2)))?;
        if let Some(&(id, value)) = line.last() {
            chart.draw_series([Circle::new((id as f64, value.min(high)), 7, AMBER.stroke_width(3))])?;
        }
    }
    Ok(())
}

/// What is drawn of a trial: its value, or that of the prefix at which it was given up.
fn shown(record: &Record) -> Option<f64> {
    match record.state {
        State::Complete => usable(record),
        State::Pruned => record.rungs.last().copied().filter(|value| value.is_finite()),
        State::Failed => None,
    }
}

/// A fold's last trial, and its trials that were better than all before them, with their values.
type Best = (u64, Vec<(u64, f64)>);

/// Per fold.
fn best_so_far(results: &Results) -> Vec<Best> {
    let mut folds: Vec<Best> = Vec::new();
    for fold in results.folds_seen() {
        let mut line: Vec<(u64, f64)> = Vec::new();
        let mut until = 0;
        for record in results.of_fold(Some(fold)) {
            until = record.id;
            if let Some(value) = usable(record)
                && line.last().is_none_or(|last| value > last.1)
            {
                line.push((record.id, value));
            }
        }
        folds.push((until, line));
    }
    folds
}

type Chart<'a, DB> = ChartContext<'a, DB, Cartesian2d<Scale, Scale>>;

/// A line and a name where a fold begins, when there are several.
fn folds<DB: DrawingBackend>(chart: &mut Chart<DB>, results: &Results) -> Drawn<DB> {
    let seen = results.folds_seen();
    if seen.len() < 2 {
        return Ok(());
    }
    let (low, high) = {
        let range = chart.y_range();
        (range.start, range.end)
    };
    for fold in seen {
        if let Some(first) = results.of_fold(Some(fold)).next() {
            let x = first.id as f64 - 0.5;
            chart.draw_series(LineSeries::new([(x, low), (x, high)], INK.mix(0.35)))?;
            let label = Text::new(format!("fold {fold}"), (6, 4), text_style(15.0, INK, false));
            chart.draw_series([EmptyElement::at((x, high)) + label])?;
        }
    }
    Ok(())
}
