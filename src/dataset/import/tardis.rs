//! Tardis.dev downloadable CSV: `incremental_book_L2`, `book_snapshot_5`, `book_snapshot_25`, `quotes`, `trades`; which
//! one a file is, its header tells.
//!
//! Source: docs.tardis.dev/downloadable-csv-files (data types page). Times are microseconds since the epoch: `timestamp`
//! the exchange's, `local_timestamp` of arrival (and used for both where the exchange gives none). Rows of one message
//! share both times (levels of a snapshot may each have their own `timestamp`: the latest counts). Each snapshot replaces
//! the book. Updates before the first snapshot were buffered by the recorder and are to be skipped, as the page
//! says.

use std::collections::BTreeSet;

use crossbook_engine::book::sync::SequenceRule;
use crossbook_engine::event::{Kind, Level};
use crossbook_engine::instrument::Side;
use crossbook_engine::units::TimestampNs;

use super::error::{ImportError, Problem};
use super::input::Input;
use super::output::{Channel, Output, Stream, Traits};
use super::table::{Column, Table};
use super::time::TimeColumn;
use super::{Importer, Options};
use crate::dataset::manifest::EventTime;
use crate::dataset::message::Message;

const TRAITS: Traits = Traits {
    sequence: SequenceRule::None,
    event_time: EventTime::Exchange,
};

/// Reads Tardis CSV files.
pub struct Tardis<'a> {
    options: &'a Options,
    /// Streams that have seen a snapshot.
    started: BTreeSet<Stream>,
}

