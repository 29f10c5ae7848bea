//! Makes a dataset of messages, in bounded memory, whole or not at all.
//!
//! Everything goes into a hidden folder beside the target, is flushed to the disk, and takes the target's name only when
//! complete. A writer that is dropped before it finished takes its folder away; one that was killed leaves it behind,
//! where nobody looks, until the next writer of the same dataset replaces it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crossbook_engine::event::Kind;
use crossbook_engine::units::TimestampNs;

use super::DatasetError;
use super::columns::{Encoder, Rows};
use super::error::RowFault;
use super::manifest::{Counts, DATA_FILE, DataFile, Draft, MANIFEST_FILE, Manifest, SCHEMA, Span};
use super::message::Message;

/// A row group ends at this many messages or list entries: small enough that a reader decodes one in a few MB.
const GROUP_MESSAGES: usize = 1 << 16;
const GROUP_ENTRIES: usize = 1 << 18;
const LOCK_FILE: &str = ".lock";

/// Writes one dataset.
pub struct Writer {
    target: PathBuf,
    temporary: Temporary,
    force: bool,
    draft: Draft,
    encoder: Encoder<HashingSink<File>>,
    failure: Failure,
    rows: Rows,
    counts: [u64; 7],
    level_rows: u64,
    messages: u64,
    recv: (TimestampNs, TimestampNs),
    event: (TimestampNs, TimestampNs),
    dropped: BTreeMap<String, u64>,
}

impl Writer {
    /// Begins a dataset in the folder `dir`, which must not exist unless `force`; nothing is there until
    /// [`Writer::finish`].
    ///
    /// # Errors
    /// Something exists there (with `force`: something that is no dataset), another process writes the same dataset, or
    /// the system refuses.
    pub fn create(dir: &Path, draft: Draft, force: bool) -> Result<Writer, DatasetError> {
        bring_back(dir)?;
        check_target(dir, force)?;
        let temporary = Temporary::create(dir)?;
        let data = temporary.path.join(DATA_FILE);
        let file = File::create(&data).map_err(DatasetError::io("create", &data))?;
        let failure = Failure::default();
        let sink = HashingSink::new(file, failure.clone());
        let encoder = Encoder::new(sink).map_err(|detail| failure.error(&data, detail))?;
        Ok(Writer {
            target: dir.to_owned(),
            temporary,
            force,
            draft,
            encoder,
            failure,
            rows: Rows::default(),
            counts: [0; 7],
            level_rows: 0,
            messages: 0,
            recv: (TimestampNs::MIN, TimestampNs::MIN),
            event: (TimestampNs::MAX, TimestampNs::MIN),
            dropped: BTreeMap::new(),
        })
    }

    /// Adds a message at the end.
    ///
    /// # Errors
    /// Time of receipt goes back, levels or values that do not fit the kind, or the system refuses. A refused message
    /// leaves the writer as it was.
    pub fn push(&mut self, message: &Message) -> Result<(), DatasetError> {
        let row = self.messages;
        let refused = |target: &Path, fault| DatasetError::Row {
            path: target.to_owned(),
            row,
            fault,
        };
        if self.messages > 0 && message.ts_recv < self.recv.1 {
            let fault = RowFault::Unsorted {
                previous: self.recv.1.0,
                found: message.ts_recv.0,
            };
            return Err(refused(&self.target, fault));
        }
        let levels = message.bids.len() + message.asks.len();
        if self.rows.len() >= GROUP_MESSAGES || (self.rows.len() > 0 && self.rows.entries() + levels > GROUP_ENTRIES) {
            self.flush_group()?;
        }
        self.rows.push(message).map_err(|fault| refused(&self.target, fault))?;
        if self.messages == 0 {
            self.recv.0 = message.ts_recv;
        }
        self.recv.1 = message.ts_recv;
        self.event = (self.event.0.min(message.ts_event), self.event.1.max(message.ts_event));
        self.messages += 1;
        self.level_rows += levels.max(1) as u64;
        self.counts[message.kind as usize] += 1;
        Ok(())
    }

    /// How many messages have been taken.
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// Notes in the manifest that the import left out `count` more records for this reason.
    pub fn count_dropped(&mut self, reason: &str, count: u64) {
        if count > 0 {
            *self.dropped.entry(reason.to_owned()).or_default() += count;
        }
    }

    /// What the manifest will say, for facts that are known only at the end of an import.
    pub fn draft_mut(&mut self) -> &mut Draft {
        &mut self.draft
    }

