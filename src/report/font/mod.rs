//! The one font of all pictures, shipped with the program, so that a picture looks the same on every machine.

use std::sync::Once;

use plotters::style::{FontStyle, register_font};

static REGULAR: &[u8] = include_bytes!("DejaVuSans.ttf");
static BOLD: &[u8] = include_bytes!("DejaVuSans-Bold.ttf");

/// The family name to ask plotters for. SVG files carry it as it is, so that a viewer takes its own sans-serif.
pub const FAMILY: &str = "sans-serif";

/// Makes [`FAMILY`] known to plotters. Call it before drawing; more than once does nothing.
pub fn register() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for (style, bytes) in [(FontStyle::Normal, REGULAR), (FontStyle::Bold, BOLD)] {
            if register_font(FAMILY, style, bytes).is_err() {
                unreachable!("the font is part of the program");
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use plotters::style::{FontDesc, FontFamily};

    use super::*;

    #[test]
    fn text_has_a_width_once_the_font_is_registered() {
        register();
        register();
        for style in [FontStyle::Normal, FontStyle::Bold] {
            let font = FontDesc::new(FontFamily::Name(FAMILY), 14.0, style);
            let (width, _) = font.box_size("Premium, bps −12.5").unwrap();
            assert!(width > 50, "{}: {width}", style.as_str());
        }
    }
}
