//! JSON lines, one snapshot each: `timestamp`, `exchange`, `symbol`, `bids`, `asks` (lists of `[price, size]`, numbers
//! or text); other keys are passed over. One time a line, of the exchange or the recorder: it stands for both.

use crossbook_engine::book::sync::SequenceRule;
use crossbook_engine::event::Kind;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::error::{ImportError, Problem};
use super::input::{Input, Lines};
use super::output::{Channel, Output, Stream, Traits};
use super::time::TimeColumn;
use super::{Importer, Options};
use crate::dataset::manifest::EventTime;
use crate::dataset::message::Message;
use crossbook_feed::wire::{Levels, Text};

const TRAITS: Traits = Traits {
    sequence: SequenceRule::None,
    event_time: EventTime::Recv,
};

/// Reads JSON-lines snapshots.
pub struct JsonlSnapshots<'a> {
    options: &'a Options,
}

impl<'a> JsonlSnapshots<'a> {
    /// With these options.
    pub fn new(options: &'a Options) -> JsonlSnapshots<'a> {
        JsonlSnapshots { options }
    }
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    timestamp: &'a RawValue,
    #[serde(borrow)]
    exchange: Text<'a>,
    #[serde(borrow)]
    symbol: Text<'a>,
    bids: Levels,
    asks: Levels,
}

impl Importer for JsonlSnapshots<'_> {
    fn read(&mut self, input: Input<'_>, output: &mut Output<'_>) -> Result<(), ImportError> {
        let mut lines = Lines::new(input);
        let mut times = TimeColumn::new(self.options.zone.clone());
        let kind = if self.options.complete {
            Kind::CompleteSnapshot
        } else {
            Kind::Snapshot
        };
        while lines.advance()? {
            if lines.line().is_empty() {
                continue;
            }
            output.account.received += 1;
            let line: Line<'_> =
                serde_json::from_slice(lines.line()).map_err(|error| lines.bad(Problem::Json(error.to_string())))?;
            if !output.wants(&line.symbol) {
                output.account.ignore("other symbol");
                continue;
            }
            let ts = times.read(line.timestamp.get().trim_matches('"')).map_err(|source| {
                lines.bad(Problem::Time {
                    column: "timestamp".to_owned(),
                    source,
                })
            })?;
            let mut message = Message::new(kind, ts, ts.plus(self.options.assumed_latency_ns));
            (message.bids, message.asks) = (line.bids.0, line.asks.0);
            let stream = Stream {
                venue: self.options.venue_or(&line.exchange.to_lowercase()),
                symbol: line.symbol.into_owned(),
                channel: Channel::Book,
            };
            output.emit(&stream, TRAITS, &message, false, || lines.place())?;
            output.account.applied += 1;
        }
        Ok(())
    }
}
