//! Progress bars: on a terminal, unless `--quiet`.

use std::io::{IsTerminal, stderr};

use indicatif::{ProgressBar, ProgressStyle};

use super::Common;

/// A bar for `total` steps of something (`rows`, `bytes`), drawn on standard error; hidden when nobody would see it.
pub fn bar(common: &Common, total: u64, what: &str) -> ProgressBar {
    if common.quiet || !stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(total).with_message(what.to_owned());
    // A template that does not parse falls back to indicatif's own.
    match ProgressStyle::with_template("{msg} {wide_bar} {human_pos}/{human_len} {per_sec} {eta}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
