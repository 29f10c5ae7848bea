//! What a dataset looks like: span, counts, silences, latency, clock, spread, and a picture of the spread.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crossbook_engine::book::sync::Verdict;
use crossbook_engine::event::{EventKind, Kind};
use crossbook_engine::units::{Bps, TimestampNs};
use serde::Serialize;

use super::DatasetError;
use super::distribution::Distribution;
use super::manifest::{EventTime, Span, rfc3339};
use super::reader::Dataset;
use super::scan::{Seen, scan};

/// How many silences and gaps are named.
const KEPT: usize = 5;
/// How many stretches of time a picture has, one column of pixels each.
pub const COLUMNS: usize = 1_000;

/// A stretch without messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Silence {
    /// When the last message before it was received.
    pub since: String,
    /// How long it lasted, in ns.
    pub ns: i64,
}

/// A place where messages of the venue are missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SequenceGap {
    /// Row of the message that shows it.
    pub row: u64,
    /// When that was received.
    pub at: String,
    /// The number that was due.
    pub expected: u64,
    /// The number that came.
    pub found: u64,
}

/// Quantiles, each to within 0.02 % of its value; the ends are exact.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Quantiles {
    /// How many values.
    pub count: u64,
    /// Smallest.
    pub min: f64,
    /// A tenth of a percent is not larger.
    pub p0_1: f64,
    /// One percent is not larger.
    pub p1: f64,
    /// Half is not larger.
    pub p50: f64,
    /// 95 % are not larger.
    pub p95: f64,
    /// 99 % are not larger.
    pub p99: f64,
    /// Largest.
    pub max: f64,
    /// Arithmetic mean.
    pub mean: f64,
}

impl Quantiles {
    fn of(distribution: &Distribution, unit: f64) -> Option<Quantiles> {
        let (min, max) = distribution.range()?;
        let at = |share| distribution.quantile(share).map(|value| value as f64 / unit);
        Some(Quantiles {
            count: distribution.count(),
            min: min as f64 / unit,
            p0_1: at(0.001)?,
            p1: at(0.01)?,
            p50: at(0.5)?,
            p95: at(0.95)?,
            p99: at(0.99)?,
            max: max as f64 / unit,
            mean: distribution.mean()? / unit,
        })
    }
}

/// What the stamps say of the recorder's clock.
///
/// Receipt minus exchange time is latency plus the offset of the recorder's clock from the exchange's, and no latency is
/// below the shortest possible one. So the smallest difference seen, less that shortest latency, is the largest offset
/// that makes no message arrive before it happened; the true one may be smaller by what the fastest message really took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClockEstimate {
    /// Recorder's clock minus the exchange's, in ns.
    pub offset_ns: i64,
    /// The same from the first and from the last tenth of the messages, in ns: they differ when the clocks drift.
    pub first_tenth_ns: i64,
    /// See [`ClockEstimate::first_tenth_ns`].
    pub last_tenth_ns: i64,
    /// What the manifest says now.
    pub manifest_ns: i64,
    /// Messages that the manifest's offset lets arrive before they happened.
    pub ahead: u64,
    /// The line for `dataset.toml`.
    pub line: String,
    /// Whether the manifest should have that line: messages arrive before they happened.
    pub needed: bool,
}

/// A stretch of time for the picture.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Column {
    /// Its middle, by time of receipt.
    pub at: TimestampNs,
    /// Smallest spread in bps (or rate) in it.
    pub low: f64,
    /// Mean over the book's changes.
    pub mean: f64,
    /// Largest.
    pub high: f64,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Inspection {
    /// The folder.
    pub dataset: String,
    /// Venue and symbol.
    pub market: String,
    /// From when to when; `None` when there is no message.
    pub span: Option<Span>,
    /// Messages.
    pub messages: u64,
    /// Level changes.
    pub rows: u64,
    /// Messages by kind.
    pub kinds: BTreeMap<Kind, u64>,
    /// What the import left out, by reason.
    pub dropped: BTreeMap<String, u64>,
    /// Rows that say nothing: see `dataset validate`.
    pub bad_rows: u64,
    /// Rows received before the row before them.
    pub out_of_order_recv: u64,
    /// Rows that happened before the row before them.
    pub out_of_order_event: u64,
    /// The longest silences, longest first.
    pub silences: Vec<Silence>,
    /// How many gaps in the venue's numbering.
    pub gaps: u64,
    /// The first of them.
    pub first_gaps: Vec<SequenceGap>,
    /// Messages that were in the book already.
    pub old: u64,
    /// Updates before the first snapshot or between a gap and the next.
    pub before_snapshot: u64,
    /// How often the book became crossed or locked.
    pub crossed: u64,
    /// Receipt minus exchange time as recorded, in ms; `None` when the source has no exchange time.
    pub latency_ms: Option<Quantiles>,
    /// What follows for the clock.
    pub clock: Option<ClockEstimate>,
    /// Best ask minus best bid over their middle in bps, at each change of a book that can be priced.
    pub spread_bps: Option<Quantiles>,
    /// The picture's data: spread, or rate of a rate series.
    #[serde(skip)]
    pub picture: Vec<Column>,
}

