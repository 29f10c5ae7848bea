//! The truth log: everything that really happened, for those who check what others made of it.
//!
//! One JSON object a line, append-only, compressed when the name ends in `.zst`. All amounts are counts of 1e-8, all times
//! nanoseconds. `t` is true time, `c` what the exchange's clock showed. What always holds: a book's ids have no hole, and
//! the checksum of a line is that of the book after it; [`read`] refuses a log where that is not so. A log that cannot be
//! written stops the exchange: one with a hole would not be the truth.

mod line;
pub mod read;
#[cfg(test)]
mod tests;

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crossbook_engine::event::Level;
use crossbook_engine::units::TimestampNs;

pub use line::{Line, ListedMarket};

use crate::config::TruthConfig;
use crate::exchange::{
    AccountEvent, AccountEventKind, BookView, MarketEventKind, MarketInfo, OrderView, Reject, Venue,
};
use crate::faults::{FaultNotice, Target};

/// What is kept in memory before it is written.
const BUFFER: usize = 256 << 10;
/// What is written is readable by others after this long, in the exchange's time.
const FLUSH_NS: i64 = 1_000_000_000;
/// Of zstd.
const COMPRESSION: i32 = 3;

/// Why the log cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("truth log {path}: {source}")]
pub struct TruthError {
    /// Which file.
    pub path: PathBuf,
    /// Why.
    pub source: std::io::Error,
}

enum Sink {
    Plain(BufWriter<File>),
    Packed(Box<zstd::Encoder<'static, BufWriter<File>>>),
}

impl Sink {
    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Sink::Plain(writer) => writer,
            Sink::Packed(writer) => writer.as_mut(),
        }
    }
}

/// A log that is being written.
pub(crate) struct Truth {
    path: PathBuf,
    sink: Sink,
    buffer: Vec<u8>,
    flushed: TimestampNs,
    checkpoint_every: u32,
    levels: usize,
    /// Changes of each market's book since it was last written whole.
    since: Vec<u32>,
    lines: u64,
    error: Option<std::io::Error>,
}

impl Truth {
    /// Begins a log. An existing file is left alone, which is an error.
    pub fn create(path: &Path, config: &TruthConfig, markets: usize) -> Result<Truth, TruthError> {
        let failed = |source| TruthError {
            path: path.to_owned(),
            source,
        };
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(path)
            .map_err(failed)?;
        let writer = BufWriter::with_capacity(BUFFER, file);
        let packed = path.extension().is_some_and(|end| end == "zst");
        let sink = if packed {
            Sink::Packed(Box::new(zstd::Encoder::new(writer, COMPRESSION).map_err(failed)?))
        } else {
            Sink::Plain(writer)
        };
        Ok(Truth {
            path: path.to_owned(),
            sink,
            buffer: Vec::new(),
            flushed: TimestampNs::MIN,
            checkpoint_every: config.checkpoint_every,
            levels: config.checksum_levels,
            since: vec![0; markets],
            lines: 0,
            error: None,
        })
    }

    /// Levels a side in a checksum.
    pub fn levels(&self) -> usize {
        self.levels
    }

    /// The first line, and each market's book as it opens.
    pub fn head(&mut self, seed: u64, start: TimestampNs, markets: &[MarketInfo]) {
        let markets = markets.iter().map(|info| ListedMarket {
            venue: info.venue,
            symbol: info.symbol.to_string(),
        });
        self.write(
            start,
            &Line::Head {
                v: 1,
                seed,
                start: start.0,
                levels: self.levels,
                markets: markets.collect(),
            },
        );
    }

    /// A whole book.
    pub fn snapshot(&mut self, t: TimestampNs, c: TimestampNs, market: usize, view: &BookView) {
        if let Some(since) = self.since.get_mut(market) {
            *since = 0;
        }
        let h = checksum(&view.bids, &view.asks, self.levels);
        self.write(
            t,
            &Line::Snap {
                t: t.0,
                c: c.0,
                m: market,
                u: view.last_id,
                b: pairs(&view.bids),
                a: pairs(&view.asks),
                h,
            },
        );
    }

