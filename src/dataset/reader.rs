//! Opens datasets and gives their messages back as chunks, checked, in arrival order and bounded memory.
//!
//! On the way, and always the same way: the manifest's clock offset is added to `ts_event`, which is then held at
//! `ts_recv` (nothing is received before it happened) and made monotone; the venue's sequence rule drops what is old and
//! turns a missing message into a `Status(Gap)`. Each of these is counted in [`ReadStats`].

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crossbook_engine::book::sync::{MessageIds, Sync, Verdict};
use crossbook_engine::book::{Book, BookSide};
use crossbook_engine::event::{Chunk, EventKind, FeedStatus, Kind, Level};
use crossbook_engine::instrument::Side;
use crossbook_engine::units::{FxRate, Price, Qty, TimestampNs};
use serde::Serialize;

use super::DatasetError;
use super::columns::{Decoded, Footer, GroupFacts, RawRow};
use super::error::RowFault;
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

/// What was done to the messages on reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct ReadStats {
    /// Messages in the window.
    pub messages: u64,
    /// Events given: messages, less the dropped ones, plus gaps and what was carried into the window.
    pub events: u64,
    /// Level changes given; an event without levels counts as one.
    pub rows: u64,
    /// Messages older than the book, or contained in it: dropped.
    pub old: u64,
    /// Updates before the first snapshot, or between a gap and the next: dropped.
    pub before_snapshot: u64,
    /// Places where at least one message is missing; the message that shows it is replaced by `Status(Gap)`.
    pub gaps: u64,
    /// `ts_event` later than `ts_recv` even after the clock offset: held at `ts_recv`.
    pub clamped: u64,
    /// The worst of those, in ns.
    pub most_ahead_ns: i64,
    /// `ts_event` earlier than that of the message before: made equal to it.
    pub made_monotone: u64,
    /// Events that stand at the beginning of the window for what came before it (the book, the rate, the feed's health).
    pub carried: u64,
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
            raw,
            state: State::new(dataset, from, options.to.unwrap_or(TimestampNs::MAX)),
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

impl Iterator for ChunkReader {
    type Item = Result<Arc<Chunk>, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
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

/// What reading has to remember from message to message.
struct State {
    path: PathBuf,
    from: TimestampNs,
    to: TimestampNs,
    clock_offset_ns: i64,
    sync: Sync,
    last_recv: i64,
    last_event: TimestampNs,
    stats: ReadStats,
    scratch: Vec<Level>,
    before: Option<Before>,
    /// A message at or after the end of the window was met.
    passed: bool,
}

/// What held just before the window, while it has not begun.
#[derive(Default)]
struct Before {
    book: Book,
    complete: bool,
    down: Option<(TimestampNs, FeedStatus)>,
    rate: Option<(TimestampNs, FxRate)>,
}

impl State {
    fn new(dataset: &Dataset, from: TimestampNs, to: TimestampNs) -> State {
        State {
            path: dataset.data.clone(),
            from,
            to,
            clock_offset_ns: dataset.manifest.clock_offset_ns,
            sync: Sync::new(dataset.manifest.sequence),
            last_recv: i64::MIN,
            last_event: TimestampNs::MIN,
            stats: ReadStats::default(),
            scratch: Vec::new(),
            before: (from > TimestampNs::MIN).then(Before::default),
            passed: false,
        }
    }

    fn convert(&mut self, first_row: u64, decoded: &Decoded) -> Result<Chunk, DatasetError> {
        let skips = self.before.is_some();
        let (events, levels) = if skips {
            (0, 0)
        } else {
            (decoded.len(), decoded.entries())
        };
        let mut chunk = Chunk::with_capacity(events, levels);
        for index in 0..decoded.len() {
            let raw = decoded.row(index);
            if raw.ts_recv >= self.to.0 {
                self.passed = true;
                self.enter_at_end(&mut chunk)?;
                break;
            }
            self.message(&raw, &mut chunk).map_err(|fault| DatasetError::Row {
                path: self.path.clone(),
                row: first_row + index as u64,
                fault,
            })?;
        }
        Ok(chunk)
    }

    #[inline]
    fn message(&mut self, raw: &RawRow<'_>, chunk: &mut Chunk) -> Result<(), RowFault> {
        if raw.ts_recv < self.last_recv {
            return Err(RowFault::Unsorted {
                previous: self.last_recv,
                found: raw.ts_recv,
            });
        }
        self.last_recv = raw.ts_recv;
        let ts_recv = TimestampNs(raw.ts_recv);
        if self.before.is_some() && ts_recv >= self.from {
            self.enter(chunk)?;
        }
        let counts = self.before.is_none();
        let ts_event = self.event_time(raw.ts_event, ts_recv, counts);
        let mut levels = std::mem::take(&mut self.scratch);
        let result = self.judged(raw, ts_event, ts_recv, counts, &mut levels, chunk);
        self.scratch = levels;
        result
    }

