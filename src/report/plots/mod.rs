//! Pictures of a run as PNG and SVG: the same run gives the same bytes on every machine.

mod axes;
mod compare;
mod equity;
mod series;
mod spread;
mod thin;
mod trades;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use thiserror::Error;

use super::font;
use super::meta::Run;
pub use axes::{TimeAxis, ValueAxis, nice_step, number, utc};
pub use compare::share_curve;
pub use equity::Curves;
pub use series::{Series, Stretch};
pub use thin::{holes, stretches, thin};

/// A picture that could not be drawn. Drawing goes to memory, so this means a bug, not a full disk.
#[derive(Debug, Error)]
#[error("drawing failed: {0}")]
pub struct PlotError(String);

/// What a picture shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Picture {
    /// Result against holding, its drawdown, and equity beside holding.
    Equity,
    /// Premium and fair premium with entries and exits, a panel a route.
    Spread,
    /// Results of the round trips.
    Histogram,
    /// Where the result came from.
    Attribution,
}

impl Picture {
    /// All pictures of a run.
    pub const ALL: [Picture; 4] = [
        Picture::Equity,
        Picture::Spread,
        Picture::Histogram,
        Picture::Attribution,
    ];

    /// Name of its file, without extension.
    pub const fn name(self) -> &'static str {
        match self {
            Picture::Equity => "equity",
            Picture::Spread => "spread",
            Picture::Histogram => "trades",
            Picture::Attribution => "attribution",
        }
    }
}

/// Where a picture goes. Lines and areas have middling colours that can be read on white and on black.
pub struct Style {
    /// Background; none for a picture that lies on a page.
    pub paper: Option<RGBColor>,
}

/// Text, axes and (faintly) the grid.
pub const INK: RGBColor = RGBColor(0x1F, 0x29, 0x33);
/// The main line.
pub const BLUE: RGBColor = RGBColor(0x2F, 0x7D, 0xE1);
/// The reference beside it.
pub const GREY: RGBColor = RGBColor(0x8A, 0x94, 0xA3);
/// Fair premium.
pub const AMBER: RGBColor = RGBColor(0xD9, 0x8A, 0x00);
/// Losses.
pub const RED: RGBColor = RGBColor(0xDB, 0x46, 0x46);
/// Gains.
pub const GREEN: RGBColor = RGBColor(0x2A, 0x9D, 0x5C);

/// Files: black on white.
pub const FILE: Style = Style { paper: Some(WHITE) };
/// Parts of a page: no background, and [`svg`] gives the text the page's colour.
pub const PAGE: Style = Style { paper: None };

pub(crate) type Area<'a, DB> = DrawingArea<DB, Shift>;
pub(crate) type Drawn<DB> = Result<(), DrawingAreaErrorKind<<DB as DrawingBackend>::ErrorType>>;

/// Draws a picture of the run as an SVG text.
///
/// # Errors
/// [`PlotError`].
pub fn svg(picture: Picture, run: &Run, style: &Style) -> Result<String, PlotError> {
    svg_of(size(picture, run, style), style, |area| draw(area, picture, run))
}

/// Draws a picture of the run as PNG bytes.
///
/// # Errors
/// [`PlotError`].
pub fn png(picture: Picture, run: &Run) -> Result<Vec<u8>, PlotError> {
    png_of(size(picture, run, &FILE), |area| draw(area, picture, run))
}

/// Draws the results of several runs over each other, as a share of their opening equity.
///
/// # Errors
/// [`PlotError`].
pub fn compare_svg(runs: &[Run], style: &Style) -> Result<String, PlotError> {
    svg_of(compare::SIZE, style, |area| compare::draw(area, runs))
}

/// The same as PNG bytes.
///
/// # Errors
/// [`PlotError`].
pub fn compare_png(runs: &[Run]) -> Result<Vec<u8>, PlotError> {
    png_of(compare::SIZE, |area| compare::draw(area, runs))
}

/// Draws a series over time as an SVG text.
///
/// # Errors
/// [`PlotError`].
pub fn series_svg(series: &Series) -> Result<String, PlotError> {
    svg_of(series::SIZE, &FILE, |area| series::draw(area, series))
}

/// The same as PNG bytes.
///
/// # Errors
/// [`PlotError`].
pub fn series_png(series: &Series) -> Result<Vec<u8>, PlotError> {
    png_of(series::SIZE, |area| series::draw(area, series))
}

/// Colour of the nth of several lines.
pub fn line_colour(at: usize) -> RGBColor {
    const PURPLE: RGBColor = RGBColor(0x8B, 0x5C, 0xD6);
    const TEAL: RGBColor = RGBColor(0x12, 0x96, 0x9B);
    [BLUE, AMBER, GREEN, RED, PURPLE, TEAL, GREY][at % 7]
}

fn size(picture: Picture, run: &Run, style: &Style) -> (u32, u32) {
    match picture {
        Picture::Equity => (1400, 900),
        Picture::Spread => spread::size(run),
        // Two of them share the width of a page.
        Picture::Histogram | Picture::Attribution if style.paper.is_none() => (720, 430),
        Picture::Histogram | Picture::Attribution => (1000, 520),
    }
}

fn draw<DB: DrawingBackend>(area: &Area<DB>, picture: Picture, run: &Run) -> Drawn<DB> {
    match picture {
        Picture::Equity => equity::draw(area, run),
        Picture::Spread => spread::draw(area, run),
        Picture::Histogram => trades::histogram(area, run),
        Picture::Attribution => trades::attribution(area, run),
    }
}

