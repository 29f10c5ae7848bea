//! Streams in memory: cut to a window as the reader of a dataset would cut them, and changed for stress.
//!
//! A window is `[from, to)` of receive time. Chunks that lie inside it whole are shared, those at its ends are copied. It
//! begins with what held just before it ([`Before`]): the book as a snapshot, the rate, the feed's bad health; so a window
//! that begins amid a stream of differences has a book from its first instant.

use std::sync::Arc;

use crossbook_engine::event::{Chunk, ChunkError, EventKind, FeedStatus, Kind, Level};
use crossbook_engine::units::{FxRate, Price, SCALE, TimestampNs};

use crate::dataset::events::Before;

/// Chunks of one stream, in order.
pub type Chunks = Vec<Arc<Chunk>>;

/// A span of receive time; the end is not in it.
pub type Span = (TimestampNs, TimestampNs);

/// Collects events and whole chunks; exchange times never go back.
#[derive(Default)]
struct Joined {
    done: Chunks,
    open: Chunk,
    last_event: TimestampNs,
}

impl Joined {
    fn new() -> Joined {
        Joined {
            last_event: TimestampNs::MIN,
            ..Joined::default()
        }
    }

    fn push(&mut self, ts_event: TimestampNs, ts_recv: TimestampNs, event: EventKind<'_>) -> Result<(), ChunkError> {
        self.last_event = self.last_event.max(ts_event).min(ts_recv);
        self.open.push(self.last_event, ts_recv, event)
    }

    fn copy(&mut self, chunk: &Chunk, index: usize) -> Result<(), ChunkError> {
        let header = &chunk.headers()[index];
        self.push(header.ts_event, header.ts_recv, chunk.event(index))
    }

    fn share(&mut self, chunk: &Arc<Chunk>) {
        self.close();
        self.last_event = chunk.headers().last().map_or(self.last_event, |last| last.ts_event);
        self.done.push(Arc::clone(chunk));
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            self.done.push(Arc::new(std::mem::take(&mut self.open)));
        }
    }

    fn finish(mut self) -> Chunks {
        self.close();
        self.done
    }
}

/// The window of a stream, as a reader would give it.
///
/// # Errors
/// When a chunk cannot address its levels.
pub fn cut(chunks: &[Arc<Chunk>], (from, to): Span) -> Result<Chunks, ChunkError> {
    let mut joined = Joined::new();
    if from < to {
        before(chunks, from).give(from, |ts_event, ts_recv, event| joined.push(ts_event, ts_recv, event))?;
        inside(chunks, (from, to), &mut joined)?;
    }
    Ok(joined.finish())
}

/// First event received at this instant or later: chunk and index.
fn place(chunks: &[Arc<Chunk>], at: TimestampNs) -> (usize, usize) {
    let chunk = chunks.partition_point(|chunk| chunk.headers().last().is_none_or(|last| last.ts_recv < at));
    let index = chunks
        .get(chunk)
        .map_or(0, |chunk| chunk.headers().partition_point(|header| header.ts_recv < at));
    (chunk, index)
}

/// What the stream had said by this instant.
fn before(chunks: &[Arc<Chunk>], from: TimestampNs) -> Before {
    let (last, end) = place(chunks, from);
    let whole = chunks[..last].iter().map(|chunk| (chunk, chunk.len()));
    let parts: Vec<(&Arc<Chunk>, usize)> = whole.chain(chunks.get(last).map(|chunk| (chunk, end))).collect();
    // A snapshot replaces all that a book knew, so nothing before the last one can matter.
    let is_snapshot = |kind: Kind| matches!(kind, Kind::Snapshot | Kind::CompleteSnapshot);
    let found = parts.iter().enumerate().rev().find_map(|(number, (chunk, end))| {
        let index = chunk.headers()[..*end]
            .iter()
            .rposition(|header| is_snapshot(header.kind()))?;
        Some((number, index))
    });
    let (first, mut index) = found.unwrap_or((0, 0));
    let mut before = Before::default();
    for (chunk, end) in parts.into_iter().skip(first) {
        for at in index..end {
            let header = &chunk.headers()[at];
            before.note(header.ts_event, header.ts_recv, &chunk.event(at));
        }
        index = 0;
    }
    before
}

/// The events received within the window.
fn inside(chunks: &[Arc<Chunk>], (from, to): Span, joined: &mut Joined) -> Result<(), ChunkError> {
    let (first, begin) = place(chunks, from);
    let (last, end) = place(chunks, to);
    for (number, chunk) in chunks.iter().enumerate().take(last + 1).skip(first) {
        let begin = if number == first { begin } else { 0 };
        let end = if number == last { end } else { chunk.len() };
        if begin == 0 && end == chunk.len() {
            joined.share(chunk);
            continue;
        }
        for index in begin..end {
            joined.copy(chunk, index)?;
        }
    }
    Ok(())
}

