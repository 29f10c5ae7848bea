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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::dataset::reader::{Dataset, ReadOptions};

    /// Everything of an event, as text.
    fn events(chunks: &[Arc<Chunk>]) -> Vec<String> {
        let of = |chunk: &Arc<Chunk>| -> Vec<String> {
            let headers = chunk.headers().iter().enumerate();
            headers
                .map(|(index, header)| format!("{} {} {:?}", header.ts_event.0, header.ts_recv.0, chunk.event(index)))
                .collect()
        };
        chunks.iter().flat_map(of).collect()
    }

    fn demo(name: &str) -> Dataset {
        Dataset::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets").join(name)).unwrap()
    }

    fn read(dataset: &Dataset, span: Option<Span>, memory: usize) -> Chunks {
        let options = ReadOptions {
            from: span.map(|(from, _)| from),
            to: span.map(|(_, to)| to),
            memory,
        };
        dataset.chunks(options).map(|chunk| chunk.unwrap()).collect()
    }

    fn whole(chunks: &[Arc<Chunk>]) -> Span {
        let first = chunks[0].headers()[0].ts_recv;
        let last = chunks.last().unwrap().headers().last().unwrap().ts_recv;
        (first, last.plus(1))
    }

    #[test]
    fn a_window_cut_in_memory_is_the_window_that_a_reader_gives() {
        for name in ["demo-upbit-krw-btc", "demo-binance-btcusdt", "demo-usdkrw"] {
            let dataset = demo(name);
            // Small chunks, so that windows begin and end within them, at their edges, and span several.
            let all = read(&dataset, None, 1 << 16);
            let (first, last) = whole(&all);
            let mut rng = crossbook_engine::rng::Rng::stream(3, name);
            let mut at = || first.plus(((rng.uniform() * 1.2 - 0.1) * last.since(first) as f64) as i64);
            let mut shared = 0;
            for round in 0..25 {
                let (a, b) = (at(), at());
                let span = match round {
                    0 => (first, last),
                    1 => (first.plus(-1), last.plus(1)),
                    2 => (a, a),
                    _ => (a.min(b), a.max(b)),
                };
                let cut = cut(&all, span).unwrap();
                assert_eq!(
                    events(&cut),
                    events(&read(&dataset, Some(span), 1 << 20)),
                    "{name} {span:?}"
                );
                shared += cut
                    .iter()
                    .filter(|chunk| all.iter().any(|known| Arc::ptr_eq(known, chunk)))
                    .count();
                // A window of a window is the window.
                let inner = (span.0.plus(span.1.since(span.0) / 3), span.1);
                let again = super::cut(&cut, inner).unwrap();
                assert_eq!(
                    events(&again),
                    events(&super::cut(&all, inner).unwrap()),
                    "{name} {inner:?}"
                );
            }
            assert!(shared > 25, "{name}: chunks are shared, not copied");
        }
    }

    #[test]
    fn an_outage_loses_messages_and_ends_with_the_book_as_it_stands() {
        let all = read(&demo("demo-binance-btcusdt"), None, 1 << 16);
        let span = whole(&all);
        let down = outages(span, 3, 0.02);
        assert_eq!(down.len(), 3);
        assert!(down.windows(2).all(|pair| pair[0].1 < pair[1].0));
        let cut_off = with_outages(&all, span, &down).unwrap();
        let mut last = TimestampNs::MIN;
        let mut found = 0;
        for chunk in &cut_off {
            for (index, header) in chunk.headers().iter().enumerate() {
                assert!(header.ts_event >= last && header.ts_event <= header.ts_recv);
                last = header.ts_event;
                let inside = down
                    .iter()
                    .any(|(from, to)| *from < header.ts_recv && header.ts_recv < *to);
                assert!(!inside || header.kind() == Kind::Funding, "{:?}", chunk.event(index));
                if let Some((_, up)) = down.iter().find(|(_, up)| header.ts_recv == *up)
                    && let EventKind::Snapshot { bids, asks, .. } = chunk.event(index)
                {
                    let fresh = cut(&all, (*up, span.1)).unwrap();
                    let EventKind::Snapshot {
                        bids: want_bids,
                        asks: want_asks,
                        ..
                    } = fresh[0].event(0)
                    else {
                        panic!("a window begins with a snapshot");
                    };
                    assert_eq!((bids, asks), (want_bids, want_asks));
                    found += 1;
                }
            }
        }
        assert_eq!(found, 3, "each outage ends with a snapshot");
        let statuses = events(&cut_off)
            .iter()
            .filter(|event| event.contains("Disconnected"))
            .count();
        assert_eq!(statuses, 3);
        assert!(events(&cut_off).len() < events(&all).len());
    }

    #[test]
    fn a_shock_moves_every_price_from_its_instant_on() {
        for name in ["demo-usdkrw", "demo-upbit-krw-btc"] {
            let all = read(&demo(name), None, 1 << 16);
            let span = whole(&all);
            let since = span.0.plus(span.1.since(span.0) / 3);
            let moved = with_shock(&all, span, since, 100.0).unwrap();
            let (before, after) = (cut(&all, (span.0, since)).unwrap(), cut(&all, (since, span.1)).unwrap());
            let all_events = events(&moved);
            let (head, tail) = all_events.split_at(events(&before).len());
            assert_eq!(head, events(&before), "{name}");
            assert_eq!(tail.len(), events(&after).len(), "{name}");
            assert_ne!(tail, events(&after), "{name}");
        }
        assert_eq!(super::moved(100_000_000, 100.0), 101_000_000);
        assert_eq!(super::moved(100_000_000, -100.0), 99_000_000);
        assert_eq!(super::moved(1, -5000.0), 1, "a price stays a price");
        let rate = FxRate::parse("1400").unwrap();
        let series = constant_with_shock(rate, TimestampNs(5), TimestampNs(50), -200.0).unwrap();
        let want = ["5 5 Fx(FxRate(140000000000))", "50 50 Fx(FxRate(137200000000))"];
        assert_eq!(events(&series), want);
    }
}