impl<'a> Tardis<'a> {
    /// With these options.
    pub fn new(options: &'a Options) -> Tardis<'a> {
        Tardis {
            options,
            started: BTreeSet::new(),
        }
    }

    fn stream(&self, row: &Row<'_>, channel: Channel) -> Stream {
        Stream {
            venue: self.options.venue_or(row.table.text(row.exchange)),
            symbol: row.table.text(row.symbol).to_owned(),
            channel,
        }
    }

    fn incremental(&mut self, mut row: Row<'_>, output: &mut Output<'_>) -> Result<(), ImportError> {
        let (is_snapshot, side) = (row.table.column("is_snapshot")?, row.table.column("side")?);
        let (price, amount) = (row.table.column("price")?, row.table.column("amount")?);
        let mut group: Option<Group> = None;
        while row.advance()? {
            output.account.received += 1;
            if !output.wants(row.table.text(row.symbol)) {
                output.account.ignore("other symbol");
                continue;
            }
            let (ts_event, ts_recv) = row.times()?;
            let kind = match (row.table.flag(is_snapshot)?, self.options.complete) {
                (true, false) => Kind::Snapshot,
                (true, true) => Kind::CompleteSnapshot,
                (false, _) => Kind::Update,
            };
            let level = Level {
                price: row.table.price(price)?,
                qty: row.table.qty(amount)?,
            };
            let belongs = group.as_ref().is_some_and(|Group { stream, message, .. }| {
                // Levels of a snapshot may each carry the time of their own last change.
                let same_time = message.ts_event == ts_event || kind != Kind::Update;
                same_time
                    && (message.ts_recv, message.kind) == (ts_recv, kind)
                    && stream.symbol == row.table.text(row.symbol)
            });
            if !belongs {
                self.flush(group.take(), &row, output)?;
                group = Some(Group {
                    stream: self.stream(&row, Channel::Book),
                    message: Message::new(kind, ts_event, ts_recv),
                    rows: 0,
                    first_line: row.table.line_number(),
                });
            }
            if let Some(Group { message, rows, .. }) = &mut group {
                *rows += 1;
                message.ts_event = message.ts_event.max(ts_event);
                match row.table.text(side) {
                    "bid" => message.bids.push(level),
                    "ask" => message.asks.push(level),
                    _ => return Err(row.table.value(side, "bid, ask")),
                }
            }
        }
        self.flush(group, &row, output)
    }

    fn flush(&mut self, group: Option<Group>, row: &Row<'_>, output: &mut Output<'_>) -> Result<(), ImportError> {
        let Some(Group {
            stream,
            message,
            rows,
            first_line,
        }) = group
        else {
            return Ok(());
        };
        if message.kind == Kind::Update && !self.started.contains(&stream) {
            output.account.ignore_many("before the first snapshot", rows);
            return Ok(());
        }
        output.emit(&stream, TRAITS, &message, true, || row.table.place_at(first_line))?;
        output.account.applied += rows;
        self.started.insert(stream);
        Ok(())
    }

    fn snapshots(&self, mut row: Row<'_>, output: &mut Output<'_>) -> Result<(), ImportError> {
        let mut sides = [Vec::new(), Vec::new()];
        for (columns, side) in sides.iter_mut().zip(["bids", "asks"]) {
            for depth in 0.. {
                match row.table.find(&format!("{side}[{depth}].price")) {
                    Some(price) => columns.push((price, row.table.column(&format!("{side}[{depth}].amount"))?)),
                    None if depth == 0 => row.table.column(&format!("{side}[0].price")).map(|_| ())?,
                    None => break,
                }
            }
        }
        self.tops(&mut row, &sides, Channel::Book, output)
    }

    fn quotes(&self, mut row: Row<'_>, output: &mut Output<'_>) -> Result<(), ImportError> {
        let sides = [
            vec![(row.table.column("bid_price")?, row.table.column("bid_amount")?)],
            vec![(row.table.column("ask_price")?, row.table.column("ask_amount")?)],
        ];
        self.tops(&mut row, &sides, Channel::Quotes, output)
    }

    /// One row, one snapshot of the top; an empty cell is an empty level.
    fn tops(
        &self,
        row: &mut Row<'_>,
        sides: &[Vec<(Column, Column)>; 2],
        channel: Channel,
        output: &mut Output<'_>,
    ) -> Result<(), ImportError> {
        while row.advance()? {
            output.account.received += 1;
            if !output.wants(row.table.text(row.symbol)) {
                output.account.ignore("other symbol");
                continue;
            }
            let (ts_event, ts_recv) = row.times()?;
            let mut message = Message::new(Kind::Snapshot, ts_event, ts_recv);
            let lists = [&mut message.bids, &mut message.asks];
            for (list, columns) in lists.into_iter().zip(sides) {
                for &(price, amount) in columns {
                    if !row.table.text(price).is_empty() && !row.table.text(amount).is_empty() {
                        list.push(Level {
                            price: row.table.price(price)?,
                            qty: row.table.qty(amount)?,
                        });
                    }
                }
            }
            output.emit(&self.stream(row, channel), TRAITS, &message, true, || row.table.place())?;
            output.account.applied += 1;
        }
        Ok(())
    }

    fn trades(&self, mut row: Row<'_>, output: &mut Output<'_>) -> Result<(), ImportError> {
        let (side, price) = (row.table.column("side")?, row.table.column("price")?);
        let amount = row.table.column("amount")?;
        while row.advance()? {
            output.account.received += 1;
            if !output.wants(row.table.text(row.symbol)) {
                output.account.ignore("other symbol");
                continue;
            }
            let taker = match row.table.text(side) {
                "buy" => Side::Buy,
                "sell" => Side::Sell,
                "unknown" => {
                    output.account.ignore("trade without a known side");
                    continue;
                }
                _ => return Err(row.table.value(side, "buy, sell, unknown")),
            };
            let (ts_event, ts_recv) = row.times()?;
            let message = Message::trade(
                ts_event,
                ts_recv,
                row.table.price(price)?,
                row.table.qty(amount)?,
                taker,
            );
            output.emit(&self.stream(&row, Channel::Trades), TRAITS, &message, true, || {
                row.table.place()
            })?;
            output.account.applied += 1;
        }
        Ok(())
    }
}

impl Importer for Tardis<'_> {
    fn read(&mut self, input: Input<'_>, output: &mut Output<'_>) -> Result<(), ImportError> {
        let table = Table::with_header(input)?;
        let row = Row {
            exchange: table.column("exchange")?,
            symbol: table.column("symbol")?,
            timestamp: table.column("timestamp")?,
            local_timestamp: table.column("local_timestamp")?,
            event_times: TimeColumn::default(),
            recv_times: TimeColumn::default(),
            table,
        };
        let has = |name: &str| row.table.find(name).is_some();
        if has("is_snapshot") {
            self.incremental(row, output)
        } else if has("bids[0].price") || has("asks[0].price") {
            self.snapshots(row, output)
        } else if has("bid_price") {
            self.quotes(row, output)
        } else if has("id") && has("side") {
            self.trades(row, output)
        } else {
            Err(row.table.bad(Problem::NoColumn {
                column:
                    "is_snapshot (incremental_book_L2), bids[0].price (book_snapshot_N), bid_price (quotes) or id and \
                         side (trades)"
                        .to_owned(),
                found: row.table.header().join(", "),
            }))
        }
    }
}

/// A message whose rows are being read.
struct Group {
    stream: Stream,
    message: Message,
    rows: u64,
    first_line: u64,
}

/// A table with the columns that every Tardis file has.
struct Row<'a> {
    table: Table<'a>,
    exchange: Column,
    symbol: Column,
    timestamp: Column,
    local_timestamp: Column,
    event_times: TimeColumn,
    recv_times: TimeColumn,
}

impl Row<'_> {
    fn advance(&mut self) -> Result<bool, ImportError> {
        self.table.advance()
    }

    fn times(&mut self) -> Result<(TimestampNs, TimestampNs), ImportError> {
        let ts_event = self.table.time(self.timestamp, &mut self.event_times)?;
        let ts_recv = self.table.time(self.local_timestamp, &mut self.recv_times)?;
        Ok((ts_event, ts_recv))
    }
}
