//! What round trips came to: a histogram of their results, and where the money came from.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::{Area, BLUE, Drawn, GREEN, GREY, INK, RED, ValueAxis, nice_step, nothing, number, text_style, titled};
use crate::report::meta::Run;

/// Bars of the results: how many, of one width, with an edge at zero.
struct Bars {
    width: f64,
    /// Index of the first bar: it begins at `first * width`.
    first: i64,
    counts: Vec<u64>,
}

impl Bars {
    /// Twelve bars over the middle nine tenths of the results, so that a few extremes do not blur the rest; wider ones
    /// when that would make more than sixty.
    fn new(results: &[f64]) -> Option<Bars> {
        let mut sorted = results.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let (&low, &high) = (sorted.first()?, sorted.last()?);
        let middle = sorted[sorted.len() * 19 / 20] - sorted[sorted.len() / 20];
        let least = (high.abs().max(low.abs()) * 1e-6).max(1e-6);
        let width = nice_step((middle / 12.0).max((high - low) / 58.0).max(least));
        // A result of exactly zero belongs to the losses' side: it is not a win.
        let index = |value: f64| (value / width).ceil() as i64 - 1;
        let (first, last) = (index(low), index(high));
        let mut counts = vec![0; (last - first + 1) as usize];
        for &value in results {
            counts[(index(value) - first) as usize] += 1;
        }
        Some(Bars { width, first, counts })
    }
}

pub fn histogram<DB: DrawingBackend>(area: &Area<DB>, run: &Run) -> Drawn<DB> {
    let currency = &run.meta.base_currency;
    let title = format!("{}: results of the round trips", run.meta.scenario);
    let results: Vec<f64> = run.rows.round_trips.iter().map(|trip| trip.pnl.to_f64()).collect();
    let Some(bars) = Bars::new(&results) else {
        return nothing(&titled(area, &title, "")?, "no round trips");
    };
    let statistics = &run.statistics;
    let money = |value: Option<f64>| value.map_or("none".to_string(), |value| number(value, 2));
    let below = format!(
        "{} round trips · {} won · mean {} {currency} · mean win {} · mean loss {}",
        statistics.round_trips,
        statistics
            .win_rate
            .map_or("0 %".to_string(), |rate| format!("{:.1} %", rate * 100.0)),
        money(statistics.average_pnl),
        money(statistics.average_win),
        money(statistics.average_loss),
    );
    let rest = titled(area, &title, &below)?;
    let edge = |at: usize| (bars.first + at as i64) as f64 * bars.width;
    let most = bars.counts.iter().copied().max().unwrap_or(1) as f64;
    let air = bars.width / 2.0;
    let mut chart = ChartBuilder::on(&rest)
        .margin(10)
        .x_label_area_size(52)
        .y_label_area_size(70)
        .build_cartesian_2d(
            ValueAxis::between(edge(0) - air, edge(bars.counts.len()) + air, 8),
            ValueAxis::between(0.0, most * 1.06, most.min(6.0) as usize),
        )?;
    chart
        .configure_mesh()
        .axis_style(INK.mix(0.6))
        .bold_line_style(INK.mix(0.10))
        .light_line_style(TRANSPARENT)
        .label_style(text_style(16.0, INK, false))
        .axis_desc_style(text_style(16.0, INK, false))
        .x_desc(format!("result of a round trip after fees, {currency}"))
        .y_desc("round trips")
        .draw()?;
    for (at, &count) in bars.counts.iter().enumerate() {
        let colour = if edge(at) >= 0.0 { GREEN } else { RED };
        let gap = bars.width * 0.04;
        let corners = [(edge(at) + gap, 0.0), (edge(at + 1) - gap, count as f64)];
        chart.draw_series([Rectangle::new(corners, colour.filled())])?;
    }
    if let Some(mean) = statistics.average_pnl {
        chart.draw_series(LineSeries::new([(mean, 0.0), (mean, most * 1.06)], INK.stroke_width(2)))?;
    }
    Ok(())
}

