//! The journal: everything that came in, as it came, before anything was made of it.
//!
//! A journal is a folder of segments (`000001-20261121T19.cbj`), one for each hour and each start, each a sequence of
//! checksummed blocks ([`format`]). [`Journal`] takes records from an event loop and writes them on threads of its own;
//! [`Reader`] gives them back in order. What it does not do: parse what it keeps, or ever open a segment a second time for
//! writing.
//!
//! What always holds:
//! - a record is in the kernel's hands at most [`JournalConfig::flush_ms`] after it was taken (`kill -9` loses no more), and
//!   on the disk at most [`JournalConfig::sync_ms`] and one fsync later (power loss);
//! - a record is in one segment, the one that was open when it arrived: a later hour closes it, an earlier one does not;
//! - what cannot be written stops the journal with the path and the system's words, and nothing that was written changes;
//! - what cannot be read is reported with its range, and what is behind it is read.

pub mod format;
mod lock;
mod reader;
mod record;
mod segments;
mod storage;
#[cfg(test)]
mod tests;
mod writer;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use self::reader::{Cut, Damage, ReadError, Reader, Report};
pub use self::record::{Item, Mark, Previous, Record, SegmentMark, VenueMark};
pub use self::storage::{Disk, Durable, SegmentFile, Storage};
pub use self::writer::{Journal, Status};

/// How a journal is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JournalConfig {
    /// A record waits at most this long for others to share its block.
    pub flush_ms: u64,
    /// What was written is made durable this often.
    pub sync_ms: u64,
    /// How hard zstd tries, 1 to 19.
    pub zstd_level: i32,
    /// A block that has grown to this is written at once.
    pub block_bytes: usize,
    /// Bytes that may wait to be written; beyond it whoever brings more has to wait.
    pub queue_bytes: usize,
}

impl Default for JournalConfig {
    fn default() -> JournalConfig {
        JournalConfig {
            flush_ms: 40,
            sync_ms: 900,
            zstd_level: 1,
            block_bytes: 1 << 18,
            queue_bytes: 64 << 20,
        }
    }
}

impl JournalConfig {
    /// What is wrong with it: a key and what it may be.
    pub fn problem(&self) -> Option<(&'static str, &'static str)> {
        let checks = [
            (
                (1..=50).contains(&self.flush_ms),
                "flush_ms",
                "1 to 50: `kill -9` must not lose more",
            ),
            (
                (10..=1_000).contains(&self.sync_ms),
                "sync_ms",
                "10 to 1000: power loss must not cost more",
            ),
            ((1..=19).contains(&self.zstd_level), "zstd_level", "1 to 19"),
            (
                (4_096..=format::MOST_RECORD_BYTES).contains(&self.block_bytes),
                "block_bytes",
                "4096 to 33554432",
            ),
            (
                (1 << 20..=1 << 30).contains(&self.queue_bytes),
                "queue_bytes",
                "1048576 to 1073741824",
            ),
        ];
        checks
            .into_iter()
            .find_map(|(good, key, allowed)| (!good).then_some((key, allowed)))
    }
}

/// What a segment says of the run that wrote it.
#[derive(Debug, Clone, PartialEq)]
pub struct About {
    /// A name of this run, different from that of any other.
    pub run: String,
    /// Program and version.
    pub build: String,
    /// Venues by their numbers in records.
    pub venues: Vec<VenueMark>,
    /// What the run was told to do, for whoever replays the journal.
    pub setup: String,
}

/// Why a journal cannot be written.
#[derive(Debug, Clone, Error)]
pub enum JournalError {
    /// The system refused.
    #[error("{action} {}: {source}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// Another recorder writes to this folder.
    #[error("{} is being written by another recorder ({owner}); choose another folder, or stop it", dir.display())]
    Locked {
        /// Which.
        dir: PathBuf,
        /// Process, host and start of the one that has it.
        owner: String,
    },
    /// A record is larger than any block may be.
    #[error("a record of {bytes} bytes is more than the {most} that a journal holds")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// What would have been taken.
        most: usize,
    },
    /// A mark cannot be written as JSON, or zstd refuses.
    #[error("a record cannot be packed: {0}")]
    Pack(String),
    /// The threads that write are gone.
    #[error("the journal was closed")]
    Closed,
}

/// The segments of a folder with their sizes, in order; none when it is no journal.
///
/// # Errors
/// What the system says.
pub fn segments_in(dir: &std::path::Path) -> io::Result<Vec<(PathBuf, u64)>> {
    let found = segments::list(dir)?.into_iter();
    found
        .map(|found| Ok((found.path.clone(), found.path.metadata()?.len())))
        .collect()
}

fn io_error(action: &'static str, path: &std::path::Path) -> impl FnOnce(io::Error) -> JournalError {
    let path = path.to_owned();
    move |source| JournalError::Io {
        action,
        path,
        source: Arc::new(source),
    }
}