    /// Completes the dataset and gives it its name.
    ///
    /// # Errors
    /// The system refuses, or the target has come into being meanwhile. Nothing is left behind then.
    pub fn finish(mut self) -> Result<Manifest, DatasetError> {
        if self.rows.len() > 0 {
            self.flush_group()?;
        }
        let data = self.temporary.path.join(DATA_FILE);
        let sink = self
            .encoder
            .finish()
            .map_err(|detail| self.failure.error(&data, detail))?;
        let (file, hash, bytes) = sink.finish().map_err(DatasetError::io("write", &data))?;
        file.sync_all().map_err(DatasetError::io("flush", &data))?;
        drop(file);
        let manifest = Manifest {
            schema: SCHEMA,
            name: self.draft.name,
            venue: self.draft.venue,
            symbol: self.draft.symbol,
            kind: self.draft.kind,
            base: self.draft.base,
            quote: self.draft.quote,
            sequence: self.draft.sequence,
            event_time: self.draft.event_time,
            clock_offset_ns: self.draft.clock_offset_ns,
            licence: self.draft.licence,
            created_by: concat!("crossbook ", env!("CARGO_PKG_VERSION")).to_owned(),
            source: self.draft.source,
            rules: self.draft.rules,
            span: (self.messages > 0).then(|| Span::new(self.recv, self.event)),
            counts: Counts {
                messages: self.messages,
                rows: self.level_rows,
                kinds: (0u8..)
                    .map_while(Kind::from_code)
                    .zip(self.counts)
                    .filter(|&(_, count)| count > 0)
                    .collect(),
            },
            dropped: self.dropped,
            data: DataFile {
                file: DATA_FILE.to_owned(),
                bytes,
                blake3: hash,
            },
        };
        write_manifest(&self.temporary.path, &manifest)?;
        check_target(&self.target, self.force)?;
        self.temporary.become_target(&self.target)?;
        Ok(manifest)
    }

    fn flush_group(&mut self) -> Result<(), DatasetError> {
        self.encoder.write(&mut self.rows).map_err(|detail| {
            let data = self.temporary.path.join(DATA_FILE);
            self.failure.error(&data, detail)
        })
    }
}

/// Writes a manifest into its folder, to the disk and in one step.
///
/// # Errors
/// The system refuses; the manifest that was there is then untouched.
pub fn write_manifest(dir: &Path, manifest: &Manifest) -> Result<(), DatasetError> {
    let path = dir.join(MANIFEST_FILE);
    let text = manifest.to_text().map_err(|error| DatasetError::Manifest {
        path: path.clone(),
        detail: error.to_string(),
    })?;
    // Reading it back is cheap and catches whatever its checks would refuse later.
    Manifest::parse(&text, &path)?;
    write_text(dir, MANIFEST_FILE, &text)
}

/// Writes a small file to the disk under a temporary name and then gives it its own.
pub(super) fn write_text(dir: &Path, name: &str, text: &str) -> Result<(), DatasetError> {
    let path = dir.join(name);
    let temporary = dir.join(format!(".{name}.partial"));
    let written = File::create(&temporary).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    if let Err(source) = written {
        // Best effort: the error that matters is the one that is returned.
        let _ = fs::remove_file(&temporary);
        return Err(DatasetError::io("write", &path)(source));
    }
    fs::rename(&temporary, &path).map_err(DatasetError::io("rename", &path))?;
    sync_dir(dir)
}

fn sync_dir(dir: &Path) -> Result<(), DatasetError> {
    File::open(dir)
        .and_then(|file| file.sync_all())
        .map_err(DatasetError::io("flush", dir))
}

/// Makes the name of a file that was just renamed durable.
pub(super) fn sync_parent(path: &Path) -> Result<(), DatasetError> {
    sync_dir(&parent_of(path))
}

/// When a replacement was cut off between its two renames, what stood there before comes back.
fn bring_back(target: &Path) -> Result<(), DatasetError> {
    let old = hidden(target, "old");
    if old.exists() && !target.exists() {
        fs::rename(&old, target).map_err(DatasetError::io("rename", &old))?;
    }
    Ok(())
}

fn check_target(dir: &Path, force: bool) -> Result<(), DatasetError> {
    let exists = dir.try_exists().map_err(DatasetError::io("look at", dir))?;
    if !exists {
        return Ok(());
    }
    if !force {
        return Err(DatasetError::Exists { path: dir.to_owned() });
    }
    if dir.join(MANIFEST_FILE).is_file() {
        Ok(())
    } else {
        Err(DatasetError::NotADataset { path: dir.to_owned() })
    }
}

/// The hidden folder beside the target; gone when dropped.
struct Temporary {
    path: PathBuf,
    /// Held while we write, so that a second writer does not take the folder for a leftover.
    _lock: File,
    done: bool,
}

