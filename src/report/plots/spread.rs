//! Premium and fair premium over time with every entry and exit, a panel a route.

use crossbook_engine::instrument::RouteId;
use crossbook_engine::records::{Direction, RoundTrip};
use crossbook_engine::units::Amount;
use plotters::prelude::*;

use super::{
    AMBER, Area, BLUE, Drawn, GREEN, INK, RED, RGBColor, TimeAxis, ValueAxis, holes, legend, mesh, nothing, text_style,
    thin, titled, utc,
};
use crate::report::meta::Run;

const PANEL: u32 = 400;
/// Round trips marked at most in a panel: of more, every second, third and so on.
const MOST_MARKS: usize = 2000;
/// Routes beyond this are named, not drawn.
const MOST_ROUTES: usize = 6;

pub fn size(run: &Run) -> (u32, u32) {
    (1400, 96 + PANEL * run.meta.routes.len().clamp(1, MOST_ROUTES) as u32)
}

pub fn draw<DB: DrawingBackend>(area: &Area<DB>, run: &Run) -> Drawn<DB> {
    let spread = &run.rows.spread;
    let title = format!("{}: premium with entries and exits", run.meta.scenario);
    let (Some(first), Some(last)) = (spread.first(), spread.last()) else {
        return nothing(&titled(area, &title, "")?, "no spread was sampled");
    };
    let left_out = match run.meta.routes.len().saturating_sub(MOST_ROUTES) {
        0 => String::new(),
        more => format!(" · {more} more routes are not drawn"),
    };
    let below = format!("{} to {} UTC{left_out}", utc(first.ts), utc(last.ts));
    let rest = titled(area, &title, &below)?;
    let entries = [
        ("premium", BLUE),
        ("fair premium", AMBER),
        ("round trip that earned", GREEN),
        ("that lost", RED),
    ];
    legend(&rest, (130, 18), &entries)?;
    let key = "▼ sold A, bought B   ▲ bought A, sold B   ● exit";
    rest.draw_text(key, &text_style(16.0, INK, false), (760, 10))?;
    let (_, rest) = rest.split_vertically(34);
    for at in 0..run.meta.routes.len().min(MOST_ROUTES) {
        let (_, below) = rest.split_vertically(at as u32 * PANEL);
        let (own, _) = below.split_vertically(PANEL);
        panel(&own, run, RouteId(at as u16))?;
    }
    Ok(())
}

fn panel<DB: DrawingBackend>(area: &Area<DB>, run: &Run, route: RouteId) -> Drawn<DB> {
    let name = &run.meta.routes[route.index()];
    let points: Vec<_> = run.rows.spread.iter().filter(|point| point.route == route).collect();
    let trips: Vec<_> = run.rows.round_trips.iter().filter(|trip| trip.route == route).collect();
    let all = &run.rows.spread;
    let (Some(first), Some(last)) = (all.first(), all.last()) else {
        return nothing(area, "no spread was sampled");
    };
    let times: Vec<_> = points.iter().map(|point| point.ts).collect();
    let premium: Vec<f64> = points.iter().map(|point| point.premium.to_f64()).collect();
    let fair: Vec<f64> = points.iter().map(|point| point.fair.to_f64()).collect();
    let marked = trips
        .iter()
        .flat_map(|trip| [trip.premium.0.to_f64(), trip.premium.1.to_f64()]);
    let values = ValueAxis::over(premium.iter().chain(&fair).copied().chain(marked), 7);
    let mut chart = ChartBuilder::on(area)
        .margin(10)
        .margin_top(30)
        .margin_right(44)
        .x_label_area_size(28)
        .y_label_area_size(110)
        .build_cartesian_2d(TimeAxis::new(first.ts, last.ts, 9), values)?;
    mesh!(chart, "premium, bps")?;
    let every = trips.len().div_ceil(MOST_MARKS).max(1);
    let heading = match every {
        1 => name.clone(),
        _ => format!("{name} (one in {every} of {} round trips is marked)", trips.len()),
    };
    area.draw_text(&heading, &text_style(17.0, INK, true), (130, 6))?;
    let kept = thin(&[&premium, &fair], area.dim_in_pixel().0 as usize);
    for line in super::thin::stretches(&kept, &holes(&times)) {
        let points = line.iter().map(|&at| (times[at].0, premium[at]));
        chart.draw_series(LineSeries::new(points, BLUE.mix(0.75)))?;
        let points = line.iter().map(|&at| (times[at].0, fair[at]));
        chart.draw_series(LineSeries::new(points, AMBER.stroke_width(2)))?;
    }
    // Many marks must not hide the line under them.
    let mark = match trips.len() {
        0..=100 => 6,
        101..=600 => 4,
        _ => 2,
    };
    for trip in trips.into_iter().step_by(every) {
        let (entry, exit) = (
            (trip.ts_entry.0, trip.premium.0.to_f64()),
            (trip.ts_exit.0, trip.premium.1.to_f64()),
        );
        let colour = colour(trip);
        chart.draw_series(LineSeries::new([entry, exit], colour.mix(0.55)))?;
        // A triangle that points the way in which the premium must go.
        let (tip, foot) = match trip.direction {
            Direction::SellA => (mark, -mark),
            Direction::BuyA => (-mark, mark),
        };
        let corners = vec![(0, tip), (-mark, foot), (mark, foot)];
        chart.draw_series([EmptyElement::at(entry) + Polygon::new(corners, colour.filled())])?;
        chart.draw_series([Circle::new(exit, mark - 1, colour.filled())])?;
    }
    Ok(())
}

fn colour(trip: &RoundTrip) -> RGBColor {
    if trip.pnl > Amount::ZERO { GREEN } else { RED }
}
