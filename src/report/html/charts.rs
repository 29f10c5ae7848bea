//! Data of the interactive charts, as the JSON text that the page reads.

use std::fmt::Write as _;

use crossbook_engine::instrument::RouteId;
use crossbook_engine::records::Direction;
use crossbook_engine::units::{Amount, TimestampNs};
use plotters::style::RGBColor;
use serde_json::json;

use crate::report::meta::Run;
use crate::report::plots::{AMBER, BLUE, Curves, GREY, RED, holes, line_colour, share_curve, stretches, thin};

/// Extremes of so many buckets are kept of each chart's series.
const BUCKETS: usize = 1500;
/// Entries and exits drawn at most in each chart.
pub const MOST_MARKS: usize = 5000;

/// One line of a chart.
struct Line<'a> {
    label: &'a str,
    colour: RGBColor,
    filled: bool,
    values: &'a [f64],
}

/// The charts of one run; the page has an element for each `id`.
pub fn of_run(run: &Run) -> String {
    let currency = &run.meta.base_currency;
    let curves = Curves::new(&run.rows.equity);
    let kept = thin(&[&curves.gain, &curves.fall, &curves.equity], BUCKETS);
    let lines = stretches(&kept, &holes(&curves.times));
    let line = |label, colour, filled, values| Line {
        label,
        colour,
        filled,
        values,
    };
    let chart = |id: &str, height, lines_of: &[Line]| chart(id, height, currency, &curves.times, &lines, lines_of, "");
    let mut charts = vec![
        chart(
            "chart-gain",
            300,
            &[line("against holding", BLUE, false, curves.gain.as_slice())],
        ),
        chart("chart-fall", 160, &[line("drawdown", RED, true, &curves.fall)]),
        chart(
            "chart-equity",
            220,
            &[
                line("holding", GREY, false, curves.hold.as_slice()),
                line("equity", BLUE, false, &curves.equity),
            ],
        ),
    ];
    for route in 0..run.meta.routes.len() {
        charts.push(spread_chart(run, RouteId(route as u16)));
    }
    wrapped(&charts)
}

/// The one chart of a comparison.
pub fn of_runs(runs: &[Run]) -> String {
    // One axis of time for all: every point of every run, where the others have none.
    let curves: Vec<_> = runs.iter().map(share_curve).collect();
    let mut points: Vec<(TimestampNs, usize, f64)> = Vec::new();
    for (at, (times, shares)) in curves.iter().enumerate() {
        for kept in thin(&[shares], BUCKETS / runs.len().clamp(1, 6)) {
            points.push((times[kept], at, shares[kept]));
        }
    }
    points.sort_by_key(|&(ts, at, _)| (ts, at));
    let mut times: Vec<TimestampNs> = points.iter().map(|point| point.0).collect();
    times.dedup();
    let mut columns: Vec<Vec<f64>> = vec![Vec::new(); runs.len()];
    for (at, column) in columns.iter_mut().enumerate() {
        // The last known value, from the run's first point to its last; outside of them nothing.
        let own: Vec<_> = points.iter().filter(|point| point.1 == at).collect();
        let mut next = 0;
        for &ts in &times {
            while next < own.len() && own[next].0 <= ts {
                next += 1;
            }
            let over = own.last().is_none_or(|last| ts > last.0);
            column.push(if next == 0 || over { f64::NAN } else { own[next - 1].2 });
        }
    }
    let lines: Vec<Line> = runs
        .iter()
        .zip(&columns)
        .enumerate()
        .map(|(at, (run, values))| Line {
            label: &run.run_id,
            colour: line_colour(at),
            filled: false,
            values,
        })
        .collect();
    let all = vec![(0..times.len()).collect()];
    wrapped(&[chart(
        "chart-gain",
        420,
        "% of opening equity",
        &times,
        &all,
        &lines,
        "",
    )])
}

