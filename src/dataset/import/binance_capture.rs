//! Raw captures of Binance: spot, USD-M and COIN-M frames and REST answers become messages.

use std::collections::{BTreeMap, BTreeSet};

use crossbook_engine::book::sync::SequenceRule;
use crossbook_engine::event::Kind;
use crossbook_engine::units::TimestampNs;

use super::capture::Line;
use super::diff_book::DiffBook;
use super::error::{ImportError, Place};
use super::frames::{Fate, read_capture};
use super::input::Input;
use super::output::{Channel, Output, Stream, Traits};
use super::{Importer, Options};
use crate::dataset::manifest::EventTime;
use crate::dataset::message::Message;
use crossbook_feed::wire::binance;

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
