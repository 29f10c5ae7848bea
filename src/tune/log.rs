//! The trial log: `trials.jsonl`, one line a finished trial, only ever appended to. It is the truth of a session; what a
//! store elsewhere holds is a copy of it.
//!
//! A line is `{"checksum":"…","record":{…}}`, the checksum being the first 16 hex digits of BLAKE3 over the record's bytes.
//!
//! - *Invariant:* whoever holds a [`TrialLog`] holds a lock on its file: two coordinators cannot write one session. The lock
//!   is advisory and goes with the process, however it ends.
//! - *Invariant:* a line that a reader takes was written whole. A last line that is torn (the process or the machine died
//!   while it was written) is cut off on opening and told; a broken line before it is refused, with its number.
//! - A record that was handed to [`TrialLog::append`] is in the kernel's hands when that returns, so `kill -9` loses
//!   nothing. It is forced to disk once a second and at the end: power loss may cost the trials of the last second.

use std::borrow::Cow;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use thiserror::Error;

use super::trial::Record;

/// Name of the log in a session's folder.
pub const FILE: &str = "trials.jsonl";

/// How long a finished trial may wait to be forced to disk.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// Hex digits of a line's checksum.
const DIGITS: usize = 16;

/// Why a log cannot be used.
#[derive(Debug, Error)]
pub enum LogError {
    /// The system refused.
    #[error("{path}: {source}")]
    Io {
        /// The log.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process writes this session.
    #[error("{path}: another process works on this session; end it first, or start one under another id")]
    Locked {
        /// The log.
        path: PathBuf,
    },
    /// A line is not what was written.
    #[error("{path}:{line}: {why}; the log is damaged: restore it, or remove this line and all after it and resume")]
    Broken {
        /// The log.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
}

#[derive(Serialize, Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    checksum: Cow<'a, str>,
    #[serde(borrow)]
    record: &'a RawValue,
}

/// A record as JSON, the same bytes wherever it is made: what checksums and the session's digest are taken over.
///
/// # Errors
/// Never for a record whose numbers are finite; see [`Record::is_finite`].
pub fn canonical(record: &Record) -> Result<String, String> {
    serde_json::to_string(record).map_err(|error| error.to_string())
}

/// The line of a log for a record, without its end.
///
/// # Errors
/// As [`canonical`].
pub fn to_line(record: &Record) -> Result<String, String> {
    let json = canonical(record)?;
    Ok(format!("{{\"checksum\":\"{}\",\"record\":{json}}}", checksum(&json)))
}

/// The record of a line.
///
/// # Errors
/// What is wrong with it.
pub fn parse_line(line: &[u8]) -> Result<Record, String> {
    let line: Line = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let json = line.record.get();
    if checksum(json) != line.checksum {
        return Err("the checksum does not agree with the record".to_owned());
    }
    serde_json::from_str(json).map_err(|error| error.to_string())
}

fn checksum(json: &str) -> String {
    let mut hex = blake3::hash(json.as_bytes()).to_hex().to_string();
    hex.truncate(DIGITS);
    hex
}

/// What a log held when it was read.
#[derive(Debug, Default)]
pub struct Found {
    /// The records in the order of the lines.
    pub records: Vec<Record>,
    /// Bytes of a torn last line; 0 when there is none.
    pub torn: u64,
    /// Bytes of the whole lines.
    pub bytes: u64,
}

/// Reads a log without touching it; a torn last line is left out.
///
/// # Errors
/// When the file cannot be read, or a line before the last is broken.
pub fn read(path: &Path) -> Result<Found, LogError> {
    let file = File::open(path).map_err(|source| LogError::Io {
        path: path.to_owned(),
        source,
    })?;
    read_from(&file, path)
}

fn read_from(file: &File, path: &Path) -> Result<Found, LogError> {
    let failed = |source| LogError::Io {
        path: path.to_owned(),
        source,
    };
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let mut found = Found::default();
    let mut line = Vec::new();
    // Why the line just read is broken: forgiven when it turns out to be the last.
    let mut broken: Option<String> = None;
    loop {
        line.clear();
        let length = reader.read_until(b'\n', &mut line).map_err(failed)? as u64;
        if length == 0 {
            return Ok(found);
        }
        if let Some(why) = broken {
            let line = found.records.len() as u64 + 1;
            let path = path.to_owned();
            return Err(LogError::Broken { path, line, why });
        }
        let parsed = match line.split_last() {
            Some((b'\n', text)) => parse_line(text),
            _ => Err("the line has no end".to_owned()),
        };
        match parsed {
            Ok(record) => {
                found.records.push(record);
                found.bytes += length;
                broken = None;
            }
            Err(why) => {
                found.torn = length;
                broken = Some(why);
            }
        }
    }
}

/// A session's log, open for appending and locked.
#[derive(Debug)]
pub struct TrialLog {
    path: PathBuf,
    file: File,
    bytes: u64,
    lines: u64,
    buffer: Vec<u8>,
    unsynced: Option<Instant>,
}

impl TrialLog {
    /// Opens or makes a log, locks it, reads it and cuts off a torn last line.
    ///
    /// # Errors
    /// See [`LogError`].
    pub fn open(path: &Path) -> Result<(TrialLog, Found), LogError> {
        let failed = |source| LogError::Io {
            path: path.to_owned(),
            source,
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LogError::Locked { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let found = read_from(&file, path)?;
        if found.torn > 0 {
            file.set_len(found.bytes).map_err(failed)?;
        }
        file.seek(SeekFrom::Start(found.bytes)).map_err(failed)?;
        let log = TrialLog {
            path: path.to_owned(),
            file,
            bytes: found.bytes,
            lines: found.records.len() as u64,
            buffer: Vec::new(),
            unsynced: None,
        };
        Ok((log, found))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Lines in it.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// Appends records in one write, and forces the file to disk when a second has passed since that was due.
    ///
    /// # Errors
    /// What the system said; then the log is as it was before, as far as the system lets us.
    pub fn append<'r>(&mut self, records: impl IntoIterator<Item = &'r Record>) -> Result<(), LogError> {
        self.buffer.clear();
        let mut lines = 0;
        for record in records {
            let line = to_line(record).map_err(|why| self.failed(io::Error::other(why)))?;
            self.buffer.extend_from_slice(line.as_bytes());
            self.buffer.push(b'\n');
            lines += 1;
        }
        if let Err(error) = self.file.write_all(&self.buffer) {
            let _ = self.file.set_len(self.bytes);
            let _ = self.file.seek(SeekFrom::Start(self.bytes));
            return Err(self.failed(error));
        }
        self.bytes += self.buffer.len() as u64;
        self.lines += lines;
        match self.unsynced {
            Some(since) if since.elapsed() >= SYNC_EVERY => self.sync(),
            Some(_) => Ok(()),
            None => {
                self.unsynced = Some(Instant::now());
                Ok(())
            }
        }
    }

    /// Forces what was appended to disk.
    ///
    /// # Errors
    /// What the system said.
    pub fn sync(&mut self) -> Result<(), LogError> {
        self.unsynced = None;
        self.file.sync_data().map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> LogError {
        LogError::Io {
            path: self.path.clone(),
            source,
        }
    }
}

/// Follows a growing log line by line, as raw text: how a store elsewhere is fed.
#[derive(Debug)]
pub struct Tail {
    file: File,
    offset: u64,
    line: u64,
}

impl Tail {
    /// Begins at the first line.
    ///
    /// # Errors
    /// What the system said.
    pub fn open(path: &Path) -> io::Result<Tail> {
        Ok(Tail {
            file: File::open(path)?,
            offset: 0,
            line: 0,
        })
    }

    /// Lines passed.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// Begins anew.
    pub fn rewind(&mut self) {
        (self.offset, self.line) = (0, 0);
    }

    /// Whole lines from where it stands, without their ends: at least one if there is one, at most `count` and not much
    /// more than `bytes`. It does not move; see [`pass`](Tail::pass).
    ///
    /// # Errors
    /// What the system said.
    pub fn peek(&mut self, count: usize, bytes: usize) -> io::Result<Vec<String>> {
        self.file.seek(SeekFrom::Start(self.offset))?;
        let mut reader = BufReader::with_capacity(1 << 16, Read::by_ref(&mut self.file));
        let (mut lines, mut taken) = (Vec::new(), 0);
        while lines.len() < count && taken < bytes {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            if line.pop() != Some('\n') {
                break;
            }
            taken += line.len() + 1;
            lines.push(line);
        }
        Ok(lines)
    }

    /// Moves past lines that [`peek`](Tail::peek) gave.
    pub fn pass(&mut self, lines: &[String]) {
        self.offset += lines.iter().map(|line| line.len() as u64 + 1).sum::<u64>();
        self.line += lines.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crossbook_tuner::space::Value;
    use proptest::prelude::*;

    use super::*;
    use crate::tune::trial::State;

    fn record(id: u64, value: f64) -> Record {
        Record {
            id,
            fold: 0,
            params: BTreeMap::from([("strategy.entry_bps".to_owned(), Value::Float(value))]),
            state: State::Complete,
            reason: None,
            same_as: None,
            value: Some(value),
            rungs: vec![],
            train: None,
            test: None,
            cases: vec![],
            train_periods: vec![value, -value / 3.0],
            test_periods: vec![],
        }
    }

    fn written(path: &Path, count: u64) -> Vec<Record> {
        let (mut log, _) = TrialLog::open(path).unwrap();
        let records: Vec<Record> = (0..count).map(|id| record(id, id as f64 / 7.0)).collect();
        log.append(&records).unwrap();
        log.sync().unwrap();
        records
    }

    #[test]
    fn what_was_appended_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let records = written(&path, 5);
        let (mut log, found) = TrialLog::open(&path).unwrap();
        assert_eq!((&found.records, found.torn, log.lines()), (&records, 0, 5));
        log.append([&record(5, 0.5)]).unwrap();
        assert_eq!(read(&path).unwrap().records.len(), 6);
    }

    #[test]
    fn two_cannot_write_one_session() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let first = TrialLog::open(&path).unwrap();
        assert!(matches!(TrialLog::open(&path), Err(LogError::Locked { .. })));
        drop(first);
        assert!(TrialLog::open(&path).is_ok());
    }

    /// Wherever the last line is cut, the lines before it stay, and the log goes on as if it had never begun.
    #[test]
    fn f75_a_torn_last_line_is_cut_off_at_any_length() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let records = written(&path, 3);
        let whole = std::fs::read(&path).unwrap();
        let last = to_line(&records[2]).unwrap().len() + 1;
        for cut in whole.len() - last..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            assert_eq!(read(&path).unwrap().records, records[..2], "read only, cut at {cut}");
            let (mut log, found) = TrialLog::open(&path).unwrap();
            assert_eq!(found.records, records[..2], "cut at {cut}");
            assert_eq!(found.torn, (cut - (whole.len() - last)) as u64);
            log.append(&records[2..]).unwrap();
            drop(log);
            assert!(std::fs::read(&path).unwrap() == whole, "cut at {cut}");
        }
    }