    /// Whether a market's book is to be written whole again.
    pub fn wants_snapshot(&self, market: usize) -> bool {
        self.since
            .get(market)
            .is_some_and(|since| *since >= self.checkpoint_every)
    }

    /// Something in a market; `h` is the checksum of its book after that.
    pub fn market(
        &mut self,
        t: TimestampNs,
        c: TimestampNs,
        market: usize,
        kind: &MarketEventKind,
        info: &MarketInfo,
        h: u64,
    ) {
        let line = match kind {
            MarketEventKind::Book {
                first_id,
                last_id,
                bids,
                asks,
            } => {
                if let Some(since) = self.since.get_mut(market) {
                    *since += 1;
                }
                Line::Book {
                    t: t.0,
                    c: c.0,
                    m: market,
                    first: *first_id,
                    u: *last_id,
                    b: pairs(bids),
                    a: pairs(asks),
                    h,
                }
            }
            MarketEventKind::Trade { id, price, qty, taker } => Line::Trade {
                t: t.0,
                c: c.0,
                m: market,
                id: *id,
                p: price.raw(),
                q: qty.raw(),
                s: *taker,
            },
            MarketEventKind::Mark { mark, rate, next } => Line::Mark {
                t: t.0,
                c: c.0,
                m: market,
                p: mark.raw(),
                rate: *rate,
                next: next.0,
            },
            MarketEventKind::Rules => Line::Rules {
                t: t.0,
                c: c.0,
                m: market,
                status: info.status,
                lot: info.lot.raw(),
                min_total: info.min_total.raw(),
            },
        };
        self.write(t, &line);
    }

    /// Something that happened to an account.
    pub fn account(&mut self, t: TimestampNs, event: &AccountEvent) {
        let order = |e: &str, order: &OrderView| Line::Order {
            t: t.0,
            c: event.ts.0,
            account: event.account,
            e: e.to_owned(),
            id: order.id,
            client_id: order.order.client_id.clone(),
            symbol: order.order.symbol.to_string(),
            side: order.order.side,
            state: format!("{:?}", order.state).to_lowercase(),
            executed: order.executed.raw(),
            funds: order.executed_funds.raw(),
            locked: order.locked.raw(),
        };
        match &event.kind {
            AccountEventKind::New(view) => self.write(t, &order("new", view)),
            AccountEventKind::Working(view) => self.write(t, &order("working", view)),
            AccountEventKind::Amended(view) => self.write(t, &order("amended", view)),
            AccountEventKind::Ended(view) => self.write(t, &order("ended", view)),
            AccountEventKind::Trade(view) => {
                self.write(t, &order("trade", view));
                if let Some(fill) = view.fills.last() {
                    let line = Line::Fill {
                        t: t.0,
                        c: event.ts.0,
                        account: event.account,
                        id: view.id,
                        trade: fill.trade_id,
                        p: fill.price.raw(),
                        q: fill.qty.raw(),
                        funds: fill.funds.raw(),
                        fee: fill.fee.raw(),
                        fee_currency: fill.fee_currency.to_string(),
                        maker: fill.maker,
                    };
                    self.write(t, &line);
                }
            }
            AccountEventKind::Balances(list) => {
                let line = Line::Balances {
                    t: t.0,
                    c: event.ts.0,
                    account: event.account,
                    v: list
                        .iter()
                        .map(|balance| (balance.currency.to_string(), balance.free.raw(), balance.locked.raw()))
                        .collect(),
                };
                self.write(t, &line);
            }
        }
    }

    /// An order that was refused.
    pub fn refused(&mut self, t: TimestampNs, account: u32, symbol: &str, client_id: Option<&str>, reject: Reject) {
        let line = Line::Refused {
            t: t.0,
            account,
            symbol: symbol.to_owned(),
            client_id: client_id.map(str::to_owned),
            why: reject.to_string(),
        };
        self.write(t, &line);
    }

