//! Importers: one file per format, from what people really have to messages in arrival order.
//!
//! A format is a parser over a stream of bytes ([`Importer`]); it keeps state across the files of one import, so that a
//! day cut into hours is one recording. What always holds: memory is bounded whatever the size of the input, numbers
//! are exact or refused, and bad input stops the import with the file, the line and what is allowed. Only broken frames
//! of raw captures are put aside instead, and counted.

mod binance_capture;
mod binance_public;
mod bybit;
mod capture;
mod diff_book;
mod error;
mod folder;
mod frames;
mod fx;
mod hftbacktest;
mod input;
mod journal;
mod jsonl;
mod output;
mod parity;
mod plain;
mod table;
mod tardis;
#[cfg(test)]
mod tests;
pub mod time;
mod upbit_capture;
mod wide;

use std::io::Read;
use std::path::{Path, PathBuf};

use crossbook_engine::book::sync::SequenceRule;
use crossbook_engine::units::{Price, Qty};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

pub use self::error::{ImportError, OptionsError, Place, Problem};
pub use self::folder::{ClockOffset, Interrupted, Made, Report, Target, describe, import_into};
pub use self::fx::{FxColumns, When, read_rates};
pub use self::input::{Input, Progress, each_member};
pub use self::journal::Recording;
pub use self::output::{Account, Channel, Output, Quarantined, Sink, Stream, Summary, Traits};
pub use self::time::PublishedAt;

/// What an input is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Tardis.dev CSV: incremental_book_L2, book_snapshot_5/25, quotes, trades (told by the header).
    Tardis,
    /// Binance public data: bookTicker (futures).
    BinanceBookTicker,
    /// Binance public data: aggTrades (spot and futures).
    BinanceAggTrades,
    /// Binance public data: bookDepth (futures; percentage bands, coarse).
    BinanceBookDepth,
    /// hftbacktest event arrays: .npz, .npy.
    Hftbacktest,
    /// Raw WebSocket capture of Binance, spot or futures.
    RawBinance,
    /// Raw WebSocket capture of Upbit.
    RawUpbit,
    /// Raw WebSocket capture of Bybit (cryptofeed v3 JSON lines).
    RawBybit,
    /// One row a snapshot: timestamp,symbol,b1..bN,bv1..bvN,a1..aN,av1..avN.
    WideCsv,
    /// One JSON object a snapshot: timestamp, exchange, symbol, bids, asks.
    JsonlSnapshots,
    /// One row a level: ts,venue,symbol,side,price,qty and optional columns.
    Csv,
    /// One row a top of book: ts,bid,bid_qty,ask,ask_qty.
    TopCsv,
    /// Exchange rates: date or ts, and rate columns.
    FxCsv,
    /// The parity feed: flat Parquet rows of two venues and a rate.
    Parity,
    /// A folder that `crossbook record` wrote: books with their trades, rates, gaps.
    Journal,
}

impl Format {
    /// As it is spelled on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Format::Tardis => "tardis",
            Format::BinanceBookTicker => "binance-book-ticker",
            Format::BinanceAggTrades => "binance-agg-trades",
            Format::BinanceBookDepth => "binance-book-depth",
            Format::Hftbacktest => "hftbacktest",
            Format::RawBinance => "raw-binance",
            Format::RawUpbit => "raw-upbit",
            Format::RawBybit => "raw-bybit",
            Format::WideCsv => "wide-csv",
            Format::JsonlSnapshots => "jsonl-snapshots",
            Format::Csv => "csv",
            Format::TopCsv => "top-csv",
            Format::FxCsv => "fx-csv",
            Format::Parity => "parity",
            Format::Journal => "journal",
        }
    }
}

/// Which streams of a raw capture are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Channels {
    /// The book from diffs and snapshots.
    pub depth: bool,
    /// The book ticker, as a dataset of its own.
    pub ticker: bool,
    /// Trades: beside the book when it is wanted too, else as a dataset of their own.
    pub trade: bool,
}

impl Default for Channels {
    fn default() -> Channels {
        Channels {
            depth: true,
            ticker: false,
            trade: false,
        }
    }
}

/// What rows of a plain CSV mean when no column says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum RowsMean {
    /// Rows of one instant are the whole top of the book.
    Snapshots,
    /// Rows are changes; those of the first instant start the book.
    Updates,
}

