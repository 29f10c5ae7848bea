//! Raw captures of Bybit v5: `orderbook.N` snapshots and deltas, and `publicTrade`, of spot and perpetuals.
//!
//! Each book message of a topic has a number `u`, one more than the one before; a new snapshot starts over. A book of N
//! levels is kept at N by the venue: what leaves the window is deleted, what enters it is sent. So within the levels that
//! the book holds nothing is unknown, and snapshots count as complete: a walk ends where the levels end.
//! Source: Bybit v5 documentation (orderbook), and a recording of 2026-08-09.

use std::collections::BTreeMap;

use crossbook_engine::book::sync::SequenceRule;
use crossbook_engine::event::Kind;
use crossbook_engine::instrument::Side;
use crossbook_engine::units::TimestampNs;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::capture::Line;
use super::diff_book::DiffBook;
use super::error::{ImportError, Place};
use super::frames::{Fate, read_capture};
use super::input::Input;
use super::output::{Channel, Output, Stream, Traits};
use super::{Importer, Options};
use crate::dataset::manifest::EventTime;
use crate::dataset::message::Message;
use crossbook_feed::wire::{Decimal, Levels, Text, WireError, venue_time};

/// Reads Bybit captures.
pub struct BybitCapture<'a> {
    options: &'a Options,
    /// Which market a connection is for, by its name: `spot`, `linear`, `inverse`.
    markets: BTreeMap<String, String>,
    books: BTreeMap<Stream, DiffBook>,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    topic: Option<Text<'a>>,
    #[serde(borrow)]
    op: Option<Text<'a>>,
    #[serde(borrow, rename = "type")]
    kind: Option<Text<'a>>,
    ts: Option<u64>,
    cts: Option<u64>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct BookData<'a> {
    #[serde(borrow)]
    s: Text<'a>,
    b: Levels,
    a: Levels,
    u: u64,
}

#[derive(Deserialize)]
struct TradeData<'a> {
    #[serde(rename = "T")]
    time: u64,
    #[serde(borrow)]
    s: Text<'a>,
    #[serde(borrow, rename = "S")]
    side: Text<'a>,
    #[serde(borrow)]
    v: Decimal<'a>,
    #[serde(borrow)]
    p: Decimal<'a>,
}

impl<'a> BybitCapture<'a> {
    /// With these options.
    pub fn new(options: &'a Options) -> BybitCapture<'a> {
        BybitCapture {
            options,
            markets: BTreeMap::new(),
            books: BTreeMap::new(),
        }
    }

    fn stream(&self, connection: Option<&str>, symbol: &str, channel: Channel) -> Stream {
        let market = connection
            .and_then(|name| self.markets.get(name))
            .map_or("", String::as_str);
        let venue = match market {
            "" | "spot" => "bybit".to_owned(),
            market => format!("bybit-{market}"),
        };
        Stream {
            venue: self.options.venue_or(&venue),
            symbol: symbol.to_owned(),
            channel,
        }
    }

    fn frame(
        &mut self,
        ts_recv: TimestampNs,
        connection: Option<&str>,
        bytes: &[u8],
        place: &Place,
        output: &mut Output<'_>,
    ) -> Result<Vec<Fate>, ImportError> {
        let envelope: Envelope<'_> = match serde_json::from_slice(bytes) {
            Ok(envelope) => envelope,
            Err(error) => return Ok(vec![Fate::Quarantined(WireError::from(error).to_string())]),
        };
        let Some(topic) = envelope.topic.as_deref() else {
            let kind = envelope.op.as_deref().unwrap_or("unnamed");
            return Ok(vec![Fate::Ignored(format!("other kind: {kind}"))]);
        };
        let channels = self.options.channels;
        let result = match topic.split('.').next().unwrap_or_default() {
            "orderbook" if channels.depth => return self.book(ts_recv, connection, &envelope, place, output),
            "publicTrade" if channels.trade => return self.trades(ts_recv, connection, &envelope, place, output),
            known @ ("orderbook" | "publicTrade") => Fate::Ignored(format!("other stream: {known}")),
            other => Fate::Ignored(format!("other kind: {other}")),
        };
        Ok(vec![result])
    }