    /// A fault begins or ends.
    pub fn fault(&mut self, notice: &FaultNotice) {
        let line = Line::Fault {
            t: notice.ts.0,
            f: notice.fault,
            on: notice.begins,
            kind: format!("{:?}", notice.kind),
            venue: notice.scope.venue,
            symbols: notice
                .scope
                .symbols
                .iter()
                .map(|(_, symbol)| symbol.to_string())
                .collect(),
        };
        self.write(notice.ts, &line);
    }

    /// A fault struck something that a server was about to do.
    pub fn hit(&mut self, t: TimestampNs, fault: usize, target: &Target<'_>) {
        let line = Line::Hit {
            t: t.0,
            f: fault,
            venue: target.venue,
            path: target.path.to_owned(),
            symbol: target.symbol.map(str::to_owned),
        };
        self.write(t, &line);
    }

    /// A request came, and this is how it was answered.
    pub fn request(
        &mut self,
        t: TimestampNs,
        venue: Venue,
        account: Option<u32>,
        method: &str,
        path: &str,
        status: u16,
    ) {
        let line = Line::Request {
            t: t.0,
            venue,
            account,
            method: method.to_owned(),
            path: path.to_owned(),
            status,
        };
        self.write(t, &line);
    }

    fn write(&mut self, t: TimestampNs, line: &Line) {
        if self.error.is_some() {
            return;
        }
        let result = self.try_write(t, line);
        self.error = result.err();
    }

    fn try_write(&mut self, t: TimestampNs, line: &Line) -> std::io::Result<()> {
        self.buffer.clear();
        serde_json::to_writer(&mut self.buffer, line)?;
        self.buffer.push(b'\n');
        self.lines += 1;
        let writer = self.sink.writer();
        writer.write_all(&self.buffer)?;
        if t.since(self.flushed) >= FLUSH_NS {
            self.flushed = t;
            writer.flush()?;
        }
        Ok(())
    }

    fn failed(&self, source: std::io::Error) -> TruthError {
        TruthError {
            path: self.path.clone(),
            source,
        }
    }

    /// What went wrong since the last time, if anything did. The log is closed to further lines then.
    pub fn check(&mut self) -> Result<(), TruthError> {
        match self.error.take() {
            None => Ok(()),
            Some(source) => {
                self.error = Some(std::io::Error::other("closed after an error"));
                Err(self.failed(source))
            }
        }
    }

    /// The last line; everything is on the disk after that.
    pub fn finish(mut self, t: TimestampNs) -> Result<(), TruthError> {
        let lines = self.lines + 1;
        self.write(t, &Line::End { t: t.0, lines });
        self.check()?;
        let path = self.path;
        let done = match self.sink {
            Sink::Plain(mut writer) => writer.flush().map(|()| writer),
            Sink::Packed(encoder) => encoder.finish(),
        };
        let synced = done
            .and_then(|writer| writer.into_inner().map_err(std::io::IntoInnerError::into_error))
            .and_then(|file| file.sync_all());
        synced.map_err(|source| TruthError { path, source })
    }
}

fn pairs(levels: &[Level]) -> Vec<(i64, i64)> {
    levels
        .iter()
        .map(|level| (level.price.raw(), level.qty.raw()))
        .collect()
}

/// Checksum of the top `levels` of a book, each side best first.
///
/// FNV-1a over the words: for every level its price and its quantity in 1e-8, after the bids a word of ones.
pub fn checksum(bids: &[Level], asks: &[Level], levels: usize) -> u64 {
    let words = |side: &[Level]| -> Vec<(i64, i64)> { pairs(&side[..side.len().min(levels)]) };
    checksum_of(words(bids).into_iter(), words(asks).into_iter())
}

/// The same over pairs of price and quantity that are cut already.
pub(crate) fn checksum_of(bids: impl Iterator<Item = (i64, i64)>, asks: impl Iterator<Item = (i64, i64)>) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    let mut mix = |word: i64| hash = (hash ^ word as u64).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
    for (price, qty) in bids {
        mix(price);
        mix(qty);
    }
    mix(-1);
    for (price, qty) in asks {
        mix(price);
        mix(qty);
    }
    hash
}