/// What the user says of the inputs. Each format uses what concerns it.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Only these symbols; all when empty.
    pub symbols: Vec<String>,
    /// Venue, for formats that do not name it (or to override).
    pub venue: Option<String>,
    /// Streams of a raw capture.
    pub channels: Channels,
    /// Zone of local times.
    pub zone: Option<TimeZone>,
    /// Latency to assume where a format has no receive time, in ns.
    pub assumed_latency_ns: i64,
    /// How far back a receive time may go and still be put in order, in ns.
    pub reorder_ns: i64,
    /// Snapshots hold everything there is, not only the top of the book.
    pub complete: bool,
    /// A book that starts without a snapshot starts empty (hftbacktest).
    pub start_empty: bool,
    /// Price step of float prices.
    pub tick: Option<Price>,
    /// Quantity step of float quantities.
    pub lot: Option<Qty>,
    /// Cut quantities of CSV files that are finer than 1e-8 instead of refusing them.
    pub cut_sizes: bool,
    /// What plain CSV rows mean.
    pub rows: Option<RowsMean>,
    /// How the messages of a plain CSV are numbered.
    pub sequence: Option<SequenceRule>,
    /// Columns of exchange rates; `rate` when empty.
    pub fx_columns: Vec<FxColumns>,
    /// When a rate of a date became public.
    pub published_at: Option<PublishedAt>,
}

impl Options {
    /// The venue that was given, or this one.
    fn venue_or(&self, default: &str) -> String {
        self.venue.clone().unwrap_or_else(|| default.to_owned())
    }

    /// The one symbol that was given.
    ///
    /// # Errors
    /// When none was, or several.
    fn one_symbol(&self, format: Format, why: &'static str) -> Result<String, ImportError> {
        match self.symbols.as_slice() {
            [one] => Ok(one.clone()),
            _ => Err(ImportError::Options(OptionsError::Missing {
                format: format.name(),
                option: "--symbol",
                why,
            })),
        }
    }

    fn need_venue(&self, format: Format) -> Result<String, ImportError> {
        self.venue.clone().ok_or(ImportError::Options(OptionsError::Missing {
            format: format.name(),
            option: "--venue",
            why: "the file does not say where it was recorded",
        }))
    }
}

/// A format's parser.
pub trait Importer {
    /// Reads one stream of bytes.
    ///
    /// # Errors
    /// When it is not what the format says, or the output fails.
    fn read(&mut self, input: Input<'_>, output: &mut Output<'_>) -> Result<(), ImportError>;

    /// The inputs are over: gives out what was held back.
    ///
    /// # Errors
    /// When the output fails.
    fn finish(&mut self, _output: &mut Output<'_>) -> Result<(), ImportError> {
        Ok(())
    }
}

/// The parser of a format; none for journals, which are folders and not streams of bytes.
fn importer<'a>(format: Format, options: &'a Options) -> Result<Option<Box<dyn Importer + 'a>>, ImportError> {
    Ok(Some(match format {
        Format::Tardis => Box::new(tardis::Tardis::new(options)),
        Format::BinanceBookTicker | Format::BinanceAggTrades | Format::BinanceBookDepth => {
            Box::new(binance_public::BinancePublic::new(format, options))
        }
        Format::Hftbacktest => Box::new(hftbacktest::Hftbacktest::new(options)?),
        Format::RawBinance => Box::new(binance_capture::BinanceCapture::new(options)),
        Format::RawUpbit => Box::new(upbit_capture::UpbitCapture::new(options)),
        Format::RawBybit => Box::new(bybit::BybitCapture::new(options)),
        Format::WideCsv => Box::new(wide::WideCsv::new(options)),
        Format::JsonlSnapshots => Box::new(jsonl::JsonlSnapshots::new(options)),
        Format::Csv => Box::new(plain::PlainCsv::new(options)),
        Format::TopCsv => Box::new(plain::TopCsv::new(options)),
        Format::FxCsv => Box::new(fx::FxCsv::new(options)),
        Format::Parity => Box::new(parity::Parity::new(options)),
        Format::Journal => return Ok(None),
    }))
}

