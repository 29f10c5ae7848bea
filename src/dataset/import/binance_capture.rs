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
use crossbook_feed::wire::{self, Body, Role, Scratch, binance};

/// Reads Binance captures.
pub struct BinanceCapture<'a> {
    options: &'a Options,
    books: BTreeMap<String, DiffBook>,
    /// Symbols that frames named, for REST answers that name none.
    seen: BTreeSet<String>,
    scratch: Scratch,
}

impl<'a> BinanceCapture<'a> {
    /// With these options.
    pub fn new(options: &'a Options) -> BinanceCapture<'a> {
        BinanceCapture {
            options,
            books: BTreeMap::new(),
            seen: BTreeSet::new(),
            scratch: Scratch::default(),
        }
    }

    fn frame(
        &mut self,
        ts_recv: TimestampNs,
        url: Option<&str>,
        bytes: &[u8],
        place: &Place,
        output: &mut Output<'_>,
    ) -> Result<Fate, ImportError> {
        let mut scratch = std::mem::take(&mut self.scratch);
        // A frame of Binance is one message.
        let mut fate = None;
        let read = binance::read(bytes, &mut scratch, &mut |message| {
            fate = Some(self.message(ts_recv, url, message, place, output));
        });
        self.scratch = scratch;
        match (read, fate) {
            (Err(error), _) => Ok(Fate::Quarantined(error.to_string())),
            (Ok(()), Some(fate)) => fate,
            (Ok(()), None) => Ok(Fate::Ignored("other kind: unnamed".to_owned())),
        }
    }

    fn message(
        &mut self,
        ts_recv: TimestampNs,
        url: Option<&str>,
        told: wire::Message<'_>,
        place: &Place,
        output: &mut Output<'_>,
    ) -> Result<Fate, ImportError> {
        match (told.body, told.symbol) {
            (Body::Book(book), Some(symbol)) if book.role == Role::Diff => {
                self.diff(ts_recv, symbol, told.ts_event.unwrap_or(ts_recv), book, place, output)
            }
            (Body::Book(book), _) => self.snapshot(ts_recv, url, &told, book, place, output),
            (Body::Ticker(ticker), Some(symbol)) => self.ticker(ts_recv, symbol, told.ts_event, ticker, place, output),
            (Body::Trade(trade), Some(symbol)) => {
                self.trade(ts_recv, symbol, told.ts_event.unwrap_or(ts_recv), trade, place, output)
            }
            (body, _) => {
                let kind = match body {
                    Body::Mark(_) => "markPriceUpdate",
                    Body::Shutdown => "serverShutdown",
                    Body::Other(name) if name != "result" => name,
                    _ => "unnamed",
                };
                Ok(Fate::Ignored(format!("other kind: {kind}")))
            }
        }
    }

    fn diff(
        &mut self,
        ts_recv: TimestampNs,
        symbol: &str,
        ts_event: TimestampNs,
        diff: wire::Book<'_>,
        place: &Place,
        output: &mut Output<'_>,
    ) -> Result<Fate, ImportError> {
        self.see(symbol);
        if !self.options.channels.depth {
            return Ok(Fate::Ignored("other stream: depthUpdate".to_owned()));
        }
        if !output.wants(symbol) {
            return Ok(Fate::Ignored("other symbol".to_owned()));
        }
        let mut message = Message::new(Kind::Update, ts_event, ts_recv);
        (message.seq_first, message.seq_last, message.seq_prev) = (diff.ids.first, diff.ids.last, diff.ids.prev);
        (message.bids, message.asks) = (diff.bids.to_vec(), diff.asks.to_vec());
        self.book(symbol, diff.ids.prev.is_some())
            .diff(message, || place.clone(), output)
    }

    fn snapshot(
        &mut self,
        ts_recv: TimestampNs,
        url: Option<&str>,
        told: &wire::Message<'_>,
        snapshot: wire::Book<'_>,
        place: &Place,
        output: &mut Output<'_>,
    ) -> Result<Fate, ImportError> {
        let named = told.symbol.or(url.and_then(symbol_of));
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
        let mut message = Message::new(kind, told.ts_event.unwrap_or(ts_recv), ts_recv);
        message.seq_last = snapshot.ids.last;
        (message.bids, message.asks) = (snapshot.bids.to_vec(), snapshot.asks.to_vec());
        let futures = told.ts_event.is_some();
        self.book(&symbol, futures)
            .snapshot(message, futures, || place.clone(), output)
    }

    fn book(&mut self, symbol: &str, futures: bool) -> &mut DiffBook {
        let options = self.options;
        self.books.entry(symbol.to_owned()).or_insert_with(|| {
            let rule = if futures {
                SequenceRule::BinanceFutures
            } else {
                SequenceRule::BinanceSpot
            };
            let stream = Stream {
                venue: venue(options, symbol, futures),
                symbol: symbol.to_owned(),
                channel: Channel::Book,
            };
            DiffBook::new(stream, rule)
        })
    }

    fn ticker(
        &mut self,
        ts_recv: TimestampNs,
        symbol: &str,
        ts_event: Option<TimestampNs>,
        ticker: wire::Ticker,
        place: &Place,
        output: &mut Output<'_>,
    ) -> Result<Fate, ImportError> {
        self.see(symbol);
        if !self.options.channels.ticker {
            return Ok(Fate::Ignored("other stream: bookTicker".to_owned()));
        }
        if !output.wants(symbol) {
            return Ok(Fate::Ignored("other symbol".to_owned()));
        }
        let futures = ts_event.is_some();
        let mut message = Message::new(Kind::Snapshot, ts_event.unwrap_or(ts_recv), ts_recv);
        message.seq_last = Some(ticker.id);
        message.bids.extend(ticker.bid);
        message.asks.extend(ticker.ask);
        let stream = Stream {
            venue: venue(self.options, symbol, futures),
            symbol: symbol.to_owned(),
            channel: Channel::Quotes,
        };
        let event_time = if futures { EventTime::Exchange } else { EventTime::Recv };
        let traits = Traits {
            sequence: SequenceRule::None,
            event_time,
        };
        output.emit(&stream, traits, &message, futures, || place.clone())?;
        Ok(Fate::Applied)
    }

    fn trade(
        &mut self,
        ts_recv: TimestampNs,
        symbol: &str,
        ts_event: TimestampNs,
        trade: wire::Trade,
        place: &Place,
        output: &mut Output<'_>,
    ) -> Result<Fate, ImportError> {
        self.see(symbol);
        if !self.options.channels.trade {
            return Ok(Fate::Ignored("other stream: trade".to_owned()));
        }
        if !output.wants(symbol) {
            return Ok(Fate::Ignored("other symbol".to_owned()));
        }
        let channel = if self.options.channels.depth {
            Channel::Book
        } else {
            Channel::Trades
        };
        let stream = Stream {
            venue: venue(self.options, symbol, !trade.spot),
            symbol: symbol.to_owned(),
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
        let message = Message::trade(ts_event, ts_recv, trade.price, trade.qty, trade.taker);
        output.emit(&stream, traits, &message, true, || place.clone())?;
        Ok(Fate::Applied)
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

fn venue(options: &Options, symbol: &str, futures: bool) -> String {
    options.venue_or(match (futures, symbol.contains('_')) {
        (false, _) => "binance",
        (true, false) => "binance-usdm",
        (true, true) => "binance-coinm",
    })
}

/// `symbol` out of a REST address.
fn symbol_of(url: &str) -> Option<&str> {
    let (_, query) = url.split_once('?')?;
    query.split('&').find_map(|pair| pair.strip_prefix("symbol="))
}
