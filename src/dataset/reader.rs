//! Opens datasets and gives their messages back as chunks, checked, in arrival order and bounded memory.
//!
//! On the way, and always the same way: the manifest's clock offset is added to `ts_event`, which is then held at
//! `ts_recv` (nothing is received before it happened) and made monotone; the venue's sequence rule drops what is old and
//! turns a missing message into a `Status(Gap)`. Each of these is counted in [`ReadStats`].

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crossbook_engine::event::{Chunk, Kind};
use crossbook_engine::units::TimestampNs;

use super::DatasetError;
use super::columns::{Decoded, Footer, GroupFacts};
use super::error::RowFault;
pub use super::events::ReadStats;
use super::events::State;
use super::manifest::{DATA_FILE, MANIFEST_FILE, Manifest};

/// Bytes that a decoded row and a decoded list entry take at the peak: in the file's columns and in the chunk.
const ROW_BYTES: usize = 128;
const ENTRY_BYTES: usize = 40;

/// What to read, and how.
#[derive(Debug, Clone, Copy)]
pub struct ReadOptions {
    /// Messages received at this instant or later.
    pub from: Option<TimestampNs>,
    /// Messages received before this instant.
    pub to: Option<TimestampNs>,
    /// Bytes that decoding may take at a time, chunk included. A single message is always read whole.
    pub memory: usize,
}

impl Default for ReadOptions {
    fn default() -> Self {
        ReadOptions {
            from: None,
            to: None,
            memory: 64 << 20,
        }
    }
}

/// A dataset on disk whose two files are what they were when it was made.
#[derive(Debug)]
pub struct Dataset {
    dir: PathBuf,
    data: PathBuf,
    manifest: Manifest,
    file: Arc<File>,
    footer: Arc<Footer>,
    groups: Arc<[GroupFacts]>,
}

impl Dataset {
    /// Finds a dataset by path, or by name under the data root, and opens it.
    ///
    /// # Errors
    /// Not found (says where it was looked for), or as [`Dataset::open`].
    pub fn resolve(name_or_path: &str, data_root: Option<&Path>) -> Result<Dataset, DatasetError> {
        Dataset::open(&find(name_or_path, data_root)?)
    }

    /// Opens the dataset in this folder and checks both files against their hashes.
    ///
    /// # Errors
    /// A file is missing, changed, cut short, of another schema or with other columns.
    pub fn open(dir: &Path) -> Result<Dataset, DatasetError> {
        let manifest = read_manifest(dir)?;
        let data = dir.join(DATA_FILE);
        let mut file = File::open(&data).map_err(DatasetError::io("open", &data))?;
        let changed = |what, expected: String, found: String| DatasetError::Changed {
            path: data.clone(),
            what,
            expected,
            found,
        };
        let bytes = file.metadata().map_err(DatasetError::io("look at", &data))?.len();
        if bytes != manifest.data.bytes {
            return Err(changed(
                "size in bytes",
                manifest.data.bytes.to_string(),
                bytes.to_string(),
            ));
        }
        let hash = hash_file(&file, &data)?;
        if hash != manifest.data.blake3 {
            return Err(changed("blake3", manifest.data.blake3.clone(), hash));
        }
        let footer = Footer::read(&mut file, &data)?;
        if footer.rows() != manifest.counts.messages {
            let (expected, found) = (manifest.counts.messages.to_string(), footer.rows().to_string());
            return Err(changed("number of messages", expected, found));
        }
        let groups = footer.groups(&data)?;
        Ok(Dataset {
            dir: dir.to_owned(),
            data,
            manifest,
            file: Arc::new(file),
            footer: Arc::new(footer),
            groups: groups.into(),
        })
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What it says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Reads it, or a window of it. Reading many times at once is fine: nothing is shared but the open file.
    pub fn chunks(&self, options: ReadOptions) -> ChunkReader {
        ChunkReader::new(self, options)
    }

    /// Rows as they stand in the file, in slices that fit the memory: for tools that must see what the reader refuses.
    pub(super) fn raw(&self, memory: usize) -> RawReader {
        RawReader {
            file: Arc::clone(&self.file),
            footer: Arc::clone(&self.footer),
            groups: Arc::clone(&self.groups),
            path: self.data.clone(),
            memory,
            group: 0,
            row: 0,
        }
    }
}

/// Reads and checks a folder's manifest alone.
///
/// # Errors
/// Missing, changed, of another schema or not a manifest.
pub fn read_manifest(dir: &Path) -> Result<Manifest, DatasetError> {
    let path = dir.join(MANIFEST_FILE);
    let bytes = std::fs::read(&path).map_err(DatasetError::io("read", &path))?;
    let text = String::from_utf8(bytes).map_err(|_| DatasetError::Manifest {
        path: path.clone(),
        detail: "not UTF-8".to_owned(),
    })?;
    Manifest::parse(&text, &path)
}

/// The folder of a dataset given by path, or by name under the data root.
///
/// # Errors
/// [`DatasetError::Unknown`] with the places that were looked at.
pub fn find(name_or_path: &str, data_root: Option<&Path>) -> Result<PathBuf, DatasetError> {
    let mut tried = vec![PathBuf::from(name_or_path)];
    tried.extend(data_root.map(|root| root.join(name_or_path)));
    match tried.iter().find(|dir| dir.join(MANIFEST_FILE).is_file()) {
        Some(found) => Ok(found.clone()),
        None => Err(DatasetError::Unknown {
            name: name_or_path.to_owned(),
            tried,
        }),
    }
}

fn hash_file(mut file: &File, path: &Path) -> Result<String, DatasetError> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finalize().to_hex().to_string()),
            Ok(count) => hasher.update(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(DatasetError::io("read", path)(error)),
        };
    }
}