    #[test]
    fn f75_a_broken_line_before_the_last_is_refused_with_its_number() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        written(&path, 3);
        let whole = std::fs::read(&path).unwrap();
        let second = whole.iter().position(|&byte| byte == b'\n').unwrap() + 1;
        for (at, with) in [(second + 60, b'7'), (second + 3, b'x'), (second, b'\n')] {
            let mut damaged = whole.clone();
            assert_ne!(damaged[at], with);
            damaged[at] = with;
            std::fs::write(&path, &damaged).unwrap();
            let error = TrialLog::open(&path).unwrap_err();
            assert!(matches!(error, LogError::Broken { line: 2, .. }), "{error}");
            assert!(error.to_string().contains("trials.jsonl:2: "), "{error}");
        }
    }

    #[test]
    fn a_tail_gives_whole_lines_as_they_come() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let (mut log, _) = TrialLog::open(&path).unwrap();
        let mut tail = Tail::open(&path).unwrap();
        assert!(tail.peek(10, 1 << 20).unwrap().is_empty());
        let records: Vec<Record> = (0..5).map(|id| record(id, 1.0)).collect();
        log.append(&records).unwrap();
        let lines = tail.peek(3, 1 << 20).unwrap();
        assert_eq!(lines.len(), 3);
        tail.pass(&lines);
        assert_eq!(tail.peek(10, 1).unwrap().len(), 1, "a small budget still gives one");
        let lines = tail.peek(10, 1 << 20).unwrap();
        assert_eq!(parse_line(lines[1].as_bytes()).unwrap(), records[4]);
        tail.pass(&lines);
        assert_eq!(tail.line(), 5);
        tail.rewind();
        assert_eq!(tail.peek(1, 1).unwrap()[0], to_line(&records[0]).unwrap());
    }

    proptest! {
        /// Numbers come back with all their bits: a resumed sampler must be told what the first one was.
        #[test]
        fn lines_keep_every_bit(bits in any::<u64>(), id in any::<u64>()) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite());
            let before = record(id, value);
            let after = parse_line(to_line(&before).unwrap().as_bytes()).unwrap();
            prop_assert_eq!(after.value.unwrap().to_bits(), bits);
            prop_assert_eq!(canonical(&after).unwrap(), canonical(&before).unwrap());
        }

        #[test]
        fn any_bytes_are_a_record_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_line(&bytes);
        }
    }
}
