//! The spread of a dataset over time, as PNG or SVG.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use plotters::coord::Shift;
use plotters::prelude::*;

use super::inspect::{Column, Inspection};
use crate::report::font;

const SIZE: (u32, u32) = (1_200, 500);
const BAND: RGBColor = RGBColor(158, 202, 225);
const MEAN: RGBColor = RGBColor(8, 81, 156);

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// Neither of the two endings.
    #[error("{}: a picture must end in .png or .svg", path.display())]
    Ending {
        /// What was asked for.
        path: PathBuf,
    },
    /// The system refused.
    #[error("{action} {}: {source}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The plotting library gave up.
    #[error("{}: {detail}", path.display())]
    Drawing {
        /// The file.
        path: PathBuf,
        /// What it said.
        detail: String,
    },
}

/// Draws lowest, mean and highest value of each stretch of time into `path`, under a temporary name until it is whole.
///
/// # Errors
/// Another ending than `.png` and `.svg`, or the system refuses.
pub fn draw(path: &Path, inspection: &Inspection, what: &str) -> Result<(), PictureError> {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    if !matches!(ending, "png" | "svg") {
        return Err(PictureError::Ending { path: path.to_owned() });
    }
    font::register();
    let temporary = path.with_extension(format!("partial.{ending}"));
    let drawn = if ending == "png" {
        paint(
            &BitMapBackend::new(&temporary, SIZE).into_drawing_area(),
            inspection,
            what,
        )
    } else {
        paint(&SVGBackend::new(&temporary, SIZE).into_drawing_area(), inspection, what)
    };
    let io = |action: &'static str| {
        move |source| PictureError::Io {
            action,
            path: path.to_owned(),
            source,
        }
    };
    let finished = drawn
        .map_err(|detail| PictureError::Drawing {
            path: path.to_owned(),
            detail,
        })
        .and_then(|()| {
            File::open(&temporary)
                .and_then(|file| file.sync_all())
                .map_err(io("flush"))?;
            fs::rename(&temporary, path).map_err(io("rename"))
        });
    if finished.is_err() {
        // Best effort: the error that matters is the one that is returned.
        let _ = fs::remove_file(&temporary);
    }
    finished
}

fn paint<B: DrawingBackend>(area: &DrawingArea<B, Shift>, inspection: &Inspection, what: &str) -> Result<(), String>
where
    B::ErrorType: 'static,
{
    chart(area, inspection, what).map_err(|error| error.to_string())
}

fn chart<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    inspection: &Inspection,
    what: &str,
) -> Result<(), DrawingAreaErrorKind<B::ErrorType>>
where
    B::ErrorType: 'static,
{
    let columns = &inspection.picture;
    let seconds = columns.last().map_or(1.0, |column| column.at_s).max(1e-9);
    let (low, high) = bounds(columns);
    let (unit, per_unit) = [("days", 86_400.0), ("hours", 3_600.0), ("minutes", 60.0)]
        .into_iter()
        .find(|(_, length)| seconds >= 3.0 * length)
        .unwrap_or(("seconds", 1.0));
    let since = inspection.span.as_ref().map_or("", |span| span.first_recv.as_str());
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(area)
        .caption(format!("{}: {what}", inspection.market), (font::FAMILY, 20))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(70)
        .build_cartesian_2d(0.0..seconds / per_unit, low..high)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc(format!("{unit} since {since}"))
        .y_desc(what)
        .label_style((font::FAMILY, 14))
        .axis_desc_style((font::FAMILY, 14))
        .draw()?;
    let at = |column: &Column| column.at_s / per_unit;
    chart
        .draw_series(
            columns
                .iter()
                .map(|c| PathElement::new([(at(c), c.low), (at(c), c.high)], BAND)),
        )?
        .label("lowest to highest")
        .legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], BAND.stroke_width(4)));
    chart
        .draw_series(steps(columns).into_iter().map(|run| {
            let points: Vec<_> = run.into_iter().map(|(at_s, mean)| (at_s / per_unit, mean)).collect();
            PathElement::new(points, MEAN)
        }))?
        .label("mean of its changes")
        .legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], MEAN));
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .label_font((font::FAMILY, 14))
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()?;
    area.present()
}

/// The mean as it stood until the next change, in runs that end where the data have a hole: nothing is drawn over it.
fn steps(columns: &[Column]) -> Vec<Vec<(f64, f64)>> {
    let mut waits: Vec<f64> = columns.windows(2).map(|pair| pair[1].at_s - pair[0].at_s).collect();
    waits.sort_by(f64::total_cmp);
    let hole = waits.get(waits.len() / 2).map_or(f64::INFINITY, |usual| usual * 20.0);
    let mut runs: Vec<Vec<(f64, f64)>> = Vec::new();
    let mut last: Option<&Column> = None;
    for column in columns {
        match (last, runs.last_mut()) {
            (Some(last), Some(run)) if column.at_s - last.at_s <= hole => run.push((column.at_s, last.mean)),
            _ => runs.push(Vec::new()),
        }
        if let Some(run) = runs.last_mut() {
            run.push((column.at_s, column.mean));
        }
        last = Some(column);
    }
    runs
}

/// The range of values, with some air, and never empty.
fn bounds(columns: &[Column]) -> (f64, f64) {
    let low = columns.iter().fold(f64::INFINITY, |low, column| low.min(column.low));
    let high = columns
        .iter()
        .fold(f64::NEG_INFINITY, |high, column| high.max(column.high));
    let air = ((high - low) * 0.05).max(high.abs() * 1e-6).max(1e-6);
    (low - air, high + air)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_drawn_over_a_hole() {
        let column = |at_s: f64| Column {
            at_s,
            low: 1.0,
            mean: at_s,
            high: 1.0,
        };
        let columns: Vec<_> = [0.0, 1.0, 2.0, 4.0, 104.0, 105.0].map(column).into();
        let runs: Vec<_> = steps(&columns)
            .iter()
            .map(|run| (run[0].0, run[run.len() - 1].0))
            .collect();
        assert_eq!(runs, [(0.0, 4.0), (104.0, 105.0)]);
        assert_eq!(
            steps(&columns)[0][..3],
            [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0)],
            "a value holds until the next"
        );
        assert!(steps(&[]).is_empty());
    }
}
