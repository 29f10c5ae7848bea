//! Share of each parameter in the objective's variation, as bars.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::{cut, short_names, title};
use crate::report::plots::{Area, BLUE, Drawn, GREY, INK, nothing, text_style, titled};
use crate::tune::results::Results;

/// Bars drawn at most, the most important first.
const MOST: usize = 24;
const BAR: i32 = 30;
const NAMES: i32 = 270;

pub fn size(results: &Results) -> (u32, u32) {
    let bars = results.importance.len().clamp(3, MOST) as u32;
    (1000, 90 + bars * BAR as u32)
}

pub fn draw<DB: DrawingBackend>(area: &Area<DB>, results: &Results) -> Drawn<DB> {
    let heading = title(results, "what the value depends on");
    let shares: Vec<(&str, f64)> = results
        .importance
        .iter()
        .filter(|(_, share)| share.is_finite())
        .map(|(name, share)| (name.as_str(), *share))
        .collect();
    if shares.is_empty() {
        let why = "too few trials with a value to tell";
        return nothing(&titled(area, &heading, "")?, why);
    }
    let left = shares.len().saturating_sub(MOST);
    let mut words = "share of each parameter in the variation of the value, interactions included".to_owned();
    if left > 0 {
        words.push_str(&format!(" · {left} smaller ones are left out"));
    }
    let rest = titled(area, &heading, &words)?;
    let names = short_names(results);
    let largest = shares.iter().map(|share| share.1).fold(1e-9, f64::max);
    let width = f64::from(rest.dim_in_pixel().0 as i32 - NAMES - 110);
    let right = text_style(16.0, INK, false).pos(Pos::new(HPos::Right, VPos::Center));
    let plain = text_style(16.0, INK, false).pos(Pos::new(HPos::Left, VPos::Center));
    for (at, (name, share)) in shares.iter().take(MOST).enumerate() {
        let y = 14 + at as i32 * BAR;
        let end = NAMES + (share.max(0.0) / largest * width).round() as i32;
        let name = names.get(name).copied().unwrap_or(name);
        rest.draw_text(&cut(name, 30), &right, (NAMES - 12, y + 10))?;
        let colour = if *share > 0.0 { BLUE } else { GREY };
        rest.draw(&Rectangle::new(
            [(NAMES, y), (end.max(NAMES + 1), y + 20)],
            colour.filled(),
        ))?;
        rest.draw_text(&format!("{:.1} %", share * 100.0), &plain, (end + 8, y + 10))?;
    }
    Ok(())
}
