//! Value against each parameter, a panel each: where the good values lie, and whether they lie on a plateau.

use plotters::prelude::*;

use super::scale::Scale;
use super::{cut, mesh, note, short_names, sparse, title, varied};
use crate::report::plots::{AMBER, Area, BLUE, Drawn, INK, line_colour, nothing, text_style, titled};
use crate::tune::results::{Results, usable};
use crate::tune::trial::Record;

/// Panels drawn at most, the most important parameters first.
const MOST_PANELS: usize = 12;
/// Points drawn at most in a panel.
const MOST: usize = 700;
const COLUMNS: usize = 3;
const PANEL: u32 = 300;

fn panels(results: &Results) -> usize {
    varied(results).len().min(MOST_PANELS)
}

/// Few panels share the whole width.
fn columns(results: &Results) -> usize {
    panels(results).clamp(1, COLUMNS)
}

pub fn size(results: &Results) -> (u32, u32) {
    let rows = panels(results).div_ceil(columns(results)).max(1) as u32;
    (1400, 60 + rows * PANEL)
}

pub fn draw<DB: DrawingBackend>(area: &Area<DB>, results: &Results) -> Drawn<DB> {
    let heading = title(results, "value against each parameter");
    let params = varied(results);
    let records: Vec<&Record> = results
        .records
        .iter()
        .filter(|record| usable(record).is_some())
        .collect();
    if params.is_empty() || records.is_empty() {
        let why = match params.is_empty() {
            true => "no parameter varies",
            false => "no trial has a usable value",
        };
        return nothing(&titled(area, &heading, "")?, why);
    }
    let shown = &params[..params.len().min(MOST_PANELS)];
    let count = records.len();
    let values: Vec<f64> = records.iter().filter_map(|record| usable(record)).collect();
    let winner = results.winner();
    let (drawn, every) = sparse(records, MOST, |record| {
        Some(record.id) == winner.map(|winner| winner.id)
    });
    let folds = results.folds_seen();
    let mut words = format!("{count} trials with a value{}", note(every, count));
    if params.len() > shown.len() {
        words.push_str(&format!(" · {} parameters are left out", params.len() - shown.len()));
    }
    words.push_str(" · ring: the best");
    if folds.len() > 1 {
        words.push_str(" · a colour a fold");
    }
    let rest = titled(area, &heading, &words)?;
    let names = short_names(results);
    let columns = columns(results);
    let scale = Scale::objective(&values, 7);
    let low = scale.ends().0;
    let cells = rest.split_evenly((shown.len().div_ceil(columns), columns));
    for (at, (param, cell)) in shown.iter().zip(&cells).enumerate() {
        let name = names.get(param.name.as_str()).copied().unwrap_or(&param.name);
        let x = Scale::of_param(param, 5);
        let mut chart = ChartBuilder::on(cell)
            .margin(8)
            .margin_right(20)
            .margin_top(30)
            .x_label_area_size(26)
            .y_label_area_size(if at % columns == 0 { 100 } else { 84 })
            .build_cartesian_2d(x.clone(), scale.clone())?;
        let words = if at % columns == 0 {
            results.objective.as_str()
        } else {
            ""
        };
        mesh!(chart, "", words)?;
        cell.draw_text(&cut(name, 40), &text_style(16.0, INK, true), (104, 8))?;
        let place = |record: &Record| -> Option<(f64, f64)> {
            let position = x.position(record.params.get(&param.name)?)?;
            // Choices lie on one line each; a spread by the trial's number lets them be told apart.
            let aside = match x.is_places() {
                true => ((record.id.wrapping_mul(0x9E37_79B9) >> 16) % 1000) as f64 / 1000.0 * 0.5 - 0.25,
                false => 0.0,
            };
            Some((position + aside, usable(record)?.max(low)))
        };
        chart.draw_series(drawn.iter().filter_map(|record| {
            let colour = match folds.len() {
                0 | 1 => BLUE,
                _ => line_colour(folds.iter().position(|fold| *fold == record.fold).unwrap_or(0)),
            };
            Some(Circle::new(place(record)?, 3, colour.mix(0.5).filled()))
        }))?;
        if let Some(point) = winner.and_then(place) {
            chart.draw_series([Circle::new(point, 7, AMBER.stroke_width(3))])?;
        }
    }
    Ok(())
}
