//! Reading a truth log: its lines one by one, or an index of every state that every book was ever in.
//!
//! What always holds of an [`Index`]: ids had no hole, and every checksum was recomputed from the rebuilt book and agreed.
//! A log whose writer was killed ends in a torn line or a torn compressed block: everything before it is read, and
//! [`Index::complete`] says that it is not all.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use super::{Line, ListedMarket, checksum_of};
use crate::exchange::Venue;

/// Longest line that is taken: a whole book of ten thousand levels a side has under a megabyte.
const LONGEST: u64 = 16 << 20;

/// Why a log is not believed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It cannot be read.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line is none of those that a log has, or does not fit those before it.
    #[error("{path}: line {line}: {message}")]
    Line {
        /// Which file.
        path: PathBuf,
        /// Its number, from 1.
        line: u64,
        /// What is wrong with it.
        message: String,
    },
}

/// The lines of a log.
pub struct Reader {
    path: PathBuf,
    input: Box<dyn BufRead + Send>,
    text: Vec<u8>,
    number: u64,
    torn: bool,
}

impl Reader {
    /// Opens a log; a name ending in `.zst` is decompressed.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> Result<Reader, ReadError> {
        let failed = |source| ReadError::Io {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(failed)?;
        let input: Box<dyn BufRead + Send> = if path.extension().is_some_and(|end| end == "zst") {
            Box::new(BufReader::new(zstd::Decoder::new(file).map_err(failed)?))
        } else {
            Box::new(BufReader::new(file))
        };
        Ok(Reader {
            path: path.to_owned(),
            input,
            text: Vec::new(),
            number: 0,
            torn: false,
        })
    }

    /// The next line; `None` at the end, which may be a torn one.
    ///
    /// # Errors
    /// When a whole line cannot be read as one.
    pub fn next_line(&mut self) -> Result<Option<Line>, ReadError> {
        self.text.clear();
        let read = (&mut self.input).take(LONGEST).read_until(b'\n', &mut self.text);
        match read {
            Ok(0) => return Ok(None),
            Ok(_) if self.text.last() == Some(&b'\n') => {}
            Ok(_) => {
                self.torn = true;
                return Ok(None);
            }
            // A compressed block whose end was never written.
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                self.torn = true;
                return Ok(None);
            }
            Err(source) => {
                return Err(ReadError::Io {
                    path: self.path.clone(),
                    source,
                });
            }
        }
        self.number += 1;
        match serde_json::from_slice(&self.text) {
            Ok(line) => Ok(Some(line)),
            Err(error) => Err(self.wrong(error.to_string())),
        }
    }

    fn wrong(&self, message: String) -> ReadError {
        ReadError::Line {
            path: self.path.clone(),
            line: self.number,
            message,
        }
    }
}

/// A book rebuilt from a log; prices and quantities in 1e-8.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TruthBook {
    /// Last id in it; zero before the first whole book.
    pub last_id: u64,
    /// Bids by price.
    pub bids: BTreeMap<i64, i64>,
    /// Asks by price.
    pub asks: BTreeMap<i64, i64>,
}

impl TruthBook {
    /// Checksum of its top levels, as [`super::checksum`] has it.
    pub fn checksum(&self, levels: usize) -> u64 {
        let bids = self.bids.iter().rev().take(levels).map(|(&price, &qty)| (price, qty));
        let asks = self.asks.iter().take(levels).map(|(&price, &qty)| (price, qty));
        checksum_of(bids, asks)
    }

