//! Value over the two most important parameters, smoothed between the trials.
//!
//! The surface is a mean of the trials weighted by a Gaussian of their distance (Nadaraya 1964, Watson 1964) in axis
//! lengths: it shows where good values lie and promises nothing between the points. Where no trial is near, nothing is drawn.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::scale::Scale;
use super::{mesh, note, ramp, short, short_names, sparse, title, varied};
use crate::report::plots::{AMBER, Area, Drawn, INK, nothing, text_style, titled};
use crate::tune::results::{Results, usable};
use crate::tune::trial::Record;

/// Cells of the surface along each axis.
const CELLS: usize = 90;
/// Points that the surface is made of at most.
const MOST: usize = 1500;
/// Bands of colour.
const BANDS: f64 = 12.0;
const BAR: u32 = 120;

pub fn draw<DB: DrawingBackend>(area: &Area<DB>, results: &Results) -> Drawn<DB> {
    let heading = title(results, "value over two parameters");
    let params = varied(results);
    let [one, two, ..] = params.as_slice() else {
        return nothing(&titled(area, &heading, "")?, "fewer than two parameters vary");
    };
    let names = short_names(results);
    let name = |param: &str| names.get(param).map_or(param.to_owned(), |name| (*name).to_owned());
    let (x, y) = (Scale::of_param(one, 8), Scale::of_param(two, 8));
    let fold = results.fold_shown();
    let place = |record: &Record| -> Option<Point> {
        Some(Point {
            id: record.id,
            x: x.position(record.params.get(&one.name)?)?,
            y: y.position(record.params.get(&two.name)?)?,
            value: usable(record)?,
        })
    };
    let points: Vec<Point> = results.of_fold(fold).filter_map(place).collect();
    if points.is_empty() {
        let why = "no trial with a usable value has both parameters";
        return nothing(&titled(area, &heading, "")?, why);
    }
    let count = points.len();
    let winner = results.winner().map(|record| record.id);
    let (points, every) = sparse(points, MOST, |point| Some(point.id) == winner);
    let mut words = format!("{count} trials with a value{}", note(every, count));
    if let Some(fold) = fold.filter(|_| results.folds_seen().len() > 1) {
        words = format!("fold {fold}: {words}");
    }
    words.push_str(" · smoothed between the trials · ring: the best");
    let rest = titled(area, &heading, &words)?;
    let values: Vec<f64> = points.iter().map(|point| point.value).collect();
    let value_scale = Scale::objective(&values, 10);
    let (rest, bar) = rest.split_horizontally(rest.dim_in_pixel().0 - BAR);
    let mut chart = ChartBuilder::on(&rest)
        .margin(10)
        .x_label_area_size(52)
        .y_label_area_size(110)
        .build_cartesian_2d(x.clone(), y.clone())?;
    let surface = Surface::new(&points, &x, &y);
    let colour = |value: f64| {
        let share = value_scale.share(value).clamp(0.0, 0.999);
        ramp(((share * BANDS).floor() + 0.5) / BANDS)
    };
    let step = 1.0 / CELLS as f64;
    for row in 0..CELLS {
        // Cells of one colour beside each other are one rectangle.
        let mut from = 0;
        let colours: Vec<Option<RGBColor>> = (0..CELLS)
            .map(|column| {
                surface
                    .at((column as f64 + 0.5) * step, (row as f64 + 0.5) * step)
                    .map(colour)
            })
            .collect();
        while from < CELLS {
            let run = colours[from..]
                .iter()
                .take_while(|other| **other == colours[from])
                .count();
            if let Some(colour) = colours[from] {
                let corners = [
                    (x.at(from as f64 * step), y.at(row as f64 * step)),
                    (x.at((from + run) as f64 * step), y.at((row + 1) as f64 * step)),
                ];
                chart.draw_series([Rectangle::new(corners, colour.filled())])?;
            }
            from += run;
        }
    }
    mesh!(chart, name(&one.name), name(&two.name))?;
    for point in &points {
        let at = (point.x, point.y);
        chart.draw_series([Circle::new(at, 3, colour(point.value).filled())])?;
        chart.draw_series([Circle::new(at, 3, INK.mix(0.8))])?;
    }
    if let Some(best) = points.iter().find(|point| Some(point.id) == winner) {
        chart.draw_series([Circle::new((best.x, best.y), 9, AMBER.stroke_width(4))])?;
    }
    colour_bar(&bar, &value_scale, &results.objective)
}

struct Point {
    id: u64,
    x: f64,
    y: f64,
    value: f64,
}

/// The trials in axis lengths.
struct Surface {
    points: Vec<(f64, f64, f64)>,
    width: f64,
}

impl Surface {
    fn new(points: &[Point], x: &Scale, y: &Scale) -> Surface {
        // Narrower with more points: the rule of Scott (1992) for two dimensions and points all over the square.
        let width = 0.2 * libm::pow(points.len() as f64, -1.0 / 6.0);
        let points = points
            .iter()
            .map(|point| (x.share(point.x), y.share(point.y), point.value))
            .collect();
        Surface {
            points,
            width: width.max(0.03),
        }
    }

    /// The smoothed value; none where no point is nearer than two and a half widths.
    fn at(&self, x: f64, y: f64) -> Option<f64> {
        let (mut sum, mut weights, mut nearest) = (0.0, 0.0, f64::INFINITY);
        for &(px, py, value) in &self.points {
            let square = ((x - px) * (x - px) + (y - py) * (y - py)) / (self.width * self.width);
            nearest = nearest.min(square);
            let weight = libm::exp(-0.5 * square);
            sum += weight * value;
            weights += weight;
        }
        (nearest < 6.25 && weights > 0.0).then(|| sum / weights)
    }
}

fn colour_bar<DB: DrawingBackend>(area: &Area<DB>, scale: &Scale, words: &str) -> Drawn<DB> {
    let (_, height) = area.dim_in_pixel();
    let (top, bottom) = (44, height as i32 - 62);
    let y = |share: f64| bottom - (share * f64::from(bottom - top)).round() as i32;
    for band in 0..BANDS as i32 {
        let corners = [
            (4, y((f64::from(band) + 1.0) / BANDS)),
            (24, y(f64::from(band) / BANDS)),
        ];
        let colour = ramp((f64::from(band) + 0.5) / BANDS);
        area.draw(&Rectangle::new(corners, colour.filled()))?;
    }
    let label = text_style(14.0, INK, false).pos(Pos::new(HPos::Left, VPos::Center));
    for (position, _) in scale.ticks() {
        let y = y(scale.share(*position));
        area.draw(&PathElement::new(vec![(24, y), (29, y)], INK.mix(0.7)))?;
        area.draw_text(&short(*position), &label, (33, y))?;
    }
    area.draw_text(&super::cut(words, 16), &text_style(14.0, INK, false), (4, 14))
}
