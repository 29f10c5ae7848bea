//! What can go wrong with a dataset, with the place where it did.

use std::io;
use std::path::{Path, PathBuf};

use crossbook_engine::units::AmountError;

use super::manifest::SCHEMA;

/// Why a dataset cannot be written, opened or read on.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// The system refused to read or write a file.
    #[error("{action} {}: {source}", path.display())]
    Io {
        /// What was being done (`write`, `read`, `rename`).
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Neither a path nor a name under the data root.
    #[error("no dataset `{name}`: looked for dataset.toml in {}", places(tried))]
    Unknown {
        /// What was asked for.
        name: String,
        /// Where it was looked for.
        tried: Vec<PathBuf>,
    },
    /// The manifest was written by another version of the format.
    #[error("{}: schema {found}, but this crossbook reads schema {SCHEMA}; import the source again", path.display())]
    Schema {
        /// The manifest.
        path: PathBuf,
        /// The version that it says.
        found: i64,
    },
    /// The manifest does not parse, or contradicts itself.
    #[error("{}: {detail}", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong and what is allowed.
        detail: String,
    },
    /// The manifest's text is not the one that was sealed.
    #[error(
        "{}: changed since it was written (seal mismatch); if the change is yours, accept it with `crossbook dataset validate --seal {}`",
        path.display(), path.parent().unwrap_or(path).display()
    )]
    Seal {
        /// The manifest.
        path: PathBuf,
    },
    /// The data file is not the one that the manifest was written for.
    #[error("{}: {what} is {found}, the manifest says {expected}; the file is damaged or was replaced", path.display())]
    Changed {
        /// The data file.
        path: PathBuf,
        /// What differs (`size in bytes`, `blake3`, `number of messages`).
        what: &'static str,
        /// As it should be.
        expected: String,
        /// As it is.
        found: String,
    },
    /// The data file is no Parquet file, is cut off, or a page of it cannot be decoded.
    #[error("{}: not readable as Parquet{}: {detail}", path.display(), group.map(|g| format!(" (row group {g})")).unwrap_or_default())]
    Parquet {
        /// The data file.
        path: PathBuf,
        /// Which row group, from zero, if it got that far.
        group: Option<usize>,
        /// What the decoder said.
        detail: String,
    },
    /// A column is missing, of another type, or too many.
    #[error("{}: column `{column}` is {found}, must be {expected}", path.display())]
    Column {
        /// The data file.
        path: PathBuf,
        /// Its name.
        column: String,
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// A row breaks a rule.
    #[error("{}: row {row}: {fault}", path.display())]
    Row {
        /// The data file (or the folder being written).
        path: PathBuf,
        /// Which row, from zero.
        row: u64,
        /// Which rule.
        fault: RowFault,
    },
    /// There is something there already.
    #[error("{}: exists already; --force replaces it", path.display())]
    Exists {
        /// What is there.
        path: PathBuf,
    },
    /// There is something there that is no dataset, so it is not replaced whatever is asked.
    #[error("{}: exists and is no dataset folder, so it is not replaced", path.display())]
    NotADataset {
        /// What is there.
        path: PathBuf,
    },
    /// The caller asked to stop.
    #[error("stopped before the end")]
    Stopped,
    /// Another process is writing the same dataset.
    #[error("{}: another process is writing this dataset", path.display())]
    Busy {
        /// The temporary folder.
        path: PathBuf,
    },
}

/// Which rule a row breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowFault {
    /// Time of receipt goes back.
    #[error(
        "ts_recv {found} is before {previous} of the row before; rows must be sorted by time of receipt (`crossbook dataset convert --repair sort` does that)"
    )]
    Unsorted {
        /// Of the row before, in ns.
        previous: i64,
        /// Of this row, in ns.
        found: i64,
    },
    /// No such kind of message.
    #[error("kind {0} is not one of 0 to 6")]
    Kind(u8),
    /// Lists or values that do not fit the kind.
    #[error("{0}")]
    Shape(&'static str),
    /// A price, quantity or rate out of its range.
    #[error("{what} {raw}: {source}")]
    Amount {
        /// `price`, `quantity` or `rate`.
        what: &'static str,
        /// Its count of 1e-8.
        raw: i64,
        /// Why it is refused.
        source: AmountError,
    },
    /// A sequence number beyond 63 bits, or a negative one.
    #[error("sequence number does not fit 63 bits")]
    Sequence,
    /// More levels in one stretch than can be addressed.
    #[error("too many levels")]
    TooManyLevels,
}

impl DatasetError {
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DatasetError {
        let path = path.to_owned();
        move |source| DatasetError::Io { action, path, source }
    }

    /// The system error behind it, unless the file is simply not there: that is the asker's mistake.
    pub fn outside(&self) -> Option<&io::Error> {
        match self {
            DatasetError::Io { source, .. } if source.kind() != io::ErrorKind::NotFound => Some(source),
            _ => None,
        }
    }
}

fn places(tried: &[PathBuf]) -> String {
    let places: Vec<_> = tried.iter().map(|path| path.display().to_string()).collect();
    places.join(" and ")
}
