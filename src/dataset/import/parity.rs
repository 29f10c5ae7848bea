//! The parity feed: flat Parquet rows of two venues and a rate, exact through integer ticks and lots.
//!
//! Columns: `ts_ns`, `local_ns`, `msg` (rows that share it are one message), `venue` (0 = A, a KRW book of complete
//! snapshots; 1 = B, a USDT book of diffs after one snapshot; 2 = a KRW per USD rate), `side` (1 bid, -1 ask),
//! `is_snapshot`, `price_ticks`, `qty_lots`. Ticks are 1000 KRW, 0.1 USDT and 0.01 KRW, the lot is 0.001. The float
//! columns `price` and `qty` are not read.

use std::io::Cursor;

use crossbook_engine::book::sync::SequenceRule;
use crossbook_engine::event::{Kind, Level};
use crossbook_engine::units::{FxRate, Price, Qty, TimestampNs};
use polars::prelude::{DataFrame, DataType, Int64Chunked};
use polars_io::SerReader;
use polars_io::parquet::read::ParquetReader;

use super::error::{ImportError, Place, Problem};
use super::input::Input;
use super::output::{Channel, Output, Stream, Traits};
use super::{Importer, Options};
use crate::dataset::manifest::EventTime;
use crate::dataset::message::Message;

const TRAITS: Traits = Traits {
    sequence: SequenceRule::None,
    event_time: EventTime::Exchange,
};
const COLUMNS: [&str; 8] = [
    "ts_ns",
    "local_ns",
    "msg",
    "venue",
    "side",
    "is_snapshot",
    "price_ticks",
    "qty_lots",
];
/// Tick of each venue in 1e-8: 1000 KRW, 0.1 USDT, 0.01 KRW per USD.
const TICKS: [i64; 3] = [100_000_000_000, 10_000_000, 1_000_000];
/// 0.001.
const LOT: i64 = 100_000;
/// Rows decoded at a time.
const SLICE: usize = 1 << 18;

/// Reads the parity feed.
pub struct Parity<'a> {
    options: &'a Options,
}

impl<'a> Parity<'a> {
    /// With these options.
    pub fn new(options: &'a Options) -> Parity<'a> {
        Parity { options }
    }
}

impl Importer for Parity<'_> {
    fn read(&mut self, input: Input<'_>, output: &mut Output<'_>) -> Result<(), ImportError> {
        let place = |row| Place {
            file: input.name.to_owned(),
            line: row,
        };
        let bad = |row, problem| ImportError::Bad {
            place: place(row),
            problem,
        };
        // Parquet is read from its end, so the (compressed) file is held; its rows are decoded slice by slice.
        let mut file = Vec::new();
        input
            .reader
            .read_to_end(&mut file)
            .map_err(|error| bad(0, Problem::Damaged(error.to_string())))?;
        let unreadable = |error: polars::prelude::PolarsError| bad(0, Problem::Damaged(error.to_string()));
        let prefix = self.options.venue_or("parity");
        let stream = |venue: String, symbol: &str, channel| Stream {
            venue,
            symbol: symbol.to_owned(),
            channel,
        };
        let streams = [
            stream(format!("{prefix}-a"), "KRW-BTC", Channel::Book),
            stream(format!("{prefix}-b"), "BTCUSDT", Channel::Book),
            stream(prefix, "USDKRW", Channel::Fx),
        ];
        let mut group: Option<(i64, usize, Message)> = None;
        let mut offset = 0;
        loop {
            let frame = ParquetReader::new(Cursor::new(file.as_slice()))
                .with_columns(Some(COLUMNS.map(str::to_owned).to_vec()))
                .with_slice(Some((offset, SLICE)))
                .finish()
                .map_err(unreadable)?;
            if frame.height() == 0 {
                break;
            }
            let columns = Columns::of(&frame).map_err(unreadable)?;
            for index in 0..frame.height() {
                let row = offset as u64 + index as u64 + 1;
                output.account.received += 1;
                let parsed = columns.row(index).map_err(|problem| bad(row, problem))?;
                if group.as_ref().is_some_and(|(id, ..)| *id != parsed.msg) {
                    flush(group.take(), &streams, output, || place(row))?;
                }
                let (_, _, message) = group.get_or_insert_with(|| (parsed.msg, parsed.venue, parsed.message()));
                parsed.add_to(message).map_err(|problem| bad(row, problem))?;
            }
            offset += frame.height();
        }
        flush(group, &streams, output, || place(offset as u64))?;
        output.account.applied = output.account.received;
        Ok(())
    }
}