/// Looks at the whole dataset. `shortest_latency_ns` is taken off the estimate of the clock offset; `progress` is told
/// the rows done and says whether to go on.
///
/// # Errors
/// A part of the file cannot be read or decoded, or [`DatasetError::Stopped`].
pub fn inspect(
    dataset: &Dataset,
    shortest_latency_ns: i64,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<Inspection, DatasetError> {
    let mut inspector = Inspector::new(dataset);
    scan(dataset, progress, |seen| inspector.row(seen))?;
    Ok(inspector.finish(dataset, shortest_latency_ns))
}

struct Inspector {
    has_event_time: bool,
    start: i64,
    width: i64,
    tenth: u64,
    messages: u64,
    bad_rows: u64,
    last: Option<(i64, i64)>,
    out_of_order: (u64, u64),
    silences: Vec<(i64, i64)>,
    gaps: u64,
    first_gaps: Vec<SequenceGap>,
    old: u64,
    before_snapshot: u64,
    crossed: u64,
    latency: Distribution,
    first_tenth: Distribution,
    last_tenth: Distribution,
    ahead: u64,
    spread: Distribution,
    columns: Vec<Sum>,
}

#[derive(Clone, Copy)]
struct Sum {
    count: u64,
    total: f64,
    low: f64,
    high: f64,
}

impl Inspector {
    fn new(dataset: &Dataset) -> Inspector {
        let manifest = dataset.manifest();
        let span = manifest
            .span
            .as_ref()
            .map_or((0, 0), |s| (s.first_recv_ns, s.last_recv_ns));
        let empty = Sum {
            count: 0,
            total: 0.0,
            low: f64::INFINITY,
            high: f64::NEG_INFINITY,
        };
        Inspector {
            has_event_time: manifest.event_time == EventTime::Exchange,
            start: span.0,
            width: (span.1.saturating_sub(span.0) / COLUMNS as i64).saturating_add(1),
            tenth: manifest.counts.messages.div_ceil(10),
            messages: 0,
            bad_rows: 0,
            last: None,
            out_of_order: (0, 0),
            silences: Vec::new(),
            gaps: 0,
            first_gaps: Vec::new(),
            old: 0,
            before_snapshot: 0,
            crossed: 0,
            latency: Distribution::default(),
            first_tenth: Distribution::default(),
            last_tenth: Distribution::default(),
            ahead: 0,
            spread: Distribution::default(),
            columns: vec![empty; COLUMNS],
        }
    }

    fn row(&mut self, seen: &Seen<'_>) {
        let (recv, event) = (seen.raw.ts_recv, seen.raw.ts_event);
        self.bad_rows += u64::from(seen.event.is_err());
        if let Some((last_recv, last_event)) = self.last {
            self.out_of_order.0 += u64::from(recv < last_recv);
            self.out_of_order.1 += u64::from(event < last_event);
            self.silence(last_recv, recv.saturating_sub(last_recv));
        }
        self.last = Some((recv, event));
        // Feed status and the like are stamped by the recorder itself.
        let by_exchange = seen.raw.kind <= Kind::Trade as u8;
        if self.has_event_time && by_exchange {
            let latency = recv.saturating_sub(event);
            self.latency.add(latency);
            if self.messages < self.tenth {
                self.first_tenth.add(latency);
            }
            if self.messages >= self.tenth * 9 {
                self.last_tenth.add(latency);
            }
            self.ahead += u64::from(seen.ts_event.0 > recv);
        }
        self.messages += 1;
        match seen.verdict {
            Some(Verdict::Gap { expected, found }) => {
                self.gaps += 1;
                if self.first_gaps.len() < KEPT {
                    self.first_gaps.push(SequenceGap {
                        row: seen.row,
                        at: rfc3339(TimestampNs(recv)),
                        expected,
                        found,
                    });
                }
            }
            Some(Verdict::Old) => self.old += 1,
            Some(Verdict::BeforeSnapshot) => self.before_snapshot += 1,
            Some(Verdict::Apply) => self.top(seen, recv),
            None => {}
        }
        if let Ok(EventKind::Fx(rate)) = seen.event {
            self.draw(recv, rate.to_f64());
        }
        self.crossed = seen.book.crossed_count();
    }

    fn top(&mut self, seen: &Seen<'_>, recv: i64) {
        if let Ok((bid, ask)) = seen.book.top() {
            let (bid, ask) = (bid.price.raw() as f64, ask.price.raw() as f64);
            let spread = Bps::from_ratio((ask - bid) / (0.5 * (ask + bid)));
            self.spread.add(spread.raw());
            self.draw(recv, spread.to_f64());
        }
    }

    fn draw(&mut self, recv: i64, value: f64) {
        let index = recv.saturating_sub(self.start).max(0) / self.width;
        if let Some(sum) = usize::try_from(index)
            .ok()
            .and_then(|index| self.columns.get_mut(index))
        {
            sum.count += 1;
            sum.total += value;
            sum.low = sum.low.min(value);
            sum.high = sum.high.max(value);
        }
    }

    fn silence(&mut self, since: i64, ns: i64) {
        let shortest = self.silences.last().map_or(0, |&(_, ns)| ns);
        if ns > 0 && (self.silences.len() < KEPT || ns > shortest) {
            self.silences.push((since, ns));
            self.silences.sort_by_key(|&(_, ns)| Reverse(ns));
            self.silences.truncate(KEPT);
        }
    }

    fn finish(self, dataset: &Dataset, shortest_latency_ns: i64) -> Inspection {
        let manifest = dataset.manifest();
        let clock = self.clock(manifest.clock_offset_ns, shortest_latency_ns);
        let picture = self.columns.iter().enumerate().filter(|(_, sum)| sum.count > 0);
        Inspection {
            dataset: dataset.dir().display().to_string(),
            market: format!("{} {}", manifest.venue, manifest.symbol),
            span: manifest.span.clone(),
            messages: self.messages,
            rows: manifest.counts.rows,
            kinds: manifest.counts.kinds.clone(),
            dropped: manifest.dropped.clone(),
            bad_rows: self.bad_rows,
            out_of_order_recv: self.out_of_order.0,
            out_of_order_event: self.out_of_order.1,
            silences: self
                .silences
                .iter()
                .map(|&(since, ns)| Silence {
                    since: rfc3339(TimestampNs(since)),
                    ns,
                })
                .collect(),
            gaps: self.gaps,
            first_gaps: self.first_gaps,
            old: self.old,
            before_snapshot: self.before_snapshot,
            crossed: self.crossed,
            latency_ms: Quantiles::of(&self.latency, 1e6),
            clock,
            spread_bps: Quantiles::of(&self.spread, 1e4),
            picture: picture
                .map(|(index, sum)| Column {
                    at: TimestampNs(self.start).plus(index as i64 * self.width + self.width / 2),
                    low: sum.low,
                    mean: sum.total / sum.count as f64,
                    high: sum.high,
                })
                .collect(),
        }
    }

    fn clock(&self, manifest_ns: i64, shortest_latency_ns: i64) -> Option<ClockEstimate> {
        let offset = |distribution: &Distribution| {
            let (fastest, _) = distribution.range()?;
            Some(fastest.saturating_sub(shortest_latency_ns))
        };
        let offset_ns = offset(&self.latency)?;
        Some(ClockEstimate {
            offset_ns,
            first_tenth_ns: offset(&self.first_tenth).unwrap_or(offset_ns),
            last_tenth_ns: offset(&self.last_tenth).unwrap_or(offset_ns),
            manifest_ns,
            ahead: self.ahead,
            line: format!("clock_offset_ns = {offset_ns}"),
            needed: self.ahead > 0,
        })
    }
}
