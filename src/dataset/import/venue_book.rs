//! Raw captures of Binance and Upbit: frames to messages, with Binance's bridging of REST snapshots and diffs.
//!
//! Binance's diffs that come before a snapshot are kept; the snapshot enters at its own receive time, and the kept diffs
//! that go past it enter right behind it at that same time. Whether a diff continues the book is
//! [`crossbook_engine::book::sync`]'s verdict. After a gap, diffs are kept again until the next snapshot.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crossbook_engine::book::sync::{MessageIds, SequenceRule, Sync, Verdict};
use crossbook_engine::event::{FeedStatus, Kind};
use crossbook_engine::units::TimestampNs;

use super::capture::{Line, parse as parse_line};
use super::error::{ImportError, Place};
use super::input::{Input, Lines};
use super::output::{Channel, Output, Quarantined, Stream, Traits};
use super::{Importer, Options};
use crate::dataset::manifest::EventTime;
use crate::dataset::message::Message;
use crate::feed::wire::{binance, upbit};

/// A day of a busy market's diffs; beyond it the oldest are given up, so a snapshot that late would find a gap.
const MOST_KEPT: usize = 1 << 20;

/// What became of a frame whose bytes could be read.
pub(super) enum Fate {
    /// It went into a dataset.
    Applied,
    /// It is kept until a snapshot comes: the account is settled then.
    Kept,
    /// It was passed over.
    Ignored(String),
    /// It cannot be used, for this reason.
    Quarantined(String),
}

/// Reads the lines of a capture, hands each frame on, and keeps the account.
pub(super) fn read_capture(
    input: Input<'_>,
    output: &mut Output<'_>,
    mut frame: impl FnMut(&Line<'_>, &Place, &mut Output<'_>) -> Result<Vec<Fate>, ImportError>,
) -> Result<(), ImportError> {
    let mut lines = Lines::new(input);
    while lines.advance()? {
        let place = lines.place();
        let raw = lines.line();
        let quarantine = |output: &mut Output<'_>, ts_recv, reason| {
            output.quarantine(&Quarantined {
                place: lines.place(),
                ts_recv,
                reason,
                raw,
            })
        };
        let line = match parse_line(raw) {
            Ok(line) => line,
            Err(error) => {
                output.account.received += 1;
                quarantine(output, None, error.to_string())?;
                continue;
            }
        };
        let ts_recv = match &line {
            Line::Received { ts_recv, .. } => Some(*ts_recv),
            Line::Connected { .. } | Line::Note => None,
        };
        for fate in frame(&line, &place, output)? {
            output.account.received += 1;
            match fate {
                Fate::Applied => output.account.applied += 1,
                Fate::Kept => {}
                Fate::Ignored(reason) => output.account.ignore(&reason),
                Fate::Quarantined(reason) => quarantine(output, ts_recv, reason)?,
            }
        }
    }
    Ok(())
}

/// Reads Binance captures.
pub struct BinanceCapture<'a> {
    options: &'a Options,
    books: BTreeMap<String, DiffBook>,
    /// Symbols that frames named, for REST answers that name none.
    seen: BTreeSet<String>,
}

