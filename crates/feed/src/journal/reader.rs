//! Reading a journal back: in order, in bounded memory, past damage, and saying what was not there.
//!
//! A last block that is not whole is the work of a kill or a power loss: it is cut and counted ([`Cut`]). Anything else
//! that does not fit its sums is [`Damage`]: the range is named, the journal is doubtful, and reading goes on at the next
//! block that is whole.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use crossbook_engine::units::TimestampNs;
use serde::Serialize;
use thiserror::Error;

use super::format::{
    BLOCK_HEAD_BYTES, BLOCK_MAGIC, BlockHead, HEAD_BYTES, Head, TRAILER_BYTES, VERSION, block_sum, trailer,
};
use super::record::{Item, Mark, Previous, Record, SegmentMark, decode};
use super::segments::{Found, list};
use crate::clock::Stamp;

/// Why a journal is not read at all.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The system refused.
    #[error("read {}: {source}", path.display())]
    Io {
        /// What was read.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A segment is of a version that this program does not know.
    #[error("{}: a journal of version {found}; this program reads version {VERSION}", path.display())]
    Version {
        /// Which.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// There is no segment in the folder.
    #[error("{}: no journal (no *.cbj file) in this folder", dir.display())]
    Empty {
        /// Which.
        dir: PathBuf,
    },
}

/// A tail that was being written when the process or the machine stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cut {
    /// The segment's file name.
    pub file: String,
    /// Where the last whole block ends.
    pub at: u64,
    /// What is behind it.
    pub bytes: u64,
}

/// A range that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// The segment's file name.
    pub file: String,
    /// The first byte that is in doubt.
    pub from: u64,
    /// The first that is not any more.
    pub to: u64,
    /// What is wrong.
    pub what: String,
}

/// What reading came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Segments read.
    pub segments: u64,
    /// Whole blocks.
    pub blocks: u64,
    /// Records, the journal's own marks not counted.
    pub records: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Segments without their end mark: the process was killed, or still writes.
    pub not_closed: Vec<String>,
    /// Tails that were cut.
    pub cuts: Vec<Cut>,
    /// What is damaged, the first thousand of them.
    pub damages: Vec<Damage>,
    /// Damages that are not listed.
    pub damages_not_listed: u64,
    /// The segment before the first one, when that is not in the folder.
    pub begins_after: Option<String>,
}

impl Report {
    /// Whether something is not as it was written, so that what is made of the journal is to be doubted.
    pub fn doubtful(&self) -> bool {
        !self.damages.is_empty()
    }

    fn damage(&mut self, damage: Damage) {
        const MOST_LISTED: usize = 1_000;
        if self.damages.len() < MOST_LISTED {
            self.damages.push(damage);
        } else {
            self.damages_not_listed += 1;
        }
    }
}

/// Reads the records of a folder, in order.
pub struct Reader {
    files: std::vec::IntoIter<Found>,
    current: Option<Segment>,
    block: Block,
    mark: Option<SegmentMark>,
    report: Report,
    /// The segment that was read last, as its successor should know it.
    previous: Option<Previous>,
}

/// An unpacked block on its way out.
#[derive(Default)]
struct Block {
    rest: Bytes,
    records: u32,
    before: Option<Stamp>,
    range: (u64, u64),
}