/// When the outages of a window are: as many, as long, evenly spread.
pub fn outages((from, to): Span, count: u32, share: f64) -> Vec<Span> {
    let span = to.since(from);
    let length = ((span as f64) * share) as i64;
    let gap = span / (i64::from(count) + 1);
    (1..=i64::from(count))
        .map(|number| {
            let begin = from.plus(gap * number - length / 2);
            (begin, begin.plus(length))
        })
        .collect()
}

/// The window of a stream whose feed is down in the given spans: what is received in them is lost, except for funding, which
/// the venue books all the same; the connection ends with a snapshot of the book as it stands by then.
///
/// # Errors
/// As [`cut`].
pub fn with_outages(chunks: &[Arc<Chunk>], (from, to): Span, outages: &[Span]) -> Result<Chunks, ChunkError> {
    let mut joined = Joined::new();
    let mut begin = from;
    let enter = |at: TimestampNs, joined: &mut Joined| {
        before(chunks, at).give(at, |ts_event, ts_recv, event| joined.push(ts_event, ts_recv, event))
    };
    enter(from, &mut joined)?;
    for &(down, up) in outages {
        inside(chunks, (begin, down), &mut joined)?;
        joined.push(down, down, EventKind::Status(FeedStatus::Disconnected))?;
        let mut lost = Joined::new();
        inside(chunks, (down, up), &mut lost)?;
        for chunk in lost.finish() {
            for (index, header) in chunk.headers().iter().enumerate() {
                if header.kind() == Kind::Funding {
                    joined.copy(&chunk, index)?;
                }
            }
        }
        joined.push(up, up, EventKind::Status(FeedStatus::Connected))?;
        enter(up, &mut joined)?;
        begin = up;
    }
    inside(chunks, (begin, to), &mut joined)?;
    Ok(joined.finish())
}

/// The window of the stream that gives the exchange rate (a series of rates, or the book of the rate's market), all its
/// prices changed by `bps` from `since` on.
///
/// # Errors
/// As [`cut`].
pub fn with_shock(chunks: &[Arc<Chunk>], span: Span, since: TimestampNs, bps: f64) -> Result<Chunks, ChunkError> {
    let mut joined = Joined::new();
    let whole = cut(chunks, (span.0, since))?;
    for chunk in &whole {
        joined.share(chunk);
    }
    for chunk in cut(chunks, (since, span.1))? {
        for (index, header) in chunk.headers().iter().enumerate() {
            let (bids, asks);
            let event = match chunk.event(index) {
                EventKind::Fx(rate) => EventKind::Fx(FxRate::from_raw(moved(rate.raw(), bps)).unwrap_or(rate)),
                EventKind::Snapshot {
                    bids: old_bids,
                    asks: old_asks,
                    complete,
                } => {
                    (bids, asks) = (moved_levels(old_bids, bps), moved_levels(old_asks, bps));
                    EventKind::Snapshot {
                        bids: &bids,
                        asks: &asks,
                        complete,
                    }
                }
                EventKind::Update {
                    bids: old_bids,
                    asks: old_asks,
                } => {
                    (bids, asks) = (moved_levels(old_bids, bps), moved_levels(old_asks, bps));
                    EventKind::Update {
                        bids: &bids,
                        asks: &asks,
                    }
                }
                EventKind::Trade { price, qty, taker } => EventKind::Trade {
                    price: moved_price(price, bps),
                    qty,
                    taker,
                },
                other => other,
            };
            joined.push(header.ts_event, header.ts_recv, event)?;
        }
    }
    Ok(joined.finish())
}

/// A constant rate as a series that moves once.
///
/// # Errors
/// Never: two events fit.
pub fn constant_with_shock(
    rate: FxRate,
    from: TimestampNs,
    since: TimestampNs,
    bps: f64,
) -> Result<Chunks, ChunkError> {
    let mut joined = Joined::new();
    joined.push(from, from, EventKind::Fx(rate))?;
    let later = FxRate::from_raw(moved(rate.raw(), bps)).unwrap_or(rate);
    joined.push(since, since, EventKind::Fx(later))?;
    Ok(joined.finish())
}

/// A raw price or rate changed by so many bps, rounded to the nearest 1e-8, never below the least one.
fn moved(raw: i64, bps: f64) -> i64 {
    let factor = i128::from(SCALE) + (bps * (SCALE as f64 / 10_000.0)).round() as i128;
    let wide = i128::from(raw) * factor + i128::from(SCALE / 2);
    i64::try_from(wide.div_euclid(i128::from(SCALE))).unwrap_or(raw).max(1)
}

fn moved_price(price: Price, bps: f64) -> Price {
    Price::from_raw(moved(price.raw(), bps)).unwrap_or(price)
}

/// All prices by one factor: levels keep their order and, above 1e-4 of a unit, their distinctness.
fn moved_levels(levels: &[Level], bps: f64) -> Vec<Level> {
    let level = |level: &Level| Level {
        price: moved_price(level.price, bps),
        qty: level.qty,
    };
    levels.iter().map(level).collect()
}