pub(crate) fn svg_of(
    size: (u32, u32),
    style: &Style,
    draw: impl FnOnce(&Area<SVGBackend>) -> Result<(), DrawingAreaErrorKind<std::io::Error>>,
) -> Result<String, PlotError> {
    font::register();
    let mut text = String::new();
    let area = SVGBackend::with_string(&mut text, size).into_drawing_area();
    let drawn = style.paper.map_or(Ok(()), |paper| area.fill(&paper));
    drawn
        .and_then(|()| draw(&area))
        .and_then(|()| area.present())
        .map_err(|error| PlotError(error.to_string()))?;
    drop(area);
    if style.paper.is_none() {
        let ink = format!("\"#{:02X}{:02X}{:02X}\"", INK.0, INK.1, INK.2);
        text = text.replace(&ink, "\"currentColor\"");
    }
    Ok(text)
}

pub(crate) fn png_of(
    size: (u32, u32),
    draw: impl FnOnce(
        &Area<BitMapBackend>,
    ) -> Result<(), DrawingAreaErrorKind<<BitMapBackend<'static> as DrawingBackend>::ErrorType>>,
) -> Result<Vec<u8>, PlotError> {
    font::register();
    let mut pixels = vec![0u8; size.0 as usize * size.1 as usize * 3];
    {
        let area = BitMapBackend::with_buffer(&mut pixels, size).into_drawing_area();
        area.fill(&WHITE)
            .and_then(|()| draw(&area))
            .and_then(|()| area.present())
            .map_err(|error| PlotError(error.to_string()))?;
    }
    let mut png = Vec::new();
    let encoder = image::codecs::png::PngEncoder::new(&mut png);
    image::ImageEncoder::write_image(encoder, &pixels, size.0, size.1, image::ColorType::Rgb8)
        .map_err(|error| PlotError(error.to_string()))?;
    Ok(png)
}

pub(crate) fn text_style(size: f64, colour: RGBColor, bold: bool) -> TextStyle<'static> {
    let weight = if bold { FontStyle::Bold } else { FontStyle::Normal };
    FontDesc::new(FontFamily::Name(font::FAMILY), size, weight).color(&colour)
}

/// A bold title with a plain line below it; gives the area that is left.
pub(crate) fn titled<DB: DrawingBackend>(
    area: &Area<DB>,
    title: &str,
    below: &str,
) -> Result<DrawingArea<DB, Shift>, DrawingAreaErrorKind<DB::ErrorType>> {
    let (head, rest) = area.split_vertically(56);
    head.draw_text(title, &text_style(24.0, INK, true), (18, 12))?;
    head.draw_text(below, &text_style(17.0, INK, false), (18, 39))?;
    Ok(rest)
}

/// A sentence in the middle of a picture that has nothing to show.
pub(crate) fn nothing<DB: DrawingBackend>(area: &Area<DB>, sentence: &str) -> Drawn<DB> {
    let (width, height) = area.dim_in_pixel();
    let style = text_style(20.0, GREY, false).pos(Pos::new(HPos::Center, VPos::Center));
    area.draw_text(sentence, &style, (width as i32 / 2, height as i32 / 2))
}

/// Entries of a legend in one row from the left: a swatch and a text each.
pub(crate) fn legend<DB: DrawingBackend>(area: &Area<DB>, from: (i32, i32), entries: &[(&str, RGBColor)]) -> Drawn<DB> {
    let style = text_style(16.0, INK, false).pos(Pos::new(HPos::Left, VPos::Center));
    let mut x = from.0;
    for (text, colour) in entries {
        area.draw(&Rectangle::new(
            [(x, from.1 - 2), (x + 20, from.1 + 2)],
            colour.filled(),
        ))?;
        area.draw_text(text, &style, (x + 26, from.1 - 1))?;
        x += 26 + area.estimate_text_size(text, &style)?.0 as i32 + 24;
    }
    Ok(())
}

/// Axes, grid and labels in the one look of all pictures.
macro_rules! mesh {
    ($chart:expr, $y_desc:expr) => {
        $chart
            .configure_mesh()
            .axis_style(INK.mix(0.6))
            .bold_line_style(INK.mix(0.10))
            .light_line_style(TRANSPARENT)
            .label_style(text_style(16.0, INK, false))
            .axis_desc_style(text_style(16.0, INK, false))
            .y_desc($y_desc)
            .draw()
    };
}
use mesh;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples;

    #[test]
    fn the_same_run_gives_the_same_pictures() {
        let run = || samples::run("same", samples::market(30, 4));
        for picture in Picture::ALL {
            assert_eq!(png(picture, &run()).unwrap(), png(picture, &run()).unwrap());
            let text = svg(picture, &run(), &FILE).unwrap();
            assert_eq!(text, svg(picture, &run(), &FILE).unwrap());
            assert!(text.contains("<text") && !text.contains("NaN"), "{}", picture.name());
        }
    }

    #[test]
    fn a_picture_of_a_page_takes_the_colour_of_the_page() {
        let run = samples::run("page", samples::market(3, 4));
        let text = svg(Picture::Attribution, &run, &PAGE).unwrap();
        assert!(text.contains("currentColor") && !text.contains("#1F2933"));
    }

    #[test]
    fn runs_without_anything_are_drawn_too() {
        let empty = samples::run("empty", Default::default());
        let (mut rows, meta) = samples::market(1, 1);
        rows.round_trips.clear();
        rows.equity.truncate(1);
        rows.spread.truncate(1);
        for run in [&empty, &samples::run("one", (rows, meta))] {
            for picture in Picture::ALL {
                assert!(
                    svg(picture, run, &FILE).unwrap().contains("<text"),
                    "{}",
                    picture.name()
                );
                png(picture, run).unwrap();
            }
            compare_png(std::slice::from_ref(run)).unwrap();
        }
        assert!(
            svg(Picture::Histogram, &empty, &FILE)
                .unwrap()
                .contains("no round trips")
        );
    }
}