    #[inline]
    fn judged(
        &mut self,
        raw: &RawRow<'_>,
        ts_event: TimestampNs,
        ts_recv: TimestampNs,
        counts: bool,
        levels: &mut Vec<Level>,
        chunk: &mut Chunk,
    ) -> Result<(), RowFault> {
        self.stats.messages += u64::from(counts);
        let event = checked_event(raw, levels)?;
        let verdict = match event {
            EventKind::Snapshot { .. } => self.sync.snapshot(ids(raw)?),
            EventKind::Update { .. } => self.sync.update(ids(raw)?),
            EventKind::Status(FeedStatus::Gap | FeedStatus::Disconnected) => {
                self.sync.lose();
                Verdict::Apply
            }
            _ => Verdict::Apply,
        };
        match verdict {
            Verdict::Apply => self.emit(ts_event, ts_recv, event, chunk),
            Verdict::Old => {
                self.stats.old += u64::from(counts);
                Ok(())
            }
            Verdict::BeforeSnapshot => {
                self.stats.before_snapshot += u64::from(counts);
                Ok(())
            }
            Verdict::Gap { .. } => {
                self.stats.gaps += u64::from(counts);
                self.emit(ts_event, ts_recv, EventKind::Status(FeedStatus::Gap), chunk)
            }
        }
    }

    #[inline]
    fn event_time(&mut self, recorded: i64, ts_recv: TimestampNs, counts: bool) -> TimestampNs {
        let mut ts_event = TimestampNs(recorded).plus(self.clock_offset_ns);
        // First the clamp: one stamp far in the future must not drag all later ones after it.
        if ts_event > ts_recv {
            if counts {
                self.stats.clamped += 1;
                self.stats.most_ahead_ns = self.stats.most_ahead_ns.max(ts_event.since(ts_recv));
            }
            ts_event = ts_recv;
        }
        if ts_event < self.last_event {
            self.stats.made_monotone += u64::from(counts);
            ts_event = self.last_event;
        }
        self.last_event = ts_event;
        ts_event
    }

    #[inline]
    fn emit(
        &mut self,
        ts_event: TimestampNs,
        ts_recv: TimestampNs,
        event: EventKind<'_>,
        chunk: &mut Chunk,
    ) -> Result<(), RowFault> {
        match &mut self.before {
            Some(before) => {
                before.note(ts_event, ts_recv, &event);
                Ok(())
            }
            None => self.push(ts_event, ts_recv, event, chunk),
        }
    }

    #[inline]
    fn push(
        &mut self,
        ts_event: TimestampNs,
        ts_recv: TimestampNs,
        event: EventKind<'_>,
        chunk: &mut Chunk,
    ) -> Result<(), RowFault> {
        chunk
            .push(ts_event, ts_recv, event)
            .map_err(|_| RowFault::TooManyLevels)?;
        self.stats.events += 1;
        self.stats.rows += chunk.headers().last().map_or(0, |header| header.rows());
        Ok(())
    }

