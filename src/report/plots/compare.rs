//! Results of several runs over each other.

use plotters::prelude::*;

use super::equity::Curves;
use super::{Area, Drawn, INK, TimeAxis, ValueAxis, holes, line_colour, mesh, nothing, text_style, thin, titled, utc};
use crate::report::meta::Run;

pub const SIZE: (u32, u32) = (1400, 760);
/// Names that fit into the legend.
const MOST_NAMES: usize = 12;

pub fn draw<DB: DrawingBackend>(area: &Area<DB>, runs: &[Run]) -> Drawn<DB> {
    let title = format!("{} runs: result against holding", runs.len());
    let from = runs
        .iter()
        .filter_map(|run| run.rows.equity.first())
        .map(|point| point.ts)
        .min();
    let to = runs
        .iter()
        .filter_map(|run| run.rows.equity.last())
        .map(|point| point.ts)
        .max();
    let (Some(from), Some(to)) = (from, to) else {
        return nothing(&titled(area, &title, "")?, "equity was never sampled");
    };
    let rest = titled(area, &title, &format!("{} to {} UTC", utc(from), utc(to)))?;
    let curves: Vec<_> = runs.iter().map(share_curve).collect();
    let all = curves.iter().flat_map(|(_, shares)| shares.iter().copied());
    let mut chart = ChartBuilder::on(&rest)
        .margin(10)
        .margin_right(44)
        .x_label_area_size(30)
        .y_label_area_size(110)
        .build_cartesian_2d(TimeAxis::new(from, to, 9), ValueAxis::over(all.chain([0.0]), 8))?;
    mesh!(chart, "% of the opening equity")?;
    chart.draw_series(LineSeries::new([(from.0, 0.0), (to.0, 0.0)], INK.mix(0.5)))?;
    for (at, (times, shares)) in curves.iter().enumerate() {
        for line in super::thin::stretches(&thin(&[shares], 1400), &holes(times)) {
            let points = line.iter().map(|&at| (times[at].0, shares[at]));
            chart.draw_series(LineSeries::new(points, line_colour(at)))?;
        }
    }
    for (at, run) in runs.iter().enumerate().take(MOST_NAMES) {
        let y = 20 + at as i32 * 22;
        let colour = line_colour(at).filled();
        rest.draw(&Rectangle::new([(140, y + 6), (164, y + 10)], colour))?;
        rest.draw_text(&run.run_id, &text_style(16.0, INK, false), (172, y))?;
    }
    Ok(())
}

/// Result against holding in per cent of the opening equity; empty when that was not positive.
pub fn share_curve(run: &Run) -> (Vec<crossbook_engine::units::TimestampNs>, Vec<f64>) {
    let curves = Curves::new(&run.rows.equity);
    match curves.equity.first() {
        Some(&start) if start > 0.0 => {
            let shares = curves.gain.iter().map(|gain| gain / start * 100.0).collect();
            (curves.times, shares)
        }
        _ => (Vec::new(), Vec::new()),
    }
}
