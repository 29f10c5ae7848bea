//! Sorts messages by time of receipt, in bounded memory; equal times keep their order.
//!
//! Sorted runs that do not fit the memory are parked as datasets of their own in a temporary folder and merged at the end.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs;
use std::path::{Path, PathBuf};

use crossbook_engine::units::TimestampNs;

use super::DatasetError;
use super::columns::Decoded;
use super::manifest::Draft;
use super::message::Message;
use super::reader::{Dataset, RawReader};
use super::scan::Walker;
use super::writer::Writer;

/// What sorting did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct SortStats {
    /// Messages in all.
    pub messages: u64,
    /// Messages that were received before one that stood before them.
    pub moved: u64,
}

/// Takes messages in any order and gives them to a [`Writer`] in theirs.
pub struct Sorter {
    runs: Runs,
    draft: Draft,
    memory: usize,
    pending: Vec<Message>,
    pending_bytes: usize,
    latest: TimestampNs,
    stats: SortStats,
}

impl Sorter {
    /// Parks runs in a hidden folder beside `target` when messages take more than `memory` bytes.
    pub fn new(target: &Path, draft: Draft, memory: usize) -> Sorter {
        let mut name = std::ffi::OsString::from(".");
        name.push(target.file_name().unwrap_or_default());
        name.push(".sort");
        Sorter {
            runs: Runs {
                dir: target.with_file_name(name),
                datasets: Vec::new(),
            },
            draft,
            memory,
            pending: Vec::new(),
            pending_bytes: 0,
            latest: TimestampNs::MIN,
            stats: SortStats::default(),
        }
    }

    /// Takes the next message.
    ///
    /// # Errors
    /// A run cannot be written.
    pub fn push(&mut self, message: Message) -> Result<(), DatasetError> {
        self.stats.messages += 1;
        self.stats.moved += u64::from(message.ts_recv < self.latest);
        self.latest = self.latest.max(message.ts_recv);
        let levels = message.bids.len() + message.asks.len() + message.values.len();
        self.pending_bytes += size_of::<Message>() + 16 * levels;
        self.pending.push(message);
        if self.pending_bytes > self.memory {
            self.park()?;
        }
        Ok(())
    }

    /// Gives all messages to the writer, sorted.
    ///
    /// # Errors
    /// As [`Writer::push`], or a run cannot be read back.
    pub fn finish(mut self, writer: &mut Writer) -> Result<SortStats, DatasetError> {
        if self.runs.datasets.is_empty() {
            self.pending.sort_by_key(|message| message.ts_recv);
            self.pending.iter().try_for_each(|message| writer.push(message))?;
            return Ok(self.stats);
        }
        self.park()?;
        self.runs.merge(writer, self.memory)?;
        Ok(self.stats)
    }

    fn park(&mut self) -> Result<(), DatasetError> {
        self.pending.sort_by_key(|message| message.ts_recv);
        let dir = self.runs.dir.join(self.runs.datasets.len().to_string());
        // A leftover of a sort that was killed is replaced.
        let mut writer = Writer::create(&dir, self.draft.clone(), true)?;
        self.pending.iter().try_for_each(|message| writer.push(message))?;
        writer.finish()?;
        self.runs.datasets.push(dir);
        self.pending.clear();
        self.pending_bytes = 0;
        Ok(())
    }
}

/// Sorted runs on disk; gone when dropped.
struct Runs {
    dir: PathBuf,
    datasets: Vec<PathBuf>,
}

impl Runs {
    fn merge(&self, writer: &mut Writer, memory: usize) -> Result<(), DatasetError> {
        let share = memory / self.datasets.len().max(1);
        let mut runs = Vec::with_capacity(self.datasets.len());
        let mut heap = BinaryHeap::new();
        for (index, dir) in self.datasets.iter().enumerate() {
            let dataset = Dataset::open(dir)?;
            let mut run = Run {
                walker: Walker::new(dataset.manifest()),
                rows: dataset.raw(share),
                slice: None,
            };
            if let Some(message) = run.next()? {
                heap.push(Reverse((message.ts_recv, index)));
                runs.push((run, Some(message)));
            } else {
                runs.push((run, None));
            }
        }
        while let Some(Reverse((_, index))) = heap.pop() {
            let (run, head) = &mut runs[index];
            if let Some(message) = head.take() {
                writer.push(&message)?;
            }
            if let Some(message) = run.next()? {
                heap.push(Reverse((message.ts_recv, index)));
                *head = Some(message);
            }
        }
        Ok(())
    }
}

impl Drop for Runs {
    fn drop(&mut self) {
        if !self.datasets.is_empty() {
            // Best effort: the next sort of the same target replaces a leftover.
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

struct Run {
    walker: Walker,
    rows: RawReader,
    slice: Option<(u64, Decoded, usize)>,
}

impl Run {
    fn next(&mut self) -> Result<Option<Message>, DatasetError> {
        loop {
            if let Some((first, decoded, next)) = &mut self.slice
                && *next < decoded.len()
            {
                let row = *first + *next as u64;
                let raw = decoded.row(*next);
                *next += 1;
                let message = self.walker.step(row, &raw).message();
                return message.map(Some).map_err(|fault| self.rows.row_error(row, fault));
            }
            match self.rows.next_slice() {
                Some(slice) => {
                    let (first, decoded) = slice?;
                    self.slice = Some((first, decoded, 0));
                }
                None => return Ok(None),
            }
        }
    }
}
