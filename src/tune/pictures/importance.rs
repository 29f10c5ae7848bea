//! Share of each parameter in the variance of the objective, as bars.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::{cut, short_names, title};
use crate::report::plots::{Area, BLUE, Drawn, INK, legend, nothing, text_style, titled};
use crate::tune::results::{Influence, Results};

/// Bars drawn at most, the most important first.
const MOST: usize = 24;
const BAR: i32 = 30;
const NAMES: i32 = 270;
/// Below this a forest has learnt next to nothing.
const WEAK: f64 = 0.1;
/// What a parameter does only together with another.
const LIGHT: RGBColor = RGBColor(0x9B, 0xC1, 0xF0);

pub fn size(results: &Results) -> (u32, u32) {
    let bars = results.importance.len().clamp(3, MOST) as u32;
    (1000, 112 + bars * BAR as u32)
}

pub fn draw<DB: DrawingBackend>(area: &Area<DB>, results: &Results) -> Drawn<DB> {
    let heading = title(results, "what the value depends on");
    let shares: Vec<&Influence> = results
        .importance
        .iter()
        .filter(|share| share.alone.is_finite() && share.shared.is_finite())
        .collect();
    if shares.is_empty() {
        let why = "too few trials with a value to tell";
        return nothing(&titled(area, &heading, "")?, why);
    }
    let mut words = match results.explained {
        Some(share) if share >= WEAK => {
            format!("a forest that predicts {:.0} % of what it has not seen", share * 100.0)
        }
        Some(_) => {
            "a forest that predicts next to nothing of what it has not seen: these shares mean little".to_owned()
        }
        None => "shares in the variance of the value".to_owned(),
    };
    let left = shares.len().saturating_sub(MOST);
    if left > 0 {
        words.push_str(&format!(" · {left} smaller ones are left out"));
    }
    let rest = titled(area, &heading, &words)?;
    legend(
        &rest,
        (NAMES, 14),
        &[("by itself", BLUE), ("together with one other", LIGHT)],
    )?;
    let names = short_names(results);
    let sum = |share: &Influence| share.alone.max(0.0) + share.shared.max(0.0);
    let largest = shares.iter().map(|share| sum(share)).fold(1e-9, f64::max);
    let width = f64::from(rest.dim_in_pixel().0 as i32 - NAMES - 110);
    let end = |share: f64| NAMES + (share / largest * width).round() as i32;
    let right = text_style(16.0, INK, false).pos(Pos::new(HPos::Right, VPos::Center));
    let plain = text_style(16.0, INK, false).pos(Pos::new(HPos::Left, VPos::Center));
    for (at, share) in shares.iter().take(MOST).enumerate() {
        let y = 36 + at as i32 * BAR;
        let (alone, all) = (end(share.alone.max(0.0)), end(sum(share)));
        let name = names.get(share.param.as_str()).copied().unwrap_or(&share.param);
        rest.draw_text(&cut(name, 30), &right, (NAMES - 12, y + 10))?;
        rest.draw(&Rectangle::new([(NAMES, y), (all, y + 20)], LIGHT.filled()))?;
        rest.draw(&Rectangle::new(
            [(NAMES, y), (alone.max(NAMES + 1), y + 20)],
            BLUE.filled(),
        ))?;
        rest.draw_text(&format!("{:.1} %", sum(share) * 100.0), &plain, (all + 8, y + 10))?;
    }
    Ok(())
}
