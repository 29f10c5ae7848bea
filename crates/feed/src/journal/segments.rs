//! Records into blocks into segments: the part of the journal that is a function of what it is given.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::format::{BlockHead, HEAD_BYTES, Head, MOST_RECORD_BYTES, VERSION, block_sum, trailer};
use super::record::{Item, Mark, Previous, Record, SegmentMark, encode, weight};
use super::storage::{Durable, SegmentFile, Storage};
use super::{About, JournalConfig, JournalError, io_error};
use crate::clock::Stamp;

const HOUR_NS: i64 = 3_600_000_000_000;

/// What has been written so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Records handed to the kernel, the journal's own marks not counted.
    pub records: u64,
    /// Bytes of blocks before packing.
    pub unpacked_bytes: u64,
    /// Bytes of the files.
    pub file_bytes: u64,
    /// Blocks.
    pub blocks: u64,
    /// Segments begun.
    pub segments: u64,
}

/// Writes segments. Nothing here reads a clock: hours are those of the records.
pub struct Segments {
    dir: PathBuf,
    storage: Arc<dyn Storage>,
    about: About,
    block_bytes: usize,
    packer: zstd::bulk::Compressor<'static>,
    previous: Option<Previous>,
    next_number: u32,
    open: Option<Open>,
    block: Block,
    totals: Totals,
    /// Segments that were closed and whose contents are not yet known to be on the disk.
    closed: Vec<(PathBuf, Arc<dyn Durable>)>,
    /// Whether a segment was begun since names were last made durable.
    new_names: bool,
}

/// What is to be made durable.
pub struct ToSync {
    /// Files, with the paths that messages name.
    pub files: Vec<(PathBuf, Arc<dyn Durable>)>,
    /// The folder, when a segment was begun in it.
    pub dir: Option<PathBuf>,
}

struct Open {
    path: PathBuf,
    name: String,
    file: Box<dyn SegmentFile>,
    durable: Arc<dyn Durable>,
    hasher: blake3::Hasher,
    bytes: u64,
    hour: i64,
    blocks: u32,
    records: u64,
    /// When its last record came.
    last: Stamp,
}

#[derive(Default)]
struct Block {
    unpacked: Vec<u8>,
    records: u32,
    /// Of them, how many are not the journal's own.
    given: u32,
    first: Option<Stamp>,
    last: Option<Stamp>,
    /// What is handed to the kernel in one piece.
    whole: Vec<u8>,
}

impl Segments {
    /// Goes on behind the segments of a folder, with a new one.
    ///
    /// # Errors
    /// When the folder cannot be read or the first segment not be made.
    pub fn begin(
        dir: &Path,
        storage: Arc<dyn Storage>,
        about: About,
        config: &JournalConfig,
        start: Stamp,
    ) -> Result<Segments, JournalError> {
        let found = list(dir).map_err(io_error("read", dir))?;
        let previous = match found.last() {
            Some(last) => Some(previous(&last.path, &last.name).map_err(io_error("read", &last.path))?),
            None => None,
        };
        let packer = zstd::bulk::Compressor::new(config.zstd_level).map_err(pack_error)?;
        let mut segments = Segments {
            dir: dir.to_owned(),
            storage,
            about,
            block_bytes: config.block_bytes,
            packer,
            previous,
            next_number: found.last().map_or(1, |last| last.number.saturating_add(1)),
            open: None,
            block: Block::default(),
            totals: Totals::default(),
            closed: Vec::new(),
            new_names: false,
        };
        segments.open_segment(start)?;
        Ok(segments)
    }

    /// Takes a record. Whether a block was written.
    ///
    /// # Errors
    /// When it is too large, or what was waiting cannot be written.
    pub fn push(&mut self, record: &Record) -> Result<bool, JournalError> {
        let bytes = weight(&record.item);
        if bytes > MOST_RECORD_BYTES {
            return Err(JournalError::TooLarge {
                bytes,
                most: MOST_RECORD_BYTES,
            });
        }
        let before = self.totals.blocks;
        let later = self.open.as_ref().is_some_and(|open| hour(record.stamp) > open.hour);
        if later {
            self.close_segment()?;
        }
        if self.open.is_none() {
            self.open_segment(record.stamp)?;
        }
        if !self.block.unpacked.is_empty() && self.block.unpacked.len() + bytes > self.block_bytes {
            self.flush()?;
        }
        self.add(record)?;
        self.block.given += 1;
        if self.block.unpacked.len() >= self.block_bytes {
            self.flush()?;
        }
        Ok(self.totals.blocks > before)
    }

