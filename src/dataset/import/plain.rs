//! Plain CSV: one row a level (`ts,venue,symbol,side,price,qty`) or one row a top of book (`ts,bid,bid_qty,ask,ask_qty`).
//!
//! Optional columns of the first kind are `ts_recv`, `kind`, `is_snapshot`, `message`, `seq_first`, `seq_last`,
//! `seq_prev`: with them it is what `crossbook dataset convert --format csv` writes. Neighbouring rows of one stream with
//! the same times, kind, message and numbers are one message. Without `kind` and `is_snapshot` the rows do not say what
//! they are, so `--rows` has to.

use std::collections::BTreeSet;

use crossbook_engine::book::sync::SequenceRule;
use crossbook_engine::event::{FeedStatus, Kind, Level};
use crossbook_engine::units::{FxRate, TimestampNs};

use super::error::{ImportError, OptionsError};
use super::input::Input;
use super::output::{Channel, Output, Stream, Traits};
use super::table::{Column, Table};
use super::time::TimeColumn;
use super::{Format, Importer, Options, RowsMean};
use crate::dataset::manifest::EventTime;
use crate::dataset::message::Message;

/// Times, venue and symbol of a row, where the file has them.
struct Common {
    ts: Column,
    ts_recv: Option<Column>,
    venue: Option<Column>,
    symbol: Option<Column>,
    event_times: TimeColumn,
    recv_times: TimeColumn,
}

impl Common {
    fn new(table: &Table<'_>, options: &Options) -> Result<Common, ImportError> {
        Ok(Common {
            ts: table.column_of(&["ts", "timestamp"])?,
            ts_recv: table.find("ts_recv"),
            venue: table.find("venue"),
            symbol: table.find("symbol"),
            event_times: TimeColumn::new(options.zone.clone()),
            recv_times: TimeColumn::new(options.zone.clone()),
        })
    }

    fn event_time(&self) -> EventTime {
        if self.ts_recv.is_some() {
            EventTime::Exchange
        } else {
            EventTime::Recv
        }
    }

    fn times(&mut self, table: &Table<'_>, options: &Options) -> Result<(TimestampNs, TimestampNs), ImportError> {
        let ts_event = table.time(self.ts, &mut self.event_times)?;
        let ts_recv = match self.ts_recv {
            Some(column) => table.time(column, &mut self.recv_times)?,
            None => ts_event.plus(options.assumed_latency_ns),
        };
        Ok((ts_event, ts_recv))
    }

    fn stream(
        &self,
        table: &Table<'_>,
        options: &Options,
        format: Format,
        channel: Channel,
    ) -> Result<Stream, ImportError> {
        let venue = match (&options.venue, self.venue) {
            (None, Some(column)) => table.text(column).trim().to_lowercase(),
            _ => options.need_venue(format)?,
        };
        let symbol = match self.symbol {
            Some(column) => table.text(column).trim().to_owned(),
            None => options.one_symbol(format, "the file has no column `symbol`")?,
        };
        Ok(Stream { venue, symbol, channel })
    }
}

/// Reads plain CSV of levels.
pub struct PlainCsv<'a> {
    options: &'a Options,
    /// Books that have begun, for `--rows updates`.
    started: BTreeSet<Stream>,
    group: Option<Group>,
}

/// A message whose rows are being read.
struct Group {
    key: Key,
    message: Message,
    rows: u64,
    first_line: u64,
}

/// What the rows of one message share.
#[derive(Clone, PartialEq, Eq)]
struct Key {
    stream: Stream,
    ts: (TimestampNs, TimestampNs),
    kind: Kind,
    seq: [Option<u64>; 3],
    message: String,
}

struct Columns {
    side: Column,
    price: Column,
    qty: Column,
    kind: Option<Column>,
    is_snapshot: Option<Column>,
    message: Option<Column>,
    seq: [Option<Column>; 3],
}

