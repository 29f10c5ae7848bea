//! Result against holding, its drawdown, and equity beside the value of the opening inventory.

use crossbook_engine::records::EquityPoint;
use crossbook_engine::units::TimestampNs;
use plotters::prelude::*;

use super::{
    Area, BLUE, Drawn, GREY, INK, RED, TimeAxis, ValueAxis, holes, legend, mesh, nothing, text_style, thin, titled, utc,
};
use crate::report::meta::Run;
use crate::report::plots::number;

/// The curves of a run as plain numbers, for pictures.
pub struct Curves {
    /// When.
    pub times: Vec<TimestampNs>,
    /// Equity.
    pub equity: Vec<f64>,
    /// Value of the opening inventory.
    pub hold: Vec<f64>,
    /// Result against holding since the start.
    pub gain: Vec<f64>,
    /// How far `gain` lies below its highest so far: zero or less.
    pub fall: Vec<f64>,
}

impl Curves {
    /// From the samples of a run.
    pub fn new(points: &[EquityPoint]) -> Curves {
        let equity: Vec<f64> = points.iter().map(|point| point.equity.to_f64()).collect();
        let hold: Vec<f64> = points.iter().map(|point| point.hold.to_f64()).collect();
        let start = points
            .first()
            .map_or(0, |point| point.equity.raw() as i128 - point.hold.raw() as i128);
        let gain: Vec<f64> = points
            .iter()
            .map(|point| (point.equity.raw() as i128 - point.hold.raw() as i128 - start) as f64 / 1e8)
            .collect();
        let mut peak = f64::NEG_INFINITY;
        let fall = gain
            .iter()
            .map(|&value| {
                peak = peak.max(value);
                value - peak
            })
            .collect();
        Curves {
            times: points.iter().map(|point| point.ts).collect(),
            equity,
            hold,
            gain,
            fall,
        }
    }
}

pub fn draw<DB: DrawingBackend>(area: &Area<DB>, run: &Run) -> Drawn<DB> {
    let currency = &run.meta.base_currency;
    let statistics = &run.statistics;
    let (Some(first), Some(last)) = (run.rows.equity.first(), run.rows.equity.last()) else {
        let rest = titled(area, &format!("{}: equity", run.meta.scenario), "")?;
        return nothing(&rest, "equity was never sampled");
    };
    let ratio = |ratio: Option<f64>| ratio.map_or("undefined".to_string(), |ratio| number(ratio, 2));
    let below = format!(
        "{} to {} UTC · against holding {} {currency} · Sharpe {} · deepest drawdown {} {currency}",
        utc(first.ts),
        utc(last.ts),
        number(statistics.pnl_vs_hold.to_f64(), 2),
        ratio(statistics.sharpe),
        number(statistics.drawdown.map_or(0.0, |fall| fall.amount.to_f64()), 2),
    );
    let rest = titled(area, &format!("{}: result against holding", run.meta.scenario), &below)?;
    let curves = Curves::new(&run.rows.equity);
    let breaks = holes(&curves.times);
    let width = area.dim_in_pixel().0 as usize;
    let (_, height) = rest.dim_in_pixel();
    let (gain_area, rest) = rest.split_vertically(height * 48 / 100);
    let (fall_area, equity_area) = rest.split_vertically(height * 20 / 100);
    let time = || TimeAxis::new(first.ts, last.ts, 9);
    let lines = |series: &[&[f64]]| super::thin::stretches(&thin(series, width), &breaks);

    let values = ValueAxis::over(curves.gain.iter().copied().chain([0.0]), 7);
    let mut chart = ChartBuilder::on(&gain_area)
        .margin(10)
        .margin_right(44)
        .x_label_area_size(28)
        .y_label_area_size(140)
        .build_cartesian_2d(time(), values)?;
    mesh!(chart, format!("against holding, {currency}"))?;
    chart.draw_series(LineSeries::new([(first.ts.0, 0.0), (last.ts.0, 0.0)], INK.mix(0.5)))?;
    for line in lines(&[&curves.gain]) {
        let points = line.iter().map(|&at| (curves.times[at].0, curves.gain[at]));
        chart.draw_series(LineSeries::new(points, BLUE))?;
    }

    let values = ValueAxis::over(curves.fall.iter().copied(), 4);
    let mut chart = ChartBuilder::on(&fall_area)
        .margin(10)
        .margin_right(44)
        .x_label_area_size(28)
        .y_label_area_size(140)
        .build_cartesian_2d(time(), values)?;
    mesh!(chart, format!("drawdown, {currency}"))?;
    for line in lines(&[&curves.fall]) {
        let points = line.iter().map(|&at| (curves.times[at].0, curves.fall[at]));
        chart.draw_series(AreaSeries::new(points, 0.0, RED.mix(0.25)).border_style(RED))?;
    }

    let both = curves.equity.iter().chain(&curves.hold).copied();
    let values = ValueAxis::over(both, 5);
    let mut chart = ChartBuilder::on(&equity_area)
        .margin(10)
        .margin_right(44)
        .x_label_area_size(28)
        .y_label_area_size(140)
        .build_cartesian_2d(time(), values)?;
    mesh!(chart, format!("equity, {currency}"))?;
    for line in lines(&[&curves.equity, &curves.hold]) {
        let held = line.iter().map(|&at| (curves.times[at].0, curves.hold[at]));
        chart.draw_series(LineSeries::new(held, GREY))?;
        let owned = line.iter().map(|&at| (curves.times[at].0, curves.equity[at]));
        chart.draw_series(LineSeries::new(owned, BLUE))?;
    }
    let entries = [("equity", BLUE), ("holding the opening inventory", GREY)];
    legend(&equity_area, (160, 10), &entries)?;
    if curves.times.len() == 1 {
        equity_area.draw_text("one sample only", &text_style(16.0, GREY, false), (700, 100))?;
    }
    Ok(())
}