impl Reader {
    /// Opens a folder of segments. Their versions are checked before anything is read.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn open(dir: &Path) -> Result<Reader, ReadError> {
        let found = list(dir).map_err(|source| ReadError::Io {
            path: dir.to_owned(),
            source,
        })?;
        if found.is_empty() {
            return Err(ReadError::Empty { dir: dir.to_owned() });
        }
        for file in &found {
            check_version(&file.path)?;
        }
        Ok(Reader {
            files: found.into_iter(),
            current: None,
            block: Block::default(),
            mark: None,
            report: Report::default(),
            previous: None,
        })
    }

    /// The next record, the journal's own marks among them; `None` at the end.
    ///
    /// # Errors
    /// When the system refuses. Damage is no error: see [`Reader::report`].
    pub fn next_record(&mut self) -> Result<Option<Record>, ReadError> {
        loop {
            if let Some(record) = self.unpacked() {
                self.look_at(&record);
                return Ok(Some(record));
            }
            let Some(segment) = &mut self.current else {
                let Some(file) = self.files.next() else { return Ok(None) };
                self.report.segments += 1;
                self.current = Some(Segment::open(file, &mut self.report)?);
                continue;
            };
            if let Some(block) = segment.next_block(&mut self.report)? {
                self.report.blocks += 1;
                self.block = block;
            } else if let Some(segment) = self.current.take() {
                self.end_of(segment);
            }
        }
    }

    /// What is known of the segment that the last record came from. A damaged one has what the segment before it said.
    pub fn segment(&self) -> Option<&SegmentMark> {
        self.mark.as_ref()
    }

    /// Bytes passed so far, for a progress bar.
    pub fn bytes_read(&self) -> u64 {
        self.report.bytes + self.current.as_ref().map_or(0, |segment| segment.window.offset)
    }

    /// What reading has come to so far.
    pub fn report(&self) -> &Report {
        &self.report
    }

    fn unpacked(&mut self) -> Option<Record> {
        if self.block.records == 0 {
            return None;
        }
        let before = self.block.before?;
        let Some(record) = decode(&mut self.block.rest, before) else {
            // The sums say that this is what was written: by a program that knew more, or was wrong.
            let (from, to) = self.block.range;
            self.report.damage(Damage {
                file: self
                    .current
                    .as_ref()
                    .map_or_else(String::new, |segment| segment.name.clone()),
                from,
                to,
                what: format!("{} records of a kind that is not known", self.block.records),
            });
            self.block.records = 0;
            return None;
        };
        self.block.records -= 1;
        self.block.before = Some(record.stamp);
        Some(record)
    }

    fn look_at(&mut self, record: &Record) {
        match &record.item {
            Item::Mark(Mark::Segment(mark)) => {
                self.check_chain(mark.previous.as_ref());
                self.mark = Some(mark.clone());
            }
            Item::Mark(Mark::End { .. }) => {
                if let Some(segment) = &mut self.current {
                    segment.closed = true;
                }
            }
            _ => self.report.records += 1,
        }
    }

    fn check_chain(&mut self, said: Option<&Previous>) {
        let Some(said) = said else { return };
        let what = match &self.previous {
            None if self.report.segments == 1 => {
                self.report.begins_after = Some(said.file.clone());
                return;
            }
            Some(read) if read == said => return,
            Some(read) if read.file == said.file => {
                // What the blocks' own sums have found need not be told twice.
                if self.report.damages.iter().any(|damage| damage.file == said.file) {
                    return;
                }
                format!(
                    "its successor knew it with {} bytes and blake3 {}; it has {} and {}",
                    said.bytes, said.blake3, read.bytes, read.blake3
                )
            }
            _ => "a successor names it, and it is not there".to_owned(),
        };
        self.report.damage(Damage {
            file: said.file.clone(),
            from: 0,
            to: said.bytes,
            what,
        });
    }

    fn end_of(&mut self, segment: Segment) {
        self.report.bytes += segment.window.hashed;
        if !segment.closed {
            self.report.not_closed.push(segment.name.clone());
        }
        self.previous = Some(Previous {
            file: segment.name,
            bytes: segment.window.hashed,
            blake3: segment.window.hasher.finalize().to_hex().to_string(),
        });
    }
}

