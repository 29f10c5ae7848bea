//! Pictures of a session as PNG and SVG: the same session gives the same bytes on every machine. Sessions of any size: of
//! very many trials a fixed share is drawn, and the picture says so.

mod contour;
mod history;
mod importance;
mod page;
mod parallel;
mod scale;
mod slices;
mod validation;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crossbook_tuner::space::{Domain, Param};
use plotters::prelude::*;
use thiserror::Error;

use super::results::{Results, usable};
use super::trial::{Measures, Record};
use crate::report::Formats;
use crate::report::plots::{self, Area, Drawn, FILE, PAGE, PlotError, Style};
use crate::sink::file::write_whole;
pub use page::{fate, quoted, replays, report};
pub use scale::{cut, short};

/// What a picture shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Picture {
    /// Value of each trial in turn, and the best so far.
    History,
    /// Each trial as a line through its parameters and its value.
    Parallel,
    /// Share of each parameter in the objective's variation.
    Importance,
    /// Value against each parameter.
    Slices,
    /// Value over the two most important parameters.
    Contour,
    /// In sample against out of sample.
    OutOfSample,
    /// How the in-sample best ranks out of sample, over all splits.
    Overfitting,
    /// Result of the chosen trials out of sample, fold after fold.
    WalkForward,
}

impl Picture {
    /// All pictures of a session.
    pub const ALL: [Picture; 8] = [
        Picture::History,
        Picture::OutOfSample,
        Picture::WalkForward,
        Picture::Overfitting,
        Picture::Importance,
        Picture::Parallel,
        Picture::Slices,
        Picture::Contour,
    ];

    /// Name of its file, without extension.
    pub const fn name(self) -> &'static str {
        match self {
            Picture::History => "history",
            Picture::Parallel => "parallel",
            Picture::Importance => "importance",
            Picture::Slices => "slices",
            Picture::Contour => "contour",
            Picture::OutOfSample => "out-of-sample",
            Picture::Overfitting => "overfitting",
            Picture::WalkForward => "walk-forward",
        }
    }

    /// Whether the session has what it needs. Without a validation there is nothing out of sample to draw.
    pub fn applies(self, results: &Results) -> bool {
        let verdict = results.verdict.as_ref();
        match self {
            Picture::History | Picture::Parallel | Picture::Slices => true,
            Picture::Importance => !results.importance.is_empty(),
            Picture::Contour => varied(results).len() >= 2 && results.counts().usable > 0,
            Picture::OutOfSample => results.records.iter().any(|record| record.test.is_some()),
            Picture::Overfitting => verdict.is_some_and(|verdict| !verdict.logits.is_empty()),
            Picture::WalkForward => verdict.is_some_and(|verdict| !verdict.joined.is_empty()),
        }
    }

    fn size(self, results: &Results) -> (u32, u32) {
        match self {
            Picture::History | Picture::WalkForward => (1400, 560),
            Picture::Parallel => (1400, 640),
            Picture::Importance => importance::size(results),
            Picture::Slices => slices::size(results),
            Picture::Contour => (1000, 720),
            Picture::OutOfSample => (1000, 720),
            Picture::Overfitting => (1000, 520),
        }
    }
}

/// A picture as an SVG text.
///
/// # Errors
/// [`PlotError`].
pub fn svg(picture: Picture, results: &Results, style: &Style) -> Result<String, PlotError> {
    plots::svg_of(picture.size(results), style, |area| draw(area, picture, results))
}

/// A picture as PNG bytes.
///
/// # Errors
/// [`PlotError`].
pub fn png(picture: Picture, results: &Results) -> Result<Vec<u8>, PlotError> {
    plots::png_of(picture.size(results), |area| draw(area, picture, results))
}