impl<'a> PlainCsv<'a> {
    /// With these options.
    pub fn new(options: &'a Options) -> PlainCsv<'a> {
        PlainCsv {
            options,
            started: BTreeSet::new(),
            group: None,
        }
    }

    fn kind(&self, table: &Table<'_>, columns: &Columns) -> Result<Kind, ImportError> {
        let whole = if self.options.complete {
            Kind::CompleteSnapshot
        } else {
            Kind::Snapshot
        };
        if let Some(column) = columns.kind {
            return Ok(match table.text(column).trim() {
                "snapshot" => Kind::Snapshot,
                "complete_snapshot" => Kind::CompleteSnapshot,
                "update" => Kind::Update,
                "trade" => Kind::Trade,
                "fx" => Kind::Fx,
                "funding" => Kind::Funding,
                "status" => Kind::Status,
                _ => {
                    let allowed = "snapshot, complete_snapshot, update, trade, fx, funding, status";
                    return Err(table.value(column, allowed));
                }
            });
        }
        if let Some(column) = columns.is_snapshot {
            return Ok(if table.flag(column)? { whole } else { Kind::Update });
        }
        match self.options.rows {
            Some(RowsMean::Snapshots) => Ok(whole),
            Some(RowsMean::Updates) => Ok(Kind::Update),
            None => Err(ImportError::Options(OptionsError::Missing {
                format: Format::Csv.name(),
                option: "--rows",
                why: "without a column `kind` or `is_snapshot` the rows do not say whether they are snapshots or updates",
            })),
        }
    }

    fn flush(&mut self, traits: Traits, table: &Table<'_>, output: &mut Output<'_>) -> Result<(), ImportError> {
        let Some(Group {
            key,
            mut message,
            rows,
            first_line,
        }) = self.group.take()
        else {
            return Ok(());
        };
        let rows_are_bare = self.options.rows == Some(RowsMean::Updates);
        if rows_are_bare && message.kind == Kind::Update && !self.started.contains(&key.stream) {
            message.kind = Kind::Snapshot;
        }
        output.emit(&key.stream, traits, &message, true, || table.place_at(first_line))?;
        output.account.applied += rows;
        self.started.insert(key.stream);
        Ok(())
    }
}

impl Importer for PlainCsv<'_> {
    fn read(&mut self, input: Input<'_>, output: &mut Output<'_>) -> Result<(), ImportError> {
        let mut table = Table::with_header(input)?;
        table.cut_sizes(self.options.cut_sizes);
        let mut common = Common::new(&table, self.options)?;
        let columns = Columns {
            side: table.column("side")?,
            price: table.column("price")?,
            qty: table.column("qty")?,
            kind: table.find("kind"),
            is_snapshot: table.find("is_snapshot"),
            message: table.find("message"),
            seq: ["seq_first", "seq_last", "seq_prev"].map(|name| table.find(name)),
        };
        let sequence = self.options.sequence.unwrap_or(SequenceRule::None);
        let traits = Traits {
            sequence,
            event_time: common.event_time(),
        };
        while table.advance()? {
            output.account.received += 1;
            let kind = self.kind(&table, &columns)?;
            let channel = if kind == Kind::Fx { Channel::Fx } else { Channel::Book };
            let stream = common.stream(&table, self.options, Format::Csv, channel)?;
            if !output.wants(&stream.symbol) {
                output.account.ignore("other symbol");
                continue;
            }
            let ts = common.times(&table, self.options)?;
            let mut seq = [None; 3];
            for (number, column) in seq.iter_mut().zip(columns.seq) {
                *number = column.map(|column| table.sequence(column)).transpose()?.flatten();
            }
            let message = columns
                .message
                .map(|column| table.text(column).to_owned())
                .unwrap_or_default();
            let key = Key {
                stream,
                ts,
                kind,
                seq,
                message,
            };
            // Trades, rates, funding and status are one row each; only book messages have many.
            let is_list = matches!(kind, Kind::Snapshot | Kind::CompleteSnapshot | Kind::Update);
            if self.group.as_ref().is_none_or(|group| !is_list || group.key != key) {
                self.flush(traits, &table, output)?;
                let mut message = Message::new(kind, ts.0, ts.1);
                [message.seq_first, message.seq_last, message.seq_prev] = seq;
                self.group = Some(Group {
                    key,
                    message,
                    rows: 0,
                    first_line: table.line_number(),
                });
            }
            if let Some(Group { message, rows, .. }) = &mut self.group {
                *rows += 1;
                add_row(message, &table, &columns)?;
            }
        }
        output.account.cut_sizes += table.cut();
        // A message never goes over the end of a file.
        self.flush(traits, &table, output)
    }
}