/// Refuses a file whose head is whole and of another version.
fn check_version(path: &Path) -> Result<(), ReadError> {
    let failed = |source| ReadError::Io {
        path: path.to_owned(),
        source,
    };
    let mut bytes = Vec::with_capacity(HEAD_BYTES);
    File::open(path)
        .and_then(|file| file.take(HEAD_BYTES as u64).read_to_end(&mut bytes))
        .map_err(failed)?;
    let head = <&[u8; HEAD_BYTES]>::try_from(bytes.as_slice())
        .ok()
        .and_then(Head::decode);
    match head {
        Some(head) if head.version != VERSION => Err(ReadError::Version {
            path: path.to_owned(),
            found: head.version,
        }),
        _ => Ok(()),
    }
}

/// A segment's blocks.
struct Segment {
    name: String,
    window: Window,
    next_number: u32,
    /// Bytes were passed over since the last whole block, so that a missing number is no news.
    lost: bool,
    closed: bool,
}

impl Segment {
    fn open(found: Found, report: &mut Report) -> Result<Segment, ReadError> {
        let file = File::open(&found.path).map_err(|source| ReadError::Io {
            path: found.path.clone(),
            source,
        })?;
        let mut segment = Segment {
            name: found.name,
            window: Window::new(file, found.path),
            next_number: 0,
            lost: false,
            closed: false,
        };
        let there = segment.window.fill(HEAD_BYTES)?;
        if there < HEAD_BYTES {
            segment.cut(report)?;
            return Ok(segment);
        }
        if segment.window.array().and_then(Head::decode).is_none() {
            segment.damage(report, 0, HEAD_BYTES as u64, "the head of the segment");
        }
        segment.window.pass(HEAD_BYTES);
        Ok(segment)
    }

    fn next_block(&mut self, report: &mut Report) -> Result<Option<Block>, ReadError> {
        loop {
            let there = self.window.fill(BLOCK_HEAD_BYTES)?;
            if there == 0 {
                return Ok(None);
            }
            let start = self.window.offset;
            if there < BLOCK_HEAD_BYTES {
                let begun = there.min(BLOCK_MAGIC.len());
                if self.window.bytes()[..begun] == BLOCK_MAGIC[..begun] {
                    self.cut(report)?;
                } else {
                    self.skip(report, start, "no block begins here")?;
                }
                continue;
            }
            let Some(head) = self.window.array().and_then(BlockHead::decode) else {
                self.skip(report, start, "the head of a block")?;
                continue;
            };
            let packed_end = BLOCK_HEAD_BYTES + head.packed as usize;
            let whole = packed_end + TRAILER_BYTES;
            let there = self.window.fill(whole)?;
            if there < whole {
                // Not whole, and nothing behind it: it was being written. Else bytes of it are gone.
                if self.window.find_block(BLOCK_MAGIC.len()).is_none() {
                    self.cut(report)?;
                } else {
                    self.skip(report, start, "a block without all of its bytes")?;
                }
                continue;
            }
            let packed = &self.window.bytes()[BLOCK_HEAD_BYTES..packed_end];
            if block_sum(packed) != head.sum {
                self.skip(report, start, "what is packed in a block")?;
                continue;
            }
            let unpacked = match zstd::bulk::decompress(packed, head.unpacked as usize) {
                Ok(unpacked) if unpacked.len() == head.unpacked as usize => unpacked,
                _ => {
                    self.skip(report, start, "a block that does not unpack")?;
                    continue;
                }
            };
            let range = (start, start + whole as u64);
            if self.window.bytes()[packed_end..whole] != trailer(head.packed) {
                self.damage(report, start + packed_end as u64, range.1, "the trailer of a block");
            }
            self.window.pass(whole);
            if head.number < self.next_number {
                self.damage(report, range.0, range.1, "a block that was there before");
                continue;
            }
            if head.number > self.next_number && !self.lost {
                let what = format!("blocks {} to {} are missing", self.next_number, head.number - 1);
                self.damage(report, start, start, &what);
            }
            self.lost = false;
            self.next_number = head.number.saturating_add(1);
            return Ok(Some(Block {
                rest: Bytes::from(unpacked),
                records: head.records,
                before: Some(Stamp {
                    mono_ns: head.first_mono_ns,
                    ts: TimestampNs(head.first_ns),
                }),
                range,
            }));
        }
    }