/// Pictures and report of a session, by file name: `report.html`, `history.png`, `history.svg`, and so on.
///
/// # Errors
/// [`PlotError`].
pub fn files(results: &Results, formats: Formats) -> Result<Vec<(String, Vec<u8>)>, PlotError> {
    let mut files = Vec::new();
    for picture in Picture::ALL.into_iter().filter(|picture| picture.applies(results)) {
        if formats.png {
            files.push((format!("{}.png", picture.name()), png(picture, results)?));
        }
        if formats.svg {
            let text = svg(picture, results, &FILE)?;
            files.push((format!("{}.svg", picture.name()), text.into_bytes()));
        }
    }
    if formats.html {
        files.push(("report.html".to_owned(), report(results)?.into_bytes()));
    }
    Ok(files)
}

/// Draws everything and writes it into the session's folder, over what stands there: pictures are there to be remade.
///
/// # Errors
/// [`WriteError`]; a file is written whole or not at all.
pub fn write(folder: &Path, results: &Results, formats: Formats) -> Result<Vec<PathBuf>, WriteError> {
    let mut written = Vec::new();
    for (name, bytes) in files(results, formats)? {
        let path = folder.join(name);
        write_whole(&path, &bytes, true).map_err(|source| WriteError::Io {
            path: path.clone(),
            source,
        })?;
        written.push(path);
    }
    Ok(written)
}

/// Why pictures are not there.
#[derive(Debug, Error)]
pub enum WriteError {
    /// Drawing.
    #[error(transparent)]
    Plot(#[from] PlotError),
    /// The system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: std::io::Error,
    },
}

fn draw<DB: DrawingBackend>(area: &Area<DB>, picture: Picture, results: &Results) -> Drawn<DB> {
    match picture {
        Picture::History => history::draw(area, results),
        Picture::Parallel => parallel::draw(area, results),
        Picture::Importance => importance::draw(area, results),
        Picture::Slices => slices::draw(area, results),
        Picture::Contour => contour::draw(area, results),
        Picture::OutOfSample => validation::out_of_sample(area, results),
        Picture::Overfitting => validation::overfitting(area, results),
        Picture::WalkForward => validation::walk_forward(area, results),
    }
}

/// Title of a picture: the session's name and what is shown.
fn title(results: &Results, what: &str) -> String {
    format!("{}: {what}", results.name)
}

/// Parameters that have more than one value to choose from, the most important first as far as that is known, else in the
/// order of the file.
fn varied(results: &Results) -> Vec<&Param> {
    let mut params: Vec<&Param> = results
        .params
        .iter()
        .filter(|param| match &param.domain {
            Domain::Float { low, high, .. } => low < high,
            Domain::Int { low, high, .. } => low < high,
            Domain::Choice(choices) => choices.len() > 1,
            Domain::Fixed(_) => false,
        })
        .collect();
    let rank = |param: &Param| {
        let found = results.importance.iter().position(|share| share.param == param.name);
        found.unwrap_or(usize::MAX)
    };
    params.sort_by_key(|param| rank(param));
    params
}

/// The shortest ends of the parameters' paths that tell them apart: `entry_bps`, `fair_premium.model`.
pub fn short_names(results: &Results) -> BTreeMap<&str, &str> {
    let names: Vec<&str> = results.params.iter().map(|param| param.name.as_str()).collect();
    names
        .iter()
        .map(|&name| {
            let mut dots: Vec<usize> = name.match_indices('.').map(|(at, _)| at + 1).collect();
            dots.reverse();
            let short = dots
                .into_iter()
                .map(|at| &name[at..])
                .find(|end| {
                    let dotted = format!(".{end}");
                    let others = names.iter().filter(|other| **other != name);
                    others
                        .into_iter()
                        .all(|other| other != end && !other.ends_with(&dotted))
                })
                .unwrap_or(name);
            (name, short)
        })
        .collect()
}

/// At most so many of the items: all of those that must stay, and of the others each nth, in their order.
fn sparse<T>(items: Vec<T>, most: usize, stays: impl Fn(&T) -> bool) -> (Vec<T>, usize) {
    let every = items.len().div_ceil(most.max(1)).max(1);
    let kept = items
        .into_iter()
        .enumerate()
        .filter(|(at, item)| at % every == 0 || stays(item))
        .map(|(_, item)| item)
        .collect();
    (kept, every)
}

