//! hftbacktest event arrays: `.npy`, or `.npz` with one array, of the structured type
//! `ev u8, exch_ts i8, local_ts i8, px f8, qty f8, order_id u8, ival i8, fval f8`.
//!
//! Source: hftbacktest documentation (data page, event types). `ev` holds a kind in its low byte (1 depth, 2 trade, 3
//! clear, 4 snapshot) and flags: bit 31 for the exchange's processor, bit 30 for the local one, bits 29 and 28 for the
//! sides. Rows without the local flag are the exchange's view of rows that come again for the local one; they are passed
//! over. Prices and sizes are floats: each becomes a whole number of `--tick` or `--lot`, or, without these, its shortest
//! exact decimal, or is refused.

use std::collections::BTreeMap;

use crossbook_engine::book::sync::SequenceRule;
use crossbook_engine::event::{Kind, Level};
use crossbook_engine::instrument::Side;
use crossbook_engine::units::{AmountError, Price, Qty, TimestampNs, parse_number};

use super::error::{ImportError, Place, Problem};
use super::input::Input;
use super::output::{Channel, Output, Stream, Traits};
use super::time::Unit;
use super::{Format, Importer, Options};
use crate::dataset::manifest::EventTime;
use crate::dataset::message::Message;

const TRAITS: Traits = Traits {
    sequence: SequenceRule::None,
    event_time: EventTime::Exchange,
};

const EXCH: u64 = 1 << 31;
const LOCAL: u64 = 1 << 30;
const BUY: u64 = 1 << 29;
const SELL: u64 = 1 << 28;
const DEPTH: u64 = 1;
const TRADE: u64 = 2;
const CLEAR: u64 = 3;
const SNAPSHOT: u64 = 4;

/// Field names in order with the NumPy type of each; all are eight bytes.
const FIELDS: [(&str, &str); 8] = [
    ("ev", "<u8"),
    ("exch_ts", "<i8"),
    ("local_ts", "<i8"),
    ("px", "<f8"),
    ("qty", "<f8"),
    ("order_id", "<u8"),
    ("ival", "<i8"),
    ("fval", "<f8"),
];
const ROW: usize = 64;
/// A header is a short Python dictionary.
const LONGEST_HEADER: usize = 1 << 16;

/// Reads hftbacktest arrays.
pub struct Hftbacktest<'a> {
    options: &'a Options,
    stream: Stream,
    /// The book as the rows say, for clears that name only a price. Raw 1e-8.
    book: [BTreeMap<i64, i64>; 2],
    group: Option<Group>,
    started: bool,
}

/// Rows of one instant.
struct Group {
    ts: (i64, i64),
    message: Message,
    rows: u64,
    /// A clear or a snapshot is among them: the message is the whole book after them.
    whole: bool,
}

