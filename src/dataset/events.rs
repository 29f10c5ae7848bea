//! From the rows of a file to events: what is checked, corrected, dropped and inserted on the way.

use std::path::{Path, PathBuf};

use crossbook_engine::book::sync::{MessageIds, Sync, Verdict};
use crossbook_engine::book::{Book, BookSide};
use crossbook_engine::event::{Chunk, EventKind, FeedStatus, Kind, Level};
use crossbook_engine::instrument::Side;
use crossbook_engine::units::{AmountError, FxRate, Price, Qty, TimestampNs};
use serde::Serialize;

use super::DatasetError;
use super::columns::{Decoded, RawRow};
use super::error::RowFault;
use super::manifest::Manifest;

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

/// What reading has to remember from message to message.
pub(super) struct State {
    path: PathBuf,
    from: TimestampNs,
    to: TimestampNs,
    clock_offset_ns: i64,
    sync: Sync,
    last_recv: i64,
    last_event: TimestampNs,
    pub stats: ReadStats,
    scratch: Vec<Level>,
    before: Option<Before>,
    /// A message at or after the end of the window was met.
    pub passed: bool,
}

/// What held just before a window, while it has not begun: a window of any stream begins with this, wherever it is cut.
#[derive(Default)]
pub(crate) struct Before {
    book: Book,
    complete: bool,
    down: Option<(TimestampNs, FeedStatus)>,
    rate: Option<(TimestampNs, FxRate)>,
}

impl State {
    pub fn new(path: &Path, manifest: &Manifest, from: TimestampNs, to: TimestampNs) -> State {
        State {
            path: path.to_owned(),
            from,
            to,
            clock_offset_ns: manifest.clock_offset_ns,
            sync: Sync::new(manifest.sequence),
            last_recv: i64::MIN,
            last_event: TimestampNs::MIN,
            stats: ReadStats::default(),
            scratch: Vec::new(),
            before: (from > TimestampNs::MIN).then(Before::default),
            passed: false,
        }
    }

    /// The events of the next rows.
    pub fn convert(&mut self, first_row: u64, decoded: &Decoded) -> Result<Chunk, DatasetError> {
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
        before.give(self.from, |ts_event, ts_recv, event| {
            self.push(ts_event, ts_recv, event, chunk)
        })?;
        self.stats.carried = self.stats.events - events_before;
        Ok(())
    }

    /// A window in which nothing was received still has the book that held before it.
    pub fn enter_at_end(&mut self, chunk: &mut Chunk) -> Result<(), DatasetError> {
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
    /// Takes in an event from before the window.
    pub fn note(&mut self, ts_event: TimestampNs, ts_recv: TimestampNs, event: &EventKind<'_>) {
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

    /// Tells `push` what a window that begins at `from` begins with: the book as a snapshot, the rate, the feed's bad health,
    /// all received at its first instant and stamped as they were.
    pub fn give<E>(
        &self,
        from: TimestampNs,
        mut push: impl FnMut(TimestampNs, TimestampNs, EventKind<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut last = TimestampNs::MIN;
        if self.book.is_synced() {
            let [bids, asks]: [Vec<Level>; 2] =
                [BookSide::Bid, BookSide::Ask].map(|side| self.book.levels(side).collect());
            let complete = self.complete;
            last = self.book.ts_event();
            push(
                last,
                from,
                EventKind::Snapshot {
                    bids: &bids,
                    asks: &asks,
                    complete,
                },
            )?;
        }
        // Later than the book or at the same time: the order of exchange times is kept.
        let mut rest: Vec<(TimestampNs, EventKind<'_>)> = Vec::new();
        rest.extend(self.rate.map(|(ts, rate)| (ts, EventKind::Fx(rate))));
        rest.extend(self.down.map(|(ts, status)| (ts, EventKind::Status(status))));
        rest.sort_by_key(|(ts, _)| *ts);
        for (ts_event, event) in rest {
            last = last.max(ts_event);
            push(last, from, event)?;
        }
        Ok(())
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
fn amount<T>(what: &'static str, raw: i64, make: impl Fn(i64) -> Result<T, AmountError>) -> Result<T, RowFault> {
    make(raw).map_err(|source| RowFault::Amount { what, raw, source })
}
