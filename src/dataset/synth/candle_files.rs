//! Minute candles from CSV files, one at a time, exact.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use crossbook_engine::units::{AmountError, Price, TimestampNs};
use flate2::read::MultiGzDecoder;
use thiserror::Error;

/// Length of a candle.
pub(super) const MINUTE_NS: i64 = 60_000_000_000;

/// One minute of trading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candle {
    /// Its first instant, a whole minute.
    pub minute: TimestampNs,
    /// First price.
    pub open: Price,
    /// Highest price.
    pub high: Price,
    /// Lowest price.
    pub low: Price,
    /// Last price.
    pub close: Price,
}

/// What is wrong with the candles.
#[derive(Debug, Error)]
pub enum CandleError {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A line is not a candle.
    #[error("{}:{line}: {problem}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        problem: LineProblem,
    },
    /// A price that no market of this grid can have had.
    #[error("`{key}`: candle of {}: {price} is not on the grid of prices (tick {tick})", super::time(*.minute))]
    OffGrid {
        /// The market.
        key: &'static str,
        /// The candle.
        minute: TimestampNs,
        /// Its price.
        price: Price,
        /// The tick at that price.
        tick: Price,
    },
}

/// What is wrong with a line.
#[derive(Debug, Error)]
pub enum LineProblem {
    /// The header or the number of fields.
    #[error("the columns must be timestamp,open,high,low,close and perhaps more; found `{0}`")]
    Columns(String),
    /// Not text in CSV form.
    #[error("{0}")]
    Csv(String),
    /// The time cannot be read, or is no whole minute.
    #[error("time `{0}`: allowed is a whole minute in UTC such as `2024-08-24 22:28:00`")]
    Time(String),
    /// The minute does not come after the one before.
    #[error("minute `{0}` does not come after the one before it; candles must be sorted and unique")]
    Order(String),
    /// A price cannot be read.
    #[error("{column} `{text}`: {source}")]
    Amount {
        /// Its column.
        column: &'static str,
        /// The field.
        text: String,
        /// Why not.
        source: AmountError,
    },
    /// Open or close outside of low and high.
    #[error("open and close must lie between low and high")]
    Shape,
}

const COLUMNS: [&str; 5] = ["timestamp", "open", "high", "low", "close"];

/// Reads CSV files (plain or gzip) in the order given, in bounded memory. Minutes may be missing, but never go back.
pub struct CandleFiles {
    waiting: VecDeque<PathBuf>,
    current: Option<(PathBuf, csv::Reader<Box<dyn Read>>)>,
    record: csv::StringRecord,
    last: Option<TimestampNs>,
    failed: bool,
}

impl CandleFiles {
    /// Of these files, in order of time. Nothing is opened yet.
    pub fn new(paths: impl IntoIterator<Item = PathBuf>) -> CandleFiles {
        CandleFiles {
            waiting: paths.into_iter().collect(),
            current: None,
            record: csv::StringRecord::new(),
            last: None,
            failed: false,
        }
    }

    fn read(&mut self) -> Result<Option<Candle>, CandleError> {
        loop {
            if self.current.is_none() {
                let Some(path) = self.waiting.pop_front() else {
                    return Ok(None);
                };
                let reader = open(&path)?;
                self.current = Some((path, reader));
            }
            let Some((path, reader)) = &mut self.current else {
                return Ok(None);
            };
            let more = reader.read_record(&mut self.record);
            let line = self.record.position().map_or(0, csv::Position::line);
            let more = more.map_err(|error| failed(path, line, error))?;
            if !more {
                self.current = None;
                continue;
            }
            let candle = parse(&self.record, self.last).map_err(|problem| CandleError::Line {
                path: path.clone(),
                line,
                problem,
            })?;
            self.last = Some(candle.minute);
            return Ok(Some(candle));
        }
    }
}

impl Iterator for CandleFiles {
    type Item = Result<Candle, CandleError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.read().transpose();
        self.failed = matches!(next, Some(Err(_)));
        next
    }
}

fn open(path: &Path) -> Result<csv::Reader<Box<dyn Read>>, CandleError> {
    let unreadable = |source| CandleError::Read {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(unreadable)?;
    let mut input: Box<dyn Read> = if path.extension().is_some_and(|end| end == "gz") {
        Box::new(MultiGzDecoder::new(BufReader::new(file)))
    } else {
        Box::new(BufReader::new(file))
    };
    // Some sources begin with a byte-order mark.
    let mut start = Vec::new();
    input.by_ref().take(3).read_to_end(&mut start).map_err(unreadable)?;
    if start == b"\xef\xbb\xbf" {
        start.clear();
    }
    let input: Box<dyn Read> = Box::new(std::io::Cursor::new(start).chain(input));
    let mut reader = csv::ReaderBuilder::new().from_reader(input);
    let header = reader.headers().map_err(|error| failed(path, 1, error))?;
    if header.len() < COLUMNS.len() || !header.iter().zip(COLUMNS).all(|(found, wanted)| found.trim() == wanted) {
        let found = header.iter().collect::<Vec<_>>().join(",");
        return Err(CandleError::Line {
            path: path.to_owned(),
            line: 1,
            problem: LineProblem::Columns(found.chars().take(200).collect()),
        });
    }
    Ok(reader)
}

fn failed(path: &Path, line: u64, error: csv::Error) -> CandleError {
    let line = error.position().map_or(line, csv::Position::line);
    let path = path.to_owned();
    match error.into_kind() {
        csv::ErrorKind::Io(source) => CandleError::Read { path, source },
        kind => CandleError::Line {
            path,
            line,
            problem: LineProblem::Csv(format!("{kind:?}")),
        },
    }
}

fn parse(record: &csv::StringRecord, last: Option<TimestampNs>) -> Result<Candle, LineProblem> {
    let field = |index: usize| record.get(index).unwrap_or("").trim();
    let text = field(0);
    let minute = minute(text).ok_or_else(|| LineProblem::Time(text.to_owned()))?;
    if last.is_some_and(|last| minute <= last) {
        return Err(LineProblem::Order(text.to_owned()));
    }
    let price = |index: usize| {
        Price::parse(field(index)).map_err(|source| LineProblem::Amount {
            column: COLUMNS[index],
            text: field(index).to_owned(),
            source,
        })
    };
    let candle = Candle {
        minute,
        open: price(1)?,
        high: price(2)?,
        low: price(3)?,
        close: price(4)?,
    };
    let inside = |price: Price| candle.low <= price && price <= candle.high;
    if !inside(candle.open) || !inside(candle.close) {
        return Err(LineProblem::Shape);
    }
    Ok(candle)
}

fn minute(text: &str) -> Option<TimestampNs> {
    let ns = match text.parse::<jiff::Timestamp>() {
        Ok(stamp) => stamp.as_nanosecond(),
        // Without a zone it is UTC, as the candles' sources say.
        Err(_) => {
            let civil: jiff::civil::DateTime = text.parse().ok()?;
            civil
                .to_zoned(jiff::tz::TimeZone::UTC)
                .ok()?
                .timestamp()
                .as_nanosecond()
        }
    };
    let ns = i64::try_from(ns).ok()?;
    (ns % MINUTE_NS == 0).then_some(TimestampNs(ns))
}