impl<'a> BinanceCapture<'a> {
    /// With these options.
    pub fn new(options: &'a Options) -> BinanceCapture<'a> {
        BinanceCapture {
            options,
            books: BTreeMap::new(),
            seen: BTreeSet::new(),
        }
    }

    fn venue(&self, symbol: &str, futures: bool) -> String {
        self.options.venue_or(match (futures, symbol.contains('_')) {
            (false, _) => "binance",
            (true, false) => "binance-usdm",
            (true, true) => "binance-coinm",
        })
    }

    fn frame(
        &mut self,
        ts_recv: TimestampNs,
        url: Option<&str>,
        bytes: &[u8],
        place: &Place,
        output: &mut Output<'_>,
    ) -> Result<Fate, ImportError> {
        let frame = match binance::parse(bytes) {
            Ok(frame) => frame,
            Err(error) => return Ok(Fate::Quarantined(error.to_string())),
        };
        let at = || place.clone();
        match frame.body {
            binance::Body::Other(kind) => Ok(Fate::Ignored(format!("other kind: {kind}"))),
            binance::Body::Depth(depth) => {
                self.see(&depth.symbol);
                if !self.options.channels.depth {
                    return Ok(Fate::Ignored("other stream: depthUpdate".to_owned()));
                }
                if !output.wants(&depth.symbol) {
                    return Ok(Fate::Ignored("other symbol".to_owned()));
                }
                let futures = depth.prev.is_some();
                let venue = self.venue(&depth.symbol, futures);
                let rule = if futures {
                    SequenceRule::BinanceFutures
                } else {
                    SequenceRule::BinanceSpot
                };
                let mut message = Message::new(Kind::Update, depth.ts_event, ts_recv);
                (message.seq_first, message.seq_last, message.seq_prev) =
                    (Some(depth.first), Some(depth.last), depth.prev);
                (message.bids, message.asks) = (depth.bids, depth.asks);
                let book = match self.books.entry(depth.symbol.into_owned()) {
                    std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                    std::collections::btree_map::Entry::Vacant(entry) => {
                        let stream = Stream {
                            venue,
                            symbol: entry.key().clone(),
                            channel: Channel::Book,
                        };
                        entry.insert(DiffBook::new(stream, rule))
                    }
                };
                book.diff(message, at, output)
            }
            binance::Body::Snapshot(snapshot) => {
                let by_stream = frame.stream.as_deref().and_then(|name| name.split('@').next());
                let named = snapshot.symbol.as_deref().or(by_stream).or(url.and_then(symbol_of));
                let symbol = match (named, self.seen.first(), self.options.symbols.as_slice()) {
                    (Some(named), ..) => named.to_uppercase(),
                    (None, Some(only), _) if self.seen.len() == 1 => only.clone(),
                    (None, None, [only]) => only.clone(),
                    _ => {
                        return Ok(Fate::Quarantined(
                            "a depth answer that names no symbol, among several".to_owned(),
                        ));
                    }
                };
                if !self.options.channels.depth {
                    return Ok(Fate::Ignored("other stream: depth answer".to_owned()));
                }
                if !output.wants(&symbol) {
                    return Ok(Fate::Ignored("other symbol".to_owned()));
                }
                let kind = if self.options.complete {
                    Kind::CompleteSnapshot
                } else {
                    Kind::Snapshot
                };
                let mut message = Message::new(kind, snapshot.ts_event.unwrap_or(ts_recv), ts_recv);
                message.seq_last = Some(snapshot.last);
                (message.bids, message.asks) = (snapshot.bids, snapshot.asks);
                let futures = snapshot.ts_event.is_some();
                let venue = self.venue(&symbol, futures);
                let rule = if futures {
                    SequenceRule::BinanceFutures
                } else {
                    SequenceRule::BinanceSpot
                };
                let stream = Stream {
                    venue,
                    symbol: symbol.clone(),
                    channel: Channel::Book,
                };
                let book = self.books.entry(symbol).or_insert_with(|| DiffBook::new(stream, rule));
                book.snapshot(message, snapshot.ts_event.is_some(), at, output)
            }
            binance::Body::Ticker(ticker) => {
                self.see(&ticker.symbol);
                if !self.options.channels.ticker {
                    return Ok(Fate::Ignored("other stream: bookTicker".to_owned()));
                }
                if !output.wants(&ticker.symbol) {
                    return Ok(Fate::Ignored("other symbol".to_owned()));
                }
                let futures = ticker.ts_event.is_some();
                let mut message = Message::new(Kind::Snapshot, ticker.ts_event.unwrap_or(ts_recv), ts_recv);
                message.seq_last = Some(ticker.id);
                message.bids.extend(ticker.bid);
                message.asks.extend(ticker.ask);
                let stream = Stream {
                    venue: self.venue(&ticker.symbol, futures),
                    symbol: ticker.symbol.into_owned(),
                    channel: Channel::Quotes,
                };
                let event_time = if futures { EventTime::Exchange } else { EventTime::Recv };
                let traits = Traits {
                    sequence: SequenceRule::None,
                    event_time,
                };
                output.emit(&stream, traits, &message, futures, at)?;
                Ok(Fate::Applied)
            }
            binance::Body::Trade(trade) => {
                self.see(&trade.symbol);
                if !self.options.channels.trade {
                    return Ok(Fate::Ignored("other stream: trade".to_owned()));
                }
                if !output.wants(&trade.symbol) {
                    return Ok(Fate::Ignored("other symbol".to_owned()));
                }
                let channel = if self.options.channels.depth {
                    Channel::Book
                } else {
                    Channel::Trades
                };
                let stream = Stream {
                    venue: self.venue(&trade.symbol, !trade.spot),
                    symbol: trade.symbol.into_owned(),
                    channel,
                };
                let sequence = match (channel, trade.spot) {
                    (Channel::Book, true) => SequenceRule::BinanceSpot,
                    (Channel::Book, false) => SequenceRule::BinanceFutures,
                    _ => SequenceRule::None,
                };
                let traits = Traits {
                    sequence,
                    event_time: EventTime::Exchange,
                };
                let message = Message::trade(trade.ts_event, ts_recv, trade.level.price, trade.level.qty, trade.taker);
                output.emit(&stream, traits, &message, true, at)?;
                Ok(Fate::Applied)
            }
        }
    }

    fn see(&mut self, symbol: &str) {
        if !self.seen.contains(symbol) {
            self.seen.insert(symbol.to_owned());
        }
    }
}

impl Importer for BinanceCapture<'_> {
    fn read(&mut self, input: Input<'_>, output: &mut Output<'_>) -> Result<(), ImportError> {
        read_capture(input, output, |line, place, output| match line {
            Line::Received {
                ts_recv, url, frame, ..
            } => self
                .frame(*ts_recv, url.as_deref(), frame, place, output)
                .map(|fate| vec![fate]),
            Line::Connected { .. } | Line::Note => Ok(Vec::new()),
        })
    }

