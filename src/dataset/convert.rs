//! Makes other things of datasets: a window of them, a mended one, or CSV.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use crossbook_engine::book::{Book, BookSide};
use crossbook_engine::event::{EventKind, Kind, Level};
use crossbook_engine::units::{Amount, TimestampNs};
use serde::Serialize;

use super::DatasetError;
use super::manifest::Manifest;
use super::message::Message;
use super::reader::Dataset;
use super::scan::{MEMORY, Seen, Walker};
use super::sort::Sorter;
use super::validate::in_nanoseconds;
use super::writer::Writer;

/// What is to be mended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Repair {
    /// Sort by time of receipt; equal times keep their order.
    Sort,
    /// Stamps that are plausible as seconds, milliseconds or microseconds become nanoseconds.
    Units,
}

/// Which messages go into the new dataset, and how they are changed.
#[derive(Debug, Clone, Default)]
pub struct Rewrite {
    /// Received at this instant or later.
    pub from: Option<TimestampNs>,
    /// Received before this instant.
    pub to: Option<TimestampNs>,
    /// What is to be mended.
    pub repair: BTreeSet<Repair>,
    /// Added to each `ts_recv` (a local time that was read as UTC, say), in ns.
    pub shift_recv_ns: i64,
    /// Added to each `ts_event`, in ns.
    pub shift_event_ns: i64,
    /// A new name; else the old one stays.
    pub name: Option<String>,
    /// Replace a dataset that is there.
    pub force: bool,
}

/// What a rewrite did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Rewritten {
    /// Messages written.
    pub messages: u64,
    /// Snapshots put at the beginning for what came before the window: 0 or 1.
    pub carried: u64,
    /// Messages that sorting moved.
    pub moved: u64,
    /// Stamps whose unit was mended.
    pub units: u64,
}

/// Writes the dataset, or a window of it, as a new dataset. A window begins with the book that held before it.
/// `progress` is told the rows done and says whether to go on; if not, nothing is left behind.
///
/// # Errors
/// A row that says nothing, rows that are not sorted (unless they are to be), [`DatasetError::Stopped`], or the system
/// refuses.
pub fn rewrite(
    dataset: &Dataset,
    out: &Path,
    options: &Rewrite,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<(Manifest, Rewritten), DatasetError> {
    let old = dataset.manifest();
    let mut draft = old.draft();
    if let Some(name) = &options.name {
        draft.name.clone_from(name);
    }
    draft.source.text = format!(
        "{} [made from {}, blake3 {}]",
        old.source.text, old.name, old.data.blake3
    );
    let mut writer = Writer::create(out, draft.clone(), options.force)?;
    for (reason, &count) in &old.dropped {
        writer.count_dropped(reason, count);
    }
    let mut sorter = options
        .repair
        .contains(&Repair::Sort)
        .then(|| Sorter::new(out, draft, MEMORY));
    let mut result = Rewritten::default();
    let from = options.from.unwrap_or(TimestampNs::MIN);
    let to = options.to.unwrap_or(TimestampNs::MAX);
    let mut carry = options.from.map(Carry::new);
    let mut walker = Walker::new(old);
    let mut rows = dataset.raw(MEMORY);
    'file: while let Some(slice) = rows.next_slice() {
        let (first, decoded) = slice?;
        for index in 0..decoded.len() {
            let row = first + index as u64;
            let raw = decoded.row(index);
            if raw.ts_recv >= to.0 {
                match sorter {
                    Some(_) => continue,
                    None => break 'file,
                }
            }
            if raw.ts_recv >= from.0
                && let Some(message) = carry.take().and_then(|carry| carry.message(walker.book()))
            {
                result.carried += 1;
                writer.push(&message)?;
            }
            let seen = walker.step(row, &raw);
            if raw.ts_recv < from.0 {
                if let Some(carry) = &mut carry {
                    carry.note(&seen);
                }
                continue;
            }
            let mut message = seen.message().map_err(|fault| rows.row_error(row, fault))?;
            if options.repair.contains(&Repair::Units) {
                for ts in [&mut message.ts_recv, &mut message.ts_event] {
                    let mended = in_nanoseconds(*ts);
                    result.units += u64::from(mended != *ts);
                    *ts = mended;
                }
            }
            message.ts_recv = message.ts_recv.plus(options.shift_recv_ns);
            message.ts_event = message.ts_event.plus(options.shift_event_ns);
            match &mut sorter {
                Some(sorter) => sorter.push(message)?,
                None => writer.push(&message)?,
            }
        }
        if !progress(first + decoded.len() as u64) {
            return Err(DatasetError::Stopped);
        }
    }
    if let Some(message) = carry.and_then(|carry| carry.message(walker.book())) {
        result.carried += 1;
        writer.push(&message)?;
    }
    if let Some(sorter) = sorter {
        result.moved = sorter.finish(&mut writer)?.moved;
    }
    result.messages = writer.messages();
    Ok((writer.finish()?, result))
}

