//! What importers produce: messages of one or more streams, and an account of everything that came in.
//!
//! What always holds: `received = applied + ignored + quarantined`, and within a stream the receive time never goes
//! back, or the import stops (or reorders, within a bounded window, when it was asked to).

use std::collections::BTreeMap;

use crossbook_engine::book::sync::SequenceRule;
use crossbook_engine::units::TimestampNs;

use super::Options;
use super::error::{ImportError, Place, Problem};
use crate::dataset::manifest::{DatasetKind, EventTime, MarketRules};
use crate::dataset::message::Message;

/// One stream of an import: it becomes one dataset.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stream {
    /// Venue in lower case.
    pub venue: String,
    /// The venue's own spelling.
    pub symbol: String,
    /// What it carries.
    pub channel: Channel,
}

/// What a stream carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Channel {
    /// An order book, perhaps with trades among it.
    Book,
    /// Best bid and ask.
    Quotes,
    /// Trades.
    Trades,
    /// Exchange rates.
    Fx,
}

impl Channel {
    /// As the manifest spells it.
    pub fn dataset_kind(self) -> DatasetKind {
        match self {
            Channel::Book => DatasetKind::Book,
            Channel::Quotes => DatasetKind::Quotes,
            Channel::Trades => DatasetKind::Trades,
            Channel::Fx => DatasetKind::Fx,
        }
    }
}

impl Stream {
    /// Name of its dataset: `binance-btcusdt`, `upbit-krw-btc-trades`.
    pub fn dataset_name(&self) -> String {
        let suffix = match self.channel {
            Channel::Book | Channel::Fx => "",
            Channel::Quotes => "-quotes",
            Channel::Trades => "-trades",
        };
        let plain: String = format!("{}-{}", self.venue, self.symbol)
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() {
                    c.to_ascii_lowercase()
                } else {
                    '-'
                }
            })
            .collect();
        format!("{}{suffix}", plain.trim_matches('-'))
    }
}

/// What a format knows of the numbering and clocks of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traits {
    /// How its messages are numbered.
    pub sequence: SequenceRule,
    /// Where `ts_event` comes from.
    pub event_time: EventTime,
}

/// Everything that came in, and what became of it. For captures the unit is a frame, for tables a row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    /// How many there were.
    pub received: u64,
    /// How many went into a dataset, or changed what goes into it.
    pub applied: u64,
    /// How many were passed over, by reason.
    pub ignored: BTreeMap<String, u64>,
    /// How many could not be read; each is kept in the quarantine file.
    pub quarantined: u64,
    /// Quantities that were cut to 1e-8, of rows that were applied (`--cut-sizes`).
    pub cut_sizes: u64,
}

impl Account {
    /// Whether `received = applied + ignored + quarantined`.
    pub fn balances(&self) -> bool {
        self.received == self.applied + self.ignored.values().sum::<u64>() + self.quarantined
    }

    /// One was passed over.
    pub fn ignore(&mut self, reason: &str) {
        self.ignore_many(reason, 1);
    }

    /// Several were passed over for one reason.
    pub fn ignore_many(&mut self, reason: &str, count: u64) {
        if count > 0 {
            *self.ignored.entry(reason.to_owned()).or_default() += count;
        }
    }
}

/// A frame that could not be read, as it came.
#[derive(Debug)]
pub struct Quarantined<'a> {
    /// Where it stood.
    pub place: Place,
    /// When it was received, if that much could be read.
    pub ts_recv: Option<TimestampNs>,
    /// Why it was refused.
    pub reason: String,
    /// Its bytes.
    pub raw: &'a [u8],
}

/// Takes what an import produces.
pub trait Sink {
    /// A message of a stream; receive times of a stream never go back.
    ///
    /// # Errors
    /// When it cannot be written.
    fn message(&mut self, stream: &Stream, message: &Message) -> Result<(), ImportError>;

    /// A frame that could not be read.
    ///
    /// # Errors
    /// When it cannot be written.
    fn quarantine(&mut self, frame: &Quarantined<'_>) -> Result<(), ImportError>;
}

/// What is known of a stream at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Which.
    pub stream: Stream,
    /// Its numbering and clocks.
    pub traits: Traits,
    /// Messages written.
    pub messages: u64,
    /// Smallest `ts_recv - ts_event` in ns over messages that carry an exchange time of their own.
    pub min_latency_ns: Option<i64>,
    /// Messages that an earlier receive time had to be waited for (`--reorder-ms`).
    pub reordered: u64,
    /// Rules of its market, where the input states them.
    pub rules: Option<MarketRules>,
}

struct StreamState {
    traits: Traits,
    messages: u64,
    min_latency_ns: Option<i64>,
    reordered: u64,
    rules: Option<MarketRules>,
    /// Messages held back for reordering, by receive time and arrival.
    held: BTreeMap<(TimestampNs, u64), Message>,
    newest: TimestampNs,
    arrivals: u64,
}

