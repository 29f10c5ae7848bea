//! What a run looks like afterwards: statistics, pictures, the HTML report.
//!
//! Nothing here decides or accounts: figures are derived from the rows that a run left behind, in `f64` and in a fixed
//! order, and the same rows always give the same bytes.

pub mod font;
pub mod html;
pub mod meta;
pub mod money;
pub mod plots;
pub mod statistics;
pub mod summary;

pub use meta::{CurrencyInfo, InputInfo, InstrumentInfo, Run, RunMeta, Window};
pub use money::Money;
pub use statistics::Statistics;
pub use summary::Summary;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The spelling of a plain enum's variant in files (`broken_entry`): the one that `serde` gives it.
pub fn word<T: Serialize>(variant: &T) -> String {
    match serde_json::to_value(variant) {
        Ok(serde_json::Value::String(word)) => word,
        other => unreachable!("not a plain enum: {other:?}"),
    }
}

/// The variant of a plain enum that is spelled so, if there is one.
pub fn from_word<T: DeserializeOwned>(word: &str) -> Option<T> {
    serde_json::from_value(serde_json::Value::String(word.to_string())).ok()
}

/// Which of a run's pictures are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Formats {
    /// PNG files.
    pub png: bool,
    /// SVG files.
    pub svg: bool,
    /// The HTML report.
    pub html: bool,
}

impl Formats {
    /// Everything.
    pub const ALL: Formats = Formats {
        png: true,
        svg: true,
        html: true,
    };
}

/// Pictures and report of a run, by file name: `report.html`, `equity.png`, `equity.svg`, and so on.
///
/// # Errors
/// [`plots::PlotError`] when a picture cannot be drawn.
pub fn files(run: &Run, formats: Formats) -> Result<Vec<(String, Vec<u8>)>, plots::PlotError> {
    let mut files = Vec::new();
    for picture in plots::Picture::ALL {
        if formats.png {
            files.push((format!("{}.png", picture.name()), plots::png(picture, run)?));
        }
        if formats.svg {
            let svg = plots::svg(picture, run, &plots::FILE)?;
            files.push((format!("{}.svg", picture.name()), svg.into_bytes()));
        }
    }
    if formats.html {
        files.push(("report.html".to_string(), html::report(run)?.into_bytes()));
    }
    Ok(files)
}

/// Several runs in one picture and one page: `comparison.html`, `comparison.png`, `comparison.svg`.
///
/// # Errors
/// [`plots::PlotError`] when a picture cannot be drawn.
pub fn comparison_files(runs: &[Run], formats: Formats) -> Result<Vec<(String, Vec<u8>)>, plots::PlotError> {
    let mut files = Vec::new();
    if formats.png {
        files.push(("comparison.png".to_string(), plots::compare_png(runs)?));
    }
    if formats.svg {
        let svg = plots::compare_svg(runs, &plots::FILE)?;
        files.push(("comparison.svg".to_string(), svg.into_bytes()));
    }
    if formats.html {
        files.push(("comparison.html".to_string(), html::comparison(runs)?.into_bytes()));
    }
    Ok(files)
}

#[cfg(test)]
pub mod samples;