    /// Whether records wait for others to share their block.
    pub fn has_waiting(&self) -> bool {
        self.block.records > 0
    }

    /// Writes what waits.
    ///
    /// # Errors
    /// When the system refuses; the file then ends in a part of a block, which readers cut.
    pub fn flush(&mut self) -> Result<(), JournalError> {
        let (Some(open), Some(first), Some(last)) = (&mut self.open, self.block.first, self.block.last) else {
            return Ok(());
        };
        let block = &mut self.block;
        let packed = self.packer.compress(&block.unpacked).map_err(pack_error)?;
        let too_large = |_| JournalError::Pack("a block of more than 4 GiB".to_owned());
        let head = BlockHead {
            number: open.blocks,
            records: block.records,
            unpacked: u32::try_from(block.unpacked.len()).map_err(too_large)?,
            packed: u32::try_from(packed.len()).map_err(too_large)?,
            first_ns: first.ts.0,
            first_mono_ns: first.mono_ns,
            last_ns: last.ts.0,
            sum: block_sum(&packed),
        };
        block.whole.clear();
        block.whole.extend_from_slice(&head.encode());
        block.whole.extend_from_slice(&packed);
        block.whole.extend_from_slice(&trailer(head.packed));
        open.write(&block.whole)?;
        open.blocks = open
            .blocks
            .checked_add(1)
            .ok_or_else(|| JournalError::Pack("more than 4294967295 blocks in a segment".to_owned()))?;
        self.totals.blocks += 1;
        self.totals.records += u64::from(block.given);
        self.totals.unpacked_bytes += u64::from(head.unpacked);
        self.totals.file_bytes += block.whole.len() as u64;
        block.unpacked.clear();
        (block.records, block.given, block.first, block.last) = (0, 0, None, None);
        Ok(())
    }

    /// Writes what waits and closes the segment in order.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn close(&mut self) -> Result<(), JournalError> {
        if self.open.is_some() {
            self.close_segment()?;
        }
        Ok(())
    }

    /// What has been written so far.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// What must be made durable now. The caller does it, because it takes long.
    pub fn take_sync(&mut self) -> ToSync {
        let mut files = std::mem::take(&mut self.closed);
        files.extend(self.open.as_ref().map(|open| (open.path.clone(), open.durable.clone())));
        ToSync {
            files,
            dir: std::mem::take(&mut self.new_names).then(|| self.dir.clone()),
        }
    }

    fn add(&mut self, record: &Record) -> Result<(), JournalError> {
        let before = self.block.last.unwrap_or(record.stamp);
        encode(record, before, &mut self.block.unpacked).map_err(|error| JournalError::Pack(error.to_string()))?;
        self.block.first.get_or_insert(record.stamp);
        self.block.last = Some(record.stamp);
        self.block.records += 1;
        if let Some(open) = &mut self.open {
            open.records += 1;
            open.last = record.stamp;
        }
        Ok(())
    }

    fn open_segment(&mut self, start: Stamp) -> Result<(), JournalError> {
        // Names of others in the way are passed over, but not without end.
        const MOST_NAMES: u32 = 1_000;
        let mut tried = 0;
        let (number, name, path, file) = loop {
            let number = self.next_number;
            let name = file_name(number, start);
            let path = self.dir.join(&name);
            self.next_number = number
                .checked_add(1)
                .ok_or_else(|| JournalError::Pack("no number is left for a segment".to_owned()))?;
            match self.storage.create(&path) {
                Ok(file) => break (number, name, path, file),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && tried < MOST_NAMES => tried += 1,
                Err(error) => return Err(io_error("create", &path)(error)),
            }
        };
        let durable = file.durable().map_err(io_error("open", &path))?;
        let mut open = Open {
            path,
            name,
            file,
            durable,
            hasher: blake3::Hasher::new(),
            bytes: 0,
            hour: hour(start),
            blocks: 0,
            records: 0,
            last: start,
        };
        let head = Head {
            version: VERSION,
            number,
            start_ns: start.ts.0,
        };
        open.write(&head.encode())?;
        self.new_names = true;
        self.totals.segments += 1;
        self.totals.file_bytes += HEAD_BYTES as u64;
        self.open = Some(open);
        self.add(&Record {
            stamp: start,
            item: Item::Mark(Mark::Segment(SegmentMark {
                run: self.about.run.clone(),
                build: self.about.build.clone(),
                venues: self.about.venues.clone(),
                setup: self.about.setup.clone(),
                previous: self.previous.clone(),
            })),
        })?;
        // A block of its own: what damages the first frames leaves the table of venues whole.
        self.flush()
    }

    fn close_segment(&mut self) -> Result<(), JournalError> {
        let Some((records, stamp)) = self.open.as_ref().map(|open| (open.records, open.last)) else {
            return Ok(());
        };
        self.add(&Record {
            stamp,
            item: Item::Mark(Mark::End { records }),
        })?;
        self.flush()?;
        if let Some(open) = self.open.take() {
            self.previous = Some(Previous {
                file: open.name,
                bytes: open.bytes,
                blake3: open.hasher.finalize().to_hex().to_string(),
            });
            self.closed.push((open.path, open.durable));
        }
        Ok(())
    }
}