pub fn attribution<DB: DrawingBackend>(area: &Area<DB>, run: &Run) -> Drawn<DB> {
    let currency = &run.meta.base_currency;
    let title = format!("{}: where the result came from", run.meta.scenario);
    let sums = &run.statistics.attribution;
    let below = format!(
        "round trips {} {currency} · against holding {} {currency}",
        number(sums.round_trips.to_f64(), 2),
        number(run.statistics.pnl_vs_hold.to_f64(), 2),
    );
    let rest = titled(area, &title, &below)?;
    let steps = [
        ("premium", sums.premium.to_f64()),
        ("fx", sums.fx.to_f64()),
        ("slippage", -sums.slippage.to_f64()),
        ("fees", -sums.fees.to_f64()),
        ("legging", -sums.legging.to_f64()),
        ("other", sums.other.to_f64()),
    ];
    if run.rows.round_trips.is_empty() && sums.other.to_f64() == 0.0 {
        return nothing(&rest, "no round trips");
    }
    let mut level = 0.0;
    let mut bars: Vec<(&str, f64, f64, RGBColor)> = steps
        .iter()
        .map(|&(name, change)| {
            let from = level;
            level += change;
            let colour = if change >= 0.0 { GREEN } else { RED };
            (name, from, level, colour)
        })
        .collect();
    bars.push(("total", 0.0, run.statistics.pnl_vs_hold.to_f64(), BLUE));
    let values = ValueAxis::over(bars.iter().flat_map(|bar| [bar.1, bar.2]).chain([0.0]), 6);
    let text = |value: f64| values.text(value);
    let mut chart = ChartBuilder::on(&rest)
        .margin(10)
        .margin_top(16)
        .x_label_area_size(30)
        .y_label_area_size(110)
        .build_cartesian_2d(ValueAxis::between(0.0, bars.len() as f64, 2), values.clone())?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .disable_x_axis()
        .axis_style(INK.mix(0.6))
        .bold_line_style(INK.mix(0.10))
        .light_line_style(TRANSPARENT)
        .label_style(text_style(16.0, INK, false))
        .axis_desc_style(text_style(16.0, INK, false))
        .y_desc(currency.as_str())
        .draw()?;
    chart.draw_series(LineSeries::new([(0.0, 0.0), (bars.len() as f64, 0.0)], INK.mix(0.6)))?;
    let centred = |vertical| text_style(15.0, INK, false).pos(Pos::new(HPos::Center, vertical));
    for (at, &(name, from, to, colour)) in bars.iter().enumerate() {
        let at = at as f64;
        chart.draw_series([Rectangle::new([(at + 0.15, from), (at + 0.85, to)], colour.filled())])?;
        if name != "total" {
            chart.draw_series(LineSeries::new([(at + 0.85, to), (at + 1.15, to)], GREY))?;
        }
        let label = Text::new(text(to - from), (0, -3), centred(VPos::Bottom));
        chart.draw_series([EmptyElement::at((at + 0.5, from.max(to))) + label])?;
        let bottom = chart.plotting_area().get_pixel_range().1.end;
        let (x, _) = chart.backend_coord(&(at + 0.5, 0.0));
        let (base_x, base_y) = rest.get_base_pixel();
        rest.draw_text(name, &centred(VPos::Top), (x - base_x, bottom - base_y + 8))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_result_is_in_one_bar_and_wins_are_apart_from_losses() {
        let cases: [&[f64]; 6] = [
            &[0.0],
            &[5.0],
            &[-3.0, -3.0],
            &[-1.0, 0.0, 1.0],
            &[1e-9, -1e-9],
            &[-1e9, 3.0, 2e9, 17.5],
        ];
        for results in cases {
            let bars = Bars::new(results).unwrap();
            assert_eq!(bars.counts.iter().sum::<u64>(), results.len() as u64, "{results:?}");
            assert!(bars.counts.len() <= 62, "{results:?}: {}", bars.counts.len());
            let wins: u64 = (0..)
                .zip(&bars.counts)
                .filter(|(at, _)| bars.first + at >= 0)
                .map(|(_, count)| count)
                .sum();
            assert_eq!(
                wins,
                results.iter().filter(|&&value| value > 0.0).count() as u64,
                "{results:?}"
            );
        }
        assert!(Bars::new(&[]).is_none());
    }
}
