//! Raw captures of Upbit: whole books and trades become messages.

use std::collections::BTreeMap;

use crossbook_engine::book::sync::{SequenceRule, Sync, Verdict};
use crossbook_engine::event::Kind;
use crossbook_engine::units::TimestampNs;

use super::capture::Line;
use super::diff_book::ids;
use super::error::{ImportError, Place};
use super::frames::{Fate, read_capture};
use super::input::Input;
use super::output::{Channel, Output, Stream, Traits};
use super::{Importer, Options};
use crate::dataset::manifest::EventTime;
use crate::dataset::message::Message;
use crossbook_feed::wire::{self, Body, Scratch, upbit};

/// Reads Upbit captures.
pub struct UpbitCapture<'a> {
    options: &'a Options,
    books: BTreeMap<String, Sync>,
    scratch: Scratch,
}

impl<'a> UpbitCapture<'a> {
    /// With these options.
    pub fn new(options: &'a Options) -> UpbitCapture<'a> {
        UpbitCapture {
            options,
            books: BTreeMap::new(),
            scratch: Scratch::default(),
        }
    }

    fn message(
        &mut self,
        ts_recv: TimestampNs,
        told: wire::Message<'_>,
        place: &Place,
        output: &mut Output<'_>,
    ) -> Result<Fate, ImportError> {
        let channels = self.options.channels;
        let traits = |sequence| Traits {
            sequence,
            event_time: EventTime::Exchange,
        };
        let (symbol, ts_event) = match (told.symbol, told.ts_event, told.body) {
            (Some(symbol), Some(ts_event), Body::Book(_) | Body::Trade(_)) => (symbol, ts_event),
            (_, _, Body::Refusal(_)) => return Ok(Fate::Ignored("other kind: error".to_owned())),
            (_, _, Body::Other(kind)) => return Ok(Fate::Ignored(format!("other kind: {kind}"))),
            _ => return Ok(Fate::Ignored("other kind: unnamed".to_owned())),
        };
        match told.body {
            Body::Book(_) if !channels.depth => Ok(Fate::Ignored("other stream: orderbook".to_owned())),
            Body::Trade(_) if !channels.trade => Ok(Fate::Ignored("other stream: trade".to_owned())),
            _ if !output.wants(symbol) => Ok(Fate::Ignored("other symbol".to_owned())),
            Body::Book(book) => {
                let kind = if self.options.complete {
                    Kind::CompleteSnapshot
                } else {
                    Kind::Snapshot
                };
                let mut message = Message::new(kind, ts_event, ts_recv);
                (message.bids, message.asks) = (book.bids.to_vec(), book.asks.to_vec());
                let sync = self
                    .books
                    .entry(symbol.to_owned())
                    .or_insert_with(|| Sync::new(SequenceRule::UpbitTimestamp));
                if sync.snapshot(ids(&message)) != Verdict::Apply {
                    return Ok(Fate::Ignored("older than the book".to_owned()));
                }
                let stream = Stream {
                    venue: self.options.venue_or("upbit"),
                    symbol: symbol.to_owned(),
                    channel: Channel::Book,
                };
                output.emit(&stream, traits(SequenceRule::UpbitTimestamp), &message, true, || {
                    place.clone()
                })?;
                Ok(Fate::Applied)
            }
            Body::Trade(trade) => {
                let (channel, rule) = match channels.depth {
                    true => (Channel::Book, SequenceRule::UpbitTimestamp),
                    false => (Channel::Trades, SequenceRule::None),
                };
                let stream = Stream {
                    venue: self.options.venue_or("upbit"),
                    symbol: symbol.to_owned(),
                    channel,
                };
                let message = Message::trade(ts_event, ts_recv, trade.price, trade.qty, trade.taker);
                output.emit(&stream, traits(rule), &message, true, || place.clone())?;
                Ok(Fate::Applied)
            }
            _ => Ok(Fate::Ignored("other kind: unnamed".to_owned())),
        }
    }
}

impl Importer for UpbitCapture<'_> {
    fn read(&mut self, input: Input<'_>, output: &mut Output<'_>) -> Result<(), ImportError> {
        read_capture(input, output, |line, place, output| {
            let Line::Received { ts_recv, frame, .. } = line else {
                return Ok(Vec::new());
            };
            let mut scratch = std::mem::take(&mut self.scratch);
            let mut fates = Vec::new();
            let read = upbit::read(frame, &mut scratch, &mut |message| {
                fates.push(self.message(*ts_recv, message, place, output));
            });
            self.scratch = scratch;
            match read {
                Ok(()) => fates.into_iter().collect(),
                Err(error) => Ok(vec![Fate::Quarantined(error.to_string())]),
            }
        })
    }
}