    fn finish(&mut self, output: &mut Output<'_>) -> Result<(), ImportError> {
        for book in self.books.values_mut() {
            output.account.ignore_many("no snapshot to apply it to", book.kept());
        }
        Ok(())
    }
}

/// `symbol` out of a REST address.
fn symbol_of(url: &str) -> Option<&str> {
    let (_, query) = url.split_once('?')?;
    query.split('&').find_map(|pair| pair.strip_prefix("symbol="))
}

/// One book that is told by snapshots and diffs.
pub(super) struct DiffBook {
    stream: Stream,
    traits: Traits,
    sync: Sync,
    kept: VecDeque<Message>,
    newest_event: Option<TimestampNs>,
}

impl DiffBook {
    pub(super) fn new(stream: Stream, sequence: SequenceRule) -> DiffBook {
        DiffBook {
            stream,
            traits: Traits {
                sequence,
                event_time: EventTime::Exchange,
            },
            sync: Sync::new(sequence),
            kept: VecDeque::new(),
            newest_event: None,
        }
    }

    /// How many diffs are kept for a later snapshot.
    pub(super) fn kept(&self) -> u64 {
        self.kept.len() as u64
    }

    pub(super) fn diff(
        &mut self,
        message: Message,
        place: impl Fn() -> Place,
        output: &mut Output<'_>,
    ) -> Result<Fate, ImportError> {
        self.newest_event = self.newest_event.max(Some(message.ts_event));
        match self.sync.update(ids(&message)) {
            Verdict::Apply => {
                output.emit(&self.stream, self.traits, &message, true, place)?;
                Ok(Fate::Applied)
            }
            Verdict::Old => Ok(Fate::Ignored("already in the book".to_owned())),
            Verdict::BeforeSnapshot => {
                self.keep(message, output);
                Ok(Fate::Kept)
            }
            Verdict::Gap { .. } => {
                self.lose(message.ts_recv, place, output)?;
                self.keep(message, output);
                Ok(Fate::Kept)
            }
        }
    }

    /// `exchange_time`: whether the snapshot says itself when it was made.
    pub(super) fn snapshot(
        &mut self,
        mut message: Message,
        exchange_time: bool,
        place: impl Fn() -> Place,
        output: &mut Output<'_>,
    ) -> Result<Fate, ImportError> {
        if !exchange_time {
            // Spot snapshots carry no time. The first diff that goes past one is no earlier than it; without such a
            // diff, the newest one is the best guess on the same clock.
            let past = self
                .kept
                .iter()
                .find(|diff| diff.seq_last > message.seq_last)
                .map(|diff| diff.ts_event);
            message.ts_event = past.or(self.newest_event).unwrap_or(message.ts_recv);
        }
        if self.sync.snapshot(ids(&message)) != Verdict::Apply {
            return Ok(Fate::Ignored("snapshot older than the book".to_owned()));
        }
        let ts_recv = message.ts_recv;
        output.emit(&self.stream, self.traits, &message, exchange_time, &place)?;
        while let Some(diff) = self.kept.front_mut() {
            match self.sync.update(ids(diff)) {
                Verdict::Apply => {
                    // From here on its time of receipt is the snapshot's; its latency was that of its own.
                    output.note_latency(&self.stream, diff.ts_recv.since(diff.ts_event));
                    diff.ts_recv = ts_recv;
                    output.emit(&self.stream, self.traits, diff, false, &place)?;
                    output.account.applied += 1;
                }
                Verdict::Old => output.account.ignore("already in the book"),
                Verdict::Gap { .. } | Verdict::BeforeSnapshot => {
                    self.lose(ts_recv, &place, output)?;
                    break;
                }
            }
            self.kept.pop_front();
        }
        Ok(Fate::Applied)
    }

