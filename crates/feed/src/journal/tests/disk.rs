//! Disks that are full, slow or broken.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};

use super::*;

/// A disk that fails, shortens or delays on demand.
#[derive(Clone, Default)]
struct Bad(Arc<State>);

#[derive(Default)]
struct State {
    /// Bytes that still fit; `usize::MAX` for all.
    room: AtomicUsize,
    /// A write takes at most this many, and is interrupted before each.
    most: AtomicUsize,
    interrupted: AtomicBool,
    kind: Mutex<Option<io::ErrorKind>>,
    fsync_fails: AtomicBool,
    fsync_held: Mutex<bool>,
    fsync_goes: Condvar,
}

impl Bad {
    fn with_room(room: usize, kind: io::ErrorKind) -> Bad {
        let bad = Bad::default();
        bad.0.room.store(room, Ordering::SeqCst);
        bad.0.most.store(usize::MAX, Ordering::SeqCst);
        *bad.0.kind.lock().expect("a lock") = Some(kind);
        bad
    }

    fn hold(&self, held: bool) {
        *self.0.fsync_held.lock().expect("a lock") = held;
        self.0.fsync_goes.notify_all();
    }
}

struct BadFile(Box<dyn SegmentFile>, Bad);
struct BadDurable(Bad);

impl Storage for Bad {
    fn create(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>> {
        Ok(Box::new(BadFile(Disk.create(path)?, self.clone())))
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }
}

impl SegmentFile for BadFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let state = &self.1.0;
        if !state.interrupted.fetch_xor(true, Ordering::SeqCst) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let room = state.room.load(Ordering::SeqCst);
        let take = bytes.len().min(state.most.load(Ordering::SeqCst)).min(room);
        if take == 0 {
            return Err(state
                .kind
                .lock()
                .expect("a lock")
                .unwrap_or(io::ErrorKind::Other)
                .into());
        }
        state.room.store(room - take, Ordering::SeqCst);
        self.0.write(&bytes[..take])
    }

    fn durable(&self) -> io::Result<Arc<dyn Durable>> {
        Ok(Arc::new(BadDurable(self.1.clone())))
    }
}