impl<'a> Hftbacktest<'a> {
    /// With these options; venue and symbol are needed, since the arrays name neither.
    ///
    /// # Errors
    /// When one of them is missing.
    pub fn new(options: &'a Options) -> Result<Hftbacktest<'a>, ImportError> {
        let format = Format::Hftbacktest;
        let venue = options.need_venue(format)?;
        let symbol = options.one_symbol(format, "the arrays do not name their market")?;
        Ok(Hftbacktest {
            options,
            stream: Stream {
                venue,
                symbol,
                channel: Channel::Book,
            },
            book: [BTreeMap::new(), BTreeMap::new()],
            group: None,
            started: false,
        })
    }

    fn row(&mut self, row: &Row, place: &dyn Fn() -> Place, output: &mut Output<'_>) -> Result<(), ImportError> {
        let bad = |problem| ImportError::Bad {
            place: place(),
            problem,
        };
        output.account.received += 1;
        if row.ev & (EXCH | LOCAL) == EXCH {
            output.account.ignore("the exchange's view of a row that comes again");
            return Ok(());
        }
        let kind = row.ev & 0xff;
        let side = match (row.ev & BUY != 0, row.ev & SELL != 0) {
            (true, false) => Some(Side::Buy),
            (false, true) => Some(Side::Sell),
            _ => None,
        };
        let ts = (
            stamp(row.exch_ts, "exch_ts").map_err(bad)?,
            stamp(row.local_ts, "local_ts").map_err(bad)?,
        );
        match (kind, side) {
            (TRADE, Some(taker)) => {
                self.flush(place, output)?;
                let (price, qty) = (self.price(row.px).map_err(bad)?, self.qty(row.qty).map_err(bad)?);
                let message = Message::trade(TimestampNs(ts.0), TimestampNs(ts.1), price, qty, taker);
                output.emit(&self.stream, TRAITS, &message, true, place)?;
                output.account.applied += 1;
            }
            (DEPTH | SNAPSHOT, Some(side)) => {
                let level = Level {
                    price: self.price(row.px).map_err(bad)?,
                    qty: self.qty(row.qty).map_err(bad)?,
                };
                self.open_group(ts, place, output)?;
                let bid = side == Side::Buy;
                set(&mut self.book[usize::from(!bid)], level);
                if let Some(group) = &mut self.group {
                    group.rows += 1;
                    group.whole |= kind == SNAPSHOT;
                    let list = if bid {
                        &mut group.message.bids
                    } else {
                        &mut group.message.asks
                    };
                    list.push(level);
                }
            }
            (CLEAR, side) => {
                // A price that is zero or no number clears the whole side.
                let up_to = if row.px > 0.0 {
                    Some(self.price(row.px).map_err(bad)?.raw())
                } else {
                    None
                };
                self.open_group(ts, place, output)?;
                if side != Some(Side::Sell) {
                    self.book[0].retain(|price, _| up_to.is_some_and(|bound| side.is_some() && *price < bound));
                }
                if side != Some(Side::Buy) {
                    self.book[1].retain(|price, _| up_to.is_some_and(|bound| side.is_some() && *price > bound));
                }
                if let Some(group) = &mut self.group {
                    group.rows += 1;
                    group.whole = true;
                }
            }
            (DEPTH | SNAPSHOT | TRADE, None) => output.account.ignore("no side"),
            (other, _) => output.account.ignore(&format!("other event: {other}")),
        }
        Ok(())
    }

    fn open_group(
        &mut self,
        ts: (i64, i64),
        place: &dyn Fn() -> Place,
        output: &mut Output<'_>,
    ) -> Result<(), ImportError> {
        if self.group.as_ref().is_some_and(|group| group.ts != ts) {
            self.flush(place, output)?;
        }
        self.group.get_or_insert_with(|| Group {
            ts,
            message: Message::new(Kind::Update, TimestampNs(ts.0), TimestampNs(ts.1)),
            rows: 0,
            whole: false,
        });
        Ok(())
    }

    fn flush(&mut self, place: &dyn Fn() -> Place, output: &mut Output<'_>) -> Result<(), ImportError> {
        let Some(Group {
            mut message,
            rows,
            whole,
            ..
        }) = self.group.take()
        else {
            return Ok(());
        };
        if whole || (!self.started && self.options.start_empty) {
            message.kind = if self.options.complete || !whole {
                Kind::CompleteSnapshot
            } else {
                Kind::Snapshot
            };
            let lists = [&mut message.bids, &mut message.asks];
            for (list, side) in lists.into_iter().zip(&self.book) {
                list.clear();
                for (&price, &qty) in side {
                    // They came out of checked amounts.
                    if let (Ok(price), Ok(qty)) = (Price::from_raw(price), Qty::from_raw(qty)) {
                        list.push(Level { price, qty });
                    }
                }
            }
        } else if !self.started {
            self.book.iter_mut().for_each(BTreeMap::clear);
            output
                .account
                .ignore_many("before the first snapshot (--start-empty begins without one)", rows);
            return Ok(());
        }
        self.started = true;
        output.emit(&self.stream, TRAITS, &message, true, place)?;
        output.account.applied += rows;
        Ok(())
    }

    fn price(&self, value: f64) -> Result<Price, Problem> {
        let raw = exact("px", value, self.options.tick.map(Price::raw), "--tick")?;
        Price::from_raw(raw).map_err(|source| Problem::Amount {
            column: "px".to_owned(),
            text: value.to_string(),
            source,
        })
    }

    fn qty(&self, value: f64) -> Result<Qty, Problem> {
        let raw = exact("qty", value, self.options.lot.map(Qty::raw), "--lot")?;
        Qty::from_raw(raw).map_err(|source| Problem::Amount {
            column: "qty".to_owned(),
            text: value.to_string(),
            source,
        })
    }
}

fn set(side: &mut BTreeMap<i64, i64>, level: Level) {
    if level.qty.is_zero() {
        side.remove(&level.price.raw());
    } else {
        side.insert(level.price.raw(), level.qty.raw());
    }
}

/// A float as a whole number of steps (within 1e-9 of itself), or as its shortest decimal.
fn exact(column: &'static str, value: f64, step: Option<i64>, option: &'static str) -> Result<i64, Problem> {
    let refused = |source| Problem::Amount {
        column: column.to_owned(),
        text: value.to_string(),
        source,
    };
    if !value.is_finite() {
        return Err(refused(AmountError::NotANumber));
    }
    let Some(step) = step.filter(|step| *step > 0) else {
        // The shortest text that means this float: what a person would have written.
        return parse_number(&format!("{value:e}")).map_err(refused);
    };
    let unit = step as f64 / 1e8;
    let steps = (value / unit).round();
    if (value - steps * unit).abs() > value.abs() * 1e-9 {
        let step = Qty::from_raw(step).map(|step| step.to_string()).unwrap_or_default();
        return Err(Problem::OffGrid {
            column,
            value,
            step,
            option,
        });
    }
    // A float beyond the range of an integer becomes its end, which no product of it fits.
    let raw = (steps as i64).checked_mul(step);
    raw.ok_or_else(|| refused(AmountError::OutOfRange))
}

/// Nanoseconds, as hftbacktest wants them; another unit is told by its size and refused.
fn stamp(value: i64, column: &'static str) -> Result<i64, Problem> {
    match super::time::epoch(&value.to_string()) {
        Ok((ts, Unit::Nanos)) => Ok(ts.0),
        Ok((_, unit)) => Err(Problem::Value {
            column: column.to_owned(),
            text: format!("{value}, which is in {unit:?}"),
            allowed: "nanoseconds since the epoch",
        }),
        Err(source) => Err(Problem::Time {
            column: column.to_owned(),
            source,
        }),
    }
}

impl Importer for Hftbacktest<'_> {
    fn read(&mut self, input: Input<'_>, output: &mut Output<'_>) -> Result<(), ImportError> {
        let name = input.name.to_owned();
        let bad = |line, problem| ImportError::Bad {
            place: Place {
                file: name.clone(),
                line,
            },
            problem,
        };
        let count = read_header(input.reader).map_err(|problem| bad(0, problem))?;
        let mut bytes = [0u8; ROW];
        for index in 1..=count {
            input
                .reader
                .read_exact(&mut bytes)
                .map_err(|error| bad(index, Problem::Damaged(error.to_string())))?;
            let place = || Place {
                file: name.clone(),
                line: index,
            };
            self.row(&Row::of(&bytes), &place, output)?;
        }
        match input.reader.read(&mut bytes) {
            Ok(0) => Ok(()),
            Ok(_) => Err(bad(
                count,
                Problem::Header("more bytes than the header's shape says".to_owned()),
            )),
            Err(error) => Err(bad(count, Problem::Damaged(error.to_string()))),
        }
    }