    fn book(
        &mut self,
        ts_recv: TimestampNs,
        connection: Option<&str>,
        envelope: &Envelope<'_>,
        place: &Place,
        output: &mut Output<'_>,
    ) -> Result<Vec<Fate>, ImportError> {
        let parsed = || -> Result<(BookData<'_>, Kind, TimestampNs), WireError> {
            let data: BookData<'_> = serde_json::from_str(envelope.data.map_or("", RawValue::get))?;
            let kind = match envelope.kind.as_deref() {
                Some("snapshot") => Kind::CompleteSnapshot,
                Some("delta") => Kind::Update,
                other => {
                    return Err(WireError::Word {
                        field: "type",
                        value: other.unwrap_or("missing").to_owned(),
                    });
                }
            };
            // `cts` is the time of the matching engine, `ts` that of the message.
            let ts_event = match (envelope.cts, envelope.ts) {
                (Some(ms), _) => venue_time("cts", ms)?,
                (None, ms) => venue_time("ts", ms.unwrap_or(0))?,
            };
            Ok((data, kind, ts_event))
        };
        let (data, kind, ts_event) = match parsed() {
            Ok(parsed) => parsed,
            Err(error) => return Ok(vec![Fate::Quarantined(error.to_string())]),
        };
        if !output.wants(&data.s) {
            return Ok(vec![Fate::Ignored("other symbol".to_owned())]);
        }
        let mut message = Message::new(kind, ts_event, ts_recv);
        message.seq_last = Some(data.u);
        (message.bids, message.asks) = (data.b.0, data.a.0);
        let stream = self.stream(connection, &data.s, Channel::Book);
        let book = self
            .books
            .entry(stream.clone())
            .or_insert_with(|| DiffBook::new(stream, SequenceRule::Contiguous));
        let at = || place.clone();
        Ok(vec![match kind {
            Kind::Update => book.diff(message, at, output)?,
            _ => book.restart(message, at, output)?,
        }])
    }

    fn trades(
        &mut self,
        ts_recv: TimestampNs,
        connection: Option<&str>,
        envelope: &Envelope<'_>,
        place: &Place,
        output: &mut Output<'_>,
    ) -> Result<Vec<Fate>, ImportError> {
        let list: Vec<TradeData<'_>> = match serde_json::from_str(envelope.data.map_or("", RawValue::get)) {
            Ok(list) => list,
            Err(error) => return Ok(vec![Fate::Quarantined(WireError::from(error).to_string())]),
        };
        let mut messages = Vec::with_capacity(list.len());
        for trade in &list {
            let parsed = || -> Result<Message, WireError> {
                let taker = match &*trade.side {
                    "Buy" => Side::Buy,
                    "Sell" => Side::Sell,
                    other => {
                        return Err(WireError::Word {
                            field: "S",
                            value: other.chars().take(20).collect(),
                        });
                    }
                };
                let ts_event = venue_time("T", trade.time)?;
                Ok(Message::trade(
                    ts_event,
                    ts_recv,
                    trade.p.price("p")?,
                    trade.v.qty("v")?,
                    taker,
                ))
            };
            match parsed() {
                Ok(message) => messages.push((trade, message)),
                Err(error) => return Ok(vec![Fate::Quarantined(error.to_string())]),
            }
        }
        let mut fate = Fate::Ignored("other symbol".to_owned());
        for (trade, message) in messages {
            if !output.wants(&trade.s) {
                continue;
            }
            let channel = if self.options.channels.depth {
                Channel::Book
            } else {
                Channel::Trades
            };
            let sequence = if channel == Channel::Book {
                SequenceRule::Contiguous
            } else {
                SequenceRule::None
            };
            let traits = Traits {
                sequence,
                event_time: EventTime::Exchange,
            };
            output.emit(
                &self.stream(connection, &trade.s, channel),
                traits,
                &message,
                true,
                || place.clone(),
            )?;
            fate = Fate::Applied;
        }
        Ok(vec![fate])
    }
}

impl Importer for BybitCapture<'_> {
    fn read(&mut self, input: Input<'_>, output: &mut Output<'_>) -> Result<(), ImportError> {
        read_capture(input, output, |line, place, output| match line {
            Line::Received { url: Some(_), .. } => Ok(vec![Fate::Ignored("other kind: REST answer".to_owned())]),
            Line::Received {
                ts_recv,
                connection,
                frame,
                ..
            } => self.frame(*ts_recv, connection.as_deref(), frame, place, output),
            Line::Connected {
                connection: Some(name),
                address,
            } => {
                let market = address.rsplit('/').next().unwrap_or_default();
                self.markets.insert(name.to_string(), market.to_owned());
                Ok(Vec::new())
            }
            Line::Connected { .. } | Line::Note => Ok(Vec::new()),
        })
    }

    fn finish(&mut self, output: &mut Output<'_>) -> Result<(), ImportError> {
        for book in self.books.values() {
            output.account.ignore_many("no snapshot to apply it to", book.kept());
        }
        Ok(())
    }
}
