//! Each trial as a line through its parameters and its value: bundles show which combinations are good.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::scale::Scale;
use super::{cut, note, ramp, short, short_names, sparse, title, varied};
use crate::report::plots::{AMBER, Area, Drawn, INK, nothing, text_style, titled};
use crate::tune::results::{Results, usable};
use crate::tune::trial::Record;

/// Axes drawn at most beside the value's.
const MOST_AXES: usize = 11;
/// Lines drawn at most; some of the best are always among them.
const MOST: usize = 700;
/// How many of the best are always among them, as far as they are a twentieth of all.
const BEST: usize = 40;

pub fn draw<DB: DrawingBackend>(area: &Area<DB>, results: &Results) -> Drawn<DB> {
    let heading = title(results, "parameters of each trial");
    let fold = results.fold_shown();
    let mut ranked: Vec<&Record> = results.ranked(fold);
    ranked.retain(|record| usable(record).is_some());
    let params = varied(results);
    if ranked.is_empty() || params.is_empty() {
        let why = match params.is_empty() {
            true => "no parameter varies",
            false => "no trial has a usable value",
        };
        return nothing(&titled(area, &heading, "")?, why);
    }
    let count = ranked.len();
    let best = (ranked.len() / 20).min(BEST);
    let shares: Vec<(f64, &Record)> = ranked
        .into_iter()
        .enumerate()
        .map(|(rank, record)| (1.0 - rank as f64 / (count.max(2) - 1) as f64, record))
        .collect();
    let lowest = shares.get(best).map_or(1.0, |share| share.0);
    let (mut drawn, every) = sparse(shares, MOST, |share| share.0 >= lowest);
    // The best last, on top.
    drawn.reverse();
    let shown = &params[..params.len().min(MOST_AXES)];
    let mut words = format!("{count} trials with a value{}", note(every, count));
    if let Some(fold) = fold.filter(|_| results.folds_seen().len() > 1) {
        words = format!("fold {fold}: {words}");
    }
    if params.len() > shown.len() {
        words.push_str(&format!(" · {} parameters are left out", params.len() - shown.len()));
    }
    words.push_str(" · dark: worst, bright: best, amber: the best · a line at the foot: not asked");
    let rest = titled(area, &heading, &words)?;
    let (width, height) = rest.dim_in_pixel();
    let (left, right) = (90, width as i32 - 100);
    let (top, bottom) = (44, height as i32 - 36);
    let names = short_names(results);
    let values: Vec<f64> = drawn.iter().filter_map(|(_, record)| usable(record)).collect();
    let mut axes: Vec<(String, Scale)> = shown
        .iter()
        .map(|param| {
            let name = names.get(param.name.as_str()).copied().unwrap_or(&param.name);
            (cut(name, 26), Scale::of_param(param, 7))
        })
        .collect();
    axes.push(("value".to_owned(), Scale::objective(&values, 9)));
    let x = |axis: usize| left + (right - left) * axis as i32 / (axes.len() as i32 - 1).max(1);
    let y = |share: f64| bottom - (share.clamp(0.0, 1.0) * f64::from(bottom - top)).round() as i32;
    let winner = results.winner().map(|record| record.id);
    let faint = match drawn.len() {
        0..=60 => 0.9,
        61..=250 => 0.55,
        _ => 0.35,
    };
    for (share, record) in &drawn {
        let line: Vec<(i32, i32)> = axes
            .iter()
            .enumerate()
            .map(|(at, (_, scale))| {
                let position = match shown.get(at) {
                    Some(param) => record.params.get(&param.name).and_then(|value| scale.position(value)),
                    None => usable(record),
                };
                let y = position.map_or(bottom + 14, |position| y(scale.share(position)));
                (x(at), y)
            })
            .collect();
        if Some(record.id) == winner {
            rest.draw(&PathElement::new(line, AMBER.stroke_width(4)))?;
        } else {
            let strength = faint + (0.9 - faint) * share * share;
            rest.draw(&PathElement::new(line, ramp(*share).mix(strength).stroke_width(1)))?;
        }
    }
    let above = text_style(15.0, INK, true).pos(Pos::new(HPos::Center, VPos::Bottom));
    let beside = text_style(13.0, INK, false).pos(Pos::new(HPos::Right, VPos::Center));
    for (at, (name, scale)) in axes.iter().enumerate() {
        let x = x(at);
        rest.draw(&PathElement::new(vec![(x, top), (x, bottom)], INK.mix(0.7)))?;
        rest.draw_text(name, &above, (x, top - 10 - 16 * (at as i32 % 2)))?;
        for (position, label) in scale.ticks() {
            let y = y(scale.share(*position));
            rest.draw(&PathElement::new(vec![(x - 4, y), (x, y)], INK.mix(0.7)))?;
            rest.draw_text(label, &beside, (x - 7, y))?;
        }
    }
    if let Some(best) = results.winner().and_then(usable) {
        let text = text_style(15.0, AMBER, true).pos(Pos::new(HPos::Left, VPos::Center));
        let scale = &axes[axes.len() - 1].1;
        rest.draw_text(&short(best), &text, (right + 8, y(scale.share(best))))?;
    }
    Ok(())
}