    fn finish(&mut self, output: &mut Output<'_>) -> Result<(), ImportError> {
        self.flush(
            &|| Place {
                file: "the last rows".to_owned(),
                line: 0,
            },
            output,
        )
    }
}

struct Row {
    ev: u64,
    exch_ts: i64,
    local_ts: i64,
    px: f64,
    qty: f64,
}

impl Row {
    fn of(bytes: &[u8; ROW]) -> Row {
        let word = |index: usize| {
            let mut eight = [0; 8];
            eight.copy_from_slice(&bytes[index * 8..index * 8 + 8]);
            u64::from_le_bytes(eight)
        };
        Row {
            ev: word(0),
            exch_ts: word(1) as i64,
            local_ts: word(2) as i64,
            px: f64::from_bits(word(3)),
            qty: f64::from_bits(word(4)),
        }
    }
}

/// Reads a NumPy header and gives the number of rows.
fn read_header(reader: &mut dyn std::io::BufRead) -> Result<u64, Problem> {
    let damaged = |error: std::io::Error| Problem::Damaged(error.to_string());
    let mut start = [0u8; 8];
    reader.read_exact(&mut start).map_err(damaged)?;
    if &start[..6] != b"\x93NUMPY" {
        return Err(Problem::Header(
            "not a NumPy array; .npz with one array, or .npy, is allowed".to_owned(),
        ));
    }
    let mut length = [0u8; 4];
    let wide = match start[6] {
        1 => 2,
        2 | 3 => 4,
        other => {
            return Err(Problem::Header(format!(
                "NumPy format version {other}; 1, 2 and 3 are allowed"
            )));
        }
    };
    reader.read_exact(&mut length[..wide]).map_err(damaged)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > LONGEST_HEADER {
        return Err(Problem::Header(format!("a header of {length} bytes")));
    }
    let mut header = vec![0; length];
    reader.read_exact(&mut header).map_err(damaged)?;
    let header: String = String::from_utf8_lossy(&header).split_whitespace().collect();
    let want: Vec<String> = FIELDS
        .iter()
        .map(|(name, kind)| format!("('{name}','{kind}')"))
        .collect();
    let want = format!("'descr':[{}]", want.join(","));
    if !header.contains(&want) {
        return Err(Problem::Header(format!(
            "the array's type must be {want}; found {}",
            super::error::shorten(&header)
        )));
    }
    if !header.contains("'fortran_order':False") {
        return Err(Problem::Header("fortran_order must be False".to_owned()));
    }
    let shape = header
        .split_once("'shape':(")
        .and_then(|(_, rest)| rest.split_once(')'))
        .map(|(shape, _)| shape);
    match shape.map(|shape| shape.trim_end_matches(',').parse::<u64>()) {
        Some(Ok(count)) => Ok(count),
        _ => Err(Problem::Header("the shape must have one dimension".to_owned())),
    }
}
