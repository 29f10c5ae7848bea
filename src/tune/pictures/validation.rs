//! Pictures of how far the result can be believed: in sample against out of sample, ranks of the chosen out of sample,
//! and the joined result of the walk.

use plotters::prelude::*;

use super::scale::Scale;
use super::{both_windows, mesh, note, short, sparse, title};
use crate::report::plots::{
    AMBER, Area, BLUE, Drawn, GREEN, GREY, INK, RED, legend, line_colour, nothing, number, titled,
};
use crate::tune::results::Results;
use crate::tune::trial::Record;

/// Points drawn at most.
const MOST: usize = 2000;

pub fn out_of_sample<DB: DrawingBackend>(area: &Area<DB>, results: &Results) -> Drawn<DB> {
    let heading = title(results, "in sample against out of sample");
    let all: Vec<(&Record, (f64, f64))> = results
        .records
        .iter()
        .filter_map(|record| Some((record, both_windows(record)?)))
        .collect();
    if all.is_empty() {
        return nothing(
            &titled(area, &heading, "")?,
            "no trial was evaluated in and out of sample",
        );
    }
    let count = all.len();
    let line = regression(all.iter().map(|(_, point)| *point));
    let rates = all
        .iter()
        .all(|(record, _)| !record.train_periods.is_empty() && !record.test_periods.is_empty());
    let chosen: Vec<u64> = results
        .folds_seen()
        .into_iter()
        .filter_map(|fold| results.best(fold))
        .map(|record| record.id)
        .collect();
    let (x, y) = (
        Scale::objective(&all.iter().map(|(_, point)| point.0).collect::<Vec<_>>(), 9),
        Scale::objective(&all.iter().map(|(_, point)| point.1).collect::<Vec<_>>(), 9),
    );
    let (points, every) = sparse(all, MOST, |(record, _)| chosen.contains(&record.id));
    let slope = line.map_or("no slope can be fitted".to_owned(), |(_, slope)| {
        format!("slope {}", short(slope))
    });
    let words = format!(
        "{count} trials, {slope}: near 1 the past repeats itself, near 0 or below the search found noise{}",
        note(every, count)
    );
    let rest = titled(area, &heading, &words)?;
    let mut entries = vec![("trial", BLUE), ("best of its fold", AMBER), ("fitted line", RED)];
    if rates {
        entries.push(("equal in both", GREY));
    }
    legend(&rest, (130, 18), &entries)?;
    let (_, rest) = rest.split_vertically(34);
    let mut chart = ChartBuilder::on(&rest)
        .margin(10)
        .margin_right(30)
        .x_label_area_size(54)
        .y_label_area_size(110)
        .build_cartesian_2d(x.clone(), y.clone())?;
    let unit = match (rates, results.period_s) {
        (true, seconds) if seconds > 0.0 => format!("{} per {} against holding", results.currency, span(seconds)),
        (true, _) => format!("{} a period against holding", results.currency),
        (false, _) => format!("{} against holding", results.currency),
    };
    mesh!(chart, format!("in sample, {unit}"), format!("out of sample, {unit}"))?;
    let ends = (x.ends(), y.ends());
    for zero in [[(ends.0.0, 0.0), (ends.0.1, 0.0)], [(0.0, ends.1.0), (0.0, ends.1.1)]] {
        if let Some(inside) = clipped(zero, ends) {
            chart.draw_series(LineSeries::new(inside, INK.mix(0.4)))?;
        }
    }
    if rates && let Some(inside) = clipped([(ends.0.0, ends.0.0), (ends.0.1, ends.0.1)], ends) {
        chart.draw_series(LineSeries::new(inside, GREY.stroke_width(2)))?;
    }
    let folds = results.folds_seen();
    chart.draw_series(points.iter().map(|(record, point)| {
        let colour = match folds.len() {
            0 | 1 => BLUE,
            _ => line_colour(folds.iter().position(|fold| *fold == record.fold).unwrap_or(0)),
        };
        Circle::new(*point, 3, colour.mix(0.5).filled())
    }))?;
    if let Some((start, slope)) = line
        && let Some(inside) = clipped(
            [
                (ends.0.0, start + slope * ends.0.0),
                (ends.0.1, start + slope * ends.0.1),
            ],
            ends,
        )
    {
        chart.draw_series(LineSeries::new(inside, RED.stroke_width(2)))?;
    }
    for (_, point) in points.iter().filter(|(record, _)| chosen.contains(&record.id)) {
        chart.draw_series([Circle::new(*point, 8, AMBER.stroke_width(3))])?;
    }
    Ok(())
}

/// `1 h`, `1 d`, `90 s`.
fn span(seconds: f64) -> String {
    let units = [(86_400.0, "d"), (3_600.0, "h"), (60.0, "min")];
    match units
        .into_iter()
        .find(|(unit, _)| seconds >= *unit && seconds % unit == 0.0)
    {
        Some((unit, word)) => format!("{} {word}", short(seconds / unit)),
        None => format!("{} s", short(seconds)),
    }
}

/// Intercept and slope of least squares; none without two different abscissas.
fn regression(points: impl Iterator<Item = (f64, f64)> + Clone) -> Option<(f64, f64)> {
    let count = points.clone().count() as f64;
    let mean = |of: fn((f64, f64)) -> f64| points.clone().map(of).sum::<f64>() / count;
    let (mx, my) = (mean(|point| point.0), mean(|point| point.1));
    let sxx: f64 = points.clone().map(|(x, _)| (x - mx) * (x - mx)).sum();
    let sxy: f64 = points.map(|(x, y)| (x - mx) * (y - my)).sum();
    let slope = sxy / sxx;
    let start = my - slope * mx;
    (sxx > 0.0 && slope.is_finite() && start.is_finite()).then_some((start, slope))
}

