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
use crossbook_feed::wire::upbit;

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
