//! What can be wrong with an input, said with the file, the line and what is allowed.

use std::fmt;
use std::path::PathBuf;

use crossbook_engine::units::AmountError;
use thiserror::Error;

use super::time::TimeError;
use crossbook_feed::wire::WireError;

/// Where in an input something was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file as it was named, with the member of an archive after a colon.
    pub file: String,
    /// Line (text) or row (binary), counted from 1; 0 for the file as a whole.
    pub line: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}", self.file),
            line => write!(f, "{}:{line}", self.file),
        }
    }
}

/// Why an import stopped.
#[derive(Debug, Error)]
pub enum ImportError {
    /// The input is not what its format says.
    #[error("{place}: {problem}")]
    Bad {
        /// Where.
        place: Place,
        /// What is wrong, and what is allowed.
        problem: Problem,
    },
    /// The input cannot be opened or read for a reason outside of it.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The options do not fit the format.
    #[error("{0}")]
    Options(OptionsError),
    /// The message was refused by whoever writes the dataset.
    #[error("cannot write the dataset")]
    Sink(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Options that are missing or contradict each other.
#[derive(Debug, Error)]
pub enum OptionsError {
    /// The format needs this option.
    #[error("format {format} needs {option}: {why}")]
    Missing {
        /// The format.
        format: &'static str,
        /// The option, as it is written on the command line.
        option: &'static str,
        /// What it is for.
        why: &'static str,
    },
    /// An option has a value that is not allowed.
    #[error("{option} `{value}`: {allowed}")]
    Value {
        /// The option.
        option: &'static str,
        /// What was given.
        value: String,
        /// What is allowed.
        allowed: &'static str,
    },
    /// The inputs hold nothing that was asked for.
    #[error("nothing to import: {received} records, of them ignored: {ignored}")]
    Nothing {
        /// How many records there were.
        received: u64,
        /// What became of them.
        ignored: String,
    },
}

/// What is wrong at a place of an input.
#[derive(Debug, Error)]
pub enum Problem {
    /// A recording that cannot be read at all.
    #[error("{0}")]
    Journal(String),
    /// The stream ends inside a compressed block, or its checksum is wrong.
    #[error("damaged or cut short: {0}")]
    Damaged(String),
    /// Not UTF-8.
    #[error("not valid UTF-8 at byte {0} of the line")]
    Utf8(usize),
    /// A line longer than anything that a venue sends.
    #[error("line longer than {0} bytes")]
    LineTooLong(usize),
    /// The file has no rows at all, not even a header.
    #[error("empty file; a header or at least one row is needed")]
    Empty,
    /// A required column is missing.
    #[error("no column `{column}`; the header has: {found}")]
    NoColumn {
        /// The column.
        column: String,
        /// The columns that are there.
        found: String,
    },
    /// A column name occurs twice.
    #[error("column `{0}` occurs twice")]
    DuplicateColumn(String),
    /// A row has too few or too many fields.
    #[error("{found} fields where {wanted} are needed")]
    Fields {
        /// As the header or the format says.
        wanted: usize,
        /// In this row.
        found: usize,
    },
    /// A quoted field is not closed on its line.
    #[error("a quoted field is not closed")]
    Quote,
    /// A number that is not an exact amount.
    #[error("column `{column}`: `{text}`: {source}")]
    Amount {
        /// The column or key.
        column: String,
        /// As written (shortened).
        text: String,
        /// Why not.
        source: AmountError,
    },
    /// A text outside of a closed set.
    #[error("column `{column}`: `{text}`; allowed: {allowed}")]
    Value {
        /// The column or key.
        column: String,
        /// As written (shortened).
        text: String,
        /// What is allowed.
        allowed: &'static str,
    },
    /// A time that cannot be read.
    #[error("column `{column}`: {source}")]
    Time {
        /// The column or key.
        column: String,
        /// Why not.
        source: TimeError,
    },
    /// Receive times go back.
    #[error(
        "receive time {found} ns is before {last} ns of an earlier row; sort the input, or allow reordering with --reorder-ms"
    )]
    Unsorted {
        /// The newest time before.
        last: i64,
        /// The time here.
        found: i64,
    },
    /// JSON that is cut, nested too deeply, or not of the expected shape.
    #[error("bad JSON: {0}")]
    Json(String),
    /// A venue's frame that cannot be read.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// A value that does not lie on the tick or lot grid.
    #[error("{column} {value} is not a whole multiple of {step} (within 1e-9); give the right {option}")]
    OffGrid {
        /// `px` or `qty`.
        column: &'static str,
        /// The value.
        value: f64,
        /// The step.
        step: String,
        /// The option that sets it.
        option: &'static str,
    },
    /// A binary header that cannot be understood.
    #[error("{0}")]
    Header(String),
}

/// The first part of a text, so that an error stays one line.
pub(super) fn shorten(text: &str) -> String {
    const MOST: usize = 40;
    match text.char_indices().nth(MOST) {
        None => text.to_owned(),
        Some((at, _)) => format!("{}…", &text[..at]),
    }
}