/// What a window must begin with: the book before it, numbered so that the next message continues it.
struct Carry {
    from: TimestampNs,
    complete: bool,
    seq_last: Option<u64>,
    ts_event: TimestampNs,
    rate: Option<Message>,
}

impl Carry {
    fn new(from: TimestampNs) -> Carry {
        Carry {
            from,
            complete: false,
            seq_last: None,
            ts_event: TimestampNs::MIN,
            rate: None,
        }
    }

    fn note(&mut self, seen: &Seen<'_>) {
        use crossbook_engine::book::sync::Verdict;
        match seen.event {
            Ok(EventKind::Snapshot { complete, .. }) if seen.verdict == Some(Verdict::Apply) => {
                self.complete = complete
            }
            Ok(EventKind::Fx(_)) => self.rate = seen.message().ok(),
            _ => {}
        }
        if seen.verdict == Some(Verdict::Apply) {
            self.seq_last = seen
                .raw
                .seq_last
                .and_then(|id| u64::try_from(id).ok())
                .or(self.seq_last);
            self.ts_event = TimestampNs(seen.raw.ts_event);
        }
    }

    fn message(self, book: &Book) -> Option<Message> {
        if !book.is_synced() {
            return self.rate.map(|rate| Message {
                ts_recv: self.from,
                ..rate
            });
        }
        let kind = if self.complete {
            Kind::CompleteSnapshot
        } else {
            Kind::Snapshot
        };
        Some(Message {
            seq_last: self.seq_last,
            bids: book.levels(BookSide::Bid).collect(),
            asks: book.levels(BookSide::Ask).collect(),
            ..Message::new(kind, self.ts_event, self.from)
        })
    }
}

/// Which CSV.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Csv {
    /// One line a level: `ts,venue,symbol,side,price,qty,ts_recv,kind,message,seq_first,seq_last,seq_prev`. Nothing is
    /// lost; lines of one message share its number. Rates, funding and status have no side.
    Levels,
    /// One line a change of the top of a book that can be priced:
    /// `ts,venue,symbol,bid_price,bid_qty,ask_price,ask_qty,ts_recv`.
    Top,
}

/// Writes the messages of a window (all, by default) as CSV; times in ns since the epoch, `ts` as recorded.
/// Gives the number of lines below the header.
///
/// # Errors
/// The file exists (unless `force`), a row says nothing, [`DatasetError::Stopped`], or the system refuses.
pub fn to_csv(
    dataset: &Dataset,
    out: &Path,
    csv: Csv,
    window: (Option<TimestampNs>, Option<TimestampNs>),
    force: bool,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<u64, DatasetError> {
    if !force && out.try_exists().map_err(DatasetError::io("look at", out))? {
        return Err(DatasetError::Exists { path: out.to_owned() });
    }
    let (from, to) = (
        window.0.unwrap_or(TimestampNs::MIN).0,
        window.1.unwrap_or(TimestampNs::MAX).0,
    );
    let mut table = Table::create(out, dataset.manifest(), csv)?;
    let mut walker = Walker::new(dataset.manifest());
    let mut rows = dataset.raw(MEMORY);
    'file: while let Some(slice) = rows.next_slice() {
        let (first, decoded) = slice?;
        for index in 0..decoded.len() {
            let row = first + index as u64;
            let raw = decoded.row(index);
            if raw.ts_recv >= to {
                break 'file;
            }
            let seen = walker.step(row, &raw);
            if let Err(fault) = &seen.event {
                return Err(rows.row_error(row, fault.clone()));
            }
            if raw.ts_recv >= from {
                let written = match csv {
                    Csv::Levels => table.levels(&seen),
                    Csv::Top => table.top(&seen),
                };
                written.map_err(DatasetError::io("write", out))?;
            }
        }
        if !progress(first + decoded.len() as u64) {
            return Err(DatasetError::Stopped);
        }
    }
    table.finish()
}