    /// Applies a line of this market.
    ///
    /// # Errors
    /// What is wrong with it: a hole in the ids, or a whole book that is another than the one that was rebuilt.
    fn apply(&mut self, line: &Line) -> Result<(), String> {
        match line {
            Line::Snap { u, b, a, .. } => {
                let whole = TruthBook {
                    last_id: *u,
                    bids: b.iter().copied().collect(),
                    asks: a.iter().copied().collect(),
                };
                if self.last_id != 0 && *self != whole {
                    return Err(format!(
                        "the book with id {u} is not the one that changes up to {} make",
                        self.last_id
                    ));
                }
                *self = whole;
            }
            Line::Book { first, u, b, a, .. } => {
                if *first != self.last_id + 1 || u < first {
                    return Err(format!("ids {first} to {u} do not follow {}", self.last_id));
                }
                self.last_id = *u;
                for (changes, side) in [(b, &mut self.bids), (a, &mut self.asks)] {
                    for &(price, qty) in changes {
                        if qty == 0 {
                            side.remove(&price);
                        } else {
                            side.insert(price, qty);
                        }
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// One state of one book.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// True time at which it began, nanoseconds.
    pub t: i64,
    /// What the exchange's clock showed then.
    pub c: i64,
    /// Its last id.
    pub last_id: u64,
    /// Checksum of its top levels.
    pub hash: u64,
}

/// Every state of every book.
#[derive(Debug)]
pub struct Index {
    /// Markets, as other lines number them.
    pub markets: Vec<ListedMarket>,
    /// Levels a side in the hashes.
    pub levels: usize,
    /// Whether the log was closed, and is all there.
    pub complete: bool,
    /// Number of lines.
    pub lines: u64,
    states: Vec<Vec<State>>,
    /// Milliseconds of the exchange's clock and a state that began then, in that order.
    by_clock: Vec<Vec<(i64, usize)>>,
}

impl Index {
    /// Reads a whole log. Hashes are over `levels` a side, or over as many as the log's own when absent.
    ///
    /// # Errors
    /// When it cannot be read, or contradicts itself.
    pub fn load(path: &Path, levels: Option<usize>) -> Result<Index, ReadError> {
        let mut index: Option<Index> = None;
        let mut own = 0;
        let mut books = Vec::new();
        let mut reader = Reader::open(path)?;
        while let Some(line) = reader.next_line()? {
            match (&line, &mut index) {
                (
                    Line::Head {
                        levels: logged,
                        markets,
                        ..
                    },
                    None,
                ) => {
                    own = *logged;
                    books = vec![TruthBook::default(); markets.len()];
                    index = Some(Index {
                        markets: markets.clone(),
                        levels: levels.unwrap_or(own),
                        complete: false,
                        lines: 0,
                        states: vec![Vec::new(); markets.len()],
                        by_clock: Vec::new(),
                    });
                }
                (_, None) => return Err(reader.wrong("the first line is no head".to_owned())),
                (Line::Snap { t, c, m, h, .. } | Line::Book { t, c, m, h, .. }, Some(index)) => {
                    let (Some(book), Some(states)) = (books.get_mut(*m), index.states.get_mut(*m)) else {
                        return Err(reader.wrong(format!("there is no market {m}")));
                    };
                    book.apply(&line).map_err(|message| reader.wrong(message))?;
                    let logged = book.checksum(own);
                    if logged != *h {
                        return Err(reader.wrong(format!("its checksum is {h}, but the book's is {logged}")));
                    }
                    let state = State {
                        t: *t,
                        c: *c,
                        last_id: book.last_id,
                        hash: if index.levels == own {
                            logged
                        } else {
                            book.checksum(index.levels)
                        },
                    };
                    if states.last().is_none_or(|last: &State| last.last_id != state.last_id) {
                        states.push(state);
                    }
                }
                (Line::End { lines, .. }, Some(index)) => index.complete = *lines == reader.number,
                _ => {}
            }
        }
        let mut index = index.ok_or_else(|| reader.wrong("there is no line".to_owned()))?;
        index.lines = reader.number;
        index.by_clock = index.states.iter().map(|states| by_clock(states)).collect();
        index.complete &= !reader.torn;
        Ok(index)
    }

    /// All states of a market's book, oldest first.
    pub fn states(&self, venue: Venue, symbol: &str) -> &[State] {
        self.market(venue, symbol).map_or(&[], |at| self.states[at].as_slice())
    }

    /// The state that a book with this last id is in.
    pub fn at_id(&self, venue: Venue, symbol: &str, id: u64) -> Option<State> {
        let states = self.states(venue, symbol);
        let at = states.binary_search_by_key(&id, |state| state.last_id).ok()?;
        Some(states[at])
    }

    /// The state at a true time.
    pub fn at(&self, venue: Venue, symbol: &str, t: i64) -> Option<State> {
        let states = self.states(venue, symbol);
        let after = states.partition_point(|state| state.t <= t);
        states.get(after.checked_sub(1)?).copied()
    }

    /// States that a message stamped with these milliseconds of the exchange's clock may show: those that began at them,
    /// however that clock was stepped, and before them the newest that began earlier.
    pub fn at_clock_ms(&self, venue: Venue, symbol: &str, ms: i64) -> Vec<State> {
        let Some(at) = self.market(venue, symbol) else {
            return Vec::new();
        };
        let (states, clock) = (&self.states[at], &self.by_clock[at]);
        let from = clock.partition_point(|(stamp, _)| *stamp < ms);
        let to = clock.partition_point(|(stamp, _)| *stamp <= ms);
        clock[from.saturating_sub(1)..to]
            .iter()
            .map(|&(_, state)| states[state])
            .collect()
    }

    fn market(&self, venue: Venue, symbol: &str) -> Option<usize> {
        self.markets
            .iter()
            .position(|market| market.venue == venue && market.symbol == symbol)
    }
}

/// The book of one market after the change with this last id.
///
/// # Errors
/// When the log cannot be read; an id at which no change ended is `Ok(None)`.
pub fn book_at_id(path: &Path, venue: Venue, symbol: &str, id: u64) -> Result<Option<TruthBook>, ReadError> {
    let mut reader = Reader::open(path)?;
    let mut market = None;
    let mut book = TruthBook::default();
    while let Some(line) = reader.next_line()? {
        match &line {
            Line::Head { markets, .. } => {
                market = markets
                    .iter()
                    .position(|listed| listed.venue == venue && listed.symbol == symbol);
            }
            Line::Snap { m, .. } | Line::Book { m, .. } if Some(*m) == market => {
                book.apply(&line).map_err(|message| reader.wrong(message))?;
                if book.last_id == id {
                    return Ok(Some(book));
                }
            }
            _ => {}
        }
    }
    Ok(None)
}

fn by_clock(states: &[State]) -> Vec<(i64, usize)> {
    let stamps = states.iter().map(|state| state.c.div_euclid(1_000_000));
    let mut sorted: Vec<(i64, usize)> = stamps.zip(0..).collect();
    sorted.sort_unstable();
    sorted
}