fn add_row(message: &mut Message, table: &Table<'_>, columns: &Columns) -> Result<(), ImportError> {
    match message.kind {
        Kind::Fx => {
            let rate = FxRate::from_raw(table.price(columns.price)?.raw()).map(FxRate::raw);
            message.values = vec![rate.map_err(|_| table.value(columns.price, "a positive rate"))?];
        }
        Kind::Funding => message.values = vec![table.number(columns.qty)?, table.price(columns.price)?.raw()],
        Kind::Status => {
            let code = table
                .text(columns.price)
                .trim()
                .parse()
                .ok()
                .filter(|code| FeedStatus::from_code(*code).is_some());
            let allowed = "0 (connected), 1 (stale), 2 (gap), 3 (disconnected)";
            message.values = vec![code.ok_or_else(|| table.value(columns.price, allowed))?];
        }
        _ => {
            // A message without a level is written as a row without one.
            let is_empty = [columns.side, columns.price, columns.qty]
                .iter()
                .all(|&column| table.text(column).is_empty());
            if is_empty && message.kind != Kind::Trade {
                return Ok(());
            }
            let level = Level {
                price: table.price(columns.price)?,
                qty: table.qty(columns.qty)?,
            };
            match table.text(columns.side).trim() {
                "bid" | "bids" | "b" | "buy" | "BUY" | "Buy" | "1" => message.bids.push(level),
                "ask" | "asks" | "a" | "s" | "sell" | "SELL" | "Sell" | "-1" => message.asks.push(level),
                _ => return Err(table.value(columns.side, "bid, ask, b, a, buy, sell, 1, -1")),
            }
        }
    }
    Ok(())
}

/// Reads CSV of tops of book.
pub struct TopCsv<'a> {
    options: &'a Options,
}

impl<'a> TopCsv<'a> {
    /// With these options.
    pub fn new(options: &'a Options) -> TopCsv<'a> {
        TopCsv { options }
    }
}

impl Importer for TopCsv<'_> {
    fn read(&mut self, input: Input<'_>, output: &mut Output<'_>) -> Result<(), ImportError> {
        let mut table = Table::with_header(input)?;
        table.cut_sizes(self.options.cut_sizes);
        let mut common = Common::new(&table, self.options)?;
        let traits = Traits {
            sequence: SequenceRule::None,
            event_time: common.event_time(),
        };
        let bid = (table.column_of(&["bid", "bid_price"])?, table.column("bid_qty")?);
        let ask = (table.column_of(&["ask", "ask_price"])?, table.column("ask_qty")?);
        while table.advance()? {
            output.account.received += 1;
            let stream = common.stream(&table, self.options, Format::TopCsv, Channel::Quotes)?;
            if !output.wants(&stream.symbol) {
                output.account.ignore("other symbol");
                continue;
            }
            let (ts_event, ts_recv) = common.times(&table, self.options)?;
            let mut message = Message::new(Kind::Snapshot, ts_event, ts_recv);
            for (list, (price, qty)) in [(&mut message.bids, bid), (&mut message.asks, ask)] {
                // An empty cell is an empty side.
                if !table.text(price).trim().is_empty() {
                    list.push(Level {
                        price: table.price(price)?,
                        qty: table.qty(qty)?,
                    });
                }
            }
            output.emit(&stream, traits, &message, true, || table.place())?;
            output.account.applied += 1;
        }
        output.account.cut_sizes += table.cut();
        Ok(())
    }
}
