//! A synthetic market as chunks in memory, as a reader would give them, without a file in between.

use std::convert::Infallible;

use crossbook_engine::event::{Chunk, EventKind, FeedStatus, Kind};
use crossbook_engine::instrument::Side;
use crossbook_engine::units::{FxRate, Price, TimestampNs};

use super::spec::Spec;
use super::{SynthError, generate, streams};
use crate::dataset::manifest::Draft;
use crate::dataset::message::Message;

/// Events in one chunk.
const CHUNK_EVENTS: usize = 1 << 16;

/// The market of this specification with this seed: each stream's description and its events, in the order of
/// [`streams`]. Times are as a reader of the dataset would give them: the declared clock offset is applied, `ts_event`
/// never goes back and never lies after `ts_recv`.
///
/// # Errors
/// As [`generate`], and a chunk that cannot address its levels.
pub fn market_in_memory(spec: &Spec, seed: u64) -> Result<Vec<(Draft, Vec<Chunk>)>, SynthError> {
    let spec = spec.with_seed(seed);
    let drafts = streams(&spec)?;
    let mut collectors: Vec<Collector> = drafts
        .iter()
        .map(|draft| Collector::new(draft.clock_offset_ns))
        .collect();
    let mut sink = |stream: usize, message: &Message| -> Result<(), crossbook_engine::event::ChunkError> {
        collectors[stream].push(message)
    };
    generate(&spec, &mut sink).map_err(|error| match error {
        SynthError::Sink(full) => SynthError::Chunk(full),
        other => other.without_sink(),
    })?;
    Ok(drafts
        .into_iter()
        .zip(collectors)
        .map(|(draft, collector)| (draft, collector.chunks))
        .collect())
}

impl<E> SynthError<E> {
    /// For an error that is not the sink's.
    fn without_sink(self) -> SynthError<Infallible> {
        match self {
            SynthError::Spec(error) => SynthError::Spec(error),
            SynthError::Candles(error) => SynthError::Candles(error),
            SynthError::Price { key, at, price } => SynthError::Price { key, at, price },
            SynthError::Chunk(error) => SynthError::Chunk(error),
            SynthError::Sink(_) => unreachable!("the caller has taken the sink's errors out"),
        }
    }
}

struct Collector {
    clock_offset_ns: i64,
    last_event: TimestampNs,
    chunks: Vec<Chunk>,
}

impl Collector {
    fn new(clock_offset_ns: i64) -> Collector {
        Collector {
            clock_offset_ns,
            last_event: TimestampNs::MIN,
            chunks: Vec::new(),
        }
    }

    fn push(&mut self, message: &Message) -> Result<(), crossbook_engine::event::ChunkError> {
        let ts_recv = message.ts_recv;
        let ts_event = message
            .ts_event
            .plus(self.clock_offset_ns)
            .max(self.last_event)
            .min(ts_recv);
        self.last_event = ts_event;
        if self.chunks.last().is_none_or(|chunk| chunk.len() >= CHUNK_EVENTS) {
            self.chunks.push(Chunk::default());
        }
        match self.chunks.last_mut() {
            Some(chunk) => chunk.push(ts_event, ts_recv, event(message)),
            None => Ok(()),
        }
    }
}

/// A message of the generator as an event.
pub(super) fn event(message: &Message) -> EventKind<'_> {
    let (bids, asks) = (message.bids.as_slice(), message.asks.as_slice());
    match (message.kind, message.values.as_slice(), bids, asks) {
        (Kind::Snapshot | Kind::CompleteSnapshot, ..) => EventKind::Snapshot {
            bids,
            asks,
            complete: message.kind == Kind::CompleteSnapshot,
        },
        (Kind::Update, ..) => EventKind::Update { bids, asks },
        (Kind::Trade, _, [level], _) => EventKind::Trade {
            price: level.price,
            qty: level.qty,
            taker: Side::Buy,
        },
        (Kind::Trade, _, _, [level]) => EventKind::Trade {
            price: level.price,
            qty: level.qty,
            taker: Side::Sell,
        },
        (Kind::Fx, &[rate], ..) if let Ok(rate) = FxRate::from_raw(rate) => EventKind::Fx(rate),
        (Kind::Funding, &[rate, mark], ..) if let Ok(mark) = Price::from_raw(mark) => EventKind::Funding { rate, mark },
        (Kind::Status, &[code], ..) if let Some(status) = FeedStatus::from_code(code) => EventKind::Status(status),
        _ => unreachable!("the generator makes no other shapes"),
    }
}