fn spread_chart(run: &Run, route: RouteId) -> String {
    let points: Vec<_> = run.rows.spread.iter().filter(|point| point.route == route).collect();
    let times: Vec<_> = points.iter().map(|point| point.ts).collect();
    let premium: Vec<f64> = points.iter().map(|point| point.premium.to_f64()).collect();
    let fair: Vec<f64> = points.iter().map(|point| point.fair.to_f64()).collect();
    let lines = stretches(&thin(&[&premium, &fair], BUCKETS), &holes(&times));
    let trips = run
        .rows
        .round_trips
        .iter()
        .filter(|trip| trip.route == route)
        .take(MOST_MARKS);
    let marks: Vec<_> = trips
        .map(|trip| {
            let sell_a = u8::from(trip.direction == Direction::SellA);
            let won = u8::from(trip.pnl > Amount::ZERO);
            let bps = (trip.premium.0.to_f64(), trip.premium.1.to_f64());
            json!([ms(trip.ts_entry), ms(trip.ts_exit), bps.0, bps.1, sell_a, won])
        })
        .collect();
    let line = |label, colour, values| Line {
        label,
        colour,
        filled: false,
        values,
    };
    let both = [
        line("premium", BLUE, premium.as_slice()),
        line("fair premium", AMBER, &fair),
    ];
    let marks = format!(",\"trips\":{}", serde_json::Value::from(marks));
    chart(
        &format!("chart-spread-{}", route.0),
        320,
        "bps",
        &times,
        &lines,
        &both,
        &marks,
    )
}

fn wrapped(charts: &[String]) -> String {
    // `<` cannot end the script element early, whatever a name holds.
    format!("{{\"charts\":[{}]}}", charts.join(",")).replace('<', "\\u003c")
}

/// One chart; between two stretches stands a point without values, so that no line is drawn there.
fn chart(
    id: &str,
    height: u32,
    unit: &str,
    times: &[TimestampNs],
    stretches: &[Vec<usize>],
    lines: &[Line],
    more: &str,
) -> String {
    let mut text = format!(
        "{{\"id\":{},\"height\":{height},\"unit\":{},\"x\":[",
        json!(id),
        json!(unit)
    );
    column(
        &mut text,
        stretches,
        |at| ms(times[at]).to_string(),
        |at| (ms(times[at]) - 1).to_string(),
    );
    text.push_str("],\"lines\":[");
    for (at, line) in lines.iter().enumerate() {
        let RGBColor(r, g, b) = line.colour;
        let comma = if at == 0 { "" } else { "," };
        let fill = if line.filled {
            format!(",\"fill\":\"rgba({r},{g},{b},0.25)\"")
        } else {
            String::new()
        };
        let _ = write!(
            text,
            "{comma}{{\"label\":{},\"colour\":\"rgb({r},{g},{b})\"{fill},\"y\":[",
            json!(line.label)
        );
        let scale = scale(line.values);
        let value = |at: usize| match line.values[at] {
            value if value.is_finite() => ((value * scale).round() / scale).to_string(),
            _ => "null".to_string(),
        };
        column(&mut text, stretches, value, |_| "null".to_string());
        text.push_str("]}");
    }
    let _ = write!(text, "]{more}}}");
    text
}

fn column(
    text: &mut String,
    stretches: &[Vec<usize>],
    value: impl Fn(usize) -> String,
    hole_before: impl Fn(usize) -> String,
) {
    let mut parts = Vec::new();
    for (number, stretch) in stretches.iter().enumerate() {
        if number > 0 {
            parts.extend(stretch.first().map(|&at| hole_before(at)));
        }
        parts.extend(stretch.iter().map(|&at| value(at)));
    }
    text.push_str(&parts.join(","));
}

fn ms(ts: TimestampNs) -> i64 {
    ts.0.div_euclid(1_000_000)
}

/// A power of ten that leaves a hundred thousand steps between the lowest and the highest value.
fn scale(values: &[f64]) -> f64 {
    let finite = || values.iter().copied().filter(|value| value.is_finite());
    let span = finite().fold(f64::NEG_INFINITY, f64::max) - finite().fold(f64::INFINITY, f64::min);
    let power = if span > 0.0 { (5.0 - span.log10()).ceil() } else { 8.0 };
    10f64.powi(power.clamp(0.0, 8.0) as i32)
}
