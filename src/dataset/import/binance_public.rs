//! Binance public data (data.binance.vision): `bookTicker` and `bookDepth` of futures, `aggTrades` of spot and futures;
//! zip or plain, with or without a header line.
//!
//! The files carry no receive time: it is taken to be the exchange's own output time plus `--assume-latency-ms`. The
//! symbol is the first part of the file's name (`BTCUSDT-aggTrades-2025-01-01.zip`) unless `--symbol` says otherwise.
//! Spot times are microseconds since 2025-01-01, milliseconds before.

use crossbook_engine::book::sync::SequenceRule;
use crossbook_engine::event::{Kind, Level};
use crossbook_engine::instrument::Side;
use crossbook_engine::units::{Price, Qty, TimestampNs};
use jiff::tz::TimeZone;

use super::error::{ImportError, OptionsError, Problem};
use super::input::Input;
use super::output::{Channel, Output, Stream, Traits};
use super::table::{Column, Table};
use super::time::TimeColumn;
use super::{Format, Importer, Options};
use crate::dataset::manifest::EventTime;
use crate::dataset::message::Message;

const BOOK_TICKER: [&str; 7] = [
    "update_id",
    "best_bid_price",
    "best_bid_qty",
    "best_ask_price",
    "best_ask_qty",
    "transaction_time",
    "event_time",
];
/// Futures files end before the last column.
const AGG_TRADES: [&str; 8] = [
    "agg_trade_id",
    "price",
    "quantity",
    "first_trade_id",
    "last_trade_id",
    "transact_time",
    "is_buyer_maker",
    "is_best_match",
];
const BOOK_DEPTH: [&str; 4] = ["timestamp", "percentage", "depth", "notional"];

const TRAITS: Traits = Traits {
    sequence: SequenceRule::None,
    event_time: EventTime::Exchange,
};

/// Reads Binance's public files of one kind.
pub struct BinancePublic<'a> {
    format: Format,
    options: &'a Options,
}

impl<'a> BinancePublic<'a> {
    /// For `BinanceBookTicker`, `BinanceAggTrades` or `BinanceBookDepth`.
    pub fn new(format: Format, options: &'a Options) -> BinancePublic<'a> {
        BinancePublic { format, options }
    }

    /// The symbol given, or the one in the file's name.
    fn symbol(&self, input_name: &str) -> Result<String, ImportError> {
        if let [one] = self.options.symbols.as_slice() {
            return Ok(one.clone());
        }
        let file = input_name.rsplit(['/', ':']).next().unwrap_or_default();
        match file.split_once('-') {
            Some((symbol, _))
                if !symbol.is_empty() && symbol.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') =>
            {
                Ok(symbol.to_uppercase())
            }
            _ => Err(ImportError::Options(OptionsError::Missing {
                format: self.format.name(),
                option: "--symbol",
                why: "the file's name does not begin with it (BTCUSDT-aggTrades-….zip)",
            })),
        }
    }

    fn recv(&self, ts: TimestampNs) -> TimestampNs {
        ts.plus(self.options.assumed_latency_ns)
    }

    fn book_ticker(&self, mut table: Table<'_>, stream: &Stream, output: &mut Output<'_>) -> Result<(), ImportError> {
        let id = table.column("update_id")?;
        let bid = (table.column("best_bid_price")?, table.column("best_bid_qty")?);
        let ask = (table.column("best_ask_price")?, table.column("best_ask_qty")?);
        let (transaction, event) = (table.column("transaction_time")?, table.column("event_time")?);
        let mut times = TimeColumn::default();
        while table.advance()? {
            output.account.received += 1;
            let ts_event = table.time(transaction, &mut times)?;
            let ts_recv = self.recv(table.time(event, &mut times)?);
            let mut message = Message::new(Kind::Snapshot, ts_event, ts_recv);
            message.seq_last = table.sequence(id)?;
            for (list, (price, qty)) in [(&mut message.bids, bid), (&mut message.asks, ask)] {
                let qty = table.qty(qty)?;
                if !qty.is_zero() {
                    list.push(Level {
                        price: table.price(price)?,
                        qty,
                    });
                }
            }
            output.emit(stream, TRAITS, &message, true, || table.place())?;
            output.account.applied += 1;
        }
        Ok(())
    }

    fn agg_trades(&self, mut table: Table<'_>, stream: &Stream, output: &mut Output<'_>) -> Result<(), ImportError> {
        let (id, price) = (table.column("agg_trade_id")?, table.column("price")?);
        let (qty, maker) = (table.column("quantity")?, table.column("is_buyer_maker")?);
        let time = table.column_of(&["transact_time", "timestamp", "time"])?;
        let mut times = TimeColumn::default();
        while table.advance()? {
            output.account.received += 1;
            let ts_event = table.time(time, &mut times)?;
            let taker = if table.flag(maker)? { Side::Sell } else { Side::Buy };
            let mut message = Message::trade(
                ts_event,
                self.recv(ts_event),
                table.price(price)?,
                table.qty(qty)?,
                taker,
            );
            message.seq_last = table.sequence(id)?;
            output.emit(stream, TRAITS, &message, false, || table.place())?;
            output.account.applied += 1;
        }
        Ok(())
    }

    fn book_depth(&self, mut table: Table<'_>, stream: &Stream, output: &mut Output<'_>) -> Result<(), ImportError> {
        let columns = [
            table.column("timestamp")?,
            table.column("percentage")?,
            table.column("depth")?,
            table.column("notional")?,
        ];
        let mut times = TimeColumn::new(Some(TimeZone::UTC));
        let mut bands = Bands::default();
        while table.advance()? {
            output.account.received += 1;
            let [time, percentage, depth, notional] = columns;
            let ts = table.time(time, &mut times)?;
            if bands.ts != Some(ts) {
                self.flush(&mut bands, &table, stream, output)?;
                bands.ts = Some(ts);
                bands.first_line = table.line_number();
            }
            bands.push(&table, percentage, depth, notional)?;
        }
        self.flush(&mut bands, &table, stream, output)
    }

    fn flush(
        &self,
        bands: &mut Bands,
        table: &Table<'_>,
        stream: &Stream,
        output: &mut Output<'_>,
    ) -> Result<(), ImportError> {
        let (Some(ts), rows) = (bands.ts.take(), bands.rows()) else {
            return Ok(());
        };
        let mut message = Message::new(Kind::Snapshot, ts, self.recv(ts));
        let levels = Bands::levels(&mut bands.bids).and_then(|bids| Ok((bids, Bands::levels(&mut bands.asks)?)));
        (message.bids, message.asks) = levels.map_err(|problem| table.bad(problem))?;
        output.emit(stream, TRAITS, &message, false, || table.place_at(bands.first_line))?;
        output.account.applied += rows;
        Ok(())
    }
}

impl Importer for BinancePublic<'_> {
    fn read(&mut self, input: Input<'_>, output: &mut Output<'_>) -> Result<(), ImportError> {
        let symbol = self.symbol(input.name)?;
        let stream = |channel, spot: bool| Stream {
            venue: self.options.venue_or(match (spot, symbol.contains('_')) {
                (true, _) => "binance",
                (false, false) => "binance-usdm",
                (false, true) => "binance-coinm",
            }),
            symbol: symbol.clone(),
            channel,
        };
        match self.format {
            Format::BinanceBookTicker => {
                let table = Table::with_or_without_header(input, &BOOK_TICKER)?;
                self.book_ticker(table, &stream(Channel::Quotes, false), output)
            }
            Format::BinanceBookDepth => {
                let table = Table::with_or_without_header(input, &BOOK_DEPTH)?;
                self.book_depth(table, &stream(Channel::Book, false), output)
            }
            _ => {
                let table = Table::with_or_without_header(input, &AGG_TRADES)?;
                let spot = table.header().len() == AGG_TRADES.len();
                self.agg_trades(table, &stream(Channel::Trades, spot), output)
            }
        }
    }
}