    fn damage(&self, report: &mut Report, from: u64, to: u64, what: &str) {
        report.damage(Damage {
            file: self.name.clone(),
            from,
            to,
            what: what.to_owned(),
        });
    }

    /// Goes on at the next block behind this place that is whole, at least in its head.
    fn skip(&mut self, report: &mut Report, start: u64, what: &str) -> Result<(), ReadError> {
        self.window.pass_to_block()?;
        self.lost = true;
        self.damage(report, start, self.window.offset, what);
        Ok(())
    }

    /// Leaves away everything from here on.
    fn cut(&mut self, report: &mut Report) -> Result<(), ReadError> {
        let at = self.window.offset;
        self.window.pass_all()?;
        report.cuts.push(Cut {
            file: self.name.clone(),
            at,
            bytes: self.window.offset - at,
        });
        Ok(())
    }
}

/// A stretch of a file, read once and hashed on the way.
struct Window {
    file: File,
    path: PathBuf,
    buffer: Vec<u8>,
    /// Where in the buffer what has not been passed begins.
    at: usize,
    /// Where that is in the file.
    offset: u64,
    ended: bool,
    hasher: blake3::Hasher,
    hashed: u64,
}

impl Window {
    const STEP: usize = 1 << 18;

    fn new(file: File, path: PathBuf) -> Window {
        Window {
            file,
            path,
            buffer: Vec::new(),
            at: 0,
            offset: 0,
            ended: false,
            hasher: blake3::Hasher::new(),
            hashed: 0,
        }
    }

    fn bytes(&self) -> &[u8] {
        &self.buffer[self.at..]
    }

    fn array<const N: usize>(&self) -> Option<&[u8; N]> {
        self.bytes().first_chunk()
    }

    /// Reads until this many bytes are there, or the file ends; how many of them are there.
    fn fill(&mut self, wanted: usize) -> Result<usize, ReadError> {
        while self.bytes().len() < wanted && !self.ended {
            self.buffer.drain(..self.at);
            self.at = 0;
            let before = self.buffer.len();
            let step = Window::STEP.max(wanted - before) as u64;
            let read = (&self.file)
                .take(step)
                .read_to_end(&mut self.buffer)
                .map_err(|source| ReadError::Io {
                    path: self.path.clone(),
                    source,
                })?;
            self.ended = (read as u64) < step;
            self.hasher.update(&self.buffer[before..]);
            self.hashed += read as u64;
        }
        Ok(self.bytes().len().min(wanted))
    }

    fn pass(&mut self, count: usize) {
        self.at += count;
        self.offset += count as u64;
    }

    fn pass_all(&mut self) -> Result<(), ReadError> {
        while self.fill(1)? > 0 {
            self.pass(self.bytes().len());
        }
        Ok(())
    }

    /// How far from here, and at least this far, the next whole head of a block is in what has been read.
    fn find_block(&self, least: usize) -> Option<usize> {
        let bytes = self.bytes();
        let mut from = least;
        while let Some(candidates) = bytes.get(from..) {
            from += candidates.iter().position(|byte| *byte == BLOCK_MAGIC[0])?;
            bytes[from..].first_chunk::<BLOCK_HEAD_BYTES>()?;
            if bytes[from..].first_chunk().and_then(BlockHead::decode).is_some() {
                return Some(from);
            }
            from += 1;
        }
        None
    }

    /// Passes everything up to the next whole head of a block, or all there is.
    fn pass_to_block(&mut self) -> Result<(), ReadError> {
        self.pass(1);
        loop {
            self.fill(Window::STEP)?;
            if let Some(at) = self.find_block(0) {
                self.pass(at);
                return Ok(());
            }
            // What is left could be the beginning of a head.
            let left = self.bytes().len();
            self.pass(left - left.min(BLOCK_HEAD_BYTES - 1));
            if self.ended {
                return self.pass_all();
            }
        }
    }
}