    /// Begins the window with what held just before it, received at the window's first instant.
    fn enter(&mut self, chunk: &mut Chunk) -> Result<(), RowFault> {
        let Some(before) = self.before.take() else {
            return Ok(());
        };
        let events_before = self.stats.events;
        if before.book.is_synced() {
            let [bids, asks]: [Vec<Level>; 2] =
                [BookSide::Bid, BookSide::Ask].map(|side| before.book.levels(side).collect());
            let snapshot = EventKind::Snapshot {
                bids: &bids,
                asks: &asks,
                complete: before.complete,
            };
            self.push(before.book.ts_event(), self.from, snapshot, chunk)?;
        }
        // Later than the book or at the same time: the order of exchange times is kept.
        let mut rest: Vec<(TimestampNs, EventKind<'_>)> = Vec::new();
        rest.extend(before.rate.map(|(ts, rate)| (ts, EventKind::Fx(rate))));
        rest.extend(before.down.map(|(ts, status)| (ts, EventKind::Status(status))));
        rest.sort_by_key(|(ts, _)| *ts);
        for (ts_event, event) in rest {
            let ts_event = chunk
                .headers()
                .last()
                .map_or(ts_event, |last| last.ts_event.max(ts_event));
            self.push(ts_event, self.from, event, chunk)?;
        }
        self.stats.carried = self.stats.events - events_before;
        Ok(())
    }

    /// A window in which nothing was received still has the book that held before it.
    fn enter_at_end(&mut self, chunk: &mut Chunk) -> Result<(), DatasetError> {
        if self.from >= self.to {
            return Ok(());
        }
        self.enter(chunk).map_err(|fault| DatasetError::Row {
            path: self.path.clone(),
            row: 0,
            fault,
        })
    }
}

impl Before {
    fn note(&mut self, ts_event: TimestampNs, ts_recv: TimestampNs, event: &EventKind<'_>) {
        match *event {
            EventKind::Snapshot { complete, .. } => {
                self.complete = complete;
                self.down = None;
            }
            EventKind::Status(FeedStatus::Connected) => self.down = None,
            EventKind::Status(status @ (FeedStatus::Stale | FeedStatus::Disconnected)) => {
                self.down = Some((ts_event, status));
            }
            EventKind::Fx(rate) => self.rate = Some((ts_event, rate)),
            _ => {}
        }
        self.book.apply(ts_event, ts_recv, event);
    }
}

fn ids(raw: &RawRow<'_>) -> Result<MessageIds, RowFault> {
    let id = |raw: Option<i64>| raw.map(u64::try_from).transpose().map_err(|_| RowFault::Sequence);
    Ok(MessageIds {
        first: id(raw.seq_first)?,
        last: id(raw.seq_last)?,
        prev: id(raw.seq_prev)?,
        ts_event: raw.ts_event,
    })
}

/// The event that a row stands for, its levels gathered in `levels`.
#[inline]
pub(super) fn checked_event<'a>(raw: &RawRow<'_>, levels: &'a mut Vec<Level>) -> Result<EventKind<'a>, RowFault> {
    let kind = Kind::from_code(raw.kind).ok_or(RowFault::Kind(raw.kind))?;
    levels.clear();
    match kind {
        Kind::Snapshot | Kind::CompleteSnapshot | Kind::Update | Kind::Trade => {
            if raw.price.len() != raw.qty.len() {
                return Err(RowFault::Shape("price and qty have different lengths"));
            }
            let bids = raw.bids as usize;
            if bids > raw.price.len() {
                return Err(RowFault::Shape("more bids than levels"));
            }
            levels.reserve(raw.price.len());
            for (&price, &qty) in raw.price.iter().zip(raw.qty) {
                levels.push(Level {
                    price: amount("price", price, Price::from_raw)?,
                    qty: amount("quantity", qty, Qty::from_raw)?,
                });
            }
            let (bids, asks) = levels.split_at(bids);
            Ok(match kind {
                Kind::Update => EventKind::Update { bids, asks },
                Kind::Trade => {
                    let (taker, level) = match (bids, asks) {
                        (&[level], &[]) => (Side::Buy, level),
                        (&[], &[level]) => (Side::Sell, level),
                        _ => return Err(RowFault::Shape("a trade must have exactly one level")),
                    };
                    EventKind::Trade {
                        price: level.price,
                        qty: level.qty,
                        taker,
                    }
                }
                _ => EventKind::Snapshot {
                    bids,
                    asks,
                    complete: kind == Kind::CompleteSnapshot,
                },
            })
        }
        Kind::Fx => match (raw.price, raw.qty) {
            (&[rate], &[]) => Ok(EventKind::Fx(amount("rate", rate, FxRate::from_raw)?)),
            _ => Err(RowFault::Shape("a rate must have exactly one value")),
        },
        Kind::Funding => match (raw.price, raw.qty) {
            (&[mark], &[rate]) => Ok(EventKind::Funding {
                rate,
                mark: amount("price", mark, Price::from_raw)?,
            }),
            _ => Err(RowFault::Shape("funding must have one mark price and one rate")),
        },
        Kind::Status => match (raw.price, raw.qty) {
            (&[code], &[]) => FeedStatus::from_code(code)
                .map(EventKind::Status)
                .ok_or(RowFault::Shape(
                    "a status must be 0 (connected), 1 (stale), 2 (gap) or 3 (disconnected)",
                )),
            _ => Err(RowFault::Shape("a status must have exactly one value")),
        },
    }
}

#[inline]
fn amount<T>(
    what: &'static str,
    raw: i64,
    make: impl Fn(i64) -> Result<T, crossbook_engine::units::AmountError>,
) -> Result<T, RowFault> {
    make(raw).map_err(|source| RowFault::Amount { what, raw, source })
}