type Ends = ((f64, f64), (f64, f64));

/// The part of a line from left to right (or upright) that lies inside the axes (Liang and Barsky 1984).
fn clipped(line: [(f64, f64); 2], ends: Ends) -> Option<[(f64, f64); 2]> {
    let [(x0, y0), (x1, y1)] = line;
    let (dx, dy) = (x1 - x0, y1 - y0);
    let (mut from, mut to) = (0.0f64, 1.0f64);
    for (step, room) in [
        (-dx, x0 - ends.0.0),
        (dx, ends.0.1 - x0),
        (-dy, y0 - ends.1.0),
        (dy, ends.1.1 - y0),
    ] {
        if step == 0.0 {
            if room < 0.0 {
                return None;
            }
        } else if step < 0.0 {
            from = from.max(room / step);
        } else {
            to = to.min(room / step);
        }
    }
    (from < to).then_some([(x0 + from * dx, y0 + from * dy), (x0 + to * dx, y0 + to * dy)])
}

/// Bars of the logits.
const BARS: usize = 40;

pub fn overfitting<DB: DrawingBackend>(area: &Area<DB>, results: &Results) -> Drawn<DB> {
    let heading = title(results, "how the best in sample ranks out of sample");
    let logits: Vec<(f64, u64)> = results
        .verdict
        .iter()
        .flat_map(|verdict| verdict.logits.iter().copied())
        .filter(|(logit, _)| logit.is_finite())
        .collect();
    if logits.is_empty() {
        return nothing(&titled(area, &heading, "")?, "no cross-validation was made");
    }
    let pbo = results.verdict.as_ref().and_then(|verdict| verdict.pbo);
    let words = format!(
        "{} splits · probability of overfitting {} (share at or below 0, where the chosen is no better than the median)",
        number(logits.iter().map(|(_, count)| *count as f64).sum(), 0),
        pbo.map_or("-".to_owned(), |pbo| format!("{pbo:.3}")),
    );
    let rest = titled(area, &heading, &words)?;
    let reach = logits.iter().fold(1.0f64, |reach, (logit, _)| reach.max(logit.abs()));
    let width = 2.0 * reach / BARS as f64;
    let mut counts = [0u64; BARS];
    for (logit, splits) in &logits {
        // An edge lies at zero, which belongs to the left side: it is not better than the median.
        let at = ((logit + reach) / width).ceil() - 1.0;
        counts[(at.max(0.0) as usize).min(BARS - 1)] += splits;
    }
    let most = counts.iter().copied().max().unwrap_or(1);
    let mut chart = ChartBuilder::on(&rest)
        .margin(10)
        .x_label_area_size(52)
        .y_label_area_size(80)
        .build_cartesian_2d(Scale::values([-reach, reach], 9), Scale::counts(0, most, 6))?;
    mesh!(
        chart,
        "logit of the relative rank out of sample (above 0: better than the median)",
        "splits"
    )?;
    for (at, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let from = -reach + at as f64 * width;
        let colour = if at < BARS / 2 { RED } else { GREEN };
        let corners = [(from + width * 0.06, 0.0), (from + width * 0.94, count as f64)];
        chart.draw_series([Rectangle::new(corners, colour.filled())])?;
    }
    chart.draw_series(LineSeries::new([(0.0, 0.0), (0.0, most as f64)], INK.stroke_width(2)))?;
    Ok(())
}

pub fn walk_forward<DB: DrawingBackend>(area: &Area<DB>, results: &Results) -> Drawn<DB> {
    let heading = title(results, "result out of sample, fold after fold");
    let joined: &[f64] = results.verdict.as_ref().map_or(&[], |verdict| &verdict.joined);
    let mut sum = 0.0;
    let mut curve = vec![(0.0, 0.0)];
    for (at, result) in joined.iter().enumerate().filter(|(_, result)| result.is_finite()) {
        sum += result;
        curve.push((at as f64 + 1.0, sum));
    }
    if curve.len() < 2 {
        return nothing(&titled(area, &heading, "")?, "no fold has a result out of sample");
    }
    let words = format!(
        "the best trial of each fold in the window after its training: {} {} against holding in {} periods{}",
        short(sum),
        results.currency,
        joined.len(),
        match results.period_s {
            seconds if seconds > 0.0 => format!(" of {}", span(seconds)),
            _ => String::new(),
        }
    );
    let rest = titled(area, &heading, &words)?;
    let end = joined.len() as u64;
    let y = Scale::values(curve.iter().map(|point| point.1), 7);
    let mut chart = ChartBuilder::on(&rest)
        .margin(10)
        .margin_right(30)
        .x_label_area_size(52)
        .y_label_area_size(110)
        .build_cartesian_2d(Scale::counts(0, end, 12), y)?;
    mesh!(
        chart,
        "periods out of sample",
        format!("{} against holding", results.currency)
    )?;
    chart.draw_series(LineSeries::new([(0.0, 0.0), (end as f64, 0.0)], INK.mix(0.5)))?;
    let (low, high) = {
        let range = chart.y_range();
        (range.start, range.end)
    };
    let mut at = 0;
    for record in results.folds_seen().into_iter().filter_map(|fold| results.best(fold)) {
        if at > 0 && (at as u64) < end {
            let x = at as f64;
            chart.draw_series(LineSeries::new([(x, low), (x, high)], INK.mix(0.3)))?;
        }
        at += record.test_periods.len();
    }
    let values: Vec<f64> = curve.iter().map(|point| point.1).collect();
    let kept = crate::report::plots::thin(&[&values], 1200);
    chart.draw_series(LineSeries::new(
        kept.into_iter().map(|at| curve[at]),
        BLUE.stroke_width(2),
    ))?;
    Ok(())
}