impl Open {
    /// Hands everything to the kernel, in one piece where it takes one piece.
    fn write(&mut self, mut bytes: &[u8]) -> Result<(), JournalError> {
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        while !bytes.is_empty() {
            match self.file.write(bytes) {
                Ok(0) => return Err(io_error("write", &self.path)(io::ErrorKind::WriteZero.into())),
                Ok(taken) => bytes = &bytes[taken.min(bytes.len())..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(io_error("write", &self.path)(error)),
            }
        }
        Ok(())
    }
}

/// A segment in a folder.
pub struct Found {
    /// Its number.
    pub number: u32,
    /// Its file name.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
}

/// The segments of a folder, in order. Other files are none of ours.
pub fn list(dir: &Path) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let number = name
            .strip_suffix(".cbj")
            .and_then(|stem| stem.split_once('-'))
            .and_then(|(number, _)| number.parse().ok());
        if let Some(number) = number {
            found.push(Found {
                number,
                path: entry.path(),
                name,
            });
        }
    }
    found.sort_by(|a, b| (a.number, &a.name).cmp(&(b.number, &b.name)));
    Ok(found)
}

/// `000001-20261121T19.cbj`: number and hour (UTC).
fn file_name(number: u32, start: Stamp) -> String {
    let hours = hour(start);
    let (year, month, day) = civil(hours.div_euclid(24));
    format!(
        "{number:06}-{year:04}{month:02}{day:02}T{:02}.cbj",
        hours.rem_euclid(24)
    )
}

fn hour(stamp: Stamp) -> i64 {
    stamp.ts.0.div_euclid(HOUR_NS)
}

/// Year, month and day of a number of days since 1970-01-01, by counting years that begin in March and eras of 400 of
/// them, in which the calendar repeats itself.
fn civil(days: i64) -> (i64, i64, i64) {
    const ERA_DAYS: i64 = 146_097;
    let days = days + 719_468;
    let era = days.div_euclid(ERA_DAYS);
    let day_of_era = days.rem_euclid(ERA_DAYS);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

/// What a successor says of a file, as it is now.
fn previous(path: &Path, name: &str) -> io::Result<Previous> {
    let mut hasher = blake3::Hasher::new();
    let bytes = io::copy(&mut fs::File::open(path)?, &mut HashWriter(&mut hasher))?;
    Ok(Previous {
        file: name.to_owned(),
        bytes,
        blake3: hasher.finalize().to_hex().to_string(),
    })
}

/// blake3 without its `std` feature takes bytes, not a stream.
struct HashWriter<'a>(&'a mut blake3::Hasher);

impl io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn pack_error(error: io::Error) -> JournalError {
    JournalError::Pack(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_become_dates() {
        let cases = [
            (0, (1970, 1, 1)),
            (-1, (1969, 12, 31)),
            (59, (1970, 3, 1)),
            (11_016, (2000, 2, 29)),
            (20_778, (2026, 11, 21)),
            (20_818, (2026, 12, 31)),
            (20_819, (2027, 1, 1)),
            (47_540, (2100, 2, 28)),
            (47_541, (2100, 3, 1)),
        ];
        for (days, want) in cases {
            assert_eq!(civil(days), want, "{days}");
        }
    }
}