/// Words for a picture that shows only a part.
fn note(every: usize, all: usize) -> String {
    match every {
        0 | 1 => String::new(),
        every => format!(" · one in {every} of {all} is drawn"),
    }
}

/// Figures of both windows as one rate each, so that windows of different length can be compared: result against holding
/// per period. Totals when the periods were not kept.
fn both_windows(record: &Record) -> Option<(f64, f64)> {
    let mean = |periods: &[f64], total: Option<&Measures>| match periods.len() {
        0 => total.map(|measures| measures.pnl_vs_hold),
        count => Some(periods.iter().sum::<f64>() / count as f64),
    };
    usable(record)?;
    let pair = (
        mean(&record.train_periods, record.train.as_ref())?,
        mean(&record.test_periods, record.test.as_ref())?,
    );
    (pair.0.is_finite() && pair.1.is_finite()).then_some(pair)
}

/// Colour of a share between 0 (worst) and 1 (best): from a pale grey violet over blue to green and yellow, in even steps of lightness,
/// readable on white and on black.
fn ramp(share: f64) -> RGBColor {
    const STOPS: [(f64, f64, f64); 6] = [
        (68.0, 20.0, 100.0),
        (64.0, 70.0, 136.0),
        (45.0, 112.0, 142.0),
        (34.0, 155.0, 138.0),
        (106.0, 202.0, 92.0),
        (245.0, 226.0, 52.0),
    ];
    let at = share.clamp(0.0, 1.0) * (STOPS.len() - 1) as f64;
    let below = (at as usize).min(STOPS.len() - 2);
    let part = at - below as f64;
    let mix = |a: f64, b: f64| (a + (b - a) * part).round() as u8;
    let (a, b) = (STOPS[below], STOPS[below + 1]);
    RGBColor(mix(a.0, b.0), mix(a.1, b.1), mix(a.2, b.2))
}

/// Axes, grid and labels in the one look of all pictures, with words at both axes.
macro_rules! mesh {
    ($chart:expr, $x_desc:expr, $y_desc:expr) => {
        $chart
            .configure_mesh()
            .axis_style(crate::report::plots::INK.mix(0.6))
            .bold_line_style(crate::report::plots::INK.mix(0.10))
            .light_line_style(TRANSPARENT)
            .label_style(crate::report::plots::text_style(16.0, crate::report::plots::INK, false))
            .axis_desc_style(crate::report::plots::text_style(16.0, crate::report::plots::INK, false))
            .x_desc($x_desc)
            .y_desc($y_desc)
            .draw()
    };
}
use mesh;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_short_as_they_can_be() {
        let param = |name: &str| Param {
            name: name.to_owned(),
            domain: Domain::Float {
                low: 0.0,
                high: 1.0,
                log: false,
                step: None,
            },
            when: Vec::new(),
        };
        let results = Results {
            params: ["strategy.entry_bps", "a.size.value", "b.size.value", "value", "seed"]
                .map(param)
                .into(),
            ..Results::default()
        };
        let names: Vec<&str> = short_names(&results).into_values().collect();
        assert_eq!(names, ["a.size.value", "b.size.value", "seed", "entry_bps", "value"]);
    }

    #[test]
    fn what_must_stay_is_never_thinned_out() {
        let (kept, every) = sparse((0..1000).collect(), 100, |item| *item == 777);
        assert_eq!((kept.len(), every), (101, 10));
        assert!(kept.contains(&777) && kept.is_sorted());
        assert_eq!(sparse(vec![1, 2, 3], 100, |_| false), (vec![1, 2, 3], 1));
        assert_eq!(sparse(Vec::<u8>::new(), 0, |_| false), (vec![], 1));
    }
}