    /// Takes a snapshot that starts the numbering anew, whatever was there before; diffs kept from before it are old.
    pub(super) fn restart(
        &mut self,
        message: Message,
        place: impl Fn() -> Place,
        output: &mut Output<'_>,
    ) -> Result<Fate, ImportError> {
        self.sync.lose();
        output.account.ignore_many("before the snapshot", self.kept());
        self.kept.clear();
        self.snapshot(message, true, place, output)
    }

    fn keep(&mut self, message: Message, output: &mut Output<'_>) {
        if self.kept.len() == MOST_KEPT {
            self.kept.pop_front();
            output.account.ignore("no snapshot to apply it to");
        }
        self.kept.push_back(message);
    }

    fn lose(
        &mut self,
        ts_recv: TimestampNs,
        place: impl FnOnce() -> Place,
        output: &mut Output<'_>,
    ) -> Result<(), ImportError> {
        self.sync.lose();
        let mut status = Message::status(ts_recv, FeedStatus::Gap);
        status.ts_event = self.newest_event.unwrap_or(ts_recv);
        output.emit(&self.stream, self.traits, &status, false, place)
    }
}

fn ids(message: &Message) -> MessageIds {
    MessageIds {
        first: message.seq_first,
        last: message.seq_last,
        prev: message.seq_prev,
        ts_event: message.ts_event.0,
    }
}

/// Reads Upbit captures.
pub struct UpbitCapture<'a> {
    options: &'a Options,
    books: BTreeMap<String, Sync>,
}

impl<'a> UpbitCapture<'a> {
    /// With these options.
    pub fn new(options: &'a Options) -> UpbitCapture<'a> {
        UpbitCapture {
            options,
            books: BTreeMap::new(),
        }
    }

    fn frame(
        &mut self,
        ts_recv: TimestampNs,
        frame: upbit::Frame<'_>,
        place: &Place,
        output: &mut Output<'_>,
    ) -> Result<Fate, ImportError> {
        let channels = self.options.channels;
        let traits = |sequence| Traits {
            sequence,
            event_time: EventTime::Exchange,
        };
        match frame {
            upbit::Frame::Other(kind) => Ok(Fate::Ignored(format!("other kind: {kind}"))),
            upbit::Frame::Book(_) if !channels.depth => Ok(Fate::Ignored("other stream: orderbook".to_owned())),
            upbit::Frame::Trade(_) if !channels.trade => Ok(Fate::Ignored("other stream: trade".to_owned())),
            upbit::Frame::Book(upbit::Book { code, .. }) | upbit::Frame::Trade(upbit::Trade { code, .. })
                if !output.wants(&code) =>
            {
                Ok(Fate::Ignored("other symbol".to_owned()))
            }
            upbit::Frame::Book(book) => {
                let kind = if self.options.complete {
                    Kind::CompleteSnapshot
                } else {
                    Kind::Snapshot
                };
                let mut message = Message::new(kind, book.ts_event, ts_recv);
                (message.bids, message.asks) = (book.bids, book.asks);
                let symbol = book.code.into_owned();
                let sync = self
                    .books
                    .entry(symbol.clone())
                    .or_insert_with(|| Sync::new(SequenceRule::UpbitTimestamp));
                if sync.snapshot(ids(&message)) != Verdict::Apply {
                    return Ok(Fate::Ignored("older than the book".to_owned()));
                }
                let stream = Stream {
                    venue: self.options.venue_or("upbit"),
                    symbol,
                    channel: Channel::Book,
                };
                output.emit(&stream, traits(SequenceRule::UpbitTimestamp), &message, true, || {
                    place.clone()
                })?;
                Ok(Fate::Applied)
            }
            upbit::Frame::Trade(trade) => {
                let (channel, rule) = match channels.depth {
                    true => (Channel::Book, SequenceRule::UpbitTimestamp),
                    false => (Channel::Trades, SequenceRule::None),
                };
                let stream = Stream {
                    venue: self.options.venue_or("upbit"),
                    symbol: trade.code.into_owned(),
                    channel,
                };
                let message = Message::trade(trade.ts_event, ts_recv, trade.level.price, trade.level.qty, trade.taker);
                output.emit(&stream, traits(rule), &message, true, || place.clone())?;
                Ok(Fate::Applied)
            }
        }
    }
}

impl Importer for UpbitCapture<'_> {
    fn read(&mut self, input: Input<'_>, output: &mut Output<'_>) -> Result<(), ImportError> {
        read_capture(input, output, |line, place, output| {
            let Line::Received { ts_recv, frame, .. } = line else {
                return Ok(Vec::new());
            };
            match upbit::parse(frame) {
                Ok(frames) => frames
                    .into_iter()
                    .map(|frame| self.frame(*ts_recv, frame, place, output))
                    .collect(),
                Err(error) => Ok(vec![Fate::Quarantined(error.to_string())]),
            }
        })
    }
}