/// One instant of `bookDepth`: cumulative depth and notional within a percentage of the middle.
///
/// A band's only price is what the differences of two neighbours imply: `Δnotional / Δdepth`, the mean price of what
/// rests between them, rounded to 1e-8. So the "best" level is the mean of the whole innermost band (1 % wide,
/// say), not the best price: fit for studies of depth, not for prices to trade on.
#[derive(Default)]
struct Bands {
    ts: Option<TimestampNs>,
    first_line: u64,
    /// `(percentage, depth, notional)`, absolute percentage, raw 1e-8.
    bids: Vec<(i64, i64, i64)>,
    asks: Vec<(i64, i64, i64)>,
}

impl Bands {
    fn rows(&self) -> u64 {
        (self.bids.len() + self.asks.len()) as u64
    }

    fn push(
        &mut self,
        table: &Table<'_>,
        percentage: Column,
        depth: Column,
        notional: Column,
    ) -> Result<(), ImportError> {
        let (at, depth, notional) = (
            table.number(percentage)?,
            table.qty(depth)?.raw(),
            table.qty(notional)?.raw(),
        );
        match at {
            0 => return Err(table.value(percentage, "a percentage below zero (bids) or above (asks)")),
            ..0 => self.bids.push((at.saturating_neg(), depth, notional)),
            1.. => self.asks.push((at, depth, notional)),
        }
        Ok(())
    }

    fn levels(bands: &mut Vec<(i64, i64, i64)>) -> Result<Vec<Level>, Problem> {
        bands.sort_unstable();
        let mut levels = Vec::with_capacity(bands.len());
        let (mut depth, mut notional) = (0, 0);
        for (at, next_depth, next_notional) in bands.drain(..) {
            let (qty, value) = (next_depth - depth, next_notional - notional);
            (depth, notional) = (next_depth, next_notional);
            if qty == 0 && value == 0 {
                continue;
            }
            let shrinks = || Problem::Value {
                column: "depth".to_owned(),
                text: format!("{} at {} %", next_depth as f64 / 1e8, at as f64 / 1e8),
                allowed: "depth and notional that grow with the distance from the middle",
            };
            if qty <= 0 || value <= 0 {
                return Err(shrinks());
            }
            let price = (i128::from(value) * 100_000_000 + i128::from(qty) / 2) / i128::from(qty);
            let price = i64::try_from(price)
                .ok()
                .and_then(|raw| Price::from_raw(raw).ok())
                .ok_or_else(shrinks)?;
            let qty = Qty::from_raw(qty).map_err(|_| shrinks())?;
            levels.push(Level { price, qty });
        }
        Ok(levels)
    }
}