impl Temporary {
    fn create(target: &Path) -> Result<Temporary, DatasetError> {
        let parent = parent_of(target);
        fs::create_dir_all(&parent).map_err(DatasetError::io("create", &parent))?;
        let path = hidden(target, "partial");
        fs::create_dir_all(&path).map_err(DatasetError::io("create", &path))?;
        let lock_path = path.join(LOCK_FILE);
        let lock = File::create(&lock_path).map_err(DatasetError::io("create", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(DatasetError::Busy { path }),
            Err(TryLockError::Error(source)) => return Err(DatasetError::io("lock", &lock_path)(source)),
        }
        for leftover in [DATA_FILE, MANIFEST_FILE] {
            let leftover = path.join(leftover);
            match fs::remove_file(&leftover) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(DatasetError::io("remove", &leftover)(source));
                }
                _ => {}
            }
        }
        Ok(Temporary {
            path,
            _lock: lock,
            done: false,
        })
    }

    fn become_target(&mut self, target: &Path) -> Result<(), DatasetError> {
        sync_dir(&self.path)?;
        let old = hidden(target, "old");
        let replaces = target.exists();
        if replaces {
            if old.exists() {
                fs::remove_dir_all(&old).map_err(DatasetError::io("remove", &old))?;
            }
            fs::rename(target, &old).map_err(DatasetError::io("rename", target))?;
        }
        if let Err(source) = fs::rename(&self.path, target) {
            if replaces {
                fs::rename(&old, target).map_err(DatasetError::io("rename", &old))?;
            }
            return Err(DatasetError::io("rename", target)(source));
        }
        self.done = true;
        // Only now: as long as the hidden name is there, a second writer must find the lock in it.
        let lock = target.join(LOCK_FILE);
        fs::remove_file(&lock).map_err(DatasetError::io("remove", &lock))?;
        sync_dir(target)?;
        sync_dir(&parent_of(target))?;
        if replaces {
            fs::remove_dir_all(&old).map_err(DatasetError::io("remove", &old))?;
        }
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.done {
            // Best effort: a leftover is replaced by the next writer.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

fn parent_of(target: &Path) -> PathBuf {
    match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn hidden(target: &Path, what: &str) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(target.file_name().unwrap_or_else(|| "dataset".as_ref()));
    name.push(".");
    name.push(what);
    parent_of(target).join(name)
}

/// The system's own error, kept aside because it would pass through the Parquet crates as mere text.
#[derive(Debug, Clone, Default)]
struct Failure(Arc<Mutex<Option<io::Error>>>);

impl Failure {
    fn keep(&self, error: &io::Error) {
        if error.kind() == io::ErrorKind::Interrupted {
            return; // the caller tries again
        }
        let copy = match error.raw_os_error() {
            Some(code) => io::Error::from_raw_os_error(code),
            None => io::Error::new(error.kind(), error.to_string()),
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(copy);
    }

    fn error(&self, path: &Path, detail: String) -> DatasetError {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(source) => DatasetError::io("write", path)(source),
            None => DatasetError::Parquet {
                path: path.to_owned(),
                group: None,
                detail,
            },
        }
    }
}

/// A buffered file that hashes what passes through it.
struct HashingSink<W: Write> {
    inner: BufWriter<W>,
    hasher: blake3::Hasher,
    bytes: u64,
    failure: Failure,
}

impl<W: Write> HashingSink<W> {
    fn new(file: W, failure: Failure) -> HashingSink<W> {
        HashingSink {
            inner: BufWriter::with_capacity(1 << 16, file),
            hasher: blake3::Hasher::new(),
            bytes: 0,
            failure,
        }
    }

    fn finish(self) -> io::Result<(W, String, u64)> {
        let file = self.inner.into_inner().map_err(|error| error.into_error())?;
        Ok((file, self.hasher.finalize().to_hex().to_string(), self.bytes))
    }
}

impl<W: Write> Write for HashingSink<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes).inspect_err(|error| self.failure.keep(error))?;
        self.hasher.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush().inspect_err(|error| self.failure.keep(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk that takes a few bytes at a time, is interrupted now and then, and is full in the end.
    struct BadDisk {
        taken: Vec<u8>,
        room: usize,
        calls: usize,
    }

    impl Write for BadDisk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.calls += 1;
            if self.calls.is_multiple_of(3) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let some = bytes
                .len()
                .min(1 + self.calls * 7 % 50)
                .min(self.room - self.taken.len());
            if some == 0 && !bytes.is_empty() {
                return Err(io::Error::from_raw_os_error(28));
            }
            self.taken.extend_from_slice(&bytes[..some]);
            Ok(some)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn encode(room: usize) -> Result<(BadDisk, String, u64), DatasetError> {
        let failure = Failure::default();
        let path = Path::new("data.parquet");
        let disk = BadDisk {
            taken: Vec::new(),
            room,
            calls: 0,
        };
        let fail = |detail| failure.error(path, detail);
        let mut encoder = Encoder::new(HashingSink::new(disk, failure.clone())).map_err(fail)?;
        let mut rows = Rows::default();
        for k in 0..5_000 {
            let message = Message::fx(TimestampNs(k), TimestampNs(k), crossbook_engine::units::FxRate::ONE);
            rows.push(&message).map_err(|fault| fail(fault.to_string()))?;
        }
        encoder.write(&mut rows).map_err(fail)?;
        let sink = encoder.finish().map_err(fail)?;
        sink.finish().map_err(DatasetError::io("write", path))
    }

    #[test]
    fn f45_short_and_interrupted_writes_are_completed_and_a_failed_one_is_reported() {
        let (disk, hash, bytes) = encode(1 << 20).unwrap();
        assert_eq!(bytes, disk.taken.len() as u64);
        assert_eq!(hash, blake3::hash(&disk.taken).to_hex().to_string());
        for room in [0, 3, 100, disk.taken.len() - 1] {
            let error = encode(room).err().unwrap();
            let code = error.outside().and_then(io::Error::raw_os_error);
            assert_eq!(code, Some(28), "room for {room}: {error}");
        }
    }
}