struct Table<'a> {
    path: &'a Path,
    temporary: PathBuf,
    writer: csv::Writer<BufWriter<File>>,
    venue: &'a str,
    symbol: &'a str,
    top: Option<(Level, Level)>,
    lines: u64,
    done: bool,
}

impl<'a> Table<'a> {
    fn create(path: &'a Path, manifest: &'a Manifest, csv: Csv) -> Result<Table<'a>, DatasetError> {
        let mut name = std::ffi::OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(".partial");
        let temporary = path.with_file_name(name);
        let file = File::create(&temporary).map_err(DatasetError::io("create", &temporary))?;
        let mut table = Table {
            path,
            temporary,
            writer: csv::Writer::from_writer(BufWriter::new(file)),
            venue: &manifest.venue,
            symbol: &manifest.symbol,
            top: None,
            lines: 0,
            done: false,
        };
        let header: &[&str] = match csv {
            Csv::Levels => &[
                "ts",
                "venue",
                "symbol",
                "side",
                "price",
                "qty",
                "ts_recv",
                "kind",
                "message",
                "seq_first",
                "seq_last",
                "seq_prev",
            ],
            Csv::Top => &[
                "ts",
                "venue",
                "symbol",
                "bid_price",
                "bid_qty",
                "ask_price",
                "ask_qty",
                "ts_recv",
            ],
        };
        table
            .writer
            .write_record(header)
            .map_err(|error| DatasetError::io("write", path)(error.into()))?;
        Ok(table)
    }

    fn levels(&mut self, seen: &Seen<'_>) -> io::Result<()> {
        let kind = Kind::from_code(seen.raw.kind).map_or("", name);
        let bids = seen.raw.bids as usize;
        let entries = seen.raw.price.len().max(1);
        for entry in 0..entries {
            let decimal = |list: &[i64]| list.get(entry).map_or_else(String::new, |&raw| decimal(raw));
            let (price, qty) = (decimal(seen.raw.price), decimal(seen.raw.qty));
            let side = match kind {
                "fx" | "funding" | "status" => "",
                _ if price.is_empty() => "",
                _ if entry < bids => "bid",
                _ => "ask",
            };
            // A status is a code, not an amount.
            let price = match (kind, seen.raw.price.get(entry)) {
                ("status", Some(code)) => code.to_string(),
                _ => price,
            };
            let number = |value: Option<i64>| value.map_or_else(String::new, |value| value.to_string());
            self.writer.write_record([
                seen.raw.ts_event.to_string().as_str(),
                self.venue,
                self.symbol,
                side,
                &price,
                &qty,
                &seen.raw.ts_recv.to_string(),
                kind,
                &seen.row.to_string(),
                &number(seen.raw.seq_first),
                &number(seen.raw.seq_last),
                &number(seen.raw.seq_prev),
            ])?;
            self.lines += 1;
        }
        Ok(())
    }

    fn top(&mut self, seen: &Seen<'_>) -> io::Result<()> {
        let top = seen.book.top().ok();
        if let Some((bid, ask)) = top
            && self.top != top
        {
            self.writer.write_record([
                seen.raw.ts_event.to_string().as_str(),
                self.venue,
                self.symbol,
                &decimal(bid.price.raw()),
                &decimal(bid.qty.raw()),
                &decimal(ask.price.raw()),
                &decimal(ask.qty.raw()),
                &seen.raw.ts_recv.to_string(),
            ])?;
            self.lines += 1;
        }
        self.top = top;
        Ok(())
    }

    fn finish(mut self) -> Result<u64, DatasetError> {
        let written = self
            .writer
            .flush()
            .and_then(|()| self.writer.get_ref().get_ref().sync_all());
        written.map_err(DatasetError::io("write", self.path))?;
        fs::rename(&self.temporary, self.path).map_err(DatasetError::io("rename", self.path))?;
        self.done = true;
        super::writer::sync_parent(self.path)?;
        Ok(self.lines)
    }
}

impl Drop for Table<'_> {
    fn drop(&mut self) {
        if !self.done {
            // Best effort: the next one of the same name replaces a leftover.
            let _ = self.writer.flush();
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Snapshot => "snapshot",
        Kind::CompleteSnapshot => "complete_snapshot",
        Kind::Update => "update",
        Kind::Trade => "trade",
        Kind::Fx => "fx",
        Kind::Funding => "funding",
        Kind::Status => "status",
    }
}

/// A raw count of 1e-8 as a decimal, exactly.
fn decimal(raw: i64) -> String {
    Amount::from_raw(raw).map_or_else(|_| raw.to_string(), |amount| amount.to_string())
}