fn flush(
    group: Option<(i64, usize, Message)>,
    streams: &[Stream; 3],
    output: &mut Output<'_>,
    place: impl FnOnce() -> Place,
) -> Result<(), ImportError> {
    match group {
        Some((_, venue, message)) => output.emit(&streams[venue], TRAITS, &message, true, place),
        None => Ok(()),
    }
}

struct Columns(Vec<Int64Chunked>);

impl Columns {
    fn of(frame: &DataFrame) -> Result<Columns, polars::prelude::PolarsError> {
        let column = |name: &str| frame.column(name)?.cast(&DataType::Int64)?.i64().cloned();
        COLUMNS
            .iter()
            .map(|name| column(name))
            .collect::<Result<_, _>>()
            .map(Columns)
    }

    fn row(&self, index: usize) -> Result<Row, Problem> {
        let mut values = [0; COLUMNS.len()];
        for ((value, column), name) in values.iter_mut().zip(&self.0).zip(COLUMNS) {
            *value = column.get(index).ok_or_else(|| Problem::Value {
                column: name.to_owned(),
                text: "null".to_owned(),
                allowed: "a whole number",
            })?;
        }
        let [ts_ns, local_ns, msg, venue, side, is_snapshot, price_ticks, qty_lots] = values;
        let venue = usize::try_from(venue)
            .ok()
            .filter(|venue| *venue < TICKS.len())
            .ok_or(Problem::Value {
                column: "venue".to_owned(),
                text: venue.to_string(),
                allowed: "0, 1, 2",
            })?;
        Ok(Row {
            ts_event: TimestampNs(ts_ns),
            ts_recv: TimestampNs(local_ns),
            msg,
            venue,
            side,
            is_snapshot: is_snapshot != 0,
            price: price_ticks.checked_mul(TICKS[venue]).unwrap_or(i64::MIN),
            qty: qty_lots.checked_mul(LOT).unwrap_or(i64::MIN),
        })
    }
}

struct Row {
    ts_event: TimestampNs,
    ts_recv: TimestampNs,
    msg: i64,
    venue: usize,
    side: i64,
    is_snapshot: bool,
    /// Raw 1e-8; the least integer when it did not fit, which no amount accepts.
    price: i64,
    qty: i64,
}

impl Row {
    fn message(&self) -> Message {
        let kind = match (self.venue, self.is_snapshot) {
            (2, _) => Kind::Fx,
            (_, true) => Kind::CompleteSnapshot,
            (_, false) => Kind::Update,
        };
        Message::new(kind, self.ts_event, self.ts_recv)
    }

    fn add_to(&self, message: &mut Message) -> Result<(), Problem> {
        let amount = |column: &str, raw: i64| {
            let column = column.to_owned();
            move |source| Problem::Amount {
                column,
                text: raw.to_string(),
                source,
            }
        };
        if message.kind == Kind::Fx {
            let rate = FxRate::from_raw(self.price).map_err(amount("price_ticks", self.price))?;
            message.values = vec![rate.raw()];
            return Ok(());
        }
        let level = Level {
            price: Price::from_raw(self.price).map_err(amount("price_ticks", self.price))?,
            qty: Qty::from_raw(self.qty).map_err(amount("qty_lots", self.qty))?,
        };
        match self.side {
            1 => message.bids.push(level),
            -1 => message.asks.push(level),
            other => {
                return Err(Problem::Value {
                    column: "side".to_owned(),
                    text: other.to_string(),
                    allowed: "1 (bid), -1 (ask)",
                });
            }
        }
        Ok(())
    }
}