/// Imports files, in the order given, into a sink.
///
/// # Errors
/// [`ImportError`]; the sink then holds half a dataset and is to be thrown away.
pub fn import(
    format: Format,
    inputs: &[PathBuf],
    options: &Options,
    sink: &mut dyn Sink,
    progress: Progress<'_>,
) -> Result<Imported, ImportError> {
    let mut output = Output::new(options, sink);
    let mut recording = None;
    match importer(format, options)? {
        Some(mut importer) => {
            for path in inputs {
                each_member(path, progress, &mut |input| importer.read(input, &mut output))?;
            }
            importer.finish(&mut output)?;
        }
        None => {
            let [dir] = inputs else {
                return Err(ImportError::Options(OptionsError::Value {
                    option: "INPUT",
                    value: format!("{} folders", inputs.len()),
                    allowed: "one recording at a time",
                }));
            };
            recording = Some(journal::read(dir, options, &mut output, progress)?);
        }
    }
    let (streams, account) = output.finish()?;
    Ok(Imported {
        streams,
        account,
        recording,
    })
}

/// What an import came to.
#[derive(Debug)]
pub struct Imported {
    /// The streams, by name.
    pub streams: Vec<Summary>,
    /// What became of everything that came in.
    pub account: Account,
    /// Of a journal: its gaps and damages.
    pub recording: Option<Recording>,
}

/// The format of a file, told by its first bytes and its name; `None` when that is not clear.
///
/// # Errors
/// When the file cannot be opened or is damaged.
pub fn detect(path: &Path) -> Result<Option<Format>, ImportError> {
    if path.is_dir()
        && !crossbook_feed::journal::segments_in(path)
            .unwrap_or_default()
            .is_empty()
    {
        return Ok(Some(Format::Journal));
    }
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().to_lowercase())
        .unwrap_or_default();
    let mut found = None;
    let mut members = 0;
    each_member(path, &|_| (), &mut |input| {
        members += 1;
        if members > 1 {
            return Ok(());
        }
        let mut head = Vec::new();
        // Damage further in is the importer's to report.
        let _ = input.reader.take(1 << 16).read_to_end(&mut head);
        found = detect_head(&head, &name);
        Ok(())
    })?;
    Ok(found)
}

fn detect_head(head: &[u8], name: &str) -> Option<Format> {
    if head.starts_with(b"\x93NUMPY") {
        return Some(Format::Hftbacktest);
    }
    if head.starts_with(b"PAR1") {
        return Some(Format::Parity);
    }
    let text = String::from_utf8_lossy(head);
    let mut lines = text.lines();
    let first = lines.next()?.trim_start_matches('\u{feff}');
    if first.starts_with("{\"t\":") && (first.contains("BYBIT") || first.contains("\\\"topic\\\":")) {
        return Some(Format::RawBybit);
    }
    if first.starts_with("{\"timestamp\"") && first.contains("\"bids\"") {
        return Some(Format::JsonlSnapshots);
    }
    if first.starts_with("configuration:") || capture::looks_like_a_frame(first) {
        if text.contains("\"tms\":") || text.contains("api.upbit.com") || text.contains("\"orderbook_units\":") {
            return Some(Format::RawUpbit);
        }
        if text.contains("\"stream\":") || text.contains("\"lastUpdateId\":") || text.contains("binance.com") {
            return Some(Format::RawBinance);
        }
        return None;
    }
    let columns: Vec<&str> = first.split(',').map(|name| name.trim().trim_matches('"')).collect();
    let has = |name: &str| columns.contains(&name);
    if has("exchange") && has("symbol") && has("timestamp") && has("local_timestamp") {
        return Some(Format::Tardis);
    }
    if has("best_bid_price") || name.contains("bookticker") {
        return Some(Format::BinanceBookTicker);
    }
    if has("agg_trade_id") || name.contains("aggtrades") {
        return Some(Format::BinanceAggTrades);
    }
    if has("percentage") && has("depth") && has("notional") {
        return Some(Format::BinanceBookDepth);
    }
    if has("timestamp") && has("b1") && has("a1") && has("bv1") {
        return Some(Format::WideCsv);
    }
    if has("ts") && has("side") && has("price") && has("qty") {
        return Some(Format::Csv);
    }
    if has("ts") && (has("bid") || has("bid_price")) && has("bid_qty") {
        return Some(Format::TopCsv);
    }
    if has("rate") || (has("date") && has("eurusd")) {
        return Some(Format::FxCsv);
    }
    None
}
