//! Walks a dataset row by row as it stands in the file, with the book that it makes: for tools that must see what the
//! reader would refuse or mend.

use crossbook_engine::book::Book;
use crossbook_engine::book::sync::{MessageIds, Sync, Verdict};
use crossbook_engine::event::{EventKind, FeedStatus, Kind, Level};
use crossbook_engine::units::TimestampNs;

use super::DatasetError;
use super::columns::RawRow;
use super::error::RowFault;
use super::events::checked_event;
use super::manifest::Manifest;
use super::message::Message;
use super::reader::Dataset;

/// Memory for the slice that is being looked at.
pub(super) const MEMORY: usize = 32 << 20;

/// A row, what it says, and the book after it.
pub(super) struct Seen<'a> {
    /// Which row, from zero.
    pub row: u64,
    /// As it stands in the file.
    pub raw: &'a RawRow<'a>,
    /// Exchange time on the receiver's clock, not clamped.
    pub ts_event: TimestampNs,
    /// What it says, or why it says nothing.
    pub event: Result<EventKind<'a>, RowFault>,
    /// How it continues the book, if it is a message of the book.
    pub verdict: Option<Verdict>,
    /// The book after it.
    pub book: &'a Book,
}

impl Seen<'_> {
    /// The row as a message, stamps and numbers as recorded.
    pub fn message(&self) -> Result<Message, RowFault> {
        let raw = self.raw;
        let mut message = Message::new(Kind::Update, TimestampNs(raw.ts_event), TimestampNs(raw.ts_recv));
        match self.event.clone()? {
            EventKind::Snapshot { bids, asks, complete } => {
                message.kind = if complete {
                    Kind::CompleteSnapshot
                } else {
                    Kind::Snapshot
                };
                message.bids.extend_from_slice(bids);
                message.asks.extend_from_slice(asks);
            }
            EventKind::Update { bids, asks } => {
                message.bids.extend_from_slice(bids);
                message.asks.extend_from_slice(asks);
            }
            EventKind::Trade { price, qty, taker } => {
                message = Message::trade(message.ts_event, message.ts_recv, price, qty, taker);
            }
            EventKind::Fx(rate) => message = Message::fx(message.ts_event, message.ts_recv, rate),
            EventKind::Funding { rate, mark } => {
                message.kind = Kind::Funding;
                message.values = vec![rate, mark.raw()];
            }
            EventKind::Status(status) => {
                message.kind = Kind::Status;
                message.values = vec![status as i64];
            }
        }
        (message.seq_first, message.seq_last, message.seq_prev) =
            (id(raw.seq_first), id(raw.seq_last), id(raw.seq_prev));
        Ok(message)
    }
}

/// Applies rows one after the other.
pub(super) struct Walker {
    clock_offset_ns: i64,
    sync: Sync,
    book: Book,
    levels: Vec<Level>,
}

impl Walker {
    pub fn new(manifest: &Manifest) -> Walker {
        Walker {
            clock_offset_ns: manifest.clock_offset_ns,
            sync: Sync::new(manifest.sequence),
            book: Book::default(),
            levels: Vec::new(),
        }
    }

    /// The book after the rows so far.
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// Takes the next row.
    pub fn step<'a>(&'a mut self, row: u64, raw: &'a RawRow<'a>) -> Seen<'a> {
        let (ts_event, ts_recv) = (
            TimestampNs(raw.ts_event).plus(self.clock_offset_ns),
            TimestampNs(raw.ts_recv),
        );
        let event = checked_event(raw, &mut self.levels);
        let mut verdict = None;
        if let Ok(event) = &event {
            verdict = judge(&mut self.sync, raw, event);
            match verdict {
                None | Some(Verdict::Apply) => self.book.apply(ts_event, ts_recv, event),
                Some(Verdict::Gap { .. }) => self.book.apply(ts_event, ts_recv, &EventKind::Status(FeedStatus::Gap)),
                Some(Verdict::Old | Verdict::BeforeSnapshot) => {}
            }
        }
        Seen {
            row,
            raw,
            ts_event,
            event,
            verdict,
            book: &self.book,
        }
    }
}

/// Shows every row to `visit`; `progress` is told from time to time how many rows are done, and says whether to
/// go on.
///
/// # Errors
/// A part of the file cannot be read or decoded, or [`DatasetError::Stopped`].
pub(super) fn scan(
    dataset: &Dataset,
    progress: &mut dyn FnMut(u64) -> bool,
    mut visit: impl FnMut(&Seen<'_>),
) -> Result<(), DatasetError> {
    let mut walker = Walker::new(dataset.manifest());
    let mut rows = dataset.raw(MEMORY);
    while let Some(slice) = rows.next_slice() {
        let (first, decoded) = slice?;
        for index in 0..decoded.len() {
            visit(&walker.step(first + index as u64, &decoded.row(index)));
        }
        if !progress(first + decoded.len() as u64) {
            return Err(DatasetError::Stopped);
        }
    }
    Ok(())
}

fn judge(sync: &mut Sync, raw: &RawRow<'_>, event: &EventKind<'_>) -> Option<Verdict> {
    let ids = MessageIds {
        first: id(raw.seq_first),
        last: id(raw.seq_last),
        prev: id(raw.seq_prev),
        ts_event: raw.ts_event,
    };
    match event {
        EventKind::Snapshot { .. } => Some(sync.snapshot(ids)),
        EventKind::Update { .. } => Some(sync.update(ids)),
        EventKind::Status(FeedStatus::Gap | FeedStatus::Disconnected) => {
            sync.lose();
            None
        }
        _ => None,
    }
}

fn id(raw: Option<i64>) -> Option<u64> {
    raw.and_then(|id| u64::try_from(id).ok())
}
