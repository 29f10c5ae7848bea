//! Captures frame by frame: each is read, its fate is settled, and the account is kept.

use super::capture::{Line, parse as parse_line};
use super::error::{ImportError, Place};
use super::input::{Input, Lines};
use super::output::{Output, Quarantined};

/// What became of a frame whose bytes could be read.
pub(super) enum Fate {
    /// It went into a dataset.
    Applied,
    /// It is kept until a snapshot comes: the account is settled then.
    Kept,
    /// It was passed over.
    Ignored(String),
    /// It cannot be used, for this reason.
    Quarantined(String),
}

/// Reads the lines of a capture, hands each frame on, and keeps the account.
pub(super) fn read_capture(
    input: Input<'_>,
    output: &mut Output<'_>,
    mut frame: impl FnMut(&Line<'_>, &Place, &mut Output<'_>) -> Result<Vec<Fate>, ImportError>,
) -> Result<(), ImportError> {
    let mut lines = Lines::new(input);
    while lines.advance()? {
        let place = lines.place();
        let raw = lines.line();
        let quarantine = |output: &mut Output<'_>, ts_recv, reason| {
            output.quarantine(&Quarantined {
                place: lines.place(),
                ts_recv,
                reason,
                raw,
            })
        };
        let line = match parse_line(raw) {
            Ok(line) => line,
            Err(error) => {
                output.account.received += 1;
                quarantine(output, None, error.to_string())?;
                continue;
            }
        };
        let ts_recv = match &line {
            Line::Received { ts_recv, .. } => Some(*ts_recv),
            Line::Connected { .. } | Line::Note => None,
        };
        for fate in frame(&line, &place, output)? {
            output.account.received += 1;
            match fate {
                Fate::Applied => output.account.applied += 1,
                Fate::Kept => {}
                Fate::Ignored(reason) => output.account.ignore(&reason),
                Fate::Quarantined(reason) => quarantine(output, ts_recv, reason)?,
            }
        }
    }
    Ok(())
}
