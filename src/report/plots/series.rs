//! A series over time as the range and the mean of each stretch: the spread of a dataset, or a rate.

use crossbook_engine::units::TimestampNs;
use plotters::prelude::*;

use super::{Area, BLUE, Drawn, INK, TimeAxis, ValueAxis, holes, legend, mesh, text_style, titled, utc};

pub const SIZE: (u32, u32) = (1400, 560);

/// What to draw.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Of what.
    pub title: String,
    /// Text of the value axis.
    pub unit: String,
    /// In order of time.
    pub stretches: Vec<Stretch>,
}

/// A short stretch of time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stretch {
    /// Its middle.
    pub ts: TimestampNs,
    /// Smallest value.
    pub low: f64,
    /// Mean value.
    pub mean: f64,
    /// Largest value.
    pub high: f64,
}

pub fn draw<DB: DrawingBackend>(area: &Area<DB>, series: &Series) -> Drawn<DB> {
    let all = &series.stretches;
    let (Some(first), Some(last)) = (all.first(), all.last()) else {
        return super::nothing(&titled(area, &series.title, "")?, "there is nothing to draw");
    };
    let below = format!("{} to {} UTC", utc(first.ts), utc(last.ts));
    let rest = titled(area, &series.title, &below)?;
    let faint = BLUE.mix(0.35);
    legend(
        &rest,
        (130, 18),
        &[("mean of its changes, with the range behind it", BLUE)],
    )?;
    let (_, rest) = rest.split_vertically(34);
    let values = ValueAxis::over(all.iter().flat_map(|s| [s.low, s.high]), 8);
    let mut chart = ChartBuilder::on(&rest)
        .margin(10)
        .margin_right(44)
        .x_label_area_size(28)
        .y_label_area_size(110)
        .build_cartesian_2d(TimeAxis::new(first.ts, last.ts, 9), values)?;
    mesh!(chart, &series.unit)?;
    chart.draw_series(
        all.iter()
            .map(|s| PathElement::new([(s.ts.0, s.low), (s.ts.0, s.high)], faint)),
    )?;
    chart.draw_series(steps(all).into_iter().map(|line| PathElement::new(line, BLUE)))?;
    Ok(())
}

/// The mean as it stood until the next change, in lines that end where the data have a hole.
fn steps(all: &[Stretch]) -> Vec<Vec<(i64, f64)>> {
    let times: Vec<_> = all.iter().map(|stretch| stretch.ts).collect();
    let holes = holes(&times);
    let mut lines: Vec<Vec<(i64, f64)>> = Vec::new();
    for (at, stretch) in all.iter().enumerate() {
        match lines.last_mut() {
            Some(line) if holes.binary_search(&at).is_err() => {
                line.extend([(stretch.ts.0, all[at - 1].mean), (stretch.ts.0, stretch.mean)]);
            }
            _ => lines.push(vec![(stretch.ts.0, stretch.mean)]),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_holds_until_the_next_and_nothing_is_drawn_over_a_hole() {
        let stretch = |second: i64| Stretch {
            ts: TimestampNs(second * 1_000_000_000),
            low: 0.0,
            mean: second as f64,
            high: 200.0,
        };
        let all: Vec<_> = [0, 1, 2, 4, 104, 105].map(stretch).into();
        let lines = steps(&all);
        let ends: Vec<_> = lines.iter().map(|line| (line[0].1, line[line.len() - 1].1)).collect();
        assert_eq!(ends, [(0.0, 4.0), (104.0, 105.0)]);
        let second = 1_000_000_000;
        assert_eq!(lines[0][..3], [(0, 0.0), (second, 0.0), (second, 1.0)]);
        assert!(steps(&[]).is_empty());
    }
}