/// Decoded slices of a file in order.
pub(super) struct RawReader {
    file: Arc<File>,
    footer: Arc<Footer>,
    groups: Arc<[GroupFacts]>,
    path: PathBuf,
    memory: usize,
    group: usize,
    /// Next row within the group.
    row: usize,
}

impl RawReader {
    /// A row's fault with its place.
    pub fn row_error(&self, row: u64, fault: RowFault) -> DatasetError {
        DatasetError::Row {
            path: self.path.clone(),
            row,
            fault,
        }
    }

    /// The next slice and the number of its first row.
    pub fn next_slice(&mut self) -> Option<Result<(u64, Decoded), DatasetError>> {
        let facts = *self.groups.get(self.group)?;
        let (group, first) = (self.group, self.row);
        let cost = facts.rows * ROW_BYTES + facts.entries * ENTRY_BYTES;
        let slices = cost.div_ceil(self.memory.max(1)).clamp(1, facts.rows.max(1));
        let end = (first + facts.rows.div_ceil(slices)).min(facts.rows);
        if end == facts.rows {
            self.group += 1;
            self.row = 0;
        } else {
            self.row = end;
        }
        let decoded = self.footer.decode(&self.file, &self.path, group, first..end);
        Some(decoded.map(|decoded| (facts.first_row + first as u64, decoded)))
    }
}

/// Iterates over the chunks of a dataset's window. After an error it ends.
pub struct ChunkReader {
    /// Why nothing at all can be given.
    refusal: Option<DatasetError>,
    raw: RawReader,
    state: State,
    finished: bool,
}

impl ChunkReader {
    fn new(dataset: &Dataset, options: ReadOptions) -> ChunkReader {
        let from = options.from.unwrap_or(TimestampNs::MIN);
        let mut raw = dataset.raw(options.memory);
        raw.group = first_group(&dataset.groups, from);
        ChunkReader {
            refusal: skipped_unsorted(&raw),
            raw,
            state: State::new(
                &dataset.data,
                &dataset.manifest,
                from,
                options.to.unwrap_or(TimestampNs::MAX),
            ),
            finished: false,
        }
    }

    /// What was done so far.
    pub fn stats(&self) -> ReadStats {
        self.state.stats
    }
}

/// Where reading must begin so that what held just before the window is known: the last row group that may hold a
/// snapshot (or a rate) received before it.
fn first_group(groups: &[GroupFacts], from: TimestampNs) -> usize {
    // Row groups are sorted by time of receipt; that is checked when they are decoded.
    let inside = groups.partition_point(|group| group.ts_recv.1 < from.0);
    // The smallest kind is one that is really there; snapshots have the smallest numbers, and a rate series has no books.
    let states = |group: &GroupFacts| {
        let smallest = group.kinds.0;
        group.ts_recv.0 < from.0 && (smallest <= Kind::CompleteSnapshot as u8 || smallest == Kind::Fx as u8)
    };
    let last = groups.len().min(inside + 1);
    // A snapshot may come after `from` within the group that `from` falls into; one group further back never does.
    match groups[..last].iter().rposition(states) {
        Some(found) if found == inside => groups[..found].iter().rposition(states).unwrap_or(found),
        Some(found) => found,
        None => inside,
    }
}

/// Row groups are skipped by their times, which means something only when they are in order.
fn skipped_unsorted(raw: &RawReader) -> Option<DatasetError> {
    let pairs = raw.groups[..(raw.group + 1).min(raw.groups.len())].windows(2);
    let unsorted = pairs.into_iter().find(|pair| pair[1].ts_recv.0 < pair[0].ts_recv.1)?;
    let fault = RowFault::Unsorted {
        previous: unsorted[0].ts_recv.1,
        found: unsorted[1].ts_recv.0,
    };
    Some(raw.row_error(unsorted[1].first_row, fault))
}

impl Iterator for ChunkReader {
    type Item = Result<Arc<Chunk>, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(error) = self.refusal.take() {
            self.finished = true;
            return Some(Err(error));
        }
        while !self.finished {
            let chunk = match self.raw.next_slice() {
                Some(Ok((first_row, decoded))) => self.state.convert(first_row, &decoded),
                Some(Err(error)) => Err(error),
                None => {
                    self.finished = true;
                    let mut chunk = Chunk::default();
                    self.state.enter_at_end(&mut chunk).map(|()| chunk)
                }
            };
            self.finished |= self.state.passed || chunk.is_err();
            match chunk {
                Ok(chunk) if chunk.is_empty() => {}
                Ok(chunk) => return Some(Ok(Arc::new(chunk))),
                Err(error) => return Some(Err(error)),
            }
        }
        None
    }
}