impl Durable for BadDurable {
    fn sync(&self) -> io::Result<()> {
        let mut held = self.0.0.fsync_held.lock().expect("a lock");
        while *held {
            held = self.0.0.fsync_goes.wait(held).expect("a lock");
        }
        match self.0.0.fsync_fails.load(Ordering::SeqCst) {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }
}

#[test]
fn f45_short_and_interrupted_writes_are_completed() {
    let bad = Bad::with_room(usize::MAX, io::ErrorKind::Other);
    bad.0.most.store(3, Ordering::SeqCst);
    let dir = tempfile::tempdir().expect("a folder");
    let mut segments =
        Segments::begin(dir.path(), Arc::new(bad), about(), &JournalConfig::default(), at(HOUR)).expect("a folder");
    for record in every_kind() {
        segments.push(&record).expect("room");
    }
    segments.close().expect("room");
    let (records, report) = read(dir.path());
    assert_eq!(records, every_kind());
    assert!(!report.doubtful() && report.cuts.is_empty());
}

/// Whatever the byte at which the disk is full: an error that names the file, and every block before is there.
#[test]
fn f44_f45_a_full_or_broken_disk_is_told_and_leaves_what_was_written() {
    let records: Vec<Record> = (0..4)
        .map(|step| frame(HOUR + step * MS, &format!("frame {step}")))
        .collect();
    let full = {
        let dir = tempfile::tempdir().expect("a folder");
        write(dir.path(), &records, true, true);
        std::fs::metadata(only_file(dir.path())).expect("a file").len() as usize
    };
    for room in 0..full {
        let kind = [io::ErrorKind::StorageFull, io::ErrorKind::Other][room % 2];
        let dir = tempfile::tempdir().expect("a folder");
        let bad = Bad::with_room(room, kind);
        let mut written = 0;
        let result = Segments::begin(dir.path(), Arc::new(bad), about(), &JournalConfig::default(), at(HOUR)).and_then(
            |mut segments| {
                for record in &records {
                    segments.push(record)?;
                    segments.flush()?;
                    written += 1;
                }
                segments.close()
            },
        );
        match result {
            Err(JournalError::Io { action, path, source }) => {
                assert_eq!((action, path.file_name()), ("write", only_file(dir.path()).file_name()));
                assert_eq!(source.kind(), kind);
            }
            other => panic!("{room} bytes of room: {other:?}"),
        }
        let (found, report) = read(dir.path());
        assert_eq!(found, records[..written], "{room} bytes of room");
        assert!(!report.doubtful());
    }
}

fn open(dir: &Path, storage: &Bad) -> Journal {
    let config = JournalConfig {
        flush_ms: 1,
        sync_ms: 10,
        ..JournalConfig::default()
    };
    Journal::open(dir, about(), &config, Arc::new(storage.clone()), at(HOUR)).expect("a folder")
}

/// Waits for what must come; a test that hangs here has failed.
async fn until(journal: &Journal, what: impl Fn(&Status) -> bool) {
    while !what(&journal.status()) {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn records_reach_the_kernel_and_the_disk_without_more_of_them_coming() {
    let dir = tempfile::tempdir().expect("a folder");
    let journal = open(dir.path(), &Bad::with_room(usize::MAX, io::ErrorKind::Other));
    journal.push(frame(HOUR, "alone")).await.expect("room");
    until(&journal, |status| status.written == 1).await;
    // Nothing was closed: this is what a reader finds after a kill.
    assert_eq!(read(dir.path()).0, [frame(HOUR, "alone")]);
    until(&journal, |status| status.synced == 1).await;
    let status = journal.close().await.expect("closed");
    assert_eq!((status.written, status.synced, status.queued_bytes), (1, 1, 0));
    assert!(read(dir.path()).1.not_closed.is_empty());
}

#[tokio::test]
async fn f51_a_slow_fsync_holds_up_neither_the_loop_nor_the_writes() {
    let dir = tempfile::tempdir().expect("a folder");
    let slow = Bad::with_room(usize::MAX, io::ErrorKind::Other);
    slow.hold(true);
    let journal = open(dir.path(), &slow);
    for step in 0..200 {
        journal
            .push(frame(HOUR + step, "while the disk is busy"))
            .await
            .expect("room");
    }
    until(&journal, |status| status.written == 200).await;
    assert_eq!(journal.status().synced, 0);
    assert_eq!(read(dir.path()).0.len(), 200);
    slow.hold(false);
    until(&journal, |status| status.synced == 200).await;
    assert!(journal.status().most_sync_lag > std::time::Duration::ZERO);
    journal.close().await.expect("closed");
}

#[tokio::test]
async fn f46_an_fsync_that_fails_ends_the_journal() {
    let dir = tempfile::tempdir().expect("a folder");
    let bad = Bad::with_room(usize::MAX, io::ErrorKind::Other);
    let journal = open(dir.path(), &bad);
    bad.0.fsync_fails.store(true, Ordering::SeqCst);
    journal.push(frame(HOUR, "written")).await.expect("room");
    let error = journal.failed().await;
    assert!(matches!(&error, JournalError::Io { action: "fsync", .. }), "{error}");
    bad.0.fsync_fails.store(false, Ordering::SeqCst);
    assert!(journal.push(frame(HOUR, "after")).await.is_err());
    assert!(journal.close().await.is_err());
    assert_eq!(read(dir.path()).0, [frame(HOUR, "written")]);
}

#[tokio::test]
async fn a_full_disk_frees_those_who_wait_for_room() {
    let dir = tempfile::tempdir().expect("a folder");
    let bad = Bad::with_room(2_000, io::ErrorKind::StorageFull);
    let journal = open(dir.path(), &bad);
    let noise: String = (0..40_000_u32)
        .map(|n| char::from(33 + (n.wrapping_mul(2_654_435_761) >> 20) as u8 % 90))
        .collect();
    let mut pushed = 0;
    let error = loop {
        match journal.push(frame(HOUR + pushed, &noise)).await {
            Ok(()) => pushed += 1,
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains("000001-20261121T19.cbj"), "{error}");
}

#[tokio::test]
async fn f40_the_second_recorder_is_told_who_the_first_is() {
    let dir = tempfile::tempdir().expect("a folder");
    let good = Bad::with_room(usize::MAX, io::ErrorKind::Other);
    let first = open(dir.path(), &good);
    let second = Journal::open(
        dir.path(),
        about(),
        &JournalConfig::default(),
        Arc::new(good.clone()),
        at(HOUR),
    );
    let refusal = second.err().map(|error| error.to_string()).unwrap_or_default();
    let owner = format!("process {}, run golden", std::process::id());
    assert!(refusal.contains(&owner), "{refusal}");
    assert_eq!(list(dir.path()).expect("a folder").len(), 1);
    first.close().await.expect("closed");
    open(dir.path(), &good).close().await.expect("closed");
}