impl StreamState {
    fn note_latency(&mut self, latency_ns: i64) {
        self.min_latency_ns = Some(self.min_latency_ns.map_or(latency_ns, |least| least.min(latency_ns)));
    }
}

/// Where an importer puts its messages.
pub struct Output<'a> {
    sink: &'a mut dyn Sink,
    symbols: &'a [String],
    reorder_ns: i64,
    streams: BTreeMap<Stream, StreamState>,
    /// The account so far.
    pub account: Account,
}

impl<'a> Output<'a> {
    /// An output that keeps to the symbols and the reordering window of the options.
    pub fn new(options: &'a Options, sink: &'a mut dyn Sink) -> Output<'a> {
        Output {
            sink,
            symbols: &options.symbols,
            reorder_ns: options.reorder_ns,
            streams: BTreeMap::new(),
            account: Account::default(),
        }
    }

    /// Whether this symbol was asked for.
    pub fn wants(&self, symbol: &str) -> bool {
        self.symbols.is_empty() || self.symbols.iter().any(|wanted| wanted.eq_ignore_ascii_case(symbol))
    }

    /// Adds a message. `exchange_time` says whether `ts_event` was told by the exchange for this very message, so that
    /// it may serve to estimate the clock offset. `place` is called only for an error.
    ///
    /// # Errors
    /// When the receive time goes back (further than the reordering window), or the sink fails.
    pub fn emit(
        &mut self,
        stream: &Stream,
        traits: Traits,
        message: &Message,
        exchange_time: bool,
        place: impl FnOnce() -> Place,
    ) -> Result<(), ImportError> {
        if !self.streams.contains_key(stream) {
            self.streams.insert(
                stream.clone(),
                StreamState {
                    traits,
                    messages: 0,
                    min_latency_ns: None,
                    reordered: 0,
                    rules: None,
                    held: BTreeMap::new(),
                    newest: TimestampNs::MIN,
                    arrivals: 0,
                },
            );
        }
        let Some(state) = self.streams.get_mut(stream) else {
            unreachable!("it was just added")
        };
        if exchange_time && traits.event_time == EventTime::Exchange {
            state.note_latency(message.ts_recv.since(message.ts_event));
        }
        // Without a window the newest is also the last that was given out.
        if message.ts_recv < state.newest.plus(-self.reorder_ns) {
            return Err(ImportError::Bad {
                place: place(),
                problem: Problem::Unsorted {
                    last: state.newest.0,
                    found: message.ts_recv.0,
                },
            });
        }
        if self.reorder_ns == 0 {
            state.newest = message.ts_recv;
            state.messages += 1;
            return self.sink.message(stream, message);
        }
        state.reordered += u64::from(message.ts_recv < state.newest);
        state.newest = state.newest.max(message.ts_recv);
        state.held.insert((message.ts_recv, state.arrivals), message.clone());
        state.arrivals += 1;
        let ripe = state.newest.plus(-self.reorder_ns);
        while let Some(first) = state.held.first_entry().filter(|first| first.key().0 <= ripe) {
            let message = first.remove();
            state.messages += 1;
            self.sink.message(stream, &message)?;
        }
        Ok(())
    }

    /// A latency of a stream that was seen otherwise than by [`Output::emit`].
    pub fn note_latency(&mut self, stream: &Stream, latency_ns: i64) {
        if let Some(state) = self.streams.get_mut(stream) {
            state.note_latency(latency_ns);
        }
    }

    /// What the input says of the rules of a stream's market; passed over when the stream has no messages.
    pub fn set_rules(&mut self, stream: &Stream, rules: MarketRules) {
        if let Some(state) = self.streams.get_mut(stream) {
            state.rules = Some(rules);
        }
    }

    /// Puts a frame aside that could not be read.
    ///
    /// # Errors
    /// When the sink fails.
    pub fn quarantine(&mut self, frame: &Quarantined<'_>) -> Result<(), ImportError> {
        self.account.quarantined += 1;
        self.sink.quarantine(frame)
    }

    /// Writes what is still held back, and gives the summaries in the order of the streams' names.
    ///
    /// # Errors
    /// When the sink fails.
    pub fn finish(mut self) -> Result<(Vec<Summary>, Account), ImportError> {
        let mut summaries = Vec::new();
        for (stream, mut state) in std::mem::take(&mut self.streams) {
            for message in std::mem::take(&mut state.held).into_values() {
                state.messages += 1;
                self.sink.message(&stream, &message)?;
            }
            summaries.push(Summary {
                stream,
                traits: state.traits,
                messages: state.messages,
                min_latency_ns: state.min_latency_ns,
                reordered: state.reordered,
                rules: state.rules,
            });
        }
        Ok((summaries, self.account))
    }
}
