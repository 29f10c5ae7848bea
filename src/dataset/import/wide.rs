//! Wide top-N CSV: one row a snapshot, `timestamp,symbol,b1…bN,bv1…bvN,a1…aN,av1…avN` (prices and sizes, best first).
//!
//! A symbol `LINKUSDT.BNC` is split at its last point into symbol and venue, unless `--venue` says the venue. There is
//! one time a row: the recorder's, so it stands for both times (plus `--assume-latency-ms` for the receipt).

use crossbook_engine::book::sync::SequenceRule;
use crossbook_engine::event::{Kind, Level};

use super::error::{ImportError, Problem};
use super::input::Input;
use super::output::{Channel, Output, Stream, Traits};
use super::table::{Column, Table};
use super::time::TimeColumn;
use super::{Format, Importer, Options};
use crate::dataset::manifest::EventTime;
use crate::dataset::message::Message;

const TRAITS: Traits = Traits {
    sequence: SequenceRule::None,
    event_time: EventTime::Recv,
};

/// Reads wide CSV files.
pub struct WideCsv<'a> {
    options: &'a Options,
}

impl<'a> WideCsv<'a> {
    /// With these options.
    pub fn new(options: &'a Options) -> WideCsv<'a> {
        WideCsv { options }
    }

    fn stream(&self, text: &str) -> Result<Stream, ImportError> {
        let (symbol, suffix) = text.rsplit_once('.').unwrap_or((text, ""));
        let venue = match (&self.options.venue, suffix) {
            (Some(venue), _) => venue.clone(),
            (None, "") => self.options.need_venue(Format::WideCsv)?,
            (None, suffix) => suffix.to_lowercase(),
        };
        Ok(Stream {
            venue,
            symbol: symbol.to_owned(),
            channel: Channel::Book,
        })
    }
}

impl Importer for WideCsv<'_> {
    fn read(&mut self, input: Input<'_>, output: &mut Output<'_>) -> Result<(), ImportError> {
        let mut table = Table::with_header(input)?;
        table.cut_sizes(self.options.cut_sizes);
        let (time, symbol) = (table.column("timestamp")?, table.column("symbol")?);
        let sides = [levels(&table, "b", "bv")?, levels(&table, "a", "av")?];
        let mut times = TimeColumn::new(self.options.zone.clone());
        let kind = if self.options.complete {
            Kind::CompleteSnapshot
        } else {
            Kind::Snapshot
        };
        while table.advance()? {
            output.account.received += 1;
            let stream = self.stream(table.text(symbol))?;
            if !output.wants(&stream.symbol) {
                output.account.ignore("other symbol");
                continue;
            }
            let ts_event = table.time(time, &mut times)?;
            let mut message = Message::new(kind, ts_event, ts_event.plus(self.options.assumed_latency_ns));
            let lists = [&mut message.bids, &mut message.asks];
            for (list, columns) in lists.into_iter().zip(&sides) {
                for &(price, qty) in columns {
                    match (table.text(price).is_empty(), table.text(qty).is_empty()) {
                        (true, true) => {}
                        (false, false) => list.push(Level {
                            price: table.price(price)?,
                            qty: table.qty(qty)?,
                        }),
                        (true, false) => return Err(table.value(price, "a price and a size, or neither")),
                        (false, true) => return Err(table.value(qty, "a price and a size, or neither")),
                    }
                }
            }
            output.emit(&stream, TRAITS, &message, false, || table.place())?;
            output.account.applied += 1;
        }
        output.account.cut_sizes += table.cut();
        Ok(())
    }
}

/// Columns `b1`, `bv1`, `b2`, …, as many as there are.
fn levels(table: &Table<'_>, price: &str, qty: &str) -> Result<Vec<(Column, Column)>, ImportError> {
    let mut columns = vec![(table.column(&format!("{price}1"))?, table.column(&format!("{qty}1"))?)];
    for depth in 2.. {
        match (
            table.find(&format!("{price}{depth}")),
            table.find(&format!("{qty}{depth}")),
        ) {
            (Some(price), Some(qty)) => columns.push((price, qty)),
            (None, None) => break,
            _ => {
                return Err(table.bad(Problem::NoColumn {
                    column: format!("{price}{depth} and {qty}{depth}, both or neither"),
                    found: table.header().join(", "),
                }));
            }
        }
    }
    Ok(columns)
}
